"""Numbers on which circuits are held against PyTorch: the spec's weights, inputs, and what PyTorch gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from cortico.backends import get_runner
from cortico.ir import Circuit, UnsupportedError
from cortico.ir.analysis.inputs import as_rates, bind_symbols, stored_values
from cortico.lowering import circuit_weights, layouts
from cortico.spec import AttentionSpec, Kernel, NormKind, NormOver, PositionBias, QueryKeyNorm
from cortico.spec.weights import Weights, random_weights, required_shapes
from cortico.spec.wiring import Block
from cortico.verify.equations.blocks import Plain, book_of
from cortico.verify.equations.evaluate import at_positions, evaluate
from cortico.verify.equations.gradients import ERROR, gradients
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.sorts import sizes_of
from cortico.verify.pytorch import TorchResult, torch_block

Arrays = Mapping[str, np.ndarray]

#: Two numbers of tokens, and of context tokens, without a common factor; at least these.
_LEAST = ((24, 17), (29, 19))

#: Numbers of tokens where a bound of the circuit may reach further than is computed here.
_MOST_TOKENS = 2048

#: Scores up to which exponentials neither overflow nor vanish, and how often inputs are halved for that.
_MOST_SCORE, _MOST_HALVINGS = 250.0, 60

#: Relative changes of weights and inputs by which is measured what rounding does, and how often.
_NUDGE, _NUDGES = 1e-14, 3

#: A difference is compared with so many times the change that these nudges make, at least with the first,
#: and not at all where that would be more than the last.
_TIMES, _LEAST_TOLERANCE, _MOST_TOLERANCE = 20.0, 1e-10, 1e-5


def token_sizes(spec: Block, least: tuple[int, int]) -> tuple[int, int]:
    """Numbers of query and source tokens: more than the window has, where the spec leaves them open.

    No more than a table of positions has rows.
    """
    if not isinstance(spec, AttentionSpec):
        open_ = min(least[0], getattr(spec, "positions", None) or least[0])
        tokens = spec.tokens if isinstance(spec.tokens, int) else open_
        return tokens, tokens
    more = min(spec.window or 0, _MOST_TOKENS)
    found = []
    for extent, few in ((spec.tokens, least[0]), (spec.source_tokens, least[1])):
        found.append(extent if isinstance(extent, int) else few + more)
    tokens, source = found
    return (tokens, source) if spec.cross else (tokens, tokens)


class Numbers:
    """Inputs for one number of tokens, and what PyTorch makes of them by the spec's weights in float64.

    Without `weights` they are random, of unit gain.
    """

    def __init__(
        self, spec: Block, weights: Weights | None, least: tuple[int, int] = _LEAST[0]
    ) -> None:
        self.spec, rng = spec, np.random.default_rng(0)
        tokens, source = token_sizes(spec, least)
        drawn = random_weights(spec) if weights is None else weights
        self.weights = {name: np.asarray(a, np.float64) for name, a in drawn.items()}
        if isinstance(spec, AttentionSpec):
            self.inputs, shape = _of_attention(spec, tokens, source, rng)
        else:
            self.inputs, shape = _of_block(spec, tokens, rng)
        self.error = rng.standard_normal(shape)
        is_cross = isinstance(spec, AttentionSpec) and spec.cross
        has_tokens = not getattr(spec, "pooled", False)
        self.sizes = {"tokens": tokens} if has_tokens else {}
        self.sizes |= {"context tokens": source} if is_cross else {}
        self.refresh()

    def refresh(self) -> None:
        """Ask PyTorch again, after inputs have changed."""
        self.torch = torch_block(self.spec, self.weights, self.inputs, self.error)

    @property
    def rates(self) -> list[str]:
        """The inputs that are rates."""
        return [name for name, array in self.inputs.items() if array.dtype.kind == "f"]

    def parameters(self, circuit: Circuit) -> dict[str, np.ndarray]:
        """What `circuit` stores, and these weights where it stores nothing."""
        mine = circuit_weights(self.spec, self.weights)
        open_ = [p.name for p in circuit.parameters if p.values is None and p.formula is None]
        symbols = bind_symbols(circuit, self.inputs)
        return stored_values(circuit, symbols, {n: mine[n] for n in open_ if n in mine})

    def output(self, circuit: Circuit) -> np.ndarray:
        """What `circuit` gives, by the emitted NumPy code, in float64."""
        return get_runner("numpy").run(circuit, self.inputs, self.parameters(circuit))["y"]

    def gradients(self, circuit: Circuit, wanted: tuple[str, ...]) -> Arrays:
        """Gradients of `circuit` by its equations; zeros by an input that nothing reads."""
        inputs = as_rates(circuit, self.inputs)
        given = {**self.parameters(circuit), **inputs, ERROR: self.error}
        return self._gradients(circuit, wanted, given)

    def _gradients(self, circuit: Circuit, wanted: tuple[str, ...], given: Arrays) -> Arrays:
        equations = circuit_equations(circuit)
        made = at_positions(_of_positions(circuit), given, self.sizes.get("tokens", 0))
        given = {**given, **made}
        read = tuple(name for name in wanted if name in equations.given)
        system = gradients(equations, read)
        with np.errstate(all="ignore"):
            values = evaluate(system, sizes_of(system, given), given)
        found = {name: values[f"d.{name}"] for name in read}
        return {name: found.get(name, np.zeros(np.shape(given[name]))) for name in wanted}

    def soften(self) -> None:
        """Halve the inputs until no score is large: equations do not shift a softmax.

        UnsupportedError where biases alone make large scores.
        """
        is_soft = isinstance(self.spec, AttentionSpec) and self.spec.kernel is Kernel.SOFTMAX
        for _ in range(_MOST_HALVINGS):
            if not is_soft or self._largest_score() <= _MOST_SCORE:
                self.refresh()
                return
            self.inputs |= {name: self.inputs[name] / 2 for name in self.rates}
        raise UnsupportedError("exponentials of these weights overflow even for small inputs")

    def _largest_score(self) -> float:
        """A bound on the size of scores: turning features keeps the lengths of queries and keys."""
        assert isinstance(self.spec, AttentionSpec)
        w, lengths = self.weights, []
        for letter, source in (("Q", "x"), ("K", "context" if self.spec.cross else "x")):
            features = np.einsum("haf,tf->hta", w[f"W_{letter}"], self.inputs[source])
            features = features + w.get(f"b_{letter}", np.zeros((1, 1)))[:, None, :]
            if self.spec.qk_norm is not None:
                features = _normed(self.spec.qk_norm, features, w[f"gain_{letter}"])
                shift = w.get(f"shift_{letter}", np.zeros(1))
                features = features + shift.reshape(-1, 1, shift.shape[-1])
            extra = w["extra_K"] if letter == "K" and self.spec.extra_source else np.zeros((1, 1))
            lengths.append(max(float(np.linalg.norm(t, axis=-1).max()) for t in (features, extra)))
        usual = self.spec.d_key**-0.5 if self.spec.scale is None else abs(self.spec.scale)
        tokens = max(self.sizes.values())
        added = [tokens * np.abs(w.get("alibi_slopes", np.zeros(1))).max()]
        added += [np.abs(w.get(name, np.zeros(1))).max() for name in ("position_bias", "sink")]
        added += [np.abs(self.inputs.get("score_bias", np.zeros(1))).max()]
        score = min(usual * lengths[0] * lengths[1], self.spec.soft_cap or np.inf)
        return score + float(sum(added))

    def tolerance(self, names: Iterable[str]) -> float:
        """How far results may differ by rounding: what nudges of weights and inputs change, and more.

        Relative to the largest number of all. UnsupportedError where floats say nothing.
        """

        def other(rng: np.random.Generator) -> Arrays:
            weights, inputs = nudged(self.weights, rng), nudged(self.inputs, rng)
            return self._results(torch_block(self.spec, weights, inputs, self.error), names)

        return tolerance_by(other, self._results(self.torch, names))

    def tolerance_of(self, circuit: Circuit, mine: Arrays, expected: Arrays) -> float:
        """How far `mine`, its gradients, may be off by rounding of its own equations.

        They divide exponentials by their sum, PyTorch has a softmax: what cancels there by itself is rounding
        here. As `tolerance`, which see.
        """
        steady = {**as_rates(circuit, self.inputs), ERROR: self.error}

        def other(rng: np.random.Generator) -> Arrays:
            given = nudged(self.parameters(circuit), rng) | steady
            found = self._gradients(circuit, tuple(mine), given)
            return {name: expected[name] + found[name] - mine[name] for name in mine}

        return tolerance_by(other, expected)

    def _results(self, found: TorchResult, names: Iterable[str]) -> dict[str, np.ndarray]:
        return {name: found.y if name == "y" else found.gradients[name] for name in names}

    def expected(self, name: str) -> np.ndarray:
        """PyTorch's gradient in the lowered circuit's layout: rearranged as the tensor itself is."""
        found = self.torch.gradients[name]
        if name in self.inputs:
            return found
        return layouts(self.spec)[name].to_circuit(found)


def _of_attention(
    spec: AttentionSpec, tokens: int, source: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Inputs of attention, and the shape of its output."""
    inputs: dict[str, np.ndarray] = {"x": rng.standard_normal((tokens, spec.model))}
    if spec.cross:
        inputs["context"] = rng.standard_normal((source, spec.d_context))
    if spec.values:
        inputs["values"] = rng.standard_normal((source, spec.values))
    if spec.position_bias is PositionBias.INPUT:
        inputs["score_bias"] = rng.standard_normal((tokens, source))
    if spec.key_padding:  # under a causal mask the first query sees nothing
        inputs["keep"] = np.arange(source) != 0
    return inputs, (tokens, spec.d_output)


