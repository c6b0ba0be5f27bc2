"""prune-dead: neurons and synapses without effect go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from cortico.ir import Circuit, Compartment, Gain, Population, Projection, Weight
from cortico.ir.analysis.zeros import is_zero, keeps_zero
from cortico.ir.rewrite import leading_to, map_populations, without_unused_tensors
from cortico.passes.base import Pass, last
from cortico.passes.dead_indices import without_dead_indices

#: The drive of a compartment that is left with nothing else.
NOTHING = Weight(gain=Gain(0.0))


@dataclass(frozen=True)
class PruneDead(Pass):
    """Remove what reaches no output, and what is exactly zero, down to single heads and features.

        Σ_k w_k r_k = Σ_{k: w_k ≠ 0, r_k ≠ 0} w_k r_k

    A projection or drive whose numbers are all zero goes. A population with a compartment that is
    left with nothing has the argument zero; it goes if its transfer maps zero to zero, while an
    exponential one stays and fires φ(0): a zero gain is not a zero input. An index of a head or
    feature axis goes when, at it, every weight that leaves the axis or the rate it weighs is zero
    (W_O[h] = 0, or W_V[h] = 0 and b_V[h] = 0). Scales such as 1/√d keep their value. Symbolic
    parameters are never zero; axes of inputs and outputs never shrink.
    """

    name = "prune-dead"
    in_time = True

    def run(self, circuit: Circuit) -> Circuit:
        return last(circuit, self.stages(circuit))

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        """Zeros and the unheard go in one step, each axis is cut in one of its own."""
        changed = True
        while changed:
            changed = False
            for smaller in (without_effectless, *_cuts(circuit)):
                result = smaller(circuit)
                if result is not circuit:
                    yield result
                    circuit, changed = result, True


def without_effectless(circuit: Circuit) -> Circuit:
    """The circuit without zeros, and without what reaches no output."""
    return without_unused_tensors(_without_unheard(_without_zeros(circuit)))


def _cuts(circuit: Circuit) -> list[Callable[[Circuit], Circuit]]:
    """One rewrite per axis: the circuit without the dead indices of that axis."""
    return [partial(without_dead_indices, axis=axis.name) for axis in circuit.axes]


def _without_zeros(circuit: Circuit) -> Circuit:
    """The circuit without terms that are exactly zero, and with silent compartments alone in theirs."""
    silent = silent_populations(circuit)
    result = map_populations(circuit, lambda p: _pruned(circuit, p, silent))
    gone = {p.name for p in circuit.projections if _is_gone(circuit, p, silent)}
    if not gone and result.populations == circuit.populations:
        return circuit
    kept = tuple(p for p in circuit.projections if p.name not in gone)
    return replace(result, projections=kept)


def silent_populations(circuit: Circuit) -> frozenset[str]:
    """Populations that never fire: an argument of zero under a transfer that keeps zero."""
    silent: frozenset[str] = frozenset()
    for population in circuit.order_in_time:
        if keeps_zero(population) and _zero_compartment(circuit, population, silent):
            silent |= {population.name}
    return silent


def _zero_compartment(
    circuit: Circuit, population: Population, silent: frozenset[str]
) -> Compartment | None:
    """A compartment without current, which makes the argument zero (division by zero does, too)."""
    for compartment in population.compartments:
        hears = circuit.projections_onto(population.name, compartment.name)
        drives = all(is_zero(circuit, weight) for weight in compartment.drive)
        if drives and all(_is_zero_term(circuit, projection, silent) for projection in hears):
            return compartment
    return None


def _is_zero_term(circuit: Circuit, projection: Projection, silent: frozenset[str]) -> bool:
    return projection.pre in silent or is_zero(circuit, projection.weight)


def _is_gone(circuit: Circuit, projection: Projection, silent: frozenset[str]) -> bool:
    """Whether a projection carries nothing, or ends on a neuron whose argument is zero anyway."""
    post = circuit.population(projection.post)
    silenced = _zero_compartment(circuit, post, silent) is not None
    return silenced or _is_zero_term(circuit, projection, silent)


def _pruned(circuit: Circuit, population: Population, silent: frozenset[str]) -> Population:
    """The population without zero drives; with its zero compartment only, if it has one."""
    zero = _zero_compartment(circuit, population, silent)
    if zero is not None:
        return replace(population, compartments=(replace(zero, drive=(NOTHING,)),))
    parts = (
        replace(c, drive=tuple(w for w in c.drive if not is_zero(circuit, w)))
        for c in population.compartments
    )
    return replace(population, compartments=tuple(parts))


def _without_unheard(circuit: Circuit) -> Circuit:
    """The circuit without populations that reach no output, and without their projections."""
    heard = set(leading_to(circuit, (output.source.name for output in circuit.outputs)))
    if len(heard) == len(circuit.populations):
        return circuit
    return replace(
        circuit,
        populations=tuple(p for p in circuit.populations if p.name in heard),
        projections=tuple(p for p in circuit.projections if {p.pre, p.post} <= heard),
    )
