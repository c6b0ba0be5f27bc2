"""prune-across: what goes through wires, what stays, and that nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.backends import run_network
from cortico.ir.network import check_network
from cortico.lowering import lower_model
from cortico.model_pipeline import compile_model
from cortico.passes import relative_difference, run_across
from cortico.passes.prune_across import PruneAcross
from cortico.spec import (
    AttentionSpec,
    Embedding,
    FeedForward,
    Layer,
    ModelSpec,
    Norm,
    NormKind,
    Stack,
)
from cortico.spec.model_weights import random_model
from cortico.verify.composition.across import prove_across
from cortico.verify.known import Known
from tests.model_strategies import model_specs
from tests.verify.models.networks import BERT, GPT, SEQ2SEQ, D, step


def pruned(spec, weights):
    """The network after, each step of which is proved, and which gives the same."""
    before = lower_model(spec, weights)
    after, steps = run_across(before, [PruneAcross()])
    check_network(after)
    for taken in (s for s in steps if s.changed):
        proofs = [proof for _, proof in prove_across(taken)]
        assert {proof.verdict for proof in proofs} == {Known.PROVED}, proofs
    if after is not before:
        assert relative_difference(before.flatten(), after.flatten()) < 1e-12
    assert PruneAcross().run(after) is after
    return before, after


def gone(before, after):
    return {n.path for n in before.nodes} - {n.path for n in after.nodes}


def widths(network, within=""):
    """The sizes that inputs `x` of blocks have."""
    inputs = ((n.path, t) for n in network.nodes for t in n.circuit.inputs)
    return {t.shape[-1] for path, t in inputs if t.name == "x" and path.startswith(within)}


# ---- blocks ------------------------------------------------------------------------------------


def test_nothing_is_dead_in_random_models():
    for spec in (GPT, BERT):
        before, after = pruned(spec, random_model(spec, 0))
        assert after is before


def test_attention_whose_heads_write_nothing_goes_with_its_norm():
    weights = random_model(GPT, 0)
    weights["layer[1].attention"]["W_O"][:] = 0
    before, after = pruned(GPT, weights)
    assert gone(before, after) == {"layer[1].attention", "layer[1].pre_attention_norm"}
    residual = after["layer[1].attention_residual"].circuit
    assert [tensor.name for tensor in residual.inputs] == ["x"]
    assert after["layer[0].attention"] == before["layer[0].attention"]


def test_values_that_are_zero_silence_attention_too():
    weights = random_model(GPT, 0)
    weights["layer[0].attention"]["W_V"][:] = 0
    before, after = pruned(GPT, weights)
    assert gone(before, after) == {"layer[0].attention", "layer[0].pre_attention_norm"}


def test_a_bias_is_no_silence():
    weights = random_model(BERT, 0)
    weights["layer[0].attention"]["W_O"][:] = 0
    assert weights["layer[0].attention"]["b_O"].any()
    before, after = pruned(BERT, weights)
    assert not gone(before, after)


@pytest.mark.full
def test_an_encoder_that_nobody_hears_goes_whole():
    weights = random_model(SEQ2SEQ, 0)
    for k in range(2):
        weights[f"decoder.layer[{k}].cross_attention"]["W_O"][:] = 0
    before, after = pruned(SEQ2SEQ, weights)
    encoder = {n.path for n in before.nodes if n.path.startswith("encoder.")}
    crossing = {f"decoder.layer[{k}].cross_attention" for k in range(2)}
    assert gone(before, after) == encoder | crossing
    assert after.inputs == before.inputs  # the model is used as before
    given_ = {"tokens": np.arange(5), "decoder_tokens": np.arange(5)}
    made = compile_model(SEQ2SEQ, weights, passes="prune-across,default").network
    for name, array in run_network(made, given_).items():
        expected = run_network(before, given_)[name]
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# ---- features of a stream ----------------------------------------------------------------------


def with_norms(spec, kind):
    """The encoder-decoder with other norms in its encoder; none for None."""

    def other(norm):
        return None if norm is None or kind is None else Norm(D, kind, tokens=norm.tokens)

    def steps(layer):
        return tuple(replace(each, norm=other(each.norm)) for each in layer.steps)

    encoder = spec.encoder
    layers = tuple(replace(layer, steps=steps(layer)) for layer in encoder.layers)
    return replace(spec, encoder=replace(encoder, layers=layers, norm=other(encoder.norm)))


def silenced(weights, *features):
    """Nothing of the encoder writes these features."""
    for path, own in weights.items():
        for name, axis in (("W_token", 1), ("W_O", 1), ("W_out", 0)):
            if path.startswith("encoder.") and name in own:
                np.moveaxis(own[name], axis, 0)[list(features)] = 0
    return weights


def test_a_silent_feature_goes_from_every_block_of_the_stream():
    spec = with_norms(SEQ2SEQ, NormKind.RMS)
    before, after = pruned(spec, silenced(random_model(spec, 0), 1, 4))
    assert widths(before, "encoder") == {D} and widths(after, "encoder") == {D - 2}
    assert widths(after, "decoder") == {D}
    old, new = (n["encoder.layer[1].feed_forward"].values for n in (before, after))
    np.testing.assert_array_equal(new["W_in_v2"], old["W_in"][:, [0, 2, 3, 5]])
    np.testing.assert_array_equal(new["W_out_v2"], old["W_out"][[0, 2, 3, 5]])
    context = after["decoder.layer[0].cross_attention"]
    assert context.values["W_K_v2"].shape == (2, 3, D - 2)
    assert (
        after["encoder.layer[0].attention"].circuit is after["encoder.layer[1].attention"].circuit
    )


def test_a_feature_that_a_mean_is_subtracted_from_stays():
    before, after = pruned(SEQ2SEQ, silenced(random_model(SEQ2SEQ, 0), 1))
    assert after is before


def test_a_feature_that_something_writes_stays():
    spec = with_norms(SEQ2SEQ, NormKind.RMS)
    weights = silenced(random_model(spec, 0), 1)
    weights["encoder.layer[0].feed_forward"]["W_out"][1, 3] = 1e-9
    before, after = pruned(spec, weights)
    assert after is before


def unheard(weights, feature):
    """Nobody hears this feature of the encoder."""
    for path, own in weights.items():
        crossing = path.endswith("cross_attention")
        for name in ("W_K", "W_V", *["W_Q", "W_in"] * (not crossing)):
            if (path.startswith("encoder.") or crossing) and name in own:
                own[name][..., feature] = 0
    return weights


def test_a_feature_that_nobody_hears_goes():
    spec = with_norms(SEQ2SEQ, None)
    before, after = pruned(spec, unheard(random_model(spec, 0), 2))
    assert widths(before, "encoder") == {D} and widths(after, "encoder") == {D - 1}


def test_a_norm_hears_every_feature():
    spec = with_norms(SEQ2SEQ, NormKind.RMS)
    before, after = pruned(spec, unheard(random_model(spec, 0), 2))
    assert after is before


def test_a_stream_that_is_an_output_keeps_its_width():
    """It is as silent as that of the encoder above, but the model gives its states."""
    norm = Norm(D, NormKind.RMS)
    steps = (
        step(AttentionSpec(D, heads=2), inner={"before": norm}),
        step(FeedForward(D, 7), inner={"before": norm}),
    )
    spec = ModelSpec(Stack(D, (Layer(steps),), Embedding(8, D), norm=norm))
    weights = random_model(spec, 0)
    weights["embedding"]["W_token"][:, 2] = 0
    weights["layer[0].attention"]["W_O"][:, 2] = weights["layer[0].feed_forward"]["W_out"][2] = 0
    before, after = pruned(spec, weights)
    assert after is before


def test_a_stream_with_a_table_of_positions_keeps_its_width():
    spec = with_norms(SEQ2SEQ, NormKind.RMS)
    encoder = replace(spec.encoder, embedding=replace(spec.encoder.embedding, positions=9))
    spec = replace(spec, encoder=encoder)
    weights = silenced(random_model(spec, 0), 1)
    weights["encoder.embedding"]["W_position"][:, 1] = 0
    before, after = pruned(spec, weights)
    assert after is before


# ---- random models -----------------------------------------------------------------------------


def planted(spec, seed):
    """Random weights of which some are all zero, or zero along one side."""
    rng, weights = np.random.default_rng(seed), random_model(spec, seed)
    for own in weights.values():
        for array in own.values():
            if rng.random() < 0.3:
                array[:] = 0
            elif rng.random() < 0.3:
                array[..., 0] = 0
    return weights


@settings(max_examples=2)
@given(spec=model_specs(), seed=st.integers(0, 99))
def test_random_models_keep_their_outputs(spec, seed):
    pruned(spec, planted(spec, seed))


@pytest.mark.full
@settings(max_examples=30)
@given(spec=model_specs(), seed=st.integers(0, 99))
def test_many_random_models_keep_their_outputs(spec, seed):
    pruned(spec, planted(spec, seed))
