"""What of each operator made for attention is read, does not matter, or is refused: one table.

The operands stand in the order of the operator's schema. `tests/compiler/frontends/test_onnx_tables.py` holds the
table against the schemas of onnx and onnxruntime as they are installed, so that a new operand is met by a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from cortico.frontends.onnx_file.nodes import attributes

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Fate:
    """What becomes of an operand or attribute that a node gives."""

    refused: str | None = None  #: why; None is read, or does not matter
    but_for: tuple[Any, ...] = ()  #: values of an attribute with which it is not refused
    may_be_empty: bool = (
        False  #: not refused where it comes as an input, which is taken to be empty
    )


READ, IGNORED = Fate(), Fate()
_CACHE = Fate("a cache of past keys", may_be_empty=True)
_BEAM = Fate("a cache of several beams")
_QUANTIZED = Fate("a quantized cache")
_PACKED = Fate("examples packed one after another", (0,))


def _only(name: str, *values: Any) -> Fate:
    return Fate(f"{name} other than {' or '.join(map(repr, values))}", values)


@dataclass(frozen=True)
class Operator:
    """The operands of an operator, in order, and its attributes."""

    operands: dict[str, Fate]
    attributes: dict[str, Fate]
    least: int  #: operands that cannot be left out


def _switches(*names: str) -> dict[str, Fate]:
    """Attributes that are on or off; operators differ in what they make of other numbers."""
    return {name: _only(name, 0, 1) for name in names}


def _read(*names: str) -> dict[str, Fate]:
    return dict.fromkeys(names, READ)


OPERATORS = {
    ("", "Attention"): Operator(
        {
            **_read("Q", "K", "V", "attn_mask"),
            "past_key": _CACHE,
            "past_value": _CACHE,
            "nonpad_kv_seqlen": READ,
        },
        {
            **_read("kv_num_heads", "q_num_heads", "scale"),
            **_switches("is_causal"),
            **_read("left_window_size", "right_window_size"),
            "qk_matmul_output_mode": IGNORED,
            "softcap": READ,
            "softmax_precision": _only("softmax_precision", 0, 1, 11),
        },
        least=3,
    ),
    ("", "RotaryEmbedding"): Operator(
        _read("X", "cos_cache", "sin_cache", "position_ids"),
        {**_read("num_heads", "rotary_embedding_dim"), **_switches("interleaved")},
        least=3,
    ),
    (MICROSOFT, "Attention"): Operator(
        {
            **_read("input", "weights", "bias", "mask_index"),
            "past": _CACHE,
            "attention_bias": READ,
            "past_sequence_length": _CACHE,
        },
        {
            **_read("num_heads", "qkv_hidden_sizes", "scale", "mask_filter_value"),
            **_switches("unidirectional"),
            "do_rotary": Fate("rotary embedding inside", (0,)),
            "past_present_share_buffer": IGNORED,
            "rotary_embedding_dim": IGNORED,
        },
        least=2,
    ),
    (MICROSOFT, "MultiHeadAttention"): Operator(
        {
            **_read("query", "key", "value", "bias", "key_padding_mask", "attention_bias"),
            "past_key": _CACHE,
            "past_value": _CACHE,
            "past_sequence_length": _CACHE,
            "cache_indirection": _BEAM,
        },
        {**_read("num_heads", "scale", "mask_filter_value"), **_switches("unidirectional")},
        least=1,
    ),
    (MICROSOFT, "GroupQueryAttention"): Operator(
        {
            **_read("query", "key", "value"),
            "past_key": _CACHE,
            "past_value": _CACHE,
            "seqlens_k": READ,
            "total_sequence_length": READ,
            "cos_cache": READ,
            "sin_cache": READ,
            "position_ids": IGNORED,  # only where they begin counts, and turning is relative
            "attention_bias": READ,
            "head_sink": READ,
            "k_scale": _QUANTIZED,
            "v_scale": _QUANTIZED,
            "q_norm_weight": Fate("normalised queries"),
            "k_norm_weight": Fate("normalised keys"),
            "query_seqlens": Fate("queries of several lengths"),
        },
        {
            **_read("num_heads", "kv_num_heads", "scale", "local_window_size"),
            **_switches("causal", "do_rotary", "rotary_interleaved", "smooth_softmax"),
            **dict.fromkeys(("q_norm_epsilon", "k_norm_epsilon", "qk_norm_epsilon"), IGNORED),
            "k_quant_type": _only("k_quant_type", "NONE"),
            "v_quant_type": _only("v_quant_type", "NONE"),
            "kv_cache_bit_width": IGNORED,  # of a quantized cache
            "qk_output": IGNORED,
            "sliding_window_cache": Fate("a cache as long as a window", (0,)),
            "softcap": READ,
        },
        least=1,
    ),
    (MICROSOFT, "RotaryEmbedding"): Operator(
        _read("input", "position_ids", "cos_cache", "sin_cache"),
        {
            **_read("num_heads", "rotary_embedding_dim"),
            **_switches("interleaved"),
            "is_packed_batching": _PACKED,
            "scale": _only("scale", 1.0),
        },
        least=4,
    ),
    (MICROSOFT, "SkipLayerNormalization"): Operator(
        _read("input", "skip", "gamma", "beta", "bias"),
        {"epsilon": IGNORED},
        least=3,
    ),
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): Operator(
        _read("input", "skip", "gamma", "bias"), {"epsilon": IGNORED}, least=3
    ),
    (MICROSOFT, "FusedMatMul"): Operator(
        _read("A", "B"),
        {
            "alpha": READ,
            **_switches("transA", "transB"),
            "transBatchA": Fate("examples that are transposed", (0,)),
            "transBatchB": Fate("examples that are transposed", (0,)),
        },
        least=2,
    ),
    (MICROSOFT, "TransposeMatMul"): Operator(
        _read("A", "B"), {"alpha": READ, **_switches("transA", "transB")}, least=2
    ),
    (MICROSOFT, "EmbedLayerNormalization"): Operator(
        {
            **dict.fromkeys(("input_ids", "segment_ids", "word_embedding"), IGNORED),
            **dict.fromkeys(("position_embedding", "segment_embedding", "gamma", "beta"), IGNORED),
            "mask": READ,
            "position_ids": IGNORED,
        },
        {"epsilon": IGNORED, "mask_index_type": IGNORED},
        least=1,
    ),
}


def is_attention(node: onnx.NodeProto) -> bool:
    """Whether a node is an operator for attention, read or not."""
    return "Attention" in node.op_type and node.domain in ("", MICROSOFT, "ai.onnx.preview")


def problems(node: onnx.NodeProto, inputs: frozenset[str]) -> Iterator[str]:
    """Why a node is not read: operands and attributes that are refused, or that the table does not know.

    `inputs` are those of the graph that may have no tokens.
    """
    known = OPERATORS.get((node.domain, node.op_type))
    if known is None:
        yield "is no operator that is read"
        return
    if len(node.input) < known.least or not all(node.input[: known.least]):
        yield f"lacks inputs, expected {', '.join([*known.operands][: known.least])}"
    given = dict(enumerate(node.input))
    for place, (operand, fate) in enumerate(known.operands.items()):
        name = given.pop(place, "")
        if name and fate.refused and not (fate.may_be_empty and name in inputs):
            yield f"has {fate.refused} ({operand})"
    if any(given.values()):
        yield f"has {len(node.input)} operands, expected at most {len(known.operands)}"
    for attribute, value in attributes(node).items():
        if attribute not in known.attributes:
            yield f"has an attribute {attribute!r} that is not known"
            continue
        fate = known.attributes[attribute]
        if fate.refused and value not in fate.but_for:
            yield f"has {fate.refused} ({attribute} = {value!r:.40})"


def without_cache(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node without the operands that are taken to be empty."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    fates = OPERATORS[node.domain, node.op_type].operands.values()
    for place, fate in enumerate([*fates][: len(node.input)]):
        if fate.may_be_empty:
            changed.input[place] = ""
    return changed
