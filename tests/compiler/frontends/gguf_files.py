"""GGUF files of models of transformers, written as llama.cpp's converter writes them.

From convert_hf_to_gguf.py of llama.cpp: the names, the keys, and the order of the features of queries and
keys that Llama's files have. Written down here apart from what reads them.
"""

import contextlib

import gguf
import numpy as np
from gguf.quants import quantize

#: Modules of a layer, and what GGUF calls them.
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
#: From Gemma 2 on there are norms on both sides of both parts of a layer.
NAMES_OF_GEMMA = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
TOP = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}


def permute(weights, heads):
    """LlamaModel.permute of the converter, to the letter."""
    shape = weights.shape
    return (
        weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    )


def named(name, arch="llama"):
    """`model.layers.3.mlp.up_proj.weight` as GGUF calls it."""
    names = NAMES | (NAMES_OF_GEMMA if arch in ("gemma2", "gemma3") else {})
    name = name.removeprefix("model.")
    if name in TOP:
        return TOP[name]
    _, layer, rest = name.split(".", 2)
    module, _, end = rest.rpartition(".")
    return f"blk.{layer}.{names[module]}.{end}"


def keys_of(config, arch):
    """The keys that the converter writes of such a model."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    table = config.rope_parameters.get("full_attention", config.rope_parameters)
    keys = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.freq_base": float(table["rope_theta"]),
        "vocab_size": config.vocab_size,
    }
    if arch == "llama":
        keys["rope.dimension_count"] = head_dim
    if arch in ("gemma2", "gemma3"):
        keys["attention.sliding_window"] = config.sliding_window
        keys["final_logit_softcapping"] = config.final_logit_softcapping
    if arch == "gemma2":
        keys["attn_logit_softcapping"] = config.attn_logit_softcapping
    return {f"{arch}.{key}": value for key, value in keys.items()}


def tensors_of(model, arch):
    """Names and arrays, as the converter stores them."""
    config = model.config
    found = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        array = tensor.float().numpy()
        if arch == "llama" and ".q_proj." in name:
            array = permute(array, config.num_attention_heads)
        if arch == "llama" and ".k_proj." in name:
            array = permute(array, config.num_key_value_heads)
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            array = array + 1
        found[named(name, arch)] = array
    return found


def save_gguf(path, arch, keys, tensors, kind=gguf.GGMLQuantizationType.F32):
    """A file with these keys, None left out, and tensors; matrices are stored as `kind`."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in keys.items():
        _add(writer, key, value)
    for name, array in tensors.items():
        stored = kind if array.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, quantize(np.ascontiguousarray(array), stored), raw_dtype=stored)
    with contextlib.closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def _add(writer, key, value):
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        assert value is None


def save_model(model, path, arch, kind=gguf.GGMLQuantizationType.F32, changes=None, more=None):
    """A model of transformers as a GGUF file, with changed keys and more tensors."""
    keys = keys_of(model.config, arch) | (changes or {})
    save_gguf(path, arch, keys, tensors_of(model, arch) | (more or {}), kind)
