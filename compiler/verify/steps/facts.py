"""Facts about numbers on which the validation of a pass rests, each checked on the arrays.

A pass that uses numbers makes new tensors of old ones: scaled, split by sign, cut, summed. A fact
says how, and by how much rounding the arrays miss it at most, as an absolute number (0 when they fit
exactly). Applied to the equations before and after, it makes them comparable for every number of tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import TensorRef
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
    reads,
    renamed_indices,
)
from cortico.verify.equations.sorts import sort_of, with_sorts
from cortico.verify.equations.substitute import (
    map_bodies,
    split_sort,
    with_own_size,
    with_tensor,
    within_sums,
)
from cortico.verify.normal.algebra import Implication, Known
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

    def known(self) -> Known:
        """What the fact says of tensors that stay given."""
        return Known()

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

    def known(self) -> Known:
        return Known(nonnegative=frozenset({self.old}))

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
        return before, _defining(after, Definition(self.new.name, indices, self.body))

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


@dataclass(frozen=True, eq=False)
class Selected(Fact):
    """Some indices of an axis are left out: at each, every product that reaches further is zero.

    Index k after is index `order[…, k]` before, in each of `heads`. `tensors` maps new names to old
    references, `support` old names to where they are not zero, over heads and axis.
    """

    axis: str
    heads: tuple[str, ...]
    order: np.ndarray
    size: int
    tensors: Mapping[str, TensorRef]
    support: Mapping[str, np.ndarray]

    @property
    def live(self) -> np.ndarray:
        """Where along heads and axis an index is kept, bool."""
        kept = np.zeros((*self.order.shape[:-1], self.size), dtype=bool)
        np.put_along_axis(kept, self.order, True, axis=-1)
        return kept

    @property
    def names(self) -> dict[str, str]:
        """The 0/1 tensor of each old tensor's support."""
        return {old: f"{old}≠0 along {self.axis}" for old in self.support}

    @property
    def live_name(self) -> str:
        return f"{self.axis} is kept"

    def __str__(self) -> str:
        kept = f"{self.order.shape[-1]} of {self.size} indices of {self.axis} are kept"
        return f"{kept}; at the others every product of {', '.join(self.support)} is zero"

    def apply(self, before: Equations, after: Equations) -> Pair:
        at = (*self.heads, self.axis)
        for old, name in self.names.items():
            before = with_tensor(before, old, self._axes_of(old), name, at)
            before = replace(before, masks=before.masks | {name})
        sort = sort_of(after)[self.axis]
        # the indices kept stand among all, but they are fewer: what names their number means another
        after = with_own_size(after, sort, f"{self.axis} as cut", self.order.shape[-1])
        after = within_sums(after, sort, self.live_name, self.heads)
        after = replace(after, masks=after.masks | {self.live_name})
        for new, ref in self.tensors.items():
            after = made_of(after, new, ref.name, lambda old: old)
            if ref.name in self.support:
                after = with_tensor(after, ref.name, ref.axes, self.names[ref.name], at)
        after = self._same_formulas(before, after)
        return before, replace(after, masks=after.masks | set(self.names.values()))

    def _same_formulas(self, before: Equations, after: Equations) -> Equations:
        """What a formula makes of the kept numbers is what it makes of all, at the kept indices."""
        for name, formula in after.formulas.items():
            olds = [self.tensors[a].name if a in self.tensors else a for a in formula.arguments]
            old = str(replace(formula, arguments=tuple(olds)))
            if old != name and old in before.formulas:
                after = made_of(after, name, old, lambda read: read)
        return after

    def _axes_of(self, old: str) -> tuple[str, ...]:
        return next(ref.axes for ref in self.tensors.values() if ref.name == old)

    def known(self) -> Known:
        """Which supports together leave only kept indices."""
        found: list[Implication] = []
        names = list(self.support)
        for one in names:
            for other in names:
                both = self.support[one] & self.support[other]
                if not (both & ~self.live).any():
                    found.append((frozenset({self.names[one], self.names[other]}), self.live_name))
        return Known(implications=tuple(found))

    def record(self) -> dict[str, Any]:
        return {
            "kind": "selected",
            "axis": self.axis,
            "heads": list(self.heads),
            "order": self.order.tolist(),
            "size": self.size,
            "tensors": {new: [old.name, list(old.axes)] for new, old in self.tensors.items()},
            "support": {
                old: {"axes": [*self.heads, self.axis], "live": live.astype(int).tolist()}
                for old, live in self.support.items()
            },
        }


