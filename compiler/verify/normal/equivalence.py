"""Are two systems of equations equal, for every size? Proved, refuted by numbers, or not decided."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from cortico.verify.equations.evaluate import draw, evaluate
from cortico.verify.equations.language import Equations
from cortico.verify.equations.sorts import ExtentError, all_sorts, unified
from cortico.verify.known import Known
from cortico.verify.normal.algebra import Algebra, Assumptions, TooLargeError
from cortico.verify.normal.form import NormalForm
from cortico.verify.normal.terms import TooSymmetricError

#: Numbers that differ by more than this, relative to the larger, are different.
_DIFFERENT = 1e-6

_SEEDS = range(4)

#: What is raised where no normal form is reached.
UNDECIDABLE = (TooSymmetricError, TooLargeError, RecursionError)


@dataclass(frozen=True, eq=False)
class Counterexample:
    """Sizes and numbers at which two systems differ, and one entry where they do."""

    sizes: Mapping[str, int]
    given: Mapping[str, np.ndarray]
    output: str
    index: tuple[int, ...]
    left: float
    right: float

    def __str__(self) -> str:
        sizes = ", ".join(f"{sort} = {size}" for sort, size in self.sizes.items())
        at = ", ".join(map(str, self.index))
        return f"{self.output}[{at}] is {self.left:.9g} and {self.right:.9g} at {sizes}"


@dataclass(frozen=True)
class Outcome:
    """The verdict on one output or gradient, its reason, and the seconds that it took."""

    output: str
    verdict: Known
    reason: str
    seconds: float
    terms: int = 0  #: of the common normal form
    counterexample: Counterexample | None = None


def compare(left: Equations, right: Equations, known: Assumptions | None = None) -> list[Outcome]:
    """One outcome for each output of `left`; the same names are compared.

    Equality is over the real numbers, for every size of every sort from 1 on, with x/0 = 0. Where
    something is `known` of given tensors, no counterexample is looked for: numbers would have to fit.
    """
    try:
        return compare_matched(*unified(left, right), known, refute=known is None)
    except ExtentError as error:
        return _undecided(left, str(error))


def compare_matched(
    left: Equations, right: Equations, known: Assumptions | None, refute: bool
) -> list[Outcome]:
    """The same of two systems whose sorts are `unified` already: those of one name are one.

    With `refute` numbers that tell them apart are looked for: any numbers, for all given tensors.
    """
    misfit = _misfit(left, right)
    if misfit is not None:
        return _undecided(left, misfit)
    algebra = Algebra(replace(known or Assumptions(), masks=left.masks | right.masks))
    forms = NormalForm(algebra, left), NormalForm(algebra, right)
    refute = refute and _sizes_are_tied(left, right)
    return [_outcome(output, left, right, forms, refute) for output in left.outputs]


def _undecided(left: Equations, reason: str) -> list[Outcome]:
    return [Outcome(output, Known.UNDECIDED, reason, 0.0) for output in left.outputs]


def _sizes_are_tied(left: Equations, right: Equations) -> bool:
    """Whether no size of one side might be one of the other: only then may they differ."""
    mine, theirs = set(all_sorts(left)), set(all_sorts(right))
    return not (mine - theirs and theirs - mine)


def _misfit(left: Equations, right: Equations) -> str | None:
    """Why two systems cannot be compared at all: a tensor of both of another kind or number of sides."""
    for name in left.outputs:
        if name in right.outputs:
            one, other = (len(side.definition(name).indices) for side in (left, right))
            if one != other:
                return f"output {name} has {one} indices on one side and {other} on the other"
    for name, sides in left.given.items():
        if len(right.given.get(name, sides)) != len(sides):
            return f"{name} has {len(sides)} sides on one side and {len(right.given[name])} on the other"
        if name in right.given and (name in left.masks) != (name in right.masks):
            return f"{name} is 0 or 1 on one side, and any number on the other"
    return None


def _outcome(
    output: str,
    left: Equations,
    right: Equations,
    forms: tuple[NormalForm, NormalForm],
    refute: bool,
) -> Outcome:
    start = time.perf_counter()
    if output not in right.outputs:
        return Outcome(output, Known.UNDECIDED, f"{output} is missing on one side", 0.0)
    reason, terms = "the normal forms differ, but no numbers that tell them apart are known", 0
    try:
        one, other = (form.of(output) for form in forms)
        if one == other:
            seconds = time.perf_counter() - start
            return Outcome(output, Known.PROVED, "normal forms are equal", seconds, len(one))
        terms = len(one)
    except UNDECIDABLE as error:
        reason = f"no normal form was reached: {error or type(error).__name__}"
    found = counterexample(left, right, output) if refute else None
    seconds = time.perf_counter() - start
    if found is not None:
        return Outcome(output, Known.REFUTED, str(found), seconds, terms, found)
    return Outcome(output, Known.UNDECIDED, reason, seconds, terms)


# ---- counterexamples -----------------------------------------------------------------------------


def counterexample(left: Equations, right: Equations, output: str) -> Counterexample | None:
    """Small numbers at which an output differs, at sizes that cannot be lowered one by one."""
    for sizes in _sizes(left, right):
        for seed in _SEEDS:
            found = _difference(left, right, output, sizes, seed)
            if found is not None:
                return _smallest(left, right, found)
    return None


def _sizes(left: Equations, right: Equations) -> Iterator[dict[str, int]]:
    """All sorts of size 2, then all different, then larger: one hides 1/√d, and off by two."""
    sorts = list(dict.fromkeys([*all_sorts(left), *all_sorts(right)]))
    fixed = dict.fromkeys(_components(left) | _components(right), 2)
    yield dict.fromkeys(sorts, 2) | fixed
    yield {sort: 2 + k % 3 for k, sort in enumerate(sorts)} | fixed
    yield dict.fromkeys(sorts, 6 if len(sorts) < 5 else 4) | fixed


def _components(equations: Equations) -> set[str]:
    """The sorts of the two components that a rotation turns: their size is two."""
    rotations = (name for name, f in equations.formulas.items() if f.kind == "rotation")
    return {sort for name in rotations for sort in equations.given[name][2:]}


def _smallest(left: Equations, right: Equations, found: Counterexample) -> Counterexample:
    """The counterexample with each size lowered as far as it stays one."""
    fixed = _components(left) | _components(right)
    for sort in found.sizes:
        for size in range(1, found.sizes[sort]):
            if sort in fixed:
                break
            sizes = {**found.sizes, sort: size}
            smaller = (_difference(left, right, found.output, sizes, seed) for seed in _SEEDS)
            better = next((each for each in smaller if each is not None), None)
            if better is not None:
                found = better
                break
    return found


def _difference(
    left: Equations, right: Equations, output: str, sizes: Mapping[str, int], seed: int
) -> Counterexample | None:
    given = draw((left, right), sizes, seed)
    try:
        with np.errstate(all="raise"):  # what no float holds tells nothing apart
            one, other = (evaluate(each, sizes, given)[output] for each in (left, right))
    except FloatingPointError:
        return None
    if one.shape != other.shape:
        return None
    scale = max(1.0, float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))
    apart = np.abs(one - other)
    if not apart.size or apart.max() <= _DIFFERENT * scale:
        return None
    index = tuple(map(int, np.unravel_index(int(apart.argmax()), apart.shape)))
    values = float(one[index]), float(other[index])
    return Counterexample(dict(sizes), given, output, index, *values)
