"""prune-small: the smallest weights become zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from cortico.ir import Circuit
from cortico.ir.options import number
from cortico.ir.rewrite import with_values
from cortico.passes.base import Pass
from cortico.passes.synapse_numbers import largest_change, synaptic_parameters


@dataclass(frozen=True)
class PruneSmall(Pass):
    """Zero the fraction `budget` of all synaptic weights that is smallest in magnitude.

        W' = W · [|W| > θ],   ‖W' - W‖_F ≤ θ √(number of weights pruned)

    `scope` says whether the fraction is of all tensors together (`global`) or of each (`projection`).
    Zeros that are there already count, so a second run changes nothing; `prune-dead` then removes
    synapses that are zero in whole rows. Only weights with values are pruned, biases never.
    Magnitudes of different tensors are compared as they stand, gains left aside.
    """

    budget: Annotated[float, number(0, 1)] = 0.1
    scope: Literal["global", "projection"] = "global"

    name = "prune-small"
    in_time = True
    exact = False

    def run(self, circuit: Circuit) -> Circuit:
        tensors = {p.name: p.values for p in synaptic_parameters(circuit) if p.values is not None}
        names = list(tensors)
        scopes = [names] if self.scope == "global" else [[name] for name in names]
        pruned: dict[str, np.ndarray] = {}
        for scope in scopes:
            arrays = _pruned([tensors[name] for name in scope], self.budget)
            pruned |= dict(zip(scope, arrays, strict=True))
        changed = {n: a for n, a in pruned.items() if not np.array_equal(a, tensors[n])}
        return with_values(circuit, changed) if changed else circuit

    def error_bound(self, before: Circuit, after: Circuit) -> float:
        """The largest change of a projection's weights, in the Frobenius norm."""
        return largest_change(before, after)


def _pruned(arrays: Sequence[np.ndarray], budget: float) -> list[np.ndarray]:
    """`arrays` with the smallest `budget` of all their numbers set to zero; of equal ones the first."""
    if not arrays:
        return []
    magnitudes = np.concatenate([np.abs(a).astype(np.float64).ravel() for a in arrays])
    keep = np.ones(len(magnitudes), dtype=bool)
    keep[np.argsort(magnitudes, kind="stable")[: int(budget * len(magnitudes))]] = False
    ends = np.cumsum([a.size for a in arrays])[:-1]
    parts = np.split(keep, ends)
    return [
        np.where(part.reshape(a.shape), a, a.dtype.type(0))
        for a, part in zip(arrays, parts, strict=True)
    ]
