"""What a live model can do that a file cannot, what a call may ask for: refused by name, in one line."""

import sys

import numpy as np
import pytest
import torch
import transformers

from cortico import SpecError, UnsupportedError, from_transformers, replace_attention
from tests.compiler.frontends.families.cases import CASES
from tests.compiler.frontends.families.models import build, inputs_of
from tests.live.models import writer, written


class OwnForward(transformers.LlamaModel):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


class OnlyNamed(transformers.LlamaModel):
    pass


class OwnAttention(transformers.models.llama.modeling_llama.LlamaAttention):
    pass


class Quantised(torch.Tensor):
    pass


def own_model(model):
    model.__class__ = OwnForward


def patched_model(model):
    model.forward = lambda *_, **__: None


def own_attention(model):
    model.layers[0].self_attn.__class__ = OwnAttention


def other_attention(model):
    other = transformers.models.mistral.modeling_mistral.MistralAttention
    model.layers[0].self_attn.__class__ = other


def patched(model):
    model.layers[0].self_attn.forward = lambda *_, **__: None


def hooked(model):
    model.layers[0].self_attn.register_forward_hook(lambda *_: None)


def hooked_inside(model):
    model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda *_: None)


def adapted(model):
    class LoraLayer(torch.nn.Linear):
        __module__ = "peft.tuners.lora.layer"

    model.layers[0].self_attn.q_proj.__class__ = LoraLayer


def parametrised(model):
    torch.nn.utils.parametrizations.weight_norm(model.layers[0].self_attn.q_proj)


def quantised(model):
    weight = model.layers[0].self_attn.q_proj
    weight.weight = torch.nn.Parameter(weight.weight.to(torch.int8), requires_grad=False)


def subclassed_tensor(model):
    weight = model.layers[0].self_attn.q_proj
    weight.weight = torch.nn.Parameter(weight.weight.data.as_subclass(Quantised))


def nowhere(model):
    model.layers[0].self_attn.to("meta")


def rescaled(model):
    model.layers[0].self_attn.scaling = 1.0


def renumbered(model):
    model.layers = model.layers[::-1]


def widened(model):
    model.layers[0].self_attn.sliding_window = 7


def rounded(model):
    model.to(torch.bfloat16)


def wrong_config(model):
    model.config.rope_interleaved = True


CHANGES = {
    own_model: "OwnForward has a forward of its own",
    patched_model: "LlamaModel has a forward of its own",
    own_attention: "self_attn: is a OwnAttention of tests.live.test_refusals, expected transformers' own",
    other_attention: "self_attn: is a MistralAttention of transformers.models.mistral",
    patched: "layers.0.self_attn: has a forward of its own",
    hooked: r"layers.0.self_attn: has hooks \(_forward_hooks\)",
    hooked_inside: r"layers.0.self_attn.q_proj: has hooks \(_forward_pre_hooks\)",
    adapted: "self_attn.q_proj: is a LoraLayer of peft.tuners.lora.layer, expected transformers' own",
    parametrised: "q_proj: is a ParametrizedLinear of torch.nn.utils.parametrize",
    quantised: "'layers.0.self_attn.q_proj.weight' has type int8, expected one of F64",
    subclassed_tensor: "q_proj.weight is a Quantised, expected a plain tensor",
    nowhere: "on the meta device: it has shapes and no weights",
    rescaled: r"layers.0.self_attn.scaling = 1.0, by its config 0.408",
    renumbered: "layers.0.self_attn.layer_idx = 1, by its config 0",
    widened: "layers.0.self_attn.sliding_window = 7, by its config None",
    rounded: r"frequencies of its rotary embedding \(inv_freq, torch.bfloat16\) are not those",
    wrong_config: "rope_interleaved = True: only False is supported",
}


@pytest.mark.parametrize("call", [from_transformers, replace_attention])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_models(change, call):
    model = build(CASES["llama"])
    change(model)
    before = list(model.named_modules())
    with pytest.raises(SpecError, match=CHANGES[change]):
        call(model)
    assert list(model.named_modules()) == before


@pytest.mark.parametrize("call", [from_transformers, replace_attention])
def test_a_class_of_another_name_is_no_change(call):
    model = build(CASES["llama"])
    model.__class__ = OnlyNamed
    assert call(model)


