"""ELECTRA: the attention of BERT."""

from __future__ import annotations

from cortico.frontends.families import bert
from cortico.frontends.family import Family
from cortico.frontends.keys import Keys, words

KEYS = Keys(
    read={**bert.KEYS.read, "hidden_size": 256, "num_attention_heads": 4},
    harmless=bert.HARMLESS
    | words("embedding_size summary_type summary_use_proj summary_activation summary_last_dropout"),
)

FAMILY = Family(
    name="ELECTRA",
    model_types=("electra",),
    keys=KEYS,
    describe=bert.describe,
    maps=bert.MAPS,
    place=bert.PLACE,
    prefixes=("", "electra."),
    ignored=bert.IGNORED,
)
