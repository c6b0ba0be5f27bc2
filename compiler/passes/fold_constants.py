"""fold-constants: scales into weights, and relays that change nothing left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Effect,
    Gain,
    Population,
    Projection,
    Weight,
)
from cortico.ir.analysis.constants import number_of, values_of
from cortico.ir.analysis.readers import is_output, is_read_once
from cortico.ir.domain import conjunction, coupled_axes, implies, rename
from cortico.ir.rewrite import (
    map_projections,
    replace_drive,
    replace_population,
    replace_projections,
    with_values,
)
from cortico.ir.transfer import TRANSFERS
from cortico.passes.base import Pass, last, nominal

#: The gain of a weight that is nothing but its tensor, or one.
ONE = Gain()


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Multiply constant factors into stored weights, and leave out relays that change nothing.

        g · Σ_a q_a Σ_m W_K[a,m] x[m] = Σ_a q_a Σ_m (g W_K)[a,m] x[m]

    A gain moves into a tensor with values that is read only there, or upstream through a population
    with identity transfer that nothing else hears: there it scales all terms of one factor. It moves
    only when it vanishes, or joins a gain: symbolic tensors and formulas take none on.

        post = w_2 relay,  relay = g pre   ->   post = g w_2 pre

    A relay that only passes on, one to one, what one population tells it is left out, where that
    lowers the number of synapses. Populations that sum or spread stay: they are memories,
    collectors and the relays of share-relays, and save synapses. Interneurons stay, and so does the
    minus sign of what they do: `split-sign` has put them there.
    """

    name = "fold-constants"

    def run(self, circuit: Circuit) -> Circuit:
        return last(circuit, self.stages(circuit))

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        """One gain folded, or one relay left out, at a time."""
        while (simpler := next(_simpler(circuit), None)) is not None:
            yield simpler
            circuit = simpler


def _simpler(circuit: Circuit) -> Iterator[Circuit]:
    """The circuit with one chain joined or one gain folded, in every way."""
    for population in circuit.populations:
        joined = _joined(circuit, population)
        if joined is not None:
            yield joined
    for projection in circuit.projections:
        if _is_foldable(projection.weight) and not _inhibits(circuit, projection):
            yield from _one(_folded(circuit, projection))
    for population in circuit.populations:
        for compartment in population.compartments:
            yield from _folded_drives(circuit, population, compartment)


def _one(circuit: Circuit | None) -> Iterator[Circuit]:
    if circuit is not None:
        yield circuit


# ---- gains ---------------------------------------------------------------------------------------


def _inhibits(circuit: Circuit, projection: Projection) -> bool:
    """Whether a gain is the sign of inhibitory synapses, which their weights must not take on."""
    inhibitory = circuit.population(projection.pre).cell_class.inhibitory
    return inhibitory and projection.weight.gain.coefficient < 0


def _is_foldable(weight: Weight) -> bool:
    """Whether a weight has a factor to fold. A factor of zero is a matter of prune-dead."""
    return not weight.gain.is_one and weight.gain.coefficient != 0


def _folded(circuit: Circuit, projection: Projection) -> Circuit | None:
    """The circuit with the gain of `projection` moved into values, or joined with another gain."""
    gain, plain = projection.weight.gain, replace(projection.weight, gain=ONE)
    stripped = _with_weight(circuit, projection, plain)
    return _scaled(stripped, replace(projection, weight=plain), gain)


def _scaled(circuit: Circuit, projection: Projection, gain: Gain) -> Circuit | None:
    """The circuit with the current of `projection` times `gain`, by no gain that was not there."""
    values = _scaled_values(circuit, projection.weight, gain)
    if values is not None:
        return values
    if _is_foldable(projection.weight):
        weight = replace(projection.weight, gain=projection.weight.gain * gain)
        return _with_weight(circuit, projection, weight)
    pre = circuit.population(projection.pre)
    if not _only_heard_by(circuit, pre, projection):
        return None
    factors = [c for c in pre.compartments if c.effect is Effect.MULTIPLIES]
    found = (_scaled_factor(circuit, pre, factor, gain) for factor in factors)
    return next((each for each in found if each is not None), None)


def _only_heard_by(circuit: Circuit, population: Population, projection: Projection) -> bool:
    """Whether scaling the argument of `population` is scaling the current of `projection`."""
    return (
        TRANSFERS[population.transfer].is_identity
        and not is_output(circuit, population.name)
        and [p.name for p in circuit.projections_from(population.name)] == [projection.name]
    )


def _scaled_factor(
    circuit: Circuit, population: Population, compartment: Compartment, gain: Gain
) -> Circuit | None:
    """The circuit with all terms of a compartment's current times `gain`."""
    result: Circuit | None = circuit
    for place in range(len(compartment.drive)):
        if result is not None:
            result = _scaled_drive(result, population, compartment, place, gain)
    for projection in circuit.projections_onto(population.name, compartment.name):
        if result is not None:
            result = _scaled(result, projection, gain)
    return result


