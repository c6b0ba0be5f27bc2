"""What numbers say of a verdict: the oracle and the interpreter at several sizes, not the prover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

import numpy as np

from cortico.ir import Circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.verify.equations.closed_forms import closed_forms
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.language import Equations, Number
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.equations.sorts import all_sorts, unified
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import Outcome, compare
from tests.verify.numbers import circuit_numbers, matched_sizes, textbook_numbers
from tests.verify.rewrites import rewritten, rewritten_equations

DIFFERENT = 1e-6


@dataclass(frozen=True)
class Judgement:
    """A verdict, whether numbers differ anywhere, and where first. None: no finite numbers."""

    outcome: Outcome
    differs: bool | None
    where: str

    @property
    def is_lie(self) -> bool:
        """Proved though numbers differ, or refuted by numbers that no other route gives."""
        verdict = self.outcome.verdict
        if verdict is Known.REFUTED:
            return self.differs is not True
        return verdict is Known.PROVED and self.differs is True


def judge(random: Random, spec: AttentionSpec, circuit: Circuit) -> Judgement:
    """The prover's verdict on a circuit of a spec, and what the numbers say."""
    (outcome,) = compare(reference(spec), circuit_equations(circuit))
    if outcome.verdict is Known.REFUTED:
        return Judgement(outcome, *_again(spec, circuit, outcome))
    finite = False
    for sizes in _some_sizes(random, spec, circuit):
        for _ in range(2):
            given = _draw(random, spec, circuit, sizes)
            apart = _difference(spec, circuit, sizes, given)
            finite |= apart is not None
            if apart is not None and apart > DIFFERENT:
                return Judgement(outcome, True, f"{apart:.3g} at {sizes}")
    return Judgement(outcome, False if finite else None, "")


def _again(spec: AttentionSpec, circuit: Circuit, outcome: Outcome) -> tuple[bool, str]:
    """Whether the counterexample is one for the oracle and the interpreter, too."""
    shown = outcome.counterexample
    sizes, axes = matched_sizes(spec, circuit, shown.sizes)
    with np.errstate(all="ignore"):
        one = textbook_numbers(spec, sizes, shown.given)[shown.index]
        other = circuit_numbers(circuit, axes, shown.given)[shown.index]
    scale = max(1.0, abs(shown.left), abs(shown.right))
    same = abs(one - shown.left) <= 1e-9 * scale and abs(other - shown.right) <= 1e-9 * scale
    return bool(same and abs(one - other) > DIFFERENT), f"{one} and {other}: {outcome.reason}"


def _some_sizes(random: Random, spec: AttentionSpec, circuit: Circuit) -> list[dict[str, int]]:
    """Sizes of matched sorts: all different, random ones, one token."""
    pair = unified(reference(spec), circuit_equations(circuit))
    sorts = list(dict.fromkeys([*all_sorts(pair[0]), *all_sorts(pair[1])]))
    rotations = [name for name, f in pair[0].formulas.items() if f.kind == "rotation"]
    fixed = {sort: 2 for name in rotations for sort in pair[0].given[name][2:]}
    different = {s: 2 + k for k, s in enumerate(random.sample(sorts, len(sorts)))}
    different = {s: n if n < 6 else 1 + n % 3 for s, n in different.items()}
    some = {s: random.randrange(1, 4) for s in sorts}
    single = {s: 1 if "token" in s else 2 for s in sorts}
    return [{**each, **fixed} for each in (different, some, single)]


def _draw(
    random: Random, spec: AttentionSpec, circuit: Circuit, sizes: dict[str, int]
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(random.randrange(2**32))
    pair = unified(reference(spec), circuit_equations(circuit))
    given = {}
    for system in pair:
        for name, sides in system.given.items():
            if name in system.formulas:
                continue
            shape = tuple(sizes[s] for s in sides)
            if name == "keep":
                given.setdefault(name, (rng.random(shape) < 0.6).astype(float))
            given.setdefault(name, rng.standard_normal(shape) * 0.7)
    return given


def _difference(
    spec: AttentionSpec, circuit: Circuit, sizes: dict[str, int], given: dict[str, np.ndarray]
) -> float | None:
    by_sort, axes = matched_sizes(spec, circuit, sizes)
    with np.errstate(all="ignore"):
        one = textbook_numbers(spec, by_sort, given)
        other = circuit_numbers(circuit, axes, given)
    if one.shape != other.shape:
        return float("inf")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return None
    scale = max(1.0, float(np.abs(one).max()), float(np.abs(other).max()))
    return float(np.abs(one - other).max()) / scale


# ---- equal systems -------------------------------------------------------------------------------


def equal_pair(random: Random, spec: AttentionSpec) -> tuple[Equations, Equations]:
    """Two systems that are equal: the textbook, or its gradients, and the same said otherwise."""
    kind = random.randrange(4)
    if kind == 0:
        return reference(spec), circuit_equations(rewritten(random, lower(spec)))
    if kind == 1:
        return gradient_pair(spec, rewritten(random, lower(spec)))
    if kind == 2:
        other = random.choice([reference(spec), circuit_equations(lower(spec))])
        return reference(spec), rewritten_equations(random, other)
    forms = closed_forms(spec)
    return forms, rewritten_equations(random, forms)


def gradient_pair(spec: AttentionSpec, circuit: Circuit) -> tuple[Equations, Equations]:
    """The closed forms, and the gradients of a circuit; 0 for what it does not read."""
    forms, equations = closed_forms(spec), circuit_equations(circuit)
    wanted = [name.removeprefix("d.") for name in forms.outputs]
    found = gradients(equations, [name for name in wanted if name in equations.given])
    zeros = tuple(
        replace(forms.definition(f"d.{name}"), body=Number(Fraction(0)))
        for name in wanted
        if name not in equations.given
    )
    definitions, outputs = (*found.definitions, *zeros), tuple(f"d.{name}" for name in wanted)
    return forms, replace(found, definitions=definitions, outputs=outputs)
