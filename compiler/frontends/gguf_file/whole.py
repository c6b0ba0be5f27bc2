"""Whole models in GGUF files: what their keys say beside attention, and where the tensors of blocks are.

As llama.cpp runs them (src/llama-model.cpp): activations and the scale of tokens are those of the architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.family import Family
from cortico.frontends.gguf_file.models import (
    ARCHITECTURES,
    EPS,
    Architecture,
    Named,
    values_of_attention,
)
from cortico.frontends.model import (
    EXPERTS,
    Attentions,
    Head,
    Model,
    Table,
    embedding,
    feed_forward,
    linear,
    norm,
)
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError
from cortico.spec import Readout, Stack

_MLP = "blk.{layer}.ffn_"
_TOKENS, _OUTPUT, _CAP = "token_embd", "output", "final_logit_softcapping"
_READ: Mapping[str, Any] = {
    "feed_forward_length": None,
    "vocab_size": None,
    "expert_count": None,
    EPS: None,
}
#: Frequencies, which attention has read.
_IGNORED = ("rope_freqs.weight",)


def with_whole(family: Family, config: Config, tensors: Tensors) -> Family:
    """The family of a file, with what it says of whole models."""
    name = str(config.values["general.architecture"])
    kind = ARCHITECTURES[name]
    assert isinstance(kind.family.model, Model)
    own = kind.family.model
    read = {**_READ, **({_CAP: own.read[_CAP]} if _CAP in own.read else {})}
    full = {f"{name}.{key}": value for key, value in read.items()}

    def as_json(resolved: Config) -> Config:
        """What the keys say, in the words of config.json."""
        values = _values(kind, Named(name, resolved), tensors)
        return own.keys(kind.family.keys).resolve(Config(config.source, values))

    def stack(resolved: Config, attentions: Attentions) -> Stack:
        return own.stack(as_json(resolved), attentions)

    def read_out(resolved: Config) -> Readout | None:
        causal = own.heads[_causal(own)].readout
        assert causal is not None
        return causal(as_json(resolved))

    model = Model(
        stack=stack,
        tensors=_table(kind),
        heads={_causal(own): Head(read_out, tensors={"readout": linear(_OUTPUT)})},
        read=full,
        harmless=family.keys.harmless - full.keys(),
        ignored=_IGNORED,
    )
    return replace(family, model=model)


def _causal(model: Model) -> str:
    """The class of transformers that is a language model."""
    return next(name for name in model.heads if name.endswith("ForCausalLM"))


def _table(kind: Architecture) -> Table:
    """From Gemma 2 on there are norms on both sides of each block."""
    names = {
        "pre_attention_norm": "attn_norm",
        "post_attention_norm": "post_attention_norm",
        "pre_feed_forward_norm": "ffn_norm",
        "post_feed_forward_norm": "post_ffw_norm",
    }
    return {
        "embedding": embedding(_TOKENS),
        **{f"layer.{block}": norm(f"blk.{{layer}}.{name}") for block, name in names.items()},
        "layer.feed_forward": feed_forward(f"{_MLP}up", f"{_MLP}down", f"{_MLP}gate"),
        "norm": norm("output_norm"),
    }


def _values(kind: Architecture, keys: Named, tensors: Tensors) -> dict[str, Any]:
    """Under the names of config.json. The table of tokens says how many there are, and may say it alone."""
    if keys.get("expert_count") not in (None, 0):
        raise SpecError(f"{keys.config.source}: {EXPERTS.format(kind.family.name)}")
    assert isinstance(kind.family.model, Model)
    table = f"{_TOKENS}.weight"
    if table not in tensors:
        raise SpecError(f"{tensors.source!r} has no tensor {table!r} (embedding)")
    rows = tensors.shape(table)[0]
    keys.same("vocab_size", rows, rows, table)
    optional = {"mlp_bias": "blk.0.ffn_up.bias" in tensors}
    if _CAP in kind.family.model.read:
        optional[_CAP] = keys.get(_CAP)
    read = kind.family.model.keys(kind.family.keys).read
    return {
        **values_of_attention(kind, keys, tensors, layer=0),
        "vocab_size": rows,
        "intermediate_size": keys.size("feed_forward_length"),
        "rms_norm_eps": keys.number(EPS),
        "tie_word_embeddings": f"{_OUTPUT}.weight" not in tensors,
        **{key: value for key, value in optional.items() if key in read},
    }