def _scaled_drive(
    circuit: Circuit, population: Population, compartment: Compartment, place: int, gain: Gain
) -> Circuit | None:
    weight = compartment.drive[place]
    if weight.tensor is None or _is_foldable(weight):  # a constant is its gain
        scaled = replace(weight, gain=weight.gain * gain)
        return replace_drive(circuit, population.name, compartment.name, place, scaled)
    return _scaled_values(circuit, weight, gain)


def _folded_drives(
    circuit: Circuit, population: Population, compartment: Compartment
) -> Iterator[Circuit]:
    for place, weight in enumerate(compartment.drive):
        if weight.tensor and _is_foldable(weight):
            plain = replace(weight, gain=ONE)
            stripped = replace_drive(circuit, population.name, compartment.name, place, plain)
            yield from _one(_scaled_values(stripped, plain, weight.gain))


def _scaled_values(circuit: Circuit, weight: Weight, gain: Gain) -> Circuit | None:
    """The circuit with the numbers of a weight's tensor times `gain`; None if others read them."""
    factor = number_of(circuit, gain)
    if weight.tensor is None or factor is None or not is_read_once(circuit, weight.tensor.name):
        return None
    values = values_of(circuit, weight.tensor.name)
    if values is None:
        return None
    scaled = _times(values, factor)
    if not np.isfinite(scaled).all():
        return None
    return with_values(circuit, {weight.tensor.name: scaled})


def _times(values: np.ndarray, factor: float) -> np.ndarray:
    """`values · factor`, in their own type only if that loses nothing."""
    with np.errstate(over="ignore", under="ignore"):  # seen below, and by the caller
        product = values.astype(np.float64) * factor
        rounded = product.astype(values.dtype)
    return rounded if np.array_equal(rounded.astype(np.float64), product) else product


# ---- chains --------------------------------------------------------------------------------------


def _joined(circuit: Circuit, relay: Population) -> Circuit | None:
    """The circuit without `relay`, its listeners fed by what feeds it; None unless synapses fall."""
    entry = None if relay.cell_class.inhibitory else _lone_entry(circuit, relay)
    leaves = circuit.projections_from(relay.name)
    if entry is None or not _is_one_to_one(circuit, entry):
        return None
    direct = {leaf.name: _direct(circuit, entry, leaf) for leaf in leaves}
    candidate = replace_projections(replace_population(circuit, relay.name), [entry], [])
    candidate = map_projections(candidate, lambda p: direct.get(p.name, p))
    fits = all(_is_countable(candidate, projection) for projection in direct.values())
    return candidate if fits and _synapses(candidate) < _synapses(circuit) else None


def _lone_entry(circuit: Circuit, relay: Population) -> Projection | None:
    """The projection whose current is the rate of `relay`, if there is one."""
    hears = circuit.projections_onto(relay.name)
    effects = [c.effect for c in relay.compartments if not c.drive]
    adds = TRANSFERS[relay.transfer].is_identity and not is_output(circuit, relay.name)
    alone = len(hears) == len(relay.compartments) == 1 and effects == [Effect.MULTIPLIES]
    return hears[0] if adds and alone else None


def _is_one_to_one(circuit: Circuit, entry: Projection) -> bool:
    """Whether each neuron hears one neuron, all with the same constant weight."""
    pre, post = circuit.heard(entry), circuit.population(entry.post)
    return entry.weight.tensor is None and set(pre.axes) == set(post.axes)


def _direct(circuit: Circuit, entry: Projection, leaf: Projection) -> Projection:
    names = circuit.read_as(leaf)
    pre, post = circuit.heard(entry), circuit.population(leaf.post)
    at = tuple(names[axis] for axis in pre.axes)
    own = rename(conjunction(circuit.population(leaf.pre).domain, entry.domain), names)
    bounds, known = (
        conjunction(own, leaf.domain),
        conjunction(rename(pre.domain, names), post.domain),
    )
    domain: Domain = tuple(bound for bound in bounds if not implies(known, bound))
    weight = replace(leaf.weight, gain=entry.weight.gain * leaf.weight.gain)
    direct = replace(leaf, pre=entry.pre, weight=weight, domain=domain, at=at)
    return direct.plain(circuit.population(entry.pre))


def _is_countable(circuit: Circuit, projection: Projection) -> bool:
    """Whether bounds tie at most two axes of its synapses together, as circuits require."""
    axes, domain = circuit.synapse_axes(projection), circuit.synapse_domain(projection)
    return all(len(group) <= 2 for group in coupled_axes(domain, axes))


def _synapses(circuit: Circuit) -> int:
    return int(nominal(circuit).counts().synapses)


# ---- edits ---------------------------------------------------------------------------------------


def _with_weight(circuit: Circuit, projection: Projection, weight: Weight) -> Circuit:
    return replace_projections(circuit, [projection], [replace(projection, weight=weight)])
