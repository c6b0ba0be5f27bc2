"""Specs of the blocks that stand between attentions in a transformer: what each computes, as a value.

Each has tokens [i, m] coming in and going out:

    Norm         y = gain · (x - mean) / √(mean of (x - mean)² + eps) + shift       the mean left out for RMS
    FeedForward  y = W_out φ(W_in x + b_in) + b_out         gated: W_out [φ(W_gate x + b_gate) · (W_in x + b_in)]
    Dense        y = φ(scale · W x + b), or c · tanh(that / c)
    Embedding    y = scale · W_token[id] + W_type[type] + position
    Residual     y = x + scale · branch (+ scale · other)
    Pooling      y = mean of x over the tokens that exist, or x of the first one; of length 1 if `unit`

`cortico.spec.weights` says which tensors they need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from cortico.ir.errors import SpecError
from cortico.ir.fields import LEAST, MOST, Record, Rule, number
from cortico.ir.transfer import TRANSFERS
from cortico.spec.attention import NormKind, Size, Symbol

_Positive = Annotated[float, number(LEAST, MOST, "a positive number")]
_Number = Annotated[float, number(-MOST, MOST, "a finite number")]
_Transfer = Annotated[str, Rule(f"one of {', '.join(TRANSFERS)}", lambda text: text in TRANSFERS)]


class Site(StrEnum):
    """Where cells of a block are that no paper places: our assumption, hence a setting."""

    SUPERFICIAL = "superficial"  #: L2/3, intratelencephalic
    GRANULAR = "granular"  #: L4, stellate: where relay cells arrive
    DEEP = "deep"  #: L5, pyramidal tract: what drives relay cells of the thalamus


class Way(StrEnum):
    """How the stream of tokens goes around a block."""

    DEEP = "deep"  #: by L5 cells that hear it and what the block adds, and drive the relay cells
    RELAY = "relay"  #: from relay to relay, as the paper draws it; anatomy contradicts it


class Pool(StrEnum):
    """Which tokens make one."""

    MEAN = "mean"  #: of those that exist
    FIRST = "first"


class _Block(Record):
    """A spec whose circuit is called by the kind of block."""

    @property
    def name(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


@dataclass(frozen=True)
class Norm(_Block):
    """Layer norm or RMS norm of each token (Ba et al., arXiv 1607.06450; Zhang & Sennrich, 1910.07467).

    eps has the units of x².
    """

    model: Size
    kind: NormKind = NormKind.LAYER
    eps: Annotated[float, number(0.0, MOST, "zero or a positive number")] = 1e-5
    gain: bool = True
    shift: bool = False
    site: Site = Site.GRANULAR  #: of the cells that are squared and divided
    tokens: Size | Symbol = "n"


@dataclass(frozen=True)
class FeedForward(_Block):
    """A hidden layer, gated if so told (Shazeer, GLU variants improve transformer, arXiv 2002.05202)."""

    model: Size
    hidden: Size
    transfer: _Transfer = "gelu"
    gated: bool = False
    bias_in: bool = False  #: of W_in, and of W_gate where it is gated
    bias_out: bool = False
    output: Size | None = None  #: features of an output token; model by default
    site: Site = Site.DEEP  #: of the hidden cells, which drive relay cells
    tokens: Size | Symbol = "n"

    @property
    def d_output(self) -> int:
        return self.output or self.model


@dataclass(frozen=True)
class Dense(_Block):
    """One linear map and a transfer function: a readout of logits, a change of width, a pooler."""

    model: Size
    output: Size
    transfer: _Transfer = "identity"
    bias: bool = False
    scale: _Number = 1.0
    soft_cap: _Positive | None = None
    pooled: bool = False  #: of one token that stands for all: there is no axis of tokens
    site: Site = Site.DEEP
    tokens: Size | Symbol = "n"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.soft_cap is not None and self.transfer != "identity":
            raise SpecError(
                f"Dense is wrong:\n  - soft_cap = {self.soft_cap} is a transfer function by itself: "
                f"transfer must be identity, found {self.transfer}"
            )


@dataclass(frozen=True)
class Embedding(_Block):
    """Token, type and position to a vector each, which are added."""

    vocabulary: Size
    model: Size
    types: Size | None = None  #: kinds of tokens, such as those of two sentences; an input `types`
    positions: Size | None = None  #: rows of a table: how many tokens there can be
    scale: _Number = 1.0  #: of what stands for the token
    site: Site = Site.DEEP
    tokens: Size | Symbol = "n"


@dataclass(frozen=True)
class Residual(_Block):
    """The stream, and what one block or several beside each other add to it."""

    model: Size
    branches: Size = 1
    scale: _Number = 1.0  #: of what is added
    way: Way = Way.DEEP
    tokens: Size | Symbol = "n"

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the inputs that are added to `x`."""
        return (
            tuple(f"branch_{k}" for k in range(self.branches)) if self.branches > 1 else ("branch",)
        )


@dataclass(frozen=True)
class Pooling(_Block):
    """All tokens to one vector."""

    model: Size
    pool: Pool = Pool.MEAN
    unit: bool = False
    padded: bool = True  #: the mean is over tokens that exist, as the run-time input `keep` says
    site: Site = Site.GRANULAR
    tokens: Size | Symbol = "n"

    @property
    def takes_keep(self) -> bool:
        """Whether it has the input `keep`."""
        return self.padded and self.pool is Pool.MEAN
