"""Whole models by the backends that have a form for networks, and by one that takes the flat circuit."""

from pathlib import Path

import numpy as np
import pytest

from cortico.frontends.spec_file import read_model_spec
from cortico.spec.model_weights import random_model
from tests.cli.test_commands import ok
from tests.model_oracle import forward

SPEC = """
name = "tiny"
[stack]
model = 8
embedding = { vocabulary = 9, model = 8 }
norm = { model = 8 }
[[stack.layers]]
times = 2
[[stack.layers.steps]]
branches = [{ attention = { model = 8, heads = 2, mask = "causal" }, before = { model = 8 } }]
[[stack.layers.steps]]
branches = [{ feed_forward = { model = 8, hidden = 12, transfer = "tanh" }, before = { model = 8 } }]
[readout]
tied = true
logits = { model = 8, output = 9 }
"""


@pytest.mark.parametrize(
    ("backend", "file"),
    [
        ("numpy", "model.py"),
        pytest.param("torch", "model_torch.py", marks=pytest.mark.slow),
        pytest.param("jax", "model_jax.py", marks=pytest.mark.slow),
        ("onnx", "model.onnx"),
        ("nengo", "attention_nengo.py"),
    ],
)
def test_compiled_and_run(cortico, home, backend, file):
    Path("tiny.toml").write_text(SPEC)
    ok(cortico("compile", "tiny.toml", "--random-weights", 1, "--backend", backend, "-o", "made"))
    assert (home / "made" / file).is_file()
    np.savez("ids.npz", tokens=[3, 1, 4, 1])
    ok(cortico("run", "made", "-i", "ids.npz", "--backend", backend, "-o", "out.npz"))
    spec = read_model_spec("tiny.toml")
    expected = forward(spec, random_model(spec, 1), np.array([3, 1, 4, 1]))
    np.testing.assert_allclose(np.load("out.npz")["logits"], expected["logits"], atol=1e-6)


def test_what_a_backend_lacks_is_said_by_path(cortico, home):
    Path("tiny.toml").write_text(SPEC.replace("tanh", "gelu"))
    code, _, errors = cortico(
        "compile", "tiny.toml", "--random-weights", 1, "--backend", "nest", "-o", "made"
    )
    assert code == 1 and "layer[0].feed_forward" in errors and "gelu" in errors
    assert not Path("made").exists()
