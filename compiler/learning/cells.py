"""Cells that learning adds: which class they are of, and the slope of a transfer function.

Which cells carry errors is our assumption, until experiments say more.
"""

from __future__ import annotations

from typing import NamedTuple

from cortico.ir import CellClass, Compartment, Effect, Gain, Population, SpecError, Weight

MINUS = Gain(-1.0)

_ONE = (Weight(),)


def excitatory(population: Population) -> CellClass:
    """The class of error neurons in the region of a population: errors have both signs."""
    return CellClass.IT if population.region.in_cortex else CellClass.RELAY


class Slope(NamedTuple):
    """A compartment that multiplies with a factor of φ', and the weight at which it hears the rate."""

    compartment: Compartment
    weight: Weight = Weight()


def slope(transfer: str) -> tuple[Slope, ...]:
    """φ' by the neuron's own rate r = φ(…). SpecError for functions without a known derivative.

    exp' = r, tanh' = (1 - r)(1 + r), sqrt' = 1/(2 r), relu' = r/r, which is 0 where r is.
    """
    match transfer:
        case "identity":
            return ()
        case "exp":
            return (Slope(Compartment("slope")),)
        case "tanh":
            return (
                Slope(Compartment("below_one", drive=_ONE), Weight(gain=MINUS)),
                Slope(Compartment("above_minus_one", drive=_ONE)),
            )
        case "sqrt":
            return (Slope(Compartment("slope", Effect.DIVIDES), Weight(gain=Gain(2.0))),)
        case "relu":
            return (
                Slope(Compartment("fires")),
                Slope(Compartment("fires_at", Effect.DIVIDES)),
            )
    raise SpecError(f"no derivative of the transfer function {transfer!r} is known")
