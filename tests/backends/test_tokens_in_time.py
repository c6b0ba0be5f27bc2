"""Tokens that come one after another: what the simulators do, against networks written by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico import SpecError
from cortico.backends import get_backend, get_runner
from cortico.backends.cells.presented.template import presentation_course
from cortico.ir import Unfold
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from tests.backends.brian2 import simulation as brian2
from tests.backends.brian2.simulation import relative_error, second_example
from tests.backends.simulators import MPI, NEST, NEURON, needs_mpi
from tests.cases import CASES

CASE = {case.name: case for case in CASES}
DT, TAU, TOKEN = 1.0, 10.0, 24.0

#: y[i] = x[i] · 2 Σ x[j] over j ≤ i: a relay, a memory that runs along, and a cell that multiplies.
GATED = parse_circuit("""
cortico circuit 1
name "gated"

axis i : column n in time
axis j : column n in time

input x (n)

population source [j] thalamus.core relay
  driver multiplies x[j]
population memory [i] cortex.L2/3 pyramidal_it
  basal multiplies
population deep [i] cortex.L5 pyramidal_pt
  apical multiplies
  basal multiplies x[i]

projection store source -> memory.basal weight 1.0 where j - i <= 0
projection recall memory -> deep.apical weight 2.0

output y = deep[i]
""")
X = np.array([0.7, -1.1, 0.4, 1.3])


def of_brian2(token_ms):
    options = {"method": "euler", "dt": DT, "tau": TAU, "token_ms": token_ms}
    return brian2.simulate(GATED, {"x": X}, **options)[0]["y"]


def of_neuron(token_ms):
    return NEURON.simulate(GATED, {"x": X}, dt=DT, tau=TAU, token_ms=token_ms)["y"]


def euler_by_hand(before, opens, after):
    """Three cells; what is stored is heard a step later."""
    part, source, stored, memory, deep, found = DT / TAU, 0.0, 0.0, 0.0, 0.0, []
    for x in X:
        for step in range(before + opens + after):
            is_open = before <= step < before + opens
            source, stored, memory, deep = (
                source + part * (x - source),
                stored + is_open * source / opens,
                memory + part * (stored - memory),
                deep + part * (2 * memory * x - deep),
            )
        found.append(deep)
    return found


def backward_euler_by_hand(before, opens, after):
    """Two compartments of one dendrite, and a cell with two dendrites and a soma."""
    part, source, stored, memory, found = DT / (DT + TAU), 0.0, 0.0, 0.0, []
    apical = basal = soma = 0.0
    for x in X:
        for step in range(before + opens + after):
            if before <= step < before + opens:
                stored += source / opens
            source, memory, apical, basal, soma = (
                source + part * (x - source),
                memory + part * (stored - memory),
                apical + part * (2 * memory - apical),
                basal + part * (x - basal),
                soma + part * (apical * basal - soma),
            )
        found.append(soma)
    return found


@pytest.mark.parametrize(
    ("simulated", "by_hand", "part", "chains"),
    [
        pytest.param(of_brian2, euler_by_hand, DT / TAU, (2, 1, 2), id="brian2"),
        pytest.param(
            of_neuron,
            backward_euler_by_hand,
            DT / (DT + TAU),
            (3, 1, 3),
            id="neuron",
            marks=NEURON.needs,
        ),
    ],
)
@pytest.mark.parametrize("token_ms", [6.0, TOKEN])
def test_a_token_stays_for_a_time(simulated, by_hand, part, chains, token_ms):
    """Each rate as in the network by hand: far from what it would settle to."""
    course = presentation_course(DT, part, 1e-9, *chains, token_ms)
    expected = by_hand(*course)
    assert sum(course) == token_ms
    assert np.allclose(simulated(token_ms), expected, rtol=1e-12)
    assert relative_error(np.array(expected), X * 2 * np.cumsum(X)) > 0.1


@given(
    part=st.floats(0.02, 1),
    before=st.integers(0, 6),
    after=st.integers(0, 9),
    beside=st.integers(0, 12),
    token=st.integers(0, 400) | st.none(),
)
def test_a_course(part, before, after, beside, token):
    """Each phase is as long as its chain at least, and all is at rest where no time is given."""
    through = max(before, after, beside, 1)
    stores = before > 0 and after > 0
    given_chains = (through, before * stores, after * stores)
    needed = max(sum(given_chains[1:]) + stores, through)
    if token is not None and token < needed:
        with pytest.raises(ValueError, match=f"expected at least {needed} steps"):
            presentation_course(0.5, part, 1e-9, *given_chains, token * 0.5)
        return
    token_ms = None if token is None else token * 0.5
    course = presentation_course(0.5, part, 1e-9, *given_chains, token_ms)
    assert course[0] >= before * stores
    assert course[1] >= stores
    assert course[2] >= after * stores
    if token is not None:
        assert sum(course) == token
        return
    same = presentation_course(0.5, part, 1e-9, *given_chains, sum(course) * 0.5)
    assert same == course, "phases share a time as they share that in which all settles"
    assert lacking(before * stores, part, course[0]) <= 1e-9
    assert lacking(after * stores, part, course[2]) <= 1e-9
    assert lacking(through, part, sum(course)) <= 1e-9


def lacking(chain, part, steps):
    """What the last of a chain of cells lacks after so many steps of one that starts."""
    rates = np.zeros(chain)
    for _ in range(steps):
        rates += part * (np.append(1.0, rates)[:chain] - rates)
    return 1 - rates[-1] if chain else 0.0


@pytest.mark.parametrize("name", ["brian2", "neuron"])
def test_times_that_are_refused(name):
    memory, plain = (lower(CASE[case].spec) for case in ("memory", "one_head"))
    (said,) = get_backend(name, token_ms=1.0).unsupported(memory)
    assert said.startswith("token_ms is 1, 2 steps of 0.5 ms; expected at least ")
    others = [{"duration": 50.0}, *[{"prospective": True}] * (name != "brian2")]
    for other in others:
        (said,) = get_backend(name, **other).unsupported(memory)
        assert said == f"option {next(iter(other))}, where tokens come one after another"
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SpecError, match="option token_ms of backend"):
            get_backend(name, token_ms=wrong)
    assert get_backend(name, token_ms=50.0).unsupported(memory) == []
    for circuit, there in ((memory, True), (plain, False)):
        files = get_backend(name).emit(circuit)
        assert ("--token-ms" in files[f"attention_{name}.py"]) is there
        if name == "neuron":
            assert ("storing_synapse.mod" in files) is there


def test_nest_has_no_time_of_a_token():
    """Its units are steps of a computation."""
    (said,) = get_backend("nest", token_ms=50.0).unsupported(lower(CASE["memory"].spec))
    assert said == "option token_ms, where tokens come one after another"


@pytest.mark.parametrize("name", ["neuron", "nest"])
def test_recording_tokens_is_refused(name):
    (said,) = get_backend(name, monitor="core").unsupported(lower(CASE["memory"].spec))
    assert said == "options monitor and spikes, where tokens come one after another"


@pytest.mark.parametrize("simulator", (NEURON, NEST), ids=lambda s: s.name)
def test_two_axes_on_one_clock_are_refused(simulator):
    circuit = lower(CASE["one_head"].spec)
    axes = tuple(
        dataclasses.replace(axis, unfold=Unfold.TIME if axis.name in "ij" else Unfold.SPACE)
        for axis in circuit.axes
    )
    reasons = simulator.backend().unsupported(dataclasses.replace(circuit, axes=axes))
    assert "population 'superficial' has two axes in time, i and j, on one clock" in reasons


class Brian2:
    """Brian2, as the other simulators are asked."""

    @staticmethod
    def settle(circuit, inputs):
        return brian2.simulate(circuit, inputs, tolerance=1e-14)[0]


ENGINES = [pytest.param(s, marks=s.needs, id=s.name) for s in (NEURON, NEST)]


@pytest.mark.parametrize("simulator", ENGINES)
@pytest.mark.parametrize("name", ["softmax-mask_causal-padded", "linear-mask_causal-padded"])
def test_cells_that_are_there_for_some_tokens_only(simulator, name):
    """Token j comes while queries are side by side: later ones alone hear it, by weights that change."""
    circuit = lower(CASE[name].spec, CASE[name].weights)
    axes = (
        dataclasses.replace(a, unfold=Unfold.TIME) if a.name == "j" else a for a in circuit.axes
    )
    circuit, example = dataclasses.replace(circuit, axes=tuple(axes)), second_example(CASE[name])
    assert error(simulator, circuit, example) < 1e-11


@pytest.mark.parametrize("simulator", [*ENGINES, pytest.param(Brian2(), id="brian2")])
def test_a_divisor_that_is_zero_for_a_later_token(simulator):
    divided = """
