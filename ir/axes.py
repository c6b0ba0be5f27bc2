"""Axes: the named index ranges over which populations spread their neurons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: The size of an axis or of a tensor's side: a number, or a symbol bound when the circuit runs.
Extent = int | str


class Role(StrEnum):
    """What one step along an axis means in the brain."""

    AREA = "area"  #: a cortical area; one per attention head
    COLUMN = "column"  #: a microcolumn of an area; one per token or pair of tokens
    FEATURE = "feature"  #: a cell within a microcolumn; one per key or value feature
    MODEL = "model"  #: a cell of a thalamic nucleus; one per model feature


class Unfold(StrEnum):
    """Whether the indices of an axis are neurons side by side or presentations one after another."""

    SPACE = "space"
    TIME = "time"


@dataclass(frozen=True)
class Axis:
    """A named index range `0 … extent-1`.

    An axis in time keeps one neuron for all its indices; the neuron's rate at step `t` is the
    value at index `t`.
    """

    name: str
    role: Role
    extent: Extent
    unfold: Unfold = Unfold.SPACE

    @property
    def in_time(self) -> bool:
        return self.unfold is Unfold.TIME
