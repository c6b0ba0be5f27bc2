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


@dataclass(frozen=True)
class Distances:
    """Where such a table is, and which of its rows a query i and a source token j read."""

    tensor: str  #: its name after the model's prefix; shape (buckets, heads)
    buckets: int
    farthest: int  #: from this distance on, in tokens, all have one bucket
    both: (
        bool  #: later tokens have half of the buckets; otherwise they have that of the query's own
    )

    @staticmethod
    def exact(buckets: int, both: bool) -> int:
        """How many distances to one side have a bucket of their own, from 0 on."""
        return buckets // 2 // 2 if both else buckets // 2

    def rows(self, distances: np.ndarray) -> np.ndarray:
        """The row of each distance j - i, of the same shape.

        Logarithms are rounded to float32, as transformers computes them: at powers of two a row
        hangs on their last digit.
        """
        side = self.buckets // 2 if self.both else self.buckets
        exact = self.exact(self.buckets, self.both)
        away = np.abs(distances) if self.both else np.maximum(-distances, 0)
        ratio = np.maximum(away, exact).astype(np.float32) / np.float32(exact)
        logarithm = np.log(ratio.astype(np.float64)).astype(np.float32)
        share = logarithm / np.float32(math.log(self.farthest / exact)) * np.float32(side - exact)
        far = np.minimum(exact + share.astype(np.int64), side - 1)
        return np.where(away < exact, away, far) + (side * (distances > 0) if self.both else 0)

    def read(self, tensors: Tensors, heads: int, tokens: int) -> np.ndarray:
        """The bias (heads, tokens, tokens) of a query and a source token, as a view of 2 · tokens numbers.

        SpecError when the table is not there, or has another shape, or would be too large.
        """
        if heads * tokens**2 > TABLE_NUMBERS:
            raise SpecError(
                f"{tensors.source!r}: the position bias of {heads} heads and {tokens:,} tokens has "
                f"more than {TABLE_NUMBERS:,} numbers"
            )
        table = tensors.take({self.tensor: (self.buckets, heads)}, ignored=("",))[self.tensor]
        line = table.T[:, self.rows(np.arange(1 - tokens, tokens))]
        return sliding_window_view(line, tokens, axis=1)[:, ::-1]
