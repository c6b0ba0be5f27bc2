"""Equations: what circuits and textbooks are both written in, to be compared.

A system of equations defines named tensors one after another, each at formal indices:

    query[h, i, a] = Σ_m W_Q[h, a, m] x[i, m] + b_Q[h, a]

An index has a name and a sort, the set that it runs through; the size of a sort is never a number
here. What holds of equations therefore holds for every size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from cortico.ir import Formula


class Index(NamedTuple):
    """An index, `name` running through the sort `sort`."""

    name: str
    sort: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Expression:
    """A scalar that may depend on indices. Built with `+ - * /`, `total`, `exp` and the classes below."""

    def __str__(self) -> str:
        from cortico.verify.equations.printing import expression_text

        return expression_text(self)

    def __add__(self, other: Expression) -> Expression:
        return Add((self, other))

    def __sub__(self, other: Expression) -> Expression:
        return Add((self, -other))

    def __neg__(self) -> Expression:
        return Product((Number(Fraction(-1)), self))

    def __mul__(self, other: Expression) -> Expression:
        return Product((self, other))

    def __truediv__(self, other: Expression) -> Expression:
        """The quotient, with x/0 = 0 as in a circuit."""
        return Product((self, Apply("inverse", other)))

    def __rsub__(self, other: float) -> Expression:
        return number(other) - self

    def __rmul__(self, other: float) -> Expression:
        return number(other) * self

    def __rtruediv__(self, other: float) -> Expression:
        return number(other) / self


@dataclass(frozen=True)
class Number(Expression):
    """A rational number. Floating-point gains are the decimal that they print as."""

    value: Fraction


@dataclass(frozen=True)
class Size(Expression):
    """`size(sort) ** exponent`."""

    sort: str
    exponent: Fraction = Fraction(1)


@dataclass(frozen=True)
class Read(Expression):
    """A tensor at indices: an input, a parameter, or one that an equation defines."""

    tensor: str
    indices: tuple[Index, ...]


@dataclass(frozen=True)
class Within(Expression):
    """1 where `left - right <= offset`, else 0."""

    left: Index
    right: Index
    offset: int


@dataclass(frozen=True)
class Sum(Expression):
    """The sum of `body` over all values of `indices`."""

    indices: tuple[Index, ...]
    body: Expression


@dataclass(frozen=True)
class Product(Expression):
    """The product of `factors`; 1 when there are none."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True)
