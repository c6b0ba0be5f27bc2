"""What cannot run in time is told in one readable error: which thing, what was found, what was expected."""

from dataclasses import replace

import numpy as np
import pytest

from cortico import AttentionSpec, CorticoError, lower, random_weights, save_circuit
from cortico.backends import get_backend, require_support
from cortico.ir import CircuitError, Delay, SpecError
from tests.in_time.circuits import X, looped, trn_loop

SPEC = AttentionSpec(4, normalisation="feedback")
LOOP = lower(SPEC, random_weights(SPEC))
INPUTS = {"x": np.random.default_rng(0).normal(size=(3, 4))}
#: Those that run circuits in time and need nothing else.
RUNNERS = ("reference", "brian2")


def told(backend, circuit, inputs, **options):
    """The error of a run, which is one of cortico."""
    if backend == "brian2":
        pytest.importorskip("brian2")
    with pytest.raises(CorticoError) as caught:
        runner = get_backend(backend, **options)
        require_support(runner, circuit)
        runner.run(circuit, inputs)
    return str(caught.value)


def test_a_cycle_without_a_delay():
    with pytest.raises(CircuitError, match="in which nothing has a delay or integrates") as caught:
        trn_loop(delay=None)
    assert "core" in str(caught.value) and "trn" in str(caught.value)


@pytest.mark.parametrize("backend", RUNNERS)
def test_a_delay_below_dt(backend):
    late = looped(0.5, Delay(0.05))
    found = told(backend, late, {"x": [1.0]}, dt=0.1, duration=5.0)
    assert "'back' has a delay of 0.05 ms" in found and "0.1 ms" in found


@pytest.mark.parametrize("backend", [RUNNERS[0], pytest.param(RUNNERS[1], marks=pytest.mark.full)])
def test_a_loop_that_diverges(backend):
    found = told(backend, looped(900.0, transfer="exp"), {"x": [1.0]}, dt=0.5)
    assert "diverge" in found and ("'loop'" in found or "cell has a rate" in found)


def test_a_loop_that_has_no_rest_where_rest_is_computed():
    found = told("numpy", trn_loop(), {"x": X})
    assert "rest is not known in closed form: core, trn" in found and "'numpy'" in found


def test_prospective_cells_that_spike():
    with pytest.raises(SpecError, match="prospective of backend brian2 is for rate cells"):
        get_backend("brian2", prospective=True, cells="lif")


@pytest.mark.parametrize("backend", ["brian2", "nengo"])
@pytest.mark.parametrize(("option", "words"), [
    ("monitor", "no population is called 'nobody'; there are: matrix_query"),
    ("spikes", "records cells that spike, and these are rate units"),
])  # fmt: skip
def test_recording_what_is_not_there(backend, option, words):
    pytest.importorskip(backend)
    assert words in told(backend, LOOP, INPUTS, **{option: "nobody"})


@pytest.mark.full
def test_numbers_that_are_none_are_no_input_of_a_network():
    wrong = {"x": INPUTS["x"] * [np.nan, 1, 1, 1]}
    assert "x has numbers that are NaN or infinite" in told("brian2", LOOP, wrong)


@pytest.mark.parametrize("name", ["numpy", "onnx", "torch", "jax"])
@pytest.mark.parametrize("option", ["prospective", "duration", "token_ms", "monitor"])
def test_options_of_time_where_rest_is_computed(name, option):
    with pytest.raises(SpecError) as caught:
        get_backend(name, **{option: 5.0})
    assert option in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("backend", RUNNERS)
def test_a_stream_without_an_axis_of_time(backend):
    found = told(backend, LOOP, INPUTS, token_ms=5.0)
    assert "token_ms needs inputs with" in found and found.endswith("found none")


def test_a_circuit_without_weights_on_the_command_line(tmp_path, monkeypatch, capfd):
    from cortico.cli import main

    monkeypatch.chdir(tmp_path)
    save_circuit(lower(SPEC), "bare.cortico")
    save_circuit(lower(replace(SPEC, normalisation="division")), "flat.cortico")
    np.save("x.npy", INPUTS["x"])
    for name, backend in (("bare", "reference"), ("bare", "numpy"), ("flat", "numpy")):
        assert main(["run", f"{name}.cortico", "-i", "x.npy", "--backend", backend]) == 2
        error = capfd.readouterr().err
        assert "compiled without weights" in error and "give --weights FILE" in error
        assert "W_K, W_O, W_Q, W_V have no values" in error and error.count("\n") == 1
