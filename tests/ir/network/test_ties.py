"""Arrays that have several names, as of a tied readout: stored once, counted once, and one array again."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cortico.backends import get_backend
from cortico.ir import CircuitError
from cortico.ir.tensors import tied_arrays
from cortico.ir.text import load_circuit, load_network, save_circuit, save_network
from tests.ir.network.networks import stack


def tied():
    """Two levels whose keys are one array, and whose other weights have equal numbers twice."""
    made = stack()
    first, second = made.nodes
    values = {name: array.copy() for name, array in first.values.items()}
    values["W_K"] = first.values["W_K"]
    return replace(made, nodes=(first, replace(second, values=values)))


def test_what_is_one_array_is_stored_once(tmp_path):
    save_network(tied(), tmp_path / "network.cortico")
    weights = tmp_path / "network.safetensors"
    names = {f"layer[{k}].attention.{name}" for k in (0, 1) for name in tied().nodes[0].values}
    assert set(load_file(weights)) == names - {"layer[1].attention.W_K"}
    with safe_open(weights, "numpy") as file:
        found = json.loads(file.metadata()["tied"])
    assert found == {"layer[1].attention.W_K": "layer[0].attention.W_K"}
    again = load_network(tmp_path / "network.cortico")
    assert again == tied()
    first, second = again.nodes
    assert second.values["W_K"] is first.values["W_K"]
    assert second.values["W_Q"] is not first.values["W_Q"]
    flat = tied().flatten()
    save_circuit(flat, tmp_path / "flat.cortico")
    assert load_circuit(tmp_path / "flat.cortico") == flat
    assert (tmp_path / "flat.safetensors").stat().st_size < weights.stat().st_size + 200


def test_numbers_of_one_array_are_counted_once():
    alone, both = stack().counts(), tied().counts()
    assert both.parameters == alone.parameters - tied().nodes[0].values["W_K"].size
    assert (both.neurons, both.synapses) == (alone.neurons, alone.synapses)


def test_in_float64_one_array_stays_one():
    made = tied()
    values = [{name: a.astype(np.float32) for name, a in n.values.items()} for n in made.nodes]
    values[1]["W_K"] = values[0]["W_K"]
    nodes = zip(made.nodes, values, strict=True)
    narrow = replace(made, nodes=tuple(replace(n, values=own) for n, own in nodes))
    wide = narrow.in_float64()
    assert {a.dtype.name for n in wide for a in n.values.values()} == {"float64"}
    assert wide.counts().parameters == made.counts().parameters


def test_arrays_are_one_where_they_are_read_alike():
    array = np.arange(6.0).reshape(2, 3)
    others = {"view": array[:], "turned": array.T, "copy": array.copy(), "flat": array.reshape(-1)}
    assert tied_arrays({"array": array, **others}) == {"view": "array"}
    fixed = array[:]
    fixed.flags.writeable = False
    assert tied_arrays({"array": array, "fixed": fixed}) == {"fixed": "array"}


@pytest.mark.parametrize("name", ["numpy", "torch", pytest.param("jax", marks=pytest.mark.full)])
def test_emitted_code_reads_it(name, tmp_path):
    pytest.importorskip(name)
    save_network(tied(), tmp_path / "network.cortico")
    x = np.random.default_rng(0).standard_normal((5, 4))
    expected = get_backend("reference").run(tied().flatten(), {"x": x})["y"]
    namespace = {"__name__": "model", "__file__": str(tmp_path / "model.py")}
    exec(get_backend(name).network_source(stack()), namespace)  # which knows of no ties
    found = FROM_FILE[name](namespace, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def of_torch(namespace, x):
    import torch

    return namespace["Model"]()(torch.asarray(x)).detach().numpy()


FROM_FILE = {
    "numpy": lambda namespace, x: namespace["model"](x),
    "torch": of_torch,
    "jax": lambda namespace, x: namespace["model"](namespace["stored"](), x),
}


@pytest.mark.parametrize(
    ("tied", "message"),
    [
        ("[1]", "metadata 'tied' must be JSON of names by name, found '[1]'"),
        ("{", "metadata 'tied' must be JSON of names by name, found '{'"),
        ('{"layer[1].attention.W_K": 2}', "must be JSON of names by name"),
        ('{"layer[1].attention.W_K": "W_K"}', "lack layer[1].attention.W_K"),
        (
            '{"layer[0].attention.W_Q": "layer[0].attention.W_K"}',
            "hold 'layer[0].attention.W_Q', and say that it is 'layer[0].attention.W_K'",
        ),
        ('{"layer[1].attention.W_K": "layer[0].attention.W_V"}', "as F64 (2, 4, 2)"),
        ("{}", "lack layer[1].attention.W_K"),
    ],
)
def test_ties_that_say_nothing(tied, message, tmp_path):
    path = tmp_path / "network.cortico"
    save_network(stack(), path)
    arrays = load_file(tmp_path / "network.safetensors")
    del arrays["layer[1].attention.W_K"]
    if "W_V" in tied:
        arrays["layer[0].attention.W_V"] = np.zeros((2, 4, 2))
    save_file(arrays, tmp_path / "network.safetensors", {"tied": tied})
    with pytest.raises(CircuitError, match=re.escape(message)):
        load_network(path)
