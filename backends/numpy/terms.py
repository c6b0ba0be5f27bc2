"""Terms of the emitted program: products of array variables over named axes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cortico.ir import Bound, Gain


@dataclass(frozen=True)
class Variable:
    """A Python variable that holds an array over `axes`, after the batch axes if it is batched.

    `zero_outside` are predicates (bounds, or names of 0/1 inputs) outside which the array is zero.
    """

    code: str
    axes: tuple[str, ...]
    batched: bool
    gate: str | None = None  #: the 0/1 input that this is
    zero_outside: frozenset[Bound | str] = frozenset()


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
        return frozenset(axis for v in (*self.factors, *self.divisors) for axis in v.axes)

    @property
    def single(self) -> Variable | None:
        """The variable that this product is, when it is nothing more."""
        plain = self.gain.is_one and len(self.factors) == 1 and not self.divisors
        return self.factors[0] if plain else None

    def simplified(self, known: frozenset[Bound] = frozenset()) -> Product:
        """Without bounds that are `known` or that a factor has built in, and without such gates."""
        built_in = frozenset(p for factor in self.factors for p in factor.zero_outside)
        factors: list[Variable] = []
        for factor in self.factors:
            repeated = factor.gate and any(
                f.gate == factor.gate and f.axes == factor.axes for f in factors
            )
            if not repeated and not (factor.gate and factor.gate in built_in):
                factors.append(factor)
        return replace(self, factors=tuple(factors), bounds=self.bounds - built_in - known)


def indexed(variable: Variable, axes: tuple[str, ...]) -> str:
    """Code that reads `variable` so that it broadcasts against an array over `axes`.

    The variable's own axes must be a subset of `axes`; they are transposed when their order differs.
    """
    ordered = tuple(axis for axis in axes if axis in variable.axes)
    code = transposed(variable, ordered)
    steps = [":" if axis in variable.axes else "None" for axis in axes]
    if variable.batched:
        steps.insert(0, "...")
    else:
        while steps and steps[0] == "None":  # broadcasting adds leading axes by itself
            steps.pop(0)
    return code if "None" not in steps else f"{code}[{', '.join(steps)}]"


def transposed(variable: Variable, axes: tuple[str, ...]) -> str:
    """Code for a view of `variable` with its axes in the order `axes`."""
    if variable.axes == axes:
        return variable.code
    if variable.axes[:-2] == axes[:-2] and len(axes) > 1:
        return f"{variable.code}.swapaxes(-1, -2)"
    if variable.batched:
        return f'np.einsum("{subscripts(variable)}->{subscripts(replace(variable, axes=axes))}", {variable.code})'
    return f"{variable.code}.transpose({', '.join(str(variable.axes.index(a)) for a in axes)})"


def subscripts(variable: Variable) -> str:
    """The einsum subscripts of a variable. Axis names of one letter stand for themselves."""
    return ("..." if variable.batched else "") + "".join(variable.axes)
