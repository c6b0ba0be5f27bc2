"""Circuits against the textbook, entry by entry in SymPy."""

from dataclasses import replace

import numpy as np
import pytest
import sympy

from cortico.ir import Circuit, SpecError
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
)
from cortico.spec.weights import random_weights
from cortico.verify.exact.elementwise import (
    check_elementwise,
    elementwise_meaning,
    spec_symbols,
)
from cortico.verify.exact.symbols import Formal, TooManyTermsError
from cortico.verify.exact.textbook import textbook
from tests.covering import first
from tests.oracle import textbook_attention

BIASED = Bias(query=True, key=True, value=True, output=True)
SOFT = AttentionSpec(model=2)
LINEAR = replace(SOFT, kernel=Kernel.LINEAR)
MEMORY = replace(LINEAR, microcircuit=Microcircuit.MEMORY)

SPECS = {
    "softmax": SOFT,
    "softmax_biased": replace(SOFT, heads=2, bias=BIASED),
    "linear": replace(LINEAR, heads=2),
    "linear_biased": replace(LINEAR, bias=BIASED, key_padding=True),
    "causal": replace(SOFT, heads=2, mask=Mask.CAUSAL, bias=BIASED),
    "window": replace(SOFT, heads=2, mask=Mask.WINDOW, window=1),
    "padded": replace(SOFT, key_padding=True, mask=Mask.CAUSAL),
    "sink": replace(SOFT, sink=True, key_padding=True),
    "saturated": replace(SOFT, semi_saturation=0.5, sink=True, extra_source=True, key_padding=True),
    "extra": replace(SOFT, extra_source=True, sink=True, mask=Mask.CAUSAL),
    "extra_linear": replace(LINEAR, extra_source=True, key_padding=True, bias=BIASED),
    "alibi": replace(SOFT, heads=2, position_bias=PositionBias.ALIBI),
    "table": replace(SOFT, tokens=2, position_bias=PositionBias.TABLE),
    "table_linear": replace(LINEAR, tokens=2, position_bias=PositionBias.TABLE),
    "scaled": replace(SOFT, scale=0.3),
    "rotary": replace(SOFT, rotary=Rotary()),
    "rotary_interleaved": replace(LINEAR, rotary=Rotary(style=RotaryStyle.INTERLEAVED)),
    "rotary_pairs": replace(SOFT, model=1, key_features=4, value_features=1, rotary=Rotary()),
    "rotary_partial": replace(
        SOFT, model=1, key_features=4, value_features=1, rotary=Rotary(rotated=2)
    ),
    "capped": replace(SOFT, model=1, key_features=2, soft_cap=0.7),
    "capped_linear": replace(LINEAR, soft_cap=1.5, bias=BIASED, mask=Mask.CAUSAL),
    "normed": replace(SOFT, model=1, key_features=2, qk_norm=QueryKeyNorm()),
    "normed_width": replace(
        LINEAR, model=1, heads=2, key_features=2, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.5)
    ),
    "normed_rotary": replace(
        SOFT, model=1, key_features=2, qk_norm=QueryKeyNorm(), rotary=Rotary()
    ),
    "grouped": AttentionSpec(model=1, heads=2, kv_heads=1, key_features=1, bias=BIASED),
    "wide": replace(SOFT, key_features=1, value_features=2, output=1),
    "cross": replace(SOFT, cross=True, context=1, key_padding=True),
    "score_bias": replace(SOFT, heads=2, position_bias=PositionBias.INPUT),
    "cross_values": replace(SOFT, cross=True, context=1, values=1),
    "memory": replace(MEMORY, mask=Mask.CAUSAL, bias=BIASED),
    "memory_extra": replace(MEMORY, mask=Mask.CAUSAL, extra_source=True),
    "memory_cross": replace(MEMORY, cross=True, context=1, key_padding=True),
}


