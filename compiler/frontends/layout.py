"""From the matrices of a checkpoint to tensors per head, as views."""

from __future__ import annotations

import numpy as np


def heads_of_rows(matrix: np.ndarray, heads: int) -> np.ndarray:
    """(H·f, m), `y = W x`, to (H, f, m): a map into H heads."""
    return matrix.reshape(heads, -1, matrix.shape[1])


def heads_of_columns(matrix: np.ndarray, heads: int) -> np.ndarray:
    """(out, H·c), `y = W x`, to (H, out, c): the map out of H heads."""
    return matrix.reshape(matrix.shape[0], heads, -1).transpose(1, 0, 2)


def heads_of_vector(vector: np.ndarray, heads: int) -> np.ndarray:
    """(H·f) to (H, f): a bias of H heads."""
    return vector.reshape(heads, -1)
