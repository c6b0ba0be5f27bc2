"""The normal form of equations: what a defined tensor is, as a polynomial in what is given."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from cortico.verify.equations.language import (
    Add,
    Apply,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
)
from cortico.verify.normal.algebra import Algebra
from cortico.verify.normal.functions import apply
from cortico.verify.normal.terms import Polynomial, Var

_Bindings = Mapping[str, Var]


class NormalForm:
    """Normal forms of the tensors that `equations` define, as polynomials of `algebra`."""

    def __init__(self, algebra: Algebra, equations: Equations) -> None:
        self.algebra = algebra
        self.equations = equations
        self._definitions = {each.tensor: each for each in equations.definitions}
        self._known: dict[str, Polynomial] = {}
        self._fresh = itertools.count()

    def of(self, tensor: str) -> Polynomial:
        """The polynomial of a defined tensor over formal indices, which `formal` names."""
        if tensor not in self._known:
            definition = self._definitions[tensor]
            bindings = {v.name: formal(v, place) for place, v in enumerate(definition.indices)}
            self._known[tensor] = self._value(definition.body, bindings)
        return self._known[tensor]

    def _value(self, expression: Expression, bindings: _Bindings) -> Polynomial:
        algebra = self.algebra
        match expression:
            case Number(value):
                return algebra.constant(value)
            case Size(sort, exponent):
                return algebra.size(sort, exponent)
            case Read(tensor, indices):
                return self._read(tensor, tuple(bindings[index.name] for index in indices))
            case Within(left, right, offset):
                pair = bindings[left.name], bindings[right.name]
                return algebra.multiply(algebra.factor(algebra.heads.within(*pair, offset)))
            case Sum(indices, body):
                return self._sum(indices, body, bindings)
            case Product(factors):
                return algebra.multiply(*(self._value(each, bindings) for each in factors))
            case Add(terms):
                return algebra.add(*(self._value(each, bindings) for each in terms))
            case Apply(function, argument):
                return apply(algebra, function, self._value(argument, bindings))
        raise TypeError(f"no expression: {expression!r}")

    def _read(self, tensor: str, indices: tuple[Var, ...]) -> Polynomial:
        if tensor not in self._definitions:
            return self.algebra.factor(self.algebra.heads.tensor(tensor, indices))
        known = self.of(tensor)
        formals = self._definitions[tensor].indices
        names = {formal(v, place): indices[place] for place, v in enumerate(formals)}
        return self.algebra.rename(known, names)

    def _sum(self, indices: tuple[Index, ...], body: Expression, bindings: _Bindings) -> Polynomial:
        fresh = {v.name: Var(0, v.sort, f"#{next(self._fresh)}") for v in indices}
        return self.algebra.sum_over(
            self._value(body, {**bindings, **fresh}), tuple(fresh.values())
        )


def formal(index: Index, place: int) -> Var:
    """The formal index at a place of a definition, whatever the definition calls it."""
    return Var(0, index.sort, f"@{place:02d}")
