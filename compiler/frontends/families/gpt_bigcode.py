"""GPT-BigCode (SantaCoder, StarCoder): one fused map of one key/value head, or of as many as heads."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import gpt2
from cortico.frontends.families.options import EVERY_BIAS, causal
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.model import STATES, heads
from cortico.spec import AttentionSpec

KEYS = Keys(
    read={
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "multi_query": True,
        "scale_attn_weights": True,
        "is_causal": True,
    },
    harmless=gpt2.HARMLESS - {"add_cross_attention"}
    | words(
        "attention_softmax_in_fp32 scale_attention_softmax_in_fp32 num_key_value_heads "
        "inference_runner pre_allocate_kv_cache max_sequence_length max_batch_size pad_key_length "
        "validate_runner_input"
    ),
    fixed={"add_cross_attention": False},
    same=gpt2.SAME,
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `c_proj`."""
    features = config.divided("n_embd", by="n_head")
    spec = AttentionSpec(
        model=config.size("n_embd"),
        heads=config.size("n_head"),
        kv_heads=1 if config.flag("multi_query") else None,
        key_features=features,
        scale=None if config.flag("scale_attn_weights") else 1.0,
        bias=EVERY_BIAS,
        **causal(config),
    )
    return spec, {}


MODEL = replace(
    gpt2.MODEL,
    tensors=gpt2.tensors(transposed=False),
    heads=heads("GPTBigCode", Model=STATES, ForCausalLM=gpt2.LANGUAGE),
    read={**gpt2.READ, "activation_function": "gelu_pytorch_tanh"},
    harmless=gpt2.MODEL.harmless | words("num_key_value_heads"),
    fixed={},
)


FAMILY = Family(
    name="GPT-BigCode",
    model_types=("gpt_bigcode",),
    keys=KEYS,
    describe=describe,
    maps=Fused("c_attn", "c_proj", by_group=True),  # all queries first, where one group is all
    place="h.{layer}.attn.",
    prefixes=("", "transformer."),
    ignored=gpt2.IGNORED,
    layers="n_layer",
    model=MODEL,
)
