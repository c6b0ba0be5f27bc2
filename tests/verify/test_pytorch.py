"""The checker in PyTorch against the oracle, and the numbers on which it is asked."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import UnsupportedError
from cortico.spec import AttentionSpec, NormKind, NormOver, QueryKeyNorm
from cortico.spec.weights import random_weights
from cortico.verify.numbers import Numbers
from cortico.verify.pytorch import torch_block
from tests.covering import every_case
from tests.oracle import textbook_attention

NORMED = AttentionSpec(model=8, heads=2, qk_norm=QueryKeyNorm())


@pytest.mark.parametrize("case", every_case())
def test_the_output_is_the_oracles(case):
    for example in range(2):
        inputs = {name: array[example] for name, array in case.inputs.items()}
        expected = textbook_attention(case.spec, case.weights, **inputs)
        found = torch_block(case.spec, case.weights, inputs, np.ones_like(expected)).y
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def softened(spec, **factors):
    """What is left of the inputs when scores are made small; weights are multiplied with `factors`."""
    weights = {n: factors.get(n, 1.0) * w for n, w in random_weights(spec).items()}
    numbers = Numbers(spec, weights, (5, 4))
    before = np.abs(numbers.inputs["x"]).max()
    numbers.soften()
    return np.abs(numbers.inputs["x"]).max() / before


@pytest.mark.parametrize("over", NormOver)
def test_norms_take_the_size_of_maps_away_and_not_that_of_gains(over):
    spec = replace(NORMED, qk_norm=QueryKeyNorm(over))
    assert softened(spec, W_Q=1e6, W_K=1e6) == 1
    assert softened(replace(spec, qk_norm=None), W_Q=1e6, W_K=1e6) < 1e-4
    assert softened(spec, gain_Q=1e3, gain_K=1e6) < 1e-4  # as small as eps
    assert softened(replace(spec, soft_cap=30.0), gain_Q=1e3, gain_K=1e6) == 1


def test_of_one_feature_a_layer_norm_leaves_its_bias():
    """However large the gain is; where the bias alone makes large scores, no input is small enough."""
    alone = QueryKeyNorm(kind=NormKind.LAYER)
    spec = replace(NORMED, key_features=1, qk_norm=alone)
    assert softened(spec, gain_Q=1e6, gain_K=1e6) == 1
    assert softened(replace(spec, qk_norm=QueryKeyNorm()), gain_Q=1e3, gain_K=1e3) < 1
    biased = replace(spec, qk_norm=replace(alone, bias=True))
    assert softened(biased) == 1
    with pytest.raises(UnsupportedError, match="overflow even for small inputs"):
        softened(biased, shift_Q=1e6)
