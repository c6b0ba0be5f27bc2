"""Cells that learning adds: which class they are of, and the slope of a transfer function.

Which cells carry errors is our assumption, until experiments say more.
"""

from __future__ import annotations

from typing import NamedTuple

from cortico.ir import (
    TRANSFERS,
    CellClass,
    Compartment,
    Effect,
    Gain,
    Population,
    SpecError,
    Weight,
)
from cortico.ir.transfer import RateFactor

MINUS = Gain(-1.0)


def excitatory(population: Population) -> CellClass:
    """The class of error neurons in the region of a population: errors have both signs."""
    return CellClass.IT if population.region.in_cortex else CellClass.RELAY


class Slope(NamedTuple):
    """A compartment that multiplies with a factor of φ', and the weight at which it hears the rate."""

    compartment: Compartment
    weight: Weight = Weight()


def slope(transfer: str) -> tuple[Slope, ...]:
    """φ' by the neuron's own rate. SpecError for functions whose slope no product of rates gives."""
    factors = TRANSFERS[transfer].rate_slope
    if factors is None:
        raise SpecError(f"no derivative of the transfer function {transfer!r} is known")
    return tuple(map(_heard, factors))


def _heard(factor: RateFactor) -> Slope:
    drive = (Weight(gain=Gain(factor.constant)),) if factor.constant else ()
    effect = Effect.DIVIDES if factor.divides else Effect.MULTIPLIES
    return Slope(Compartment(factor.compartment, effect, drive), Weight(gain=Gain(factor.per_rate)))
