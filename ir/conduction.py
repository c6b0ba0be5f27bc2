"""How long signals travel: a delay for each class of pathway, with its source or without one.

The numbers stand in `conduction_delays.csv`, a row per class. `checked` says how far a number was followed to its
source. A number without a DOI is a placeholder.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache
from importlib import resources

from cortico.ir.arguments import kind
from cortico.ir.axes import Role
from cortico.ir.circuit import Circuit
from cortico.ir.invariants import check
from cortico.ir.physiology import Measurement
from cortico.ir.population import Delay, Population, Projection
from cortico.ir.regions import CellClass, Region
from cortico.ir.rewrite import map_projections


class Pathway(StrEnum):
    """A class of pathways, by where they begin and end."""

    THALAMOCORTICAL = "thalamocortical"
    CORTICOTHALAMIC = "corticothalamic"
    CORTICOTHALAMIC_L5 = "corticothalamic_l5"  #: of pyramidal tract cells
    THALAMORETICULAR = "thalamoreticular"
    CORTICORETICULAR = "corticoreticular"
    RETICULOTHALAMIC = "reticulothalamic"
    WITHIN_THALAMUS = "within_thalamus"
    LOCAL_EXCITATORY = "local_excitatory"  #: within a cortical area
    LOCAL_INHIBITORY = "local_inhibitory"
    BETWEEN_AREAS = "between_areas"


@cache
def conduction_delays() -> Mapping[Pathway, Measurement]:
    """The delay of each class of pathways, in ms."""
    text = resources.files("cortico.ir").joinpath("conduction_delays.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return {
        Pathway(row["pathway"]): Measurement(
            float(row["delay_ms"]),
            "ms",
            row["reported"],
            row["reference"],
            row["doi"],
            row["checked"],
        )
        for row in rows
    }


def pathway_of(circuit: Circuit, projection: Projection) -> Pathway:
    """The class of a projection.

    Synapses between cortical areas are those from another block of a network, and those that sum or spread over
    the axes of areas.
    """
    pre, post = circuit.heard(projection), circuit.population(projection.post)
    if pre.region.in_cortex and post.region.in_cortex:
        if pre.path != post.path or _areas(circuit, pre) != _areas(circuit, post):
            return Pathway.BETWEEN_AREAS
        inhibits = pre.cell_class.inhibitory
        return Pathway.LOCAL_INHIBITORY if inhibits else Pathway.LOCAL_EXCITATORY
    if pre.region.in_cortex:
        if post.region is Region.RETICULAR:
            return Pathway.CORTICORETICULAR
        is_l5 = pre.cell_class is CellClass.PT
        return Pathway.CORTICOTHALAMIC_L5 if is_l5 else Pathway.CORTICOTHALAMIC
    if post.region.in_cortex:
        return Pathway.THALAMOCORTICAL
    if Region.RETICULAR in (pre.region, post.region) and pre.region is not post.region:
        from_reticular = pre.region is Region.RETICULAR
        return Pathway.RETICULOTHALAMIC if from_reticular else Pathway.THALAMORETICULAR
    return Pathway.WITHIN_THALAMUS


def _areas(circuit: Circuit, population: Population) -> set[str]:
    return {axis for axis in population.axes if circuit.axis(axis).role is Role.AREA}


@kind
def delays_from_table(circuit: Circuit) -> Circuit:
    """The circuit with the delay of its class for each projection that has none.

    CircuitError for circuits whose tokens come one after another.
    """
    table = conduction_delays()

    def timed(projection: Projection) -> Projection:
        given = projection.delay or Delay(table[pathway_of(circuit, projection)].value)
        return replace(projection, delay=given)

    made = map_projections(circuit, timed)
    check(made)
    return made
