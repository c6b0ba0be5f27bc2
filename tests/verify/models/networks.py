"""Small models of several kinds, and ways to change a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cortico.ir.network import Network, Port, Wire, port
from cortico.lowering import lower
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

D = 6

NORM = Norm(D, shift=True)


def attention(**options):
    return AttentionSpec(model=D, heads=2, **options)


def step(block, **options):
    """A step of one block; `inner` are options of the branch."""
    inner = options.pop("inner", {})
    kind = "attention" if isinstance(block, AttentionSpec) else "feed_forward"
    return Step((Branch(**{kind: block}, **inner),), **options)


#: Norms before, tokens as numbers, positions of a table, a tied readout; as many kinds of tokens as features.
GPT = ModelSpec(
    Stack(
        D,
        (
            Layer(
                (
                    step(attention(mask="causal"), inner={"before": NORM}),
                    step(FeedForward(D, 7, "gelu", gated=True), inner={"before": NORM}),
                ),
                times=2,
            ),
        ),
        embedding=Embedding(D, D, positions=9),
        norm=NORM,
    ),
    readout=Readout(Dense(D, D), tied=True),
)

#: Norms after, padding, one vector for a sentence.
BERT = ModelSpec(
    Stack(
        D,
        (
            Layer(
                (
                    step(attention(key_padding=True, bias=True), norm=NORM),
                    step(FeedForward(D, 7, "gelu", bias_in=True, bias_out=True), norm=NORM),
                ),
                times=2,
            ),
        ),
        embedding=Embedding(8, D, types=2, positions=9),
        embedding_norm=NORM,
    ),
    sentence=Sentence(Pooling(D, unit=True)),
)

#: Attention and feed-forward beside each other, rotary embedding, rates as input.
GPTJ = ModelSpec(
    Stack(
        D,
        (
            Layer(
                (
                    Step(
                        (
                            Branch(
                                AttentionSpec(
                                    D, heads=2, key_features=4, mask="causal", rotary=True
                                )
                            ),
                            Branch(feed_forward=FeedForward(D, 7, "silu")),
                        ),
                        before=Norm(D, "rms"),
                    ),
                ),
                times=2,
            ),
        ),
        norm=Norm(D, "rms"),
    ),
)


def _seq2seq(tokens):
    own, other = {"tokens": tokens}, {"tokens": tokens, "context_tokens": tokens}
    norm = Norm(D, tokens=tokens)
    ff = FeedForward(D, 7, "relu", tokens=tokens)
    embedding = Embedding(8, D, tokens=tokens)
    encoder = Stack(
        D,
        (
            Layer(
                (step(attention(key_padding=True, **own), norm=norm), step(ff, norm=norm)), times=2
            ),
        ),
        embedding=embedding,
    )
    decoder = Stack(
        D,
        (
            Layer(
                (
                    step(attention(mask="causal", key_padding=True, **own), norm=norm),
                    step(attention(cross=True, key_padding=True, **other), norm=norm),
                    step(ff, norm=norm, scale=0.5),
                ),
                times=2,
            ),
        ),
        embedding=embedding,
    )
    logits = Dense(D, 8, tokens=tokens)
    return ModelSpec(decoder, encoder, readout=Readout(logits, tied=True))


#: An encoder and a decoder; both of five tokens, so that wires of one fit the other.
SEQ2SEQ = _seq2seq(5)

MODELS = {"gpt": GPT, "bert": BERT, "gptj": GPTJ, "seq2seq": SEQ2SEQ}


# ---- changes -------------------------------------------------------------------------------------


def rewired(network: Network, **targets: str) -> Network:
    """The network with other sources; targets are written with `__` for dots, levels as `layer_0`."""
    found = network
    for target, source in targets.items():
        found = feed(found, target, source)
    return found


def feed(network: Network, target: str, source: str) -> Network:
    """The network with what feeds `target` changed to `source`."""
    assert any(str(wire.target) == target for wire in network.wires), target
    wires = (
        Wire(port(source), wire.target) if str(wire.target) == target else wire
        for wire in network.wires
    )
    return replace(network, wires=tuple(wires))


def without(network: Network, *paths: str) -> Network:
    """The network without nodes that nothing hears any more."""
    nodes = tuple(node for node in network.nodes if node.path not in paths)
    wires = tuple(wire for wire in network.wires if wire.target.path not in paths)
    assert len(nodes) == len(network.nodes) - len(paths)
    return replace(network, nodes=nodes, wires=wires)


def skipped(network: Network, path: str, name: str = "x") -> Network:
    """The network in which what heard a node hears what that node hears as `name`."""
    source = network.source_of[Port(name, path)]
    wires = (
        Wire(source, wire.target) if wire.source.path == path else wire for wire in network.wires
    )
    outputs = (
        replace(out, source=source) if out.source.path == path else out for out in network.outputs
    )
    return without(replace(network, wires=tuple(wires), outputs=tuple(outputs)), path)


def given_by(network: Network, output: str, source: str) -> Network:
    """The network whose output is another node's."""
    outputs = (
        replace(out, source=port(source)) if out.name == output else out for out in network.outputs
    )
    return replace(network, outputs=tuple(outputs))


def with_block(network: Network, path: str, spec) -> Network:
    """The network with the circuit of another block at a path; the numbers that it has stay."""
    return with_circuit(network, path, lower(spec))


def with_circuit(network: Network, path: str, circuit) -> Network:
    """The network with another circuit at a path; the numbers that it has stay."""
    open_ = [p.name for p in circuit.parameters if p.formula is None and p.values is None]

    def changed(node):
        kept = {name: node.values[name] for name in open_}
        return replace(node, circuit=circuit, values=kept) if node.path == path else node

    assert path in [node.path for node in network.nodes]
    return replace(network, nodes=tuple(changed(n) if n.path == path else n for n in network.nodes))


def with_numbers(network: Network, path: str, **arrays) -> Network:
    """The network with other numbers at a path, each made of all that stand there."""
    node = network[path]
    values = {**node.values, **{name: make(node.values) for name, make in arrays.items()}}
    assert any(not np.array_equal(values[name], node.values[name]) for name in arrays)
    changed = replace(node, values=values)
    return replace(network, nodes=tuple(changed if n is node else n for n in network.nodes))


def exchanged(network: Network, one: str, other: str, *names: str) -> Network:
    """The network with numbers of two nodes exchanged, by default all."""
    first, second = network[one].values, network[other].values
    names = names or tuple(first)
    found = with_numbers(network, one, **{n: lambda _, n=n: second[n] for n in names})
    return with_numbers(found, other, **{n: lambda _, n=n: first[n] for n in names})
