"""mBART: BART with norms before each block, and one at the end of each stack."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.families import bart
from cortico.frontends.model import STATES, heads

MODEL = replace(
    bart.MODEL,
    stack=bart.stack_of("decoder", before=True),
    encoder=bart.stack_of("encoder", before=True),
    heads=heads("MBart", Model=STATES, ForConditionalGeneration=bart.GENERATION),
)
FAMILIES = tuple(bart.family("mBART", "mbart", part, bart.KEYS, model=MODEL) for part in bart.PARTS)
