"""OPT: four linear maps with biases, causal, in a decoder that stands alone.

Tokens of the 350m model have fewer features than its layers (`word_embed_proj_dim`), positions have as many. There
tokens and positions stand beside each other in one wide table, and one map takes both to the layers' width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, causal
from cortico.frontends.families.stacks import logits, plain, post_norm, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    Attentions,
    Head,
    Model,
    Stored,
    Table,
    embedding,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, Dense, Embedding, Norm, Readout, Stack

KEYS = Keys(
    read={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "enable_bias": True,
        "is_causal": True,
    },
    harmless=words(
        "ffn_dim max_position_embeddings do_layer_norm_before _remove_final_layer_norm "
        "word_embed_proj_dim dropout attention_dropout activation_dropout activation_function "
        "layerdrop init_std layer_norm_elementwise_affine is_decoder add_cross_attention"
    ),
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    config.divided("hidden_size", by="num_attention_heads")
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        bias=all_or_none(config.flag("enable_bias")),
        **causal(config),
    )
    return spec, {}


#: Rows of the table of positions before the first.
ROWS_BEFORE = 2


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms come before, and at the end; in one of the models they come after, as in BERT."""
    size, first = config.size("hidden_size"), config.flag("do_layer_norm_before")
    affine = config.flag("layer_norm_elementwise_affine")
    own = Norm(size, gain=affine, shift=affine)
    hidden = plain(
        config,
        config.size("ffn_dim"),
        "activation_function",
        "hidden_size",
        config.flag("enable_bias"),
    )
    layer = pre_norm(own, hidden) if first else post_norm(own, hidden)
    last = own if first and not config.flag("_remove_final_layer_norm") else None
    positions = config.size("max_position_embeddings")
    made = stacked(config, layer, attentions, positions=positions, norm=last)
    both = _both(config)
    if both is None:
        return made
    table = Embedding(config.size("vocab_size"), both, positions=positions)
    return replace(made, embedding=table, embedding_dense=Dense(both, size))


def _both(config: Config) -> int | None:
    """Features of tokens and positions beside each other, where they are not as many."""
    own = config.optional_size("word_embed_proj_dim")
    size = config.size("hidden_size")
    return None if own in (None, size) else own + size


def only_states(config: Config) -> None:
    """No logits. SpecError where what the library calls states are not those of the last layer."""
    if _both(config) is not None:
        raise config.wrong(
            "word_embed_proj_dim",
            f"{config.size('hidden_size')} for states; logits are read with architecture='OPTForCausalLM'",
        )


def read_out(config: Config) -> Readout:
    """Logits, of states that are as wide as tokens."""
    both, plain = _both(config), logits(config)
    if both is None:
        return plain
    wide = replace(plain.logits, model=both)
    return replace(plain, logits=wide, dense=Dense(config.size("hidden_size"), both))


@dataclass(frozen=True)
class Part(Stored):
    """A weight of which the file has `count` columns from `first` on, or rows along `axis` 0.

    The others are zero, or with `ones` those of the identity.
    """

    axis: int = 1
    first: int = 0
    count: int = 0
    ones: bool = False

    def shape(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What the tensor in the file must have."""
        return super().shape(self._part(wanted))

    def weight(self, array: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
        """The weight, of this shape, of the tensor in the file."""
        rows, columns = wanted
        found = np.eye(rows, columns, self.count) if self.ones else np.zeros(wanted)
        found = found.astype(array.dtype)
        place = slice(self.first, self.first + self.count)
        found[(slice(None), place)[1 - self.axis :]] = super().weight(array, self._part(wanted))
        return found

    def _part(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        return (*wanted[: self.axis], self.count, *wanted[self.axis + 1 :])


def tensors(config: Config) -> Table:
    """Where the tensors of its blocks are."""
    both = _both(config)
    if both is None:
        return TENSORS
    size = config.size("hidden_size")
    tokens, own = ("embed_tokens.weight",), both - size
    places = Part(("embed_positions.weight",), skipped=ROWS_BEFORE, first=own, count=size)
    return {
        **TENSORS,
        "embedding": {"W_token": Part(tokens, count=own), "W_position": places},
        "embedding_dense": {"W": Part(("project_in.weight",), count=own, ones=True)},
        "readout_dense": {"W": Part(("project_out.weight",), axis=0, count=own)},
    }


def readout_tensors(config: Config) -> Table:
    """Where the matrix of logits is, where it is not the table of tokens."""
    found, both = linear("lm_head"), _both(config)
    if both is not None:
        found["W"] = Part(found["W"].names, count=both - config.size("hidden_size"))
    return {"readout": found}


LAYER = "layers.{layer}."
ATTENTION_NORM, LAST_NORM = norm(f"{LAYER}self_attn_layer_norm"), norm(f"{LAYER}final_layer_norm")
TENSORS = {
    "embedding": embedding("embed_tokens", positions="embed_positions", skipped=ROWS_BEFORE),
    "layer.pre_attention_norm": ATTENTION_NORM,
    "layer.attention_norm": ATTENTION_NORM,
    "layer.feed_forward": feed_forward(f"{LAYER}fc1", f"{LAYER}fc2"),
    "layer.pre_feed_forward_norm": LAST_NORM,
    "layer.feed_forward_norm": LAST_NORM,
    "norm": norm("final_layer_norm"),
}
MODEL = Model(
    stack=stack,
    tensors=tensors,
    heads=heads(
        "OPT", Model=Head(only_states), ForCausalLM=Head(read_out, tensors=readout_tensors)
    ),
    read={
        "max_position_embeddings": 2048,
        "ffn_dim": 3072,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
        "word_embed_proj_dim": None,
        "tie_word_embeddings": True,
    },
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
)


FAMILY = Family(
    name="OPT",
    model_types=("opt",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
    place="layers.{layer}.self_attn.",
    prefixes=("decoder.", "model.decoder."),
    model=MODEL,
)
