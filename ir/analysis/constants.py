"""What is a known number: gains, tensors, weights, and the rates of populations that no input reaches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cortico.ir.analysis import once
from cortico.ir.circuit import Circuit
from cortico.ir.rewrite import weights_onto
from cortico.ir.tensors import FORMULAS, Gain, Parameter, TensorRef, Weight

#: Formula kind to the sides of its result that are all sides of its argument, where there are such.
_CARRIED = {"rotation": slice(1, 2), "distance": slice(0, -2)}


@once
def constant_populations(circuit: Circuit) -> frozenset[str]:
    """Populations whose rates are known numbers: no input, symbol or symbolic weight reaches them."""
    found: frozenset[str] = frozenset()
    for population in circuit.order:
        if (
            has_numbers(circuit, population.axes)
            and all(is_known(circuit, weight) for weight in weights_onto(circuit, population))
            and all(p.pre in found for p in circuit.projections_onto(population.name))
        ):
            found |= {population.name}
    return found


def is_known(circuit: Circuit, weight: Weight) -> bool:
    """Whether a weight is made of known numbers only."""
    if not has_numbers(circuit, [*weight.axes, *(axis for axis, _ in weight.gain.sizes)]):
        return False
    formula = circuit.formula(weight.tensor.name) if weight.tensor else None
    names = formula.arguments if formula else [ref.name for ref in [weight.tensor] if ref]
    return all(values_of(circuit, name) is not None for name in names)


def has_numbers(circuit: Circuit, axes: Iterable[str]) -> bool:
    """Whether the sizes of axes are numbers, not symbols."""
    return all(isinstance(circuit.axis(axis).extent, int) for axis in axes)


def values_of(circuit: Circuit, name: str) -> np.ndarray | None:
    """The stored array of a parameter; None for inputs, formulas and symbolic parameters."""
    tensor = circuit.tensor(name)
    return tensor.values if isinstance(tensor, Parameter) else None


def array_of(circuit: Circuit, name: str) -> np.ndarray | None:
    """The array of a parameter, its formula evaluated; None for inputs and while it is symbolic."""
    formula, sides = circuit.formula(name), circuit.tensor(name).shape
    if formula is None:
        return values_of(circuit, name)
    arrays = [values_of(circuit, argument) for argument in formula.arguments]
    shape = tuple(side for side in sides if isinstance(side, int))
    if any(array is None for array in arrays) or len(shape) < len(sides):
        return None
    return FORMULAS[formula.kind](shape, *arrays)


def number_of(circuit: Circuit, gain: Gain) -> float | None:
    """A gain as a number; None while it depends on a symbolic size."""
    extents = {axis: circuit.axis(axis).extent for axis, _ in gain.sizes}
    sizes = {axis: extent for axis, extent in extents.items() if isinstance(extent, int)}
    return gain.value(sizes) if len(sizes) == len(extents) else None


def stored_of(circuit: Circuit, weight: Weight) -> TensorRef | None:
    """The plain parameter that a weight gets its numbers from, at the axes that carry over to it.

    A formula's argument is read at the axes of the formula that it has too; None where it has others, or
    where there is no argument.
    """
    if weight.tensor is None:
        return None
    formula = circuit.formula(weight.tensor.name)
    if formula is None:
        return weight.tensor
    if formula.kind not in _CARRIED:
        return None
    (argument,) = formula.arguments
    return TensorRef(argument, weight.axes[_CARRIED[formula.kind]])
