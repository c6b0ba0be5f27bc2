"""A circuit and the textbook's attention, entry by entry in SymPy, at tiny sizes.

Independent of every other checker: attention is written below straight from its formulas, over arrays
of symbols; the circuit is evaluated by `exact_circuit`; SymPy expands and compares. It holds for all
weights and inputs at the given sizes, and at no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from cortico.ir import Circuit, InputKind, SpecError
from cortico.ir.circuit import resolve
from cortico.lowering import circuit_weights
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias, RotaryStyle
from cortico.verify.exact.circuit import exact_outputs, operations
from cortico.verify.exact.symbols import (
    MOST_OPERATIONS,
    Formal,
    TooLargeError,
    first_difference,
    symbol_array,
    symbol_tensors,
    with_every_mask,
)
from cortico.weights import optional_shapes, required_shapes

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ElementwiseResult:
    """What a comparison with the textbook, entry by entry, has shown."""

    equal: bool
    sizes: Mapping[str, int]  #: of the symbols
    entries: int  #: how many expressions were compared
    difference: str | None  #: where the first difference is, or why there is no result
    too_large: bool = False  #: nothing was compared

    @property
    def text(self) -> str:
        """The result in one sentence."""
        at = "".join(f", {symbol} = {size}" for symbol, size in self.sizes.items())
        if self.too_large:
            return f"circuit and textbook were not compared in SymPy{at}: {self.difference}"
        if not self.equal:
            return f"the circuit is not the textbook's attention{at}: {self.difference}"
        return f"the circuit equals the textbook in {self.entries} SymPy expressions{at}"


def elementwise_meaning(
    circuit: Circuit, symbols: Mapping[str, int] | None = None, tensors: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Output name to array of SymPy expressions, in symbols such as `W_Q[0, 1, 0]`.

    `symbols` gives sizes. `tensors` gives arrays of expressions or numbers in place of such symbols; 0/1
    inputs are 1. TooLargeError for a circuit that is not tiny.
    """
    sizes, ring = dict(symbols or {}), Formal()
    if operations(circuit, sizes) > MOST_OPERATIONS:
        raise TooLargeError
    given = {name: ring.array(array) for name, array in (tensors or {}).items()}
    outputs = exact_outputs(circuit, {**symbol_tensors(circuit, sizes, ring), **given}, sizes, ring)
    return {name: _payloads(array) for name, array in outputs.items()}


def check_elementwise(
    spec: AttentionSpec, circuit: Circuit, sizes: Mapping[str, int] | None = None
) -> ElementwiseResult:
    """Compare `circuit`, made from `spec`, with textbook attention for every 0/1 input.

    `sizes` gives the symbols of `spec`, 2 each by default. The circuit's weights must be those of the
    spec: a pass that makes new numbers makes tensors without a counterpart, and that is a SpecError.
    """
    bound = dict(sizes or dict.fromkeys(circuit.symbols, 2))
    try:
        return _compared(spec, circuit, bound)
    except TooLargeError as error:
        return ElementwiseResult(False, bound, 0, str(error), too_large=True)


def _compared(spec: AttentionSpec, circuit: Circuit, sizes: Mapping[str, int]) -> ElementwiseResult:
    weights = spec_symbols(spec)
    parameters = _circuit_symbols(spec, circuit, weights)
    inputs = with_every_mask(circuit, sizes, _input_symbols(circuit, sizes))
    entries = 0
    for example in range(max(map(len, inputs.values()))):
        one = {name: array[example] for name, array in inputs.items()}
        found = elementwise_meaning(circuit, sizes, {**parameters, **one})["y"]
        expected = textbook(spec, weights, **one)
        if found.shape != expected.shape:
            difference = f"y has shape {found.shape}, expected {expected.shape}"
            return ElementwiseResult(False, sizes, entries, difference)
        place = first_difference(list(zip(found.flat, expected.flat, strict=True)))
        if place is not None:
            token, feature = np.unravel_index(place, found.shape)
            return ElementwiseResult(False, sizes, entries, f"first in y[{token}, {feature}]")
        entries += found.size
    return ElementwiseResult(True, sizes, entries, None)


# ---- symbols ---------------------------------------------------------------------------------------


def spec_symbols(spec: AttentionSpec) -> dict[str, np.ndarray]:
    """A symbol for every entry of every tensor of `spec`, rotary frequencies included."""
    shapes = required_shapes(spec) | optional_shapes(spec)
    return {name: symbol_array(name, tuple(map(int, shape))) for name, shape in shapes.items()}


def _circuit_symbols(spec: AttentionSpec, circuit: Circuit, weights: Arrays) -> Arrays:
    """The same symbols where the circuit has those entries: lowering moves entries, it does not mix them.

    Numbered weights go through the lowering, and each number becomes the symbol that it stands for.
    """
    entries = [entry for array in weights.values() for entry in array.flat]
    table = np.array([sympy.Integer(0), *entries], object)
    numbers, start = {}, 1
    for name, array in weights.items():
        numbers[name] = np.arange(start, start + array.size, dtype=float).reshape(array.shape)
        start += array.size
    lowered = {
        name: table[array.astype(int)] for name, array in circuit_weights(spec, numbers).items()
    }
    plain = [p for p in circuit.parameters if p.formula is None]
    strange = [p.name for p in plain if p.name not in lowered or lowered[p.name].shape != p.shape]
    if strange:
        raise SpecError(f"tensors of the circuit that the spec lacks: {', '.join(strange)}")
    return {p.name: lowered[p.name] for p in plain}


