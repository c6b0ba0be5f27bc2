"""fold-norm: where gain and bias go, where they stay and why, and that nothing else changes."""

import runpy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.backends import run_network
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    CircuitError,
    Compartment,
    Gain,
    Input,
    PassError,
    Projection,
    Region,
    Role,
    SpecError,
    Weight,
)
from cortico.ir.network import Node, changed_parts, network
from cortico.lowering import lower, lower_model
from cortico.lowering.sites import SUPERFICIAL
from cortico.lowering.streams import reads
from cortico.model_pipeline import compile_model
from cortico.passes import NetworkPass, parse_passes, relative_difference, run_across
from cortico.passes.fold_norm import FoldNorm
from cortico.pipeline import compile_attention
from cortico.spec import (
    AttentionSpec,
    Bias,
    Dense,
    FeedForward,
    Layer,
    ModelSpec,
    Norm,
    Readout,
    Stack,
)
from cortico.spec.model_weights import random_model
from cortico.verify.composition.across import prove_across
from cortico.verify.known import Known
from tests.model_strategies import model_specs
from tests.verify.models.networks import (
    BERT,
    GPT,
    GPTJ,
    NORM,
    SEQ2SEQ,
    D,
    feed,
    step,
    with_circuit,
    without,
)

FORWARD = "feed_forward"


def folded(spec, seed=0, dtype=np.float64):
    """A network before and after."""
    before = lower_model(spec, random_model(spec, seed, dtype))
    return before, FoldNorm().run(before)


def test_gain_and_bias_stand_in_the_weights():
    """W g along features of the model, and W b beside what bias there is: by einsum over the given arrays."""
    bias = Bias(query=True, value=True)
    steps = (
        step(AttentionSpec(D, heads=2, mask="causal", bias=bias), inner={"before": NORM}),
        step(FeedForward(D, 7, "gelu", gated=True, bias_in=True), inner={"before": NORM}),
    )
    spec = ModelSpec(Stack(D, (Layer(steps),)))
    weights = random_model(spec, 3)
    after = FoldNorm().run(lower_model(spec, weights))
    norm, own = weights["layer[0].pre_attention_norm"], weights["layer[0].attention"]
    found = after["layer[0].attention"].values
    assert {*found} == {"W_Q_v2", "W_K_v2", "W_V_v2", "W_O", "b_Q_v2", "b_K", "b_V_v2"}
    for letter, old in (("Q", own["b_Q"]), ("K", 0.0), ("V", own["b_V"])):
        matrix = own[f"W_{letter}"]
        scaled = np.einsum("ham,m->ham", matrix, norm["gain"])
        np.testing.assert_array_equal(found[f"W_{letter}_v2"], scaled)
        name = "b_K" if letter == "K" else f"b_{letter}_v2"
        moved = old + np.einsum("ham,m->ha", matrix, norm["shift"])
        np.testing.assert_allclose(found[name], moved, rtol=0, atol=1e-14)
    norm, own = weights["layer[0].pre_feed_forward_norm"], weights["layer[0].feed_forward"]
    found = after["layer[0].feed_forward"].values
    for name in ("in", "gate"):
        matrix = own[f"W_{name}"]
        np.testing.assert_array_equal(found[f"W_{name}_v2"], matrix * norm["gain"])
        moved = own[f"b_{name}"] + matrix @ norm["shift"]
        np.testing.assert_allclose(found[f"b_{name}_v2"], moved, rtol=0, atol=1e-14)


def test_the_norm_is_one_without_gain_and_bias_and_blocks_stay_shared():
    before, after = folded(GPT)
    assert after["layer[0].pre_attention_norm"].circuit == lower(Norm(D, gain=False))
    assert after["norm"] is before["norm"]  # it is an output
    for block in ("attention", "feed_forward"):
        assert after[f"layer[0].{block}"].circuit is after[f"layer[1].{block}"].circuit
    assert len(after.blocks) == len(before.blocks) + 1  # the last norm, apart from the others
    saved = before.counts().neurons - after.counts().neurons
    assert str(saved) == f"{4 * D}*n"  # the cells that add the bias, of four norms


