"""A position bias by distance, as T5 has it: a table with one row for each bucket of distances.

Raffel et al., arXiv 1910.10683, section 2.1. Near tokens have a bucket for each distance, those farther
away share buckets that grow with the logarithm of the distance, and from some distance on all have one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError
from cortico.ir.limits import TABLE_NUMBERS


def _logarithms(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest float32 that a library may give for a logarithm, shaped as `ratio`.

    It is off by at most one in the last digit, and by nothing at powers of two: e · log 2, rounded.
    """
    near = np.log(ratio.astype(np.float64)).astype(np.float32)
    sure = np.frexp(ratio)[0] == 0.5
    least, most = (np.nextafter(near, np.float32(to)) for to in (-np.inf, np.inf))
    return np.where(sure, near, least), np.where(sure, near, most)


@dataclass(frozen=True)
class Distances:
    """Where such a table is, and which of its rows a query i and a source token j read."""

    tensor: str  #: its name after the model's prefix; shape (buckets, heads)
    buckets: int
    farthest: int  #: from this distance on, in tokens, all have one bucket
    both: (
        bool  #: later tokens have half of the buckets; otherwise they have that of the query's own
    )

    @property
    def side(self) -> int:
        """Buckets of the source tokens to one side."""
        return self.buckets // 2 if self.both else self.buckets

    @property
    def exact(self) -> int:
        """How many distances to one side have a bucket of their own, from 0 on."""
        return self.side // 2

    def rows(self, distances: np.ndarray) -> np.ndarray:
        """The row of each distance j - i, of the same shape.

        SpecError where a row hangs on the last digit of a logarithm in float32, which libraries and
        machines round differently.
        """
        away = np.abs(distances) if self.both else np.maximum(-distances, 0)
        ratio = np.maximum(away, self.exact).astype(np.float32) / np.float32(self.exact)
        least, most = map(self._shared, _logarithms(ratio))
        if (least != most).any():
            raise SpecError(
                f"{self.tensor}: with {self.buckets} buckets up to {self.farthest} tokens, the row of "
                f"distance {away[least != most][0]} hangs on the last digit of a logarithm"
            )
        later = self.side * (distances > 0) if self.both else 0
        return np.where(away < self.exact, away, least) + later

    def _shared(self, logarithm: np.ndarray) -> np.ndarray:
        """The bucket of distances that have buckets together, from log(distance / exact)."""
        last = np.float32(math.log(self.farthest / self.exact))
        share = logarithm / last * np.float32(self.side - self.exact)
        return np.minimum(self.exact + share.astype(np.int64), self.side - 1)

    def read(self, tensors: Tensors, heads: int, tokens: int) -> np.ndarray:
        """The bias (heads, tokens, tokens) of a query and a source token, as a view of 2 · tokens numbers.

        SpecError when the table is not there, or has another shape, or the bias would be too large.
        """
        if heads * tokens**2 > TABLE_NUMBERS:
            raise SpecError(
                f"{tensors.source!r}: the position bias of {heads} heads and {tokens:,} tokens has "
                f"more than {TABLE_NUMBERS:,} numbers"
            )
        table = tensors.take({self.tensor: (self.buckets, heads)}, ignored=("",))[self.tensor]
        line = table.T[:, self.rows(np.arange(1 - tokens, tokens))]
        return sliding_window_view(line, tokens, axis=1)[:, ::-1]
