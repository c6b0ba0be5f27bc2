"""Where each number of a spec's tensors stands in its circuit: the same numbers in another order.

A lowered circuit has heads split into groups and members, and features that turn into planes and
their two components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.ir import Extent
from cortico.spec import AttentionSpec, RotaryStyle
from cortico.spec.weights import Weights, check_weights, required_shapes, rotary_frequencies
from cortico.spec.wiring import Block

#: Tensors whose first side counts query heads, where they have more than that of features.
_PER_HEAD = {"W_Q", "W_O", "b_Q", "alibi_slopes", "position_bias", "sink", "gain_Q", "shift_Q"}

#: Tensors with rotated features, and where that side stands from the end.
_ROTATED = {
    "W_Q": 2,
    "W_K": 2,
    "b_Q": 1,
    "b_K": 1,
    "gain_Q": 1,
    "gain_K": 1,
    "shift_Q": 1,
    "shift_K": 1,
}


@dataclass(frozen=True, eq=False)
class Layout:
    """How a circuit has one tensor of a spec.

    `groups` are the numbers of groups and of members that the first side counts, `planes` the features
    of each (plane, component) that the side `side` counts; None where the tensor has no such side.
    """

    shape: tuple[Extent, ...]  #: in the spec
    groups: tuple[int, int] | None = None
    side: int = 0
    planes: np.ndarray | None = None

    @property
    def circuit_shape(self) -> tuple[Extent, ...]:
        """The sides of the circuit's tensor."""
        return self._split(self.shape)

    def to_circuit(self, array: np.ndarray) -> np.ndarray:
        """A tensor of the spec as the circuit has it; a view where that can be."""
        if self.planes is not None:
            array = np.take(array, self.planes.ravel(), axis=self.side)
        return array.reshape([int(extent) for extent in self._split(array.shape)])

    def to_spec(self, array: np.ndarray) -> np.ndarray:
        """A tensor of the circuit as the spec has it: the inverse of `to_circuit`."""
        array = array.reshape([int(extent) for extent in self.shape])
        if self.planes is not None:
            array = np.take(array, np.argsort(self.planes.ravel()), axis=self.side)
        return array

    def _split(self, shape: tuple[Extent, ...]) -> tuple[Extent, ...]:
        if self.planes is not None:
            shape = (*shape[: self.side], *self.planes.shape, *shape[self.side + 1 :])
        return shape if self.groups is None else (*self.groups, *shape[1:])


def layouts(spec: Block) -> dict[str, Layout]:
    """The layout of every tensor that `spec` must be given; without heads they stand as they are."""
    if not isinstance(spec, AttentionSpec):
        return {name: Layout(shape) for name, shape in required_shapes(spec).items()}
    groups = (spec.groups, spec.members) if spec.members > 1 else None
    planes = plane_order(spec) if spec.rotary else None
    return {
        name: Layout(
            shape,
            groups if name in _PER_HEAD and len(shape) > _ROTATED.get(name, 0) else None,
            len(shape) - _ROTATED.get(name, 0),
            planes if name in _ROTATED else None,
        )
        for name, shape in required_shapes(spec).items()
    }


def circuit_weights(spec: Block, weights: Weights) -> dict[str, np.ndarray]:
    """The weights of `spec` as its lowered circuit wants them: heads grouped, planes paired.

    For circuits that were compiled without weights; passes with weights make other tensors. SpecError
    when the weights do not fit the spec.
    """
    check_weights(spec, weights)
    found = {name: layout.to_circuit(weights[name]) for name, layout in layouts(spec).items()}
    if isinstance(spec, AttentionSpec) and spec.rotary:
        found["frequencies"] = plane_frequencies(spec, weights)
    return found


def plane_frequencies(spec: AttentionSpec, weights: Weights | None) -> np.ndarray:
    """The angle per token of each plane, float64: as given, else the default; the last may not turn."""
    given = (weights or {}).get("rotary_frequencies", rotary_frequencies(spec))
    return np.concatenate([given, np.zeros(spec.d_key // 2 - len(given))])


def plane_order(spec: AttentionSpec) -> np.ndarray:
    """Feature numbers by (plane, component), shape (d_key/2, 2): which two features turn together."""
    assert spec.rotary is not None
    rotated = np.arange(spec.rotated_features)
    if spec.rotary.style is RotaryStyle.HALF_SPLIT:
        turning = rotated.reshape(2, -1).T
    else:
        turning = rotated.reshape(-1, 2)
    still = np.arange(spec.rotated_features, spec.d_key).reshape(-1, 2)
    return np.concatenate([turning, still])
