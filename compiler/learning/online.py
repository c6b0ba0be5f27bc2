"""Learning on-line: a Brian2 script in which the synapses change while the network runs.

`online` says of each set of synapses that reads a learned tensor what it changes by. A rule's own synapses
multiply the rate that they bring with the error of the compartment that they end on; synapses backwards
bring the error, and multiply it with the rate of the cell that their error neuron serves; copies of a
compartment multiply with the error of the original. So every reader of a tensor sees the same product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from cortico.backends.brian2.plastic_emitter import emit_plastic_script
from cortico.backends.brian2.plasticity import Plasticity, PlasticTensor, Reading
from cortico.ir import (
    Axis,
    Circuit,
    Compartment,
    Output,
    Population,
    Projection,
    Role,
    SpecError,
    TensorRef,
    UnsupportedError,
    Weight,
    check,
)
from cortico.ir.axes import Unfold
from cortico.ir.errors import bullet_list
from cortico.ir.rewrite import map_drives, map_populations
from cortico.learning.feedback import draw_feedback
from cortico.learning.rules import Learning, Rule, Term, learned_tensor

#: The axis along which examples are presented, and its size, the number of samples.
_SAMPLE, _SAMPLES = "sample", "samples"


def emit_online(learning: Learning, file: str = "learn_brian2.py") -> str:
    """The text of a standalone script, called `file`, that trains the circuit on examples.

    UnsupportedError for circuits with axes in time, whose rules would need traces.
    """
    problems = list(_unsupported(learning))
    if problems:
        name = learning.circuit.name
        raise UnsupportedError(f"circuit {name!r} cannot learn in brian2:{bullet_list(problems)}")
    plasticity = Plasticity(tuple(_tensors(learning)), learning.output_error, _SAMPLE)
    circuit = _without_biases(presented(learning.circuit), learning)
    return emit_plastic_script(circuit, plasticity, file)


def starting_weights(
    learning: Learning, weights: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, np.ndarray]:
    """Numbers for all that the script reads: `weights` by the circuit's names, drawn feedback.

    SpecError when one is missing.
    """
    stored = {p.name: p.values for p in learning.circuit.parameters if p.values is not None}
    known = {**stored, **weights}
    known = {**draw_feedback(learning, seed, like=known), **known}
    wanted = [p.name for p in learning.circuit.parameters if p.formula is None]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise SpecError(f"learning starts from weights; {', '.join(missing)} have no numbers")
    return {name: np.asarray(known[name]) for name in wanted}


def _unsupported(learning: Learning) -> Iterator[str]:
    circuit = learning.circuit
    in_time = [axis.name for axis in circuit.axes if axis.in_time]
    if in_time:
        yield (
            f"{', '.join(in_time)}: in time, as examples are; plasticity over tokens in time would need "
            "traces, which are not emitted; the mask circuit has its tokens side by side"
        )
    taken = {_SAMPLE, _SAMPLES} & {*circuit.symbols, *(axis.name for axis in circuit.axes)}
    if taken:
        yield f"the names {', '.join(sorted(taken))} are taken"


# ---- examples one after another --------------------------------------------------------------------


def presented(circuit: Circuit) -> Circuit:
    """The circuit with examples one after another: an axis in time that all populations have."""
    inputs = {tensor.name for tensor in circuit.inputs}
    result = replace(
        circuit,
        projections=tuple(map(_presented_reading, circuit.projections)),
        axes=(*circuit.axes, Axis(_SAMPLE, Role.COLUMN, _SAMPLES, Unfold.TIME)),
        inputs=tuple(replace(t, shape=(_SAMPLES, *t.shape)) for t in circuit.inputs),
        parameters=tuple(replace(p, values=None) for p in circuit.parameters),
        populations=tuple(_presented(p, inputs) for p in circuit.populations),
        outputs=tuple(_presented_output(output) for output in circuit.outputs),
    )
    check(result)
    return result


def _presented_reading(projection: Projection) -> Projection:
    return replace(projection, at=(_SAMPLE, *projection.at) if projection.at else ())


def _presented(population: Population, inputs: set[str]) -> Population:
    def drive(weight: Weight) -> Weight:
        tensor = weight.tensor
        if tensor is None or tensor.name not in inputs:
            return weight
        return replace(weight, tensor=replace(tensor, axes=(_SAMPLE, *tensor.axes)))

    return replace(map_drives(population, drive), axes=(_SAMPLE, *population.axes))


def _presented_output(output: Output) -> Output:
    return replace(output, source=replace(output.source, axes=(_SAMPLE, *output.source.axes)))


# ---- what learns -----------------------------------------------------------------------------------


def _without_biases(circuit: Circuit, learning: Learning) -> Circuit:
    """The circuit without drives that learn, which become variables of their cells."""
    learned = {rule.parameter for rule in learning.rules}

    def without(compartment: Compartment) -> Compartment:
        kept = (w for w in compartment.drive if _name(circuit, w) not in learned)
        return replace(compartment, drive=tuple(kept))

    return map_populations(
        circuit, lambda p: replace(p, compartments=tuple(map(without, p.compartments)))
    )


def _name(circuit: Circuit, weight: Weight) -> str | None:
    """The parameter that a weight is made of and that learns."""
    found = learned_tensor(circuit, weight)
    return found.name if found else None


def _tensors(learning: Learning) -> Iterator[PlasticTensor]:
    partners = _partners(learning)
    for rule in learning.rules:
        found = tuple(_readings(learning.circuit, rule, partners))
        shared = len(rule.terms) > 1 or any(r.partner is None for r in found)
        shared = shared or _has_fewer_entries(learning.circuit, rule.terms[0])
        yield PlasticTensor(rule.parameter, found, rule.decay, shared)


def _partners(learning: Learning) -> dict[tuple[str, str], str]:
    """Population and compartment to the population whose rates its plastic synapses multiply with."""
    of_cells = {(e.population, e.compartment): e.name for e in learning.errors}
    found = dict(of_cells)
    for each in learning.errors:
        found[each.name, each.hears_errors] = each.population
        for own, original in each.copies:
            if (each.population, original) in of_cells:
                found[each.name, own] = of_cells[each.population, original]
    return found


def _has_fewer_entries(circuit: Circuit, term: Term) -> bool:
    """Whether several synapses of a term have one entry of the tensor."""
    pre = term.pre_at or (circuit.population(term.pre).axes if term.pre is not None else ())
    return not {*circuit.population(term.error).axes, *pre} <= {*term.at.axes}


def _readings(
    circuit: Circuit, rule: Rule, partners: Mapping[tuple[str, str], str]
) -> Iterator[Reading]:
    """All that read a tensor; the first that has both rates of a term has the term's own synapses."""
    unseen = list(rule.terms)
    for weight, population, compartment, projection in _all_weights(circuit, rule.parameter):
        at = learned_tensor(circuit, weight)
        partner = partners.get((population, compartment))
        same = [term for term in rule.terms if _has_rates(term, at, projection, partner)]
        own = bool(same) and same[0] in unseen
        if own:
            unseen.remove(same[0])
        yield Reading(
            Weight(at, weight.gain),
            population,
            compartment,
            projection.name if projection else None,
            partner if same else None,
            same[0].weight.gain if same else weight.gain,
            own,
            None if at == weight.tensor else _distance(rule, weight),
        )
    assert not unseen, f"no synapses have the rates of {unseen}"


def _has_rates(
    term: Term, at: TensorRef | None, projection: Projection | None, partner: str | None
) -> bool:
    """Whether synapses with this partner multiply the two rates of a term, forwards or backwards."""
    pre, domain, read = (
        (projection.pre, projection.domain, projection.at) if projection else (None, (), ())
    )
    same_rates = {term.pre, term.error} == {pre, partner}
    return same_rates and (term.at, term.domain, term.pre_at) == (at, domain, read)


def _distance(rule: Rule, weight: Weight) -> TensorRef | None:
    """The distance that a bias by distance has for slopes of one, read as the bias is."""
    unit = next(term.weight.tensor for term in rule.terms if term.weight.tensor)
    return replace(unit, axes=weight.axes)


def _all_weights(
    circuit: Circuit, parameter: str
) -> Iterator[tuple[Weight, str, str, Projection | None]]:
    """Every weight made of a parameter: with the cells and compartment, and the projection or none."""
    for projection in circuit.projections:
        if _name(circuit, projection.weight) == parameter:
            yield projection.weight, projection.post, projection.compartment, projection
    for population in circuit.populations:
        for compartment in population.compartments:
            for weight in compartment.drive:
                if _name(circuit, weight) == parameter:
                    yield weight, population.name, compartment.name, None
