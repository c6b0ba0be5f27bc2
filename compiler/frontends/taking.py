"""Tensors of a whole model, taken for one block after the other, and those that no block has taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from cortico.frontends.model import Names, Stored
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError, bullet_list
from cortico.spec.weights import Shapes


@dataclass
class Taker:
    """Knows which tensors of a file were taken.

    inner: what stands before the names of the model; outer: before those of its head, which stands beside it.
    ignored: beginnings of whole names that do not matter, after one or the other.
    """

    tensors: Tensors
    inner: str
    outer: str
    ignored: tuple[str, ...]
    taken: set[str] = field(default_factory=set)

    def take(
        self, path: str, shapes: Shapes, names: Names, prefix: str, numbers: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        """The weights of the block at a path. SpecError, with the path, for what is missing or has another shape."""
        found = {}
        for weight, sides in shapes.items():
            how, shape = names[weight], tuple(map(int, sides))
            here = [prefix + name.format_map(numbers) for name in how.names]
            there = [name for name in here if name in self.tensors] or here[:1]
            if how.absent is not None and there[0] not in self.tensors:
                found[weight] = how.absent(shape)
                continue
            arrays = self._arrays(path, there, how.shape(shape))
            found[weight] = how.weight(arrays[0], shape)
        return found

    def _arrays(self, path: str, names: list[str], shape: tuple[int, ...]) -> list[np.ndarray]:
        """One tensor, under each of its names that counts; the first always does."""
        counted = [name for k, name in enumerate(names) if not k or not self._is_ignored(name)]
        scoped = self.tensors.scoped("", path)
        arrays = [scoped.take({name: shape}, ignored=("",))[name] for name in counted]
        for name, array in zip(counted[1:], arrays[1:], strict=True):
            if not np.array_equal(array, arrays[0], equal_nan=True):
                raise SpecError(
                    f"{self.tensors.source!r} ({path}): {counted[0]!r} and {name!r} are names of one "
                    "tensor, and differ"
                )
        self.taken.update(counted)
        return arrays

    def own_matrix(self, prefix: str, matrix: Stored, table: np.ndarray) -> bool:
        """Whether the file has this matrix behind a prefix, and it is not the table.

        Beside it, transformers does not tie the two, whatever config.json says. An equal one is taken.
        """
        there = [prefix + name for name in matrix.names if prefix + name in self.tensors]
        if there and not _equal(self.tensors[there[0]], matrix, table):
            return True
        self.taken.update(there)
        return False

    def refuse_rest(self, patterns: Collection[str]) -> None:
        """SpecError for tensors that were not taken, nor ignored, nor match a pattern within the model."""
        within = [self.inner + pattern for pattern in patterns]
        rest = [
            name
            for name in self.tensors
            if name.startswith(self.outer) and name not in self.taken
            if not self._is_ignored(name) and not any(fnmatchcase(name, p) for p in within)
        ]
        if rest:
            raise SpecError(
                f"{self.tensors.source!r} has tensors that are no part of the model as it is read; what does not "
                f"matter is left out with ignore=['BEGINNING'], --ignore BEGINNING:{bullet_list(rest)}"
            )

    def _is_ignored(self, name: str) -> bool:
        return name.startswith(self.ignored)


def _equal(stored: np.ndarray, matrix: Stored, table: np.ndarray) -> bool:
    shape = tuple(map(int, table.shape))
    fits = stored.shape == matrix.shape(shape)
    return fits and np.array_equal(matrix.weight(stored, shape), table)
