"""Finding the facts on which a pass rests: what its new tensors are in terms of the old ones.

The pass is not asked: facts are read off the two circuits and checked on their arrays, so a pass
cannot vouch for itself.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import Axis, Circuit, Gain, Role, TensorRef, Weight
from cortico.ir.analysis.axes import bounded_axes
from cortico.ir.analysis.constants import stored_of
from cortico.ir.rewrite import map_weights, readings, weights_of
from cortico.ir.tensors import FLOATS
from cortico.verify.steps.axis_facts import Selected, Split
from cortico.verify.steps.facts import (
    Constant,
    Fact,
    NonNegative,
    Scaled,
    SignParts,
    Tied,
    Zero,
)
from cortico.verify.steps.gains import ExactGain

#: By how much a number of a type may miss what it rounds, relative to itself.
_ROUNDING = {name: float(np.finfo(name).eps) for name in FLOATS}


def stored(circuit: Circuit) -> dict[str, np.ndarray]:
    """The arrays of the parameters that have values."""
    return {p.name: p.values for p in circuit.parameters if p.values is not None}


def find_facts(before: Circuit, after: Circuit) -> list[Fact]:
    """Facts that relate the numbers of two circuits; tensors they do not explain stay unknown."""
    facts: list[Fact] = [*_cut_axes(before, after), *_split_axes(before, after)]
    explained = _explained(facts)
    known = stored(before)
    for name in stored(after):
        if name not in known and name not in explained:
            facts += itertools.islice(_same_shape(before, after, name), 1)
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
    facts: dict[ExactGain, Fact] = {}

    def plain(weight: Weight) -> Weight:
        powers = ExactGain(sizes=weight.gain.sizes)
        known = all(axis in numbers for axis, _ in powers.sizes)
        if powers.is_one or not known or not powers.is_exactly_one(numbers):
            return weight
        facts[powers] = Constant(0.0, 1.0, powers)
        return replace(weight, gain=Gain(weight.gain.coefficient))

    return map_weights(circuit, plain), list(facts.values())


def named_constants(before: Circuit, after: Circuit) -> Iterator[Constant]:
    """The gains that `after` has as numbers, as products of gains of `before` that they round."""
    known = {w.gain.coefficient for w in weights_of(before)}
    candidates = list(_products(_gains(before)))
    for value in dict.fromkeys(w.gain.coefficient for w in weights_of(after)):
        if value not in known:
            found = (_constant(value, gain, _numbers(before)) for gain in candidates)
            yield from itertools.islice((each for each in found if each is not None), 1)


def _constant(value: float, gain: ExactGain, sizes: dict[str, int]) -> Constant | None:
    exact = gain.value(sizes)
    error = abs(value - exact)
    allowed = gain.rounding + _ROUNDING["float64"]
    return (
        Constant(error + gain.rounding * abs(exact), value, gain)
        if (error <= allowed * abs(exact) and math.isfinite(exact))
        else None
    )


def _gains(circuit: Circuit) -> list[ExactGain]:
    """The gains of a circuit with numbers for their sizes, each once; those that are numbers only, last.

    Of a number and a scale that is as large, such as eps beside 1/√d, it is the scale that moves.
    """
    numbers = _numbers(circuit)
    own = [w.gain for w in weights_of(circuit) if not w.gain.is_one and w.gain.coefficient]
    known = (g for g in own if all(axis in numbers for axis, _ in g.sizes))
    return list(dict.fromkeys(map(ExactGain.of, sorted(known, key=lambda g: not g.sizes))))


def _products(gains: Sequence[ExactGain]) -> Iterator[ExactGain]:
    """Products of one, two and three of them."""
    for count in (1, 2, 3):
        for chosen in itertools.combinations_with_replacement(gains, count):
            yield functools.reduce(operator.mul, chosen)


def _numbers(circuit: Circuit) -> dict[str, int]:
    """The sizes of axes along which there are neurons, as far as they are numbers."""
    used = {axis for population in circuit.populations for axis in population.axes}
    return {
        axis.name: axis.extent
        for axis in circuit.axes
        if isinstance(axis.extent, int) and axis.name in used
    }


# ---- tensors of the same shape -------------------------------------------------------------------


def tied(circuit: Circuit) -> list[Fact]:
    """Tensors that hold the same numbers, such as W_K and W_Q of one shape."""
    facts: list[Fact] = []
    seen: list[tuple[str, np.ndarray]] = []
    for name, array in stored(circuit).items():
        old = next(
            (o for o, a in seen if a.shape == array.shape and np.array_equal(a, array)), None
        )
        facts += [Tied(0.0, name, old)] if old else []
        seen += [] if old else [(name, array)]
    return facts


def _same_shape(before: Circuit, after: Circuit, name: str) -> Iterator[Fact]:
    """The same numbers under another name, or scaled by a gain of either circuit, or by its reciprocal."""
    array = stored(after)[name]
    alike = {o: a for o, a in stored(before).items() if a.shape == array.shape and a.any()}
    for old, values in alike.items():
        if np.array_equal(values, array):
            yield Scaled(0.0, name, old, ExactGain())
    numbers = [g for g in _gains(after) if not g.sizes]
    gains = [*_products(_gains(before)), *numbers, *(g.inverse() for g in numbers)]
    for (old, values), gain in itertools.product(alike.items(), dict.fromkeys(gains)):
        error = _rounding_error(array, values, gain, _numbers(before))
        if error is not None:
            yield Scaled(error, name, old, gain)


def _rounding_error(
    found: np.ndarray, values: np.ndarray, gain: ExactGain, sizes: Mapping[str, int]
) -> float | None:
    """A bound on how far `found` is from `gain · values` in any entry; None when no rounding explains it.

    Each entry is judged by itself: a large one does not excuse a small one.
    """
    factor, tolerance = gain.value(sizes), gain.rounding + _ROUNDING[found.dtype.name]
    largest = np.unravel_index(np.abs(values).argmax(), values.shape)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        first = float(values[largest]) * factor
        if not abs(float(found[largest]) - first) <= tolerance * abs(first):
            return None  # as in most cases: do not look at all entries
        expected = values.astype(np.float64) * factor
        missed = np.abs(found.astype(np.float64) - expected)
        if not (missed <= tolerance * np.abs(expected)).all():
            return None
        return float((missed + gain.rounding * np.abs(expected)).max())


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
    """Which indices of an axis were kept, head by head; None when the arrays do not say.

    None too where the place of an index counts, or where something else than these arrays is read at it.
    """
    pairs = _pairs_along(before, after, axis)
    others = {ref.name for ref in _along(after, axis)} - pairs.keys()
    if others or _orders(before, axis) or _orders(after, axis):
        return None
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
    for ref in (ref for ref in _along(after, axis) if ref.name in stored(after)):
        named = [o for o in old.values() if o.axes == ref.axes and stem(o.name) == stem(ref.name)]
        if named:
            found[ref.name] = named[0]
    return found


def stem(name: str) -> str:
    """The name of a tensor before passes gave it others: W_Q for W_Q_v2 and for W_Q_stage1."""
    return re.sub(r"(_v\d+|_stage\d+)*$", "", name)


def _orders(circuit: Circuit, axis: str) -> bool:
    """Whether the order of an axis' indices counts: a bound or a distance is on it."""
    counted = (axis in _position_axes(circuit, reading) for reading in readings(circuit))
    return axis in bounded_axes(circuit) or any(counted)


def _position_axes(circuit: Circuit, ref: TensorRef) -> tuple[str, ...]:
    """The axes at which a formula is read that counts their indices."""
    formula = circuit.formula(ref.name)
    if formula is None:
        return ()
    return ref.axes[-2:] if formula.kind == "distance" else ref.axes[:1]


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
    """Area axes in whose place stand two new ones, with as many indices in all."""
    old = {axis.name for axis in before.axes}
    for place, axis in enumerate(before.axes):
        found = after.axes[place : place + 2]
        if axis.role is Role.AREA and len(found) == 2 and not {a.name for a in found} & old:
            pair = _Pair(axis, *found)
            if math.prod(pair.sizes) == axis.extent:
                yield pair


def _split(before: Circuit, after: Circuit, pair: _Pair) -> Split | None:
    """The split of an axis into a pair, if the arrays of all tensors along it fit."""
    if _orders(before, pair.axis.name):
        return None
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
    """The plain parameters that are read along an axis, those behind formulas among them.

    A formula itself where its sides are not those of a parameter: of its numbers along the axis nothing is known.
    """
    refs = [stored_of(circuit, weight) or weight.tensor for weight in weights_of(circuit)]
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
