"""Rates that simulators record equal those of hand-made loops, in NumPy, of the same small circuit."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.recordings import taken_out
from tests.backends.simulators import NENGO, NEST, NEURON, load_neuron, values_of
from tests.covering import first
from tests.recordings.circuits import W, X, pair, triangle

DT, TAU, STEPS = 0.5, 10.0, 40


def course(part, backward=False, late=0):
    """Rates (steps + 1, cells) of core and relay, each moving by `part` of its way; relay hears what was before.

    With `backward` the way is that to where a cell is after the step; signals come `late` by so many steps more.
    """
    part = part / (1 + part) if backward else part
    core, relay = [np.zeros(3)], [np.zeros(2)]
    for step in range(STEPS):
        heard = core[max(step - late, 0)] if step >= late else np.zeros(3)
        relay.append(relay[-1] + part * (W @ heard - relay[-1]))
        core.append(core[-1] + part * (X - core[-1]))
    return np.array(core), np.array(relay)


def record(name, circuit, inputs, **options):
    """Outputs and recording of a script that runs in this process."""
    backend = get_backend(name, **options)
    source = backend.emit(circuit)[f"attention_{name}.py"]
    if name == "neuron":
        load_neuron()
    if name == "nengo":
        NENGO.load(circuit)  # which keeps no decoders in the user's home
    script = {"__name__": f"attention_{name}", "__file__": f"attention_{name}.py"}
    exec(compile(source, f"attention_{name}.py", "exec"), script)
    outputs = script["simulate"](**inputs, weights=values_of(circuit))
    return taken_out(circuit, outputs[0] if name == "brian2" else outputs)


SIMULATORS = [
    pytest.param("brian2", {"method": "euler", "tau": TAU}, 0, course(DT / TAU), id="brian2"),
    pytest.param(
        "neuron", {"tau": TAU}, 0, course(DT / TAU, backward=True), id="neuron", marks=NEURON.needs
    ),
    pytest.param(
        "nest",
        {"tau": TAU, "tolerance": 1e-9},
        1,
        course(1 - np.exp(-DT / TAU), late=1),
        id="nest",
        marks=NEST.needs,
    ),
]


@pytest.mark.parametrize(("name", "options", "begins", "expected"), SIMULATORS)
@pytest.mark.parametrize("every", first(1, [4, 1]))
def test_rates_are_those_of_a_loop_by_hand(name, options, begins, expected, every):
    options = options | {"dt": DT, "monitor": "all"}
    options |= {"record_ms": every * DT} if every > 1 else {}
    found = record(name, pair(), {"x": X}, **options)[1]
    steps = np.arange(begins * every, STEPS + 1, every)
    assert found.rates.interval == every * DT and found.populations == ("core", "relay")
    np.testing.assert_allclose(found.rates.times[: len(steps)], steps * DT, rtol=1e-12)
    for population, rates in zip(("core", "relay"), expected, strict=True):
        own = found.rates_of(population)[: len(steps)]
        np.testing.assert_allclose(own, rates[steps], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["brian2", "neuron", "nest", "nengo"])
def test_cells_have_their_names_where_axes_tied_by_a_bound_stand_apart(name):
    """Each cell fires what its indices say, and so does its name: ids are no order of an array here."""
    if any(s.name == name and s.missing for s in (NEURON, NEST, NENGO)):
        pytest.skip(f"{name} is not installed")
    circuit, inputs = triangle()
    settled = {"brian2": {"tau": 1, "dt": 1, "method": "euler"}, "neuron": {"dt": 1e8}}
    found = record(name, circuit, inputs, monitor="cell", **settled.get(name, {}))[1]
    view = circuit.neurons()
    assert len(found.rates.cells) == view.size == 30
    for cell, rate in zip(found.rates.cells, found.rates.values[-1], strict=True):
        (i,), (k,), (j,) = (view.neuron(int(cell)).indices[axis] for axis in "ikj")
        assert rate == pytest.approx(100 * i + 10 * k + j, abs=1e-9)
    whole = found.rates_of("cell")[-1]
    assert np.isnan(whole[0, :, 1]).all() and np.isfinite(whole[3]).all()


@pytest.mark.full
def test_what_is_recorded_changes_no_output():
    """Random numbers of spiking networks are drawn as without."""
    inputs = {"x": X}
    for name, options in (
        ("brian2", {"cells": "lif", "neurons": 3, "duration": 20.0}),
        ("nengo", {"neurons": "lif", "neurons_per_dimension": 10, "time": 0.02}),
    ):
        if name == "nengo" and NENGO.missing:
            continue
        plain = record(name, pair(), inputs, **options)[0]["y"]
        outputs, found = record(name, pair(), inputs, monitor="all", spikes="all", **options)
        assert outputs.keys() == {"y"} and len(found.spikes.times)
        np.testing.assert_array_equal(outputs["y"], plain)


# ---- ANNarchy, which may be missing: its network replaced by one of NumPy -----------------------------


class Stepped:
    """What the script's class calls of a network of ANNarchy: cells that move by a tenth of their way."""

    def __init__(self, dt):
        self.dt, self.time, self.populations = dt, 0.0, []

    def config(self, **_):
        pass

    def compile(self, *_, **__):
        pass

    def create(self, count, neuron, name):
        self.populations.append(SimpleNamespace(size=count, r=np.zeros(count), a_drive=0.0))
        return self.populations[-1]

    def connect(self, pre, post, compartment):
        return SimpleNamespace(
            from_sparse=lambda matrix, **_: setattr(post, "heard", (pre, matrix))
        )

    def step(self):
        goals = []
        for cells in self.populations:
            pre, matrix = getattr(cells, "heard", (cells, None))
            goals.append(
                cells.a_drive if matrix is None else matrix.T @ np.broadcast_to(pre.r, pre.size)
            )
        for cells, goal in zip(self.populations, goals, strict=True):
            cells.r = cells.r + 0.1 * (goal - cells.r)
        self.time += self.dt

    def simulate(self, duration):
        raise AssertionError("a recorder runs step by step")


def test_annarchy_is_read_step_by_step(monkeypatch):
    fake = ModuleType("ANNarchy")
    fake.Network, fake.Neuron = Stepped, lambda **_: None
    monkeypatch.setitem(sys.modules, "ANNarchy", fake)
    source = get_backend("annarchy", dt=DT, monitor="relay[a=1],core:2", record_ms=1.0).source(
        pair()
    )
    script = {"__name__": "attention_annarchy", "__file__": "attention_annarchy.py"}
    exec(compile(source, "attention_annarchy.py", "exec"), script)
    outputs = script["simulate"](X, weights={"W": W}, dt=DT, tau=TAU)
    core, relay = course(0.1)
    np.testing.assert_allclose(outputs["y"], W @ X, rtol=1e-8)
    np.testing.assert_allclose(outputs["recording/t_ms"][:20], 1.0 + np.arange(20))
    np.testing.assert_allclose(outputs["recording/rates/relay"][:20, 0], relay[2::2, 1], atol=1e-12)
    chosen = outputs["recording/rate_cells/core"][:, 0]
    assert len(chosen) == 2
    np.testing.assert_allclose(outputs["recording/rates/core"][:20], core[2::2, chosen], atol=1e-12)
