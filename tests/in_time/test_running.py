"""The backend `reference` in time: until a circuit rests, for a duration, on a stream; and on the command line."""

import numpy as np
import pytest

from cortico import AttentionSpec, CircuitError, SpecError, lower, random_weights, save_circuit
from cortico.backends import get_backend
from cortico.ir import Delay
from tests.in_time.circuits import SETTLED, X, at_rest, chain, looped, trn_loop

QUICK = {"dt": 0.5, "tau": 5.0}


@pytest.mark.parametrize("name", SETTLED)
def test_without_a_duration_it_runs_until_it_rests(name):
    make, expected = SETTLED[name]
    backend = get_backend("reference", **QUICK)
    found = backend.run(make(), {"x": np.stack([X, 2 * X, 0 * X])})["y"]
    assert np.abs(found - [expected, 2 * expected, 0 * expected]).max() < 1e-7
    assert len(backend.remarks) == 3 and all("settled after" in r for r in backend.remarks)


def test_it_runs_longer_until_it_rests():
    """A loop of 0.9 takes ten times as long as a membrane, longer than the first try."""
    backend = get_backend("reference", dt=0.5, tau=5.0, tolerance=1e-6)
    found = backend.run(looped(0.9, Delay(0.5)), {"x": [1.0]})["y"]
    assert found == pytest.approx(10.0, rel=1e-4)
    assert float(backend.remarks[0].split()[2]) > 500


@pytest.mark.parametrize(
    ("gain", "told"),
    [(-1.0, "oscillates with a period of 4 ms"), (1.2, "diverges by"), (-1.3, "diverges by")],
)
def test_what_never_rests_is_told_with_its_ending(gain, told):
    backend = get_backend("reference", dt=0.5, tau=0.0)
    with pytest.raises(CircuitError) as caught:
        backend.run(looped(gain), {"x": [1.0]})
    assert f"circuit 'loop' does not settle: {told}" in str(caught.value)
    assert "give duration" in str(caught.value)
    backend = get_backend("reference", dt=0.5, tau=0.0, duration=10.0)
    assert np.isfinite(backend.run(looped(gain), {"x": [1.0]})["y"]).all()


def test_a_duration_ends_it():
    backend = get_backend("reference", duration=10.0, tau=10.0)
    assert backend.run(chain(1), {"x": [1.0]})["y"] == pytest.approx(1 - np.exp(-1))
    assert backend.remarks == ("still moves at 10 ms",)


def test_a_stream_gives_the_end_of_each_stimulus():
    stimuli = np.random.default_rng(0).normal(size=(4, 1))
    backend = get_backend("reference", token_ms=10.0, dt=0.5, prospective=True)
    assert np.array_equal(backend.run(chain(3), {"x": stimuli})["y"], stimuli)
    assert backend.remarks == ("settled after 31.5 ms",)
    with pytest.raises(CircuitError, match="'loop' diverges by"):
        get_backend("reference", token_ms=10.0, dt=0.5, tau=0.0).run(
            looped(900.0, transfer="exp"), {"x": stimuli}
        )


def test_feed_forward_circuits_settle_to_what_they_compute():
    spec = AttentionSpec(4, 2)
    circuit = lower(spec, random_weights(spec))
    x = np.random.default_rng(0).normal(size=(3, 4))
    timeless = get_backend("reference").run(circuit, {"x": x})["y"]
    settled = get_backend("reference", dt=1.0, tau=0.0).run(circuit, {"x": x})["y"]
    assert np.allclose(timeless, settled, rtol=1e-12)
    assert get_backend("reference").remarks == ()


def test_wrong_options_are_refused():
    with pytest.raises(
        SpecError, match=r"option dt of backend reference must be a positive number"
    ):
        get_backend("reference", dt=0)
    with pytest.raises(
        SpecError, match=r"backend reference has no option 'step'.*it has: duration"
    ):
        get_backend("reference", step=1)


# ---- command line ----------------------------------------------------------------------------------


@pytest.fixture
def cortico(tmp_path, monkeypatch, capfd):
    """Runs a command in a folder with a circuit and inputs: exit code, output, errors."""
    from cortico.cli import main

    monkeypatch.chdir(tmp_path)
    save_circuit(trn_loop(), "trn.cortico")
    np.save("x.npy", X)
    np.save("stream.npy", np.stack([X, 0 * X]))

    def run(*arguments):
        code = main(["run", "trn.cortico", *arguments])
        return code, *capfd.readouterr()

    return run


def test_it_runs_on_the_command_line(cortico):
    options = ("--backend", "reference", "--option", "dt=0.5", "--option", "tau=5")
    code, out, _ = cortico("-i", "x.npy", *options, "-o", "y.npy")
    assert code == 0 and "settled after" in out
    assert np.allclose(np.load("y.npy"), at_rest(), atol=1e-7)
    more = ("--option", "token_ms=20", "--option", "prospective=true")
    code, out, _ = cortico("-i", "stream.npy", *options, *more)
    assert code == 0 and "y (2, 2)" in out


def test_what_cannot_run_is_one_line(cortico):
    code, _, err = cortico("-i", "x.npy", "--backend", "reference", "--option", "dt=0.3")
    assert (code, err.count("\n")) == (2, 1) and "'back' has a delay of 2.0 ms" in err
    code, _, err = cortico("-i", "x.npy")
    assert (
        code == 1
        and "backend 'numpy' cannot express" in err
        and "whose rest is not known in closed form: core, trn" in err
    )
