"""A position bias by distance: the row of every distance, long inputs, and what is refused."""

import itertools

import numpy as np
import pytest
import torch
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder
from transformers.models.t5.modeling_t5 import T5Attention

from cortico import compile_attention, get_runner, read_checkpoint
from cortico.frontends import layers
from cortico.frontends.distances import Distances
from cortico.ir.errors import SpecError
from cortico.ir.limits import TABLE_NUMBERS
from tests.compiler.frontends.families.cases import CASES
from tests.compiler.frontends.families.models import N, build, largest_error, save_config
from tests.oracle import textbook_attention

FAR = np.arange(-5000, 5001)


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("buckets", [4, 5, 7, 8, 16, 31, 32, 33, 64, 128, 320])
def test_rows_are_those_of_t5(buckets, both):
    for farthest in (101, 128, 131, 256, 801, 1001, 4096):
        if farthest > (buckets // 4 if both else buckets // 2):
            assert_rows_of_t5(both, buckets, farthest)


def assert_rows_of_t5(both, buckets, farthest):
    found = Distances("x", buckets, farthest, both).rows(FAR)
    bucket_of = T5Attention._relative_position_bucket
    expected = bucket_of(torch.tensor(FAR), both, buckets, farthest)
    np.testing.assert_array_equal(found, expected.numpy())
    assert found.min() >= 0 and found.max() < buckets


#: Buckets and farthest distances, one sided, where PyTorch's logarithm decides; in the first half it
#: is not the float32 nearest to the logarithm.
UNSURE = [(19, 25), (36, 50), (51, 81), (54, 125), (19, 196), (31, 532), (46, 164), (51, 49)]


@pytest.mark.parametrize(("buckets", "farthest"), UNSURE)
def test_rows_that_hang_on_a_last_digit_are_refused(buckets, farthest):
    table = Distances("x", buckets, farthest, both=False)
    with pytest.raises(SpecError, match=r"the row of distance \d+ hangs on the last digit"):
        table.rows(FAR)
    table.rows(np.arange(-buckets // 2, 9))  # nearer, all rows are sure


def test_few_are_refused():
    """Of all tables, and none of them wrong."""
    refused = 0
    for buckets, farthest in itertools.product(range(4, 70, 5), range(40, 400, 13)):
        try:
            assert_rows_of_t5(False, buckets, farthest)
        except SpecError:
            refused += 1
    assert 0 < refused < 40


def test_rows_are_those_of_mpnet():
    expected = MPNetEncoder.relative_position_bucket(torch.tensor(FAR)).numpy()
    np.testing.assert_array_equal(Distances("x", 32, 128, both=True).rows(FAR), expected)


@pytest.mark.parametrize("name", ["t5 encoder", "t5 decoder"])
def test_long_inputs(tmp_path, name):
    """T5's own buckets, 32 up to 128 tokens away, for 300 tokens."""
    case, n = CASES[name], 300
    model = build(
        case, relative_attention_num_buckets=32, relative_attention_max_distance=128
    ).double()
    model.save_pretrained(tmp_path)
    stack = getattr(model, case.part)
    _, weights = read_checkpoint(tmp_path, 1, part=case.part, tokens=n)
    expected = stack.block[0].layer[0].SelfAttention.compute_bias(n, n)[0].detach().numpy()
    np.testing.assert_array_equal(weights["position_bias"], expected)
    assert np.shares_memory(weights["position_bias"][:, 0], weights["position_bias"][:, 1])


@pytest.mark.parametrize("name", ["t5 decoder", "mpnet"])
def test_the_circuit(tmp_path, name):
    """From the file to the circuit that runs."""
    case = CASES[name]
    build(case).double().save_pretrained(tmp_path)
    spec, weights = read_checkpoint(tmp_path, 1, **case.asked | {"tokens": N})
    circuit = compile_attention(spec, weights).circuit
    x = np.random.default_rng(0).standard_normal((N, 24))
    inputs = {"x": x} | ({"keep": np.ones(N)} if spec.key_padding else {})
    found = get_runner("numpy").run(circuit, inputs)["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9)


def test_a_number_of_tokens_is_asked_for(tmp_path):
    build(CASES["t5 encoder"]).save_pretrained(tmp_path)
    with pytest.raises(SpecError, match=r"by distance, .* give tokens=N, --tokens N$"):
        read_checkpoint(tmp_path, part="encoder")
    assert read_checkpoint(tmp_path, part="cross")[0].tokens == "n"
    assert read_checkpoint(tmp_path, part="cross", tokens=3)[0].tokens == 3
    for wrong in (0, True, "n", 2.0):
        with pytest.raises(SpecError, match="tokens"):
            read_checkpoint(tmp_path, part="encoder", tokens=wrong)
    most = int((TABLE_NUMBERS / 4) ** 0.5)
    with pytest.raises(SpecError, match=r"4 heads and 8,193 tokens has more than 268,435,456"):
        read_checkpoint(tmp_path, part="encoder", tokens=most + 1)


REFUSED = {
    "few buckets": ("relative_attention_num_buckets", 3, "four or more, found 3"),
    "near": ("relative_attention_max_distance", 2, "more than 2, for 8 buckets, found 2"),
    "no number": ("relative_attention_max_distance", "x", "must be a positive integer"),
    "other buckets": ("relative_attention_num_buckets", 9, "has shape (8, 4), expected (9, 4)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_are_refused(tmp_path, name):
    key, value, message = REFUSED[name]
    model = build(CASES["t5 encoder"])
    model.save_pretrained(tmp_path)
    save_config(tmp_path, model, **{key: value})
    with pytest.raises(SpecError) as caught:
        read_checkpoint(tmp_path, part="encoder", tokens=N)
    assert message in str(caught.value)


def test_buckets_of_mpnet_are_fixed(tmp_path):
    build(CASES["mpnet"], relative_attention_num_buckets=40).save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="relative_attention_num_buckets = 40: only 32 is"):
        layers(tmp_path)


def test_layers_of_a_decoder_that_are_not_said(tmp_path):
    model = build(CASES["t5 as deep decoder"])
    model.save_pretrained(tmp_path)
    for value in (None, 1):
        save_config(tmp_path, model, num_decoder_layers=value)
        assert layers(tmp_path, part="decoder") == (value or 2)


def test_a_table_of_cross_attention_is_left_out_as_in_transformers(tmp_path):
    """Old files have one; transformers does not read it."""
    case = CASES["t5 cross"]
    model = build(case)
    attention = model.decoder.block[0].layer[1].EncDecAttention
    attention.relative_attention_bias = torch.nn.Embedding(8, 4)
    model.save_pretrained(tmp_path)
    assert largest_error(model.double(), case, tmp_path) < 1e-12
