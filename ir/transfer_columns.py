"""What the table of transfer functions says of each: the columns of `cortico.ir.transfer`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Parity(StrEnum):
    """What φ(-x) is."""

    ODD = "odd"  #: -φ(x)
    EVEN = "even"  #: φ(x)
    NEITHER = "neither"


class Sign(StrEnum):
    """Which signs a rate may have."""

    POSITIVE = "positive"
    NONNEGATIVE = "nonnegative"
    ANY = "any"


class ExactRule(StrEnum):
    """What stands for a function where numbers are exact: modulo primes, or rationals."""

    ITSELF = "itself"
    POWER = "power"  #: of a base modulo a prime, so that exp(a + b) = exp(a) exp(b)
    HALF = "half"  #: of the residues stay, the others are 0, so that φ(x) - φ(-x) = x
    OPAQUE = "opaque"  #: a random function, odd or 0 at 0 where the entry says so


class Relative(StrEnum):
    """How far a rate moves, relative to itself."""

    KEPT = "kept"  #: from a nonnegative argument: at most as far as that does, relative to itself
    GROWN = "grown"  #: when the argument moves by d: at most e^d - 1, as |φ'| ≤ φ
    UNKNOWN = "unknown"


class RateFactor(NamedTuple):
    """A factor `constant + per_rate · r` of the slope, for the compartment of a neuron that hears the rate r."""

    compartment: str
    constant: float = 0.0
    per_rate: float = 1.0
    divides: bool = False


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """φ in `rate = φ(drive)`."""

    name: str
    formula: str  #: for people
    evaluate: Callable[
        [Any], Any
    ]  #: on NumPy's arrays; warns as NumPy does, but not for |x| up to 1000 where φ has a value

    # ---- what holds for all x
    at_zero: float
    parity: Parity = Parity.NEITHER
    sign: Sign
    range: tuple[float, float] = (-math.inf, math.inf)  #: no rate is below or above
    steepest: float | None  #: c in |φ(a) - φ(b)| ≤ c |a - b|; None where there is no such bound
    of_root: bool = False  #: the bound is c √|a - b|
    relative: Relative = Relative.UNKNOWN
    homogeneous: bool = False  #: φ(s x) = s φ(x) for s ≥ 0
    exact: ExactRule = ExactRule.OPAQUE

    # ---- φ'
    slope: (
        str  #: by the argument x and the rate r, with transfer functions, `step`, `sqrt` and `pi`
    )
    rate_slope: (
        tuple[RateFactor, ...] | None
    )  #: the same by the rate alone; None where it is no such product

    # ---- in other languages: {x} is the argument, which stands by itself; None: there it cannot be had
    numpy: str
    numpy_body: str = ""  #: of a function of x of this name in emitted code, where NumPy has none
    scipy: str = ""  #: what emitted code imports for it from scipy.special
    sympy: str  #: of the symbol x
    torch: str | None
    jax: str | None
    onnx: str | None  #: as calls of ONNX operators
    brian2: str | None
    annarchy: str | None
    neuron: str | None  #: NMODL statements that change f, which is x before
    nest: str | None  #: the model of a rate neuron and its parameters, as code
    latex: str  #: {x} stands in parentheses
    everywhere: bool = False  #: scripts for simulators bring it whether the circuit has it or not

    @property
    def is_identity(self) -> bool:
        return self.name == "identity"

    @property
    def keeps_zero(self) -> bool:
        return self.at_zero == 0

    @property
    def nonnegative(self) -> bool:
        return self.sign is not Sign.ANY

    def in_sympy(self, x: Any) -> Any:
        """φ(x) as a SymPy expression."""
        import sympy

        return sympy.sympify(self.sympy, locals={"x": x})

    @property
    def nengo(self) -> str | None:
        """A Python function, as code. Nengo asks it of 0 before anything runs."""
        if math.isinf(self.at_zero):
            return None
        function = self.numpy.removesuffix("({x})")
        if self.numpy_body or function == self.numpy:  # in a script, values come before functions
            return f"lambda x: {self.numpy.format(x='x')}"
        return function
