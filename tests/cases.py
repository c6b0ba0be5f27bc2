"""The case table: specs that together cover every option, run by every stage and every backend."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    Normalisation,
    NormKind,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    Thalamus,
)
from cortico.spec.weights import random_weights

TOKENS, CONTEXT_TOKENS, BATCH = 5, 4, 2

LAYER = NormKind.LAYER
BIASED = Bias(query=True, key=True, value=True, output=True)


@dataclass(frozen=True)
class Case:
    """A spec with weights and a batch of inputs, all drawn from its own seed."""

    name: str
    spec: AttentionSpec

    @property
    def seed(self) -> int:
        return sum(map(ord, self.name))

    @property
    def weights(self) -> dict[str, np.ndarray]:
        return random_weights(self.spec, self.seed)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Input name to array with one batch axis of `BATCH`."""
        rng, spec = np.random.default_rng(self.seed), self.spec
        source = CONTEXT_TOKENS if spec.cross else TOKENS
        arrays = {"x": rng.standard_normal((BATCH, TOKENS, spec.model))}
        if spec.cross:
            arrays["context"] = rng.standard_normal((BATCH, source, spec.d_context))
        if spec.values:
            arrays["values"] = rng.standard_normal((BATCH, source, spec.values))
        if spec.position_bias is PositionBias.INPUT:
            arrays["score_bias"] = rng.standard_normal((BATCH, TOKENS, source))
        if spec.key_padding:
            # the first example is padded in front, so that a causal query has no live key at all
            arrays["keep"] = np.ones((BATCH, source), dtype=bool)
            arrays["keep"][0, 0] = arrays["keep"][1, -1] = False
        return arrays


def _core() -> dict[str, AttentionSpec]:
    """The cross of kernel, mask, padding, grouping and biases."""
    table = {}
    masks = (Mask.NONE, Mask.CAUSAL, Mask.WINDOW)
    options = itertools.product(Kernel, masks, (False, True), (4, 2), (False, True))
    for kernel, mask, padded, kv_heads, biased in options:
        words = [kernel, f"mask_{mask}", *["padded"] * padded]
        words += ["grouped"] * (kv_heads == 2) + ["biased"] * biased
        table["-".join(words)] = AttentionSpec(
            model=8,
            heads=4,
            kv_heads=kv_heads,
            kernel=kernel,
            mask=mask,
            window=2 if mask is Mask.WINDOW else None,
            key_padding=padded,
            bias=BIASED if biased else Bias(),
        )
    return table


