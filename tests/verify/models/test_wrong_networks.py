"""Wrong networks of models, each caught by the claims that are named, and by no other.

    block    a circuit computes the block that stands there, for all sizes
    wires    the wires spell the model spec
    flat     the flat circuit is the network
    numbers  every number stands at its block
    primes   each block computes what stands there, with its numbers, modulo primes
    outputs  the outputs are PyTorch's

What a row does not name would not have seen it: weights of two levels that are exchanged leave all that holds for
all sizes as it is, a wrong wire is no wrong block. The last rows are seen by one claim only.
"""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, PassError, Region
from cortico.ir.network import Wire
from cortico.ir.rewrite import map_populations, map_projections
from cortico.lowering import lower_model
from cortico.spec import FeedForward, Norm, Pooling, Residual
from cortico.spec.model_weights import random_model
from cortico.verify import models
from cortico.verify.composition import subject
from cortico.verify.composition.terms import terms_of
from cortico.verify.known import Known
from cortico.verify.models import FLAT, NUMBERS, OUTPUTS, PRIMES, WIRES, verify_model
from tests.verify.models import networks as of
from tests.verify.models.networks import BERT, GPT, GPTJ, MODELS, NORM, SEQ2SEQ, D

KINDS = {WIRES: "wires", NUMBERS: "numbers", FLAT: "flat", OUTPUTS: "outputs", PRIMES: "primes"}


def kind_of(claim):
    begun = (kind for text, kind in KINDS.items() if claim.claim.startswith(text.partition("{")[0]))
    return next(begun, "block")


NUMBER = {"numbers", "primes", "outputs"}
BLOCK = {"block", "primes", "outputs"}
WIRE = {"wires", "outputs"}


def caught(verification):
    """The kinds of claims that do not hold."""
    wrong = (Known.REFUTED, Known.UNDECIDED)
    return {kind_of(claim) for claim in verification.claims if claim.verdict in wrong}


def transfers_exchanged(network, path):
    """A gated block whose hidden cells have the transfer function, and the gate none."""
    circuit = network[path].circuit
    other = {"gate": "identity", "hidden": "gelu"}
    return of.with_circuit(
        network,
        path,
        map_populations(circuit, lambda p: replace(p, transfer=other.get(p.name, p.transfer))),
    )


def slower(network):
    """A shared circuit whose rotary frequencies are others."""
    (circuit,) = {node.circuit for node in network.nodes if node.path.endswith(".attention")}
    parameters = (
        replace(p, values=p.values * 0.5) if p.name == "frequencies" else p
        for p in circuit.parameters
    )
    changed = replace(circuit, parameters=tuple(parameters))
    nodes = (replace(n, circuit=changed) if n.circuit is circuit else n for n in network.nodes)
    return replace(network, nodes=tuple(nodes))


def norm_after(network):
    """Attention hears the stream itself, and the norm stands behind it."""
    norm = "layer[0].pre_attention_norm"
    found = of.feed(network, "layer[0].attention.x", "embedding.y")
    found = of.feed(found, f"{norm}.x", "layer[0].attention.y")
    return of.feed(found, "layer[0].attention_residual.branch", f"{norm}.y")


def with_one_more(network):
    """A network with a norm of the last level that nothing hears."""
    more = replace(network["norm"], path="more")
    (wire,) = [w for w in network.wires if w.target.path == "norm"]
    wire = replace(wire, target=replace(wire.target, path="more"))
    return replace(network, nodes=(*network.nodes, more), wires=(*network.wires, wire))


def with_gain(flat):
    """A flat circuit in which one wire counts twice."""
    (old,) = [p for p in flat.projections if p.name == "layer_1_pre_feed_forward_norm_content_x"]
    twice = replace(old, weight=replace(old.weight, gain=Gain(2.0)))
    return map_projections(flat, lambda p: twice if p == old else p)


TURNING = GPTJ.stack.layers[0].steps[0].branches[0].attention
FF, ATTENTION = FeedForward(D, 7, "gelu", gated=True), of.attention