def known_by(facts: Iterable[Fact]) -> Known | None:
    """All that facts say of given tensors; None when there are no facts."""
    each = [fact.known() for fact in facts]
    if not each:
        return None
    return Known(
        nonnegative=frozenset().union(*(k.nonnegative for k in each)),
        implications=tuple(i for k in each for i in k.implications),
    )


def variants(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    """The facts with fewer supports in use, and then with more: few make the shortest proofs."""
    place = next((k for k, fact in enumerate(facts) if isinstance(fact, Selected)), None)
    if place is None:
        yield tuple(facts)
        return
    chosen = facts[place]
    assert isinstance(chosen, Selected)
    names = list(chosen.support)
    for count in (1, 2, 3, len(names)):
        for used in itertools.combinations(names, min(count, len(names))):
            support = {name: chosen.support[name] for name in used}
            yield (*facts[:place], replace(chosen, support=support), *facts[place + 1 :])


@dataclass(frozen=True)
class Split(Fact):
    """An axis is split in two: index h is `group · members + member`; copies are stored once.

    `tensors` maps old names to new names and whether the members are copies.
    """

    axis: str
    group: str
    member: str
    members: int
    tensors: Mapping[str, tuple[str, int, bool]]

    def __str__(self) -> str:
        copied = [old for old, (_, _, is_copied) in self.tensors.items() if is_copied]
        split = f"{self.axis} = {self.members} * {self.group} + {self.member}"
        return f"{split}, {', '.join(copied)} equal for all {self.member}" if copied else split

    def apply(self, before: Equations, after: Equations) -> Pair:
        sorts = sort_of(after)
        pair = Index(self.group, sorts[self.group]), Index(self.member, sorts[self.member])
        names = {old: (new, is_copied) for old, (new, _, is_copied) in self.tensors.items()}
        return split_sort(before, sort_of(before)[self.axis], pair, names), after

    def record(self) -> dict[str, Any]:
        tensors = {new: [old, side, copied] for old, (new, side, copied) in self.tensors.items()}
        return {
            "kind": "split",
            "axis": self.axis,
            "group": self.group,
            "member": self.member,
            "members": self.members,
            "tensors": tensors,
        }


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


# ---- equations -----------------------------------------------------------------------------------


def indices_of(equations: Equations, tensor: str) -> tuple[Index, ...]:
    """Formal indices for the sides of a given tensor."""
    return tuple(Index(f"k{n}", sort) for n, sort in enumerate(equations.given[tensor]))


def made_of(
    equations: Equations, new: str, old: str, body: Callable[[Read], Expression]
) -> Equations:
    """The equations with `new` defined from the entry of `old` at the same indices.

    Where an equation defines `new` already, that one stays.
    """
    if new not in equations.given:
        return equations
    equations = like(equations, new, old)
    return defined(equations, new, body(Read(old, indices_of(equations, new))))


def defined(equations: Equations, tensor: str, body: Expression) -> Equations:
    """The equations with a given tensor defined, at `indices_of` it."""
    return _defining(equations, Definition(tensor, indices_of(equations, tensor), body))


def _defining(equations: Equations, definition: Definition) -> Equations:
    given = {name: s for name, s in equations.given.items() if name != definition.tensor}
    given.update(
        (read.tensor, tuple(v.sort for v in read.indices))
        for read in reads(definition.body)
        if read.tensor not in given and read.tensor not in {d.tensor for d in equations.definitions}
    )
    return replace(equations, given=given, definitions=(definition, *equations.definitions))


def like(equations: Equations, new: str, old: str) -> Equations:
    """The equations with the sides of two tensors running through the same sorts."""
    if old not in equations.given:
        return equations
    names = dict(zip(equations.given[new], equations.given[old], strict=True))
    return with_sorts(equations, names)


def _contraction_record(term: Contraction) -> dict[str, Any]:
    return {**term.gain.record(), "reads": [[r.name, list(r.axes)] for r in term.tensors]}


def _factors(gain: ExactGain, before: Equations) -> Iterator[Expression]:
    """A gain over the axes of `before`, as factors."""
    sorts = sort_of(before)
    yield Number(gain.coefficient)
    for axis, power in gain.sizes:
        yield Size(sorts[axis], power)