@pytest.mark.parametrize("call", [from_transformers, replace_attention])
def test_what_is_no_model(call):
    for thing in (torch.nn.Linear(2, 2), "model", None):
        with pytest.raises(
            SpecError, match=f"expected a model of transformers, found {type(thing).__name__}"
        ):
            call(thing)
    adapted = torch.nn.Linear(2, 2)
    adapted.peft_config = {}
    with pytest.raises(
        SpecError, match=r"found Linear; merge_and_unload\(\) of peft gives the model"
    ):
        call(adapted)


@pytest.mark.parametrize("call", [from_transformers, replace_attention])
def test_without_the_library(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        UnsupportedError, match=r"^a live model needs transformers: pip install 'cortico\[tr"
    ):
        call(torch.nn.Linear(2, 2))


def test_options_are_those_of_a_folder():
    model = build(CASES["llama"])
    spec, weights = from_transformers(model, 1)
    assert spec.name == "LlamaModel layer 1"
    held = model.layers[1].self_attn.q_proj.weight.detach().numpy()
    assert np.shares_memory(weights["W_Q"], held)
    for options, words in {
        ("layer", 2): "layer 2 of 'LlamaModel' does not exist, layers: 0 … 1",
        ("layer", -1): "layer -1 of 'LlamaModel' does not exist",
        ("part", "cross"): "a model of type 'llama' has no parts, found part 'cross'",
        ("cross", True): "LlamaModel says cross = False, found cross = True",
        ("ignore", ("nothing",)): "'LlamaModel' has no key or adapter 'nothing' to ignore",
    }.items():
        with pytest.raises(SpecError, match=words):
            from_transformers(model, **dict([options]))
    model.config.rope_interleaved = True
    assert from_transformers(model, ignore=["rope_interleaved"])[0].rotary
    with pytest.raises(SpecError, match="several attentions: give part 'encoder'"):
        from_transformers(build(CASES["t5 decoder"]))
    with pytest.raises(SpecError, match="give tokens=N"):
        from_transformers(build(CASES["t5 decoder"]), part="decoder")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "albert",
            "attention of ALBERT is not replaced: its module of attention adds the residual",
        ),
        (
            "bloom",
            "attention of Bloom is not replaced: its position bias depends on where the padding",
        ),
        ("t5 cross", "attention of T5 is not replaced: its position bias by distance is a table"),
        ("mt5 cross", "attention of mT5 is not replaced"),
        ("mpnet", "attention of MPNet is not replaced"),
        ("gpt-neo", "its modules hide tokens themselves"),
        ("mpt", "its position bias is of another length"),
        ("modernbert", "does not tell its attention the positions of tokens"),
        ("gemma2", "cannot go on from earlier tokens: it has 0 softmax attentions that a kernel"),
    ],
)
def test_families_that_are_not_replaced(name, words):
    model = build(CASES[name])
    before = list(model.named_modules())
    with pytest.raises(UnsupportedError, match=words):
        replace_attention(model)
    assert list(model.named_modules()) == before


def test_attention_that_the_config_does_not_speak_of():
    config = CASES["bert decoder"].config(add_cross_attention=True)
    with pytest.raises(
        SpecError, match=r"attention at 'encoder.layer.0.crossattention', a BertAttention"
    ):
        replace_attention(transformers.BertModel(config))


def test_other_ways_and_backends():
    model = build(CASES["llama"])
    with pytest.raises(UnsupportedError, match="backend must be 'torch', found 'numpy'"):
        replace_attention(model, backend="numpy")
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(
        UnsupportedError, match="LlamaModel attends by 'flex_attention', expected 'sdpa'"
    ):
        replace_attention(model)


# ---- calls -------------------------------------------------------------------------------------------


def called(model, **given):
    with torch.no_grad():
        return model(**{"input_ids": torch.arange(3, 12)[None]} | given)


def bias():
    return torch.zeros(1, 1, 9, 9).masked_fill(~torch.ones(9, 9).tril().bool(), -torch.inf) - 0.5


