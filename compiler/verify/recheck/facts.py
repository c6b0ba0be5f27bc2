"""Facts: what a step of a certificate says of its tensors, which are drawn so that it holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cortico.verify.recheck.text import number, require
from cortico.verify.recheck.world import Array, Arrays, World, contract

#: Kinds of facts, those that say what a tensor before is made of first.
KINDS = (
    "nonnegative",
    "zero",
    "part",
    "parts",
    "split",
    "selected",
    "constant",
    "same",
    "scaled",
    "sum",
)


class Step:
    """The tensors before and after a step at one level, drawn so that its facts hold."""

    def __init__(self, world: World, before: Any, after: Any, facts: Any, level: int) -> None:
        self.world, self.before, self.after, self.level = world, before, after, level
        self.old: Arrays = {}
        self.new: Arrays = {}
        strange = [fact["kind"] for fact in facts if fact["kind"] not in KINDS]
        require(not strange, f"unknown kinds of facts: {strange}")
        inputs = {name: self.was(name) for name in before.inputs}
        for fact in sorted(facts, key=lambda fact: KINDS.index(fact["kind"])):
            getattr(self, fact["kind"])(**{k: v for k, v in fact.items() if k != "kind"})
        touched = [name for name, array in inputs.items() if self.old[name] is not array]
        touched += [name for name in after.inputs if name in self.new or name not in inputs]
        require(not touched, f"nothing is known of inputs, found facts about {touched}")
        for name in set(before.shapes) - set(before.formulas):
            self.was(name)
        for name in set(after.shapes) - set(after.formulas) - set(self.new):
            same = name in self.old and before.shapes[name] == after.shapes[name]
            require(same, f"tensor {name} has no definition, or other sizes than before")
            self.new[name] = self.old[name]

    def was(self, name: str) -> Array:
        """A tensor before, drawn when no fact has said anything of it."""
        if name not in self.old:
            self.old[name] = self.world.draw(self.before, name, self.level)
        return self.old[name]

    def part(self, new: str, old: str, sign: int) -> None:
        self.new[new] = self.world.draw(self.after, new, self.level)
        self.old[old] = self.old.get(old, 0) + sign * self.new[new]

    def gain(self, coefficient: str, sizes: Any) -> int:
        powers = [(self.world.sizes[self.before.axes[a]], number(e)) for a, e in sizes]
        return self.world.power(number(coefficient), powers, self.level)

    def nonnegative(self, old: str) -> None:
        """Numbers in the lower half, which count as positive."""
        self.old[old] = self.was(old) % (self.world.primes[self.level] // 2)

    def zero(self, old: str) -> None:
        self.old[old] = 0 * self.was(old)

    def parts(self, old: str, plus: str | None, minus: str | None) -> None:
        for sign, new in ((1, plus), (-1, minus)):
            if new is not None:
                self.part(new, old, sign)

    def split(self, member: str, tensors: Any, **_: Any) -> None:
        copies = self.world.sizes[self.after.axes[member]]
        for new, (old, side, copied) in tensors.items():
            array = self.new[new] = self.world.draw(self.after, new, self.level)
            shape = (*array.shape[:side], -1, *array.shape[side + 2 :])
            self.old[old] = np.repeat(array, copies, side) if copied else array.reshape(shape)

    def selected(
        self, axis: str, heads: Any, order: Any, tensors: Any, support: Any, **_: int
    ) -> None:
        read, along, order = dict(tensors.values()), [*heads, axis], np.array(order)
        for old, where in support.items():
            live = (np.array(where["live"], dtype=object), where["axes"])
            self.old[old] = contract([(self.was(old), read[old]), live], read[old])
        require(order.min() >= 0, "an order has negative indices")
        for new, (old, axes) in tensors.items():
            sized = [self.before.axes[a] for a in axes] == self.before.shapes[old]
            require(sized, f"{old} does not have the axes {axes}")
            sides, front = [axes.index(a) for a in along], range(len(along))
            at = (*np.indices(order.shape, sparse=True)[:-1], order)
            self.new[new] = np.moveaxis(np.moveaxis(self.was(old), sides, front)[at], front, sides)

    def constant(self, value: str, coefficient: str, sizes: Any) -> None:
        factors = [float(self.before.axes[axis]) ** float(number(e)) for axis, e in sizes]
        exact = float(number(coefficient)) * math.prod(factors)
        require(math.isclose(float(number(value)), exact), f"{value} is not {exact}")

    def scaled(self, new: str, old: str, coefficient: str = "1", sizes: Any = ()) -> None:
        self.new[new] = self.gain(coefficient, sizes) * self.was(old)

    same = scaled

    def sum(self, new: str, axes: Any, terms: Any) -> None:
        self.new[new] = np.zeros((), dtype=object)
        for term in terms:
            reads = [(self.was(name), own) for name, own in term["reads"]]
            gain = self.gain(term["coefficient"], term["sizes"])
            self.new[new] = self.new[new] + gain * contract(reads, axes)
