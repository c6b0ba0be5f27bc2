"""What the page's script knows: populations, pathways with their audit, and rates on one input."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cortico.anatomy import Audit, Finding, Reference
from cortico.experiment.activity import Activity, token_axes
from cortico.ir import Circuit, Population, Projection, Role
from cortico.ir.names import axes_of_role
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.style import LOOKS, kind_of
from cortico.report.summary import equation
from cortico.report.words import number, quantity

#: Populations with more rates than this on the input are shown as sums over their cells.
MOST_RATES = 200_000
#: Tokens of the input that are shown.
MOST_TOKENS = 64

Record = dict[str, Any]


def json_text(record: Record) -> str:
    """JSON that can stand in an HTML script element: no `<`, so nothing in it ends the element."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def page_data(
    circuit: Circuit, audit: Audit, activity: Activity | None, tokens: Sequence[str]
) -> Record:
    """Everything that the script shows, by name."""
    return {
        "name": circuit.name,
        "areas": [", ".join(map(str, area.index)) for area in circuit.areas],
        "populations": {p.name: _population(circuit, p) for p in _ordered(circuit)},
        "projections": {p.name: _projection(circuit, audit, p) for p in circuit.projections},
        "activity": _activity(activity, tokens) if activity else None,
    }


def _ordered(circuit: Circuit) -> list[Population]:
    return [p for band in BANDS for p in circuit.populations if band_of(p) == band]


# ---- populations and projections -----------------------------------------------------------------


def _population(circuit: Circuit, population: Population) -> Record:
    counts, onto = circuit.counts(), circuit.projections_onto(population.name)
    return {
        "where": str(population.region).replace("_", " ").replace(".", ", "),
        "cells": LOOKS[population.cell_class].words,
        "equation": equation(circuit, population),
        "neurons": quantity(counts.neurons_of[population.name], "neuron"),
        "synapses": quantity(counts.synapses_in(onto), "synapse"),
        "compartments": [_compartment(population, c.name) for c in population.compartments],
        "hears": [p.name for p in onto],
        "drives": [p.name for p in circuit.projections_from(population.name)],
        "outputs": [o.name for o in circuit.outputs if o.source.name == population.name],
    }


def _compartment(population: Population, name: str) -> str:
    compartment = population.compartment(name)
    drive = " + ".join(map(str, compartment.drive))
    return f"{name} {compartment.effect}" + (f", driven by {drive}" if drive else "")


def _projection(circuit: Circuit, audit: Audit, projection: Projection) -> Record:
    return {
        "pre": projection.pre,
        "post": projection.post,
        "compartment": projection.compartment,
        "kind": kind_of(circuit, projection),
        "weight": str(projection.weight),
        "synapses": quantity(circuit.counts().synapses_of[projection.name], "synapse"),
        "verdict": audit.verdicts[projection.name],
        "findings": [_finding(finding) for finding in audit.of(projection.name)],
    }


def _finding(finding: Finding) -> Record:
    references = dict.fromkeys(r for pathway in finding.pathways for r in pathway.references)
    return {
        "verdict": finding.verdict,
        "statement": finding.statement,
        "references": [_reference(reference) for reference in references],
    }


def _reference(reference: Reference) -> Record:
    return {"label": reference.label, "doi": reference.doi}


# ---- activity ------------------------------------------------------------------------------------


def _activity(activity: Activity, tokens: Sequence[str]) -> Record:
    circuit = activity.circuit
    axes = token_axes(circuit) or [*_columns(circuit), "", ""][:2]
    sizes = circuit.sizes()
    names = [_token_names(tokens, sizes.get(axis, 1)) for axis in axes]
    return {
        "queryAxis": axes[0],
        "sourceAxis": axes[1],
        "queries": names[0][:MOST_TOKENS],
        "sources": names[1][:MOST_TOKENS],
        "leftOut": max([len(n) - MOST_TOKENS for n in names] + [0]),
        "attention": _attention(activity),
        "cells": list(_cells(activity, tuple(axes))),
    }


def _columns(circuit: Circuit) -> list[str]:
    return [axis.name for axis in circuit.axes if axis.role is Role.COLUMN]


def _token_names(tokens: Sequence[str], size: int) -> list[str]:
    """The given names where there are as many, else numbers."""
    return list(tokens) if len(tokens) == size else [f"#{k}" for k in range(size)]


def _attention(activity: Activity) -> Record | None:
    """The gate as numbers, by area, query and source; whether each query's add up to 1."""
    found = activity.attention
    if found is None:
        return None
    shares = found.gate.reshape(-1, *found.gate.shape[-2:])
    sums = shares.sum(axis=-1)
    return {
        "population": found.population,
        "areas": list(found.areas),
        "isShare": bool((shares >= 0).all() and np.allclose(sums[sums > 0], 1)),
        "values": _rounded(shares[:, :MOST_TOKENS, :MOST_TOKENS]),
    }


def _rounded(values: np.ndarray) -> Any:
    """Nested lists of the numbers with nine digits."""
    if values.ndim == 0:
        return float(f"{float(values):.9g}")
    return [_rounded(part) for part in values]


def _cells(activity: Activity, tokens: tuple[str, ...]) -> Iterator[Record]:
    """Rates of every population: float32 in base64, over axes that say how to find a cell."""
    circuit = activity.circuit
    areas = axes_of_role(circuit, Role.AREA)
    for population in _ordered(circuit):
        rates, axes = activity.rates[population.name], population.axes
        located = [axis for axis in axes if axis in areas or axis in tokens]
        summed = rates.size > MOST_RATES
        if summed:
            free = tuple(k for k, axis in enumerate(axes) if axis not in located)
            rates, axes = rates.sum(axis=free), tuple(located)
        if rates.size <= MOST_RATES:
            yield {
                "population": population.name,
                "axes": [_axis(axis, areas, tokens) for axis in axes],
                "shape": list(rates.shape),
                "summed": number(activity.rates[population.name].size) if summed else None,
                "rates": base64.b64encode(rates.astype("<f4").tobytes()).decode(),
            }


def _axis(axis: str, areas: Sequence[str], tokens: Sequence[str]) -> str:
    """`area 0`, `query`, `source`, or the name of an axis along which cells stand side by side."""
    if axis in areas:
        return f"area {areas.index(axis)}"
    if axis in tokens:
        return ("query", "source")[tokens.index(axis)]
    return axis
