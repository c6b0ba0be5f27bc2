"""Every family against transformers: random weights, through the saved files, layer by layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from cortico.frontends import FAMILIES, from_transformers, layers, read_checkpoint
from cortico.ir.errors import SpecError
from tests.compiler.frontends.families.cases import CASES, PLAIN
from tests.compiler.frontends.families.models import (
    KEEP,
    TOLERANCE,
    build,
    largest_error,
    title_of,
)

HEADED = {
    "BertForMaskedLM": ("bert", "bert."),
    "RobertaForMaskedLM": ("roberta", "roberta."),
    "GPT2LMHeadModel": ("gpt2", "transformer."),
    "LlamaForCausalLM": ("llama", "model."),
    "BartForConditionalGeneration": ("bart cross", "model."),
    "MarianMTModel": ("marian decoder", "model."),
    "WhisperForConditionalGeneration": ("whisper encoder", "model."),
    "T5ForTokenClassification": ("t5 encoder", "transformer."),
    "MT5ForConditionalGeneration": ("mt5 decoder", ""),
    "MPNetForMaskedLM": ("mpnet", "mpnet."),
}


#: The plain model of each family, and of each of its parts; the options of each, `full`.
EVERY = [
    name if case in PLAIN.values() else pytest.param(name, marks=pytest.mark.full)
    for name, case in CASES.items()
]


@pytest.mark.parametrize("name", EVERY)
def test_attention_is_transformers(tmp_path, name):
    case = CASES[name]
    model = build(case)
    model.save_pretrained(tmp_path)
    assert layers(tmp_path, part=case.part) == getattr(model.config, case.layers)
    spec, _ = read_checkpoint(tmp_path, **case.asked)
    assert {key: getattr(spec, key) for key in case.expected} == case.expected
    assert_same(
        from_transformers(model, 1, **case.asked), read_checkpoint(tmp_path, 1, **case.asked)
    )
    assert largest_error(model, case, tmp_path) < TOLERANCE[1]
    assert largest_error(model.double(), case, tmp_path) < TOLERANCE[0]


def assert_same(live, saved):
    """Spec and weights of a live model are those of its folder, bit for bit."""
    assert replace(live[0], name="") == replace(saved[0], name="")
    assert live[1].keys() == saved[1].keys()
    for name, array in saved[1].items():
        assert array.dtype == live[1][name].dtype and (array == live[1][name]).all()


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.expected.get("key_padding")])
def test_padding(tmp_path, name):
    model = build(CASES[name])
    model.save_pretrained(tmp_path)
    assert largest_error(model.double(), CASES[name], tmp_path, KEEP) < TOLERANCE[0]


@pytest.mark.parametrize("name", ["bert", "gpt2", "qwen2 grouped"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_shards_and_types(tmp_path, name, dtype):
    model = build(CASES[name], dtype)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    _, weights = read_checkpoint(tmp_path, 1)
    assert weights["W_Q"].dtype == (np.float64 if dtype is torch.float64 else np.float32)
    assert_same(from_transformers(model, 1), read_checkpoint(tmp_path, 1))
    assert largest_error(model.double(), CASES[name], tmp_path) < TOLERANCE[0]


@pytest.mark.parametrize("name", HEADED)
def test_models_with_heads_of_tasks(tmp_path, name):
    kind, prefix = HEADED[name]
    case = replace(PLAIN[kind], model=name, prefix=prefix)
    assert prefix in ("", getattr(transformers, name).base_model_prefix + ".")
    model = build(case)
    model.save_pretrained(tmp_path)
    assert_same(
        from_transformers(model, 1, **case.asked), read_checkpoint(tmp_path, 1, **case.asked)
    )
    assert largest_error(model.double(), case, tmp_path) < TOLERANCE[0]


def test_the_towers_of_clip(tmp_path):
    whole = transformers.CLIPConfig(
        text_config=PLAIN["clip_text_model"].options,
        vision_config=PLAIN["clip_vision_model"].options,
    )
    model = transformers.CLIPModel(whole).eval().double()
    model.save_pretrained(tmp_path)
    for part in ("text", "vision"):
        case = PLAIN[f"clip_{part}_model"]
        tower = getattr(model, f"{part}_model")
        assert_same(from_transformers(model, 1, part), read_checkpoint(tmp_path, 1, part=part))
        found = largest_error(tower, case, tmp_path, part=part)
        assert found < TOLERANCE[0] and layers(tmp_path, part=part) == 2
    with pytest.raises(SpecError, match=r"several attentions: give part 'text' or 'vision'$"):
        read_checkpoint(tmp_path)


def test_every_model_type_is_tested():
    assert PLAIN.keys() == {title_of(name, f.part) for f in FAMILIES for name in f.model_types}


def test_matrices_are_views_of_the_file(tmp_path):
    build(CASES["gpt2"]).save_pretrained(tmp_path)
    _, weights = read_checkpoint(tmp_path, 1)
    assert not any(array.flags.owndata for array in weights.values())
