"""Validation of passes: each step of a compilation proved to keep what the circuit computes.

A step is validated on the very circuits that it had and made, by its small stages. Numbers that a
pass used enter as facts, each checked on the arrays; for everything else any numbers will do.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cortico.ir import Axis, Circuit, Parameter, PassError, TensorRef
from cortico.ir.analysis.inputs import infinite_weights
from cortico.ir.rewrite import rename
from cortico.passes import Pass, Step, interface_change, named_apart, seen_change
from cortico.verify.equations.language import Equations
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.sorts import ExtentError, unified
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import Outcome, compare_matched
from cortico.verify.steps.axis_facts import variants
from cortico.verify.steps.discovery import (
    find_facts,
    named_constants,
    nonnegative,
    stem,
    tied,
    without_unit_gains,
)
from cortico.verify.steps.facts import Constant, Fact, Pair, Scaled, Summed, known_by
from cortico.verify.steps.folded import folded
from cortico.verify.steps.output_bound import output_bound
from cortico.verify.steps.solve import solved

#: Facts about the circuits before and after; the equations are those before.
MoreFacts = Callable[[Equations, Circuit, Circuit], Iterable[Fact]]


@dataclass(frozen=True)
class Stage:
    """One small step of a pass: the circuit after it, and the facts under which nothing changed.

    `bound` says how far the rounding of these facts moves the outputs at most, see `output_bound`.
    """

    after: Circuit
    facts: tuple[Fact, ...]
    outcomes: tuple[Outcome, ...]
    bound: float = 0.0

    @property
    def proved(self) -> bool:
        return all(each.verdict is Known.PROVED for each in self.outcomes)


@dataclass(frozen=True)
class StepProof:
    """What is known of one pass that ran."""

    name: str
    verdict: Known
    reason: str
    stages: tuple[Stage, ...]
    seconds: float
    moved: float = (
        0.0  #: by rounded numbers: outputs on random inputs, beside the largest of their feature
    )

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts of all stages."""
        return tuple(fact for stage in self.stages for fact in stage.facts)

    @property
    def rounding(self) -> float:
        """The largest absolute error by which any number misses a fact."""
        return max((fact.error for fact in self.facts), default=0.0)

    @property
    def bound(self) -> float:
        """How far rounding moves the outputs at most, see `output_bound`."""
        return sum(stage.bound for stage in self.stages)


def prove_step(each: Pass, before: Circuit, after: Circuit) -> StepProof:
    """Prove that `after`, which a pass made of `before`, gives the same outputs.

    The last stage ends at `after` itself, as the pass manager names its parameters.
    """
    start = time.perf_counter()
    stages: list[Stage] = []
    current = before
    for circuit in (*list(_named_stages(each, before))[:-1], after):
        stage = prove_stage(current, circuit)
        stages.append(stage)
        current = circuit
    return judged(str(each), before, after, stages, start)


def prove_part(name: str, before: Circuit, after: Circuit) -> StepProof:
    """The same of a part of a network, which a pass across wires changed in one step."""
    start = time.perf_counter()
    return judged(name, before, after, [prove_stage(before, after, folded)], start)


def judged(
    name: str, before: Circuit, after: Circuit, stages: list[Stage], start: float
) -> StepProof:
    """What is known of a step by its stages; where these do not settle it, by running both circuits."""
    failed = [o for stage in stages for o in stage.outcomes if o.verdict is not Known.PROVED]
    rounded = any(fact.error for stage in stages for fact in stage.facts)
    verdict, reason, moved = Known.PROVED, "normal forms are equal", 0.0
    if rounded or failed:  # a proof up to rounding is none where rounding moves the output
        change = seen_change(before, after)
        if change.words is not None:
            verdict, reason = Known.REFUTED, change.words
        elif failed:
            verdict, reason = failed[0].verdict, failed[0].reason
        moved = 0.0 if failed else change.moved
    return StepProof(name, verdict, reason, tuple(stages), time.perf_counter() - start, moved)


def _named_stages(each: Pass, before: Circuit) -> Iterator[Circuit]:
    """The stages of a pass, with another name wherever a parameter's numbers change."""
    known = {p.name: p for p in before.parameters}
    for circuit in each.stages(before):
        names: dict[str, str] = {}
        for parameter in circuit.parameters:
            aliases = (a for a in known if stem(a) == stem(parameter.name))
            same = (a for a in aliases if known[a] == replace(parameter, name=a))
            alias = next(same, None) or _unused(parameter.name, known)
            names[parameter.name] = alias
            known.setdefault(alias, replace(parameter, name=alias))
        yield rename(circuit, tensors=names)


