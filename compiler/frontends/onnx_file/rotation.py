"""Rotary embedding found in the matrices that queries and keys are multiplied with at each position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.spec import Rotary, RotaryStyle

#: Largest difference of a rotation from the matrix found, in float32 tables of cosines.
_TOLERANCE = 1e-4
#: Digits of a base that people write.
_DIGITS = 4
#: Largest error of a frequency that a base explains: relative, and in radians per token.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-8
#: Radians per token of a plane that does not turn.
_STILL = 1e-12
#: What an angle computed in float32 is off by, relative to the angle.
_ANGLE = 2.0**-21


@dataclass(frozen=True)
class Turning:
    """`rotary`, and the frequencies (radians per token) where no base gives them."""

    rotary: Rotary
    frequencies: np.ndarray | None

    def rates(self, features: int) -> np.ndarray:
        """Radians per token of each plane of heads with so many features."""
        if self.frequencies is not None:
            return self.frequencies
        return _usual(self.rotary.base, self.rotary.rotated or features)


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
    angles = _frequencies(np.stack([_angles(one, style, rotated) for one in turns]))
    if style is RotaryStyle.INTERLEAVED:  # planes at the end that stand still
        angles = angles[: 1 + int(np.flatnonzero(np.abs(angles) > _STILL).max(initial=0))]
        rotated = 2 * len(angles)
    own = None if rotated == features else rotated
    base = Rotary().base if rotated == 2 else angles[1] ** (-rotated / 2)
    rotary = Rotary(base=_round(base), style=style, rotated=own)
    known = np.allclose(angles, _usual(rotary.base, rotated), rtol=_RELATIVE, atol=_ABSOLUTE)
    return Turning(rotary if known else Rotary(style=style, rotated=own), None if known else angles)


def _usual(base: float, rotated: int) -> np.ndarray:
    return np.asarray(base ** (-np.arange(0, rotated, 2) / rotated))


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


def turned(rates: np.ndarray, angles: np.ndarray, style: RotaryStyle) -> np.ndarray:
    """Rates (…, n, features), token t turned by t times the angles of its planes."""
    first, second = planes(style, 2 * len(angles))
    phases = np.arange(rates.shape[-2])[:, None] * angles
    cos, sin = np.cos(phases), np.sin(phases)
    found = rates.copy()
    found[..., first] = cos * rates[..., first] - sin * rates[..., second]
    found[..., second] = sin * rates[..., first] + cos * rates[..., second]
    return found


def even_tables(cosines: np.ndarray, sines: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Tables (…, rows, planes) without the rounding that they are stored with.

    Row t has f cos(t w) and f sin(t w), with one factor f for all (YaRN: 0.1 ln s + 1) and one frequency w for
    each plane. None when some row is further from that than rounding: cos^2 + sin^2 that is not
    one number, or planes that turn unevenly.
    """
    shape, planes = cosines.shape, cosines.shape[-1]
    cosines, sines = cosines.reshape(-1, planes), sines.reshape(-1, planes)
    rounding = 4 * max(_rounding(cosines), _rounding(sines))
    factor = float(np.sqrt((cosines**2 + sines**2).mean()))
    if len(cosines) < 2 or not np.isfinite(factor):
        return None
    factor = 1.0 if abs(factor - 1) < rounding else factor
    angles = np.arange(len(cosines))[:, None] * _frequencies(np.arctan2(sines, cosines))
    found = factor * np.cos(angles), factor * np.sin(angles)
    allowed = factor * (rounding + _ANGLE * np.abs(angles))
    near = [np.abs(found[0] - cosines) <= allowed, np.abs(found[1] - sines) <= allowed]
    return (found[0].reshape(shape), found[1].reshape(shape)) if np.all(near) else None


def _frequencies(phases: np.ndarray) -> np.ndarray:
    """Radians per row of phases (rows, planes) that are known up to whole turns."""
    rates, last = phases[1], len(phases) - 1
    for t in [*(2**k for k in range(1, last.bit_length())), last]:
        whole = np.round((t * rates - phases[t]) / (2 * np.pi))
        rates = (
            phases[t] + 2 * np.pi * whole
        ) / t  # small angles are better known after some turns
    return np.asarray(rates)


def _rounding(array: np.ndarray) -> float:
    """The precision in which numbers were stored: half, single or double."""
    for kind in (np.float16, np.float32):
        if (array.astype(kind) == array).all():
            return float(np.finfo(kind).eps)
    return float(np.finfo(np.float64).eps)
