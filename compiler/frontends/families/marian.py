"""Marian: attention as in BART, in models with other norms and sinusoidal positions."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.families import bart
from cortico.frontends.keys import words

KEYS = replace(
    bart.KEYS,
    harmless=bart.KEYS.harmless | words("decoder_vocab_size share_encoder_decoder_embeddings"),
)

FAMILIES = tuple(bart.family("Marian", "marian", part, KEYS) for part in bart.PARTS)
