"""Facts about numbers on which the validation of a pass rests, each checked on the arrays.

A pass that uses numbers makes new tensors of old ones: scaled, split by sign, cut, summed. A fact
says how, and by how much rounding the arrays miss it at most, as an absolute number (0 when they fit
exactly). Applied to the equations before and after, it makes them comparable for every number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from cortico.ir import TensorRef
from cortico.verify.equations.defining import defined, like, made_of, with_definition
from cortico.verify.equations.language import (
    Definition,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    number,
    product,
    renamed_indices,
)
from cortico.verify.equations.sorts import sort_of, with_sorts
from cortico.verify.equations.substitute import map_bodies
from cortico.verify.normal.algebra import Assumptions
from cortico.verify.steps.gains import ExactGain

#: Before and after.
Pair = tuple[Equations, Equations]


@dataclass(frozen=True)
class Fact:
    """Something that holds of numbers; `error` is the largest absolute error by which any misses it."""

    error: float

    def __str__(self) -> str:
        """The fact as an equation."""
        raise NotImplementedError

    def apply(self, before: Equations, after: Equations) -> Pair:
        """Both systems with the fact used."""
        raise NotImplementedError

    def known(self) -> Assumptions:
        """What the fact says of tensors that stay given."""
        return Assumptions()

    def record(self) -> dict[str, Any]:
        """The fact as it stands in a certificate."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zero(Fact):
    """A tensor is zero everywhere."""

    old: str

    def __str__(self) -> str:
        return f"{self.old} = 0"

    def apply(self, before: Equations, after: Equations) -> Pair:
        nothing = Number(Fraction(0))
        return tuple(  # type: ignore[return-value]
            defined(side, self.old, nothing) if self.old in side.given else side
            for side in (before, after)
        )

    def record(self) -> dict[str, Any]:
        return {"kind": "zero", "old": self.old}


@dataclass(frozen=True)
class NonNegative(Fact):
    """A tensor is nowhere negative."""

    old: str

    def __str__(self) -> str:
        return f"{self.old} >= 0"

    def apply(self, before: Equations, after: Equations) -> Pair:
        return before, after

    def known(self) -> Assumptions:
        return Assumptions(nonnegative=frozenset({self.old}))

    def record(self) -> dict[str, Any]:
        return {"kind": "nonnegative", "old": self.old}


@dataclass(frozen=True)
class Tied(Fact):
    """Two tensors hold the same numbers, before as after."""

    new: str
    old: str

    def __str__(self) -> str:
        return f"{self.new} = {self.old}"

    def apply(self, before: Equations, after: Equations) -> Pair:
        return self._applied(before), self._applied(after)

    def _applied(self, side: Equations) -> Equations:
        return made_of(side, self.new, self.old, lambda old: old)

    def record(self) -> dict[str, Any]:
        return {"kind": "tied", "new": self.new, "old": self.old}


@dataclass(frozen=True)
class Scaled(Fact):
    """A new tensor is a gain times an old one."""

    new: str
    old: str
    gain: ExactGain

    def __str__(self) -> str:
        return (
            f"{self.new} = {self.old}"
            if self.gain.is_one
            else f"{self.new} = {self.gain} * {self.old}"
        )

    def apply(self, before: Equations, after: Equations) -> Pair:
        gain = tuple(_factors(self.gain, before))
        return before, made_of(after, self.new, self.old, lambda old: Product((*gain, old)))

    def record(self) -> dict[str, Any]:
        if self.gain.is_one:
            return {"kind": "same", "new": self.new, "old": self.old}
        return {"kind": "scaled", "new": self.new, "old": self.old, **self.gain.record()}


@dataclass(frozen=True)
class SignParts(Fact):
    """An old tensor is the positive part minus the negative part; one of them may be missing."""

    old: str
    plus: str | None
    minus: str | None

    def __str__(self) -> str:
        parts = f"{self.plus or ''}{f' - {self.minus}' if self.minus else ''}"
        return f"{self.old} = {parts.strip()}"

    def apply(self, before: Equations, after: Equations) -> Pair:
        if self.plus is None:
            assert self.minus is not None
            return before, made_of(after, self.minus, self.old, lambda old: -old)
        if self.minus is None:
            return before, made_of(after, self.plus, self.old, lambda old: old)
        minus = self.minus
        if minus in after.given and minus != self.old:
            after = like(after, minus, self.old)
        return before, made_of(
            after, self.plus, self.old, lambda old: old + Read(minus, old.indices)
        )

    def record(self) -> dict[str, Any]:
        return {"kind": "parts", "old": self.old, "plus": self.plus, "minus": self.minus}


