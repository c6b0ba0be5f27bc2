"""`AttentionSpec`: what one multihead attention block computes, as a value.

    head_h(i) = Σ_j p_hij v_hj      y_i = W_O [head_1(i) … head_H(i)] + b_O (+ x_i)

with `p = softmax_j(s + bias)` for the softmax kernel, whose sum has `semi_saturation` in it, and
`p = s + bias` for the linear one, where
`s = scale · q·k`, or `c · tanh(scale · q·k / c)` (Granier & Senn, arXiv 2504.06354). `compiler/spec/weights.py` says which tensors it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, SupportsIndex

import numpy as np

from cortico.ir.axes import Extent
from cortico.ir.errors import SpecError, bullet_list, named
from cortico.ir.fields import LEAST, MOST, Record, Rule, Switch, number, settle, whole
from cortico.ir.limits import MODEL_SIZE, SIZE

#: A number of features, heads or tokens.
Size = Annotated[int, whole(1, SIZE, "a positive integer")]
#: What a size, a number, a flag and a table may be given as.
Whole = SupportsIndex
Number = float | np.floating[Any] | np.integer[Any]
Flag = bool | np.bool_
Table = Mapping[str, Any]
Symbol = Annotated[str, Rule("a symbol such as 'n'", lambda t: t.isidentifier() and t.isascii())]
#: The constant of divisive normalisation (Carandini & Heeger 2012, 10.1038/nrn3136). In float32 a smaller one would
#: be lost in what underflows (what is divided is right to 1e-38 / sigma), a larger one would overflow.
SemiSaturation = Annotated[
    float,
    Rule(
        "0, or a number from 1e-30 to 1e+30",
        lambda sigma: sigma == 0 or 1e-30 <= sigma <= 1e30,
    ),
]


class Kernel(StrEnum):
    """How scores become an attention mask."""

    LINEAR = "linear"
    SOFTMAX = "softmax"


class Mask(StrEnum):
    """Which source tokens a query may attend to."""

    NONE = "none"
    CAUSAL = "causal"  #: j <= i
    WINDOW = "window"  #: causal, and i - j < window
    BIDIRECTIONAL_WINDOW = "bidirectional_window"  #: |i - j| < window

    @property
    def has_window(self) -> bool:
        return self in (Mask.WINDOW, Mask.BIDIRECTIONAL_WINDOW)

    @property
    def is_causal(self) -> bool:
        """Whether no query hears a later token."""
        return self in (Mask.CAUSAL, Mask.WINDOW)


class RotaryStyle(StrEnum):
    """Which two features of a head turn together."""

    HALF_SPLIT = "half_split"  #: feature p with feature p + rotated/2 (Llama, NeoX)
    INTERLEAVED = "interleaved"  #: feature 2p with feature 2p + 1 (GPT-J, RoFormer)


class Normalisation(StrEnum):
    """How inhibition makes a softmax of the exponentials of scores."""

    DIVISION = "division"  #: a pool of all of them divides the deep cells
    FEEDBACK = (
        "feedback"  #: a pool integrates how far their sum is from 1, and is subtracted from scores
    )


class PositionBias(StrEnum):
    """An additive bias of the scores that depends on positions."""

    NONE = "none"
    ALIBI = "alibi"  #: slopes[h] · (j - i), the slopes a parameter
    TABLE = "table"  #: a given table [h, i, j]; needs numbers of tokens
    INPUT = "input"  #: given at every run, for all heads: a third input, `score_bias` [i, j]


class NormOver(StrEnum):
    """Over which features of a query or key its norm takes means."""

    HEAD = "head"  #: of each head by itself; all heads have one gain (Qwen3, Gemma 3)
    WIDTH = "width"  #: of all heads together, each feature with a gain of its own (OLMo 2)


class NormKind(StrEnum):
    """Which norm."""

    RMS = "rms"  #: by the root mean square (Zhang & Sennrich, arXiv 1910.07467)
    LAYER = "layer"  #: the mean goes before, so it is the standard deviation (Ba et al., arXiv 1607.06450)


class Nucleus(StrEnum):
    """The thalamic class whose relay cells carry a stream of tokens."""

    CORE = "core"
    MATRIX = "matrix"


class Microcircuit(StrEnum):
    """Which microcircuit of the paper computes attention."""

    MASK = "mask"  #: a microcolumn per pair of tokens holds the attention mask
    MEMORY = "memory"  #: a key-value memory of fixed size, written and read token by token


@dataclass(frozen=True)
class Rotary(Record):
    """Rotary position embedding of queries and keys (Su et al., arXiv 2104.09864).

    `rotated` features of each head turn (all by default), pair p by `t · base^(-2p/rotated)` at
    position t, unless the weights give `rotary_frequencies` themselves.
    """

    base: Annotated[float, number(LEAST, MOST, "a positive number")] = 10000.0
    style: RotaryStyle = RotaryStyle.HALF_SPLIT
    rotated: Size | None = None

    if TYPE_CHECKING:

        def __init__(
            self, base: Number = ..., style: RotaryStyle | str = ..., rotated: Whole | None = ...
        ) -> None: ...


@dataclass(frozen=True)
class QueryKeyNorm(Record):
    """Norm of queries and keys, before they turn.

    `gain · q / √(mean of q² + eps)`; eps has the units of squared queries. A layer norm has q less its
    mean in place of q.
    """

    over: NormOver = NormOver.HEAD
    eps: Annotated[float, number(LEAST, MOST, "a positive number")] = 1e-6
    kind: NormKind = NormKind.RMS
    own_gains: bool = (
        False  #: each head has a gain of its own (Cohere), as over the width in any case
    )
    bias: bool = (
        False  #: the weights give `shift_Q` and `shift_K`, which are added to what is normed
    )

    @property
    def by_head(self) -> bool:
        """Whether gain and bias have numbers for each head."""
        return self.own_gains or self.over is NormOver.WIDTH

    if TYPE_CHECKING:

        def __init__(
            self,
            over: NormOver | str = ...,
            eps: Number = ...,
            kind: NormKind | str = ...,
            own_gains: Flag = ...,
            bias: Flag = ...,
        ) -> None: ...


@dataclass(frozen=True)
class Bias(Record):
    """Which of the four linear maps add a bias."""

    query: bool = False
    key: bool = False
    value: bool = False
    output: bool = False

    if TYPE_CHECKING:

        def __init__(
            self, query: Flag = ..., key: Flag = ..., value: Flag = ..., output: Flag = ...
        ) -> None: ...

    @classmethod
    def everywhere(cls) -> Bias:
        """All four: what `bias = true` says."""
        return cls(query=True, key=True, value=True, output=True)


@dataclass(frozen=True)
class Feedback(Record):
    """The pool of `normalisation = "feedback"`: m' = rate · tanh(Σ mask - 1) per ms, from m = start on.

    What is settled to depends on neither. No mask cell fires above 1 on the way where m starts above all scores
    by the logarithm of their number, and cells are prospective.
    """

    rate: Annotated[float, number(1e-6, 1e6, "a positive number per ms")] = 1.0
    start: Annotated[float, number(-MOST, MOST, "a finite number")] = 20.0

    if TYPE_CHECKING:

        def __init__(self, rate: Number = ..., start: Number = ...) -> None: ...


@dataclass(frozen=True)
class Thalamus(Record):
    """Which thalamic class carries what. The paper's text does not settle it: it is a setting."""

    query: Nucleus = Nucleus.MATRIX
    key: Nucleus = Nucleus.CORE
    value: Nucleus = Nucleus.CORE

    if TYPE_CHECKING:

        def __init__(
            self, query: Nucleus | str = ..., key: Nucleus | str = ..., value: Nucleus | str = ...
        ) -> None: ...


