"""Blocks of whole models as the config.json of several families describe them, and how layers are made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.model import Attentions
from cortico.spec import (
    AttentionSpec,
    Branch,
    Dense,
    Embedding,
    FeedForward,
    Layer,
    Norm,
    NormKind,
    Readout,
    Stack,
    Step,
)

#: Activations of transformers, and the transfer functions that they are. Constants differ in the last digits.
ACTIVATIONS: Mapping[str, str] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "relu2": "relu_squared",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": "identity",
}

#: Makes a layer of its attentions: that of its tokens, in a decoder beside an encoder also that to the encoder.
Arrange = Callable[..., Layer]


def activation(config: Config, key: str) -> str:
    """The transfer function of the activation at `key`. SpecError for one that no neuron has."""
    return ACTIVATIONS[config.choice(key, *ACTIVATIONS)]


def rms(config: Config, key: str = "rms_norm_eps", model: str = "hidden_size") -> Norm:
    """An RMS norm, of which `key` says eps."""
    return Norm(config.size(model), NormKind.RMS, config.number(key))


def layer_norm(config: Config, key: str, model: str = "hidden_size", shift: bool = True) -> Norm:
    """A layer norm, of which `key` says eps."""
    return Norm(config.size(model), NormKind.LAYER, config.number(key), shift=shift)


def gated(config: Config, biased: bool = False, act: str = "hidden_act") -> FeedForward:
    """Llama's feed-forward block."""
    return FeedForward(
        config.size("hidden_size"),
        config.size("intermediate_size"),
        activation(config, act),
        gated=True,
        bias_in=biased,
        bias_out=biased,
    )


def plain(config: Config, hidden: int, act: str, model: str, biased: bool = True) -> FeedForward:
    """One hidden layer, with biases or without."""
    size = config.size(model)
    return FeedForward(size, hidden, activation(config, act), bias_in=biased, bias_out=biased)


def logits(config: Config, model: str = "hidden_size", **fields: Any) -> Readout:
    """From states to tokens, by the table of these if `tie_word_embeddings` says so; `fields` of `Dense`."""
    dense = Dense(config.size(model), config.size("vocab_size"), **fields)
    return Readout(dense, tied=config.flag("tie_word_embeddings"))


def layers(arrange: Arrange, *attentions: Attentions) -> tuple[Layer, ...]:
    """A layer for each attention, or for one of each kind; equal ones that follow each other stand once."""
    return in_runs(itertools.starmap(arrange, zip(*attentions, strict=True)))


def in_runs(levels: Iterable[Layer]) -> tuple[Layer, ...]:
    """The same layers, equal ones that follow each other as one with `times`."""
    return tuple(replace(layer, times=len(list(run))) for layer, run in itertools.groupby(levels))


def one_by_one(
    *blocks: AttentionSpec | FeedForward,
    before: Norm | None = None,
    after: Norm | None = None,
    norm: Norm | None = None,
    scale: float = 1.0,
) -> Layer:
    """A layer of blocks one after another: norms are of what each hears, of what it gives, or of each sum."""
    branches = (
        Branch(block, None, before, after)
        if isinstance(block, AttentionSpec)
        else Branch(None, block, before, after)
        for block in blocks
    )
    return Layer(tuple(Step((branch,), norm=norm, scale=scale) for branch in branches))


def pre_norm(norm: Norm, feed_forward: FeedForward, scale: float = 1.0) -> Arrange:
    """Each block hears what is normed: GPT-2, Llama."""
    return lambda *attentions: one_by_one(*attentions, feed_forward, before=norm, scale=scale)


def post_norm(norm: Norm, feed_forward: FeedForward) -> Arrange:
    """Each sum is normed: BERT."""
    return lambda *attentions: one_by_one(*attentions, feed_forward, norm=norm)


def norm_after(norm: Norm, feed_forward: FeedForward, before: bool = False) -> Arrange:
    """What each block gives is normed before it is added: OLMo 2; with `before`, what it hears, too: Gemma 2."""
    first = norm if before else None
    return lambda *attentions: one_by_one(*attentions, feed_forward, before=first, after=norm)


def parallel(norm: Norm, feed_forward: FeedForward, own: bool = False) -> Arrange:
    """Both blocks hear the same, and are added at once: GPT-J. `own`: each has a norm, as in GPT-NeoX."""

    def arrange(attention: AttentionSpec) -> Layer:
        branches = (Branch(attention=attention), Branch(feed_forward=feed_forward))
        if own:
            return Layer((Step(tuple(replace(b, before=norm) for b in branches)),))
        return Layer((Step(branches, before=norm),))

    return arrange


def stacked(config: Config, arrange: Arrange, *attentions: Attentions, **ends: Any) -> Stack:
    """Layers, and what comes before and after: fields of `Stack`, and others that are those of `Embedding`."""
    own = {key: ends.pop(key) for key in ("types", "positions", "scale") if key in ends}
    width = attentions[0][0].model
    tokens = Embedding(config.size("vocab_size"), width, **own)
    return Stack(width, layers(arrange, *attentions), tokens, **ends)
