"""Facts about axes that a pass has cut or split: which old index each new one is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.ir import TensorRef
from cortico.verify.equations.defining import made_of
from cortico.verify.equations.language import Equations, Index
from cortico.verify.equations.sorts import sort_of
from cortico.verify.equations.substitute import (
    split_sort,
    with_own_size,
    with_tensor,
    within_sums,
)
from cortico.verify.normal.algebra import Assumptions, Implication
from cortico.verify.steps.facts import Fact, Pair


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

    def known(self) -> Assumptions:
        """Which supports together leave only kept indices."""
        found: list[Implication] = []
        names = list(self.support)
        for one in names:
            for other in names:
                both = self.support[one] & self.support[other]
                if not (both & ~self.live).any():
                    found.append((frozenset({self.names[one], self.names[other]}), self.live_name))
        return Assumptions(implications=tuple(found))

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
