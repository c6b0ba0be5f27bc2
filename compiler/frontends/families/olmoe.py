"""OLMoE: OLMo 2 of experts."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.families import olmo2
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import EXPERTS

KEYS = Keys(
    read={
        **olmo2.KEYS.read,
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "max_position_embeddings": 4096,
    },
    harmless=olmo2.KEYS.harmless
    | words(
        "num_experts num_experts_per_tok output_router_logits router_aux_loss_coef norm_topk_prob"
    ),
    fixed=olmo2.KEYS.fixed,
    same={"num_local_experts": "num_experts"},
)

MODEL = EXPERTS.format("OLMoE")

FAMILY = replace(olmo2.FAMILY, name="OLMoE", model_types=("olmoe",), keys=KEYS, model=MODEL)
