"""The transfer functions a neuron may have: one table, read by every backend.

An entry has what a function is (`evaluate`, and what holds of it on the whole line), its slope, and how it is
written in every language. A backend refuses the functions for which its language has None. To add a function is
to add an entry here; `tests/ir/transfers/` holds every column against another source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


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
    numpy_body: str = (
        ""  #: what a function of this name in emitted code returns for x, where NumPy has none
    )
    scipy: bool = False  #: emitted code imports it from scipy.special
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
        if self.numpy_body or function == self.numpy:
            return f"lambda x: {self.numpy_body or self.numpy.format(x='x')}"
        return function


def _identity(x: Any) -> Any:
    return x


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _sigmoid(x: Any) -> Any:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _softplus(x: Any) -> Any:
    return np.logaddexp(0, x)


def _gaussian(x: Any) -> Any:
    return np.exp(-np.square(x))


_ENTRIES = (
    Transfer(
        name="identity",
        formula="x",
        evaluate=_identity,
        at_zero=0.0,
        parity=Parity.ODD,
        sign=Sign.ANY,
        steepest=1.0,
        relative=Relative.KEPT,
        homogeneous=True,
        exact=ExactRule.ITSELF,
        slope="1",
        rate_slope=(),
        numpy="{x}",
        sympy="x",
        torch="{x}",
        jax="{x}",
        onnx="{x}",
        brian2="{x}",
        annarchy="{x}",
        neuron="",
        nest='("lin_rate_ipn", {})',
        latex="{x}",
        everywhere=True,
    ),
    Transfer(
        name="exp",
        formula="e^x",
        evaluate=np.exp,
        at_zero=1.0,
        sign=Sign.POSITIVE,
        range=(0.0, math.inf),
        steepest=None,
        relative=Relative.GROWN,
        exact=ExactRule.POWER,
        slope="r",
        rate_slope=(RateFactor("slope"),),
        numpy="np.exp({x})",
        sympy="exp(x)",
        torch="torch.exp({x})",
        jax="jnp.exp({x})",
        onnx="Exp({x})",
        brian2="exp({x})",
        annarchy="exp({x})",
        neuron="f = exp(x)",
        nest='("sigmoid_rate_ipn", {"beta": 1.0, "g": np.exp(EXPONENT)})',
        latex=r"\exp{x}",
        everywhere=True,
    ),
    Transfer(
        name="relu",
        formula="x where x > 0, else 0",
        evaluate=_relu,
        at_zero=0.0,
        sign=Sign.NONNEGATIVE,
        range=(0.0, math.inf),
        steepest=1.0,
        relative=Relative.KEPT,
        homogeneous=True,
        exact=ExactRule.HALF,
        slope="step(x)",
        rate_slope=(RateFactor("fires"), RateFactor("fires_at", divides=True)),  # 0/0 is 0
        numpy="np.maximum({x}, 0)",
        sympy="Max(x, 0)",
        torch="torch.relu({x})",
        jax="jnp.maximum({x}, 0)",
        onnx="Max({x}, 0)",
        brian2="clip({x}, 0, inf)",
        annarchy="pos({x})",
        neuron="if (x < 0) {\n    f = 0\n}",
        nest='("threshold_lin_rate_ipn", {})',
        latex=r"\operatorname{{relu}}{x}",
        everywhere=True,
    ),
    Transfer(
        name="tanh",
        formula="(e^x - e^-x) / (e^x + e^-x)",
        evaluate=np.tanh,
        at_zero=0.0,
        parity=Parity.ODD,
        sign=Sign.ANY,
        range=(-1.0, 1.0),
        steepest=1.0,
        relative=Relative.KEPT,
        slope="1 - r*r",
        rate_slope=(RateFactor("below_one", 1.0, -1.0), RateFactor("above_minus_one", 1.0)),
        numpy="np.tanh({x})",
        sympy="tanh(x)",
        torch="torch.tanh({x})",
        jax="jnp.tanh({x})",
        onnx="Tanh({x})",
        brian2="tanh({x})",
        annarchy="tanh({x})",
        neuron="f = tanh(x)",
        nest='("tanh_rate_ipn", {})',
        latex=r"\tanh{x}",
        everywhere=True,
    ),
    Transfer(  # cells of simulators are silent below 0, where they may come by while they settle
        name="sqrt",
        formula="√x",
        evaluate=np.sqrt,
        at_zero=0.0,
        sign=Sign.NONNEGATIVE,
        range=(0.0, math.inf),
        steepest=1.0,
        of_root=True,
        relative=Relative.KEPT,
        slope="0.5 / r",
        rate_slope=(RateFactor("slope", per_rate=2.0, divides=True),),
        numpy="np.sqrt({x})",
        sympy="sqrt(x)",
        torch="torch.sqrt({x})",
        jax="jnp.sqrt({x})",
        onnx="Sqrt({x})",
        brian2="sqrt(clip({x}, 0, inf))",
        annarchy="sqrt(pos({x}))",
        neuron="f = 0\nif (x > 0) {\n    f = sqrt(x)\n}",
        nest=None,
        latex="{x}^{{1/2}}",
        everywhere=True,
    ),
    Transfer(
        name="erf",
        formula="2/√π ∫ e^-t² dt from 0 to x",
        evaluate=np.vectorize(math.erf, otypes=[float]),
        at_zero=0.0,
        parity=Parity.ODD,
        sign=Sign.ANY,
        range=(-1.0, 1.0),
        steepest=2 / math.sqrt(math.pi),
        relative=Relative.KEPT,
        slope="2 / sqrt(pi) * gaussian(x)",
        rate_slope=None,
        numpy="erf({x})",
        scipy=True,
        sympy="erf(x)",
        torch="torch.erf({x})",
        jax="lax.erf({x})",
        onnx="Erf({x})",
        brian2=None,
        annarchy=None,
        neuron="f = erf(x)",
        nest=None,
        latex=r"\operatorname{{erf}}{x}",
    ),
    Transfer(
        name="sigmoid",
        formula="1 / (1 + e^-x)",
        evaluate=_sigmoid,
        at_zero=0.5,
        sign=Sign.POSITIVE,
        range=(0.0, 1.0),
        steepest=0.25,
        relative=Relative.GROWN,
        slope="r * (1 - r)",
        rate_slope=(RateFactor("slope"), RateFactor("below_one", 1.0, -1.0)),
        numpy="sigmoid({x})",
        numpy_body="np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))",
        sympy="1 / (1 + exp(-x))",
        torch="torch.sigmoid({x})",
        jax="jax.nn.sigmoid({x})",
        onnx="Sigmoid({x})",
        brian2="(exp(clip({x}, -inf, 0)) / (1 + exp(-abs({x}))))",
        annarchy="exp(-pos(-({x}))) / (1.0 + exp(-pos({x}) - pos(-({x}))))",
        neuron="f = exp(-fabs(x))\nif (x < 0) {\n    f = f / (1 + f)\n} else {\n    f = 1 / (1 + f)\n}",
        nest='("sigmoid_rate_ipn", {"beta": 1.0, "g": 1.0})',
        latex=r"\operatorname{{sigmoid}}{x}",
    ),
    Transfer(
        name="gaussian",
        formula="e^-x²",
        evaluate=_gaussian,
        at_zero=1.0,
        parity=Parity.EVEN,
        sign=Sign.POSITIVE,
        range=(0.0, 1.0),
        steepest=math.sqrt(2 / math.e),
        slope="-2 * x * r",
        rate_slope=None,
        numpy="gaussian({x})",
        numpy_body="np.exp(-np.square(x))",
        sympy="exp(-x**2)",
        torch="torch.exp(-torch.square({x}))",
        jax="jnp.exp(-jnp.square({x}))",
        onnx="Exp(Neg(Mul({x}, {x})))",
        brian2="exp(-({x})**2)",
        annarchy="exp(-({x}) * ({x}))",
        neuron="f = exp(-x * x)",
        nest=None,
        latex=r"\operatorname{{gaussian}}{x}",
    ),
    Transfer(  # simulators start from rates of 0, where it is -inf: no network would ever settle
        name="log",
        formula="ln x; -∞ at 0, NaN below",
        evaluate=np.log,
        at_zero=-math.inf,
        sign=Sign.ANY,
        steepest=None,
        slope="1 / x",
        rate_slope=None,
        numpy="np.log({x})",
        sympy="log(x)",
        torch="torch.log({x})",
        jax="jnp.log({x})",
        onnx="Log({x})",
        brian2=None,
        annarchy=None,
        neuron=None,
        nest=None,
        latex=r"\log{x}",
    ),
    Transfer(
        name="softplus",
        formula="ln(1 + e^x)",
        evaluate=_softplus,
        at_zero=math.log(2),
        sign=Sign.POSITIVE,
        range=(0.0, math.inf),
        steepest=1.0,
        relative=Relative.GROWN,
        slope="sigmoid(x)",
        rate_slope=None,
        numpy="softplus({x})",
        numpy_body="np.logaddexp(0, x)",
        sympy="log(1 + exp(x))",
        torch="torch.logaddexp({x}, torch.zeros_like({x}))",
        jax="jax.nn.softplus({x})",
        onnx="Add(Max({x}, 0), Log(Add(Exp(Neg(Abs({x}))), 1)))",
        brian2="(clip({x}, 0, inf) + log1p(exp(-abs({x}))))",
        annarchy="(pos({x}) + log(1.0 + exp(-pos({x}) - pos(-({x})))))",
        neuron="f = log(1 + exp(-fabs(x)))\nif (x > 0) {\n    f = f + x\n}",
        nest=None,
        latex=r"\operatorname{{softplus}}{x}",
    ),
)

TRANSFERS: Mapping[str, Transfer] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
