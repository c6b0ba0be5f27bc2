"""Every family against transformers: random weights, float64, through the saved files.

The whole model runs with its own masks and position embeddings; hooks catch what goes into one
attention block and what comes out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from cortico.frontends import FAMILIES, layers, read_checkpoint
from cortico.spec import Mask
from cortico.spec.weights import rotary_frequencies
from tests.oracle import textbook_attention

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

N, LAYER = 9, 1
KEEP = np.array([True, True, False, True, True, False, True, False, False])
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 8,
    "vocab_size": 20,
}
GPT = {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 20}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


@dataclass(frozen=True)
class Case:
    """A transformers model, and where its attention block begins and ends."""

    model: str
    config: str
    options: dict[str, Any]
    block: str
    end: str
    expected: dict[str, Any]


def case(model, config, options, block, end="", **expected):
    return Case(model, config, options, block, end or block, expected)


def encoder(name, **options):
    place = "encoder.layer.1.attention"
    causal = options.get("is_decoder", False)
    expected = {"mask": Mask.CAUSAL if causal else Mask.NONE, "key_padding": not causal}
    return case(
        f"{name}Model",
        f"{name}Config",
        SIZES | options,
        f"{place}.self",
        f"{place}.output.dense",
        **expected,
    )


def gpt2(model="GPT2Model", **options):
    block = "transformer.h.1.attn" if "LM" in model else "h.1.attn"
    return case(model, "GPT2Config", GPT | options, block, mask=Mask.CAUSAL, key_padding=False)


def llama(name="Llama", model="", expected=None, **options):
    model = model or f"{name}Model"
    block = "layers.1.self_attn" if model.endswith("Model") else "model.layers.1.self_attn"
    return case(
        model, f"{name}Config", SIZES | options, block, **({"mask": Mask.CAUSAL} | (expected or {}))
    )


WINDOW = {"mask": Mask.WINDOW, "window": 3}
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 3, "num_key_value_heads": 2}
CASES = {
    "bert": encoder("Bert"),
    "bert decoder": encoder("Bert", is_decoder=True),
    "roberta": encoder("Roberta", pad_token_id=1),
    "gpt2": gpt2(),
    "gpt2 lm head": gpt2("GPT2LMHeadModel"),
    "gpt2 unscaled": gpt2(scale_attn_weights=False),
    "gpt2 scaled by layer": gpt2(scale_attn_by_inverse_layer_idx=True),
    "gpt2 only by layer": gpt2(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False),
    "llama": llama(),
    "llama causal lm": llama(model="LlamaForCausalLM"),
    "llama grouped": llama(num_key_value_heads=2, expected={"groups": 2}),
    "llama multiquery": llama(num_key_value_heads=1, expected={"groups": 1}),
    "llama head_dim": llama(head_dim=10, expected={"d_key": 10}),
    "llama bias": llama(attention_bias=True),
    "llama base": llama(rope_parameters={"rope_type": "default", "rope_theta": 77.0}),
    "llama linear": llama(
        rope_parameters={"rope_type": "linear", "rope_theta": 77.0, "factor": 4.0}
    ),
    "llama 3": llama(head_dim=16, rope_parameters=LLAMA3),
    "mistral": llama("Mistral", sliding_window=None, num_key_value_heads=4),
    "mistral window": llama("Mistral", sliding_window=3, num_key_value_heads=2, expected=WINDOW),
    "qwen2": llama("Qwen2", num_key_value_heads=4),
    "qwen2 grouped": llama("Qwen2", num_key_value_heads=2, sliding_window=3),
    "qwen2 late window": llama("Qwen2", max_window_layers=1, expected=WINDOW, **QWEN_WINDOW),
    "qwen2 early layer": llama("Qwen2", max_window_layers=2, **QWEN_WINDOW),
    "qwen2 layer types": llama(
        "Qwen2", layer_types=["full_attention", "sliding_attention"], expected=WINDOW, **QWEN_WINDOW
    ),
    "qwen2 full type": llama(
        "Qwen2",
        layer_types=["sliding_attention", "full_attention"],
        max_window_layers=0,
        **QWEN_WINDOW,
    ),
}


def build(chosen, dtype=torch.float32):
    """The model with weights large enough that every part of attention matters."""
    torch.manual_seed(0)
    model = getattr(transformers, chosen.model)(
        getattr(transformers, chosen.config)(**chosen.options)
    )
    for p in model.parameters():
        p.data = torch.nn.init.normal_(p, std=0.4).to(dtype)  # and not `inv_freq`
    return model


def exact_positions(model, inputs):
    """cos and sin in float64; transformers computes them in float32."""
    rope = next(m for m in model.modules() if hasattr(m, "inv_freq"))
    angles = torch.arange(inputs.shape[1]).double()[:, None] * rope.inv_freq.double()
    both = torch.cat([angles, angles], dim=1)[None]
    return both.cos(), both.sin()


def run(model, chosen, keep):
    """Hidden states into the attention block and its output, both (tokens, features), float64."""
    caught = {}

    def enter(module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        caught["x"] = hidden[0].numpy()
        if "position_embeddings" in kwargs:
            kwargs["position_embeddings"] = exact_positions(model, hidden)
        return args, kwargs

    def leave(module, args, output):
        caught["y"] = (output[0] if isinstance(output, tuple) else output).reshape(N, -1).numpy()

    model = model.double().eval()
    model.get_submodule(chosen.block).register_forward_pre_hook(enter, with_kwargs=True)
    model.get_submodule(chosen.end).register_forward_hook(leave)
    mask = None if keep is None else torch.tensor(keep)[None].long()
    with torch.no_grad():
        model(input_ids=torch.arange(2, 2 + N)[None], attention_mask=mask, use_cache=False)
    return caught["x"], caught["y"]


def frequencies_of(model):
    ropes = [m for m in model.modules() if hasattr(m, "inv_freq")]
    return ropes[0].inv_freq.double().numpy() if ropes else None


def assert_same(model, chosen, spec, weights, keep=None):
    frequencies = frequencies_of(model)
    if frequencies is not None:  # theirs are rounded to float32: compare, then use theirs
        ours = weights.get("rotary_frequencies", rotary_frequencies(spec))
        np.testing.assert_allclose(ours, frequencies, rtol=1e-6)
        weights = weights | {"rotary_frequencies": frequencies}
    x, y = run(model, chosen, keep)
    np.testing.assert_allclose(
        textbook_attention(spec, weights, x, keep=keep), y, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("name", CASES)
def test_attention_is_transformers(tmp_path, name):
    chosen = CASES[name]
    model = build(chosen)
    model.save_pretrained(tmp_path)
    spec, weights = read_checkpoint(tmp_path, LAYER)
    assert layers(tmp_path) == 2
    assert {key: getattr(spec, key) for key in chosen.expected} == chosen.expected
    assert_same(model, chosen, spec, weights)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_padding(tmp_path, name):
    model = build(CASES[name])
    model.save_pretrained(tmp_path)
    assert_same(model, CASES[name], *read_checkpoint(tmp_path, LAYER), keep=KEEP)


@pytest.mark.parametrize("name", ["bert", "gpt2", "qwen2 grouped"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_shards_and_types(tmp_path, name, dtype):
    model = build(CASES[name], dtype)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    spec, weights = read_checkpoint(tmp_path, LAYER)
    assert weights["W_Q"].dtype == (np.float64 if dtype is torch.float64 else np.float32)
    assert_same(model, CASES[name], spec, weights)


def test_every_model_type_is_tested():
    tested = {getattr(transformers, c.config).model_type for c in CASES.values()}
    assert tested == {name for family in FAMILIES for name in family.model_types}


def test_matrices_are_views_of_the_file(tmp_path):
    build(CASES["gpt2"]).save_pretrained(tmp_path)
    _, weights = read_checkpoint(tmp_path, LAYER)
    assert not any(array.flags.owndata for array in weights.values())
