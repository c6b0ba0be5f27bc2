"""Circuits that are slightly wrong: a change to the text of a case's circuit, for checkers to refuse."""

from __future__ import annotations

from dataclasses import replace

from cortico.lowering import lower
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    NormKind,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
)
from tests.cases import BIASED

#: All sizes that could be confused are equal, so that nothing but the numbers tells them apart.
SQUARE = AttentionSpec(model=4, heads=4, kv_heads=2, key_features=4, mask=Mask.CAUSAL, bias=BIASED)
PLAIN = replace(SQUARE, heads=2, mask=Mask.NONE, bias=Bias())
LINEAR = replace(PLAIN, kernel=Kernel.LINEAR, bias=BIASED)

SPECS = {
    "square": SQUARE,
    "plain": PLAIN,
    "linear": LINEAR,
    "padded": replace(PLAIN, key_padding=True),
    "window": replace(SQUARE, mask=Mask.WINDOW, window=2),
    "both sides": replace(PLAIN, mask=Mask.BIDIRECTIONAL_WINDOW, window=2),
    "wide window": replace(SQUARE, mask=Mask.WINDOW, window=4096),
    "rotary": replace(SQUARE, rotary=Rotary()),
    "alibi": replace(SQUARE, position_bias=PositionBias.ALIBI),
    "table": replace(PLAIN, tokens=4, position_bias=PositionBias.TABLE),
    "sink": replace(PLAIN, sink=True),
    "saturated": replace(SQUARE, semi_saturation=0.5),
    "saturated extra": replace(PLAIN, semi_saturation=0.5, sink=True, extra_source=True),
    "extra source": replace(SQUARE, extra_source=True),
    "scaled": replace(PLAIN, scale=0.3),
    "normed": replace(SQUARE, qk_norm=QueryKeyNorm(eps=0.25)),
    "normed width": replace(SQUARE, qk_norm=QueryKeyNorm(NormOver.WIDTH), rotary=Rotary()),
    "layer normed": replace(
        SQUARE,
        kv_heads=None,
        bias=Bias(),
        qk_norm=QueryKeyNorm(eps=0.25, kind=NormKind.LAYER, own_gains=True, bias=True),
    ),
    "capped": replace(SQUARE, soft_cap=0.6),
}

