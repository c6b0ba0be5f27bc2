"""Every backend that runs networks block by block gives what the interpreter gives for the flat circuit."""

import numpy as np
import pytest

from cortico import SpecError
from cortico.backends import NetworkRunner, backend_names, get_backend, run_network
from cortico.lowering import lower_model
from tests.backends.networks.models import SPECS, case, network

BY_BLOCKS = [name for name in backend_names() if isinstance(get_backend(name), NetworkRunner)]


@pytest.fixture(params=BY_BLOCKS)
def backend(request):
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return request.param


def same(found, expected, tolerance=1e-10):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SPECS)
def test_equals_the_flat_circuit(name, backend):
    each = case(name)
    same(run_network(each.network, each.inputs, backend), each.expected)


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
    with pytest.raises(SpecError, match="parameters of 'embedding' are wrong") as caught:
        run_network(lower_model(SPECS["llama"]), case("llama").inputs)
    assert str(caught.value).count("W_token") == 1
