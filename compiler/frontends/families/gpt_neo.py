"""GPT-Neo: scores without a scale, and a window in the layers that are called local."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import gpt2
from cortico.frontends.families.stacks import layer_norm, logits, plain, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import STATES, Attentions, Model, heads
from cortico.spec import AttentionSpec, Bias, Mask, Stack

KEYS = Keys(
    read={
        "hidden_size": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "attention_types": None,
        "attention_layers": None,
        "window_size": 256,
    },
    harmless=words(
        "max_position_embeddings intermediate_size activation_function resid_dropout embed_dropout "
        "attention_dropout layer_norm_epsilon is_decoder add_cross_attention summary_type "
        "summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout"
    ),
    fixed={
        "is_causal": True
    },  # the library does not read it: its layers hide later tokens by themselves
    same={"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"},
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `out_proj`, which alone has a bias."""
    config.divided("hidden_size", by="num_heads")
    local = _kind(config, layer) == "local"
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_heads"),
        scale=1.0,
        mask=Mask.WINDOW if local else Mask.CAUSAL,
        window=config.size("window_size") if local else None,
        bias=Bias(output=True),
    )
    return spec, {}


def _kind(config: Config, layer: int) -> str:
    """What a layer is called: `attention_types` are groups of kinds, each with how often it comes.

    `attention_layers` is that list written out, which the library saves, too.
    """
    key, count = "attention_types", config.size("num_layers")
    kinds = _written_out(config, count)
    if len(kinds) != count:
        raise config.wrong(key, f"kinds of {count} layers, not of {len(kinds)}")
    if config.values["attention_layers"] not in (None, kinds):
        raise config.wrong("attention_layers", f"what {key} says")
    return kinds[layer]


def _written_out(config: Config, most: int) -> list[str]:
    """The kind of each layer, of a few more than there are where there are too many."""
    groups = config.values["attention_types"]
    if groups is None:
        groups = [[["global", "local"], 12]]
    if not isinstance(groups, list) or not all(map(_is_group, groups)):
        raise config.wrong("attention_types", "a list such as [[['global', 'local'], 12]]")
    return [kind for kinds, times in groups for kind in kinds * min(times, most + 1)]


def _is_group(group: object) -> bool:
    match group:
        case [list(kinds), int(times)]:
            return times >= 0 and all(kind in ("global", "local") for kind in kinds)
    return False


def stack(config: Config, attentions: Attentions) -> Stack:
    """That of GPT-2 under other names of keys."""
    own = layer_norm(config, "layer_norm_epsilon")
    hidden = config.optional_size("intermediate_size") or 4 * config.size("hidden_size")
    layer = pre_norm(own, plain(config, hidden, "activation_function", "hidden_size"))
    positions = config.size("max_position_embeddings")
    return stacked(config, layer, attentions, positions=positions, norm=own)


MODEL = Model(
    stack=stack,
    tensors=gpt2.tensors(transposed=False),
    heads=heads("GPTNeo", Model=STATES, ForCausalLM=replace(gpt2.LANGUAGE, readout=logits)),
    read={
        "max_position_embeddings": 2048,
        "intermediate_size": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    },
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
    ignored=("h.*.attn.attention.bias", "h.*.attn.attention.masked_bias"),
)


FAMILY = Family(
    name="GPT-Neo",
    model_types=("gpt_neo",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
    place="h.{layer}.attn.attention.",
    prefixes=("", "transformer."),
    ignored=("bias", "masked_bias"),  # the mask and its number, in old files
    layers="num_layers",
    model=MODEL,
)
