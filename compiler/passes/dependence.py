"""What a rate or a current may depend on, and whether a weight is a known number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Gain,
    Parameter,
    Population,
    Projection,
    TensorRef,
    Weight,
)
from cortico.ir.circuit import resolve
from cortico.ir.domain import conjunction, implies
from cortico.ir.transfer import TRANSFERS
from cortico.passes.edit import map_populations, map_projections


def rate_axes(circuit: Circuit, population: Population) -> set[str]:
    """Axes of `population` along which its rate can differ within its domain."""
    found: dict[str, set[str]] = {}
    for each in circuit.order:
        currents = [_current_axes(circuit, each, c, found) for c in each.compartments]
        found[each.name] = set().union(*currents)
    return found[population.name]


def current_axes(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """Axes of `population` along which the current of a compartment can differ."""
    found = {p.pre: set(_rate_axes_of(circuit, p)) for p in _onto(circuit, population, compartment)}
    return _current_axes(circuit, population, compartment, found)


def own_axes(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """Axes of `population` that cells need which take over the synapses of a compartment.

    These are the axes along which its current can differ, and those of what it hears: without one of
    them the synapses would sum along it, even where all its indices are alike.
    """
    heard = {
        axis for p in _onto(circuit, population, compartment) for axis in _axes(circuit, p.pre)
    }
    return current_axes(circuit, population, compartment) | (heard & set(population.axes))


def term_axes(circuit: Circuit, projection: Projection) -> set[str]:
    """Axes of the target along which the current of one projection can differ."""
    return _term_axes(circuit, projection, _rate_axes_of(circuit, projection))


def extra_bounds(circuit: Circuit, projection: Projection) -> Domain:
    """Bounds on the synapses of a projection that its target's domain does not imply."""
    post, pre = circuit.population(projection.post), circuit.population(projection.pre)
    bounds = conjunction(pre.domain, projection.domain)
    return tuple(bound for bound in bounds if not implies(post.domain, bound))


def bound_axes(domain: Domain) -> set[str]:
    """The axes that a domain ties."""
    return {axis for bound in domain for axis in (bound.left, bound.right)}


def is_output(circuit: Circuit, population: str) -> bool:
    """Whether the outside reads the rates of a population."""
    return any(output.source.name == population for output in circuit.outputs)


def reads(circuit: Circuit) -> Iterator[Weight]:
    """Every weight of the circuit: drives first, then projections."""
    for population in circuit.populations:
        for compartment in population.compartments:
            yield from compartment.drive
    yield from (projection.weight for projection in circuit.projections)


def values_of(circuit: Circuit, name: str) -> np.ndarray | None:
    """The stored array of a parameter; None for inputs, formulas and symbolic parameters."""
    tensor = circuit.tensor(name)
    return tensor.values if isinstance(tensor, Parameter) else None


def number_of(circuit: Circuit, gain: Gain) -> float | None:
    """A gain as a number; None while it depends on a symbolic size."""
    extents = {axis: circuit.axis(axis).extent for axis, _ in gain.sizes}
    sizes = {axis: extent for axis, extent in extents.items() if isinstance(extent, int)}
    return gain.value(sizes) if len(sizes) == len(extents) else None


def _axes(circuit: Circuit, population: str) -> tuple[str, ...]:
    return circuit.population(population).axes


def _rate_axes_of(circuit: Circuit, projection: Projection) -> set[str]:
    return rate_axes(circuit, circuit.population(projection.pre))


def _onto(
    circuit: Circuit, population: Population, compartment: Compartment
) -> tuple[Projection, ...]:
    return circuit.projections_onto(population.name, compartment.name)


def _current_axes(
    circuit: Circuit, population: Population, compartment: Compartment, found: dict[str, set[str]]
) -> set[str]:
    axes = {axis for weight in compartment.drive for axis in weight.axes}
    for projection in _onto(circuit, population, compartment):
        axes |= _term_axes(circuit, projection, found[projection.pre])
    return axes


def _term_axes(circuit: Circuit, projection: Projection, rate: set[str]) -> set[str]:
    tied = bound_axes(extra_bounds(circuit, projection))
    post = circuit.population(projection.post)
    return (rate | set(projection.weight.axes) | tied) & set(post.axes)


def map_weights(circuit: Circuit, change: Callable[[Weight], Weight]) -> Circuit:
    """The circuit with `change` applied to the weight of every drive and projection."""

    def of(population: Population) -> Population:
        parts = (replace(c, drive=tuple(map(change, c.drive))) for c in population.compartments)
        return replace(population, compartments=tuple(parts))

    circuit = map_populations(circuit, of)
    return map_projections(circuit, lambda p: replace(p, weight=change(p.weight)))


def live_along(circuit: Circuit, weight: Weight, axes: Sequence[str]) -> np.ndarray:
    """Where a weight is not known to be zero: a boolean array over `axes`, which have numbers.

    An index counts as live when any entry of the tensor at it may differ from zero.
    """
    shape = _shape(circuit, axes)
    if weight.gain.coefficient == 0:
        return np.zeros(shape, dtype=bool)
    known, support = _support(circuit, weight)
    mine = [axis for axis in axes if axis in known]
    others = tuple(k for k, axis in enumerate(known) if axis not in mine)
    kept = [axis for axis in known if axis in mine]
    live = np.transpose(support.any(axis=others), [kept.index(axis) for axis in mine])
    spread = live.reshape([size if a in mine else 1 for a, size in zip(axes, shape, strict=True)])
    return np.broadcast_to(spread, shape)


def is_zero(circuit: Circuit, weight: Weight) -> bool:
    """Whether every entry of a weight is exactly zero. A symbolic one never is."""
    return not live_along(circuit, weight, ())


def keeps_zero(population: Population) -> bool:
    """Whether a neuron whose argument is zero is silent: an exponential one is not."""
    return float(TRANSFERS[population.transfer].evaluate(0.0)) == 0.0


def stored_of(circuit: Circuit, weight: Weight) -> TensorRef | None:
    """The plain parameter that a weight gets its numbers from, at the axes that carry over to it.

    A formula's argument is read at the axes of the formula that it has too.
    """
    if weight.tensor is None:
        return None
    tensor = circuit.tensor(weight.tensor.name)
    if not isinstance(tensor, Parameter) or tensor.formula is None:
        return weight.tensor
    (argument,) = tensor.formula.arguments
    return TensorRef(argument, weight.axes[_CARRIED[tensor.formula.kind]])


#: Formula kind to the sides of its result that are sides of its argument.
_CARRIED = {"rotation": slice(1, 2), "distance": slice(0, -2)}


def _support(circuit: Circuit, weight: Weight) -> tuple[tuple[str, ...], np.ndarray]:
    """Axes, and where the tensor may differ from zero along them."""
    stored = stored_of(circuit, weight)
    values = values_of(circuit, stored.name) if stored else None
    is_rotation = stored != weight.tensor and not _vanishes_with_its_argument(circuit, weight)
    if stored is None or values is None or is_rotation:
        return (), np.ones((), dtype=bool)
    return stored.axes, values != 0


def _vanishes_with_its_argument(circuit: Circuit, weight: Weight) -> bool:
    tensor = circuit.tensor(weight.tensor.name) if weight.tensor else None
    formula = tensor.formula if isinstance(tensor, Parameter) else None
    return formula is not None and formula.kind == "distance"


def _shape(circuit: Circuit, axes: Sequence[str]) -> list[int]:
    return [resolve(circuit.axis(axis).extent, {}) for axis in axes]
