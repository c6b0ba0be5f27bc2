"""Examples to learn from: checked once against the inputs of a gradient circuit, then cut into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cortico.ir import Circuit, Input, InputKind, SpecError
from cortico.ir.errors import bullet_list, near_name

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Examples:
    """Input name to array; the first side counts samples: x (samples, tokens, model), target, …"""

    arrays: Arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def tokens(self) -> int:
        """Target tokens of one sample."""
        return int(self.arrays["target"].shape[1])

    @property
    def dtype(self) -> type[np.floating]:
        """What training computes in: float32 when all arrays of rates are, else float64."""
        rates = [array for array in self.arrays.values() if array.dtype != np.bool_]
        single = all(array.dtype == np.float32 for array in rates)
        return np.float32 if single else np.float64

    def take(self, which: np.ndarray) -> Examples:
        """The samples with the numbers `which`, in that order."""
        return Examples({name: array[which] for name, array in self.arrays.items()})

    def batches(self, order: np.ndarray, size: int) -> Iterator[Arrays]:
        """Batches of `size` samples in the given order; the last one may be smaller."""
        for start in range(0, len(order), size):
            yield self.take(order[start : start + size]).arrays

    def split(self, fraction: float, seed: int) -> tuple[Examples, Examples | None]:
        """Samples to train on, and those held out for validation; which, the seed decides.

        SpecError when either would have no sample.
        """
        if not fraction:
            return self, None
        held = round(fraction * len(self))
        if not 0 < held < len(self):
            raise SpecError(
                f"a validation share of {fraction:g} of {len(self)} samples is {held} samples: "
                "training and validation need at least one each"
            )
        order = np.random.default_rng([seed, 1]).permutation(len(self))
        return self.take(np.sort(order[held:])), self.take(np.sort(order[:held]))

    def digest(self) -> str:
        """SHA-256 of names, types, shapes and numbers."""
        return digest(self.arrays)


def digest(arrays: Arrays) -> str:
    """SHA-256 of arrays by name: their types, shapes and numbers."""
    result = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        result.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        result.update(array.data)
    return result.hexdigest()


def check_examples(circuit: Circuit, arrays: Arrays) -> Examples:
    """The arrays as examples for a gradient circuit. SpecError lists everything that does not fit."""
    known = {tensor.name: tensor for tensor in circuit.inputs}
    problems = [
        f"unknown array {name!r}{near_name(name, known)}" for name in arrays if name not in known
    ]
    sizes: dict[str, int] = {}
    samples: dict[str, int] = {}
    for name, tensor in known.items():
        if name in arrays:
            problems += _problems(tensor, arrays[name], sizes, samples)
        elif tensor.kind is InputKind.RATE:
            problems.append(f"{name} is missing, expected shape {_expected(tensor, {})}")
    if len(set(samples.values())) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in samples.items())
        problems.append(f"the numbers of samples differ: {found}")
    if problems:
        raise SpecError(f"the data do not fit {circuit.name!r}:{bullet_list(problems)}")
    return Examples({name: _converted(known[name], array) for name, array in arrays.items()})


def _converted(tensor: Input, array: np.ndarray) -> np.ndarray:
    if tensor.kind is InputKind.MASK:
        return array.astype(bool)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _problems(
    tensor: Input, array: np.ndarray, sizes: dict[str, int], samples: dict[str, int]
) -> Iterator[str]:
    """What is wrong with one array; takes the sizes of symbols that it is the first to have."""
    own = array.shape[1:]
    fits = len(own) == len(tensor.shape) and 0 not in array.shape
    if fits:
        for side, size in zip(tensor.shape, own, strict=True):
            if isinstance(side, str):
                sizes.setdefault(side, size)
        fits = own == tuple(sizes.get(str(side), side) for side in tensor.shape)
    if not fits:
        expected = _expected(tensor, sizes)
        yield f"{tensor.name} has shape {array.shape}, expected {expected}, none empty"
        return
    samples[tensor.name] = len(array)
    if array.dtype.kind not in "fiub":
        yield f"{tensor.name} has type {array.dtype}, expected numbers"
    elif tensor.kind is InputKind.MASK and not np.isin(array, (0, 1)).all():
        yield f"{tensor.name} must hold 0 or 1"
    elif not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        yield f"{tensor.name} has {bad} of {array.size} numbers that are NaN or infinite"


def _expected(tensor: Input, sizes: Mapping[str, int]) -> str:
    sides = ", ".join(str(sizes.get(str(side), side)) for side in tensor.shape)
    return f"(samples, {sides})"
