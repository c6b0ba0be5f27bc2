"""Runs in time against formulas, SciPy and loops written by hand; how they end; what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammainc

from cortico import AttentionSpec, SpecError, lower
from cortico.backends.clock import delays_in_steps, fitting_step
from cortico.backends.ending import Ending, Watch
from cortico.backends.trajectory import run_in_time
from cortico.ir import Bound, CircuitError, Delay, DelayUnit, Integration
from cortico.ir.physiology import cell_type
from cortico.passes import parse_passes, run_passes
from cortico.spec import Kernel, Mask
from tests.in_time.circuits import W, X, chain, delayed, leaking, looped, trn_loop

ONE = {"x": [1.0]}
FAST = {"dt": 0.5, "tau": 5.0}


def by_hand(steps, back, part, gain, begun=0.0):
    """A cell that hears itself `back` steps ago and 1, each step going `part` of its way."""
    rates = [begun]
    for k in range(steps):
        heard = rates[k + 1 - back] if k + 1 >= back else begun
        rates.append(rates[k] + part * (1.0 + gain * heard - rates[k]))
    return np.array(rates)


# ---- trajectories ----------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(1, 9), st.floats(-0.9, 0.9), st.floats(0.0, 20.0), st.floats(-2.0, 2.0))
def test_a_loop_moves_as_one_written_by_hand(back, gain, tau, begun):
    circuit = looped(gain, Delay(float(back), DelayUnit.STEPS))
    ran = run_in_time(
        circuit, ONE, start={"cell": begun}, duration=20.0, dt=0.5, tau=tau, every=0.5
    )
    part = 1 - math.exp(-0.5 / tau) if tau else 1.0
    assert np.allclose(ran.rates["cell"][:, 0], by_hand(40, back, part, gain, begun), rtol=1e-12)
    assert np.allclose(ran.times, np.arange(41) * 0.5)


def test_a_cell_goes_its_way_by_the_formula():
    ran = run_in_time(chain(1), ONE, duration=30.0, dt=0.1, tau=10.0)
    assert np.allclose(ran.outputs["y"][:, 0], 1 - np.exp(-ran.times / 10.0), rtol=1e-12)


def test_cells_have_the_membranes_of_their_classes():
    """At first each goes the part dt/τ of its way, with τ as the table has it."""
    circuit = trn_loop()
    ran = run_in_time(circuit, {"x": X}, duration=0.1, dt=0.1, every=0.1)
    core = circuit.population("core")
    tau = cell_type(core.region, core.cell_class).membrane_time.value
    assert np.allclose(ran.rates["core"][1], X * (1 - math.exp(-0.1 / tau)), rtol=1e-12)


@pytest.mark.parametrize("back", [1, 2, 7, 31])
def test_a_delay_is_heard_to_the_step(back):
    circuit = replace(
        delayed(), projections=(replace(delayed().projections[0], delay=Delay(0.5 * back)),)
    )
    ran = run_in_time(circuit, {"x": X}, duration=40.0, dt=0.5, tau=0.0, every=0.5)
    core, relay = ran.rates["core"], ran.rates["relay"]
    assert not core[0].any() and np.allclose(core[1:], X)
    assert not relay[: back + 1].any() and np.allclose(relay[back + 1 :], W @ X)
    assert ran.ending is Ending.SETTLED and ran.settled_ms == 0.5 * (back + 1)


def test_integrating_is_eulers_method():
    ran = run_in_time(leaking(0.25), {"x": X}, duration=20.0, dt=0.5, every=0.5)
    expected = [np.full(2, 0.25)]
    for _ in range(40):
        expected.append(expected[-1] + 0.1 * 0.5 * (X - expected[-1]))
    assert np.allclose(ran.rates["core"], expected, rtol=1e-12)


def test_a_chain_of_ten_lags_as_ten_membranes_do_and_prospective_ones_follow():
    """The rate of the n-th is the distribution of a gamma variable of shape n (SciPy)."""
    course = {"duration": 300.0, "dt": 0.05, "tau": 10.0, "every": 5.0}
    lagging = run_in_time(chain(10), ONE, **{**course, "duration": 100.0})
    error = np.abs(lagging.outputs["y"][:, 0] - gammainc(10, lagging.times / 10.0)).max()
    assert 0 < error < 0.01
    ran = run_in_time(chain(10), ONE, duration=5.0, dt=0.05, prospective=True, every=0.05)
    assert np.array_equal(ran.outputs["y"][:, 0], np.arange(101) >= 10)
    assert ran.settled_ms == 0.5


def test_a_constant_start_is_kept_by_what_is_at_rest():
    rest = run_in_time(trn_loop(), {"x": X}, duration=300.0, **FAST)
    last = {name: rates[-1] for name, rates in rest.rates.items()}
    again = run_in_time(trn_loop(), {"x": X}, start=last, duration=50.0, tolerance=1e-6, **FAST)
    assert again.ending is Ending.SETTLED and again.settled_ms == 0.0


def test_cells_that_do_not_exist_do_not_fire_though_others_start_firing():
    made = lower(AttentionSpec(4, mask=Mask.CAUSAL))
    begun = tuple(
        replace(p, integrates=Integration(1.0, 20.0)) if p.name == "mask" else p
        for p in made.populations
    )
    circuit = replace(made, populations=begun)
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(3, 4))}
    weights = {p.name: rng.normal(size=p.shape) for p in circuit.parameters}
    course = {"duration": 0.1, "dt": 0.1, "every": 0.1}
    for start in (None, {"mask": 3.0}):
        (first, _) = run_in_time(circuit, inputs, weights, start=start, **course).rates["mask"]
        assert np.array_equal(first[0], np.tril(np.full((3, 3), 20.0 if start is None else 3.0)))
    assert Bound("j", "i", 0) in circuit.population("mask").domain


# ---- stimuli ---------------------------------------------------------------------------------------


def test_stimuli_change_when_their_time_is_over():
    stimuli = {"x": [[1.0], [-2.0], [0.5]]}
    ran = run_in_time(chain(2), stimuli, token_ms=4.0, dt=0.5, tau=0.0, every=0.5)
    first, second = ran.rates["p0"][:, 0], ran.rates["p1"][:, 0]
    assert np.array_equal(first, [0, *[1.0] * 8, *[-2.0] * 8, *[0.5] * 8])
    assert np.array_equal(second[1:], first[:-1])
    assert ran.ending is Ending.SETTLED and ran.settled_ms == 9.0


def test_what_is_said_of_a_stream_is_of_its_last_stimulus():
    """A long stream of settled stimuli neither moves nor swings, and an early one counts for nothing."""
    flip = {"x": [[(-1.0) ** k] for k in range(40)]}
    ran = run_in_time(chain(2), flip, token_ms=10.0, dt=0.5, tau=0.0)
    assert ran.ending is Ending.SETTLED and ran.settled_ms == 391.0


def test_a_prospective_circuit_keeps_up_with_stimuli_of_ten_ms():
    rng = np.random.default_rng(1)
    stimuli = {"x": rng.normal(size=(5, 1))}
    course = {"token_ms": 10.0, "dt": 0.5, "every": 10.0}
    lagging = run_in_time(chain(10), stimuli, tau=10.0, **course).outputs["y"][1:]
    prospective = run_in_time(chain(10), stimuli, tau=10.0, prospective=True, **course)
    assert np.array_equal(prospective.outputs["y"][1:], stimuli["x"])
    assert np.abs(lagging - stimuli["x"]).max() > 0.5


# ---- endings ---------------------------------------------------------------------------------------


def test_it_settles_when_the_formula_says():
    """1 − e^(−t/τ) comes within ε of 1 at t = τ ln(1/ε), and moves by ε at most once more."""
    ran = run_in_time(chain(1), ONE, duration=200.0, tolerance=1e-6, **FAST)
    assert ran.ending is Ending.SETTLED and ran.told.startswith("settled after ")
    assert 0 <= ran.settled_ms - 5.0 * math.log(1e6) < 10.0
    assert run_in_time(chain(1), ONE, duration=60.0, tolerance=1e-6, **FAST).ending is Ending.MOVES


def test_what_dies_away_has_settled():
    """At 0, of which no tolerance is a part."""
    ran = run_in_time(looped(0.5, drive=""), ONE, start={"cell": 1.0}, duration=400.0, **FAST)
    assert ran.ending is Ending.SETTLED and 0 < ran.outputs["y"][-1, 0] < 1e-8


def test_what_is_under_way_has_not_settled():
    """It heard nothing for long, but a delay is longer."""
    late = replace(delayed(), projections=(replace(delayed().projections[0], delay=Delay(60.0)),))
    course = {"dt": 0.5, "tau": 0.0}
    assert run_in_time(late, {"x": X}, duration=50.0, **course).ending is Ending.MOVES
    ran = run_in_time(late, {"x": X}, duration=200.0, **course)
    assert (ran.ending, ran.settled_ms) == (Ending.SETTLED, 60.5)
    assert run_in_time(late, {"x": X}, duration=65.0, **course).ending is Ending.MOVES


def test_what_comes_late_does_not_diverge():
    late = replace(delayed(), projections=(replace(delayed().projections[0], delay=Delay(80.0)),))
    assert run_in_time(late, {"x": X}, duration=100.0, dt=0.5, tau=50.0).ending is Ending.MOVES


def test_a_ramp_moves():
    ramp = replace(
        chain(1), populations=(replace(chain(1).populations[0], integrates=Integration(1.0)),)
    )
    ran = run_in_time(ramp, ONE, duration=100.0, dt=0.5)
    assert (ran.ending, ran.told) == (Ending.MOVES, "still moves at 100 ms")
    assert ran.settled_ms is None and ran.period_ms is None


@pytest.mark.parametrize("gain", [1.3, -6.0])
def test_a_loop_that_amplifies_diverges(gain):
    ran = run_in_time(looped(gain), ONE, duration=200.0, **FAST)
    assert ran.ending is Ending.DIVERGES and np.isfinite(ran.rates["cell"]).all()
    assert ran.told == "diverges by 200 ms"


def test_what_leaves_all_numbers_ends_there():
    ran = run_in_time(looped(2.0, transfer="exp"), ONE, duration=100.0, dt=0.5, tau=0.0)
    assert ran.ending is Ending.DIVERGES and ran.times[-1] < 20.0
    assert not np.isfinite(ran.rates["cell"][-1]).all()


def test_not_a_number_on_the_way_diverges():
    ran = run_in_time(chain(3), {"x": [math.nan]}, duration=100.0, dt=0.5)
    assert ran.ending is Ending.DIVERGES and ran.times[-1] == 0.5


def test_it_swings_with_the_period_of_the_map():
    """r ← −r(t − d) without a membrane turns over every d: a period of 2 d, 4 steps here, finer than what is kept."""
    course = {"duration": 40.0, "dt": 0.1, "tau": 0.0, "every": 4.0}
    ran = run_in_time(looped(-1.0, Delay(0.2)), ONE, **course)
    assert ran.ending is Ending.OSCILLATES and ran.period_ms == pytest.approx(0.4, rel=1e-9)
    assert np.ptp(ran.rates["cell"][1:]) == 0  # what is kept shows nothing of it
    assert ran.told == "oscillates with a period of 0.4 ms"


def test_what_swings_less_and_less_moves():
    assert run_in_time(looped(-0.98), ONE, duration=40.0, dt=0.5, tau=0.0).ending is Ending.MOVES


@pytest.mark.parametrize(("values", "ending"), [
    (lambda t: np.sin(t / 5), Ending.OSCILLATES),
    (lambda t: np.sin(t / 200), Ending.MOVES),
    (lambda t: np.sin(t / 5) * np.exp(t / 300), Ending.DIVERGES),
    (lambda t: np.sin(t / 5) * np.exp(-t / 300), Ending.MOVES),
    (lambda t: np.exp(-t / 10), Ending.SETTLED),
    (lambda t: np.exp(t / 100), Ending.DIVERGES),
    (lambda t: t, Ending.MOVES),
    (lambda t: 1.0 * (t > 390), Ending.MOVES),
    (lambda t: 1.0 * (t > 300), Ending.SETTLED),
    (lambda t: 1 / (1 + np.exp((200 - t) / 30)), Ending.MOVES),
])  # fmt: skip
def test_endings_of_known_curves(values, ending):
    times = np.arange(401)
    watch = Watch(1e-9, 0, 400, 1)
    for step, number in zip(times, values(times.astype(float)), strict=True):
        watch.note(int(step), {"p": np.array([number])})
    found, period = watch.ending()
    assert found is ending
    assert (period is not None) == (ending is Ending.OSCILLATES)
    if period is not None:
        assert period == pytest.approx(10 * np.pi, rel=0.01)


# ---- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "duration = 1.05 ms is no whole number of steps of dt = 0.1 ms": {"duration": 1.05},
    "projection 'back' has a delay of 2.0 ms, expected a whole number of steps of dt = 0.3 ms": {
        "duration": 3.0, "dt": 0.3,
    },
    "projection 'back' has a delay of 2.0 ms, expected a whole number of steps of dt = 5 ms": {
        "duration": 50.0, "dt": 5.0,
    },
    "a run in time needs duration, or token_ms": {},
    "option duration of run in time must be a positive number of ms": {"duration": -1.0},
    "option tau of run in time must be 0 or a positive number of ms": {"duration": 1.0, "tau": -1.0},
    "run in time has no option 'durtion' (did you mean 'duration'?)": {"durtion": 1.0},
    "every = 0.05 ms is no whole number of steps": {"duration": 1.0, "every": 0.05},
    "token_ms needs inputs with a first axis of time, all as long; found none": {"token_ms": 1.0},
    "start: no population called 'trnn' (did you mean 'trn'?)": {"duration": 1.0, "start": {"trnn": 1}},
    "start of 'trn' is float64 of shape (3,), expected numbers of shape (2,), or one number": {
        "duration": 1.0, "start": {"trn": [1.0, 2.0, 3.0]},
    },
    "start of 'trn' has NaN or infinity": {"duration": 1.0, "start": {"trn": [0.0, math.inf]}},
    "start of 'trn' holds texts, '1', expected an array of numbers": {"duration": 1.0, "start": {"trn": "1"}},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_run_is_told(message):
    with pytest.raises(SpecError) as caught:
        run_in_time(trn_loop(), {"x": X}, **REFUSED[message])
    assert message in str(caught.value) and "\n" not in str(caught.value)


STREAMS = {
    "expected 1: a run in time takes one example, and a first axis of time with token_ms": (
        {"x": [X, X]}, {"duration": 1.0},
    ),
    "x: the first axis, which is time, has no entries": ({"x": np.zeros((0, 2))}, {"token_ms": 1.0}),
    "duration = 3 ms, but 2 stimuli of 1 ms take 2 ms: leave it out": (
        {"x": [X, X]}, {"token_ms": 1.0, "duration": 3.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", STREAMS)
def test_streams_that_do_not_fit_are_told(message):
    inputs, course = STREAMS[message]
    with pytest.raises(SpecError) as caught:
        run_in_time(trn_loop(), inputs, **course)
    assert message in str(caught.value)


def test_tokens_one_after_another_are_no_run_in_time():
    spec = AttentionSpec(4, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)
    with pytest.raises(CircuitError, match="has tokens one after another: no run in time"):
        run_in_time(
            run_passes(lower(spec), parse_passes("serialize"))[0],
            {"x": np.zeros((2, 4))},
            duration=1.0,
        )


# ---- clocks ----------------------------------------------------------------------------------------


def test_delays_in_steps():
    assert delays_in_steps(trn_loop(), 0.1) == {"down": 1, "back": 20}
    assert delays_in_steps(trn_loop(Delay(3.0, DelayUnit.STEPS)), 0.1) == {"down": 1, "back": 3}
    assert delays_in_steps(trn_loop(Delay(0.3)), 0.1)["back"] == 3  # 0.3 / 0.1 is below 3 in floats


@pytest.mark.parametrize(("ms", "step"), [(2.0, 0.1), (1.25, 0.05), (0.025, 0.025), (0.7, 0.1)])
def test_a_step_that_fits_all_delays(ms, step):
    assert fitting_step(trn_loop(Delay(ms))) == pytest.approx(step)


def test_no_step_fits_delays_that_share_none():
    with pytest.raises(SpecError, match="no whole numbers of steps"):
        fitting_step(trn_loop(Delay(math.pi / 1000)))
