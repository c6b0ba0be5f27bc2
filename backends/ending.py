"""What a run in time comes to: whether all is at rest, or swings, or grows without end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from cortico.ir.analysis.inputs import Arrays

#: Of a run, the last part in which nothing moves that has settled.
_LAST = 10
#: How much the range of a rate may change from a quarter of a run to the next while it oscillates.
_STEADY = 0.2


class Ending(StrEnum):
    """What a run has come to."""

    SETTLED = "settled"
    OSCILLATES = "oscillates"
    DIVERGES = "diverges"
    MOVES = "moves"  #: it has not settled yet, and does nothing regular


@dataclass
class _Quarter:
    """The ranges of all cells in a quarter of a run; in the last one also when they crossed the middle upwards."""

    low: dict[str, np.ndarray] = field(default_factory=dict)
    high: dict[str, np.ndarray] = field(default_factory=dict)

    def note(self, name: str, rates: np.ndarray) -> None:
        self.low[name] = np.minimum(self.low.get(name, rates), rates)
        self.high[name] = np.maximum(self.high.get(name, rates), rates)

    def middle(self, name: str) -> np.ndarray:
        return np.asarray((self.low[name] + self.high[name]) / 2)

    def ranges(self, names: Iterable[str]) -> np.ndarray:
        """Of all cells, one after another."""
        return np.concatenate([np.ravel(self.high[n] - self.low[n]) for n in names])


@dataclass
class _Crossings:
    """How often cells crossed a level upwards, and at which steps they did so first and last."""

    level: np.ndarray
    count: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, level: np.ndarray) -> _Crossings:
        return cls(level, *(np.zeros(level.shape) for _ in range(3)))

    def note(self, step: int, before: np.ndarray, now: np.ndarray) -> None:
        below, above = before - self.level, now - self.level
        crossed = (below < 0) & (above >= 0)
        if crossed.any():
            part = np.divide(below, below - above, out=np.zeros(below.shape), where=crossed)
            at = step - 1 + part
            self.first = np.where(crossed & (self.count == 0), at, self.first)
            self.last = np.where(crossed, at, self.last)
            self.count = self.count + crossed


class Watch:
    """Watches `steps` steps after `begin`, all on one stimulus, and says what they came to.

    A run has settled when no rate moved by more than `tolerance` of the largest that its population had, in the last
    tenth and in `longest`, the longest delay in steps: what is under way could still move something.
    It diverges where a rate is NaN or infinite, or where its range grows from quarter to quarter by the same factor
    or more. It oscillates where the range of the last quarter is that of the third, and two periods are in it.
    """

    def __init__(self, tolerance: float, begin: int, steps: int, longest: int) -> None:
        self.tolerance, self.begin, self.steps, self.longest = tolerance, begin, steps, longest
        self.last_move = begin
        self.finite = True
        self._base: dict[str, np.ndarray] = {}
        self._largest: dict[str, float] = {}
        self._before: Mapping[str, np.ndarray] = {}
        self._quarters = [_Quarter() for _ in range(4)]
        self._crossings: dict[str, _Crossings] = {}

    def note(self, step: int, rates: Arrays) -> bool:
        """Note what moved at a step; False when a rate is NaN or infinite, and nothing more can come of it."""
        for name, now in rates.items():
            if self._before.get(name) is not now:
                self._note_size(name, now)
        if self.finite and step >= self.begin:
            self._judge(step, rates)
        self._before = dict(rates)
        return self.finite

    def _note_size(self, name: str, now: np.ndarray) -> None:
        size = float(np.abs(now).max(initial=0.0))
        self.finite = self.finite and bool(np.isfinite(size))
        self._largest[name] = max(self._largest.get(name, 0.0), size)

    def _judge(self, step: int, rates: Arrays) -> None:
        quarter = min(3, 4 * (step - self.begin) // max(1, self.steps))
        for name, now in rates.items():
            before = self._before.get(name, now)
            if before is not now or name not in self._base:
                self._note_move(step, name, now)
            if before is not now or name not in self._quarters[quarter].low:
                self._quarters[quarter].note(name, now)
            if quarter == 3 and before is not now and name in self._quarters[2].low:
                self._crossed(name).note(step, before, now)

    def _note_move(self, step: int, name: str, now: np.ndarray) -> None:
        base = self._base.setdefault(name, now)
        if np.abs(now - base).max(initial=0.0) > self.tolerance * self._largest[name]:
            self._base[name], self.last_move = now, step

    def _crossed(self, name: str) -> _Crossings:
        if name not in self._crossings:
            self._crossings[name] = _Crossings.of(self._quarters[2].middle(name))
        return self._crossings[name]

    @property
    def has_settled(self) -> bool:
        quiet = self.begin + self.steps - self.last_move
        return quiet >= max(self.steps // _LAST, self.longest, 1)

    def ending(self) -> tuple[Ending, float | None]:
        """What it came to, and the steps of a period of what swings most."""
        if not self.finite:
            return Ending.DIVERGES, None
        if self.has_settled:
            return Ending.SETTLED, None
        if not all(quarter.low for quarter in self._quarters):
            return Ending.MOVES, None
        names = list(self._quarters[3].low)
        second, third, fourth = (quarter.ranges(names) for quarter in self._quarters[1:])
        cell = int(np.argmax(fourth))
        if _grows(second[cell], third[cell], fourth[cell]):
            return Ending.DIVERGES, None
        period = self._period(names, cell)
        if period is not None and abs(fourth[cell] - third[cell]) <= _STEADY * third[cell]:
            return Ending.OSCILLATES, period
        return Ending.MOVES, None

    def _period(self, names: list[str], cell: int) -> float | None:
        """The mean steps between upward crossings of the middle; None for fewer than two periods."""
        for name in names:
            size = self._quarters[3].low[name].size
            if cell < size:
                break
            cell -= size
        known = self._crossings.get(name)
        if known is None or known.count.flat[cell] < 3:
            return None
        span = known.last.flat[cell] - known.first.flat[cell]
        return float(span / (known.count.flat[cell] - 1))


def _grows(second: float, third: float, fourth: float) -> bool:
    """Whether a range grows from quarter to quarter, and ever by as much: what only comes late slows down."""
    steadily = second > 0 and third > (1 + _STEADY) * second and fourth > (1 + _STEADY) * third
    return steadily and fourth / third >= (1 - _STEADY) * third / second