def test_numbers_are_multiplied_in_float64_and_keep_their_type():
    before, after = folded(GPT, dtype=np.float32)
    norm, old = (before[f"layer[0].{path}"].values for path in ("pre_feed_forward_norm", FORWARD))
    gain, shift, matrix = (a.astype(np.float64) for a in (norm["gain"], norm["shift"], old["W_in"]))
    new = after[f"layer[0].{FORWARD}"].values
    assert new["W_in_v2"].dtype == new["b_in"].dtype == np.float32
    np.testing.assert_array_equal(new["W_in_v2"], (matrix * gain).astype(np.float32))
    np.testing.assert_array_equal(new["b_in"], (matrix @ shift).astype(np.float32))


def test_what_is_too_large_for_its_type_stays_in_float64():
    weights = random_model(GPT, 0, np.float16)
    weights["layer[0].pre_feed_forward_norm"]["gain"][:] = 3e4
    weights[f"layer[0].{FORWARD}"]["W_in"][:] = 3
    values = FoldNorm().run(lower_model(GPT, weights))[f"layer[0].{FORWARD}"].values
    assert (values["W_in_v2"] == 9e4).all() and values["W_in_v2"].dtype == np.float64


def test_the_scale_of_a_readout_weighs_the_bias_too():
    """`logits = tanh(scale · W (g z + b) / c)`, an own matrix behind a dense block."""
    logits = Dense(D, 8, scale=0.5, soft_cap=3.0)
    spec = replace(GPT, readout=Readout(logits, Dense(D, D, "tanh"), norm=NORM))
    before, after = folded(spec)
    assert "readout_norm" not in FoldNorm().left_alone(before)
    matrix, norm = before["readout"].values["W"], before["readout_norm"].values
    np.testing.assert_allclose(after["readout"].values["b"], matrix @ norm["shift"], atol=1e-14)
    assert relative_difference(before.flatten(), after.flatten()) < 1e-14


# ---- what is left alone ------------------------------------------------------------------------

AFTER = Layer((step(FeedForward(D, 7), inner={"after": NORM}),))

