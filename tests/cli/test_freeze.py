"""`cortico freeze`: what is printed and written, and errors."""

import numpy as np
import pytest

from cortico import freeze
from cortico.ir.text import load_circuit

SPEC = """
model = 8
heads = 2
key_features = 2
kernel = "linear"
cross = true
context = 3
"""


@pytest.fixture
def linear(cortico, home):
    """A linear cross attention, `linear/`, and a context, `context.npy`."""
    (home / "linear.toml").write_text(SPEC)
    assert cortico("compile", "linear.toml", "--random-weights", "0", "-o", "linear")[0] == 0
    np.save("context.npy", np.random.default_rng(0).standard_normal((6, 3)))


def test_what_is_left_is_written(cortico, home, linear):
    code, out, err = cortico("freeze", "linear", "--hold", "context=context.npy", "-o", "frozen")
    assert (code, err) == (0, "")
    frozen = load_circuit(home / "frozen" / "circuit.cortico")
    circuit = load_circuit(home / "linear" / "circuit.cortico")
    assert frozen == freeze(circuit, {"context": np.load("context.npy")})
    assert "neurons, with context held" in out
    assert "written to frozen: circuit.cortico, circuit.safetensors, attention.py" in out
    assert cortico("run", "frozen", "-i", "x.npy", "-o", "frozen.npy")[0] == 0
    np.savez("both.npz", x=np.load("x.npy"), context=np.load("context.npy"))
    assert cortico("run", "linear", "-i", "both.npz", "-o", "whole.npy")[0] == 0
    np.testing.assert_allclose(np.load("frozen.npy"), np.load("whole.npy"), rtol=1e-12)


def test_a_reading(cortico, home):
    assert cortico("freeze", "out", "--hold", "x[j, m]=x.npy", "-o", "frozen")[0] == 0
    assert cortico("run", "frozen", "-i", "x.npy", "-o", "frozen.npy")[0] == 0
    assert cortico("run", "out", "-i", "x.npy", "-o", "whole.npy")[0] == 0
    np.testing.assert_allclose(np.load("frozen.npy"), np.load("whole.npy"), rtol=1e-12)


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        ("contxt=context.npy", "no input 'contxt' (did you mean 'context'?)"),
        ("context=x.npy", "input 'context' has shape (5, 8), expected (…, 5, 3)"),
        ("context=both.npz", "holds several arrays, expected one for 'context'"),
        ("context=linear.toml", "it is no .npy or .npz file of numbers"),
    ],
)
def test_errors_leave_nothing(cortico, home, linear, hold, message):
    np.savez("both.npz", x=np.zeros(1))
    code, _, err = cortico("freeze", "linear", "--hold", hold, "-o", "frozen")
    assert code == 2 and message in err
    assert not (home / "frozen").exists()
