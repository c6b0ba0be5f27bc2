"""Whole models against transformers: random weights, through the saved files, in float64."""

import numpy as np
import pytest
import torch
import transformers

from cortico.backends import run_network
from cortico.frontends.whole_models import read_model
from cortico.lowering.model import lower_model
from cortico.spec import Pool
from tests.compiler.frontends.families.models import exact_positions, no_rounding, relative
from tests.compiler.frontends.whole.cases import (
    CASES,
    KEEP,
    PLAIN,
    TOKENS,
    N,
    with_frequencies,
)
from tests.model_oracle import forward


def outputs_of(model, keep=None, **arguments):
    """What transformers makes of one text, by our names of outputs."""
    mask = {} if keep is None else {"attention_mask": torch.tensor(keep)[None].long()}
    with torch.no_grad(), no_rounding():
        found = model(
            **(arguments or {"input_ids": torch.tensor(TOKENS)[None]}),
            **mask,
            output_hidden_states=True,
            return_dict=True,
        )
    names = {
        "states": ("last_hidden_state",),
        "logits": ("logits", "prediction_logits"),
        "sentence": ("pooler_output",),
    }
    given = {
        name: getattr(found, key, None)
        for name, keys in names.items()
        for key in keys
        if getattr(found, key, None) is not None
    }
    if model.config.model_type == "clip_text_model":
        del given[
            "sentence"
        ]  # the state of the first token that ends a text, which no circuit looks for
    return {name: tensor[0].double().numpy() for name, tensor in given.items()}


def save(case, folder):
    """The model as `save_pretrained` writes it, and then in float64."""
    model = case.build()
    model.save_pretrained(folder)
    return model.double()


def largest_error(case, folder, keep=None):
    """Over all outputs that transformers gives, of what is read from `folder`."""
    model = save(case, folder)
    spec, weights = read_model(folder, **case.read)
    exact_positions(model, case.turning)
    found = forward(spec, with_frequencies(model, weights), keep=keep, **case.inputs)
    expected = outputs_of(model, keep, **case.arguments)
    assert expected.keys() == found.keys() - ({"states"} if "logits" in expected else set())
    return max(error_of(name, found[name], y, keep) for name, y in expected.items())


def error_of(name, found, expected, keep):
    """Of tokens, those count that exist."""
    seen = slice(None) if keep is None or name == "sentence" else keep
    return relative(found.reshape(expected.shape)[seen], expected[seen])


#: The first case of each type of model; the others, `full`.
EVERY = [
    name if case in PLAIN.values() else pytest.param(name, marks=pytest.mark.full)
    for name, case in CASES.items()
]


@pytest.mark.parametrize("name", EVERY)
def test_a_model_is_transformers(tmp_path, name):
    assert largest_error(CASES[name], tmp_path) < CASES[name].tolerance
    assert_circuit_computes_it(*read_model(tmp_path, **CASES[name].read), CASES[name].inputs)


def assert_circuit_computes_it(spec, weights, inputs):
    """The lowered network gives what the oracle says of the same spec."""
    weights = {path: {k: v.astype(float) for k, v in own.items()} for path, own in weights.items()}
    network = lower_model(spec, weights)
    expected = forward(spec, weights, keep=KEEP, **inputs)
    given = {**inputs, "types": np.zeros(N, int), "keep": KEEP.astype(float)}
    given |= {"decoder_tokens": inputs.get("decoder")}
    found = run_network(network, {i.name: given[i.name] for i in network.inputs})
    for name, y in expected.items():
        np.testing.assert_allclose(found[name], y, rtol=0, atol=1e-12 * abs(y).max())


@pytest.mark.parametrize("name", ["albert masked", "bert masked", "gpt2 language"])
def test_parameters_that_blocks_share_are_counted_once(tmp_path, name):
    """Levels of one group in ALBERT, and the table of tokens that is the readout's."""
    model = save(CASES[name], tmp_path)
    network = lower_model(*read_model(tmp_path, **CASES[name].read))
    assert network.counts().parameters == model.num_parameters()


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_padding(tmp_path, name):
    assert largest_error(CASES[name], tmp_path, KEEP) < CASES[name].tolerance


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_how_gemma_scales_tokens(tmp_path, dtype):
    """By √model, as transformers rounds it: to the type of the weights in the file."""
    CASES["gemma"].build().to(dtype).save_pretrained(tmp_path)
    table = transformers.AutoModel.from_pretrained(tmp_path).get_input_embeddings()
    assert table.weight.dtype is dtype
    scale = read_model(tmp_path)[0].stack.embedding.scale
    assert scale == float(table.embed_scale.to(dtype)) != 24**0.5


def test_the_pooler_is_read_where_it_is(tmp_path):
    CASES["bert"].build().save_pretrained(tmp_path)
    spec, weights = read_model(tmp_path)
    assert spec.sentence.pooling.pool is Pool.FIRST and spec.sentence.dense.transfer == "tanh"
    assert weights["pooler"]["W"].shape == (16, 16)
