"""The numbers on synapses, for passes that change them: which tensors hold them, and by how much they change."""

from __future__ import annotations

import numpy as np

from cortico.ir import Circuit, Parameter
from cortico.ir.analysis.constants import array_of


def synaptic_parameters(circuit: Circuit) -> tuple[Parameter, ...]:
    """The parameters with values that projections read as weights, in order. Biases are none."""
    read = {p.weight.tensor.name for p in circuit.projections if p.weight.tensor}
    return tuple(p for p in circuit.parameters if p.name in read and p.values is not None)


def largest_change(before: Circuit, after: Circuit) -> float:
    """The largest Frobenius norm of the change of a projection's weights, gain included.

    The norm of the current that a projection brings changes by at most this times the norm of the
    presynaptic rates (as the spectral norm is at most the Frobenius norm). Both circuits must have
    the same projections; weights without numbers count as unchanged, and sizes must be numbers
    where gains need them.
    """
    changed = {p.name: p for p in after.projections}
    norms = [0.0]
    for p in before.projections:
        if p.weight.tensor and p.weight != changed[p.name].weight:
            raise ValueError(
                f"projection {p.name!r} reads {p.weight}, then {changed[p.name].weight}"
            )
        if p.weight.tensor:
            one, other = (_numbers(c, p.weight.tensor.name) for c in (before, after))
            if one is not None and other is not None:
                sizes = before.sizes() if p.weight.gain.sizes else {}
                gain = abs(p.weight.gain.value(sizes))
                norms.append(gain * float(np.linalg.norm(other - one)))
    return max(norms)


def _numbers(circuit: Circuit, tensor: str) -> np.ndarray | None:
    values = array_of(circuit, tensor)
    return None if values is None else values.astype(np.float64)