def _input_symbols(circuit: Circuit, sizes: Mapping[str, int]) -> Arrays:
    rates = [tensor for tensor in circuit.inputs if tensor.kind is InputKind.RATE]
    return {t.name: symbol_array(t.name, tuple(resolve(s, sizes) for s in t.shape)) for t in rates}


def _payloads(array: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(lambda number: number.payload, 1, 1)(array), object)


# ---- the textbook ----------------------------------------------------------------------------------


def textbook(
    spec: AttentionSpec,
    weights: Arrays,
    x: np.ndarray,
    context: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> np.ndarray:
    """Multihead attention over SymPy entries, shape (n, out).

        y_i = Σ_h W_O[h] Σ_j p_hij v_hj + b_O (+ x_i)     p = softmax_j(score) or p = score

    Vaswani et al., arXiv 1706.03762, sections 3.2.1 and 3.2.2. A query without source tokens gets 0.
    """
    source = x if context is None else context
    live = np.ones(len(source), bool) if keep is None else np.asarray(keep, bool)
    out = int(weights["W_O"].shape[1])
    y = np.full((len(x), out), sympy.Integer(0), object)
    for i in range(len(x)):
        seen = [j for j in range(len(source)) if live[j] and _sees(spec, i, j)]
        for h in range(spec.heads):
            y[i] = y[i] + weights["W_O"][h] @ _head(spec, weights, h, i, x, source, seen)
        y[i] = y[i] + weights.get("b_O", 0) + (x[i] if spec.residual else 0)
    return y


def _sees(spec: AttentionSpec, i: int, j: int) -> bool:
    if spec.mask is Mask.NONE:
        return True
    return j <= i and (spec.window is None or i - j < spec.window)


def _head(
    spec: AttentionSpec,
    weights: Arrays,
    h: int,
    i: int,
    x: np.ndarray,
    source: np.ndarray,
    seen: list[int],
) -> np.ndarray:
    """Σ_j p_hij v_hj for one head and one query, shape (c,)."""
    total = np.full(spec.d_value, sympy.Integer(0), object)
    scores = {j: _score(spec, weights, h, i, j, x[i], source[j]) for j in seen}
    divisor = sympy.Integer(1)
    if spec.kernel is Kernel.SOFTMAX:
        scores = {j: sympy.exp(sympy.expand(score)) for j, score in scores.items()}
        divisor = sum(scores.values(), sympy.exp(weights["sink"][h]) if spec.sink else 0)
    g = h // spec.members
    for j in seen:
        value = weights["W_V"][g] @ source[j] + _row(weights, "b_V", g)
        total = total + scores[j] / divisor * value
    return total


def _score(
    spec: AttentionSpec,
    weights: Arrays,
    h: int,
    i: int,
    j: int,
    query_token: np.ndarray,
    source_token: np.ndarray,
) -> Any:
    """scale · q_hi · k_hj, and what positions add."""
    g = h // spec.members
    q = weights["W_Q"][h] @ query_token + _row(weights, "b_Q", h)
    k = weights["W_K"][g] @ source_token + _row(weights, "b_K", g)
    if spec.rotary is not None:
        q, k = _turned(spec, weights, q, i), _turned(spec, weights, k, j)
    score = _scale(spec) * (q @ k)
    if spec.position_bias is PositionBias.ALIBI:
        score += weights["alibi_slopes"][h] * (j - i)
    if spec.position_bias is PositionBias.TABLE:
        score += weights["position_bias"][h, i, j]
    return score


def _scale(spec: AttentionSpec) -> Any:
    if spec.scale is not None:
        exact = Fraction(float(spec.scale))
        return sympy.Rational(exact.numerator, exact.denominator)
    return 1 / sympy.sqrt(spec.d_key) if spec.kernel is Kernel.SOFTMAX else sympy.Integer(1)


def _turned(spec: AttentionSpec, weights: Arrays, features: np.ndarray, token: int) -> np.ndarray:
    """Rotary embedding (arXiv 2104.09864, equation 15): feature pairs turned by the token's angle."""
    assert spec.rotary is not None
    result = features.copy()
    half = spec.rotated_features // 2
    for p in range(half):
        if spec.rotary.style is RotaryStyle.HALF_SPLIT:
            one, other = p, p + half
        else:
            one, other = 2 * p, 2 * p + 1
        angle = token * weights["rotary_frequencies"][p]
        cos, sin = sympy.cos(angle), sympy.sin(angle)
        result[one] = cos * features[one] - sin * features[other]
        result[other] = sin * features[one] + cos * features[other]
    return result


def _row(weights: Arrays, name: str, index: int) -> Any:
    return weights[name][index] if name in weights else 0
