"""Solving for a tensor: what a new bias must be so that two systems are equal.

If the outputs before and after differ by `rest - N[m]`, and `rest` is a sum of products of stored
tensors over m alone, then they are equal exactly when `N[m] = rest`. That is checked on the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, Gain, TensorRef
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
    product,
    total,
)
from cortico.verify.normal.algebra import Algebra, Known
from cortico.verify.normal.equivalence import UNDECIDABLE
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var, bound_var
from cortico.verify.steps.discovery import stored
from cortico.verify.steps.facts import Contraction, Fact, Summed, Vanishing

#: Rounding up to which a contraction, in float64, is taken for the array that a pass stored.
_ROUNDING = 1e-5


def solved(left: Equations, right: Equations, before: Circuit, after: Circuit) -> Iterator[Fact]:
    """What must hold of stored tensors so that the outputs are equal, where the arrays fit it.

    The definition of each tensor that only `right` reads, or a sum that must vanish.
    """
    arrays = stored(after)
    unknown = [n for n in arrays if n in right.given and n not in left.given]
    algebra = Algebra(Known(left.masks | right.masks))
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
    """That `rest`, a sum of contractions of stored tensors, is zero; if it is."""
    indices = tuple(formal(v, k) for k, v in enumerate(left.definition(output).indices))
    found = _contractions(algebra, left, indices, rest, arrays)
    if found is not None and found.of(arrays, {}).max(initial=0.0) == 0.0:
        ref = TensorRef(output, tuple(v.name for v in found.indices))
        yield Vanishing(0.0, ref, found.terms, found.body)


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
    if found is None:
        return None
    sizes = dict(zip((v.sort for v in found.indices), array.shape, strict=True))
    exact = found.of(arrays, sizes)
    error = float(np.abs(exact - array).max()) / max(float(np.abs(exact).max()), 1e-300)
    if error > _ROUNDING:
        return None
    given = {**found.given, solution.tensor: tuple(v.sort for v in found.indices)}
    new = TensorRef(solution.tensor, tuple(v.name for v in found.indices))
    return Summed(error, new, found.terms, found.body, given)


class _Contractions(NamedTuple):
    """A sum of contractions at indices, as terms and as an expression over given tensors."""

    indices: tuple[Index, ...]
    terms: tuple[Contraction, ...]
    body: Expression
    given: dict[str, tuple[str, ...]]

    def of(self, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> np.ndarray:
        """The sum in float64. Sizes that no tensor has are taken from `sizes`, else one."""
        known = dict.fromkeys((v.sort for v in self.indices), 1) | dict(sizes)
        for name, sides in self.given.items():
            known.update(zip(sides, arrays[name].shape, strict=True))
        numbers = {name: arrays[name].astype(np.float64) for name in self.given}
        row = Definition("sum", self.indices, self.body)
        return evaluate(Equations(self.given, (row,), ("sum",)), known, numbers)["sum"]


def _contractions(
    algebra: Algebra,
    left: Equations,
    indices: tuple[Var, ...],
    rest: Polynomial,
    arrays: Mapping[str, np.ndarray],
) -> _Contractions | None:
    """A polynomial as contractions of stored tensors; None when it holds anything else."""
    factors = [f for term in rest for f in term.factors]
    if not all(algebra.heads[f.head].label in arrays and f.power > 0 for f in factors):
        return None
    names = _Names(left)
    at = tuple(map(names.index, indices))
    terms = [_contraction(algebra, names, term, c) for term, c in rest.items()]
    body = Add(tuple(expression for _, expression in terms))
    given = {ref.name: left.given[ref.name] for term, _ in terms for ref in term.tensors}
    return _Contractions(at, tuple(term for term, _ in terms), body, given)


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
            name = self.axis(var.sort)
            while name in {index.name for index in self._known.values()}:
                name += "'"
            self._known[var] = Index(name, var.sort)
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
    gain = Gain(float(coefficient), tuple((names.axis(s), p) for s, p in term.sizes))
    tensors = tuple(TensorRef(r.tensor, tuple(v.name for v in r.indices)) for r in refs)
    return Contraction(gain, tensors), body


def _read(algebra: Algebra, names: _Names, factor: Factor) -> Read:
    label = algebra.heads[factor.head].label
    return Read(str(label), tuple(map(names.index, factor.indices)))