def _special() -> dict[str, AttentionSpec]:
    """One option at a time, and the combinations that real models have."""
    soft = AttentionSpec(model=8, heads=2)
    linear = replace(soft, kernel=Kernel.LINEAR)
    numbered = replace(soft, tokens=TOKENS)
    llama = replace(soft, heads=4, kv_heads=2, key_features=4, mask=Mask.CAUSAL, rotary=Rotary())
    cross = replace(soft, cross=True, context=6, name="cross")
    return {
        "one_head": replace(soft, heads=1),
        "one_feature": replace(soft, heads=8),
        "numbered_tokens": numbered,
        "wide_keys": replace(soft, key_features=6, value_features=3),
        "narrow_output": replace(soft, output=5, bias=BIASED),
        "scaled": replace(soft, scale=0.3),
        "scaled_linear": replace(linear, scale=-0.25),
        "unscaled": replace(soft, scale=1.0),
        "query_bias_only": replace(soft, bias=Bias(query=True)),
        "value_bias_only": replace(soft, bias=Bias(value=True)),
        "sink": replace(soft, sink=True),
        "sink_causal_padded": replace(soft, sink=True, mask=Mask.CAUSAL, key_padding=True),
        "sink_window_grouped": replace(llama, sink=True, mask=Mask.WINDOW, window=3),
        "semi_saturated": replace(soft, semi_saturation=0.5),
        "semi_saturated_padded": replace(
            soft, semi_saturation=2.0, mask=Mask.CAUSAL, key_padding=True, bias=BIASED
        ),
        "semi_saturated_llama": replace(
            llama, semi_saturation=0.25, mask=Mask.WINDOW, window=3, sink=True
        ),
        "semi_saturated_extra_source": replace(
            soft, semi_saturation=1.5, extra_source=True, sink=True, bias=BIASED
        ),
        "semi_saturated_cross": replace(
            cross, semi_saturation=0.75, key_padding=True, soft_cap=0.9
        ),
        "extra_source": replace(soft, extra_source=True),
        "extra_source_causal_padded": replace(
            soft, extra_source=True, mask=Mask.CAUSAL, key_padding=True, bias=BIASED
        ),
        "extra_source_sink_grouped": replace(
            llama, rotary=None, extra_source=True, sink=True, mask=Mask.WINDOW, window=3
        ),
        "extra_source_linear": replace(
            linear, extra_source=True, mask=Mask.CAUSAL, key_padding=True
        ),
        "extra_source_table_cross": replace(
            soft,
            cross=True,
            context=6,
            tokens=TOKENS,
            context_tokens=CONTEXT_TOKENS,
            position_bias=PositionBias.TABLE,
            extra_source=True,
            key_padding=True,
        ),
        "alibi": replace(soft, position_bias=PositionBias.ALIBI, mask=Mask.CAUSAL),
        "alibi_linear_padded": replace(
            linear, position_bias=PositionBias.ALIBI, key_padding=True, mask=Mask.CAUSAL
        ),
        "alibi_grouped": replace(llama, rotary=None, position_bias=PositionBias.ALIBI),
        "table": replace(numbered, position_bias=PositionBias.TABLE),
        "table_linear": replace(
            numbered, kernel=Kernel.LINEAR, position_bias=PositionBias.TABLE, key_padding=True
        ),
        "score_bias": replace(
            soft, position_bias=PositionBias.INPUT, key_padding=True, bias=BIASED
        ),
        "score_bias_grouped": replace(llama, position_bias=PositionBias.INPUT, sink=True),
        "score_bias_linear": replace(
            linear, position_bias=PositionBias.INPUT, mask=Mask.WINDOW, window=2, value_features=3
        ),
        "rotary_half_split": replace(soft, rotary=Rotary()),
        "rotary_interleaved": replace(soft, rotary=Rotary(style=RotaryStyle.INTERLEAVED)),
        "rotary_partial": replace(soft, key_features=6, rotary=Rotary(rotated=4)),
        "rotary_partial_interleaved": replace(
            soft, key_features=6, rotary=Rotary(base=50.0, style=RotaryStyle.INTERLEAVED, rotated=2)
        ),
        "rotary_linear_causal": replace(linear, rotary=Rotary(base=100.0), mask=Mask.CAUSAL),
        "llama": llama,
        "mistral": replace(llama, mask=Mask.WINDOW, window=3),
        "both_sides": replace(soft, mask=Mask.BIDIRECTIONAL_WINDOW, window=2),
        "both_sides_linear_padded": replace(
            linear, mask=Mask.BIDIRECTIONAL_WINDOW, window=3, key_padding=True, bias=BIASED
        ),
        "modernbert": replace(
            soft, mask=Mask.BIDIRECTIONAL_WINDOW, window=3, rotary=Rotary(), key_padding=True
        ),
        "qwen2": replace(llama, bias=Bias(query=True, key=True, value=True)),
        "normed": replace(soft, qk_norm=QueryKeyNorm(eps=0.25)),
        "normed_width": replace(soft, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.5), bias=BIASED),
        "normed_linear_padded": replace(
            linear, qk_norm=QueryKeyNorm(eps=0.125), key_padding=True, mask=Mask.CAUSAL
        ),
        "layer_normed": replace(
            soft, qk_norm=QueryKeyNorm(eps=0.25, kind=LAYER, own_gains=True, bias=True)
        ),
        "layer_normed_width": replace(
            soft, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.5, LAYER), mask=Mask.CAUSAL
        ),
        "layer_normed_linear_padded": replace(
            linear, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.5, LAYER), key_padding=True
        ),
        "phi_normed": replace(
            soft, qk_norm=QueryKeyNorm(eps=0.125, kind=LAYER, bias=True), rotary=Rotary()
        ),
        "layer_normed_grouped": replace(
            llama, qk_norm=QueryKeyNorm(eps=0.125, kind=LAYER, own_gains=True)
        ),
        "qwen3": replace(llama, qk_norm=QueryKeyNorm(eps=0.125)),
        "olmo2": replace(llama, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.0625)),
        "capped": replace(soft, soft_cap=0.7),
        "capped_linear_padded": replace(
            linear, soft_cap=1.5, mask=Mask.CAUSAL, key_padding=True, bias=BIASED
        ),
        "capped_alibi_sink": replace(
            soft,
            soft_cap=0.9,
            scale=0.8,
            position_bias=PositionBias.ALIBI,
            mask=Mask.CAUSAL,
            sink=True,
        ),
        "gemma2": replace(llama, soft_cap=0.6, scale=0.5, mask=Mask.WINDOW, window=3),
        "gemma3_capped": replace(
            llama, soft_cap=0.75, qk_norm=QueryKeyNorm(eps=0.125), bias=BIASED, key_padding=True
        ),
        "bert": replace(soft, bias=BIASED, key_padding=True),
        "gpt2": replace(soft, bias=BIASED, mask=Mask.CAUSAL),
        "torch_mha": replace(soft, extra_source=True, sink=True, bias=BIASED, key_padding=True),
        "gpt_oss": replace(llama, sink=True, bias=BIASED, mask=Mask.WINDOW, window=4),
        "cross": cross,
        "cross_linear": replace(cross, kernel=Kernel.LINEAR, bias=BIASED),
        "cross_padded": replace(cross, key_padding=True, bias=BIASED),
        "cross_grouped_table": replace(
            cross,
            heads=4,
            kv_heads=2,
            tokens=TOKENS,
            context_tokens=CONTEXT_TOKENS,
            position_bias=PositionBias.TABLE,
        ),
        "cross_values": replace(cross, values=3),
        "cross_score_bias": replace(
            cross, position_bias=PositionBias.INPUT, extra_source=True, scale=0.3, output=5
        ),
        "cross_values_extra_source": replace(
            cross, values=3, key_padding=True, bias=BIASED, extra_source=True, sink=True
        ),
        "all_core": replace(soft, thalamus=Thalamus(query=Nucleus.CORE)),
        "matrix_values": replace(linear, thalamus=Thalamus(value=Nucleus.MATRIX)),
        "all_matrix_cross": replace(
            cross, thalamus=Thalamus(Nucleus.MATRIX, Nucleus.MATRIX, Nucleus.MATRIX)
        ),
        "everything": replace(
            llama,
            key_padding=True,
            sink=True,
            bias=BIASED,
            position_bias=PositionBias.ALIBI,
            rotary=Rotary(rotated=2, base=20.0),
            mask=Mask.WINDOW,
            window=3,
            scale=0.7,
        ),
    }