@dataclass(frozen=True)
class Contraction:
    """`gain · Σ Π tensors`, summed over the axes that the result lacks."""

    gain: ExactGain
    tensors: tuple[TensorRef, ...]

    def __str__(self) -> str:
        product = " ".join(map(str, self.tensors))
        return product if self.gain.is_one else f"{self.gain} * {product}"


@dataclass(frozen=True)
class Summed(Fact):
    """A new tensor is a sum of contractions of old ones. `body` is the same as an expression."""

    new: TensorRef
    terms: tuple[Contraction, ...]
    body: Expression
    given: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        return f"{self.new} = {' + '.join(map(str, self.terms))}"

    def apply(self, before: Equations, after: Equations) -> Pair:
        # `body` is over the sorts of `before`; the sides of `new` get the same
        sides = self.given[self.new.name]
        if self.new.name not in after.given:
            return before, after
        after = with_sorts(after, dict(zip(after.given[self.new.name], sides, strict=True)))
        after = replace(after, given={**self.given, **after.given})
        indices = tuple(Index(a, s) for a, s in zip(self.new.axes, sides, strict=True))
        return before, with_definition(after, Definition(self.new.name, indices, self.body))

    def record(self) -> dict[str, Any]:
        terms = [_contraction_record(term) for term in self.terms]
        return {"kind": "sum", "new": self.new.name, "axes": list(self.new.axes), "terms": terms}


@dataclass(frozen=True)
class Vanishing(Fact):
    """A sum of contractions of stored tensors is zero: what it adds to an output is nothing."""

    output: TensorRef
    terms: tuple[Contraction, ...]
    body: Expression

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.terms))} = 0"

    def apply(self, before: Equations, after: Equations) -> Pair:
        row = after.definition(self.output.name)
        names = [Index(name, v.sort) for name, v in zip(self.output.axes, row.indices, strict=True)]
        nothing = renamed_indices(self.body, dict(zip(names, row.indices, strict=True)))
        new = replace(row, body=row.body + nothing)
        rows = tuple(new if each is row else each for each in after.definitions)
        return before, replace(after, definitions=rows, given={**before.given, **after.given})

    def record(self) -> dict[str, Any]:
        terms = [_contraction_record(term) for term in self.terms]
        return {"kind": "vanishing", "axes": list(self.output.axes), "terms": terms}


def known_by(facts: Iterable[Fact]) -> Assumptions | None:
    """All that facts say of given tensors; None when there are no facts."""
    each = [fact.known() for fact in facts]
    if not each:
        return None
    return Assumptions(
        nonnegative=frozenset().union(*(k.nonnegative for k in each)),
        implications=tuple(i for k in each for i in k.implications),
    )


@dataclass(frozen=True)
class Constant(Fact):
    """A gain after, written as a number, stands for a gain before."""

    value: float
    gain: ExactGain

    def __str__(self) -> str:
        return f"{self.value!r} = {self.gain}"

    def apply(self, before: Equations, after: Equations) -> Pair:
        written, meant = number(self.value), product(*_factors(self.gain, before))
        return before, map_bodies(after, lambda part: meant if part == written else part)

    def record(self) -> dict[str, Any]:
        return {"kind": "constant", "value": repr(float(self.value)), **self.gain.record()}


def _contraction_record(term: Contraction) -> dict[str, Any]:
    return {**term.gain.record(), "reads": [[r.name, list(r.axes)] for r in term.tensors]}


def _factors(gain: ExactGain, before: Equations) -> Iterator[Expression]:
    """A gain over the axes of `before`, as factors."""
    sorts = sort_of(before)
    yield Number(gain.coefficient)
    for axis, power in gain.sizes:
        yield Size(sorts[axis], power)
