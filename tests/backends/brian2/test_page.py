"""docs/brian2.md, its benchmarks and its examples: what they say is what is so."""

import dataclasses
import io
import re
import runpy
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cortico.backends.brian2 import Options
from tests.needs import needs_weights

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
DRAW = runpy.run_path(str(ROOT / "docs" / "draw_brian2.py"))


@pytest.fixture
def benchmark(monkeypatch):
    """A function that loads a benchmark, which finds the files beside it."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return lambda name: runpy.run_path(str(ROOT / "benchmarks" / name))


# ---- the page --------------------------------------------------------------------------------------


def test_tables_are_those_measured(golden):
    text = DRAW["PAGE"].read_text(encoding="utf-8")
    made = DRAW["page"](text, DRAW["read"]("brian2_speed"), DRAW["read"]("spiking_error"))
    golden(made, "brian2.md", ROOT / "docs")


def test_every_option_is_listed_with_its_default():
    text = (ROOT / "docs" / "brian2.md").read_text(encoding="utf-8").partition("## Options")[2]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", text, flags=re.M)
    assert rows == [(field.name, str(field.default)) for field in dataclasses.fields(Options)]


def test_pictures_are_small():
    found = list((ROOT / "docs" / "pictures" / "brian2").glob("*.svg"))
    assert len(found) == 3
    assert all(path.stat().st_size < 200_000 for path in found)


def test_the_error_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    DRAW["picture"](DRAW["read"]("spiking_error"), tmp_path / "error.svg")
    assert b"</svg>" in (tmp_path / "error.svg").read_bytes()


# ---- benchmarks --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_networks_compute_attention(benchmark):
    """Emitted and by hand, 400 ms: the textbook's softmax attention; and the stopwatch ran."""
    bench = benchmark("brian2_speed.py")
    _, weights, x = bench["mask_circuit"](2)
    mask = bench["mask_circuit"](2)[0]
    emitted, seconds = bench["simulate_emitted"](mask, weights, x, "numpy", "synapses", 800)
    by_hand, _ = bench["simulate_by_hand"](weights, x, 800)
    expected = textbook(weights, x)
    assert np.abs(emitted - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.abs(by_hand - emitted).max() < 1e-12 * np.abs(expected).max()
    assert all(value > 0 for value in seconds.values())
    assert seconds["connect"] < seconds["build"]


def textbook(weights, x):
    total = np.zeros_like(x)
    for h in range(4):
        q, k, v = (x @ weights[name][h].T for name in ("W_Q", "W_K", "W_V"))
        mask = np.exp(q @ k.T / 4)
        total += mask / mask.sum(axis=1, keepdims=True) @ v @ weights["W_O"][h].T
    return total


def test_missed_goals_are_told(benchmark):
    bench = benchmark("brian2_speed.py")
    slow = {"tokens": 4, "ratio": {"step": 1.5, "connect": 1.0}}
    row = {"circuit": "minilm", "target": "cython", "start": 61.0, "processor": 50.0}
    assert list(bench["missed_goals"]({"by hand": [slow], "table": [row]})) == [
        "step at 4 tokens: 1.50 times that by hand",
        "first run of MiniLM's layer, cython: 61 s (50 s of the processor), goal 60 s",
    ]
    quick = {"tokens": 4, "ratio": {"step": 0.9, "connect": 1.0}}
    fast = {**row, "circuit": "mask"}
    assert list(bench["missed_goals"]({"by hand": [quick], "table": [fast]})) == []


def test_the_exponent_is_that_of_the_errors(benchmark):
    bench = benchmark("spiking_error.py")
    samples = [
        {"neurons": k, "ms": 1000, "seed": seed, "error": (1 + 0.1 * seed) * k**-0.5}
        for k in (10, 100, 1000)
        for seed in (-1, 1)
    ]
    other = {"neurons": 100, "ms": 250, "seed": 0, "error": 7.0}
    assert bench["slope"]([*samples, other], "neurons", {"ms": 1000}) == pytest.approx(-0.5)


def test_phases_are_times_since_the_last_spike(benchmark):
    """A leaky cell from 0 on: v = current (1 - exp(-t/tau)), t a part of its cycle."""
    wanted, tau, cycle = np.array([0.0, 0.25, 0.9]), np.array([12.0, 20.0, 10.0]), 30.0
    current = np.array([1.2, 3.0, 1.01])
    v = current * (1 - np.exp(-wanted * cycle / tau))
    somas = SimpleNamespace(v=v, current=current, tau_m=tau, cycle=np.full(3, cycle))
    assert benchmark("spiking_error.py")["phases"](somas) == pytest.approx(wanted)


# ---- examples ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_activity_settles_and_is_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    example = runpy.run_path(str(EXAMPLES / "brian2_settling.py"))
    with redirect_stderr(io.StringIO()):
        assert example["main"](tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"microcolumn.svg", "thalamus.svg"}
    assert capsys.readouterr().out.count("after 300 ms within") == 5


@pytest.mark.slow
def test_activity_that_has_not_settled_is_told(tmp_path):
    pytest.importorskip("matplotlib")
    main = runpy.run_path(str(EXAMPLES / "brian2_settling.py"))["main"]
    main.__globals__["MILLISECONDS"] = 50.0
    with redirect_stderr(io.StringIO()):
        assert main(tmp_path) == 1


@needs_weights
@pytest.mark.full
def test_a_real_layer_attends(capsys):
    main = runpy.run_path(str(EXAMPLES / "brian2_minilm.py"))["main"]
    assert main() == 0
    assert "6,170,640 synapses" in capsys.readouterr().out


@pytest.mark.full
@needs_weights
def test_a_layer_that_attends_to_something_else_is_told(monkeypatch, capsys):
    main = runpy.run_path(str(EXAMPLES / "brian2_minilm.py"))["main"]
    main.__globals__["SENTENCE"] = "Hello"
    read = main.__globals__["read_at"]

    def other(*given, **options):
        found = read(*given, **options)
        return replace(found, output=found.inputs["x"])

    monkeypatch.setitem(main.__globals__, "read_at", other)
    assert main() == 1
