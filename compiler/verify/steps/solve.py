"""Solving for a tensor: what a new bias must be so that two systems are equal.

If the outputs before and after differ by `rest - N[m]`, and `rest` is a sum of products of stored
tensors over m alone, then they are equal exactly when `N[m] = rest`. That is checked on the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, TensorRef
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.language import (
    Add,
    Definition,
    Equations,
    Expression,
    Index,
    Number,
    Read,
    Size,
    Sum,
    children,
    fresh_index,
    product,
    total,
)
from cortico.verify.equations.sorts import all_sorts, sizes_of
from cortico.verify.equations.substitute import rewritten
from cortico.verify.normal.algebra import Algebra, Assumptions
from cortico.verify.normal.equivalence import UNDECIDABLE
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var, bound_var
from cortico.verify.steps.discovery import stored
from cortico.verify.steps.exact_sums import ExactTerm, vanishes
from cortico.verify.steps.facts import Contraction, Fact, Summed, Vanishing
from cortico.verify.steps.gains import ExactGain


def solved(left: Equations, right: Equations, before: Circuit, after: Circuit) -> Iterator[Fact]:
    """What must hold of stored tensors so that the outputs are equal, where the arrays fit it.

    The definition of each tensor that only `right` reads, or a sum that must vanish.
    """
    arrays = stored(after)
    unknown = [n for n in arrays if n in right.given and n not in left.given]
    algebra = Algebra(Assumptions(left.masks | right.masks))
    forms = NormalForm(algebra, left), NormalForm(algebra, right)
    for output in left.outputs:
        try:
            minus = algebra.scale(forms[1].of(output), Fraction(-1))
            difference = algebra.add(forms[0].of(output), minus)
        except UNDECIDABLE:
            continue
        solutions = (_isolated(algebra, difference, name) for name in unknown)
        facts = [_fact(algebra, left, s, stored(before), arrays[s.tensor]) for s in solutions if s]
        yield from (fact for fact in facts if fact is not None)
        if difference and not unknown:
            yield from _vanishing(algebra, left, output, difference, stored(before))


def _vanishing(
    algebra: Algebra,
    left: Equations,
    output: str,
    rest: Polynomial,
    arrays: Mapping[str, np.ndarray],
) -> Iterator[Vanishing]:
    """That `rest`, a sum of contractions of stored tensors, is zero; if it is, without any rounding."""
    indices = tuple(formal(v, k) for k, v in enumerate(left.definition(output).indices))
    found = _contractions(algebra, left, indices, rest, arrays)
    if found is not None and vanishes(_exact_terms(algebra, rest, indices), arrays, left):
        ref = TensorRef(output, tuple(v.name for v in found.indices))
        yield Vanishing(0.0, ref, found.terms, found.body)


def _exact_terms(
    algebra: Algebra, rest: Polynomial, indices: tuple[Var, ...]
) -> Iterator[ExactTerm]:
    """The terms of a polynomial as contractions over numbered indices, the output's first."""
    for term, coefficient in rest.items():
        letters = {v: k for k, v in enumerate(indices)}
        letters.update((bound_var(s, k), len(indices) + k) for k, s in enumerate(term.bound))
        reads = [
            (str(algebra.heads[f.head].label), tuple(letters[v] for v in f.indices))
            for f in term.factors
            for _ in range(int(f.power))
        ]
        yield ExactTerm(coefficient, term.sizes, tuple(reads), len(indices))


class _Isolated(NamedTuple):
    """`tensor[indices] = rest`."""

    tensor: str
    indices: tuple[Var, ...]
    rest: Polynomial


def _isolated(algebra: Algebra, difference: Polynomial, name: str) -> _Isolated | None:
    """The equation `difference = 0` solved for a tensor; None unless it stands there alone once."""
    holding = [
        term
        for term in difference
        if any(algebra.heads[f.head].label == name for f in term.factors)
    ]
    if len(holding) != 1:
        return None
    (term,) = holding
    if term.sizes or term.bound or len(term.factors) != 1 or term.factors[0].power != 1:
        return None
    indices = term.factors[0].indices
    others = {t: c / -difference[term] for t, c in difference.items() if t != term}
    free = {v for t in others for f in t.factors for v in f.indices if v.rank == 0}
    alone = len(set(indices)) == len(indices) and free <= set(indices)
    return _Isolated(name, indices, others) if alone else None


def _fact(
    algebra: Algebra,
    left: Equations,
    solution: _Isolated,
    arrays: Mapping[str, np.ndarray],
    array: np.ndarray,
) -> Summed | None:
    """The solution as a fact; None when it holds more than stored tensors, or the arrays miss it."""
    found = _contractions(algebra, left, solution.indices, solution.rest, arrays)
    return None if found is None else summed(left, solution.tensor, found, arrays, array)


