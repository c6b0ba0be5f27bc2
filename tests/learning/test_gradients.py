"""Gradient circuits against PyTorch's autograd on the whole table, and against finite differences."""

import numpy as np
import pytest

from cortico.backends.numpy import compile_source
from cortico.backends.numpy.emitter import emit_source
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec.weights import required_shapes
from tests.cases import BATCH, CASES
from tests.covering import every_case, first
from tests.learning.numbers import autograd, gradients_of, largest, target_of

CASE = {case.name: case for case in CASES}

#: One of each kind of weight and of each place where it may act.
DIFFERENCES = (
    "linear-mask_causal-padded-grouped-biased",
    "softmax-mask_window-padded-biased",
    "table_linear",
    "cross_grouped_table",
    "alibi_grouped",
    "alibi_linear_padded",
    "gpt2",
    "everything",
    "memory_llama",
    "memory_cross_padded",
    "rotary_partial_interleaved",
    "sink_causal_padded",
    "semi_saturated_extra_source",
)


@pytest.mark.parametrize("backend", ["numpy", "reference"])
@pytest.mark.parametrize("case", every_case())
def test_gradients_are_autograd(case, backend):
    circuit = gradient_circuit(differentiate(lower(case.spec, case.weights)))
    found = gradients_of(circuit, {**case.inputs, "target": target_of(case)}, backend)
    examples, total = autograd(case)
    assert set(found) == set(required_shapes(case.spec))  # frequencies are not trained
    for name, array in found.items():
        for k in range(BATCH):
            close = 1e-10 * largest(examples[k])
            np.testing.assert_allclose(array[k], examples[k][name], rtol=0, atol=close)
        close = 1e-10 * largest(total)
        np.testing.assert_allclose(array.sum(0), total[name], rtol=0, atol=close)


@pytest.mark.parametrize("case", every_case())
def test_gradients_in_float32(case):
    weights = {name: array.astype(np.float32) for name, array in case.weights.items()}
    circuit = gradient_circuit(differentiate(lower(case.spec, weights)))
    inputs = {**case.inputs, "target": target_of(case)}
    single = {n: a if a.dtype == bool else a.astype(np.float32) for n, a in inputs.items()}
    found, expected = gradients_of(circuit, single), autograd(case)[0]
    assert set(found) == set(required_shapes(case.spec))
    for name, array in found.items():
        assert array.dtype == np.float32
        for k in range(BATCH):
            close = 1e-5 * largest(expected[k])
            np.testing.assert_allclose(array[k], expected[k][name], rtol=0, atol=close)


@pytest.mark.slow
@pytest.mark.parametrize("passes", first(2, ["none", "aggressive", "default"]))
@pytest.mark.parametrize("name", DIFFERENCES)
def test_gradients_are_slopes_of_the_emitted_forward_code(name, passes):
    """Of circuits as they are lowered, and as passes leave them, with parameters of their own."""
    case = CASE[name]
    forward, _ = run_passes(lower(case.spec, case.weights), parse_passes(passes))
    circuit = gradient_circuit(differentiate(forward))
    inputs, target = case.inputs, target_of(case)
    found = gradients_of(circuit, {**inputs, "target": target})
    attention = compile_source(emit_source(forward))
    weights = {p.name: p.values.copy() for p in forward.parameters if p.values is not None}
    assert set(found) == set(weights) - {"frequencies"}

    def loss():
        return 0.5 * ((attention(**inputs, weights=weights) - target) ** 2).sum()

    total = {name: array.sum(0) for name, array in found.items()}
    for name, array in total.items():
        for index in entries(array):
            slope = central_difference(loss, weights[name], index)
            assert abs(array[index] - slope) <= 1e-6 * largest(total), (name, index)


def entries(array, most=24):
    """Indices of the array: all, or `most` of them."""
    every = list(np.ndindex(array.shape))
    chosen = np.random.default_rng(0).permutation(len(every))[:most]
    return [every[k] for k in chosen]


def central_difference(loss, array, index, step=1e-5):
    kept = array[index]
    losses = []
    for side in (1, -1):
        array[index] = kept + side * step
        losses.append(loss())
    array[index] = kept
    return (losses[0] - losses[1]) / (2 * step)
