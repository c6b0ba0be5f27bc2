"""0/1 inputs: zeros and ones of any type, and nothing else, in what runs circuits and in what is emitted."""

import warnings

import numpy as np
import pytest
import torch

from cortico import AttentionSpec, SpecError, get_runner, lower, random_weights
from cortico.backends import Runner, backend_names, get_backend
from cortico.backends.linking import definition
from tests.backends.simulators import ANNARCHY
from tests.oracle import textbook_attention

SPEC = AttentionSpec(4, 2, key_padding=True)
WEIGHTS = random_weights(SPEC)
CIRCUIT = lower(SPEC, WEIGHTS)
X = np.random.default_rng(0).standard_normal((3, 4))
LIVE = [True, False, True]
Y = textbook_attention(SPEC, WEIGHTS, X, keep=LIVE)

SAME = {
    "booleans": np.array(LIVE),
    "a list": LIVE,
    "whole numbers": [1, 0, 1],
    "bytes": np.array(LIVE, np.uint8),
    "floats": np.array([1.0, -0.0, 1.0], np.float16),
    "torch": torch.tensor(LIVE),
}
OTHERS = (0.5, -1, 2, np.nan, np.inf)
RUNNERS = [
    pytest.param(name, marks=ANNARCHY.needs) if name == "annarchy" else name
    for name in backend_names()
    if isinstance(get_backend(name), Runner)
]
SCRIPTS = ("annarchy", "brian2", "nengo", "nest", "neuron")


@pytest.mark.parametrize(
    ("backend", "form"),
    [
        *(("reference", form) for form in SAME),
        *((backend, form) for backend in ("numpy", "onnx") for form in ("a list", "floats")),
        *(pytest.param(backend, "floats", marks=pytest.mark.slow) for backend in ("torch", "jax")),
    ],
)
def test_zeros_and_ones_of_any_type(backend, form):
    found = get_runner(backend).run(CIRCUIT, {"x": X, "keep": SAME[form]})["y"]
    np.testing.assert_allclose(found, Y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", RUNNERS)
@pytest.mark.parametrize("other", OTHERS)
def test_other_numbers_are_refused(backend, other):
    """Before anything is run."""
    with pytest.raises(SpecError, match=rf"input 'keep' must hold 0 or 1, found {float(other)}$"):
        get_runner(backend).run(CIRCUIT, {"x": X, "keep": [1.0, other, 0.0]})


def test_scripts_check_them_too():
    """What a user gives to a script on the command line does not pass by cortico."""
    for name in SCRIPTS:
        texts = "\n".join(get_backend(name).emit(CIRCUIT).values())
        assert 'keep = 1.0 * checked("keep", flags("keep", keep), ["n"], sizes)' in texts
    namespace = {"np": np}
    exec(definition("cortico.backends.cells.template", "flags"), namespace)
    for array in ([1, 0, 1], np.array(LIVE), [[1.0], [0.0]]):
        assert namespace["flags"]("keep", array).tolist() == np.asarray(array).tolist()
    for other in OTHERS:
        with pytest.raises(ValueError, match=rf"^keep must hold 0 or 1, found {float(other)}$"):
            namespace["flags"]("keep", [1.0, other])


def test_a_call_that_is_compiled_does_not_look(tmp_path):
    """Whatever is not 0 counts as 1 where numbers cannot be looked at: documented, and the same everywhere."""
    import jax

    namespace = {"__name__": "a", "__file__": str(tmp_path / "a.py")}
    exec(get_backend("jax").emit(CIRCUIT)["attention_jax.py"], namespace)
    weights = {p.name: p.values for p in CIRCUIT.parameters}
    with jax.enable_x64(True):
        found = jax.jit(namespace["attention"])(weights, X, keep=np.array([0.5, 0, 2]))
    np.testing.assert_allclose(found, Y, rtol=1e-9, atol=1e-12)
    namespace = {"__name__": "a", "__file__": str(tmp_path / "a.py")}
    exec(get_backend("torch").emit(CIRCUIT)["attention_torch.py"], namespace)
    module = namespace["Attention"](weights, dtype=torch.float64)
    each = torch.func.vmap(lambda x, keep: module(x, keep=keep))
    with warnings.catch_warnings(action="ignore"):  # torch's kernel has no rule for batches
        found = each(torch.tensor(X)[None], torch.tensor([[0.5, 0, 2]]))[0]
    np.testing.assert_allclose(found.detach(), Y, rtol=1e-9, atol=1e-12)
