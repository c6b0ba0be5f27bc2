"""Tiny models of all shapes: what every backend of networks is held to. Width 16, two levels."""

import functools
from dataclasses import dataclass

import numpy as np

from cortico.backends.reference import ReferenceBackend
from cortico.ir import InputKind
from cortico.lowering import lower_model
from cortico.spec import (
    AttentionSpec,
    Branch,
    Dense,
    Embedding,
    FeedForward,
    Layer,
    ModelSpec,
    Norm,
    Pooling,
    Readout,
    Sentence,
    Stack,
    Step,
)
from cortico.spec.model_weights import random_model

WIDTH, VOCABULARY, TOKENS = 16, 50, 7
LAYER = Norm(WIDTH, shift=True)
RMS = Norm(WIDTH, kind="rms", eps=1e-6)
GATED = FeedForward(WIDTH, 40, transfer="silu", gated=True)
PLAIN = FeedForward(WIDTH, 24, transfer="gelu", bias_in=True, bias_out=True)
LOGITS = Dense(WIDTH, VOCABULARY)


def before(block, norm=RMS):
    """A step of one branch, normed before."""
    kind = "attention" if isinstance(block, AttentionSpec) else "feed_forward"
    return Step((Branch(**{kind: block}, before=norm),))


def after(block, norm=LAYER):
    """A step of one branch, the sum normed."""
    kind = "attention" if isinstance(block, AttentionSpec) else "feed_forward"
    return Step((Branch(**{kind: block}),), norm=norm)


def decoder(attention, *, name, feed_forward=GATED, positions=None, tied=True, times=2):
    steps = (before(attention), before(feed_forward))
    table = Embedding(VOCABULARY, WIDTH, positions=positions)
    stack = Stack(WIDTH, (Layer(steps, times),), embedding=table, norm=RMS)
    return ModelSpec(stack, readout=Readout(LOGITS, tied=tied), name=name)


def attention(heads=4, **options):
    return AttentionSpec(WIDTH, heads, **{"mask": "causal", **options})


def encoder():
    """BERT's: post-norm, types, padding, a sentence."""
    block = attention(mask="none", bias=True, key_padding=True)
    stack = Stack(
        WIDTH,
        (Layer((after(block), after(PLAIN)), 2),),
        embedding=Embedding(VOCABULARY, WIDTH, types=2, positions=12),
        embedding_norm=LAYER,
    )
    return ModelSpec(stack, sentence=Sentence(Pooling(WIDTH, unit=True)), name="encoder")


def parallel():
    """GPT-J's: attention and feed-forward beside each other; two kinds of levels take turns."""
    wide, near = attention(rotary=True), attention(mask="window", window=3, rotary=True)
    layers = tuple(
        Layer((Step((Branch(block), Branch(feed_forward=GATED)), before=RMS, scale=0.5),))
        for block in (wide, near, wide)
    )
    stack = Stack(WIDTH, layers, embedding=Embedding(VOCABULARY, WIDTH), norm=RMS)
    return ModelSpec(stack, readout=Readout(LOGITS), name="parallel")


def translator(**options):
    """Encoder and decoder, which hears it by cross attention with some options."""
    inner = Layer((before(attention(mask="none", key_padding=True)), before(PLAIN)), 2)
    cross = attention(**{"mask": "none", "cross": True, "key_padding": True} | options)
    outer = Layer((before(attention()), before(cross), before(PLAIN)), 2)
    table = Embedding(VOCABULARY, WIDTH, positions=12)
    return ModelSpec(
        Stack(WIDTH, (outer,), embedding=table, norm=RMS),
        encoder=Stack(WIDTH, (inner,), embedding=table, norm=RMS),
        readout=Readout(LOGITS),
        name="translator",
    )


def vectors():
    """No embedding: what comes in are vectors."""
    return ModelSpec(
        Stack(WIDTH, (Layer((before(attention()), before(PLAIN)), 2),)), name="vectors"
    )


GROUPED = attention(kv_heads=2, rotary=True)
SPECS = {
    spec.name: spec
    for spec in (
        encoder(),
        decoder(GROUPED, name="llama"),
        decoder(attention(bias=True), name="gpt", feed_forward=PLAIN, positions=12),
        decoder(attention(mask="window", window=3), name="window", tied=False),
        decoder(attention(rotary=True, qk_norm=True, sink=True), name="normed"),
        decoder(attention(key_padding=True, rotary=True), name="padded"),
        decoder(attention(position_bias="alibi"), name="alibi"),
        decoder(attention(soft_cap=0.8, kv_heads=2, rotary=True), name="capped"),
        decoder(attention(mask="window", window=3, soft_cap=0.8, sink=True), name="capped near"),
        decoder(attention(semi_saturation=0.5, rotary=True, sink=True), name="saturated"),
        decoder(attention(kernel="linear", rotary=True, key_padding=True), name="linear"),
        decoder(attention(kernel="linear", kv_heads=2), name="grouped linear"),
        decoder(attention(kernel="linear", position_bias="alibi"), name="linear alibi"),
        parallel(),
        translator(),
        vectors(),
    )
}
#: Those of which every token hears earlier ones alone, in every backend that goes on.
CAUSAL = [name for name in SPECS if name != "encoder"]
WRITERS = [
    "llama",
    "gpt",
    "window",
    "normed",
    "padded",
    "parallel",
    "alibi",
    "capped",
    "grouped linear",
]


@dataclass(frozen=True)
class Case:
    """A model with weights, inputs, and what it gives for them."""

    network: object
    inputs: dict
    expected: dict


@functools.cache
def network(name):
    return lower_model(SPECS[name], random_model(SPECS[name], 1))


@functools.cache
def case(name, batch=(2,), tokens=TOKENS):
    """Inputs of a batch; of padding at least the first token exists."""
    return case_of(network(name), batch, tokens)


def case_of(made, batch=(2,), tokens=TOKENS):
    rng = np.random.default_rng(0)
    inputs = {}
    for tensor in made.inputs:
        shape = (*batch, *(s if isinstance(s, int) else tokens for s in tensor.given))
        match tensor.kind:
            case InputKind.TOKEN:
                inputs[tensor.name] = rng.integers(0, tensor.shape[-1], shape)
            case InputKind.MASK:
                inputs[tensor.name] = (rng.random(shape) < 0.6) | (np.arange(tokens) == 0)
            case _:
                inputs[tensor.name] = rng.standard_normal(shape)
    return Case(made, inputs, ReferenceBackend().run(made.flatten(), inputs))
