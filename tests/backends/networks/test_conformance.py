"""Every backend that runs networks block by block gives what the interpreter gives for the flat circuit."""

import numpy as np
import pytest

from cortico import SpecError
from cortico.backends import NetworkRunner, backend_names, get_backend, run_network
from cortico.lowering import lower_model
from cortico.spec.model_weights import random_model
from tests.backends.networks.models import SPECS, case, network

BY_BLOCKS = [name for name in backend_names() if isinstance(get_backend(name), NetworkRunner)]


#: JAX compiles for a second each: the others are left to `make rest`.
WITH_JAX = ("encoder",)
PAIRS = [
    pytest.param(
        name, backend, marks=[pytest.mark.full] * (backend == "jax" and name not in WITH_JAX)
    )
    for name in SPECS
    for backend in BY_BLOCKS
]


def required(backend):
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))


@pytest.fixture(params=BY_BLOCKS)
def backend(request):
    required(request.param)
    return request.param


def same(found, expected, tolerance=1e-10):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_equals_the_flat_circuit(name, backend):
    """In double precision; onnxruntime has not all functions there, so in single precision."""
    required(backend)
    if backend == "onnx":
        made = lower_model(SPECS[name], random_model(SPECS[name], 1, np.float32))
        inputs = {
            n: a.astype(np.float32) if a.dtype.kind == "f" else a
            for n, a in case(name).inputs.items()
        }
        found = run_network(made, inputs, backend)
        assert {array.dtype.name for array in found.values()} == {"float32"}
        same(found, case(name).expected, 1e-4)
    else:
        same(run_network(network(name), case(name).inputs, backend), case(name).expected)


def test_all_other_backends_run_the_flat_circuit():
    each = case("llama")
    same(run_network(each.network, each.inputs, "reference"), each.expected)


def test_inputs_are_refused_by_name(backend):
    ids = case("llama").inputs["tokens"]
    for wrong, told in ((ids + 50, "whole numbers from 0 to 49"), (ids * 1.0, "of type float64")):
        with pytest.raises(SpecError, match=f"'tokens' must hold .*{told}"):
            run_network(network("llama"), {"tokens": wrong}, backend)
    with pytest.raises(SpecError, match="'tokens' is missing"):
        run_network(network("llama"), {}, backend)


def test_a_node_without_arrays_is_named():
    told = r"network 'llama' has no weights at embedding, layer\[0\].pre_attention_norm"
    with pytest.raises(SpecError, match=told):
        run_network(lower_model(SPECS["llama"]), case("llama").inputs)
