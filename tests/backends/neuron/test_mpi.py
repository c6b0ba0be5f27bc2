"""The emitted NEURON script under mpiexec: MPI says how many processes there are, and is ended."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cortico import AttentionSpec, compile_attention, random_weights
from cortico.backends.neuron import mechanisms
from cortico.backends.neuron.running import compiled
from tests.backends.simulators import MPI, NEURON, needs_mpi


@NEURON.needs
@needs_mpi
@pytest.mark.slow
@pytest.mark.parametrize("start", [[], ["mpiexec", "-n", "1"], ["mpiexec", "-n", "2"]], ids=len)
def test_ends_well_on_any_number_of_processes(tmp_path, start):
    spec = AttentionSpec(model=2, heads=2, tokens=2)
    weights = random_weights(spec, 0)
    compile_attention(spec, weights, passes="none", backend="neuron").write(tmp_path)
    x = np.random.default_rng(0).standard_normal((2, 2))
    np.savez(tmp_path / "x.npz", x=x)
    files = [tmp_path / name for name in ("attention_neuron.py", "x.npz", "y.npz")]
    command = [*start, sys.executable, str(files[0]), str(files[1]), "-o", str(files[2])]
    folder = compiled(tuple(mechanisms().items()))  # NEURON loads what is compiled here
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **MPI}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = np.load(files[2])["y"]
    namespace = {"__file__": str(tmp_path / "attention.py")}
    compile_attention(spec, weights, passes="none").write(tmp_path, force=True)
    exec((tmp_path / "attention.py").read_text(), namespace)
    np.testing.assert_allclose(found, namespace["attention"](x), rtol=1e-7, atol=1e-9)