@dataclass(frozen=True)
class AttentionSpec(Record):
    """One multihead attention block. All sizes are features or tokens; a string is a symbol.

    Fields take what a spec file says, `mask="causal"`, `rotary=True`, `thalamus={"key": "matrix"}`, and
    hold it as their types. Raises SpecError, listing every problem, for values that these have not, and
    when fields do not fit together.
    """

    elsewhere = MappingProxyType(
        {
            "residual": "it is a block of a whole model, as a [stack] with steps has it (docs/models.md)"
        }
    )

    model: Size  #: features of a query token (D)
    heads: Size = 1
    kv_heads: Size | None = None  #: key/value heads (grouped-query attention); as many as heads
    key_features: Size | None = None  #: per head; model / heads by default
    value_features: Size | None = None  #: per head; key_features by default
    output: Size | None = None  #: features of an output token; model by default
    cross: bool = False  #: keys and values come from a second input, `context`
    context: Size | None = None  #: features of a context token; model by default
    values: Size | None = (
        None  #: features of a value token; values come from a third input, `values`, of as many tokens
    )
    tokens: Size | Symbol = "n"
    context_tokens: Size | Symbol | None = (
        None  #: tokens of the context; symbol `n_context` by default
    )
    kernel: Kernel = Kernel.SOFTMAX
    normalisation: Normalisation = Normalisation.DIVISION
    feedback: Annotated[Feedback, Switch(Feedback, Feedback)] = field(default_factory=Feedback)
    mask: Mask = Mask.NONE
    window: Size | None = (
        None  #: tokens of the sliding window to one side, the query's own included
    )
    key_padding: bool = False  #: a run-time input `keep` says which source tokens exist
    scale: Annotated[float, number(-MOST, MOST, "a finite number")] | None = (
        None  #: of the scores; 1/√key_features for softmax, 1 for linear
    )
    soft_cap: Annotated[float, number(LEAST, MOST, "a positive number")] | None = (
        None  #: c: scaled scores s become c · tanh(s / c), before position bias and mask
    )
    bias: Annotated[Bias, Switch(Bias.everywhere, Bias)] = field(default_factory=Bias)
    qk_norm: Annotated[QueryKeyNorm, Switch(QueryKeyNorm, NoneType)] | None = None
    rotary: Annotated[Rotary, Switch(Rotary, NoneType)] | None = None
    position_bias: PositionBias = PositionBias.NONE
    sink: bool = False  #: a learned logit per head joins the softmax, its column is dropped
    semi_saturation: SemiSaturation = (
        0.0  #: sigma: a constant that joins what divides, exp(s_j) / (sigma + Σ_l exp(s_l))
    )
    extra_source: bool = False  #: a learned key and value per head join those of the source tokens
    thalamus: Thalamus = field(default_factory=Thalamus)
    microcircuit: Microcircuit = Microcircuit.MASK
    name: str = "attention"

    if TYPE_CHECKING:  # what the fields take; tests hold it against them

        def __init__(
            self,
            model: Whole,
            heads: Whole = ...,
            kv_heads: Whole | None = ...,
            key_features: Whole | None = ...,
            value_features: Whole | None = ...,
            output: Whole | None = ...,
            cross: Flag = ...,
            context: Whole | None = ...,
            values: Whole | None = ...,
            tokens: Whole | str = ...,
            context_tokens: Whole | str | None = ...,
            kernel: Kernel | str = ...,
            normalisation: Normalisation | str = ...,
            feedback: Feedback | Table = ...,
            mask: Mask | str = ...,
            window: Whole | None = ...,
            key_padding: Flag = ...,
            scale: Number | None = ...,
            soft_cap: Number | None = ...,
            bias: Bias | Flag | Table = ...,
            qk_norm: QueryKeyNorm | Flag | Table | None = ...,
            rotary: Rotary | Flag | Table | None = ...,
            position_bias: PositionBias | str = ...,
            sink: Flag = ...,
            semi_saturation: Number = ...,
            extra_source: Flag = ...,
            thalamus: Thalamus | Table = ...,
            microcircuit: Microcircuit | str = ...,
            name: str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        faults = settle(self)
        problems = [" ".join(fault) for fault in faults] or list(_wrong_combinations(self))
        if problems:
            raise SpecError(f"spec {named(str(self.name))} is wrong:{bullet_list(problems)}")

    # ---- defaults, resolved ------------------------------------------------------------------------

    @property
    def groups(self) -> int:
        """Key/value heads: groups of heads that share keys and values."""
        return self.kv_heads or self.heads

    @property
    def members(self) -> int:
        """Heads per key/value head."""
        return self.heads // self.groups

    @property
    def d_key(self) -> int:
        return self.key_features or self.model // self.heads

    @property
    def d_value(self) -> int:
        return self.value_features or self.d_key

    @property
    def d_output(self) -> int:
        return self.output or self.model

    @property
    def d_context(self) -> int:
        return self.context or self.model

    @property
    def d_values(self) -> int:
        """Features of the tokens that values are made of."""
        return self.values or (self.d_context if self.cross else self.model)

    @property
    def source_tokens(self) -> Extent:
        """Number of source tokens: the context's in cross attention, else the query's."""
        return (self.context_tokens or "n_context") if self.cross else self.tokens

    @property
    def rotated_features(self) -> int:
        return (self.rotary.rotated or self.d_key) if self.rotary else 0


def _wrong_combinations(spec: AttentionSpec) -> Iterator[str]:
    if spec.key_features is None and spec.model % spec.heads:
        yield (
            f"model = {spec.model} does not divide into heads = {spec.heads}; "
            "change one, or give key_features"
        )
    if spec.heads % spec.groups:
        yield f"heads = {spec.heads} does not divide into kv_heads = {spec.kv_heads}"
    if spec.mask.has_window != (spec.window is not None):
        yield (
            f"window = {spec.window} does not fit mask = {spec.mask}: the masks window and "
            "bidirectional_window have one, others none"
        )
    if spec.cross and spec.mask is not Mask.NONE:
        yield f"mask = {spec.mask} needs queries and keys on the same tokens, but cross = true"
    if not spec.cross and (spec.context or spec.context_tokens or spec.values):
        yield "context, context_tokens and values are for cross attention: set cross = true"
    if spec.cross and spec.position_bias is PositionBias.ALIBI:
        yield "position_bias = alibi needs queries and keys on the same tokens, but cross = true"
    if spec.cross and spec.tokens == spec.source_tokens and isinstance(spec.tokens, str):
        yield f"tokens and context_tokens must be different symbols, both are {spec.tokens!r}"
    if spec.position_bias is PositionBias.TABLE and (
        isinstance(spec.tokens, str) or isinstance(spec.source_tokens, str)
    ):
        yield "position_bias = table needs numbers for tokens (and context_tokens), not symbols"
    if spec.sink and spec.kernel is not Kernel.SOFTMAX:
        yield f"sink joins the softmax, but kernel = {spec.kernel}"
    if spec.normalisation is Normalisation.FEEDBACK:
        if spec.kernel is not Kernel.SOFTMAX:
            yield f"normalisation = feedback makes a softmax, but kernel = {spec.kernel}"
        if spec.semi_saturation:
            yield "semi_saturation joins what divides, and with normalisation = feedback nothing does"
    elif spec.feedback != Feedback():
        yield "feedback tells of a pool that integrates: set normalisation = feedback"
    if spec.semi_saturation and spec.kernel is not Kernel.SOFTMAX:
        yield (
            f"semi_saturation = {spec.semi_saturation} joins what divides in softmax, "
            f"but kernel = {spec.kernel}"
        )
    if spec.extra_source:
        yield from _not_for_an_extra_source(spec)
    if spec.microcircuit is Microcircuit.MEMORY:
        yield from _not_for_a_memory(spec)
    if spec.rotary:
        if spec.cross:
            yield "rotary needs queries and keys on the same tokens, but cross = true"
        if spec.d_key >= MODEL_SIZE:
            yield f"rotary turns features of a head one by one: {spec.d_key:,} are too many"
        if spec.d_key % 2 or spec.rotated_features % 2 or spec.rotated_features > spec.d_key:
            yield (
                f"rotary turns pairs of features: rotated = {spec.rotated_features} must be even "
                f"and at most key_features = {spec.d_key}, which must be even"
            )


def _not_for_an_extra_source(spec: AttentionSpec) -> Iterator[str]:
    """A learned token has no position, and `nn.MultiheadAttention`, whose it is, neither norms nor caps."""
    what = (
        "extra_source is a key that is neither normed nor turned nor capped, and has no position: "
    )
    for name in ("qk_norm", "rotary", "soft_cap"):
        if getattr(spec, name) is not None:
            yield f"{what}{name} must be absent"
    if spec.position_bias is PositionBias.ALIBI:
        yield f"{what}position_bias must be none or table, found alibi"


def _not_for_a_memory(spec: AttentionSpec) -> Iterator[str]:
    """A memory adds up keys and values before it meets a query: scores must be products of both."""
    if spec.kernel is not Kernel.LINEAR:
        yield f"microcircuit = memory needs kernel = linear, found {spec.kernel}"
    if spec.mask.has_window:
        yield f"microcircuit = memory never forgets: mask must be none or causal, found {spec.mask}"
    if spec.soft_cap is not None:
        yield f"microcircuit = memory needs soft_cap to be absent, found {spec.soft_cap}"
    if spec.position_bias is not PositionBias.NONE:
        yield f"microcircuit = memory needs position_bias = none, found {spec.position_bias}"