LEFT = {
    "its output is the stream": (BERT, "layer[0].attention_norm", "feed_forward_residual.carry"),
    "it is an output": (GPT, "norm", "it is the output 'states'"),
    "its block's output is added (Gemma 2)": (
        ModelSpec(Stack(D, (AFTER,))),
        "layer[0].post_feed_forward_norm",
        "layer[0].feed_forward_residual.carry hears it without weights",
    ),
    "the matrix is the table": (
        replace(GPT, readout=Readout(Dense(D, D), norm=NORM, tied=True)),
        "readout_norm",
        "readout shares its weights with embedding, W_token",
    ),
    "another norm hears it": (
        replace(GPT, stack=replace(GPT.stack, embedding_norm=NORM)),
        "embedding_norm",
        "hears it without weights",
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_it_is_left_alone_and_told(case):
    spec, path, reason = LEFT[case]
    before, after = folded(spec)
    assert reason in FoldNorm().left_alone(before)[path]
    assert after[path] is before[path]


def test_one_reader_of_two_that_has_no_weights():
    """The residual hears the norm instead of the stream: neither reader takes the gain."""
    before, _ = folded(GPT)
    norm = "layer[0].pre_attention_norm"
    before = feed(before, "layer[0].attention_residual.x", f"{norm}.y")
    after = FoldNorm().run(before)
    assert "attention_residual.carry" in FoldNorm().left_alone(before)[norm]
    assert after["layer[0].attention"] is before["layer[0].attention"]


def test_without_numbers_nothing_is_done():
    bare = lower_model(GPT)
    assert FoldNorm().run(bare) is bare
    assert "gain has no numbers" in FoldNorm().left_alone(bare).values()


def test_attention_that_adds_its_input_itself():
    """As the paper draws it: synapses without weights from relay to relay."""
    before, _ = folded(GPT)
    path = "layer[0].attention"
    circuit = before[path].circuit
    around = Projection("around", "matrix_query", "relay", "driver")
    circuit = replace(circuit, projections=(*circuit.projections, around))
    before = with_circuit(before, path, circuit)
    assert FoldNorm().run(before)[path] is before[path]
    reason = FoldNorm().left_alone(before)["layer[0].pre_attention_norm"]
    assert reason == "layer[0].attention.relay hears it without weights"


def test_a_second_run_finds_nothing():
    for spec in (GPT, GPTJ, SEQ2SEQ):
        _, after = folded(spec)
        assert FoldNorm().run(after) is after


# ---- that nothing changes ----------------------------------------------------------------------


def kept(spec, seed):
    """The outputs stay, and every part that changed is proved."""
    before = lower_model(spec, random_model(spec, seed))
    after, steps = run_across(before, [FoldNorm()])
    if after is not before:
        assert relative_difference(before.flatten(), after.flatten()) < 1e-11
        proofs = [proof for _, proof in prove_across(steps[0])]
        assert {proof.verdict for proof in proofs} == {Known.PROVED}, proofs


@settings(max_examples=2)
@given(spec=model_specs(), seed=st.integers(0, 99))
def test_random_models_keep_their_outputs(spec, seed):
    kept(spec, seed)


@pytest.mark.full
@settings(max_examples=30)
@given(spec=model_specs(), seed=st.integers(0, 99))
def test_many_random_models_keep_their_outputs(spec, seed):
    kept(spec, seed)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "passes", [pytest.param("fold-norm", marks=pytest.mark.full), "fold-norm,default"]
)
def test_emitted_code_gives_the_same(backend, passes):
    tokens = np.array([3, 1, 4, 1, 5])
    found = []
    for chosen in (passes.removeprefix("fold-norm").strip(",") or "none", passes):
        made = compile_model(GPT, random_model(GPT, 0), passes=chosen).network
        found.append(run_network(made, {"tokens": tokens}, backend))
    for name, array in found[0].items():
        largest = np.abs(array).max()
        np.testing.assert_allclose(found[1][name], array, rtol=0, atol=1e-12 * largest)


def test_a_past_is_kept(tmp_path):
    made = compile_model(GPT, random_model(GPT, 0), passes="fold-norm,default")
    made.write(tmp_path / "gpt")
    code = runpy.run_path(str(tmp_path / "gpt" / "model.py"))
    whole = run_network(made.network, {"tokens": np.array([3, 1, 4])})["logits"]
    state, _ = code["step"](None, np.array([3, 1]), dtype=np.float64)
    _, (_, logits) = code["step"](state, np.array([4]), dtype=np.float64)
    np.testing.assert_allclose(logits[-1], whole[-1], rtol=1e-12)


# ---- where passes across wires may stand -------------------------------------------------------


def test_they_come_first_and_need_wires():
    with pytest.raises(SpecError, match="fold-norm looks across wires: it must come before"):
        compile_model(GPT, passes="default,fold-norm")
    with pytest.raises(SpecError, match="fold-norm looks across the wires of a whole model"):
        compile_attention(AttentionSpec(D, heads=2), passes="fold-norm")
    with pytest.raises(SpecError, match="fold-norm looks across the wires"):
        parse_passes("fold-norm")


class Rewiring(NetworkPass):
    """Feeds a block from elsewhere."""

    name = "rewiring"

    def run(self, network):
        return feed(network, "layer[0].attention.x", "embedding.y")


class Losing(NetworkPass):
    """Leaves out a block that is heard."""

    name = "losing"

    def run(self, network):
        return without(network, "layer[0].attention")


@pytest.mark.parametrize(
    ("kind", "words"), [(Rewiring, "is new"), (Losing, "no node|nothing gives")]
)
def test_a_pass_that_changes_more_than_nodes_is_at_fault(kind, words):
    with pytest.raises(PassError, match=rf"(?s)pass {kind.name} is at fault: .*({words})"):
        run_across(lower_model(GPT), [kind()])


def test_parts_that_changed_have_one_interface():
    before, after = folded(GPTJ)
    parts = list(changed_parts(before, after))
    assert [len(old.nodes) for old, _ in parts] == [3, 3]
    for old, new in parts:
        assert (old.inputs, old.outputs, old.wires) == (new.inputs, new.outputs, new.wires)
        assert old.inputs[0].name in ("x", "layer_0_parallel_residual_y")
    with pytest.raises(CircuitError, match=r"wire .* is new"):
        list(changed_parts(before, feed(before, "norm.x", "layer[0].parallel_residual.y")))


def test_steps_are_recorded():
    made = compile_model(GPT, random_model(GPT, 0), passes="fold-norm,default")
    (step_,) = made.across
    assert step_.name == "fold-norm" and step_.changed and step_.before is made.lowered
    assert step_.left == {"norm": "it is the output 'states'"}


# ---- readers by hand -----------------------------------------------------------------------------


def behind_a_norm(norm, tokens=("i",), weight=("o", "m"), cells=("o",), more=False, domain=()):
    """`cells = Σ W relay`, behind a norm; `more` lets the relay hear other cells, too."""
    b = CircuitBuilder("reader")
    for axis, role, size in (("i", Role.COLUMN, "n"), ("m", Role.MODEL, D), ("o", Role.FEATURE, 4)):
        b.axis(axis, role, size)
    b.input("x", ("n", D))
    b.parameter("W", tuple({"o": 4, "m": D}[axis] for axis in weight))
    driver = Compartment("driver", drive=(reads("x", "i", "m"),))
    if more:
        constant = Compartment("basal", drive=(Weight(gain=Gain(0.5)),))
        b.population("other", ("i", "m"), *SUPERFICIAL, [constant])
    b.population("source", ("i", "m"), Region.CORE, CellClass.RELAY, [driver])
    if more:
        b.project("aside", "other", "source", "driver")
    b.population("cells", (*tokens, *cells), *SUPERFICIAL, [Compartment("basal")])
    b.project("read", "source", "cells", "basal", reads("W", *weight), domain)
    b.output("y", "cells", (*tokens, *cells))
    circuit, rng = b.build(), np.random.default_rng(0)
    nodes = [
        Node(
            "norm",
            lower(norm),
            {n: rng.normal(size=D) for n in ("gain", "shift")[: 1 + norm.shift]},
        ),
        Node("reader", circuit, {"W": rng.normal(size=circuit.tensor("W").shape)}),
    ]
    wires = [("x", "norm.x"), ("norm.y", "reader.x")]
    return network("by hand", [Input("x", ("n", D))], nodes, wires, {"y": "reader.y"})


READERS = {
    "weights over features": ({}, None),
    "features transposed": ({"weight": ("m", "o")}, None),
    "weights along cells of their own": (
        {"weight": ("m",), "cells": ("m",)},
        "reader.cells hears it without weights",
    ),
    "weights of other features": ({"weight": ("o",)}, "reader.cells hears it without weights"),
    "a relay that hears more": ({"more": True}, "reader.source hears it without weights"),
    "a sum over tokens, with a bias": ({"tokens": ()}, "reader.cells sums more than its features"),
}


@pytest.mark.parametrize("case", READERS)
def test_a_reader_by_hand(case):
    options, reason = READERS[case]
    before = behind_a_norm(NORM, **options)
    assert FoldNorm().left_alone(before).get("norm") == reason
    after = FoldNorm().run(before)
    assert (after is before) == (reason is not None)
    assert relative_difference(before.flatten(), after.flatten()) < 1e-13


def test_a_sum_over_tokens_takes_a_gain():
    before = behind_a_norm(Norm(D), tokens=())
    after = FoldNorm().run(before)
    assert after is not before
    assert relative_difference(before.flatten(), after.flatten()) < 1e-13
