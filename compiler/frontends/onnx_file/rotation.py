"""Rotary embedding found in the matrices that queries and keys are multiplied with at each position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.spec import Rotary, RotaryStyle

#: Largest difference of a rotation from the matrix found, in float32 tables of cosines.
_TOLERANCE = 1e-4
#: Digits of a base that people write.
_DIGITS = 4


@dataclass(frozen=True)
class Turning:
    """`rotary`, and the frequencies (radians per token) where no base gives them."""

    rotary: Rotary
    frequencies: np.ndarray | None


def find_rotation(maps: np.ndarray) -> Turning | None:
    """The rotation in `maps` (tokens, a, m), which are R_t W of one head; None when it is no rotation."""
    turns = maps @ np.linalg.pinv(maps[0])
    features = maps.shape[1]
    for rotated in range(features - features % 2, 0, -2):
        for style in RotaryStyle:
            angles = _angles(turns[1], style, rotated)
            expected = [turn(t * angles, style, rotated, features) for t in range(len(turns))]
            if np.abs(turns - np.stack(expected)).max() < _TOLERANCE:
                return _named(turns, style, rotated, features)
    return None


def _named(turns: np.ndarray, style: RotaryStyle, rotated: int, features: int) -> Turning:
    """With the base that explains the frequencies, if one does."""
    angles = _angles(turns[1], style, rotated)
    for t in range(2, len(turns)):  # small angles are better known after some turns
        found = _angles(turns[t], style, rotated)
        whole = np.round((t * angles - found) / (2 * np.pi))
        angles = (found + 2 * np.pi * whole) / t
    own = None if rotated == features else rotated
    base = Rotary().base if rotated == 2 else angles[1] ** (-rotated / 2)
    rotary = Rotary(base=_round(base), style=style, rotated=own)
    usual = rotary.base ** (-np.arange(0, rotated, 2) / rotated)
    known = np.allclose(angles, usual, rtol=1e-5)
    return Turning(rotary if known else Rotary(style=style, rotated=own), None if known else angles)


def _round(base: float) -> float:
    return float(f"{base:.{_DIGITS}g}") if np.isfinite(base) and base > 0 else Rotary().base


def planes(style: RotaryStyle, rotated: int) -> tuple[np.ndarray, np.ndarray]:
    """The two features of each plane that turn together."""
    if style is RotaryStyle.HALF_SPLIT:
        first = np.arange(rotated // 2)
        return first, first + rotated // 2
    first = np.arange(0, rotated, 2)
    return first, first + 1


def _angles(turned: np.ndarray, style: RotaryStyle, rotated: int) -> np.ndarray:
    first, second = planes(style, rotated)
    return np.asarray(np.arctan2(turned[second, first], turned[first, first]))


def turn(angles: np.ndarray, style: RotaryStyle, rotated: int, features: int) -> np.ndarray:
    """The matrix (features, features) that turns each plane by its angle."""
    matrix = np.eye(features)
    first, second = planes(style, rotated)
    matrix[first, first] = matrix[second, second] = np.cos(angles)
    matrix[second, first], matrix[first, second] = np.sin(angles), -np.sin(angles)
    return matrix
