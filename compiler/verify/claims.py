"""Claims about one compilation, each with the word for what is known of it and how.

`verify_compilation` makes them all: the lowered circuit is attention, or another block; its gradients are that
block's, every pass kept its outputs, the compiled circuit with the numbers that it stores is it by the spec's
weights, what is written is the compiled circuit. What the prover says is said again by checkers that share
nothing with it; where two of them disagree, cortico is at fault and says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortico.backends import Backend
from cortico.ir import Circuit, PassError, UnsupportedError
from cortico.ir.analysis.rest import at_rest
from cortico.passes import Pass, Step
from cortico.spec.weights import Weights
from cortico.spec.wiring import Block
from cortico.verify import independent
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import Outcome, compare
from cortico.verify.resting import rest_claims
from cortico.verify.steps.output_bound import TOKENS
from cortico.verify.steps.validation import StepProof, prove_steps


@dataclass(frozen=True)
class Claim:
    """A claim, how well it is known, what it rests on, and what to look at."""

    claim: str
    verdict: Known
    detail: str  #: sizes, error bounds, tolerances, or the reason
    given: tuple[str, ...] = ()  #: facts about numbers on which it rests, checked on the arrays
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """The same as JSON has it, without the time: that is another at every run."""
        return {
            "claim": self.claim,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "given": list(self.given),
        }


class Claims:
    """Claims that are made together."""

    claims: tuple[Claim, ...]

    @property
    def holds(self) -> bool:
        """Whether no claim is refuted or left open."""
        return all(c.verdict not in (Known.REFUTED, Known.UNDECIDED) for c in self.claims)

    @property
    def verdict(self) -> str:
        """Whether all holds, in words that do not hide what was not run."""
        left_out = sum(c.verdict is Known.SKIPPED for c in self.claims)
        if not self.holds:
            return "NOT every claim holds"
        if left_out:
            return f"every claim that was run holds; {left_out} not run"
        return "every claim holds"


@dataclass(frozen=True)
class Verification(Claims):
    """All claims about a compilation, the proofs of its passes, and the backend that wrote it, if any did."""

    spec: Block
    lowered: Circuit
    circuit: Circuit
    claims: tuple[Claim, ...]
    steps: tuple[StepProof, ...] = field(default=(), repr=False)
    target: Backend | None = field(default=None, repr=False)


def verify_compilation(
    spec: Block,
    weights: Weights | None,
    lowered: Circuit,
    passes: Sequence[Pass],
    steps: Sequence[Step],
    target: Backend | None = None,
    files: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Verification:
    """Every claim about a compilation of `spec`, `lowered` with `weights` and taken through `steps`.

    `target` wrote `files` of what came out.

    PassError when a pass is refuted, or when two checkers disagree.
    """
    circuit = steps[-1].after if steps else lowered
    progress(f"proving that the circuit is {independent.called(spec)}")
    claims = [
        Claim(claim, known, detail, (), s) for claim, known, detail, s in rest_claims(circuit)
    ]
    claims += [_forward(spec, lowered), _layout(spec, weights, lowered)]
    progress("proving its gradients")
    claims.append(_gradients(spec, lowered))
    proofs = prove_steps(passes, steps, progress)
    claims += map(step_claim, proofs)
    approximations = list(approximations_of(passes, steps))
    claims += map(approximate_claim, approximations)
    errors = [step.error for step in approximations]
    change = None if None in errors else float(sum(error or 0.0 for error in errors))
    subject = independent.Subject(
        spec, weights, at_rest(lowered), at_rest(circuit), change, target, files or {}, circuit
    )
    for name, check in independent.checks(subject).items():
        progress(name)
        claims.append(_independent(name, check, subject))
    _require_agreement(claims)
    return Verification(spec, lowered, circuit, tuple(claims), tuple(proofs), target)


# ---- proofs --------------------------------------------------------------------------------------


def _forward(spec: Block, lowered: Circuit) -> Claim:
    start = time.perf_counter()
    (outcome,) = compare(reference(spec), circuit_equations(lowered))
    claim = f"the lowered circuit computes {independent.called(spec)}"
    return proved(claim, [outcome], time.perf_counter() - start)


def _gradients(spec: Block, lowered: Circuit) -> Claim:
    """One claim for all parameters and inputs."""
    start = time.perf_counter()
    wanted = trained(spec)
    outcomes = compare(closed_forms(spec), gradients(circuit_equations(lowered), wanted))
    claim = f"the lowered circuit's gradients by {', '.join(wanted)} are the closed forms"
    return proved(claim, outcomes, time.perf_counter() - start)


def proved(claim: str, outcomes: list[Outcome], seconds: float) -> Claim:
    """A claim that holds when all outcomes are proofs."""
    worst = next((o for o in outcomes if o.verdict is Known.REFUTED), None)
    worst = worst or next((o for o in outcomes if o.verdict is not Known.PROVED), None)
    if worst is not None:
        return Claim(claim, worst.verdict, worst.reason, seconds=seconds)
    terms = sum(outcome.terms for outcome in outcomes)
    return Claim(claim, Known.PROVED, f"equal normal forms, {terms} terms", seconds=seconds)


def _layout(spec: Block, weights: Weights | None, lowered: Circuit) -> Claim:
    start = time.perf_counter()
    problem = independent.misplaced(spec, weights, lowered)
    claim = "every number of the spec's tensors stands where the lowered circuit reads it"
    known = Known.CHECKED if problem is None else Known.REFUTED
    seconds = time.perf_counter() - start
    return Claim(claim, known, problem or "all entries, at these sizes", seconds=seconds)


def step_claim(proof: StepProof, of: str = "") -> Claim:
    """What is known of one pass that ran; `of` says on which blocks of a network."""
    detail = proof.reason
    if proof.rounding:
        detail += f"; {_rounding(proof)}"
    given = tuple(dict.fromkeys(str(fact) for fact in proof.facts))
    claim = f"{proof.name} keeps the output" + (f" of {of}" if of else "")
    return Claim(claim, proof.verdict, detail, given, proof.seconds)


def _rounding(proof: StepProof) -> str:
    """What rounded numbers do to the outputs, in words."""
    bound = "no bound is known of that"
    if math.isfinite(proof.bound):
        bound = (
            f"at most {proof.bound:.1e} for inputs up to one and {TOKENS} tokens (absolute bound)"
        )
    return (
        f"stored numbers miss these facts by at most {proof.rounding:.1e} each (absolute bound), which moves "
        f"outputs: {bound}; {proof.moved:.1e} on random inputs (relative, measured)"
    )


def approximations_of(passes: Sequence[Pass], steps: Sequence[Step]) -> Iterator[Step]:
    """The steps in which a pass that keeps the output only nearly has changed something."""
    approximate = {str(each) for each in passes if not each.exact}
    return (step for step in steps if step.changed and step.name in approximate)


def approximate_claim(step: Step, of: str = "") -> Claim:
    """An approximate pass changes the output, and is only measured; `of` says on which blocks of a network."""
    error = "not measured" if step.error is None else f"{step.error:.1e} of the largest output"
    claim = f"{step.name} changes the output{f' of {of}' if of else ''} by {error}"
    return Claim(claim, Known.COMPARED, "on random inputs; an approximate pass")


# ---- independent checkers ------------------------------------------------------------------------


def _independent(name: str, check: independent.Check, subject: independent.Subject) -> Claim:
    start = time.perf_counter()
    try:
        found = check(subject)
    except (UnsupportedError, ImportError) as error:
        return Claim(name, Known.SKIPPED, str(error).splitlines()[0])
    known = found.known if found.holds else Known.REFUTED.value
    return Claim(name, Known(known), found.detail, seconds=time.perf_counter() - start)


def _require_agreement(claims: list[Claim]) -> None:
    """PassError when one checker refutes what another proved."""
    proved = [c for c in claims if c.verdict is Known.PROVED]
    refuted = [c for c in claims if c.verdict is Known.REFUTED]
    if proved and refuted:
        found = "; ".join(f"{c.claim}: {c.detail}" for c in refuted)
        raise PassError(
            f"two checkers disagree, which is a bug of cortico. Proved: {proved[0].claim}. "
            f"Refuted: {found}"
        )