#: Spec, what stands in the text of its circuit, and what a mistake would make of it.
MISTAKES = (
    ("square", "size(a)^-1/2", "1.0"),
    ("square", "size(a)^-1/2", "size(a)^1/2"),
    ("square", "size(a)^-1/2", "size(a)^-1"),
    ("scaled", "weight 0.3", "weight 0.30000000000000004"),
    ("square", "weight W_V[g, c, m]", "weight W_V[g, m, c]"),
    ("square", "weight W_O[g, r, m, c]", "weight W_O[r, g, m, c]"),
    ("square", "weight W_Q[g, r, a, m]", "weight W_Q[r, g, a, m]"),
    ("square", "weight W_K[g, a, m]", "weight W_K[r, a, m]"),
    ("square", "weight W_K[g, a, m]", "weight W_V[g, a, m]"),
    ("square", " b_Q[g, r, a]", ""),
    ("square", " b_V[g, c]", ""),
    ("square", " b_O[m]", ""),
    ("square", "where j - i <= 0", "where j - i <= 1"),
    ("square", "where j - i <= 0", "where j - i <= -1"),
    ("square", "where j - i <= 0", "where i - j <= 0"),
    ("square", " where j - i <= 0", ""),
    ("window", "i - j <= 1", "i - j <= 2"),
    ("window", "i - j <= 1 and ", ""),
    ("both sides", "i - j <= 1", "i - j <= 2"),
    ("both sides", "i - j <= 1", "i - j <= 0"),
    ("both sides", "j - i <= 1", "j - i <= 2"),
    ("both sides", "j - i <= 1", "j - i <= 0"),
    ("both sides", " and j - i <= 1", ""),
    ("both sides", "i - j <= 1 and ", ""),
    ("wide window", "i - j <= 4095", "i - j <= 4096"),
    ("square", "pyramidal_it exp", "pyramidal_it"),
    ("square", "driver multiplies x[i, m]", "driver multiplies x[i, m] + x[i, m]"),
    ("square", "shunt divides", "shunt multiplies"),
    ("plain", "weight W_K[h, a, m]", "weight W_K[h, m, a]"),
    ("plain", "core_source -> superficial.apical", "matrix_query -> superficial.apical"),
    ("linear", "apical multiplies\n", "apical multiplies 1.0\n"),
    ("linear", " b_K[h, a]", ""),
    ("linear", "weight W_O", "weight -1.0 * W_O"),
    ("padded", "keep[j]", "1.0"),
    ("padded", "gated_mask -> pool.soma", "mask -> pool.soma"),
    ("rotary", "R_K[j, p, s, t]", "R_K[j, p, t, s]"),
    ("rotary", "size(p)^-1/2 * size(s)^-1/2", "size(p)^-1/2"),
    ("alibi", "alibi[g, r, i, j]", "-1.0 * alibi[g, r, i, j]"),
    ("alibi", "alibi[g, r, i, j]", "alibi[r, g, i, j]"),
    ("table", "position_bias[h, i, j]", "position_bias[h, j, i]"),
    ("sink", "projection pool_sink sink -> pool.soma weight 1.0\n", ""),
    ("saturated", "shunt divides 0.5", "shunt divides"),
    ("saturated", "shunt divides 0.5", "shunt divides 0.5000000000000001"),
    ("saturated", "shunt divides 0.5", "shunt divides 1.0"),
    ("saturated", "shunt divides 0.5", "shunt divides 0.5 * size(r)^1"),
    ("saturated", "soma multiplies", "soma multiplies 0.5"),
    ("saturated extra", "shunt divides 0.5", "shunt divides 0.25"),
    ("extra source", "projection pool_extra extra_mask -> pool.soma weight 1.0\n", ""),
    ("extra source", "apical multiplies extra_K[g, a]", "apical multiplies extra_K[r, a]"),
    ("extra source", "basal multiplies extra_V[g, c]", "basal multiplies extra_K[g, c]"),
    (
        "extra source",
        "basal multiplies extra_V[g, c]",
        "basal multiplies extra_V[g, c] + b_V[g, c]",
    ),
    ("extra source", "-> extra_mask.basal weight size(a)^-1/2", "-> extra_mask.basal weight 1.0"),
    ("extra source", "pool -> extra_deep.shunt", "extra_mask -> extra_deep.shunt"),
    ("normed", "soma multiplies 0.25", "soma multiplies"),
    ("normed", "soma multiplies 0.25", "soma multiplies 0.5"),
    ("normed", "-> key_pool.soma weight size(a)^-1", "-> key_pool.soma weight 1.0"),
    ("normed", "-> key_pool.soma weight size(a)^-1", "-> key_pool.soma weight size(g)^-1"),
    ("normed", "L4 pv sqrt", "L4 pv"),
    ("normed", "weight gain_K[a]", "weight gain_Q[a]"),
    (
        "normed",
        "projection norm_key key -> normed_key.basal weight gain_K[a]",
        "projection norm_key key -> normed_key.basal weight 1.0",
    ),
    ("normed width", "size(g)^-1 * size(r)^-1 * size(p)^-1", "size(g)^-1 * size(p)^-1"),
    ("normed width", "weight gain_K[g, p, t]", "weight gain_K[g, t, p]"),
    ("layer normed", "-> centred_key.basal weight -1.0", "-> centred_key.basal weight 1.0"),
    (
        "layer normed",
        "projection subtract_query query_mean -> centred_query.basal weight -1.0\n",
        "",
    ),
    ("layer normed", "-> key_mean.basal weight size(a)^-1", "-> key_mean.basal weight 1.0"),
    ("layer normed", "centred_key -> key_square", "key -> key_square"),
    ("layer normed", "norm_query centred_query", "norm_query query"),
    ("layer normed", "soma multiplies 0.25", "soma multiplies"),
    ("layer normed", "weight gain_K[h, a]", "weight gain_Q[h, a]"),
    ("layer normed", "weight gain_K[h, a]", "weight gain_K[a, h]"),
    ("layer normed", "multiplies shift_Q[h, a]", "multiplies shift_K[h, a]"),
    ("layer normed", "multiplies shift_Q[h, a]", "multiplies"),
    ("capped", "cortex.L2/3 pyramidal_it tanh", "cortex.L2/3 pyramidal_it"),
    ("capped", "shunt divides 0.6", "shunt divides 0.7"),
    ("capped", "-> mask.basal weight 0.6", "-> mask.basal weight 1.0"),
    ("capped", "-> mask.basal weight 0.6", "-> mask.basal weight 0.6000000000000001"),
    (
        "sink",
        "weight size(a)^-1/2",
        "weight size(a)^-1/2\nprojection more sink -> mask.basal weight 1.0",
    ),
)

#: These look like mistakes and change nothing: softmax does not see what is the same for all keys, and
#: queries and keys of a token are turned alike.
HARMLESS = (
    ("square", " b_K[g, a]", ""),
    ("rotary", "R_Q[i, p, s, t]", "R_K[i, p, s, t]"),
    # the sum of (k - mean) mean is zero
    ("layer normed", "square_key_basal centred_key", "square_key_basal key"),
)


def changed(name, old, new):
    """A spec, the text of its circuit, and the text after a change."""
    text = str(lower(SPECS[name]))
    assert old in text, (name, old)
    return SPECS[name], text, text.replace(old, new)
