"""Cells of token identity in simulators: the scripts are given whole numbers, and refuse what is none."""

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.array_files import save_npz
from cortico.ir import Unfold
from cortico.ir.rewrite import map_axes
from tests.backends.simulators import IN_PROCESS, NENGO
from tests.tokens.circuits import ROWS, VOCABULARY, embedding, expected, weights
from tests.tokens.readings import READINGS

CIRCUIT = embedding()
RNG = np.random.default_rng(0)
IDS, GIVEN = RNG.integers(0, VOCABULARY, (2, 3)), weights(RNG)
brian2 = pytest.mark.skipif(importlib.util.find_spec("brian2") is None, reason="no brian2")


@pytest.mark.parametrize("simulator", IN_PROCESS)
def test_one_example(simulator):
    found = simulator.settle(CIRCUIT, {"tokens": IDS[0]}, GIVEN)
    for name, wanted in expected(IDS[0], GIVEN).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("simulator", IN_PROCESS)
@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([0, VOCABULARY], "tokens must hold whole numbers from 0 to 10, found 11"),
        ([0, 1.5], "tokens must hold whole numbers from 0 to 10, found 1.5 of type float64"),
        ([[0, 1]], r"tokens has shape \(1, 2\), expected \('n'\)"),
        ([0] * (ROWS + 1), "positions: 10 tokens, the table position_table has 9 rows"),
    ],
)
def test_scripts_refuse_what_is_no_token(simulator, ids, told):
    with pytest.raises(ValueError, match=told):
        simulator.simulate(CIRCUIT, {"tokens": np.array(ids)}, GIVEN)


@NENGO.needs
@pytest.mark.slow
def test_a_script_alone_reads_numbers_of_tokens(tmp_path):
    """A batch of them, from a file."""
    (tmp_path / "script.py").write_text(NENGO.source(CIRCUIT), encoding="utf-8")
    save_npz(tmp_path / "weights.npz", GIVEN)
    save_npz(tmp_path / "inputs.npz", {"tokens": IDS})
    command = [sys.executable, "script.py", "inputs.npz", "--weights", "weights.npz"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with np.load(tmp_path / "outputs.npz") as found:
        np.testing.assert_allclose(found["y"], expected(IDS, GIVEN)["y"], rtol=1e-9)
    save_npz(tmp_path / "inputs.npz", {"tokens": IDS + VOCABULARY})
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "tokens must hold whole numbers from 0 to 10, found" in done.stderr


@brian2
@pytest.mark.slow
@pytest.mark.parametrize("form", ["synapses", pytest.param("fast", marks=pytest.mark.full)])
def test_brian2(form):
    found = get_backend("brian2", form=form).run(CIRCUIT, {"tokens": IDS[0]}, GIVEN)
    for name, wanted in expected(IDS[0], GIVEN).items():
        np.testing.assert_allclose(found[name], wanted, atol=1e-6)


@brian2
@pytest.mark.full
def test_brian2_where_tokens_come_one_after_another():
    circuit = READINGS["past tokens"].circuit
    in_time = {"i": Unfold.TIME, "j": Unfold.TIME}
    timed = map_axes(circuit, lambda a: replace(a, unfold=in_time.get(a.name, a.unfold)))
    table = RNG.standard_normal((7, 5))
    found = get_backend("brian2").run(timed, {"tokens": IDS[0] % 7}, {"W": table})["y"]
    np.testing.assert_allclose(found, np.cumsum(table[IDS[0] % 7], 0), atol=1e-5)
