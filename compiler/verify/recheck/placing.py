"""The spec's own weights as its first circuit has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortico.verify.recheck.arrays import UNITS, Ball, exactly
from cortico.verify.recheck.text import require

#: Half units of the last place by which two libraries may differ in a power.
POWERS = 8


def placed(textbook: Any, weights: Mapping[str, np.ndarray]) -> dict[str, Ball]:
    """The spec's weights as its first circuit has them: heads in groups, turned features in pairs."""
    found = dict[str, Ball]()
    for name, array in weights.items():
        if name == "rotary_frequencies":
            continue
        require(name in textbook.sides, f"{printable_name(name)} is no tensor of the spec")
        sides = textbook.sides[name]
        parts = [[textbook.extents[x] for x in textbook.split.get(side, side)] for side in sides]
        require(all(n.isdigit() for part in parts for n in part), f"{name} has no sizes")
        whole = tuple(math.prod(map(int, part)) for part in parts)
        require(array.shape == whole, f"{name} has the shape {array.shape}, expected {whole}")
        if "a" in sides and textbook.rotary:
            array = array.take(turned(textbook), axis=sides.index("a"))
        found[name] = exactly(array.reshape([int(n) for part in parts for n in part]))
    if textbook.rotary:
        given = weights.get("rotary_frequencies")
        turns = frequencies(textbook, given)
        error = 0.0 if given is not None else POWERS * UNITS["float64"]
        found["frequencies"] = Ball(turns, error * turns)
    return found


def printable_name(name: str) -> str:
    """A name of the user's own weights."""
    return name if name.isidentifier() else repr(name)


def turned(textbook: Any) -> list[int]:
    """Features in the order of planes: `p` and `p + rotated/2`, or `2p` and `2p + 1`; others stay."""
    rotary, d = textbook.s["rotary"], int(textbook.extents["a"])
    rotated = rotary.get("rotated") or d
    half, still = rotated // 2, list(range(rotated, d))
    if rotary.get("style", "half_split") == "interleaved":
        return [*range(rotated), *still]
    return [feature for p in range(half) for feature in (p, p + half)] + still


def frequencies(textbook: Any, given: np.ndarray | None = None) -> np.ndarray:
    """Radians per token of each plane: `base^(-2p/rotated)` unless they are given; others are 0."""
    rotary, d = textbook.s["rotary"], int(textbook.extents["a"])
    rotated = rotary.get("rotated") or d
    found = np.zeros(d // 2)
    own = [float(rotary.get("base", 10000.0)) ** (-2 * p / rotated) for p in range(rotated // 2)]
    found[: rotated // 2] = own if given is None else given
    return found
