"""Wrong passes across wires, each refuted by what it did to the parts that it changed; right ones are proved."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, PassError
from cortico.ir.network import Port
from cortico.ir.rewrite import map_projections
from cortico.lowering import lower, lower_model
from cortico.model_pipeline import compile_model
from cortico.passes import NetworkStep, prune_across
from cortico.passes.fold_norm import FoldNorm
from cortico.passes.meaning import Change
from cortico.passes.prune_across import PruneAcross
from cortico.spec import Norm, Residual
from cortico.spec.model_weights import random_model
from cortico.verify.composition.across import prove_across
from cortico.verify.known import Known
from cortico.verify.models import COMPILED, verify_model
from cortico.verify.steps import validation
from tests.passes.test_prune_across import silenced, unheard, with_norms
from tests.verify.models import networks as of
from tests.verify.models.networks import BERT, GPT, GPTJ, SEQ2SEQ, D

NORM, ATTENTION = "layer[0].pre_attention_norm", "layer[0].attention"
PARALLEL = "layer[0].pre_parallel_norm"
FORWARD = "layer[1].feed_forward"


def lowered(spec, seed=1):
    return lower_model(spec, random_model(spec, seed))


def with_node(network, node):
    nodes = tuple(node if n.path == node.path else n for n in network.nodes)
    return replace(network, nodes=nodes)


def times(name, factor, *more):
    """A weight of attention times something along the side of the model's features."""
    return lambda after, before: of.with_numbers(
        after, ATTENTION, **{n: lambda v, n=n: v[n] * factor(before) for n in (name, *more)}
    )


def gain(before):
    return before[NORM].values["gain"]


def shift(before):
    return before[NORM].values["shift"]


def on_the_wrong_side(after, before):
    """The output of attention is scaled in place of what it hears."""
    values = dict(before[ATTENTION].values)
    values["W_O"] = values["W_O"] * gain(before)[:, None]
    biases = {n: v for n, v in after[ATTENTION].values.items() if n.startswith("b_")}
    names = {f"{n}_v2": v for n, v in values.items() if n in ("W_Q", "W_K", "W_V")}
    return with_node(
        after, replace(after[ATTENTION], values={**names, **biases, "W_O": values["W_O"]})
    )


def through_scaled_weights(after, before):
    """The bias goes through weights that have the gain already."""
    return of.with_numbers(
        after,
        ATTENTION,
        **{
            f"b_{x}": lambda v, x=x: np.einsum("ham,m->ha", v[f"W_{x}_v2"], shift(before))
            for x in "QV"
        },
    )


def bias_forgotten(after, before):
    return of.with_numbers(after, FORWARD, b_in=lambda v: v["b_in"] * 0)


def only_the_bias_of_keys(after, before):
    """Which no softmax sees: the numbers are wrong, the outputs are not."""
    return of.with_numbers(after, ATTENTION, b_K=lambda v: v["b_K"] * 0)


def kept_at_the_norm(after, before):
    """The readers have the gain, and the norm still has it."""
    return with_node(after, before[NORM])


def of_another_norm(after, before):
    other = before["layer[1].pre_attention_norm"].values["gain"]
    return of.with_numbers(
        after, ATTENTION, W_V_v2=lambda v: before[ATTENTION].values["W_V"] * other
    )


def along_the_features_of_heads(after, before):
    """Rolled by one: every gain at the neighbour of its feature."""
    matrix = before[ATTENTION].values["W_Q"]
    return of.with_numbers(after, ATTENTION, W_Q_v2=lambda v: matrix * np.roll(gain(before), 1))


def of_one_reader(after, before):
    """Of the two blocks that hear a norm, one has its gain."""
    return with_node(after, before["layer[0].feed_forward"])


def beside_a_residual(after, before):
    """BERT's norm folds into the feed-forward block behind it, and the residual hears it, too."""
    norm, forward = before["layer[0].attention_norm"], before["layer[0].feed_forward"]
    plain = replace(norm, circuit=lower(Norm(D, gain=False)), values={})
    values = dict(forward.values)
    values["W_in"] = values["W_in"] * norm.values["gain"]
    values["b_in"] = values["b_in"] + forward.values["W_in"] @ norm.values["shift"]
    return with_node(with_node(after, plain), replace(forward, values=values))


def one_entry(after, before):
    def moved(values):
        array = values["W_in_v2"].copy()
        array[2, 3] *= 1 + 1e-3
        return array

    return of.with_numbers(after, FORWARD, W_in_v2=moved)


def rewired(after, before):
    return of.feed(after, "layer[1].attention.x", "layer[0].attention_residual.y")