class Add(Expression):
    """The sum of `terms`; 0 when there are none."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Apply(Expression):
    """A function of a scalar: a transfer function, its slope, `inverse` (0 at 0), or `step` (of relu)."""

    function: str
    argument: Expression


#: The tensor `j - i` of two indices. It is given to everyone, and no circuit can name one so.
OFFSET = "offset()"

#: The sort of a formula's side that counts positions: any index may stand there, as `offset()` takes any.
POSITIONS = "positions"

#: What stands behind the name of a transfer function where its slope is meant.
SLOPE = "'"

#: How many indices a sort has: a number, or the symbol that gets one when a circuit runs.
Extents = Mapping[str, int | str]

ZERO: Expression = Add(())
ONE: Expression = Product(())


def number(value: float | Fraction) -> Expression:
    """A number; a float is read as the decimal that it prints as, 0.1 as 1/10."""
    return Number(value if isinstance(value, Fraction) else Fraction(repr(float(value))))


def lifted(value: Expression | float) -> Expression:
    """An expression as it is, a number as an expression."""
    return value if isinstance(value, Expression) else number(value)


def total(indices: Index | tuple[Index, ...], body: Expression) -> Expression:
    """Σ over one index or several. An Index is itself a tuple, so it is told apart by type."""
    chosen = (indices,) if isinstance(indices, Index) else indices
    return Sum(chosen, body) if chosen else body


def exp(argument: Expression) -> Expression:
    """The exponential."""
    return Apply("exp", argument)


def offset(i: Index, j: Index) -> Expression:
    """How far j is behind i: `j - i`."""
    return Read(OFFSET, (i, j))


def product(*factors: Expression) -> Expression:
    """The product of any number of factors."""
    return Product(factors)


@dataclass(frozen=True)
class Definition:
    """`tensor[indices] = body`. The free indices of `body` are among `indices`."""

    tensor: str
    indices: tuple[Index, ...]
    body: Expression

    def __str__(self) -> str:
        from cortico.verify.equations.printing import definition_text

        return definition_text(self)


@dataclass(frozen=True)
class Equations:
    """Tensors that are given and tensors that are defined from them, one after another.

    `given` maps the name of each given tensor to the sorts of its sides, `masks` names those that
    are 0 or 1, `formulas` those computed from others by a formula of `cortico.ir.tensors.FORMULAS`.
    `outputs` names what is compared. `extents` says how many indices a sort has, as far as that is
    known: it is used to refuse two systems of other shapes, never to prove two systems equal.
    """

    given: Mapping[str, tuple[str, ...]]
    definitions: tuple[Definition, ...]
    outputs: tuple[str, ...]
    masks: frozenset[str] = frozenset()
    formulas: Mapping[str, Formula] = field(default_factory=dict)
    extents: Extents = field(default_factory=dict)

    def __str__(self) -> str:
        from cortico.verify.equations.printing import equations_text

        return equations_text(self)

    def definition(self, tensor: str) -> Definition:
        """The equation that defines `tensor`. KeyError when none does."""
        for each in self.definitions:
            if each.tensor == tensor:
                return each
        raise KeyError(tensor)


def children(expression: Expression) -> tuple[Expression, ...]:
    """The parts that an expression is made of."""
    match expression:
        case Sum(_, body):
            return (body,)
        case Product(parts) | Add(parts):
            return parts
        case Apply(_, argument):
            return (argument,)
        case _:
            return ()


def reads(expression: Expression) -> Iterator[Read]:
    """Every reading of a tensor inside an expression."""
    if isinstance(expression, Read):
        yield expression
    for child in children(expression):
        yield from reads(child)


def names_in(expression: Expression) -> set[str]:
    """The names of all indices inside an expression, free or bound."""
    own: set[str] = set()
    match expression:
        case Read(_, indices) | Sum(indices, _):
            own = {index.name for index in indices}
        case Within(left, right, _):
            own = {left.name, right.name}
    return own.union(*map(names_in, children(expression)))


def fresh_index(index: Index, taken: set[str]) -> Index:
    """The index, primed until its name is not taken."""
    while index.name in taken:
        index = Index(f"{index.name}'", index.sort)
    return index


def fresh_indices(indices: Iterable[Index], taken: set[str], used: set[str]) -> dict[Index, Index]:
    """Each index, or another where its name is taken; new names are neither taken nor `used`."""
    found: dict[Index, Index] = {}
    for v in indices:
        new = fresh_index(v, taken | used) if v.name in taken else v
        found[v] = new
        taken, used = taken | {new.name}, used | {new.name}
    return found


def renamed_indices(expression: Expression, names: Mapping[Index, Index]) -> Expression:
    """`expression` with free indices replaced; indices bound inside move out of their way."""

    def new(index: Index) -> Index:
        return names.get(index, index)

    match expression:
        case Read(tensor, indices):
            return Read(tensor, tuple(map(new, indices)))
        case Within(left, right, offset):
            return Within(new(left), new(right), offset)
        case Sum(indices, body):
            free = {old: name for old, name in names.items() if old not in indices}
            taken = {index.name for index in free.values()}
            moved = fresh_indices(indices, taken, names_in(expression))
            return Sum(tuple(moved.values()), renamed_indices(body, {**free, **moved}))
        case Product(factors):
            return Product(tuple(renamed_indices(part, names) for part in factors))
        case Add(terms):
            return Add(tuple(renamed_indices(part, names) for part in terms))
        case Apply(function, argument):
            return Apply(function, renamed_indices(argument, names))
        case _:
            return expression