def summed(
    left: Equations,
    tensor: str,
    found: Contractions,
    arrays: Mapping[str, np.ndarray],
    array: np.ndarray,
) -> Summed | None:
    """That a tensor, whose numbers are `array`, is a sum of contractions; None where they miss it."""
    sizes = sizes_of(left, {name: arrays[name] for name in found.given})
    sizes.update(zip((v.sort for v in found.indices), array.shape, strict=True))
    if not found.sorts <= sizes.keys():
        return None  # how large it is depends on sizes that no array has
    exact, tolerance = found.of(arrays, sizes)
    if exact.shape != array.shape:
        return None
    missed = np.abs(array.astype(np.float64) - exact)
    allowed = 2 * tolerance + float(np.finfo(array.dtype).eps) * np.abs(exact)
    if not (missed <= allowed).all():
        return None
    given = {**found.given, tensor: tuple(v.sort for v in found.indices)}
    new = TensorRef(tensor, tuple(v.name for v in found.indices))
    error = float((missed + tolerance).max(initial=0.0))
    return Summed(error, new, found.terms, found.body, given)


class Contractions(NamedTuple):
    """A sum of contractions at indices, as terms and as an expression over given tensors."""

    indices: tuple[Index, ...]
    terms: tuple[Contraction, ...]
    body: Expression
    given: dict[str, tuple[str, ...]]

    @property
    def sorts(self) -> set[str]:
        """All sorts whose sizes count."""
        return set(all_sorts(self._equations(self.body)))

    def of(
        self, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sum in float64, and for each entry a bound on its rounding.

        A sum of K products of at most F factors errs by less than (K + F) eps times the sum of their
        magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, equation 3.7), whatever its order.
        """
        numbers = {name: arrays[name].astype(np.float64) for name in self.given}
        total = evaluate(self._equations(self.body), sizes, numbers)["sum"]
        magnitudes = {name: np.abs(array) for name, array in numbers.items()}
        absolute = self._equations(rewritten(self.body, _magnitude))
        whole = evaluate(absolute, sizes, magnitudes)["sum"]
        summands = _summands(self.body, sizes)
        factors = max((len(t.tensors) + len(t.gain.sizes) for t in self.terms), default=0)
        return total, (summands + factors + 4) * float(np.finfo(np.float64).eps) * whole

    def _equations(self, body: Expression) -> Equations:
        return Equations(self.given, (Definition("sum", self.indices, body),), ("sum",))


def _summands(expression: Expression, sizes: Mapping[str, int]) -> int:
    """How many products are added up for one entry."""
    inner = [_summands(part, sizes) for part in children(expression)]
    match expression:
        case Sum(indices, _):
            return inner[0] * math.prod(sizes[v.sort] for v in indices)
        case Add():
            return sum(inner)
        case _:
            return math.prod(inner)


def _magnitude(part: Expression) -> Expression:
    return Number(abs(part.value)) if isinstance(part, Number) else part


def _contractions(
    algebra: Algebra,
    left: Equations,
    indices: tuple[Var, ...],
    rest: Polynomial,
    arrays: Mapping[str, np.ndarray],
) -> Contractions | None:
    """A polynomial as contractions of stored tensors; None when it holds anything else."""
    factors = [f for term in rest for f in term.factors]
    if not all(algebra.heads[f.head].label in arrays and f.power > 0 for f in factors):
        return None
    names = _Names(left)
    at = tuple(map(names.index, indices))
    terms = [_contraction(algebra, names, term, c) for term, c in rest.items()]
    body = Add(tuple(expression for _, expression in terms))
    given = {ref.name: left.given[ref.name] for term, _ in terms for ref in term.tensors}
    return Contractions(at, tuple(term for term, _ in terms), body, given)


class _Names:
    """Names of axes for the indices of terms: one of the same sort, primed where it is taken."""

    def __init__(self, equations: Equations) -> None:
        self._axes = {v.sort: v.name for e in reversed(equations.definitions) for v in e.indices}
        self._known: dict[Var, Index] = {}

    def axis(self, sort: str) -> str:
        """An axis of a sort."""
        return self._axes.get(sort, sort)

    def index(self, var: Var) -> Index:
        if var not in self._known:
            taken = {index.name for index in self._known.values()}
            self._known[var] = fresh_index(Index(self.axis(var.sort), var.sort), taken)
        return self._known[var]


def _contraction(
    algebra: Algebra, names: _Names, term: Term, coefficient: Fraction
) -> tuple[Contraction, Expression]:
    """A term as a contraction of tensors, and the same as an expression."""
    refs: list[Read] = []
    for factor in term.factors:
        refs += [_read(algebra, names, factor)] * int(factor.power)
    bound = tuple(names.index(bound_var(sort, k)) for k, sort in enumerate(term.bound))
    sizes = [Size(sort, power) for sort, power in term.sizes]
    body = total(bound, product(Number(coefficient), *sizes, *refs))
    gain = ExactGain(coefficient, tuple((names.axis(s), p) for s, p in term.sizes))
    tensors = tuple(TensorRef(r.tensor, tuple(v.name for v in r.indices)) for r in refs)
    return Contraction(gain, tensors), body


def _read(algebra: Algebra, names: _Names, factor: Factor) -> Read:
    label = algebra.heads[factor.head].label
    return Read(str(label), tuple(map(names.index, factor.indices)))
