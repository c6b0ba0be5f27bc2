"""prune-heads: the heads that matter least go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from cortico.backends import get_runner
from cortico.backends.array_files import Archive, read_arrays
from cortico.ir import Axis, Circuit, Input, InputKind, Parameter, Role, SpecError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.circuit import resolve
from cortico.ir.limits import SIZE
from cortico.ir.options import whole
from cortico.ir.rewrite import map_parameters, weights_of, with_extent
from cortico.passes.base import Pass
from cortico.passes.copied_heads import can_split, sides_along

#: Size that symbols take when importance is measured on random inputs.
_TOKENS = 16


@dataclass(frozen=True)
class PruneHeads(Pass):
    """Keep the `keep` heads that contribute most to the output.

        y = Σ_h y_h   ->   Σ_(h kept) y_h,   ‖change of y‖ ≤ Σ_(h removed) ‖y_h‖ on the measured inputs

    The contribution of a head is how far the output moves without it, measured on the arrays of the
    .npz file `inputs` (names as the circuit's inputs), else on random ones of 16 tokens drawn with
    `seed`. Only for circuits with one area axis (no grouped heads) that is of no input or output, and
    whose parameters all have values.
    """

    keep: Annotated[int, whole(1, SIZE, "at least 1")] = 1
    inputs: str = ""
    seed: int = 0

    name = "prune-heads"
    exact = False

    def run(self, circuit: Circuit) -> Circuit:
        axis = _head_axis(circuit)
        if axis is None or not isinstance(axis.extent, int) or axis.extent <= self.keep:
            return circuit
        order = np.argsort(-self.contributions(circuit), kind="stable")
        return _with_heads(circuit, axis, sorted(order[: self.keep].tolist()))

    def contributions(self, circuit: Circuit) -> np.ndarray:
        """‖y - y without the head‖ for every head, over all outputs, on the measured inputs."""
        axis = _head_axis(circuit)
        assert axis is not None
        assert isinstance(axis.extent, int)
        heads = range(axis.extent)
        arrays, target = self._arrays(circuit), get_runner("numpy")
        whole = target.run(circuit, arrays)
        moved = []
        for head in heads:
            rest = target.run(_with_heads(circuit, axis, [h for h in heads if h != head]), arrays)
            moved.append(np.sqrt(sum(float(((whole[n] - rest[n]) ** 2).sum()) for n in whole)))
        return np.array(moved)

    def error_bound(self, before: Circuit, after: Circuit) -> float:
        """The most that the output can have moved, in its norm, on the measured inputs."""
        old, new = _head_axis(before), _head_axis(after)
        if old is None or new is None or old == new:
            return 0.0
        assert isinstance(new.extent, int)
        return float(np.sort(self.contributions(before))[: -new.extent].sum())

    def _arrays(self, circuit: Circuit) -> Mapping[str, np.ndarray]:
        if self.inputs:
            found = read_arrays(self.inputs)
            if not isinstance(found, Archive):
                raise SpecError(f"inputs of prune-heads, {self.inputs!r}, is no .npz file")
            return found
        rng = np.random.default_rng(self.seed)
        return {tensor.name: _draw(tensor, circuit, rng) for tensor in circuit.inputs}


def _draw(tensor: Input, circuit: Circuit, rng: np.random.Generator) -> np.ndarray:
    symbols = within_tables(circuit, dict.fromkeys(circuit.symbols, _TOKENS))
    shape = [resolve(side, symbols) for side in tensor.given]
    if tensor.kind is InputKind.TOKEN:
        return rng.integers(0, resolve(tensor.shape[-1], symbols), shape)
    if tensor.kind is InputKind.MASK:
        return np.ones(shape, dtype=bool)
    return rng.standard_normal(shape)


def _head_axis(circuit: Circuit) -> Axis | None:
    """The axis of heads, when there is one only and it can be cut."""
    areas = [axis for axis in circuit.axes if axis.role is Role.AREA]
    numbers = all(p.values is not None or p.formula for p in circuit.parameters)
    powers = {name for w in weights_of(circuit) for name, _ in w.gain.sizes}
    if len(areas) != 1 or not numbers or areas[0].name in powers:
        return None
    return areas[0] if can_split(circuit, areas[0]) else None


def _with_heads(circuit: Circuit, axis: Axis, heads: list[int]) -> Circuit:
    """The circuit with these heads only."""
    sides = sides_along(circuit, axis.name)

    def cut(p: Parameter) -> Parameter:
        if p.name not in sides:
            return p
        side = sides[p.name]
        shape = (*p.shape[:side], len(heads), *p.shape[side + 1 :])
        return replace(
            p, shape=shape, values=None if p.values is None else p.values.take(heads, axis=side)
        )

    return with_extent(map_parameters(circuit, cut), axis.name, len(heads))
