"""Checkers that share no code with the prover: other arithmetic, other libraries, other formulas.

Each takes the subject and says whether it found no difference, and a detail: at which sizes, to which
error bound or tolerance. An UnsupportedError means that it has nothing to say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cortico.backends import get_runner
from cortico.ir import Circuit, UnsupportedError
from cortico.lowering import circuit_weights, lower
from cortico.spec import AttentionSpec, RotaryStyle
from cortico.verify.equations.closed_forms import trained
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.gradients import ERROR, gradients
from cortico.verify.equations.language import Equations
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.exact import elementwise, emitted
from cortico.verify.identity import testing as identity
from cortico.verify.pytorch import torch_attention
from cortico.weights import random_weights, required_shapes, rotary_frequencies

#: Numbers of tokens where the spec has symbols: for exact checks, and against PyTorch.
_TOKENS, _CONTEXT_TOKENS = 24, 16

_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Subject:
    """What is checked: a spec, its circuit before and after all passes, and emitted NumPy code."""

    spec: AttentionSpec
    lowered: Circuit
    circuit: Circuit
    source: str | None


#: Whether no difference was found, and the detail.
Check = Callable[[Subject], tuple[bool, str]]


def identity_testing(subject: Subject) -> tuple[bool, str]:
    """The lowered circuit against the textbook, on random numbers modulo primes."""
    found = identity.check_spec(subject.spec, subject.lowered, _symbols(subject.spec))
    return found.equal, found.text


def elementwise_sympy(subject: Subject) -> tuple[bool, str]:
    """The circuit of a tiny spec with the same options against the textbook, in SymPy symbols."""
    spec = tiny(subject.spec)
    found = elementwise.check_elementwise(spec, lower(spec))
    if found.too_large:
        raise UnsupportedError(found.text)
    size = f"{spec.tokens} tokens, {spec.heads} heads of {spec.d_key} key features"
    return found.equal, f"{found.entries} expressions; {size}" if found.equal else found.text


def emitted_code(subject: Subject) -> tuple[bool, str]:
    """The emitted NumPy file against the compiled circuit, on exact numbers."""
    found = emitted.check_emitted(subject.circuit, subject.source)
    at = "".join(f"{symbol} = {size}, " for symbol, size in found.sizes.items())
    numbers = f"{found.entries} numbers; {at}{found.arithmetic}"
    return found.equal, numbers if found.equal else found.text


def pytorch_output(subject: Subject) -> tuple[bool, str]:
    """The compiled code against PyTorch, in float64, on random weights of the lowered circuit."""
    numbers = _Numbers(subject.spec)
    found = get_runner("numpy").run(lower(subject.spec, numbers.weights), numbers.inputs)["y"]
    return _close({"y": found}, {"y": numbers.torch.y}, numbers)


def pytorch_gradients(subject: Subject) -> tuple[bool, str]:
    """The circuit's gradient equations on numbers against PyTorch's autograd, in float64."""
    numbers = _Numbers(subject.spec)
    mine = numbers.gradients()
    return _close(mine, {name: numbers.expected(name) for name in mine}, numbers)


#: What each check is called in a report, in the order in which they run.
CHECKS: Mapping[str, Check] = {
    "again, modulo primes: the circuit computes attention": identity_testing,
    "again, in SymPy entry by entry: the circuit computes attention": elementwise_sympy,
    "the emitted NumPy code is the compiled circuit": emitted_code,
    "again, against PyTorch: the circuit computes attention": pytorch_output,
    "again, against PyTorch's autograd: its gradients": pytorch_gradients,
}

#: The word for a check that finds no difference.
WORDS: Mapping[Check, str] = {
    identity_testing: "checked exactly",
    elementwise_sympy: "checked exactly",
    emitted_code: "checked exactly",
    pytorch_output: "compared numerically",
    pytorch_gradients: "compared numerically",
}


# ---- subjects ------------------------------------------------------------------------------------


def _symbols(spec: AttentionSpec) -> dict[str, int]:
    sizes = {spec.source_tokens: _CONTEXT_TOKENS, spec.tokens: _TOKENS}
    return {symbol: size for symbol, size in sizes.items() if isinstance(symbol, str)}


def tiny(spec: AttentionSpec) -> AttentionSpec:
    """A spec with the same options, as small as shows them: two tokens, two features."""
    heads = 2 if spec.heads > 1 else 1
    rotary = spec.rotary and dataclasses.replace(spec.rotary, rotated=None)
    return dataclasses.replace(
        spec,
        model=2,
        heads=heads,
        kv_heads=None if spec.members == 1 else 1,
        key_features=2,
        value_features=1,
        output=2 if spec.d_output == spec.model else 1,
        context=spec.context and 1,
        tokens=2,
        context_tokens=2 if spec.cross else None,
        rotary=rotary,
    )


def misplaced(spec: AttentionSpec) -> str | None:
    """Where a number of the spec's tensors does not stand where it belongs in the circuit; or None.

    Head h is member h % R of group h // R; plane p of half-split rotation turns features p and
    p + rotated/2, of interleaved 2p and 2p + 1 (arXiv 2104.09864).
    """
    counted = {
        name: np.arange(np.prod(sides), dtype=np.float64).reshape(sides)
        for name, shape in required_shapes(spec).items()
        for sides in [tuple(n if isinstance(n, int) else 2 for n in shape)]
    }
    if any(isinstance(n, str) for shape in required_shapes(spec).values() for n in shape):
        return None  # a table of symbolic size does not exist
    found = circuit_weights(spec, counted)
    for name, array in counted.items():
        if not np.array_equal(found[name].reshape(-1), _placed(spec, name, array).reshape(-1)):
            return f"{name} stands elsewhere"
    return None


def _placed(spec: AttentionSpec, name: str, array: np.ndarray) -> np.ndarray:
    """A tensor of the spec with rotated features in pairs; heads in groups keep their order."""
    side = {"W_Q": 1, "W_K": 1, "b_Q": 1, "b_K": 1}.get(name)
    if spec.rotary is None or side is None:
        return array
    rotated = spec.rotary.rotated or spec.d_key
    half = spec.rotary.style is RotaryStyle.HALF_SPLIT
    order: list[int] = []
    for plane in range(rotated // 2):
        order += [plane, plane + rotated // 2] if half else [2 * plane, 2 * plane + 1]
    order += range(rotated, spec.d_key)
    return np.stack([array.take(feature, axis=side) for feature in order], axis=side)


class _Numbers:
    """Random weights and inputs of a spec, with what PyTorch makes of them."""

    def __init__(self, spec: AttentionSpec) -> None:
        self.spec = spec
        rng = np.random.default_rng(0)
        tokens = _TOKENS if isinstance(spec.tokens, str) else spec.tokens
        source = tokens
        if spec.cross:
            context = spec.source_tokens
            source = _CONTEXT_TOKENS if isinstance(context, str) else context
        self.weights = random_weights(spec)
        self.inputs: dict[str, np.ndarray] = {"x": rng.standard_normal((tokens, spec.model))}
        if spec.cross:
            self.inputs["context"] = rng.standard_normal((source, spec.d_context))
        if spec.key_padding:
            self.inputs["keep"] = (
                np.arange(source) != 0
            )  # under a causal mask one query sees nothing
        self.error = rng.standard_normal((tokens, spec.d_output))
        self.sizes = (
            {"tokens": tokens, "context tokens": source} if spec.cross else {"tokens": tokens}
        )
        self.torch = torch_attention(spec, self.weights, self.inputs, self.error)

    def gradients(self) -> dict[str, np.ndarray]:
        """Every gradient by the equations of the circuit, in the circuit's layout."""
        equations = circuit_equations(lower(self.spec, self.weights))
        wanted = trained(self.spec)
        given = {**circuit_weights(self.spec, self.weights), **self.inputs, ERROR: self.error}
        if self.spec.rotary:
            given["frequencies"] = self._frequencies()
        system = gradients(equations, wanted)
        values = evaluate(system, _sizes(system, given), given)
        return {name: values[f"d.{name}"] for name in wanted}

    def expected(self, name: str) -> np.ndarray:
        """PyTorch's gradient in the circuit's layout: rearranged as the tensor itself is."""
        found = self.torch.gradients[name]
        if name in self.inputs:
            return found
        return circuit_weights(self.spec, {**self.weights, name: found})[name]

    def _frequencies(self) -> np.ndarray:
        turning = self.weights.get("rotary_frequencies", rotary_frequencies(self.spec))
        return np.concatenate([turning, np.zeros(self.spec.d_key // 2 - len(turning))])


def _sizes(equations: Equations, given: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Sort to size, read off the arrays."""
    sizes = {sort: 2 for name in equations.formulas for sort in equations.given[name][2:]}
    for name, sides in equations.given.items():
        if name in given:
            sizes.update(zip(sides, given[name].shape, strict=True))
    return sizes


def _close(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], numbers: _Numbers
) -> tuple[bool, str]:
    """Whether arrays agree, relative to the largest number of all: some gradients are zero."""
    scale = max(float(np.abs(array).max()) for array in expected.values())
    errors = {
        name: float(np.abs(found[name] - array).max()) / scale for name, array in expected.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    sizes = ", ".join(f"{tokens} {name}" for name, tokens in numbers.sizes.items())
    detail = f"float64, {sizes}: differs by at most {errors[worst]:.1e} (relative, in {worst})"
    return errors[worst] <= _TOLERANCE, f"{detail}; tolerance {_TOLERANCE:.0e}"