WRONG = {
    "weights of two levels exchanged": (
        GPT,
        lambda n: of.exchanged(n, "layer[0].attention", "layer[1].attention"),
        NUMBER,
    ),
    "a norm before taken for one after": (GPT, norm_after, WIRE),
    "a residual missing": (
        GPT,
        lambda n: of.skipped(n, "layer[1].attention_residual", "branch"),
        WIRE,
    ),
    "another scale of a residual": (
        SEQ2SEQ,
        lambda n: of.with_block(
            n, "decoder.layer[1].feed_forward_residual", Residual(D, scale=1.0, tokens=5)
        ),
        BLOCK,
    ),
    "a gain at another norm": (
        GPT,
        lambda n: of.exchanged(
            n, "layer[0].pre_attention_norm", "layer[0].pre_feed_forward_norm", "gain"
        ),
        NUMBER,
    ),
    "a gain folded into what is not behind its norm": (
        GPT,
        lambda n: of.with_numbers(
            of.with_numbers(n, "layer[0].pre_attention_norm", gain=lambda v: np.ones(D)),
            "layer[1].attention",
            W_V=lambda v: v["W_V"] * n["layer[0].pre_attention_norm"].values["gain"],
        ),
        NUMBER,
    ),
    "a shift dropped": (
        BERT,
        lambda n: of.with_block(n, "layer[0].attention_norm", Norm(D)),
        BLOCK,
    ),
    "another eps": (
        BERT,
        lambda n: of.with_block(n, "embedding_norm", replace(NORM, eps=1e-3)),
        BLOCK,
    ),
    "a mean that is not subtracted": (
        BERT,
        lambda n: of.with_block(n, "layer[1].attention_norm", replace(NORM, kind="rms")),
        BLOCK,
    ),
    "positions off by one": (
        GPT,
        lambda n: of.with_numbers(
            n, "embedding", W_position=lambda v: np.roll(v["W_position"], 1, 0)
        ),
        NUMBER,
    ),
    "a tied readout that is transposed": (
        GPT,
        lambda n: of.with_numbers(n, "readout", W=lambda v: v["W"].T),
        NUMBER,
    ),
    "a tied readout with one other number": (
        GPT,
        lambda n: of.with_numbers(n, "readout", W=lambda v: v["W"] + (np.arange(D) == 2) * 1e-3),
        NUMBER,
    ),
    "the context is another level of the encoder": (
        SEQ2SEQ,
        lambda n: of.feed(
            n,
            "decoder.layer[1].cross_attention.context",
            "encoder.layer[0].feed_forward_norm.y",
        ),
        WIRE,
    ),
    "the context is the encoder's embedding": (
        SEQ2SEQ,
        lambda n: of.feed(n, "decoder.layer[0].cross_attention.context", "encoder.embedding.y"),
        WIRE,
    ),
    "the decoder's padding for the encoder": (
        SEQ2SEQ,
        lambda n: of.feed(n, "encoder.layer[0].attention.keep", "decoder_keep"),
        WIRE,
    ),
    "the decoder's padding for the context": (
        SEQ2SEQ,
        lambda n: of.feed(n, "decoder.layer[0].cross_attention.keep", "decoder_keep"),
        WIRE,
    ),
    "a feed-forward block that hears no norm": (
        GPT,
        lambda n: of.skipped(n, "layer[1].pre_feed_forward_norm"),
        WIRE,
    ),
    "one of two branches added twice": (
        GPTJ,
        lambda n: of.without(
            of.feed(n, "layer[1].parallel_residual.branch_1", "layer[1].attention.y"),
            "layer[1].feed_forward",
        ),
        WIRE,
    ),
    "weights of gate and value exchanged": (
        GPT,
        lambda n: of.with_numbers(
            n, "layer[0].feed_forward", W_in=lambda v: v["W_gate"], W_gate=lambda v: v["W_in"]
        ),
        NUMBER,
    ),
    "gate and value exchanged": (
        GPT,
        lambda n: transfers_exchanged(n, "layer[0].feed_forward"),
        BLOCK,
    ),
    "another transfer function": (
        GPT,
        lambda n: of.with_block(n, "layer[1].feed_forward", replace(FF, transfer="gelu_tanh")),
        BLOCK,
    ),
    "the attention of another level": (
        GPT,
        lambda n: of.without(
            of.feed(n, "layer[1].attention_residual.branch", "layer[0].attention.y"),
            "layer[1].attention",
            "layer[1].pre_attention_norm",
        ),
        WIRE,
    ),
    "pooling over padding": (
        BERT,
        lambda n: of.with_block(
            replace(n, wires=tuple(w for w in n.wires if str(w.target) != "pooling.keep")),
            "pooling",
            Pooling(D, unit=True, padded=False),
        ),
        WIRE | BLOCK,
    ),
    "a vector that has no length of one": (
        BERT,
        lambda n: of.with_block(n, "pooling", Pooling(D)),
        BLOCK,
    ),
    "no final norm": (GPT, lambda n: of.skipped(n, "norm"), WIRE),
    "a readout of what is not normed": (
        GPT,
        lambda n: of.feed(n, "readout.x", "layer[1].feed_forward_residual.y"),
        WIRE,
    ),
    "another output": (
        GPT,
        lambda n: of.given_by(n, "states", "layer[1].feed_forward_residual.y"),
        WIRE,
    ),
    "a number of a shared circuit": (GPTJ, slower, NUMBER),
    "no causal mask": (
        GPT,
        lambda n: of.with_block(n, "layer[0].attention", ATTENTION()),
        BLOCK,
    ),
    "a block that nothing of the model needs": (GPTJ, with_one_more, {"wires"}),
    "a window that is wider than what is run": (
        GPTJ,
        lambda n: of.with_block(
            n, "layer[1].attention", replace(TURNING, mask="window", window=2000)
        ),
        {"block"},
    ),
    "a bias of keys, which no softmax sees": (
        BERT,
        lambda n: of.with_numbers(n, "layer[1].attention", b_K=lambda v: v["b_K"] + 1.0),
        {"numbers"},
    ),
}

