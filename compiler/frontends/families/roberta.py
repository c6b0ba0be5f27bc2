"""RoBERTa, XLM-RoBERTa and CamemBERT: BERT whose positions are counted from behind the padding's number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from cortico.frontends.config import Config
from cortico.frontends.families import bert
from cortico.frontends.model import (
    Attentions,
    Head,
    Stored,
    Table,
    heads,
    linear,
    norm,
)
from cortico.ir.errors import SpecError
from cortico.spec import Stack


def rows_before(config: Config) -> int:
    """Rows of the table of positions that stand for no place: up to that of the padding's number."""
    return config.count("pad_token_id") + 1


def stack(config: Config, attentions: Attentions) -> Stack:
    """BERT's, of fewer positions than the table has rows."""
    rows, before = config.size(bert.POSITIONS), rows_before(config)
    if rows <= before:
        raise SpecError(
            f"{config.source}: {bert.POSITIONS} = {rows} must be more than {before}, the rows up to "
            "pad_token_id"
        )
    return bert.stack(config.changed(**{bert.POSITIONS: rows - before}), attentions)


def tensors(config: Config) -> Table:
    """BERT's, but for these rows."""
    return {**bert.TENSORS, "embedding": skipping(bert.TENSORS["embedding"], rows_before(config))}


def skipping(names: Mapping[str, Stored], rows: int) -> dict[str, Stored]:
    """The same tables, without the first rows of positions."""
    return {**names, "W_position": replace(names["W_position"], skipped=rows)}


MASKED = Head(
    partial(bert.masked, act="gelu"),  # whatever hidden_act says
    tensors={
        "readout_dense": linear("lm_head.dense"),
        "readout_norm": norm("lm_head.layer_norm"),
        "readout": linear("lm_head.decoder", biases=("lm_head.bias",)),
    },
    ignored=("pooler.", "lm_head.bias"),
)

MODEL = replace(
    bert.MODEL,
    stack=stack,
    tensors=tensors,
    heads=heads(
        "Roberta XLMRoberta Camembert", Model=bert.POOLED, ForMaskedLM=MASKED, ForCausalLM=MASKED
    ),
    read={**bert.MODEL.read, "pad_token_id": 1},
)

FAMILY = replace(
    bert.FAMILY,
    name="RoBERTa",
    model_types=("roberta", "xlm-roberta", "camembert"),
    model=MODEL,
)
