"""Hypothesis strategies for specs, with weights and inputs that fit them."""

from __future__ import annotations

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from cortico.ir import SpecError
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormKind,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    Thalamus,
)
from cortico.spec.weights import required_shapes

sizes = st.integers(1, 12)
extents = sizes | st.sampled_from(["n", "m", "n_context"])
finite = st.floats(allow_nan=False, allow_infinity=False)
microcircuits = st.sampled_from(Microcircuit)


@st.composite
def specs(draw, sizes=sizes, extents=extents, numbers=finite, microcircuits=microcircuits):
    """Any spec that is valid, small enough to run where the arguments are."""
    flags = [draw(st.booleans()) for _ in range(7)]
    try:
        return AttentionSpec(
            model=draw(sizes),
            heads=draw(st.integers(1, 4)),
            kv_heads=draw(st.none() | st.integers(1, 4)),
            key_features=draw(st.none() | st.sampled_from([2, 4, 8])),
            value_features=draw(st.none() | sizes),
            output=draw(st.none() | sizes),
            cross=(cross := draw(st.booleans())),
            context=draw(st.none() | sizes) if cross else None,
            values=draw(st.none() | sizes) if cross else None,
            context_tokens=draw(st.none() | extents) if cross else None,
            tokens=draw(extents),
            kernel=draw(st.sampled_from(Kernel)),
            mask=(mask := draw(st.sampled_from(Mask))),
            window=draw(sizes) if mask.has_window else None,
            key_padding=flags[0],
            scale=draw(st.none() | numbers),
            soft_cap=draw(st.none() | numbers),
            bias=Bias(*flags[1:5]),
            qk_norm=draw(
                st.none()
                | st.builds(
                    QueryKeyNorm,
                    st.sampled_from(NormOver),
                    numbers,
                    st.sampled_from(NormKind),
                    st.booleans(),
                    st.booleans(),
                )
            ),
            rotary=draw(st.none() | st.builds(Rotary, numbers, st.sampled_from(RotaryStyle))),
            position_bias=draw(st.sampled_from(PositionBias)),
            sink=flags[5],
            semi_saturation=draw(st.sampled_from([0.0, 0.0, 0.5, 3.0])),
            extra_source=flags[6],
            thalamus=Thalamus(*(draw(st.sampled_from(Nucleus)) for _ in range(3))),
            microcircuit=draw(microcircuits),
            name=draw(st.text(max_size=5)),
        )
    except SpecError:
        assume(False)


#: Specs small enough that the slow interpreter runs them.
small_specs = specs(
    st.integers(1, 6), st.integers(1, 4) | st.sampled_from(["n", "m"]), st.floats(0.1, 4.0)
)


@st.composite
def planted_weights(draw, spec):
    """Weights of `spec`; some of their slices are zero, or copies of their neighbours."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = {n: rng.standard_normal(shape) for n, shape in required_shapes(spec).items()}
    for array in weights.values():
        for _ in range(draw(st.integers(0, 2))):
            side = draw(st.integers(0, array.ndim - 1))
            index = draw(st.integers(0, array.shape[side] - 1))
            places = np.moveaxis(array, side, 0)
            places[index] = 0.0 if draw(st.booleans()) else places[index - 1]
    return weights


@st.composite
def inputs_of(draw, spec):
    """One example of the inputs of `spec`; symbolic numbers of tokens are drawn."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    numbers = {symbol: draw(st.integers(1, 4)) for symbol in ("n", "m", "n_context")}
    tokens = numbers.get(spec.tokens, spec.tokens)
    source = numbers.get(spec.source_tokens, spec.source_tokens)
    arrays = {"x": rng.standard_normal((tokens, spec.model))}
    if spec.cross:
        arrays["context"] = rng.standard_normal((source, spec.d_context))
    if spec.values:
        arrays["values"] = rng.standard_normal((source, spec.values))
    if spec.position_bias is PositionBias.INPUT:
        arrays["score_bias"] = rng.standard_normal((tokens, source))
    if spec.key_padding:
        arrays["keep"] = rng.random(source) < 0.7
    return arrays
