"""Facts on the arrays themselves, as far as they are here: those in the folder, and those of the spec.

A number that passes have rounded is known as a middle and a radius. The radius is a bound: sums of n
products are taken to be off by no more than n + 8 roundings of the sum of their magnitudes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cortico.verify.recheck.facts import integers, new_names
from cortico.verify.recheck.text import UnableError, number, powers, require

#: Types of stored numbers: their name in a safetensors file, and half a unit of their last place.
TYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}
UNITS = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

#: Most products of a sum, and most of one that is added up exactly.
MOST, MOST_EXACT = 10**8, 10**5


#: A radius above this, relative to the largest number, says nothing.
LOOSEST = 1e-2


class Ball(NamedTuple):
    """Numbers that are within `rad` of `mid`, float64 arrays of one shape."""

    mid: np.ndarray
    rad: np.ndarray


def exactly(array: np.ndarray) -> Ball:
    """Numbers that are known."""
    mid = np.asarray(array, dtype=np.float64)
    return Ball(mid, np.broadcast_to(np.float64(0.0), mid.shape))


#: Shape and type of each tensor that a file must hold; any type where none is named.
Wanted = Mapping[str, tuple[tuple[int, ...], str | None]]


def wanted_by(circuit: Any) -> dict[str, tuple[tuple[int, ...], str | None]]:
    """The stored parameters of a circuit."""
    return {name: (sizes_of(circuit, name), kind) for name, kind in circuit.stored.items()}


def read_tensors(path: Path, wanted: Wanted) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, which holds those that are wanted and nothing else. They stay on disk."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        require(length <= 10**7, "its header is too long")
        try:
            header = json.loads(file.read(length).decode())
        except RecursionError:
            raise ValueError("its header is nested too deeply") from None
    require(isinstance(header, dict), "its header is no object")
    stored, tied = set(header) - {"__metadata__"}, _tied(header.pop("__metadata__", {}))
    header |= {name: header[first] for name, first in tied.items() if first in stored}
    fits = stored.isdisjoint(tied) and set(header) == set(wanted) == stored | set(tied)
    require(fits, "it does not hold the tensors of the circuit")
    kinds = {n: _type(header[n]["dtype"], kind) for n, (_, kind) in wanted.items()}
    total = sum(
        math.prod(shape) * kinds[n].itemsize for n, (shape, _) in wanted.items() if n in stored
    )
    require(path.stat().st_size == 8 + length + total, "it does not have the circuit's sizes")
    found: dict[str, np.ndarray] = {}
    for name, (shape, _) in wanted.items():
        start, end = (
            header[name]["data_offsets"][0],
            total - math.prod(shape) * kinds[name].itemsize,
        )
        fits = header[name]["shape"] == list(shape) and type(start) is int and 0 <= start <= end
        require(fits, f"{name} is not as the circuit has it")
        found[name] = np.memmap(path, kinds[name], "r", 8 + length + start, shape)
        require(np.isfinite(found[name]).all(), f"{name} holds numbers that are not finite")
    return found


def _tied(about: Any) -> dict[str, str]:
    """Names of tensors to the names that they are stored under, from the metadata of a file."""
    try:
        found = json.loads(about.get("tied", "{}"))
    except (AttributeError, TypeError, RecursionError):
        raise ValueError("its metadata are no texts by name") from None
    names = isinstance(found, dict) and all(isinstance(each, str) for each in found.values())
    require(names, "its metadata do not say which tensors are one")
    return dict(found)


def _type(stored: Any, kind: str | None) -> np.dtype[Any]:
    """The type of a tensor, which is the one that is wanted where one is."""
    names = {there: name for name, there in TYPES.items()}
    fits = type(stored) is str and stored in names and kind in (None, names[stored])
    require(fits, "a tensor has another type than the circuit's")
    return np.dtype(names[stored]).newbyteorder("<")


def sizes_of(circuit: Any, name: str) -> tuple[int, ...]:
    """The sides of a tensor of which there are numbers."""
    require(all(side.isdigit() for side in circuit.shapes[name]), f"{name} has no sizes")
    return tuple(int(side) for side in circuit.shapes[name])


class Ledger:
    """What is known of the arrays of every circuit of a chain.

    `last` are the arrays of the last circuit, `first` those of the first, each None when not here.
    `steps` are the facts of each step.
    """

    def __init__(
        self,
        circuits: Sequence[Any],
        steps: Sequence[Any],
        first: Mapping[str, Ball] | None,
        last: Mapping[str, np.ndarray] | None,
    ) -> None:
        self.circuits, self.wrong, self.radii = circuits, list[str](), list[np.ndarray]()
        self.at: list[dict[str, Ball]] = [{} for _ in circuits]
        self.at[-1] = {name: exactly(array) for name, array in (last or {}).items()}
        self.made = [{name for fact in facts for name in new_names(fact)} for facts in steps]
        for k in reversed(range(len(steps))):
            kept = set(circuits[k].stored) & set(self.at[k + 1]) - self.made[k]
            self.at[k] = {name: self.at[k + 1][name] for name in kept}
        for name, ball in (first or {}).items():
            self.enter(0, name, ball)
        have = set(first or ())
        for k, facts in enumerate(steps):
            have = {
                *(have & set(circuits[k + 1].stored) - self.made[k]),
                *self.forward(k, facts, have),
            }
        #: Whether every array of the last circuit was made from those of the first.
        self.complete = last is not None and set(circuits[-1].stored) <= have and not self.wrong

    def forward(self, k: int, facts: Any, have: set[str]) -> set[str]:
        """Note what step k makes of the arrays before it; the names of those made of `have` alone."""
        for name in set(self.circuits[k + 1].stored) & set(self.at[k]) - self.made[k]:
            self.enter(k + 1, name, self.at[k][name])
        return {n for fact in facts for n in self.derive(k, fact) if self.olds(k, fact) <= have}

    @property
    def rounding(self) -> float:
        """The largest radius of a number of the last circuit, as it was made."""
        return max((float(rad.max(initial=0.0)) for rad in self.radii), default=0.0)

    def enter(self, k: int, name: str, ball: Ball) -> None:
        """Note an array of circuit k; it must be what is known of it already."""
        have = self.at[k].get(name)
        if have is None:
            self.at[k][name] = ball
        elif not apart(have, ball):
            self.at[k][name] = min(have, ball, key=lambda each: float(each.rad.max(initial=0.0)))
        else:
            self.wrong.append(f"the numbers of {name} are not those that they come from")

    def old(self, k: int, name: str) -> Ball:
        require(
            name in self.circuits[k].stored,
            f"nothing is known of the numbers of {name}: it has none",
        )
        if name not in self.at[k]:
            raise UnableError(f"the numbers of {name} are not here")
        return self.at[k][name]

    def olds(self, k: int, fact: Any) -> set[str]:
        """The tensors before step k that a fact is about."""
        match fact["kind"]:
            case "zero" if self.makes_zero(k, fact):
                return set()
            case "sum" | "vanishing":
                return {name for term in fact["terms"] for name, _ in term["reads"]}
            case "split" | "selected":
                return {tensor[0] for tensor in fact["tensors"].values()}
            case "constant":
                return set()
            case "tied":
                return {fact["new"], fact["old"]}
        return {fact["old"]}

    def makes_zero(self, k: int, fact: Any) -> bool:
        """Whether a fact says of a tensor that only the circuit after step k has that it is zero."""
        return fact["old"] in set(self.circuits[k + 1].stored) - set(self.circuits[k].stored)

    # ---- facts ---------------------------------------------------------------------------------

    def derive(self, k: int, fact: Any) -> list[str]:
        """Note what a fact says of arrays after step k; the names of those that are known now."""
        try:
            made = self.made_by(k, fact)
        except (UnableError, ValueError, LookupError):
            return []  # `check` says what is wrong
        for name, ball in made.items():
            self.enter(k + 1, name, ball)
            self.radii.append(ball.rad)
        return list(made)

    def check(self, k: int, fact: Any) -> None:
        """ValueError when the arrays miss a fact of step k; UnableError when they are not here."""
        after = self.circuits[k + 1]
        for name in new_names(fact):
            require(name in after.stored, f"nothing is known of the numbers of {name}: it has none")
        if fact["kind"] in ("zero", "nonnegative"):
            where = k if fact["old"] in self.circuits[k].stored else k + 1
            mid, rad = self.old(where, fact["old"])
            broken = np.abs(mid) > rad if fact["kind"] == "zero" else mid < -rad
            require(not broken.any(), f"{fact['old']} is another")
            if rad.any():
                raise UnableError(f"the numbers of {fact['old']} are not known exactly")
        elif fact["kind"] == "vanishing":
            self.vanishing(k, fact)
        elif fact["kind"] == "tied":
            self.tied(k, fact)
        else:
            for name, ball in self.made_by(k, fact).items():
                if name not in self.at[k + 1]:
                    raise UnableError(f"the numbers of {name} are not here")
                require(not apart(self.at[k + 1][name], ball), f"{name} is another")

    def made_by(self, k: int, fact: Any) -> dict[str, Ball]:
        """The arrays after step k that a fact makes of those before it."""
        match fact["kind"]:
            case "same":
                return {fact["new"]: self.old(k, fact["old"])}
            case "scaled":
                mid, rad = self.old(k, fact["old"])
                gain = self.gain(k, fact)
                found = Ball(mid * gain, rad * abs(gain))
                return {fact["new"]: self.rounded(k, fact, found, np.abs(found.mid), 8)}
            case "sum":
                return {fact["new"]: self.rounded(k, fact, *self.summed(k, fact))}
            case "parts":
                mid, rad = self.old(k, fact["old"])
                parts = {fact["plus"]: np.maximum(mid, 0), fact["minus"]: np.maximum(-mid, 0)}
                missing = parts.get(None)  # a part that is not there must be nothing
                require(missing is None or (missing <= rad).all(), f"{fact['old']} has a part more")
                return {name: Ball(part, rad) for name, part in parts.items() if name is not None}
            case "split":
                return dict(self.split(k, fact))
            case "selected":
                return dict(self.selected(k, fact))
            case "zero" if self.makes_zero(k, fact):
                return {fact["old"]: exactly(np.zeros(sizes_of(self.circuits[k + 1], fact["old"])))}
        return {}

    def split(self, k: int, fact: Any) -> Any:
        members = fact["members"]
        for new, (old, side, copied) in fact["tensors"].items():
            mid, rad = (self.blocks(each, side, members) for each in self.old(k, old))
            if copied:
                first = mid.take([0], axis=side + 1)
                require((np.abs(mid - first) <= 2 * rad).all(), f"{old} differs between heads")
                mid, rad = mid.take(0, axis=side + 1), rad.take(0, axis=side + 1)
            yield new, Ball(mid, rad)

    @staticmethod
    def blocks(array: np.ndarray, side: int, members: int) -> np.ndarray:
        return array.reshape(*array.shape[:side], -1, members, *array.shape[side + 1 :])

    def selected(self, k: int, fact: Any) -> Any:
        along, order = [*fact["heads"], fact["axis"]], integers(fact["order"])
        at = (*np.indices(order.shape, sparse=True)[:-1], order)
        front = range(len(along))
        for new, (old, axes) in fact["tensors"].items():
            sides = [axes.index(a) for a in along]
            mid, rad = (np.moveaxis(each, sides, front) for each in self.old(k, old))
            if old in fact["support"]:
                used = (np.abs(mid) + rad).reshape(*mid.shape[: len(along)], -1).any(axis=-1)
                live = integers(fact["support"][old]["live"]).astype(bool)
                require(used.shape == live.shape, f"the support of {old} has other sizes")
                require(not (used & ~live).any(), f"{old} is not zero where it is said to be")
            yield new, Ball(*(np.moveaxis(each[at], front, sides) for each in (mid, rad)))

    def tied(self, k: int, fact: Any) -> None:
        """That two arrays before a step are the same."""
        one, other = (self.old(k, fact[which]) for which in ("new", "old"))
        require(one.mid.shape == other.mid.shape, f"{fact['new']} has other sizes")
        require((one.mid == other.mid).all(), f"{fact['new']} is another")
        if one.rad.any() or other.rad.any():
            raise UnableError(f"the numbers of {fact['new']} are not known exactly")

    def vanishing(self, k: int, fact: Any) -> None:
        """That a sum is zero: exactly, in fractions, where rounding could hide that it is not."""
        total, magnitude, count = self.summed(k, fact)
        bound = total.rad + count * UNITS["float64"] * magnitude + fact.get("error", 0.0)
        require((np.abs(total.mid) <= bound).all(), "a sum of numbers is not zero")
        if not magnitude.any() or fact.get("error"):
            return
        olds = {name: self.old(k, name) for name in self.olds(k, fact)}
        if total.rad.any() or count * magnitude.size > MOST_EXACT:
            raise UnableError("that a sum of numbers is exactly zero")
        numbers = {n: np.vectorize(Fraction, otypes=[object])(ball.mid) for n, ball in olds.items()}
        found: Any = 0
        for term in fact["terms"]:
            if term["sizes"]:
                raise UnableError("that a sum of numbers with roots of sizes is exactly zero")
            gain = number(term["coefficient"])
            found = found + gain * self.contract(k, fact, term, numbers)[0]
        require(not np.any(found != 0), "a sum of numbers is not zero")

    # ---- numbers -------------------------------------------------------------------------------

    def gain(self, k: int, fact: Any) -> float:
        """A gain as a float."""
        found = float(number(fact["coefficient"]))
        for axis, power in powers(fact["sizes"]):
            extent = self.circuits[k].axes[axis]
            if not extent.isdigit():
                raise UnableError(f"the size {extent} is a symbol")
            found *= float(extent) ** float(power)
        return found

    def summed(self, k: int, fact: Any) -> tuple[Ball, np.ndarray, int]:
        """The contractions of a fact added up, the sum of their magnitudes, and how many there are."""
        balls = {name: self.old(k, name) for name in self.olds(k, fact)}
        mids = {name: ball.mid for name, ball in balls.items()}
        most = {name: np.abs(ball.mid) + ball.rad for name, ball in balls.items()}
        mid: Any = 0.0
        rad: Any = 0.0
        magnitude: Any = 0.0
        count = 8
        for term in fact["terms"]:
            gain = self.gain(k, term)
            found, number_ = self.contract(k, fact, term, mids)
            exact, _ = self.contract(k, fact, term, {n: np.abs(a) for n, a in mids.items()})
            large, _ = self.contract(k, fact, term, most)
            mid, count = mid + gain * found, count + number_
            rad = rad + abs(gain) * (large - exact)
            magnitude = magnitude + abs(gain) * large
        return Ball(np.asarray(mid), np.maximum(rad, 0.0)), np.asarray(magnitude), count

    def contract(self, k: int, fact: Any, term: Any, numbers: Any) -> tuple[np.ndarray, int]:
        """A product of arrays summed onto the axes of a fact, broadcast; and how many are summed."""
        letters: dict[str, int] = {}
        sizes: dict[str, int] = {}
        parts: list[Any] = []
        for name, axes in term["reads"]:
            parts += [numbers[name], [letters.setdefault(axis, len(letters)) for axis in axes]]
            sizes |= dict(zip(axes, numbers[name].shape, strict=True))
        if math.prod(sizes.values()) > MOST:
            raise UnableError("a sum of numbers is too large to be re-checked")
        own = [axis for axis in fact["axes"] if axis in letters]
        found = np.einsum(*parts, [letters[axis] for axis in own])
        missing = [place for place, axis in enumerate(fact["axes"]) if axis not in letters]
        return np.expand_dims(found, missing), math.prod(sizes.values()) // max(found.size, 1)

    def rounded(self, k: int, fact: Any, ball: Ball, magnitude: Any, count: int) -> Ball:
        """Numbers as they are stored: with the rounding of their type, and the error that is stated."""
        unit = UNITS[self.circuits[k + 1].stored.get(fact["new"], "float64")]
        rad = ball.rad + count * unit * magnitude + fact.get("error", 0.0)
        most = np.abs(ball.mid).max(initial=0.0)
        if not (np.isfinite(rad).all() and rad.max(initial=0.0) <= LOOSEST * most):
            raise UnableError(f"rounding could hide other numbers of {fact['new']}")
        return Ball(ball.mid, np.broadcast_to(rad, ball.mid.shape))


def apart(one: Ball, other: Ball) -> bool:
    """Whether numbers that are known in two ways cannot be the same."""
    if one.mid.shape != other.mid.shape:
        return True
    return not bool((np.abs(one.mid - other.mid) <= one.rad + other.rad).all())
