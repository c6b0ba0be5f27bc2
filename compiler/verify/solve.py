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
from cortico.verify.algebra import Algebra
from cortico.verify.discovery import stored
from cortico.verify.equations import (
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
from cortico.verify.evaluate import evaluate
from cortico.verify.facts import Contraction, Summed
from cortico.verify.normal_form import NormalForm
from cortico.verify.terms import Factor, Polynomial, Term, Var, bound_var

#: Rounding up to which a contraction, in float64, is taken for the array that a pass stored.
_ROUNDING = 1e-5


def solved(left: Equations, right: Equations, before: Circuit, after: Circuit) -> Iterator[Summed]:
    """The definition of each tensor that only `right` reads, where the outputs determine it."""
    algebra = Algebra(left.masks | right.masks)
    forms = NormalForm(algebra, left), NormalForm(algebra, right)
    arrays = stored(after)
    unknown = [n for n in arrays if n in right.given and n not in left.given]
    for output in left.outputs if unknown else ():
        minus = algebra.scale(forms[1].of(output), Fraction(-1))
        difference = algebra.add(forms[0].of(output), minus)
        for name in unknown:
            found = _isolated(algebra, difference, name)
            fact = _fact(algebra, left, found, stored(before), arrays[name]) if found else None
            if fact is not None:
                yield fact


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
    found: _Isolated,
    arrays: Mapping[str, np.ndarray],
    array: np.ndarray,
) -> Summed | None:
    """The solution as a fact; None when it holds more than stored tensors, or the arrays miss it."""
    factors = [f for term in found.rest for f in term.factors]
    if not all(algebra.heads[f.head].label in arrays and f.power > 0 for f in factors):
        return None
    names = _Names(left)
    indices = tuple(names.index(v) for v in found.indices)
    terms = [_contraction(algebra, names, term, c) for term, c in found.rest.items()]
    body = Add(tuple(expression for _, expression in terms))
    given = {ref.name: left.given[ref.name] for term, _ in terms for ref in term.tensors}
    given[found.tensor] = tuple(v.sort for v in indices)
    error = _error(found.tensor, indices, body, given, arrays, array)
    if error > _ROUNDING:
        return None
    new = TensorRef(found.tensor, tuple(v.name for v in indices))
    return Summed(error, new, tuple(term for term, _ in terms), body, given)


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


def _error(
    tensor: str,
    indices: tuple[Index, ...],
    body: Expression,
    given: Mapping[str, tuple[str, ...]],
    arrays: Mapping[str, np.ndarray],
    array: np.ndarray,
) -> float:
    """The largest difference between the array and what it should be, relative to the largest."""
    shapes = {name: arrays[name].shape for name in given if name != tensor} | {tensor: array.shape}
    sizes = {s: n for name, sides in given.items() for s, n in zip(sides, shapes[name], strict=True)}
    numbers = {n: arrays[n].astype(np.float64) for n in given if n != tensor}
    system = Equations(given, (Definition(tensor, indices, body),), (tensor,))
    exact = evaluate(system, sizes, numbers)[tensor]
    return float(np.abs(exact - array).max()) / max(float(np.abs(exact).max()), 1e-300)
