"""What every microcircuit shares: axes, parameters, and the thalamic streams that carry tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Domain,
    Extent,
    Formula,
    InputKind,
    Region,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.spec import AttentionSpec, Mask, Nucleus, RotaryStyle
from cortico.weights import Weights, required_shapes, rotary_frequencies

_NUCLEUS = {Nucleus.CORE: Region.CORE, Nucleus.MATRIX: Region.MATRIX}


def reads(tensor: str, *axes: str) -> Weight:
    """The weight `tensor[axes]`."""
    return Weight(TensorRef(tensor, axes))


@dataclass(frozen=True)
class Axes:
    """Names of the axes of a lowered spec, as tuples so that populations can splice them."""

    head: tuple[str, ...]  #: query heads: (h) or, grouped, (g, r)
    group: tuple[str, ...]  #: key/value heads: (h) or (g)
    key: tuple[str, ...]  #: key features: (a), or planes and their two components (p, s)
    unrotated: tuple[str, ...]  #: key features before rotation: (a) or (p, t)
    query_model: str
    source_model: str
    output_model: str
    query: str = "i"
    source: str = "j"
    value: str = "c"


class Streams:
    """Declares axes, inputs and parameters of a spec, and the relay cells that bring its tokens in.

    `tokens` says whether tokens have columns of their own or come one after another.
    """

    def __init__(
        self, spec: AttentionSpec, weights: Weights | None, tokens: Unfold = Unfold.SPACE
    ) -> None:
        self.spec = spec
        self._tokens = tokens
        self.builder = CircuitBuilder(spec.name)
        self.axes = self._declare_axes()
        self._declare_inputs()
        self._declare_parameters(weights)
        self.query_relay = self._relay("query", spec.thalamus.query)
        self.key_relay, self.value_relay = self._source_relays()

    @property
    def domain(self) -> Domain:
        """Which (query, source) pairs of tokens exist under the spec's mask."""
        causal = Bound(self.axes.source, self.axes.query, 0)
        match self.spec.mask:
            case Mask.NONE:
                return ()
            case Mask.CAUSAL:
                return (causal,)
            case Mask.WINDOW:
                assert self.spec.window is not None
                return (Bound(self.axes.query, self.axes.source, self.spec.window - 1), causal)

    def bias(self, name: str, *axes: str) -> tuple[Weight, ...]:
        """The drive `name[axes]` when the spec has that parameter, else nothing."""
        return (reads(name, *axes),) if name in required_shapes(self.spec) else ()

    def _declare_axes(self) -> Axes:
        spec, axis = self.spec, self.builder.axis
        if spec.members > 1:
            head: tuple[str, ...] = (
                axis("g", Role.AREA, spec.groups),
                axis("r", Role.AREA, spec.members),
            )
        else:
            head = (axis("h", Role.AREA, spec.heads),)
        axis("i", Role.COLUMN, spec.tokens, self._tokens)
        axis("j", Role.COLUMN, spec.source_tokens, self._tokens)
        if spec.rotary:
            axis("p", Role.FEATURE, spec.d_key // 2)
            key: tuple[str, ...] = ("p", axis("s", Role.FEATURE, 2))
            unrotated: tuple[str, ...] = ("p", axis("t", Role.FEATURE, 2))
        else:
            key = unrotated = (axis("a", Role.FEATURE, spec.d_key),)
        axis("c", Role.FEATURE, spec.d_value)
        query_model = axis("m", Role.MODEL, spec.model)
        source_model = axis("l", Role.MODEL, spec.d_context) if spec.cross else query_model
        same_width = spec.d_output == spec.model
        output_model = query_model if same_width else axis("o", Role.MODEL, spec.d_output)
        return Axes(head, head[:1], key, unrotated, query_model, source_model, output_model)

    def _declare_inputs(self) -> None:
        spec = self.spec
        self.builder.input("x", (spec.tokens, spec.model))
        if spec.cross:
            self.builder.input("context", (spec.source_tokens, spec.d_context))
        if spec.key_padding:
            self.builder.input("keep", (spec.source_tokens,), InputKind.MASK)

    def _declare_parameters(self, weights: Weights | None) -> None:
        for name, shape in required_shapes(self.spec).items():
            values = weights[name] if weights is not None else None
            self.builder.parameter(name, *self._split(name, shape, values))
        if self.spec.rotary:
            given = (weights or {}).get("rotary_frequencies", rotary_frequencies(self.spec))
            planes = self.spec.d_key // 2
            still = np.zeros(planes - len(given))  # a plane of frequency zero does not turn
            frequencies = np.concatenate([np.asarray(given, dtype=np.float64), still])
            self.builder.parameter("frequencies", (planes,), frequencies)
            for name, tokens in (("R_Q", self.spec.tokens), ("R_K", self.spec.source_tokens)):
                formula = Formula("rotation", ("frequencies",))
                self.builder.parameter(name, (tokens, planes, 2, 2), formula=formula)
        if "alibi_slopes" in required_shapes(self.spec):
            sides = (self.spec.tokens, self.spec.source_tokens)
            formula = Formula("distance", ("alibi_slopes",))
            self.builder.parameter("alibi", (*self._head_sizes, *sides), formula=formula)

    @property
    def _head_sizes(self) -> tuple[int, ...]:
        spec = self.spec
        return (spec.groups, spec.members) if spec.members > 1 else (spec.heads,)

    def _split(
        self, name: str, shape: tuple[Extent, ...], values: np.ndarray | None
    ) -> tuple[tuple[Extent, ...], np.ndarray | None]:
        """Split the head side into (group, member) and rotated features into (plane, component)."""
        if name in _PER_HEAD and self.spec.members > 1:
            shape = (*self._head_sizes, *shape[1:])
            if values is not None:
                values = values.reshape(*self._head_sizes, *values.shape[1:])
        if name in _ROTATED and self.spec.rotary:
            side = len(shape) - _ROTATED[name]
            order = plane_order(self.spec)
            shape = (*shape[:side], *order.shape, *shape[side + 1 :])
            values = None if values is None else np.take(values, order, axis=side)
        return shape, values

    def _relay(self, stream: str, nucleus: Nucleus) -> str:
        """Relay cells `nucleus_stream[token, feature]`, driven by that stream's input."""
        axes, cross = self.axes, self.spec.cross
        if stream == "query":
            tensor, over = "x", (axes.query, axes.query_model)
        else:
            tensor, over = "context" if cross else "x", (axes.source, axes.source_model)
        driver = Compartment("driver", drive=(reads(tensor, *over),))
        name = f"{nucleus}_{stream}"
        return self.builder.population(name, over, _NUCLEUS[nucleus], CellClass.RELAY, [driver])

    def _source_relays(self) -> tuple[str, str]:
        thalamus = self.spec.thalamus
        if thalamus.key is thalamus.value:
            relay = self._relay("source", thalamus.key)
            return relay, relay
        return self._relay("key", thalamus.key), self._relay("value", thalamus.value)


#: Tensors whose first side counts query heads.
_PER_HEAD = {"W_Q", "W_O", "b_Q", "alibi_slopes", "position_bias", "sink"}

#: Tensors with rotated features, and where that side stands from the end.
_ROTATED = {"W_Q": 2, "W_K": 2, "b_Q": 1, "b_K": 1}


def plane_order(spec: AttentionSpec) -> np.ndarray:
    """Feature numbers by (plane, component), shape (d_key/2, 2): which two features turn together."""
    assert spec.rotary is not None
    rotated = np.arange(spec.rotated_features)
    if spec.rotary.style is RotaryStyle.HALF_SPLIT:
        turning = rotated.reshape(2, -1).T
    else:
        turning = rotated.reshape(-1, 2)
    still = np.arange(spec.rotated_features, spec.d_key).reshape(-1, 2)
    return np.concatenate([turning, still])
