"""What every microcircuit shares: axes, parameters, and the thalamic streams that carry tokens."""

from __future__ import annotations

from dataclasses import dataclass

from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Domain,
    Formula,
    InputKind,
    Region,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.lowering.layout import layouts, plane_frequencies
from cortico.spec import AttentionSpec, Mask, Nucleus, PositionBias
from cortico.spec.weights import Weights, required_shapes

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
    value_model: str
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
        query, source, window = self.axes.query, self.axes.source, self.spec.window or 0
        match self.spec.mask:
            case Mask.NONE:
                return ()
            case Mask.CAUSAL:
                return (Bound(source, query, 0),)
            case Mask.WINDOW:
                return (Bound(query, source, window - 1), Bound(source, query, 0))
            case Mask.BIDIRECTIONAL_WINDOW:
                return (Bound(query, source, window - 1), Bound(source, query, window - 1))

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
        value_model = axis("v", Role.MODEL, spec.values) if spec.values else source_model
        same_width = spec.d_output == spec.model
        output_model = query_model if same_width else axis("o", Role.MODEL, spec.d_output)
        models = (query_model, source_model, value_model, output_model)
        return Axes(head, head[:1], key, unrotated, *models)

    def _declare_inputs(self) -> None:
        spec = self.spec
        self.builder.input("x", (spec.tokens, spec.model))
        if spec.cross:
            self.builder.input("context", (spec.source_tokens, spec.d_context))
        if spec.values:
            self.builder.input("values", (spec.source_tokens, spec.values))
        if spec.position_bias is PositionBias.INPUT:
            self.builder.input("score_bias", (spec.tokens, spec.source_tokens))
        if spec.key_padding:
            self.builder.input("keep", (spec.source_tokens,), InputKind.MASK)

    def _declare_parameters(self, weights: Weights | None) -> None:
        for name, layout in layouts(self.spec).items():
            values = None if weights is None else layout.to_circuit(weights[name])
            self.builder.parameter(name, layout.circuit_shape, values)
        if self.spec.rotary:
            planes, frequencies = self.spec.d_key // 2, plane_frequencies(self.spec, weights)
            self.builder.parameter("frequencies", (planes,), frequencies)
            for name, tokens in (("R_Q", self.spec.tokens), ("R_K", self.spec.source_tokens)):
                formula = Formula("rotation", ("frequencies",))
                self.builder.parameter(name, (tokens, planes, 2, 2), formula=formula)
        if "alibi_slopes" in layouts(self.spec):
            heads = layouts(self.spec)["alibi_slopes"].circuit_shape
            sides = (self.spec.tokens, self.spec.source_tokens)
            formula = Formula("distance", ("alibi_slopes",))
            self.builder.parameter("alibi", (*heads, *sides), formula=formula)

    def _relay(self, stream: str, nucleus: Nucleus) -> str:
        """Relay cells `nucleus_stream[token, feature]`, driven by that stream's input."""
        axes, cross = self.axes, self.spec.cross
        if stream == "query":
            tensor, over = "x", (axes.query, axes.query_model)
        elif stream == "value" and self.spec.values:
            tensor, over = "values", (axes.source, axes.value_model)
        else:
            tensor, over = "context" if cross else "x", (axes.source, axes.source_model)
        driver = Compartment("driver", drive=(reads(tensor, *over),))
        name = f"{nucleus}_{stream}"
        return self.builder.population(name, over, _NUCLEUS[nucleus], CellClass.RELAY, [driver])

    def _source_relays(self) -> tuple[str, str]:
        thalamus = self.spec.thalamus
        if thalamus.key is thalamus.value and not self.spec.values:
            relay = self._relay("source", thalamus.key)
            return relay, relay
        return self._relay("key", thalamus.key), self._relay("value", thalamus.value)
