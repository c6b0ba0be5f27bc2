"""The loops of `examples/loops.py` against trajectories written by hand, and against linear theory."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import root

from cortico.backends.ending import Ending
from cortico.backends.trajectory import run_in_time
from cortico.ir.conduction import conduction_delays, pathway_of
from cortico.ir.physiology import cell_type

LOOPS = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "loops.py"))
RETICULAR, LAYER6, MEMORY, pair = (LOOPS[n] for n in ("RETICULAR", "LAYER6", "MEMORY", "pair"))
DT = 0.1


def parts(circuit):
    """The part of its way that each population goes in a step."""
    taus = [cell_type(p.region, p.cell_class).membrane_time.value for p in circuit.populations]
    return [-np.expm1(-DT / tau) for tau in taus]


class Past:
    """A rate by steps; what it was before the start is what it was then."""

    def __init__(self, start):
        self.rates = [np.asarray(start, float)]

    def ago(self, steps):
        """What is heard in the step that comes, of so many steps before it."""
        return self.rates[max(0, len(self.rates) - steps)]

    def go(self, part, wanted):
        self.rates.append(self.rates[-1] + part * (wanted - self.rates[-1]))

    def each(self, every):
        return np.array(self.rates[::every])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def close(found, expected):
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("circuit", [RETICULAR, LAYER6, MEMORY, pair(1.0)], ids=lambda c: c.name)
def test_delays_are_those_of_the_table(circuit):
    table = conduction_delays()
    for projection in circuit.projections:
        assert projection.delay.amount == table[pathway_of(circuit, projection)].value


def test_the_reticular_loop():
    x = np.array([1.0, 2.0, 3.0])
    ran = run_in_time(RETICULAR, {"x": x}, duration=100.0)
    core, reticular = Past(np.zeros(3)), Past(np.zeros(3))
    of_core, of_reticular = parts(RETICULAR)
    for _ in range(1000):
        driven = x - 0.8 * reticular.ago(10).mean()
        excited = np.full(3, 0.5 * core.ago(6).mean())
        core.go(of_core, np.maximum(driven, 0))
        reticular.go(of_reticular, excited)
    close(ran.rates["core"], core.each(10))
    close(ran.rates["reticular"], reticular.each(10))
    mean = x.mean() / 1.4  # at rest, mean core = mean x - 0.4 mean core
    at_rest = run_in_time(RETICULAR, {"x": x}, duration=600.0, dt=0.2)
    assert at_rest.ending is Ending.SETTLED
    assert np.allclose(at_rest.outputs["y"][-1], x - 0.4 * mean, atol=1e-8)


def test_gain_from_layer_6_multiplies():
    x = np.array([0.5, 1.0])
    ran = run_in_time(LAYER6, {"x": x}, duration=100.0)
    relay, granular, deep = (Past(np.zeros(2)) for _ in range(3))
    ways = parts(LAYER6)
    for _ in range(1000):
        wanted = (
            x * (1 + 0.5 * deep.ago(110)),
            np.maximum(relay.ago(8), 0),
            np.tanh(0.7 * granular.ago(15)),
        )
        for past, part, rate in zip((relay, granular, deep), ways, wanted, strict=True):
            past.go(part, rate)
    close(ran.rates["relay"], relay.each(10))
    close(ran.rates["deep"], deep.each(10))
    rest = run_in_time(LAYER6, {"x": x}, duration=400.0, dt=0.1, tau=2.0)
    last = rest.outputs["y"][-1]
    assert rest.ending is Ending.SETTLED
    assert np.allclose(last, x * (1 + 0.5 * np.tanh(0.7 * last)), atol=1e-8)
    assert not np.allclose(last[1] / last[0], 2.0, rtol=0.05)  # no sum would do it


def test_superficial_cells_hold_a_cue_over_a_delay():
    ran = LOOPS["remembered"]()
    cell = Past(np.zeros(2))
    (part,) = parts(MEMORY)
    for step in range(5500):
        cue = np.array([8.0 * (step < 500), 0.0])
        cell.go(part, sigmoid(cue - 4.0 + 8.0 * cell.ago(15)))
    close(ran.rates["superficial"], cell.each(10))
    after = ran.times > 100.0  # 50 ms after the cue until its end
    assert (ran.rates["superficial"][after, 0] > 0.9).all()
    assert (ran.rates["superficial"][:, 1] < 0.05).all()
    without = run_in_time(MEMORY, {"x": np.zeros((11, 2))}, token_ms=50.0)
    assert (without.rates["superficial"] < 0.05).all()


# ---- an oscillation --------------------------------------------------------------------------------


def hopf(own, slope=0.25, excitatory=8.0, inhibitory=10.0, d_e=1.5, d_i=0.8):
    """The strength at which the pair begins to swing, and its frequency there in cycles per ms.

    Near rest τ_E dE/dt = −E + φ' (own · E(t − d_E) − s I(t − d_I)) and τ_I dI/dt = −I + φ' s E(t − d_E), with
    φ' = 1/4 the slope of a sigmoid at rest. For E, I ∝ e^{λt}:

        (1 + λ τ_E − φ' own e^{−λ d_E}) (1 + λ τ_I) + (φ' s)² e^{−λ (d_E + d_I)} = 0

    It swings from where λ = iω solves this: two real equations for s and ω.
    """

    def equation(unknown):
        strength, omega = unknown
        own_part = 1 + 1j * omega * excitatory - slope * own * np.exp(-1j * omega * d_e)
        loop = (slope * strength) ** 2 * np.exp(-1j * omega * (d_e + d_i))
        value = own_part * (1 + 1j * omega * inhibitory) + loop
        return value.real, value.imag

    found = root(equation, (12.0, 0.3))
    assert found.success
    return found.x[0], found.x[1] / (2 * np.pi)


def test_a_pair_swings_as_linear_theory_says():
    strength, frequency = hopf(own=2.0)
    course = {"start": {"excitatory": 0.55}, "duration": 500.0, "tolerance": 1e-4}
    ran = run_in_time(pair(1.04 * strength), {"x": [0.0]}, **course)
    assert ran.ending is Ending.OSCILLATES
    assert abs(ran.period_ms * frequency - 1) < 0.05
    assert 30 < 1000 / ran.period_ms < 80  # Hz: gamma
    quiet = run_in_time(pair(0.7 * strength), {"x": [0.0]}, **course)
    assert quiet.ending is Ending.SETTLED and np.allclose(quiet.outputs["y"][-1], 0.5, atol=1e-3)


def test_the_pair_by_hand():
    strength = 14.0
    ran = run_in_time(pair(strength), {"x": [0.1]}, start={"excitatory": 0.6}, duration=60.0)
    exciting, inhibiting = Past([0.6]), Past([0.0])
    of_e, of_i = parts(pair(strength))
    for _ in range(600):
        heard = exciting.ago(15)
        e = sigmoid(0.1 + strength / 2 - 1.0 + 2.0 * heard - strength * inhibiting.ago(8))
        i = sigmoid(-strength / 2 + strength * heard)
        exciting.go(of_e, e)
        inhibiting.go(of_i, i)
    close(ran.rates["excitatory"], exciting.each(10))
    close(ran.rates["inhibitory"], inhibiting.each(10))


@pytest.mark.full
def test_the_example_runs(capsys):
    LOOPS["main"]()
    said = capsys.readouterr().out
    assert "memory: settled" in said and "oscillates with a period of 22.59 ms" in said