cortico circuit 1
name "divided"

axis i : column n in time

input x (n)
input keep (n) mask

population pool [i] cortex.L5 pv
  soma multiplies keep[i]
population cell [i] cortex.L5 pyramidal_pt
  basal multiplies x[i]
  shunt divides

projection inhibit pool -> cell.shunt weight 1.0

output y = cell[i]
"""
    given = {"x": X, "keep": np.array([1.0, 0.0, 1.0, 0.0])}
    assert error(simulator, parse_circuit(divided), given) < 1e-12
    assert simulator.settle(parse_circuit(divided), given)["y"][1] == 0


@pytest.mark.parametrize("simulator", ENGINES)
def test_tokens_of_very_different_size(simulator):
    """What is set to the rates that arrive is set anew."""
    sized = np.array([1e-3, 2e3, -1e-2, 50.0])
    assert error(simulator, GATED, {"x": sized}) < 1e-11


def error(simulator, circuit, example):
    expected = get_runner("reference").run(circuit, example)["y"]
    return relative_error(simulator.settle(circuit, example)["y"], expected)


@NEURON.needs
def test_neuron_with_steps_far_shorter_than_time_constants():
    case = CASE["memory_llama"]
    circuit, example = lower(case.spec, case.weights), second_example(case)
    found = NEURON.simulate(circuit, example)["y"]
    assert relative_error(found, get_runner("reference").run(circuit, example)["y"]) < 1e-9


@NEURON.needs
@needs_mpi
def test_two_ranks_of_neuron_give_what_one_gives(monkeypatch):
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    case = CASE["memory_grouped"]
    circuit = lower(case.spec, case.weights)
    found = [
        get_runner("neuron", ranks=ranks, **NEURON.exactly).run(circuit, case.inputs)["y"]
        for ranks in (1, 2)
    ]
    assert relative_error(found[0], get_runner("reference").run(circuit, case.inputs)["y"]) < 1e-9
    assert relative_error(found[1], found[0]) < 1e-14


@NEST.needs
@pytest.mark.full
def test_two_threads_of_nest_give_what_one_gives():
    """Weights that change: each is found again among synapses that threads hold."""
    case = CASE["memory_rotary"]
    circuit, example = lower(case.spec, case.weights), second_example(case)
    found = [NEST.simulate(circuit, example, threads=threads)["y"] for threads in (1, 2)]
    assert relative_error(found[1], found[0]) < 1e-13
    assert relative_error(found[0], get_runner("reference").run(circuit, example)["y"]) < 1e-12


@pytest.mark.parametrize("name", ["memory", "memory_causal_biased_padded"])
def test_prospective_cells_follow_tokens(name):
    """A step for each cell and one for the gate is all that a token needs."""
    case = CASE[name]
    circuit, example = lower(case.spec, case.weights), second_example(case)
    expected = get_runner("reference").run(circuit, example)["y"]
    for prospective in (False, True):
        options = {"token_ms": 20.0, "prospective": prospective}
        found = get_runner("brian2", **options).run(circuit, example)["y"]
        assert (relative_error(found, expected) < 1e-13) is prospective
