"""quantize: synapses of n bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from cortico.ir import Circuit
from cortico.ir.options import whole
from cortico.ir.rewrite import with_values
from cortico.passes.base import Pass
from cortico.passes.synapse_numbers import largest_change, synaptic_parameters


@dataclass(frozen=True)
class Quantize(Pass):
    """Round every synaptic weight to one of 2^bits - 1 levels, symmetric about zero, per tensor.

        W' = s · round(W / s),   s = max|W| / (2^(bits-1) - 1),   |W' - W| ≤ s/2

    (and half a unit in the last place of the tensor's type). The largest magnitude is a level and
    stays exactly, so a second run changes nothing. Only weights with values, biases never.
    """

    bits: Annotated[int, whole(2, 16)] = 8

    name = "quantize"
    in_time = True
    exact = False

    def run(self, circuit: Circuit) -> Circuit:
        changed = {}
        for p in synaptic_parameters(circuit):
            assert p.values is not None
            rounded = _rounded(p.values, self.bits)
            if not np.array_equal(rounded, p.values):
                changed[p.name] = rounded
        return with_values(circuit, changed) if changed else circuit

    def error_bound(self, before: Circuit, after: Circuit) -> float:
        """The largest change of a projection's weights, in the Frobenius norm."""
        return largest_change(before, after)


def step(values: np.ndarray, bits: int) -> float:
    """The distance s of neighbouring levels."""
    levels: int = 2 ** (bits - 1) - 1
    return float(np.abs(values).max()) / levels


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    exact, s, most = values.astype(np.float64), step(values, bits), 2 ** (bits - 1) - 1
    if s == 0:
        return values
    level = np.round(exact / s)
    # The outermost levels are ± the largest magnitude to the last bit: rounding again finds the same s.
    largest = np.copysign(np.abs(exact).max(), exact)
    return np.where(np.abs(level) >= most, largest, level * s).astype(values.dtype)