def compiled(spec, passes):
    return run_passes(lower(spec), parse_passes(passes))[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", first(6, SPECS))
@pytest.mark.parametrize(
    "passes", ["none", "default", pytest.param("aggressive", marks=pytest.mark.full)]
)
def test_equals_the_textbook(name, passes):
    result = check_elementwise(SPECS[name], compiled(SPECS[name], passes))
    assert result.equal, result.text
    assert result.entries >= 2 * SPECS[name].d_output


def test_three_tokens():
    spec = AttentionSpec(model=1, mask=Mask.WINDOW, window=2)
    result = check_elementwise(spec, lower(spec), {"n": 3})
    assert result.text == "the circuit equals the textbook in 3 SymPy expressions, n = 3"


WRONG = {
    "another mask": ("causal", {"mask": Mask.NONE}),
    "another kernel": ("softmax", {"kernel": Kernel.LINEAR}),
    "no scale": ("softmax", {"scale": 1.0}),
    "a scale that is off in its last digit": ("scaled", {"scale": 0.30000000000000004}),
    "an extra source": ("softmax", {"extra_source": True}),
    "another window": ("window", {"window": 2}),
}


@pytest.mark.parametrize("what", WRONG)
def test_another_circuit_is_refused(what):
    name, change = WRONG[what]
    result = check_elementwise(replace(SPECS[name], **change), lower(SPECS[name]))
    assert not result.equal
    assert "is not the textbook's" in result.text
    assert "first in y[" in result.text


@pytest.mark.slow
def test_the_textbook_is_the_oracle_in_numbers():
    rng = np.random.default_rng(0)
    for spec in SPECS.values():
        weights = random_weights(spec, 1)
        x, keep = rng.standard_normal((2, spec.model)), np.array([False, True])
        context = rng.standard_normal((2, spec.d_context)) if spec.cross else None
        exact = {name: values(array) for name, array in weights.items()}
        if spec.rotary:
            exact["rotary_frequencies"] = values(
                spec.rotary.base
                ** (-2 * np.arange(spec.rotated_features // 2) / spec.rotated_features)
            )
        arguments = {"keep": keep} if spec.key_padding else {}
        own = {"values": rng.standard_normal((2, spec.values))} if spec.values else {}
        if spec.position_bias is PositionBias.INPUT:
            own["score_bias"] = rng.standard_normal((2, 2))
        inputs = {"x": values(x), **({} if context is None else {"context": values(context)})}
        inputs |= {name: values(array) for name, array in own.items()}
        found = textbook(spec, exact, inputs | arguments, Formal())
        expected = textbook_attention(spec, weights, x, context, **arguments, **own)
        numbers = np.array([[float(sympy.N(entry.payload)) for entry in row] for row in found])
        np.testing.assert_allclose(numbers, expected, rtol=1e-11)


def values(array):
    return np.frompyfunc(sympy.Float, 1, 1)(array)


def test_the_meaning_in_sympy():
    spec = AttentionSpec(model=1, kernel=Kernel.LINEAR)
    meaning = elementwise_meaning(lower(spec), {"n": 1})["y"]
    x = sympy.Symbol("x[0, 0]", real=True)
    weights = [spec_symbols(spec)[name].item() for name in ("W_K", "W_Q", "W_V", "W_O")]
    assert sympy.expand(meaning[0, 0] - sympy.prod(weights) * x**3) == 0


def test_too_large():
    spec = AttentionSpec(model=8, heads=4)
    result = check_elementwise(spec, lower(spec))
    assert result.too_large
    assert not result.equal
    assert "too large" in result.text
    with pytest.raises(TooManyTermsError):
        elementwise_meaning(lower(spec), {"n": 2})
    many = replace(SPECS["padded"], model=1)
    assert check_elementwise(many, lower(many), {"n": 6}).too_large


def test_tensors_that_the_spec_lacks():
    circuit = lower(SOFT)
    renamed = replace(
        circuit, parameters=tuple(replace(p, name=f"{p.name}_v2") for p in circuit.parameters)
    )
    assert isinstance(renamed, Circuit)
    with pytest.raises(SpecError, match="W_Q_v2, W_K_v2"):
        check_elementwise(SOFT, renamed)
