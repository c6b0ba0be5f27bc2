"""What is JAX's own in emitted models: compilation, gradients, weights."""

import numpy as np
import pytest

from cortico import get_backend
from cortico.ir.text import save_network
from cortico.ir.text.networks import stored_arrays
from tests.backends.networks.emitted import emitted
from tests.backends.networks.models import case, network

jax = pytest.importorskip("jax")


def test_gradients_are_pytorchs():
    torch = pytest.importorskip("torch")
    weights, tokens = stored_arrays(network("llama")), case("llama").inputs["tokens"]
    model = emitted("jax", network("llama"))["model"]
    with jax.enable_x64(True):
        found = jax.jit(jax.grad(lambda w: (model(w, tokens)[1] ** 2).sum()))(weights)
    separate = {name: array.copy() for name, array in weights.items()}
    other = emitted("torch", network("llama"))["Model"](separate)
    (other(torch.asarray(tokens, copy=True))[1] ** 2).sum().backward()
    for path in ("embedding", "layer[0].attention", "layer[1].feed_forward", "readout"):
        block = next(m for m in other.modules() if getattr(m, "path", None) == path)
        for name, expected in block.weights(gradients=True).items():
            np.testing.assert_allclose(found[f"{path}.{name}"], expected, rtol=1e-9, atol=1e-9)


def test_what_is_missing_is_named_by_its_path():
    weights = stored_arrays(network("llama"))
    del weights["layer[1].attention.W_K"], weights["attention:frequencies"]
    with pytest.raises(ValueError, match=r"missing: layer\[1\].attention.W_K, attention:freq"):
        emitted("jax", network("llama"))["model"](weights, np.arange(3))


def test_weights_are_read_from_the_file_beside(tmp_path):
    save_network(network("vectors"), tmp_path / "network.cortico")
    source = get_backend("jax").network_source(network("vectors"))
    namespace = {"__name__": "model", "__file__": str(tmp_path / "model_jax.py")}
    exec(source, namespace)
    stored = namespace["stored"]()
    assert {*stored} == {*stored_arrays(network("vectors"))}
