"""Wrong networks of models, each caught by the claims that are named, and by no other.

    wires    the wires spell the model spec
    block    a circuit computes the block that stands there
    numbers  every number stands at its block
    outputs  the outputs are PyTorch's

What a row does not name would not have seen it: weights of two levels that are exchanged leave all that holds for
all sizes as it is; a wrong wire is no wrong block. All but a few are seen by two claims that share no code.
"""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir.rewrite import map_populations
from cortico.lowering import lower_model
from cortico.spec import FeedForward, Norm, Pooling, Residual
from cortico.spec.model_weights import random_model
from cortico.verify.known import Known
from cortico.verify.models import NUMBERS, OUTPUTS, WIRES, verify_model
from tests.verify.models import networks as of
from tests.verify.models.networks import BERT, GPT, GPTJ, MODELS, NORM, SEQ2SEQ, D

KINDS = {WIRES: "wires", NUMBERS: "numbers"}


def kind_of(claim):
    if claim.claim.startswith(OUTPUTS.partition("{")[0]):
        return "outputs"
    return KINDS.get(claim.claim, "block")


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


FF, ATTENTION = FeedForward(D, 7, "gelu", gated=True), of.attention

WRONG = {
    "weights of two levels exchanged": (
        GPT,
        lambda n: of.exchanged(n, "layer[0].attention", "layer[1].attention"),
        {"numbers", "outputs"},
    ),
    "a norm before taken for one after": (GPT, norm_after, {"wires", "outputs"}),
    "a residual missing": (
        GPT,
        lambda n: of.skipped(n, "layer[1].attention_residual", "branch"),
        {"wires", "outputs"},
    ),
    "another scale of a residual": (
        SEQ2SEQ,
        lambda n: of.with_block(
            n, "decoder.layer[1].feed_forward_residual", Residual(D, scale=1.0, tokens=5)
        ),
        {"block", "outputs"},
    ),
    "a gain at another norm": (
        GPT,
        lambda n: of.exchanged(
            n, "layer[0].pre_attention_norm", "layer[0].pre_feed_forward_norm", "gain"
        ),
        {"numbers", "outputs"},
    ),
    "a gain folded into what is not behind its norm": (
        GPT,
        lambda n: of.with_numbers(
            of.with_numbers(n, "layer[0].pre_attention_norm", gain=lambda v: np.ones(D)),
            "layer[1].attention",
            W_V=lambda v: v["W_V"] * n["layer[0].pre_attention_norm"].values["gain"],
        ),
        {"numbers", "outputs"},
    ),
    "a shift dropped": (
        BERT,
        lambda n: of.with_block(n, "layer[0].attention_norm", Norm(D)),
        {"block", "outputs"},
    ),
    "another eps": (
        BERT,
        lambda n: of.with_block(n, "embedding_norm", replace(NORM, eps=1e-3)),
        {"block", "outputs"},
    ),
    "a mean that is not subtracted": (
        BERT,
        lambda n: of.with_block(n, "layer[1].attention_norm", replace(NORM, kind="rms")),
        {"block", "outputs"},
    ),
    "positions off by one": (
        GPT,
        lambda n: of.with_numbers(
            n, "embedding", W_position=lambda v: np.roll(v["W_position"], 1, 0)
        ),
        {"numbers", "outputs"},
    ),
    "a tied readout that is transposed": (
        GPT,
        lambda n: of.with_numbers(n, "readout", W=lambda v: v["W"].T),
        {"numbers", "outputs"},
    ),
    "a tied readout with one other number": (
        GPT,
        lambda n: of.with_numbers(n, "readout", W=lambda v: v["W"] + (np.arange(D) == 2) * 1e-3),
        {"numbers", "outputs"},
    ),
    "the context is another level of the encoder": (
        SEQ2SEQ,
        lambda n: of.feed(
            n,
            "decoder.layer[1].cross_attention.context",
            "encoder.layer[0].feed_forward_norm.y",
        ),
        {"wires", "outputs"},
    ),
    "the context is the encoder's embedding": (
        SEQ2SEQ,
        lambda n: of.feed(n, "decoder.layer[0].cross_attention.context", "encoder.embedding.y"),
        {"wires", "outputs"},
    ),
    "the decoder's padding for the encoder": (
        SEQ2SEQ,
        lambda n: of.feed(n, "encoder.layer[0].attention.keep", "decoder_keep"),
        {"wires", "outputs"},
    ),
    "the decoder's padding for the context": (
        SEQ2SEQ,
        lambda n: of.feed(n, "decoder.layer[0].cross_attention.keep", "decoder_keep"),
        {"wires", "outputs"},
    ),
    "a feed-forward block that hears no norm": (
        GPT,
        lambda n: of.skipped(n, "layer[1].pre_feed_forward_norm"),
        {"wires", "outputs"},
    ),
    "one of two branches added twice": (
        GPTJ,
        lambda n: of.without(
            of.feed(n, "layer[1].parallel_residual.branch_1", "layer[1].attention.y"),
            "layer[1].feed_forward",
        ),
        {"wires", "outputs"},
    ),
    "weights of gate and value exchanged": (
        GPT,
        lambda n: of.with_numbers(
            n, "layer[0].feed_forward", W_in=lambda v: v["W_gate"], W_gate=lambda v: v["W_in"]
        ),
        {"numbers", "outputs"},
    ),
    "gate and value exchanged": (
        GPT,
        lambda n: transfers_exchanged(n, "layer[0].feed_forward"),
        {"block", "outputs"},
    ),
    "another transfer function": (
        GPT,
        lambda n: of.with_block(n, "layer[1].feed_forward", replace(FF, transfer="gelu_tanh")),
        {"block", "outputs"},
    ),
    "the attention of another level": (
        GPT,
        lambda n: of.without(
            of.feed(n, "layer[1].attention_residual.branch", "layer[0].attention.y"),
            "layer[1].attention",
            "layer[1].pre_attention_norm",
        ),
        {"wires", "outputs"},
    ),
    "pooling over padding": (
        BERT,
        lambda n: of.with_block(
            replace(n, wires=tuple(w for w in n.wires if str(w.target) != "pooling.keep")),
            "pooling",
            Pooling(D, unit=True, padded=False),
        ),
        {"wires", "block", "outputs"},
    ),
    "a vector that has no length of one": (
        BERT,
        lambda n: of.with_block(n, "pooling", Pooling(D)),
        {"block", "outputs"},
    ),
    "no final norm": (GPT, lambda n: of.skipped(n, "norm"), {"wires", "outputs"}),
    "a readout of what is not normed": (
        GPT,
        lambda n: of.feed(n, "readout.x", "layer[1].feed_forward_residual.y"),
        {"wires", "outputs"},
    ),
    "another output": (
        GPT,
        lambda n: of.given_by(n, "states", "layer[1].feed_forward_residual.y"),
        {"wires", "outputs"},
    ),
    "a number of a shared circuit": (GPTJ, slower, {"numbers", "outputs"}),
    "no causal mask": (
        GPT,
        lambda n: of.with_block(n, "layer[0].attention", ATTENTION()),
        {"block", "outputs"},
    ),
    "a block that nothing of the model needs": (
        GPTJ,
        lambda n: replace(
            n,
            nodes=(*n.nodes, replace(n["norm"], path="more")),
            wires=(
                *n.wires,
                *(
                    replace(w, target=replace(w.target, path="more"))
                    for w in n.wires
                    if w.target.path == "norm"
                ),
            ),
        ),
        {"wires"},
    ),
}


@pytest.fixture(scope="module")
def weights():
    return {id(spec): random_model(spec, 1) for spec in MODELS.values()}


@pytest.mark.parametrize("name", MODELS)
def test_the_right_network_holds(name, weights):
    spec = MODELS[name]
    for given in (weights[id(spec)], None):
        found = verify_model(spec, given, lower_model(spec, given))
        assert found.holds, [c for c in found.claims if c.verdict is Known.REFUTED]
        kinds = [kind_of(claim) for claim in found.claims]
        assert {"wires", "block", "numbers", "outputs"} <= set(kinds)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_network_is_refuted(name, weights):
    spec, change, expected = WRONG[name]
    given = weights[id(spec)]
    found = verify_model(spec, given, change(lower_model(spec, given)))
    assert caught(found) == expected, [c for c in found.claims if c.verdict is Known.REFUTED]
    assert not found.holds and found.verdict == "NOT every claim holds"
