"""GGUF files against transformers, which reads them too, and against the models that they were made of."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from cortico.frontends import layers, read_checkpoint
from cortico.frontends.gguf_file.tensors import READ
from tests.compiler.frontends.families.models import TOLERANCE, Case, build, largest_error, relative
from tests.compiler.frontends.gguf_files import permute, save_model
from tests.needs import SMOLLM2, needs_smollm2
from tests.oracle import textbook_attention

SIZES = {
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def case_of(kind, **options):
    return Case(
        kind,
        SIZES | options,
        "layers.{layer}.self_attn",
        model=f"{kind.removesuffix('Text')}ForCausalLM",
        prefix="model.",
    )


def made_of(case):
    """A model whose gains are exact when the converter adds 1 to them in float32."""
    model = build(case)
    for name, p in model.named_parameters():
        if name.endswith("norm.weight"):
            p.data = torch.round(p.data * 4096) / 4096
    return model


def arch_of(model):
    return model.config.model_type.removesuffix("_text")


#: What transformers reads of GGUF files as llama.cpp does.
BOTH_READ = {
    "llama": case_of("Llama"),
    "llama, one group": case_of("Llama", num_key_value_heads=4),
    "llama, one key": case_of("Llama", num_key_value_heads=1, rope_theta=500.0),
    "llama, wide heads": case_of("Llama", head_dim=32),
    "qwen2": case_of("Qwen2"),
    "qwen2, base": case_of("Qwen2", num_key_value_heads=1, rope_theta=1e6),
    "qwen3": case_of("Qwen3", head_dim=128, rms_norm_eps=0.25),
    "gemma2": case_of("Gemma2", sliding_window=3),
    "gemma3": case_of("Gemma3Text", sliding_window=3, num_hidden_layers=7, rms_norm_eps=0.25),
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 50.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
SCALED = {"scaling.type": "yarn", "scaling.factor": 4.0, "scaling.original_context_length": 16}


FULL, SLIDING = "full_attention", "sliding_attention"
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "head_dim": 4, "intermediate_size": 2}


def gemma2(**options):
    sizes = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 3}
    return case_of("Gemma2", **sizes | {"attn_logit_softcapping": 0.75} | options)


def gemma3(**options):
    sizes = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 3}
    return case_of("Gemma3Text", **sizes | {"num_hidden_layers": 7, "rms_norm_eps": 0.5} | options)


def prefixed(arch, keys):
    return {f"{arch}.rope.{key}": value for key, value in keys.items()}


#: Models that transformers does not read of GGUF files, or not wholly, and how their keys differ.
CONVERTED = {
    "llama, biases": (case_of("Llama", attention_bias=True), {}),
    "llama, linear": (
        case_of("Llama", rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}),
        prefixed("llama", {"scaling.type": "linear", "scaling.factor": 4.0}),
    ),
    "llama, a factor alone": (
        case_of("Llama", rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}),
        prefixed("llama", {"scaling.factor": 4.0}),
    ),
    "llama, yarn": (case_of("Llama", rope_parameters=YARN), prefixed("llama", SCALED)),
    "llama, yarn betas": (
        case_of("Llama", rope_parameters=YARN | {"beta_fast": 0.5, "beta_slow": 0.0625}),
        prefixed(
            "llama", SCALED | {"scaling.yarn_beta_fast": 0.5, "scaling.yarn_beta_slow": 0.0625}
        ),
    ),
    "llama, few keys": (
        case_of("Llama", num_key_value_heads=4),
        {
            f"llama.{key}": None
            for key in (
                "attention.head_count_kv",
                "attention.key_length",
                "attention.value_length",
                "rope.dimension_count",
                "rope.freq_base",
            )
        },
    ),
    "llama, sees all": (case_of("Llama", is_causal=False), {"llama.attention.causal": False}),
    "qwen2, yarn": (case_of("Qwen2", rope_parameters=YARN), prefixed("qwen2", SCALED)),
    "gemma": (case_of("Gemma", head_dim=32), {}),
    "qwen3": (case_of("Qwen3", head_dim=32, rms_norm_eps=0.5), {}),
    "qwen3, biases": (case_of("Qwen3", head_dim=32, attention_bias=True), {}),
    "qwen3, yarn": (
        case_of("Qwen3", head_dim=16, rope_parameters=YARN),
        prefixed("qwen3", SCALED),
    ),
    "gemma2": (gemma2(), {}),
    "gemma2, few keys": (
        gemma2(attn_logit_softcapping=50.0, sliding_window=4096, layer_types=[FULL, FULL]),
        dict.fromkeys(["gemma2.attention.sliding_window", "gemma2.attn_logit_softcapping"]),
    ),
    "gemma2, another pattern": (
        gemma2(num_hidden_layers=4, layer_types=[SLIDING, SLIDING, FULL, SLIDING]),
        {"gemma2.attention.sliding_window_pattern": 3},
    ),
    "gemma2, no layer slides": (
        gemma2(layer_types=[FULL, FULL]),
        {"gemma2.attention.sliding_window_pattern": 1},
    ),
    "gemma2, the largest": (
        gemma2(num_hidden_layers=46, query_pre_attn_scalar=8, **SMALL),
        {},
    ),
    "gemma3": (gemma3(layer_types=[*[SLIDING] * 5, FULL, SLIDING]), {}),
    "gemma3, scaled": (
        gemma3(
            rope_parameters={FULL: LINEAR, SLIDING: {"rope_type": "default", "rope_theta": 9.0}}
        ),
        prefixed("gemma3", {"scaling.type": "linear", "scaling.factor": 4.0, "freq_base_swa": 9.0}),
    ),
    "gemma3, without a window": (
        gemma3(layer_types=[FULL] * 7),
        {"gemma3.attention.sliding_window": None},
    ),
    "gemma3, a window of none": (
        gemma3(layer_types=[FULL] * 7),
        {"gemma3.attention.sliding_window": 0},
    ),
    "gemma3, the largest": (
        gemma3(num_hidden_layers=62, query_pre_attn_scalar=8, **SMALL),
        {},
    ),
}


def loaded(file):
    """As `from_pretrained(…, gguf_file=…)` loads it, which asks for accelerate before it does."""
    config = transformers.AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    read = load_gguf_checkpoint(file, return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(read, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    return model.eval()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, Kind.F32) for name in BOTH_READ),
        *(("llama", kind) for kind in (Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1)),
        ("qwen2", Kind.Q5_0),
    ],
)
def test_attention_is_what_transformers_reads(tmp_path, name, kind):
    case, file = BOTH_READ[name], tmp_path / "model.gguf"
    made = made_of(case)
    save_model(made, file, arch_of(made), kind)
    model = loaded(file)
    assert layers(file) == model.config.num_hidden_layers == made.config.num_hidden_layers
    assert largest_error(model, case, file) < TOLERANCE[1]
    assert largest_error(model.double(), case, file) < TOLERANCE[0]
    if kind is Kind.F32:  # nothing was lost on the way
        assert largest_error(made.double(), case, file) < TOLERANCE[0]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.full] * (n == "gemma3, the largest")) for n in CONVERTED],
)
def test_attention_is_the_models(tmp_path, name):
    case, changes = CONVERTED[name]
    model, file = made_of(case), tmp_path / "model.gguf"
    save_model(model, file, arch_of(model), changes=changes)
    assert largest_error(model, case, file) < TOLERANCE[1]
    assert largest_error(model.double(), case, file) < TOLERANCE[0]


def test_factors_of_frequencies(tmp_path):
    """Llama 3 turns slowly by a tensor: converter and llama.cpp divide the usual frequencies by it."""
    case, file = case_of("Llama", rope_parameters=LLAMA3), tmp_path / "model.gguf"
    model = build(case)
    usual = 50.0 ** (-np.arange(0, 16, 2) / 16)
    factors = (usual / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    assert factors.max() > 2
    save_model(model, file, "llama", more={"rope_freqs.weight": factors})
    assert largest_error(model, case, file) < TOLERANCE[1]
    assert largest_error(model.double(), case, file) < TOLERANCE[0]


@pytest.mark.parametrize("kind", READ)
def test_every_type_is_what_it_stands_for(tmp_path, kind):
    """Of bytes below 0x3c, which no half-precision number makes infinite."""
    found, random = gguf.GGMLQuantizationType[kind], np.random.default_rng(0)
    block, size = gguf.GGML_QUANT_SIZES[found]
    stored = {
        name: random.integers(0, 0x3C, (rows, 256 // block * size), np.uint8)
        for name, rows in (("q", 256), ("k", 128), ("v", 128), ("output", 256))
    }
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    keys = {"block_count": 1, "context_length": 8, "embedding_length": 256}
    for key, value in (keys | {"attention.head_count": 2, "attention.head_count_kv": 1}).items():
        writer.add_uint32(f"llama.{key}", value)
    for name, array in stored.items():
        writer.add_tensor(f"blk.0.attn_{name}.weight", array, raw_dtype=found)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _, weights = read_checkpoint(tmp_path / "model.gguf")
    expected = {name: dequantize(array, found) for name, array in stored.items()}
    rows = {"q": weights["W_Q"], "k": weights["W_K"], "v": weights["W_V"]}
    read = {name: array.reshape(-1, 256) for name, array in rows.items()}
    read["output"] = weights["W_O"].transpose(1, 0, 2).reshape(256, 256)
    for name, heads in (("q", 2), ("k", 1)):
        read[name] = permute(read[name], heads)
    for name, array in expected.items():
        assert abs(array).max() > 0
        np.testing.assert_array_equal(read[name], array)


def test_read_are_the_types_that_the_library_makes_floats_of():
    def reads(kind):
        _, size = gguf.GGML_QUANT_SIZES[kind]
        try:
            dequantize(np.zeros((1, size), np.uint8), kind)
        except NotImplementedError:
            return False
        return True

    assert set(READ) == {kind.name for kind in gguf.GGMLQuantizationType if reads(kind)}


def smollm2():
    (file,) = Path(SMOLLM2.origin).parent.glob("*.gguf")
    return file


def attention_of(config, layer, tensors):
    """transformers' module with the numbers of a file: dequantised by the library, put in order here."""
    module = LlamaAttention(config, layer)
    for name, short in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output")):
        found = tensors[f"blk.{layer}.attn_{short}.weight"]
        matrix = dequantize(found.data, found.tensor_type)
        if name in "qk":
            heads = config.num_attention_heads if name == "q" else config.num_key_value_heads
            halves = matrix.reshape(heads, -1, 2, matrix.shape[1]).swapaxes(1, 2)
            assert (permute(halves.reshape(matrix.shape), heads) == matrix).all()
            matrix = halves.reshape(matrix.shape)
        getattr(module, f"{name}_proj").weight.data = torch.tensor(matrix)
    return module.eval()


@needs_smollm2
@pytest.mark.slow
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)])
def test_smollm2(every):
    file = smollm2()
    config = transformers.LlamaConfig(
        hidden_size=576,
        num_attention_heads=9,
        num_key_value_heads=3,
        num_hidden_layers=30,
        rope_theta=100000.0,
        max_position_embeddings=8192,
        attn_implementation="eager",
    )
    assert layers(file) == 30
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    x = torch.randn(1, 12, 576, generator=torch.Generator().manual_seed(0))
    turn = LlamaRotaryEmbedding(config)(x, torch.arange(12)[None])
    future = torch.full((12, 12), float("-inf")).triu(1)[None, None]
    for layer in range(30) if every else (3,):
        with torch.no_grad():
            expected, _ = attention_of(config, layer, tensors)(x, turn, future)
        spec, weights = read_checkpoint(file, layer)
        found = textbook_attention(spec, weights, x[0].numpy())
        assert relative(found, expected[0].numpy()) < 1e-5