WRONG_FOLDS = {
    "on the wrong side": (GPT, on_the_wrong_side),
    "bias forgotten": (GPT, bias_forgotten),
    "bias through weights that have the gain": (GPT, through_scaled_weights),
    "bias twice": (GPT, times("b_V", lambda before: 2.0)),
    "bias taken off": (GPT, times("b_Q", lambda before: -1.0)),
    "folded twice": (GPT, times("W_V_v2", gain)),
    "divided by": (GPT, times("W_Q_v2", lambda before: gain(before) ** -2)),
    "into queries and keys, not values": (GPT, times("W_V_v2", lambda before: 1 / gain(before))),
    "kept at the norm, too": (GPT, kept_at_the_norm),
    "the gain of another norm": (GPT, of_another_norm),
    "off by one feature": (GPT, along_the_features_of_heads),
    "into one reader of two": (GPTJ, of_one_reader),
    "although a residual hears the norm": (BERT, beside_a_residual),
    "one entry is off": (GPT, one_entry),
    "with a wire elsewhere": (GPT, rewired),
}


def refused(step):
    with pytest.raises(PassError, match=f"pass {step.name}") as raised:
        list(prove_across(step))
    return str(raised.value)


def some(table, *names):
    """The rows of some names; the others are many cases."""
    return [n if n in names else pytest.param(n, marks=pytest.mark.full) for n in table]


@pytest.mark.parametrize(
    "name",
    some(
        WRONG_FOLDS,
        "bias forgotten",
        "into one reader of two",
        "although a residual hears the norm",
        "kept at the norm, too",
        "with a wire elsewhere",
    ),
)
def test_a_wrong_fold_is_refuted(name):
    spec, change = WRONG_FOLDS[name]
    before = lowered(spec)
    after = change(FoldNorm().run(before), before)
    message = refused(NetworkStep("fold-norm", before, after, 0.0))
    assert "on random inputs the outputs differ" in message or "wire" in message, message


@pytest.mark.full
def test_numbers_that_no_output_shows_are_not_proved_all_the_same():
    before = lowered(GPT)
    step = NetworkStep(
        "fold-norm", before, only_the_bias_of_keys(FoldNorm().run(before), before), 0
    )
    verdicts = {paths[-1]: proof.verdict for paths, proof in prove_across(step)}
    # softmax does not see it, so the step is right: the prover needs no word about b_K
    assert verdicts[ATTENTION] is Known.PROVED


# ---- wrong cuts ----------------------------------------------------------------------------------


def cut_by_force(spec, weights, *features, change=lambda network: network):
    """Features of the encoder go, whatever they do."""
    before = lower_model(spec, weights)
    (axis,) = ({a.name for a in before.flatten().axes if a.name == "encoder_embedding_m"},)
    stream = prune_across.read_alike(before.flatten(), next(iter(axis)))

    def dead(circuit, axis):
        return np.isin(np.arange(D), features)

    return NetworkStep("prune-across", before, change(prune_across._cut(before, stream, dead)), 0.0)


def mean_of_fewer(network):
    """Squares are divided by the number of features that are left."""

    def changed(p):
        fewer = replace(p, weight=replace(p.weight, gain=Gain(1 / (D - 1))))
        return fewer if p.name == "pool_content" else p

    nodes = (
        replace(n, circuit=map_projections(n.circuit, changed))
        if n.path == "encoder.layer[1].feed_forward_norm"
        else n
        for n in network.nodes
    )
    return replace(network, nodes=tuple(nodes))


def test_a_right_cut_is_proved():
    spec = with_norms(SEQ2SEQ, "rms")
    step = cut_by_force(spec, silenced(random_model(spec, 0), 1), 1)
    ((paths, proof),) = prove_across(step)
    assert proof.verdict is Known.PROVED and len(paths) == 15
    assert "5 of 6 indices" in str(proof.facts[0])


WRONG_CUTS = {
    "a mean hears it": lambda: cut_by_force(SEQ2SEQ, silenced(random_model(SEQ2SEQ, 0), 1), 1),
    "a norm hears it": lambda: cut_by_force(
        with_norms(SEQ2SEQ, "rms"), unheard(random_model(with_norms(SEQ2SEQ, "rms"), 0), 2), 2
    ),
    "something writes it": lambda: cut_by_force(
        with_norms(SEQ2SEQ, "rms"), silenced(random_model(with_norms(SEQ2SEQ, "rms"), 0), 1), 1, 2
    ),
    "another than the silent one": lambda: cut_by_force(
        with_norms(SEQ2SEQ, "rms"), silenced(random_model(with_norms(SEQ2SEQ, "rms"), 0), 1), 2
    ),
    "the mean of squares is of fewer": lambda: cut_by_force(
        with_norms(SEQ2SEQ, "rms"),
        silenced(random_model(with_norms(SEQ2SEQ, "rms"), 0), 1),
        1,
        change=mean_of_fewer,
    ),
}


