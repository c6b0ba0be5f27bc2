"""Facts: what a step of a certificate says of its tensors, which are drawn so that it holds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.verify.recheck.forms import Each, Maybe, Table, fit, printable
from cortico.verify.recheck.text import number, powers, require
from cortico.verify.recheck.world import Array, Arrays, World

_GAIN = {"coefficient": str, "sizes": Each([str, str])}
_TERMS = Each(Table(_GAIN | {"reads": Each([str, Each(str)])}))
_SPLIT = {"axis": str, "group": str, "member": str, "members": int}

#: Kinds of facts and their fields, those that say what a tensor before is made of first.
KINDS: dict[str, dict[str, Any]] = {
    "nonnegative": {"old": str},
    "zero": {"old": str},
    "parts": {"old": str, "plus": Maybe(str), "minus": Maybe(str)},
    "split": _SPLIT | {"tensors": Each([str, int, bool], dict)},
    "selected": {
        "axis": str,
        "heads": Each(str),
        "order": list,
        "size": int,
        "tensors": Each([str, Each(str)], dict),
        "support": Each(Table({"axes": Each(str), "live": list}), dict),
    },
    "tied": {"new": str, "old": str},
    "constant": _GAIN | {"value": str},
    "same": {"new": str, "old": str},
    "scaled": _GAIN | {"new": str, "old": str},
    "sum": {"new": str, "axes": Each(str), "terms": _TERMS},
    "vanishing": {"axes": Each(str), "terms": _TERMS},
}

#: A constant is rounded by no more than this, relative to what it stands for.
ROUNDING = Fraction(1, 10**14)


def check_fact(fact: Any) -> None:
    """ValueError unless a fact is of a known kind and has its fields."""
    fit(fact, dict, "a fact")
    kind = fact.get("kind")
    known = isinstance(kind, str) and kind in KINDS
    require(known, f"unknown kind of fact: {printable(kind, 40)}")
    fit(fact, Table(KINDS[kind] | {"kind": str, "error?": float}), f"the fact {kind}")
    require(fact.get("error", 0) >= 0, f"the fact {kind} has a negative error")


def integers(value: Any) -> Array:
    """A list of lists of whole numbers as an array."""
    array = np.array(value)
    require(array.dtype.kind in "ib" and array.size, "no table of whole numbers")
    return array


def new_names(fact: Any) -> list[str]:
    """The tensors after a step that a fact is about."""
    match fact["kind"]:
        case "same" | "scaled" | "sum":
            return [fact["new"]]
        case "parts":
            return [name for name in (fact["plus"], fact["minus"]) if name is not None]
        case "split" | "selected":
            return list(fact["tensors"])
    return []


class Step:
    """The tensors before and after a step at one level, drawn so that its facts hold."""

    def __init__(self, world: World, before: Any, after: Any, facts: Any, level: int) -> None:
        self.world, self.before, self.after, self.level = world, before, after, level
        self.old: Arrays = {}
        self.new: Arrays = {}
        self.zeros = {fact["old"] for fact in facts if fact["kind"] == "zero"}
        unknown = self.zeros - {*before.shapes, *after.shapes}
        require(not unknown, f"there is no tensor {', '.join(unknown)}")
        inputs = {name: self.was(name) for name in before.inputs}
        order = list(KINDS)
        for fact in sorted(facts, key=lambda fact: order.index(fact["kind"])):
            if fact["kind"] not in ("zero", "vanishing"):  # drawn as zero; added to the output
                fields = {k: v for k, v in fact.items() if k not in ("kind", "error")}
                getattr(self, fact["kind"])(**fields)
        touched = [n for n, array in inputs.items() if self.old[n] is not array or n in self.zeros]
        touched += [name for name in after.inputs if name in self.new or name not in inputs]
        require(not touched, f"nothing is known of inputs, found facts about {touched}")
        for name in set(before.shapes) - set(before.formulas):
            self.was(name)
        for name in set(after.shapes) - set(after.formulas) - set(self.new):
            if name in self.zeros - set(before.shapes):  # a new one, of which nothing else is said
                self.new[name] = np.zeros(world.shape(after, name), dtype=int).astype(object)
                continue
            same = name in self.old and before.shapes[name] == after.shapes[name]
            require(same, f"tensor {name} has no definition, or other sizes than before")
            self.new[name] = self.old[name]
        for circuit, arrays in ((before, self.old), (after, self.new)):
            for name, array in arrays.items():
                fits = array.shape == world.shape(circuit, name)
                require(fits, f"the facts about {name} do not fit its sizes")

    def was(self, name: str) -> Array:
        """A tensor before, drawn when no fact has said anything of it."""
        if name not in self.old:
            drawn = self.world.draw(self.before, name, self.level)
            self.old[name] = 0 * drawn if name in self.zeros else drawn
        return self.old[name]

    def part(self, new: str, old: str) -> Array:
        """A tensor after, of which one before is made; drawn."""
        drawn = self.world.draw(self.after, new, self.level, "new ")
        self.new[new] = 0 * drawn if {new, old} & self.zeros else drawn
        return self.new[new]

    def gain(self, coefficient: str, sizes: Any) -> int:
        found = [(self.before.axes[a], e) for a, e in powers(sizes)]
        return self.world.gain(number(coefficient), found, self.level)

    def nonnegative(self, old: str) -> None:
        """Numbers in the lower half, which count as positive."""
        self.old[old] = self.was(old) % (self.world.primes[self.level] // 2)

    def parts(self, old: str, plus: str | None, minus: str | None) -> None:
        self.old[old] = np.zeros(self.world.shape(self.before, old), dtype=object)
        for sign, new in ((1, plus), (-1, minus)):
            if new is not None:
                self.old[old] = self.old[old] + sign * self.part(new, old)

    def split(self, axis: str, group: str, member: str, members: int, tensors: Any) -> None:
        extents = [int(self.after.axes[half]) for half in (group, member)]
        whole = int(self.before.axes[axis]) == math.prod(extents) and extents[1] == members
        require(whole, f"{axis} is not {group} times {member}")
        copies = self.world.sizes[self.after.axes[member]]
        for new, (old, side, copied) in tensors.items():
            array = self.part(new, old)
            require(0 <= side < array.ndim, f"{new} has no side {side}")
            shape = (*array.shape[:side], -1, *array.shape[side + 2 :])
            self.old[old] = np.repeat(array, copies, side) if copied else array.reshape(shape)

    def selected(
        self, axis: str, heads: Any, order: Any, tensors: Any, support: Any, size: int
    ) -> None:
        read, along, order = dict(tensors.values()), [*heads, axis], integers(order)
        require(str(size) == self.before.axes[axis], f"{axis} does not have {size} indices")
        for old, where in support.items():
            require(where["axes"] == along, f"support of {old} is not along {along}")
            live, axes = integers(where["live"]).astype(bool).astype(int).astype(object), read[old]
            operands = [(self.was(old), axes), (live, along)]
            self.old[old] = self.world.contract(operands, axes, self.before.axes, self.level)
        require(order.min() >= 0, "an order has negative indices")
        for new, (old, axes) in tensors.items():
            sized = [self.before.axes[a] for a in axes] == self.before.shapes[old]
            require(sized, f"{old} does not have the axes {axes}")
            sides, front = [axes.index(a) for a in along], range(len(along))
            at = (*np.indices(order.shape, sparse=True)[:-1], order)
            self.new[new] = np.moveaxis(np.moveaxis(self.was(old), sides, front)[at], front, sides)

    def constant(self, value: str, coefficient: str, sizes: Any) -> None:
        """`value = coefficient · Π size^e`, up to rounding: both to a power that has no roots."""
        extents = [(self.before.axes[axis], e) for axis, e in powers(sizes)]
        require(all(e.isdigit() for e, _ in extents), f"{value} stands for a size that is a symbol")
        found = [(int(extent), e) for extent, e in extents]
        root = math.lcm(*(e.denominator for _, e in found))
        require(root <= 12 and len(found) <= 12, f"{value} stands for too many roots")
        exact = number(coefficient) ** root * math.prod(
            Fraction(size) ** int(e * root) for size, e in found
        )
        same_sign = (number(value) < 0) == (number(coefficient) < 0)
        near = abs(number(value) ** root - exact) <= abs(exact) * root * ROUNDING
        require(same_sign and near, f"{value} is not what it stands for")

    def scaled(self, new: str, old: str, coefficient: str = "1", sizes: Any = ()) -> None:
        self.new[new] = self.gain(coefficient, sizes) * self.was(old)

    same = scaled

    def tied(self, new: str, old: str) -> None:
        shapes = self.before.shapes
        require(new in shapes and old in shapes, f"there is no tensor {new} or {old}")
        self.old[new] = self.was(old)

    def sum(self, new: str, axes: Any, terms: Any) -> None:
        require(new in self.after.shapes, f"there is no tensor {new}")
        self.new[new] = self.summed(axes, terms, self.after.shapes[new])

    def summed(self, axes: Any, terms: Any, extents: Any) -> Array:
        """A sum of contractions of tensors before, over axes of these sizes."""
        onto = dict(zip(axes, extents, strict=True))
        found = np.zeros([self.world.sizes[extent] for extent in extents], dtype=object)
        for term in terms:
            known = dict(onto)
            for name, own in term["reads"]:
                self.was(name)
                for axis, extent in zip(own, self.before.shapes[name], strict=True):
                    require(known.setdefault(axis, extent) == extent, f"{axis} has two sizes")
            reads = [(self.was(name), own) for name, own in term["reads"]]
            gain = self.gain(term["coefficient"], term["sizes"])
            found = found + gain * self.world.contract(reads, axes, known, self.level)
        return found


# ---- words ---------------------------------------------------------------------------------------


def words(fact: Any) -> str:
    """A fact as an equation."""
    return _equation(fact) + (f", up to {fact['error']:.1e}" if fact.get("error") else "")


def _equation(fact: Any) -> str:
    match fact["kind"]:
        case "nonnegative":
            return f"{fact['old']} >= 0"
        case "zero":
            return f"{fact['old']} = 0"
        case "same" | "tied":
            return f"{fact['new']} = {fact['old']}"
        case "scaled":
            return f"{fact['new']} = {_gain(fact)} * {fact['old']}"
        case "parts":
            minus = f" - {fact['minus']}" if fact["minus"] else ""
            return f"{fact['old']} = {((fact['plus'] or '') + minus).strip()}"
        case "sum":
            return f"{_ref(fact['new'], fact['axes'])} = {_terms(fact)}"
        case "vanishing":
            return f"{_terms(fact)} = 0"
        case "constant":
            return f"{fact['value']} = {_gain(fact)}"
        case "split":
            copied = [old for old, _, is_copied in fact["tensors"].values() if is_copied]
            split = f"{fact['axis']} = {fact['members']} * {fact['group']} + {fact['member']}"
            equal = f", {', '.join(copied)} equal for all {fact['member']}" if copied else ""
            return split + equal
    kept = f"{integers(fact['order']).shape[-1]} of {fact['size']} indices of {fact['axis']}"
    return f"{kept} are kept; at the others every product of {', '.join(fact['support'])} is zero"


def _terms(fact: Any) -> str:
    found: list[str] = []
    for term in fact["terms"]:
        reads = " ".join(_ref(name, axes) for name, axes in term["reads"])
        one = number(term["coefficient"]) == 1 and not term["sizes"]
        found.append(reads if one else f"{_gain(term)} * {reads}")
    return " + ".join(found)


def _ref(name: str, axes: Any) -> str:
    return f"{name}[{', '.join(axes)}]"


def _gain(fact: Any) -> str:
    factors = [f"size({axis})^{power}" for axis, power in fact["sizes"]]
    factor = float(number(fact["coefficient"]))
    return " * ".join(factors if factor == 1.0 and factors else [repr(factor), *factors])
