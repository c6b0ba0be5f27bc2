"""How checkpoints store the four linear maps of attention: one by one, or queries, keys, values as one.

All sizes follow from the spec: H heads of a key and c value features in G groups of key/value heads.
Matrices are `nn.Linear`'s, (out, in), or transposed, (in, out), as in GPT-2's `Conv1D`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cortico.frontends.layout import heads_of_columns, heads_of_rows, heads_of_vector
from cortico.frontends.tensors import Tensors
from cortico.spec import AttentionSpec

Arrays = Mapping[str, np.ndarray]


class Maps(Protocol):
    """A way to store the four maps."""

    def take(
        self, spec: AttentionSpec, tensors: Tensors, ignored: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """W_Q … b_O as `cortico.spec.weights` shapes them.

        SpecError for what is missing under the scope of `tensors`, has another shape, or is neither
        wanted nor ignored.
        """
        ...


@dataclass(frozen=True)
class Separate:
    """Four matrices. Names are those of modules: `q_proj` for `q_proj.weight`, `q_proj.bias`."""

    query: str
    key: str
    value: str
    output: str
    transposed: bool = False

    def take(
        self, spec: AttentionSpec, tensors: Tensors, ignored: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        names = dict(zip("QKVO", (self.query, self.key, self.value, self.output), strict=True))
        shapes = {names[m]: shape for m, shape in matrix_shapes(spec).items()}
        biased = {names[m] for m in biases(spec)}
        found = take_linear(tensors, shapes, biased, ignored, self.transposed)
        matrices = {m: found[f"{names[m]}.weight"] for m in names}
        vectors = {m: found[f"{names[m]}.bias"] for m in biases(spec)}
        return by_heads(spec, matrices, vectors)


@dataclass(frozen=True)
class Fused:
    """One matrix whose rows are queries, keys and values, and the map out.

    `by_group`: the rows of each key/value head stand together, those of its queries first, as in
    GPT-NeoX, Bloom and Falcon. Otherwise all queries come first, then all keys, then all values.
    """

    inputs: str
    output: str
    transposed: bool = False
    by_group: bool = False

    def take(
        self, spec: AttentionSpec, tensors: Tensors, ignored: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        shapes = matrix_shapes(spec)
        rows = sum(shapes[m][0] for m in "QKV")
        sizes = {self.inputs: (rows, spec.model), self.output: shapes["O"]}
        inward = [m for m in biases(spec) if m != "O"]
        biased = {self.inputs} if inward else set()
        biased |= {self.output} if "O" in biases(spec) else set()
        found = take_linear(tensors, sizes, biased, ignored, self.transposed)
        matrices = self._parts(spec, found[f"{self.inputs}.weight"])
        matrices["O"] = found[f"{self.output}.weight"]
        vectors = self._parts(spec, found[f"{self.inputs}.bias"]) if inward else {}
        if "O" in biases(spec):
            vectors["O"] = found[f"{self.output}.bias"]
        return by_heads(spec, matrices, vectors)

    def _parts(self, spec: AttentionSpec, array: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of queries, keys and values."""
        queries, keys = spec.heads * spec.d_key, spec.groups * spec.d_key
        if not self.by_group:
            return dict(zip("QKV", np.split(array, [queries, queries + keys]), strict=True))
        group = array.reshape(spec.groups, -1, *array.shape[1:])
        ends = [spec.members * spec.d_key, (spec.members + 1) * spec.d_key]
        parts = np.split(group, ends, axis=1)
        return {m: part.reshape(-1, *array.shape[1:]) for m, part in zip("QKV", parts, strict=True)}


def biases(spec: AttentionSpec) -> list[str]:
    """Which of Q, K, V and O have a bias."""
    given = (spec.bias.query, spec.bias.key, spec.bias.value, spec.bias.output)
    return [m for m, has in zip("QKVO", given, strict=True) if has]


def matrix_shapes(spec: AttentionSpec) -> dict[str, tuple[int, int]]:
    """(out, in) of the matrices of Q, K, V and O."""
    source = spec.d_context if spec.cross else spec.model
    return {
        "Q": (spec.heads * spec.d_key, spec.model),
        "K": (spec.groups * spec.d_key, source),
        "V": (spec.groups * spec.d_value, spec.d_values),
        "O": (spec.d_output, spec.heads * spec.d_value),
    }


def take_linear(
    tensors: Tensors,
    shapes: Mapping[str, tuple[int, int]],
    biased: set[str],
    ignored: tuple[str, ...],
    transposed: bool = False,
) -> dict[str, np.ndarray]:
    """`NAME.weight` (out, in) and `NAME.bias` (out) of linear modules of the given shapes."""
    turn = -1 if transposed else 1
    wanted: dict[str, tuple[int, ...]] = {
        f"{name}.weight": shape[::turn] for name, shape in shapes.items()
    }
    wanted |= {f"{name}.bias": shapes[name][:1] for name in shapes if name in biased}
    found = tensors.take(wanted, ignored)
    return {name: array.T if transposed else array for name, array in found.items()}


def by_heads(spec: AttentionSpec, matrices: Arrays, vectors: Arrays) -> dict[str, np.ndarray]:
    """Matrices (out, in) of Q, K, V, O and biases (out) of some of them, head by head."""
    heads = {"Q": spec.heads, "K": spec.groups, "V": spec.groups}
    weights = {f"W_{m}": heads_of_rows(matrices[m], heads[m]) for m in heads}
    weights["W_O"] = heads_of_columns(matrices["O"], spec.heads)
    for m, vector in vectors.items():
        weights[f"b_{m}"] = vector if m == "O" else heads_of_vector(vector, heads[m])
    return weights