@pytest.mark.parametrize("name", some(WRONG_CUTS, "a mean hears it"))
def test_a_wrong_cut_is_refuted(name):
    assert "on random inputs the outputs differ" in refused(WRONG_CUTS[name]())


@pytest.mark.parametrize("name", some(WRONG_CUTS, "a norm hears it"))
def test_no_lemma_holds_of_a_wrong_cut(name, monkeypatch):
    """Where nothing is run, it is not decided."""
    monkeypatch.setattr(validation, "seen_change", lambda *circuits: Change(None))
    verdicts = {proof.verdict for _, proof in prove_across(WRONG_CUTS[name]())}
    assert verdicts == {Known.UNDECIDED}


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n in WRONG_FOLDS if n != "with a wire elsewhere"])
def test_no_wrong_fold_is_proved(name, monkeypatch):
    monkeypatch.setattr(validation, "seen_change", lambda *circuits: Change(None))
    spec, change = WRONG_FOLDS[name]
    before = lowered(spec)
    step = NetworkStep("fold-norm", before, change(FoldNorm().run(before), before), 0.0)
    assert Known.UNDECIDED in {proof.verdict for _, proof in prove_across(step)}


def test_attention_that_writes_something_is_missed():
    """Its residual hears the stream alone."""
    before = lowered(GPT)
    path = "layer[1].attention"
    residual = before[f"{path}_residual"]
    drive = residual.circuit.populations[0].compartments[0].drive[:1]
    alone = prune_across._unfed(lower(Residual(D)), {"branch"})
    alone = replace(alone, inputs=alone.inputs[:1])
    assert alone.populations[0].compartments[0].drive == drive
    gone = {path, "layer[1].pre_attention_norm"}
    nodes = tuple(n for n in before.nodes if n.path not in gone)
    after = with_node(replace(before, nodes=nodes), replace(residual, circuit=alone))
    kept = (w for w in before.wires if w.target.path not in gone)
    wires = tuple(w for w in kept if w.target != Port("branch", f"{path}_residual"))
    after = replace(after, wires=wires)
    assert "outputs differ" in refused(NetworkStep("prune-across", before, after, 0.0))


# ---- all claims ----------------------------------------------------------------------------------


def claims_of(spec, weights, passes):
    found = compile_model(spec, weights, passes=passes, verify=True).verification
    assert found.holds, [c for c in found.claims if c.verdict is Known.REFUTED]
    return {c.claim: c for c in found.claims}


@pytest.mark.full
def test_a_model_is_proved_through_both():
    spec = with_norms(SEQ2SEQ, "rms")
    claims = claims_of(spec, silenced(random_model(spec, 1), 0), "fold-norm,prune-across,default")
    assert claims[COMPILED].verdict is Known.CHECKED
    across = [c for c in claims.values() if c.claim.startswith(("fold-norm", "prune-across"))]
    assert len(across) == 2 and {c.verdict for c in across} == {Known.PROVED}
    assert any("W_K_v2" in fact for c in across for fact in c.given)


@pytest.mark.full
def test_a_chain_that_is_broken_is_refuted():
    """Steps that begin at another network than that of the model, or end at another than is compiled."""
    weights = random_model(GPT, 1)
    before = lower_model(GPT, weights)
    other = of.with_numbers(before, FORWARD, W_out=lambda v: v["W_out"] * 2)
    steps = [NetworkStep("fold-norm", other, FoldNorm().run(other), 0.0)]
    for compiled in (steps[0].after, FoldNorm().run(before)):
        found = verify_model(GPT, weights, before, compiled=compiled, across=steps)
        wrong = {c.claim for c in found.claims if c.verdict is Known.REFUTED}
        assert COMPILED in wrong


@pytest.mark.full
def test_a_wrong_fold_stops_verification():
    weights = random_model(GPT, 1)
    before = lower_model(GPT, weights)
    after = bias_forgotten(FoldNorm().run(before), before)
    step = NetworkStep("fold-norm", before, after, 0.0)
    with pytest.raises(PassError, match=r"fold-norm changed what layer\[1\]"):
        verify_model(GPT, weights, before, compiled=after, across=[step])


def test_nothing_is_dead_where_nothing_is():
    network = lowered(GPT)
    assert PruneAcross().run(network) is network