def _unused(name: str, known: Mapping[str, Parameter]) -> str:
    """`name`, or `name_stage1` and so on."""
    numbered = (f"{stem(name)}_stage{k}" for k in itertools.count(1))
    return next(n for n in itertools.chain([name], numbered) if n not in known)


def prove_stage(before: Circuit, after: Circuit, more: MoreFacts = lambda *sides: ()) -> Stage:
    """Prove one small step under the facts that its arrays tell, and `more` of them.

    A parameter of both circuits is the same tensor only if it has the same numbers. Inputs and outputs
    must be the same: nothing is proved of two circuits that are used in different ways.
    """
    changed = interface_change(before, after) or next(
        itertools.chain(infinite_weights(before), infinite_weights(after)), None
    )
    if changed is not None:
        return Stage(after, (), (undecided(changed),))
    apart = named_apart(before, after)
    stage = _stage(before, apart, [], more)
    if not stage.proved:
        plain, units = without_unit_gains(before)
        if units:
            stage = _stage(plain, without_unit_gains(apart)[0], units, more)
    return replace(stage, after=after, bound=_bound(apart, stage.facts))


def _bound(circuit: Circuit, facts: Sequence[Fact]) -> float:
    """How far the errors of facts about the numbers of a circuit move its outputs at most."""
    tensors: dict[str, float] = {}
    gains: dict[float, float] = {}
    for fact in facts:
        match fact:
            case Scaled(error, new):
                tensors[new] = error
            case Summed(error, TensorRef(new)):
                tensors[new] = error
            case Constant(error, value):
                gains[value] = error
    rounded = any(tensors.values()) or any(gains.values())
    return output_bound(circuit, tensors, gains) if rounded else 0.0


def _stage(before: Circuit, after: Circuit, units: list[Fact], more: MoreFacts) -> Stage:
    found = [*units, *named_constants(before, after), *find_facts(before, after)]
    same = {axis.name for axis in before.axes if _same_size(axis, after)}
    try:
        pair = unified(circuit_equations(before), circuit_equations(after), same)
    except ExtentError as error:
        return Stage(after, (), (undecided(str(error)),))
    found += more(pair[0], before, after)
    ties = tied(before)
    for facts in (
        *variants(found),
        (*found, *nonnegative(before)),
        *[(*ties, *found)] * bool(ties),
    ):
        outcomes = _compared(pair, facts)
        if all(each.verdict is Known.PROVED for each in outcomes):
            return Stage(after, facts, tuple(outcomes))
    facts = (*found, *_solved(pair, found, before, after))
    return Stage(after, facts, tuple(_compared(pair, facts)))


def _solved(pair: Pair, found: Sequence[Fact], before: Circuit, after: Circuit) -> tuple[Fact, ...]:
    """What must hold of the arrays besides, and does."""
    try:
        return tuple(solved(*_applied(pair, found), before, after))
    except ExtentError:
        return ()


def _applied(pair: Pair, facts: Sequence[Fact]) -> Pair:
    """Both systems with all facts used, one after another. ExtentError when one does not fit."""
    for fact in facts:
        pair = unified(*fact.apply(*pair), again=True)
    return pair


def _compared(pair: Pair, facts: Sequence[Fact]) -> list[Outcome]:
    try:
        # stored numbers are not any numbers: what refutes a step are its own circuits, when they run
        return compare_matched(*_applied(pair, facts), known_by(facts), refute=False)
    except ExtentError as error:
        return [undecided(str(error))]


def undecided(reason: str) -> Outcome:
    """What is said of all outputs of circuits that cannot be compared."""
    return Outcome("", Known.UNDECIDED, reason, 0.0)


def _same_size(axis: Axis, circuit: Circuit) -> bool:
    """Whether a circuit has an axis of the same name and extent."""
    return any((a.name, a.extent) == (axis.name, axis.extent) for a in circuit.axes)


def prove_steps(
    passes: Sequence[Pass], steps: Sequence[Step], progress: Callable[[str], None]
) -> list[StepProof]:
    """A proof for each step of an exact pass that changed the circuit.

    PassError when one is refuted: the pass is at fault.
    """
    by_name = {str(each): each for each in passes}
    proofs: list[StepProof] = []
    for step in steps:
        each = by_name[step.name]
        if step.changed and each.exact:
            progress(f"proving {step.name}")
            proof = prove_step(each, step.before, step.after)
            if proof.verdict is Known.REFUTED:
                raise PassError(f"pass {step.name} changed the circuit's output: {proof.reason}")
            proofs.append(proof)
    return proofs
