"""Tensors of a circuit: parameters, external inputs, and references to them over named axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from cortico.ir.axes import Extent
from cortico.ir.errors import CircuitError, shown

Shape = tuple[Extent, ...]


class InputKind(StrEnum):
    """What an external input may hold."""

    RATE = "rate"  #: any real number
    MASK = "mask"  #: 0 or 1: whether the thing exists
    TOKEN = "token"  #: whole numbers, each of which reads as 1 at its place of the last side and 0 elsewhere


#: The floating-point types that the values of parameters may have.
FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Input:
    """A tensor that arrives from outside the circuit at every run."""

    name: str
    shape: Shape
    kind: InputKind = InputKind.RATE

    @property
    def given(self) -> Shape:
        """The sides that an array has which is given for it: numbers of tokens lack the last side."""
        return self.shape[:-1] if self.kind is InputKind.TOKEN else self.shape

    @property
    def optional(self) -> bool:
        """Whether it may be left out."""
        return self.kind is InputKind.MASK


@dataclass(frozen=True)
class Formula:
    """A parameter computed from others by an entry of `FORMULAS`."""

    kind: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(self.arguments)})"


def equal_arrays(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether type and numbers are the same: byte order is no part of a value, and NaN is equal to NaN."""
    same_type = one.dtype.name == other.dtype.name
    return one is other or (same_type and np.array_equal(one, other, equal_nan=True))


def memory(array: np.ndarray) -> tuple[object, ...]:
    """Where the numbers of an array lie, and how they are read there."""
    place = array.__array_interface__["data"][0]
    return place, array.shape, array.strides, array.dtype.str


def tied_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Names of arrays to the first name of the same memory: equal numbers elsewhere are not the same array."""
    first: dict[object, str] = {}
    met = {name: first.setdefault(memory(array), name) for name, array in arrays.items()}
    return {name: other for name, other in met.items() if name != other}


@dataclass(frozen=True)
class Parameter:
    """A named tensor of weights or biases.

    Without `values` and `formula` it is symbolic: its numbers are given when the circuit runs.
    Two parameters are equal when name, shape and formula are, and their values are equal arrays.
    """

    name: str
    shape: Shape
    values: np.ndarray | None = field(default=None, compare=False, hash=False, repr=False)
    formula: Formula | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameter):
            return NotImplemented
        mine, theirs = self.values, other.values
        if (self.name, self.shape, self.formula) != (other.name, other.shape, other.formula):
            return False
        if mine is None or theirs is None:
            return mine is theirs
        return equal_arrays(mine, theirs)

    def __hash__(self) -> int:
        return hash((self.name, self.shape, self.formula))


@dataclass(frozen=True)
class TensorRef:
    """A tensor read at named axes, such as `W_K[h, a, m]`."""

    name: str
    axes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.axes)}]"


@dataclass(frozen=True)
class Gain:
    """A constant factor: `coefficient · Π size(axis) ** exponent`.

    Keeping `size(a)^-1/2` apart from its value lets a proof hold for every size.
    """

    coefficient: float = 1.0
    sizes: tuple[tuple[str, Fraction], ...] = ()

    def value(self, sizes: Mapping[str, int]) -> float:
        """The number at given axis sizes. The sizes are multiplied first: 1/√(2·16) is 1/√32.

        CircuitError when it is no finite number.
        """
        by_exponent: dict[Fraction, int] = {}
        for axis, exponent in self.sizes:
            by_exponent[exponent] = by_exponent.get(exponent, 1) * sizes[axis]
        try:
            powers = (float(size) ** float(exponent) for exponent, size in by_exponent.items())
            value = float(self.coefficient * math.prod(powers))
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise CircuitError(
                f"gain {shown(str(self))} is too large to be a number at {shown(dict(sizes))}"
            )
        return value

    def __mul__(self, other: Gain) -> Gain:
        return Gain(self.coefficient * other.coefficient, self.sizes + other.sizes)

    @property
    def is_one(self) -> bool:
        return self.coefficient == 1.0 and not self.sizes

    def __str__(self) -> str:
        factors = [f"size({axis})^{exponent}" for axis, exponent in self.sizes]
        if self.coefficient != 1.0 or not factors:
            factors.insert(0, repr(float(self.coefficient)))  # NumPy numbers print otherwise
        return " * ".join(factors)


@dataclass(frozen=True)
class Weight:
    """`gain · tensor[axes]`, or the constant `gain` when there is no tensor."""

    tensor: TensorRef | None = None
    gain: Gain = Gain()

    @property
    def axes(self) -> tuple[str, ...]:
        return self.tensor.axes if self.tensor else ()

    def __str__(self) -> str:
        if self.tensor is None:
            return str(self.gain)
        return str(self.tensor) if self.gain.is_one else f"{self.gain} * {self.tensor}"


def rotation(shape: tuple[int, ...], frequencies: np.ndarray) -> np.ndarray:
    """Rotary embedding, `R[t, p] = [[cos, -sin], [sin, cos]](t · frequencies[p])`, shape (t, p, 2, 2).

    Su et al., RoFormer, arXiv 2104.09864, equation 15. A frequency of zero leaves its plane alone.
    """
    angles = np.arange(shape[0])[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def distance(shape: tuple[int, ...], slopes: np.ndarray) -> np.ndarray:
    """Linear position bias (ALiBi), `slopes[…] · (j - i)`, shape (…, i, j).

    Press et al., arXiv 2108.12409, section 3.
    """
    offsets = np.arange(shape[-1]) - np.arange(shape[-2])[:, None]
    return np.asarray(slopes[..., None, None] * offsets)


def rows(shape: tuple[int, ...], table: np.ndarray) -> np.ndarray:
    """The first rows of a table, `table[t]` for token t, shape (t, m): learned position embedding.

    Devlin et al., BERT, arXiv 1810.04805, section 3. Whoever calls sees that the table has so many.
    """
    return table[: shape[0]]


def first(shape: tuple[int, ...]) -> np.ndarray:
    """1 for the first token and 0 for all others, shape (t,): what reads one token out of a text."""
    return np.asarray(np.arange(shape[0]) == 0, np.float64)


#: Formula kind to its evaluation `f(shape, *argument arrays)`.
FORMULAS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"rotation": rotation, "distance": distance, "rows": rows, "first": first}
)


def _may_have(rows: Extent, tokens: Extent) -> bool:
    """Whether a table of `rows` can have that many: a symbol gets its number when the circuit runs."""
    return isinstance(rows, str) or isinstance(tokens, str) or tokens <= rows


#: Formula kind to `f(shape, argument shapes)`: whether it can make a parameter of that shape.
FORMULA_SHAPES: Mapping[str, Callable[[Shape, Sequence[Shape]], bool]] = MappingProxyType(
    {
        "rotation": lambda shape, arguments: (
            len(shape) == 4 and shape[2:] == (2, 2) and list(arguments) == [shape[1:2]]
        ),
        "distance": lambda shape, arguments: len(shape) >= 2 and list(arguments) == [shape[:-2]],
        "rows": lambda shape, arguments: (
            len(shape) == 2
            and [argument[1:] for argument in arguments] == [shape[1:]]
            and _may_have(arguments[0][0], shape[0])
        ),
        "first": lambda shape, arguments: len(shape) == 1 and not arguments,
    }
)
