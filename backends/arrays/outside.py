"""Where arrays over pairs of tokens are nothing: outside the bounds of the cells that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cortico.backends.arrays.operations import (
    Add,
    Contract,
    Divide,
    Inside,
    Multiply,
    Numbers,
    Peak,
    Reorder,
    Scale,
    Select,
    ShiftedExponential,
)
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import axes_of
from cortico.ir import Bound


@dataclass(frozen=True)
class _Outside:
    """What an array is outside some bounds."""

    zero: frozenset[Bound] = frozenset()
    silent: frozenset[Bound] = frozenset()  #: minus infinity: the exponent of zero

    def within(self, axes: Iterable[str]) -> _Outside:
        known = {*axes}
        kept = (
            frozenset(b for b in bounds if {b.left, b.right} <= known)
            for bounds in (self.zero, self.silent)
        )
        return _Outside(*kept)


def summed_inside(statements: Iterable[Statement], rows: str, columns: str) -> frozenset[Bound]:
    """The bounds on rows and columns outside which all that is summed over the columns is nothing."""
    outside: dict[str, _Outside] = {}
    summed: list[frozenset[Bound]] = []
    for statement in statements:
        result, operands = statement.result, statement.operands
        parts = [outside.get(v.code, _Outside()) for v in operands]
        outside[result.code] = _outside(statement, parts).within(result.axes)
        if columns in axes_of(operands) - {*result.axes}:
            wide = [part for v, part in zip(operands, parts, strict=True) if columns in v.axes]
            if isinstance(statement.operation, Peak):
                summed.append(frozenset.intersection(*(part.silent for part in wide)))
            else:
                summed.append(_union(*(part.zero for part in wide)))
    common = frozenset.intersection(*summed) if summed else frozenset[Bound]()
    return frozenset(b for b in common if {b.left, b.right} == {rows, columns})


def _outside(statement: Statement, parts: Sequence[_Outside]) -> _Outside:
    """The bounds outside which a result is zero, or the exponent of zero."""
    zeros = [part.zero for part in parts]
    match statement.operation:
        case Inside(bounds=bounds):
            return _Outside(zero=frozenset(bounds))
        case Select(silent=True):
            return _Outside(silent=_union(parts[0].silent, *zeros[1:]))
        case Select() | Multiply() | Contract():
            return _Outside(zero=_union(*zeros))
        case Add():
            return _Outside(zero=frozenset.intersection(*zeros))
        case ShiftedExponential():
            return _Outside(zero=parts[0].silent)
        case Scale() | Divide() | Numbers():
            return _Outside(zero=zeros[0])
        case Reorder():
            return parts[0]
    return _Outside()


def _union(*sets: frozenset[Bound]) -> frozenset[Bound]:
    return frozenset().union(*sets)
