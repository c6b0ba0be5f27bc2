"""Networks of attention layers, and what they compute by the textbook."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cortico.ir import Input, InputKind
from cortico.ir.network import Network, Node, network
from cortico.lowering import circuit_weights, lower
from cortico.spec import AttentionSpec, Mask
from cortico.spec.weights import random_weights
from tests.oracle import textbook_attention

SPEC = AttentionSpec(model=4, heads=2)


def stack(spec: AttentionSpec = SPEC, depth: int = 2) -> Network:
    """`depth` layers on top of each other, each with weights of its own; all see the same other inputs."""
    circuit = lower(spec)
    nodes = [with_weights(f"layer[{k}].attention", spec, k) for k in range(depth)]
    wires, before = [], "x"
    for node in nodes:
        wires += [(before, f"{node.path}.x")]
        wires += [(t.name, f"{node.path}.{t.name}") for t in circuit.inputs if t.name != "x"]
        before = f"{node.path}.y"
    return network("a stack", circuit.inputs, nodes, wires, {"y": before})


def with_other_symbols(made: Network) -> Network:
    """The same with `length` tokens, which blocks call n."""
    inputs = (
        replace(t, shape=tuple("length" if side == "n" else side for side in t.shape))
        for t in made.inputs
    )
    return replace(made, inputs=tuple(inputs))


def with_weights(path: str, spec: AttentionSpec, seed: int) -> Node:
    """An attention layer with random weights; layers of one spec share their circuit."""
    node, values = Node(path, lower(spec)), circuit_weights(spec, random_weights(spec, seed))
    return replace(node, values={name: values[name] for name in node.open})


def of_stack(spec: AttentionSpec, depth: int, inputs: dict) -> np.ndarray:
    """What a stack gives, layer by layer, by the textbook; each example of a batch by itself."""
    examples = [dict(zip(inputs, one, strict=True)) for one in zip(*inputs.values(), strict=True)]
    return np.stack([_of_one(spec, depth, example) for example in examples])


def _of_one(spec: AttentionSpec, depth: int, inputs: dict) -> np.ndarray:
    y = inputs.pop("x")
    for seed in range(depth):
        y = textbook_attention(spec, random_weights(spec, seed), y, **inputs)
    return y


ENCODER = replace(SPEC, key_padding=True)
DECODER = replace(SPEC, mask=Mask.CAUSAL)
ACROSS = replace(SPEC, cross=True, context=4, key_padding=True)


def encoder_decoder() -> Network:
    """One encoder layer over m tokens; a decoder layer over n that attends to itself, then to the encoder."""
    nodes = [
        with_weights("encoder.layer[0].attention", ENCODER, 1),
        with_weights("decoder.layer[0].attention", DECODER, 2),
        with_weights("decoder.layer[0].across", ACROSS, 3),
    ]
    wires = [
        ("source", "encoder.layer[0].attention.x"),
        ("keep", "encoder.layer[0].attention.keep"),
        ("target", "decoder.layer[0].attention.x"),
        ("decoder.layer[0].attention.y", "decoder.layer[0].across.x"),
        ("encoder.layer[0].attention.y", "decoder.layer[0].across.context"),
        ("keep", "decoder.layer[0].across.keep"),
    ]
    inputs = [
        Input("source", ("m", 4)),
        Input("target", ("n", 4)),
        Input("keep", ("m",), InputKind.MASK),
    ]
    return network("encoder and decoder", inputs, nodes, wires, {"y": "decoder.layer[0].across.y"})


def of_encoder_decoder(source, target, keep) -> np.ndarray:
    """What it gives for one example, by the textbook."""
    memory = textbook_attention(ENCODER, random_weights(ENCODER, 1), source, keep=keep)
    own = textbook_attention(DECODER, random_weights(DECODER, 2), target)
    return textbook_attention(ACROSS, random_weights(ACROSS, 3), own, memory, keep)
