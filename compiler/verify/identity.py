"""Identity testing: two circuits, or a circuit and the textbook, compared exactly modulo primes.

A polynomial that is not zero is zero at few points of a finite field (Schwartz and Zippel): of degree
d, at a random point modulo p with probability at most d/p. So random tensors tell circuits of any size
apart, in exact arithmetic. An exponential is `g^a`, which keeps `exp(a + b) = exp(a) exp(b)`: equal
circuits still agree, but for different ones there is no comparable bound. `relu(x) - relu(-x) = x`,
`tanh(-x) = -tanh(x)`, `f(0) = 0` and `x/0 = 0` hold; nothing else of `relu`, `tanh` and `sqrt` does.

It shares no code with the prover: circuits are evaluated here, and attention is written anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Effect,
    Gain,
    Input,
    InputKind,
    Parameter,
    Population,
    UnsupportedError,
    Weight,
)
from cortico.ir.circuit import resolve
from cortico.ir.domain import Domain
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias, RotaryStyle
from cortico.verify.finite_field import (
    Draw,
    Factor,
    Field,
    Layout,
    add,
    chain_of_fields,
    contract,
    prime_factors,
)

Arrays = Mapping[str, np.ndarray]
Symbols = Mapping[str, int]
Factors = list[Factor]


class NotCheckableError(UnsupportedError):
    """Identity testing cannot say anything about these circuits. The message says why."""


@dataclass(frozen=True)
class IdentityResult:
    """What a comparison found, and how far to trust it.

    `degree` bounds the degree of the polynomials compared, and `error_bound` the probability that
    different circuits were found equal; both are None where a transfer function is no polynomial.
    `text` says all of it in words.
    """

    equal: bool
    sizes: Mapping[str, int]
    trials: int
    prime: int
    degree: int | None
    error_bound: float | None
    has_exp: bool
    text: str


def evaluate(circuit: Circuit, symbols: Symbols, draw: Draw) -> dict[str, np.ndarray]:
    """Output name to residues (int64, 0 … p-1) modulo the first field of `draw`."""
    run = _Evaluation(circuit, circuit.sizes(symbols), draw)
    return {output.name: run.output(*_source(output)) for output in circuit.outputs}


def check_equal(
    before: Circuit,
    after: Circuit,
    symbols: Symbols,
    seed: int = 0,
    trials: int = 2,
    tensors: Arrays | None = None,
) -> IdentityResult:
    """Whether two circuits give equal outputs, on random inputs.

    Without `tensors` parameters are random, equal by name. With `tensors` they are the numbers that
    a circuit stores, or those of `tensors`, exactly. NotCheckableError when a parameter of `after`
    has no number, or for too many stacked exponentials.
    """
    _require_numbers(before, after, tensors)
    degrees = [_Degrees(c, c.sizes(symbols)).total() for c in (before, after)]

    def outputs(fields: tuple[Field, ...], number: int) -> tuple[Arrays, Arrays]:
        draw = Draw(fields, number, tensors)
        return evaluate(before, symbols, draw), evaluate(after, symbols, draw)

    return _compared(outputs, (before, after), degrees, symbols, seed, trials, set())


def check_spec(
    spec: AttentionSpec,
    circuit: Circuit,
    symbols: Symbols,
    seed: int = 0,
    trials: int = 2,
    tensors: Arrays | None = None,
) -> IdentityResult:
    """Whether a circuit computes the attention of `spec`, on random inputs.

    The circuit takes the spec's tensors by name, heads in groups and rotated features in planes.
    Without `tensors` they are random; with `tensors` (the spec's weights) the textbook takes those,
    and the circuit the numbers that it stores.
    """
    draws = _TextbookDraws(spec, symbols, tensors)
    _require_numbers(circuit, circuit, tensors, draws.layouts)

    def outputs(fields: tuple[Field, ...], number: int) -> tuple[Arrays, Arrays]:
        draw = Draw(fields, number, tensors, draws.layouts)
        return {"y": _Textbook(spec, symbols, draw).output()}, evaluate(circuit, symbols, draw)

    rotations = 2 if spec.rotary else 0
    own = None if spec.kernel is Kernel.SOFTMAX else _Degree(7 + rotations, 0)
    degrees = [own, _Degrees(circuit, circuit.sizes(symbols)).total()]
    squares = prime_factors(spec.d_key)
    return _compared(outputs, (circuit,), degrees, symbols, seed, trials, squares)
