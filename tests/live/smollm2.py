"""SmolLM2-135M as transformers runs it: its numbers dequantised by the gguf library, and put in order here."""

import os
from pathlib import Path

import gguf
import torch
import transformers
from gguf.quants import dequantize

from tests.needs import SMOLLM2

CONFIG = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "rope_theta": 100000.0,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
PROMPTS = (
    "The thalamus relays sensory signals to the cortex, and the cortex",
    "Once upon a time",
    "Question: what is the capital of France? Answer:",
)


def model_file():
    (file,) = Path(SMOLLM2.origin).parent.glob("*.gguf")
    return file


def name_of(tensor):
    *layer, short, _ = tensor.name.split(".")
    place = f"model.layers.{layer[1]}." if layer else ""
    return f"{place}{NAMES[short]}.weight"


def numbers_of(tensor):
    found = dequantize(tensor.data, tensor.tensor_type)
    heads = {"attn_q": 9, "attn_k": 3}.get(tensor.name.split(".")[-2])
    if heads:  # the file has the features that turn together side by side, transformers in halves
        found = found.reshape(heads, -1, 2, 576).swapaxes(1, 2).reshape(found.shape)
    return torch.tensor(found)


def smollm2(way="sdpa"):
    """The model, and its tokenizer, which pads to the left."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = transformers.LlamaConfig(**CONFIG)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=way)
    tensors = gguf.GGUFReader(model_file()).tensors
    found = {name_of(tensor): numbers_of(tensor) for tensor in tensors}
    missing, unexpected = model.load_state_dict(found, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    file = model_file()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    tokenizer.padding_side = "left"
    return model.eval(), tokenizer
