"""Hypothesis strategies for whole models: small model specs in which every option is met."""

from __future__ import annotations

from hypothesis import strategies as st

from cortico.spec import (
    AttentionSpec,
    Bias,
    Branch,
    Dense,
    Embedding,
    FeedForward,
    Layer,
    Mask,
    ModelSpec,
    Norm,
    NormKind,
    Pool,
    Pooling,
    Readout,
    Sentence,
    Site,
    Stack,
    Step,
    Way,
)

TRANSFERS = ("relu", "relu_squared", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "identity")
WIDTH, VOCABULARY, POSITIONS = 6, 11, 9
scales = st.sampled_from([1.0, 0.5, -2.0])


@st.composite
def norms(draw, model=WIDTH):
    return Norm(
        model,
        draw(st.sampled_from(NormKind)),
        draw(st.sampled_from([1e-5, 0.1])),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(Site)),
    )


@st.composite
def attentions(draw, model=WIDTH, causal=None, cross=False, context=None):
    causal = draw(st.booleans()) if causal is None else causal
    ways = (Mask.CAUSAL, Mask.WINDOW) if causal else (Mask.NONE, Mask.BIDIRECTIONAL_WINDOW)
    mask = Mask.NONE if cross else draw(st.sampled_from(ways))
    return AttentionSpec(
        model,
        heads=2,
        kv_heads=draw(st.sampled_from([None, 1])),
        key_features=2,
        cross=cross,
        context=context,
        mask=mask,
        window=2 if mask.has_window else None,
        rotary=not cross and draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        bias=draw(st.builds(Bias, *[st.booleans()] * 4)),
        key_padding=draw(st.booleans()),
    )


@st.composite
def feed_forwards(draw, model=WIDTH):
    return FeedForward(
        model,
        7,
        draw(st.sampled_from(TRANSFERS)),
        *(draw(st.booleans()) for _ in range(3)),
        site=draw(st.sampled_from(Site)),
    )


def branches(blocks, model=WIDTH):
    around = st.none() | norms(model)
    attention = st.builds(Branch, attention=blocks, before=around, after=around)
    other = st.builds(Branch, feed_forward=feed_forwards(model), before=around, after=around)
    return attention | other


@st.composite
def steps(draw, blocks, model=WIDTH):
    """One branch, or two beside each other, which may hear one norm."""
    several = draw(st.booleans())
    found = [draw(branches(blocks, model)) for _ in range(1 + several)]
    shared = several and draw(st.booleans())
    if shared:
        found = [Branch(b.attention, b.feed_forward, None, b.after) for b in found]
    before = draw(norms(model)) if shared else None
    norm = draw(st.none() | norms(model))
    return Step(tuple(found), before, norm, draw(scales), draw(st.sampled_from(Way)))


@st.composite
def stacks(draw, causal=None, context=None, model=WIDTH, embedded=True):
    """`context`: the width of what cross attention hears, in the last step of each layer."""
    layer = [draw(steps(attentions(model, causal), model)) for _ in range(draw(st.integers(1, 2)))]
    if context is not None:
        crossing = attentions(model, False, True, context)
        layer.append(Step((Branch(draw(crossing)),)))
    layers = [Layer(tuple(layer), draw(st.integers(1, 3)))]
    width = draw(st.sampled_from([model, 4])) if embedded else model
    embedding = Embedding(
        VOCABULARY,
        width,
        types=draw(st.sampled_from([None, 2])),
        positions=draw(st.sampled_from([None, POSITIONS])),
        scale=draw(scales),
        site=draw(st.sampled_from(Site)),
    )
    dense = Dense(width, model, bias=draw(st.booleans())) if width != model else None
    around = st.none() | norms(model)
    return Stack(
        model,
        tuple(layers),
        embedding if embedded else None,
        draw(st.none() | norms(width)) if embedded else None,
        dense if embedded else None,
        draw(around),
    )


@st.composite
def readouts(draw, embedding, model=WIDTH):
    tied = embedding is not None and embedding.model == model and draw(st.booleans())
    capped = draw(st.booleans())
    logits = Dense(
        model,
        VOCABULARY,
        bias=draw(st.booleans()),
        scale=draw(scales),
        soft_cap=3.0 if capped else None,
    )
    dense = Dense(model, model, draw(st.sampled_from(TRANSFERS)), draw(st.booleans()))
    return Readout(logits, draw(st.none() | st.just(dense)), draw(st.none() | norms(model)), tied)


@st.composite
def sentences(draw, model=WIDTH, padded=True):
    pooling = Pooling(
        model, draw(st.sampled_from(Pool)), draw(st.booleans()), padded, draw(st.sampled_from(Site))
    )
    pooler = Dense(model, 5, "tanh", draw(st.booleans()), pooled=True)
    return Sentence(pooling, draw(st.none() | st.just(pooler)))


@st.composite
def model_specs(draw, causal=None, encoders=True):
    """A model of one stack, with or without an embedding, or of an encoder and a decoder."""
    encoder = draw(st.none() | stacks(False, model=4)) if encoders else None
    context = None if encoder is None else 4
    stack = draw(stacks(causal, context, embedded=encoder is not None or draw(st.booleans())))
    readout = draw(st.none() | readouts(stack.embedding))
    sentence = draw(st.none() | sentences(padded=encoder is None)) if causal is not True else None
    return ModelSpec(stack, encoder, readout, sentence, "drawn")
