"""Arrays over named axes, and products of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cortico.ir import Bound, Gain, TensorRef


@dataclass(frozen=True)
class Variable:
    """A Python variable that holds an array over `axes`, after the batch axes if it is batched.

    `zero_outside` are predicates (bounds, or 0/1 inputs at some axes) outside which the array is zero.
    """

    code: str
    axes: tuple[str, ...]
    batched: bool
    gate: str | None = None  #: the 0/1 input that this is
    zero_outside: frozenset[Bound | TensorRef] = frozenset()

    @property
    def gates(self) -> frozenset[TensorRef]:
        """The 0/1 input that this is, at its axes; empty when it is none."""
        return frozenset([TensorRef(self.gate, self.axes)] if self.gate else [])


@dataclass(frozen=True)
class Product:
    """`gain · Π factors / Π divisors`, and zero outside `bounds`."""

    gain: Gain = Gain()
    factors: tuple[Variable, ...] = ()
    divisors: tuple[Variable, ...] = ()
    bounds: frozenset[Bound] = frozenset()

    def times(self, other: Product) -> Product:
        return Product(
            self.gain * other.gain,
            self.factors + other.factors,
            self.divisors + other.divisors,
            self.bounds | other.bounds,
        )

    def inside(self, bounds: frozenset[Bound]) -> Product:
        return replace(self, bounds=self.bounds | bounds)

    @property
    def axes(self) -> frozenset[str]:
        return axes_of((*self.factors, *self.divisors))

    @property
    def single(self) -> Variable | None:
        """The variable that this product is, when it is nothing more."""
        plain = self.gain.is_one and len(self.factors) == 1 and not (self.divisors or self.bounds)
        return self.factors[0] if plain else None

    def simplified(self, known: frozenset[Bound] = frozenset()) -> Product:
        """Without bounds that are `known` or that a factor has built in, and without such gates."""
        built_in = frozenset(p for factor in self.factors for p in factor.zero_outside)
        factors: list[Variable] = []
        for factor in self.factors:
            repeated = any(factor.gates & other.gates for other in factors)
            if not repeated and not factor.gates & built_in:
                factors.append(factor)
        return replace(self, factors=tuple(factors), bounds=self.bounds - built_in - known)


def axes_of(variables: Iterable[Variable]) -> frozenset[str]:
    """All axes of some variables."""
    return frozenset(axis for variable in variables for axis in variable.axes)


def is_batched(variables: Iterable[Variable]) -> bool:
    """Whether an array made of these has batch axes."""
    return any(variable.batched for variable in variables)


def in_order(axes: Iterable[str], order: Iterable[str]) -> tuple[str, ...]:
    """`axes` in the order in which they stand in `order`."""
    chosen = set(axes)
    return tuple(axis for axis in order if axis in chosen)


def renamed(variable: Variable, names: Mapping[str, str]) -> Variable:
    """The same array under another Python name, where `names` has one."""
    return replace(variable, code=names.get(variable.code, variable.code))
