"""Whether two circuits compute the same, compared on random inputs to a tolerance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends import get_runner
from cortico.ir import Circuit, Input, InputKind, PassError
from cortico.ir.circuit import resolve

#: Sizes that symbols take when circuits are compared, all different.
_SIZES = (5, 4, 3, 6, 7)


def compare_meaning(
    before: Circuit, after: Circuit, tolerance: float = 1e-12, seed: int = 0, backend: str = "numpy"
) -> None:
    """Raise PassError unless both give the same outputs, relative to the largest, on random input.

    Symbolic sizes are set to small numbers; parameters without values get random ones.
    """
    error = relative_difference(before, after, seed, backend)
    if not error <= tolerance:
        raise PassError(
            f"circuit {before.name!r} changed its output by {error:.2e} (relative), more than {tolerance:.0e}"
        )


def relative_difference(
    before: Circuit, after: Circuit, seed: int = 0, backend: str = "numpy"
) -> float:
    """The largest difference of any output on random inputs, relative to the largest of all outputs.

    Of all: one output may be nothing but rounding, such as the gradient of a key's bias under softmax.
    """
    rng = np.random.default_rng(seed)
    symbols = dict(zip(before.symbols, _SIZES, strict=False))
    inputs = {tensor.name: _draw(tensor, symbols, rng) for tensor in before.inputs}
    given = {
        p.name: rng.standard_normal([resolve(side, symbols) for side in p.shape])
        for p in before.parameters
        if p.values is None and p.formula is None
    }
    target = get_runner(backend)
    found = []
    for circuit in (before, after):
        names = {p.name for p in circuit.parameters}
        mine = {name: array for name, array in given.items() if name in names}
        found.append(target.run(circuit, inputs, mine))
    first, second = found
    largest = np.max([np.abs(array).max(initial=0.0) for array in first.values()])
    difference = np.max([np.abs(first[name] - second[name]).max(initial=0.0) for name in first])
    return float(difference / largest if largest else difference)


def _draw(tensor: Input, symbols: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    shape = [resolve(side, symbols) for side in tensor.shape]
    if tensor.kind is InputKind.MASK:
        # something exists and something does not: under a causal mask the first query sees nothing
        live = rng.random(shape) < 0.7
        live.reshape(-1)[:1], live.reshape(-1)[1:2] = False, True
        return live
    return rng.standard_normal(shape)
