"""Finding the facts on which a pass rests: what its new tensors are in terms of the old ones.

The pass is not asked: facts are read off the two circuits and checked on their arrays, so a pass
cannot vouch for itself.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import Axis, Circuit, Gain, Role, TensorRef, Weight
from cortico.passes.dependence import map_weights, reads, stored_of
from cortico.verify.steps.facts import (
    Constant,
    Fact,
    NonNegative,
    Scaled,
    Selected,
    SignParts,
    Split,
    Zero,
)

#: Rounding up to which a number is taken for another: a few units of its type.
_ROUNDING = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}


def stored(circuit: Circuit) -> dict[str, np.ndarray]:
    """The arrays of the parameters that have values."""
    return {p.name: p.values for p in circuit.parameters if p.values is not None}


def find_facts(before: Circuit, after: Circuit) -> list[Fact]:
    """Facts that relate the numbers of two circuits; tensors they do not explain stay unknown."""
    facts: list[Fact] = [*_cut_axes(before, after), *_split_axes(before, after)]
    explained = _explained(facts)
    known = stored(before)
    for name, array in stored(after).items():
        if name not in known and name not in explained:
            facts += itertools.islice(_same_shape(before, name, array), 1)
    return facts + _sign_parts(before, after) + _zeros(before, after)


def nonnegative(circuit: Circuit) -> list[Fact]:
    """Tensors without a negative number."""
    return [NonNegative(0.0, n) for n, a in stored(circuit).items() if a.any() and (a >= 0).all()]


def _zeros(before: Circuit, after: Circuit) -> list[Fact]:
    """Tensors that are zero everywhere. They come last: other facts speak of the same tensors."""
    arrays = {**stored(before), **stored(after)}
    return [Zero(0.0, name) for name, array in arrays.items() if not array.any()]


def _explained(facts: list[Fact]) -> set[str]:
    names: set[str] = set()
    for fact in facts:
        if isinstance(fact, Selected):
            names |= set(fact.tensors)
        if isinstance(fact, Split):
            names |= {new for new, _, _ in fact.tensors.values()}
    return names


# ---- gains ---------------------------------------------------------------------------------------


def without_unit_gains(circuit: Circuit) -> tuple[Circuit, list[Fact]]:
    """The circuit without powers of sizes that make one, such as size(a)^-1/2 where a has one index."""
    numbers = _numbers(circuit)
    facts: dict[Gain, Fact] = {}

    def plain(weight: Weight) -> Weight:
        powers = Gain(1.0, weight.gain.sizes)
        known = all(axis in numbers for axis, _ in powers.sizes)
        if powers.is_one or not known or powers.value(numbers) != 1.0:
            return weight
        facts[powers] = Constant(0.0, 1.0, powers)
        return replace(weight, gain=Gain(weight.gain.coefficient))

    return map_weights(circuit, plain), list(facts.values())


def named_constants(before: Circuit, after: Circuit) -> tuple[Circuit, list[Fact]]:
    """`after` with the gains that it has as numbers put back as products of gains of `before`."""
    known = {w.gain.coefficient for w in reads(before)}
    candidates = list(_gains(before))
    sizes = _numbers(before)
    facts: dict[float, Constant] = {}

    def restored(weight: Weight) -> Weight:
        value = weight.gain.coefficient
        if value in known:
            return weight
        found = facts.get(value) or _constant(value, candidates, sizes)
        if found is None:
            return weight
        facts[value] = found
        return replace(weight, gain=found.gain * Gain(1.0, weight.gain.sizes))

    changed = map_weights(after, restored)
    return changed, list(facts.values())


def _constant(value: float, candidates: list[Gain], sizes: dict[str, int]) -> Constant | None:
    for gain in candidates:
        exact = gain.value(sizes)
        if exact and abs(value / exact - 1) <= _ROUNDING["float64"]:
            return Constant(abs(value / exact - 1), value, gain)
    return None


def _gains(circuit: Circuit) -> Iterator[Gain]:
    """The gains of a circuit with numbers for their sizes, and products of two and three of them."""
    numbers = _numbers(circuit)
    own = [w.gain for w in reads(circuit) if not w.gain.is_one]
    own = list(dict.fromkeys(g for g in own if all(axis in numbers for axis, _ in g.sizes)))
    for count in (1, 2, 3):
        for chosen in itertools.combinations_with_replacement(own, count):
            yield _product(chosen)


def _product(gains: tuple[Gain, ...]) -> Gain:
    total = Gain()
    for gain in gains:
        total = total * gain
    return total


def _numbers(circuit: Circuit) -> dict[str, int]:
    return {axis.name: axis.extent for axis in circuit.axes if isinstance(axis.extent, int)}


# ---- tensors of the same shape -------------------------------------------------------------------


def _same_shape(before: Circuit, name: str, array: np.ndarray) -> Iterator[Fact]:
    """The same numbers under another name, or scaled by a gain."""
    alike = {o: a for o, a in stored(before).items() if a.shape == array.shape and a.any()}
    for old, values in alike.items():
        if np.array_equal(values, array):
            yield Scaled(0.0, name, old, Gain())
    for old, values in alike.items():
        for gain in _gains(before):
            error = _relative(array, values.astype(np.float64) * gain.value(_numbers(before)))
            if error <= _ROUNDING[array.dtype.name]:
                yield Scaled(error, name, old, gain)


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    scale = float(np.abs(expected).max(initial=0.0))
    return float(np.abs(found - expected).max(initial=0.0)) / scale if scale else np.inf


def _sign_parts(before: Circuit, after: Circuit) -> list[Fact]:
    """Old tensors that the circuit after has as a positive and a negative part."""
    new = {n: a for n, a in stored(after).items() if n not in stored(before)}
    facts: list[Fact] = []
    for old, values in stored(before).items():
        parts = {
            sign: next((n for n, a in new.items() if _is_part(a, values, sign)), None)
            for sign in (1, -1)
        }
        positive, negative = (values > 0).any(), (values < 0).any()
        if parts[1] and (parts[-1] or not negative):
            facts.append(SignParts(0.0, old, parts[1], parts[-1] if negative else None))
        elif parts[-1] and not positive:
            facts.append(SignParts(0.0, old, None, parts[-1]))
    return facts


def _is_part(part: np.ndarray, values: np.ndarray, sign: int) -> bool:
    fits = part.shape == values.shape and (values < 0).any()
    return bool(fits) and np.array_equal(part, np.maximum(sign * values, 0))


# ---- axes that shrink ----------------------------------------------------------------------------


def _cut_axes(before: Circuit, after: Circuit) -> Iterator[Selected]:
    old, new = _numbers(before), _numbers(after)
    split = {pair.axis.name for pair in _split_pairs(before, after)}
    for axis, size in new.items():
        if size < old.get(axis, 0) and axis not in split:
            fact = _selected(before, after, axis)
            if fact is not None:
                yield fact


def _selected(before: Circuit, after: Circuit, axis: str) -> Selected | None:
    """Which indices of an axis were kept, head by head; None when the arrays do not say."""
    pairs = _pairs_along(before, after, axis)
    areas = [a.name for a in before.axes if a.role is Role.AREA and a.name != axis]
    sharing = [set(ref.axes) for ref in pairs.values()]
    sharing += [set(p.axes) for p in before.populations if axis in p.axes]
    heads = tuple(a for a in areas if all(a in axes for axes in sharing))
    joint = (*heads, axis)
    arrays = stored(before), stored(after)
    old = [_front(arrays[0][ref.name], ref, joint) for ref in pairs.values()]
    new = [_front(arrays[1][name], ref, joint) for name, ref in pairs.items()]
    order = _matching(old, new, len(heads)) if pairs else None
    if order is None:
        return None
    support = {
        ref.name: np.asarray(array.any(axis=-1))
        for ref, array in zip(pairs.values(), old, strict=True)
    }
    return Selected(0.0, axis, heads, order, _numbers(before)[axis], pairs, support)


def _pairs_along(before: Circuit, after: Circuit, axis: str) -> dict[str, TensorRef]:
    """The tensors stored after that are read along `axis`, each with its old reference."""
    old = {ref.name: ref for ref in _along(before, axis) if ref.name in stored(before)}
    found: dict[str, TensorRef] = {}
    for ref in _along(after, axis):
        named = [o for o in old.values() if o.axes == ref.axes and stem(o.name) == stem(ref.name)]
        if named:
            found[ref.name] = named[0]
    return found


def stem(name: str) -> str:
    """The name of a tensor before passes gave it others: W_Q for W_Q_v2 and for W_Q_stage1."""
    return re.sub(r"(_v\d+|_stage\d+)*$", "", name)


def _front(array: np.ndarray, ref: TensorRef, joint: tuple[str, ...]) -> np.ndarray:
    """The array with the axes of `joint` first, all others in one."""
    sides = [ref.axes.index(axis) for axis in joint]
    front = np.moveaxis(array, sides, range(len(sides)))
    return front.reshape(*front.shape[: len(joint)], -1)


def _matching(old: list[np.ndarray], new: list[np.ndarray], heads: int) -> np.ndarray | None:
    """For every head, different old indices whose slices are those of the new ones, in all tensors."""
    shape = new[0].shape[: heads + 1]
    order = np.zeros(shape, dtype=int)
    for head in np.ndindex(shape[:heads]):
        waiting: dict[bytes, list[int]] = {}
        for k in range(old[0].shape[heads]):
            waiting.setdefault(_key(old, (*head, k)), []).append(k)
        for k in range(shape[heads]):
            same = waiting.get(_key(new, (*head, k)))
            if not same:
                return None
            order[(*head, k)] = same.pop(0)
    return order


def _key(arrays: list[np.ndarray], index: tuple[int, ...]) -> bytes:
    return b"|".join(array[index].tobytes() for array in arrays)


# ---- axes that are split -------------------------------------------------------------------------


def _split_axes(before: Circuit, after: Circuit) -> Iterator[Split]:
    for pair in _split_pairs(before, after):
        fact = _split(before, after, pair)
        if fact is not None:
            yield fact


@dataclass(frozen=True)
class _Pair:
    """An area axis of the circuit before, and the two axes that stand in its place after."""

    axis: Axis
    group: Axis
    member: Axis

    @property
    def sizes(self) -> tuple[int, int]:
        """How many groups, of how many members; (0, 0) while one is symbolic."""
        groups, members = self.group.extent, self.member.extent
        known = isinstance(groups, int) and isinstance(members, int)
        return (int(groups), int(members)) if known else (0, 0)


def _split_pairs(before: Circuit, after: Circuit) -> Iterator[_Pair]:
    """Area axes in whose place stand two, the second of them new, with as many indices in all."""
    old = {axis.name for axis in before.axes}
    for place, axis in enumerate(before.axes):
        found = after.axes[place : place + 2]
        if axis.role is Role.AREA and len(found) == 2 and found[1].name not in old:
            pair = _Pair(axis, *found)
            if math.prod(pair.sizes) == axis.extent:
                yield pair


def _split(before: Circuit, after: Circuit, pair: _Pair) -> Split | None:
    """The split of an axis into a pair, if the arrays of all tensors along it fit."""
    tensors: dict[str, tuple[str, int, bool]] = {}
    for ref in _along(before, pair.axis.name):
        side = ref.axes.index(pair.axis.name)
        found = _split_tensor(before, after, ref.name, side, pair.sizes)
        if found is None:
            return None
        tensors[ref.name] = found
    members = pair.sizes[1]
    return Split(0.0, pair.axis.name, pair.group.name, pair.member.name, members, tensors)


def _along(circuit: Circuit, axis: str) -> list[TensorRef]:
    """The plain parameters that are read along an axis, those behind formulas among them."""
    refs = [stored_of(circuit, weight) for weight in reads(circuit)]
    return list(dict.fromkeys(ref for ref in refs if ref is not None and axis in ref.axes))


def _split_tensor(
    before: Circuit, after: Circuit, old: str, side: int, sizes: tuple[int, int]
) -> tuple[str, int, bool] | None:
    values = stored(before).get(old)
    if values is None:
        return None
    blocks = values.reshape(*values.shape[:side], *sizes, *values.shape[side + 1 :])
    for name, array in stored(after).items():
        if array.shape == blocks.shape and np.array_equal(array, blocks):
            return name, side, False
    first = blocks.take(0, axis=side + 1)
    copies = np.array_equal(np.broadcast_to(np.expand_dims(first, side + 1), blocks.shape), blocks)
    for name, array in stored(after).items():
        if copies and array.shape == first.shape and np.array_equal(array, first):
            return name, side, True
    return None