def _living() -> dict[str, AttentionSpec]:
    """Specs whose circuits live in time."""
    fed_back = AttentionSpec(model=8, heads=2, normalisation=Normalisation.FEEDBACK)
    llama = replace(
        fed_back, heads=4, kv_heads=2, key_features=4, mask=Mask.CAUSAL, rotary=Rotary()
    )
    cross = replace(fed_back, cross=True, context=6, name="cross")
    return {
        "feedback": replace(fed_back, mask=Mask.CAUSAL),
        "feedback_padded": replace(fed_back, key_padding=True, mask=Mask.CAUSAL, bias=BIASED),
        "feedback_llama": replace(llama, sink=True, mask=Mask.WINDOW, window=3),
        "feedback_extra_source": replace(
            fed_back, extra_source=True, key_padding=True, position_bias=PositionBias.INPUT
        ),
        "feedback_cross": replace(cross, soft_cap=0.9, output=5),
        "feedback_normed": replace(
            fed_back, qk_norm=QueryKeyNorm(eps=0.25), position_bias=PositionBias.ALIBI
        ),
    }


def _memory() -> dict[str, AttentionSpec]:
    """The memory circuit with each option that it takes."""
    plain = AttentionSpec(
        model=8, heads=2, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY, name="memory"
    )
    causal = replace(plain, mask=Mask.CAUSAL)
    grouped = replace(plain, heads=4, kv_heads=2, key_features=4, value_features=3)
    cross = replace(plain, cross=True, context=6)
    return {
        "memory": plain,
        "memory_causal": causal,
        "memory_biased": replace(plain, bias=BIASED),
        "memory_causal_biased_padded": replace(causal, bias=BIASED, key_padding=True),
        "memory_numbered_scaled": replace(plain, tokens=TOKENS, scale=-0.25),
        "memory_grouped": grouped,
        "memory_grouped_narrow_output": replace(grouped, output=5, bias=BIASED, key_padding=True),
        "memory_rotary": replace(plain, rotary=Rotary(base=100.0)),
        "memory_llama": replace(
            grouped, rotary=Rotary(rotated=2, base=20.0), mask=Mask.CAUSAL, bias=BIASED
        ),
        "memory_normed": replace(
            grouped, qk_norm=QueryKeyNorm(NormOver.WIDTH), rotary=Rotary(), mask=Mask.CAUSAL
        ),
        "memory_extra_source": replace(plain, extra_source=True, key_padding=True),
        "memory_extra_source_grouped": replace(
            grouped, extra_source=True, bias=BIASED, mask=Mask.CAUSAL
        ),
        "memory_cross": cross,
        "memory_cross_padded": replace(cross, key_padding=True, bias=BIASED),
        "memory_cross_values": replace(cross, values=3, key_padding=True, bias=BIASED),
        "memory_matrix_values": replace(plain, thalamus=Thalamus(value=Nucleus.MATRIX)),
        "memory_all_matrix_cross": replace(
            cross, thalamus=Thalamus(Nucleus.MATRIX, Nucleus.MATRIX, Nucleus.MATRIX)
        ),
    }


CASES: tuple[Case, ...] = tuple(
    Case(name, spec) for name, spec in {**_core(), **_special(), **_memory()}.items()
)

#: Cases whose circuits live in time, and are a softmax at rest.
LIVING: tuple[Case, ...] = tuple(Case(name, spec) for name, spec in _living().items())