def _of_block(
    spec: Plain, tokens: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Inputs of another block, and the shape of its output."""
    page, inputs = book_of(spec), dict[str, np.ndarray]()
    sizes = {sort: n if isinstance(n, int) else tokens for sort, n in page.extents().items()}
    for name, sides in page.given().items():
        shape = tuple(sizes[sort] for sort in sides)
        if name in ("tokens", "types"):
            inputs[name] = rng.integers(0, shape[-1], shape[:-1])
        elif name == "keep":
            inputs[name] = np.arange(tokens) != 0
        elif name not in page.of_positions() and name not in required_shapes(spec):
            inputs[name] = rng.standard_normal(shape)
    at = page.equations().definition("y").indices
    return inputs, tuple(sizes[v.sort] for v in at)


def _normed(norm: QueryKeyNorm, features: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Features (heads, tokens, features of a head) under the norm, without its bias."""
    over = (2,) if norm.over is NormOver.HEAD else (0, 2)
    if norm.kind is NormKind.LAYER:
        features = features - features.mean(axis=over, keepdims=True)
    mean = np.square(features).mean(axis=over, keepdims=True)
    own = gain.reshape(-1, 1, features.shape[2])
    return np.asarray(features / np.sqrt(mean + norm.eps) * own)


def _of_positions(circuit: Circuit) -> dict[str, str | None]:
    """What equations call the first rows of tables, each with its table, and what is 1 for the first token."""
    made = [(p.formula, p.shape) for p in circuit.parameters if p.formula]
    found = [(f, shape) for f, shape in made if f.kind in ("rows", "first")]
    return {
        f"{f.kind}({', '.join([*f.arguments, str(shape[0])])})": next(iter(f.arguments), None)
        for f, shape in found
    }


def both_sizes(spec: Block, weights: Weights | None) -> list[Numbers]:
    """Numbers at two sizes, where the spec leaves the number of tokens open."""
    extents = (spec.tokens, getattr(spec, "source_tokens", spec.tokens))
    fixed = not any(isinstance(extent, str) for extent in extents)
    return [Numbers(spec, weights, least) for least in (_LEAST[:1] if fixed else _LEAST)]


def difference(found: Arrays, expected: Arrays) -> tuple[float, str]:
    """The largest difference, relative to the largest number of all, and where it is.

    Of all: some gradients are zero.
    """
    scale = max(float(np.abs(array).max()) for array in expected.values()) or 1.0
    errors = {n: float(np.abs(found[n] - array).max()) / scale for n, array in expected.items()}
    worst = max(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))
    return errors[worst], worst


def tolerance_by(other: Callable[[np.random.Generator], Arrays], usual: Arrays) -> float:
    """How far results may differ by rounding: `usual` ones from what `other` makes of `nudged` numbers, and more.

    Relative to the largest number of all. UnsupportedError where floats say nothing.
    """
    rng = np.random.default_rng(1)
    worst = float(np.max([difference(other(rng), usual)[0] for _ in range(_NUDGES)]))
    if not _TIMES * worst <= _MOST_TOLERANCE:
        raise UnsupportedError(
            f"numbers too far apart for floats: changes of {_NUDGE:.0e} change results by {worst:.0e}"
        )
    return max(_LEAST_TOLERANCE, _TIMES * worst)


def nudged(arrays: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays with numbers that are a little other ones; flags and whole numbers stay."""
    return {
        name: a
        if a.dtype.kind in "biu"
        else np.asarray(a * (1 + _NUDGE * rng.standard_normal(a.shape)))
        for name, a in arrays.items()
    }