#: Changes of the flat circuit of GPT.
WRONG_FLAT = {
    "another gain of a wire": (with_gain, {"flat", "outputs"}),
    "cells elsewhere": (
        lambda flat: map_populations(
            flat, lambda p: replace(p, region=Region.L5) if p.name == "norm_content" else p
        ),
        {"flat"},
    ),
}


@pytest.fixture(scope="module")
def weights():
    return {id(spec): random_model(spec, 1) for spec in MODELS.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_right_network_holds(name, weights):
    spec = MODELS[name]
    for given in (weights[id(spec)], None):
        found = verify_model(spec, given, lower_model(spec, given))
        assert found.holds, [c for c in found.claims if c.verdict is Known.REFUTED]
        kinds = [kind_of(claim) for claim in found.claims]
        assert {"wires", "block", "numbers", "outputs"} <= set(kinds)


#: Rows that say most; the others are many cases.
FIRST = ("weights of two levels exchanged", "a residual missing", "another eps", *list(WRONG)[-3:])


@pytest.mark.parametrize(
    "name", [n if n in FIRST else pytest.param(n, marks=pytest.mark.full) for n in WRONG]
)
def test_a_wrong_network_is_refuted(name, weights):
    spec, change, expected = WRONG[name]
    given = weights[id(spec)]
    found = verify_model(spec, given, change(lower_model(spec, given)))
    assert caught(found) == expected, [c for c in found.claims if c.verdict is Known.REFUTED]
    assert not found.holds and found.verdict == "NOT every claim holds"


@pytest.mark.parametrize("name", WRONG_FLAT)
def test_a_wrong_flat_circuit_is_refuted(name, weights):
    change, expected = WRONG_FLAT[name]
    network = lower_model(GPT, weights[id(GPT)])
    found = verify_model(GPT, weights[id(GPT)], network, flat=change(network.flatten()))
    assert caught(found) == expected


def test_names_of_nodes_do_not_matter_where_they_have_numbers(weights):
    """Levels under each other's names, and one under a name of its own."""
    given = weights[id(GPT)]
    network = lower_model(GPT, given)

    def renamed(path):
        names = {"layer[0]": "layer[1]", "layer[1]": "layer[0]", "norm": "last"}
        head, dot, rest = path.partition(".")
        return names.get(head, head) + dot + rest

    def moved(end):
        return replace(end, path=renamed(end.path))

    other = replace(
        network,
        nodes=tuple(replace(n, path=renamed(n.path)) for n in network.nodes),
        wires=tuple(Wire(moved(w.source), moved(w.target)) for w in network.wires),
        outputs=tuple(replace(o, source=moved(o.source)) for o in network.outputs),
    )
    assert other["layer[0].attention"].values is network["layer[1].attention"].values
    assert verify_model(GPT, given, other).holds
    bare = replace(other, nodes=tuple(replace(n, values={}) for n in other.nodes))
    assert caught(verify_model(GPT, None, bare)) >= {"wires"}


#: Each stage to a wrong network that nothing else sees.
ALONE = {
    "proving each distinct block": "a window that is wider than what is run",
    "following the wires": "a block that nothing of the model needs",
    "looking at every number": "a bias of keys, which no softmax sees",
}


@pytest.mark.parametrize("stage", ALONE)
def test_without_a_stage_a_wrong_network_would_pass(stage, weights, monkeypatch):
    rest = {name: make for name, make in models._STAGES.items() if name != stage}
    monkeypatch.setattr(models, "_STAGES", rest)
    spec, change, _ = WRONG[ALONE[stage]]
    assert verify_model(spec, weights[id(spec)], change(lower_model(spec, weights[id(spec)]))).holds


def test_pytorch_sees_what_is_wrong_in_the_expression_itself(weights, monkeypatch):
    """Wires that spell a wrong expression: cortico is at fault, and says so."""
    given = weights[id(GPT)]
    (layer,) = GPT.stack.layers
    swapped = replace(layer, steps=layer.steps[::-1])
    other = replace(GPT, stack=replace(GPT.stack, layers=(swapped,)))
    network = lower_model(other, given)
    assert caught(verify_model(GPT, given, network)) == {"wires", "outputs"}
    monkeypatch.setattr(subject, "terms_of", lambda spec: terms_of(other))
    with pytest.raises(PassError, match=r"two checkers disagree.*against PyTorch"):
        verify_model(GPT, given, network)
    rest = {n: make for n, make in models._STAGES.items() if "PyTorch" not in n}
    monkeypatch.setattr(models, "_STAGES", rest)
    assert verify_model(GPT, given, network).holds
