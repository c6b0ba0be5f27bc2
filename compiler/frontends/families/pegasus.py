"""Pegasus: norms before each block as in mBART, sines for positions as in Marian, no norm of tokens."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.families import bart, marian
from cortico.frontends.model import STATES, Stored, heads

MODEL = replace(
    bart.MODEL,
    stack=bart.stack_of("decoder", normed=False, before=True),
    encoder=bart.stack_of("encoder", normed=False, before=True),
    tensors={
        block: names
        for side in bart.SIDES
        for block, names in bart.tensors(
            side, Stored((f"{side}.embed_positions.weight",), absent=marian.waves)
        ).items()
    },
    heads=heads("Pegasus", Model=STATES, ForConditionalGeneration=bart.GENERATION),
)
FAMILIES = tuple(
    bart.family("Pegasus", "pegasus", part, bart.KEYS, model=MODEL) for part in bart.PARTS
)