CALLS = {
    "a bias": (
        lambda m: called(m, attention_mask=bias()),
        "adds other numbers than 0 and the least",
    ),
    "the future": (
        lambda m: called(m, attention_mask=torch.ones(1, 1, 9, 9).bool()),
        "attention_mask shows tokens that the circuit does not connect, whose mask is 'causal'",
    ),
    "other rows": (
        lambda m: called(m, attention_mask=torch.ones(1, 1, 3, 9).bool()),
        r"attention_mask has shape \(1, 1, 3, 9\), expected \(batch, 1 or 4, 9, source tokens\)",
    ),
    "other columns": (
        lambda m: called(m, attention_mask=torch.ones(9, 12).tril().bool()[None, None]),
        "attention_mask is of 12 source tokens, found 9",
    ),
    "one column": (
        lambda m: called(m, attention_mask=torch.zeros(1, 1, 9, 1).bool(), use_cache=False),
        "attention_mask is of 1 source tokens, found 9",
    ),
    "no tensor": (
        lambda m: m.model.layers[0].self_attn(
            torch.zeros(1, 2, 24), position_ids=torch.arange(2)[None], attention_mask="all"
        ),
        "attention_mask is a str, expected a tensor",
    ),
    "other positions": (
        lambda m: m.model.layers[0].self_attn(
            torch.zeros(2, 3, 24), position_ids=torch.arange(3).expand(5, 3)
        ),
        r"position_ids of shape \(5, 3\), expected \(2, 3\)",
    ),
    "attentions": (lambda m: called(m, output_attentions=True), "asked for output_attentions"),
    "a static cache": (
        lambda m: written(m, cache_implementation="static"),
        "the cache is a StaticCache of StaticLayer|the cache is a StaticCache",
    ),
    "training": (lambda m: called(m.train()), "emitted code is not trained"),
    "both sides": (
        lambda m: called(m, is_causal=False),
        "attention is given 'is_causal', which emitted code does not take",
    ),
    "packed": (
        lambda m: called(m, cu_seq_lens_q=torch.tensor([0, 9])),
        "attention is given 'cu_seq_lens_q', which emitted code does not take",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, words = CALLS[name]
    model = writer("llama grouped")
    with replace_attention(model), pytest.raises((SpecError, UnsupportedError), match=words):
        call(model)


def test_attentions_that_the_config_asks_for():
    model = writer("llama grouped", "eager")
    model.config.output_attentions = True
    with replace_attention(model), pytest.raises(UnsupportedError, match="output_attentions"):
        called(model)
    assert called(model).attentions


def test_a_mask_wider_than_the_window():
    model = writer("mistral window")
    live = (
        torch.ones(9, 9).tril().triu(-3).bool()[None, None]
    )  # of four tokens, where three are seen
    with (
        replace_attention(model),
        pytest.raises(SpecError, match="whose mask is 'window' of 3 tokens"),
    ):
        called(model, attention_mask=live)


def test_a_mask_that_only_some_layers_take():
    """Layer 0 sees all before, layer 1 has a window: what was understood for one is not for the other."""
    model = writer("qwen2 late window")
    live = torch.ones(9, 9).tril().bool()[None, None]
    with (
        replace_attention(model),
        pytest.raises(SpecError, match=r"layer 1: attention_mask shows tok"),
    ):
        called(model, attention_mask=live)


def test_the_module_called_by_itself():
    model = build(CASES["llama"])
    hidden = torch.zeros(1, 3, 24)
    with replace_attention(model):
        attention = model.layers[0].self_attn
        with pytest.raises(SpecError, match=r"position_ids of shape None, expected \(1, 3\)"):
            attention(hidden)
        model.config._attn_implementation = "eager"
        with pytest.raises(SpecError, match="without which eager attention is not causal"):
            attention(hidden, position_ids=torch.arange(3)[None])
    cross = build(CASES["bart cross"])
    with replace_attention(cross):
        with pytest.raises(SpecError, match="cross attention without key_value_states"):
            cross.decoder.layers[0].encoder_attn(hidden)
        with pytest.raises(UnsupportedError, match="is given 'key_value_states'"):
            cross.decoder.layers[0].self_attn(hidden, key_value_states=hidden)
        with pytest.raises(
            UnsupportedError, match="with a DynamicCache, expected an EncoderDecoderCache"
        ):
            cross.decoder.layers[0].encoder_attn(
                hidden, key_value_states=hidden, past_key_values=transformers.DynamicCache()
            )


def test_inference_mode():
    model = build(CASES["llama"])
    with torch.inference_mode():
        expected = model(**inputs_of(model))[0]
        with replace_attention(model):
            torch.testing.assert_close(model(**inputs_of(model))[0], expected, rtol=1e-5, atol=1e-5)
