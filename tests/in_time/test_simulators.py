"""Simulators in time beside one another: when delays arrive, batches, and what is told where a run cannot be."""

import numpy as np
import pytest

from cortico import SpecError, UnsupportedError
from cortico.backends import get_backend, require_support
from cortico.backends.trajectory import run_in_time
from cortico.ir import Delay
from cortico.ir.conduction import delays_from_table
from tests.backends.simulators import ANNARCHY, NENGO, NEST
from tests.in_time.circuits import X, leaking, looped, trn_loop

DT = 0.1  #: ms
STEP = {"brian2": DT, "nengo": DT / 1e3, "nest": DT, "annarchy": DT}

#: Simulators; one takes long to compile, and another is met elsewhere.
ENGINES = [
    pytest.param("brian2", marks=pytest.mark.full),
    pytest.param("nengo", marks=NENGO.needs),
    pytest.param("nest", marks=[NEST.needs, pytest.mark.full]),
    pytest.param("annarchy", marks=[ANNARCHY.needs, pytest.mark.full]),
]


def backend(name, longer=1, **options):
    """One whose steps are so many times as long."""
    pytest.importorskip({"annarchy": "ANNarchy"}.get(name, name))
    return get_backend(name, dt=longer * STEP[name], **options)


@pytest.mark.parametrize("name", ENGINES)
def test_signals_arrive_when_the_table_says(name):
    """A core cell fires in the first step; reticular cells follow by the delay there, and it changes by that back."""
    circuit = delays_from_table(trn_loop())
    there, back = (p.delay.amount for p in circuit.projections)
    simulator = backend(name, duration=10.0, prospective=True, monitor="all")
    simulator.run(circuit, {"x": X})
    core, trn = (simulator.recording.rates_of(each) for each in ("core", "trn"))
    moved = {"trn": trn[:, 0] != 0, "core": core[:, 0] != core[1, 0]}
    after = [np.flatnonzero(moved[each][1:])[0] * DT for each in ("trn", "core")]
    assert after == pytest.approx([there, there + back])


@pytest.mark.parametrize("name", ENGINES)
def test_each_example_of_a_batch_begins_at_the_start(name):
    circuit, batch = leaking(), np.stack([X, -3 * X, X])
    found = backend(name, duration=7.0).run(circuit, {"x": batch})["y"]
    runs = [run_in_time(circuit, {"x": x}, duration=7.0, dt=DT) for x in batch]
    assert np.allclose(found, [run.outputs["y"][-1] for run in runs], rtol=1e-11)


# ---- what is told ----------------------------------------------------------------------------------

#: What a run says: gain and transfer function of a loop, options.
UNBOUNDED = "cell has a rate that is NaN or infinite: does a loop diverge"
FAILS = {
    "diverges": (UNBOUNDED, 900.0, "exp", {"duration": 50.0}),
    "diverges, on its way to rest": (UNBOUNDED, 900.0, "exp", {}),
    "oscillates": (
        "rates of cell still move by more than 1e-09 of the largest; does it oscillate? duration says",
        -900.0,
        "tanh",
        {},
    ),
}


#: Options with which they see sooner that a network never rests.
SOONER = {"brian2": {"tau": 2.0}, "annarchy": {"tau": 2.0, "tolerance": 1e-9}}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", FAILS)
def test_what_fails_on_the_way_is_one_line_that_names_the_population(name, case):
    told, gain, transfer, options = FAILS[case]
    with pytest.raises(UnsupportedError) as caught:
        backend(name, 5, **options, **SOONER.get(name, {})).run(
            looped(gain, transfer=transfer), {"x": [1.0]}
        )
    if name == "nest" and transfer == "exp":  # which has no rates beyond
        told = "cell has an exponential of"
    assert told in str(caught.value) and "\n" not in str(caught.value)


REFUSED = {
    "projection 'back' has a delay of 0.05 ms, expected a whole number of steps of dt = 0.1 ms": {},
    "projection 'back' has a delay of 0.25 ms, expected a whole number of steps of dt = 0.1 ms": {},
    "is 1.05 ms, expected a whole number of steps of dt = 0.1 ms": {"duration": 1.05},
    "is 0.01 ms, expected a whole number of steps of dt = 0.1 ms": {"token_ms": 0.01},
    "token_ms needs inputs with one first axis, which is time and as long in all; found none": {
        "token_ms": 5.0
    },
    "record one run, and token_ms is one for each stimulus: record with duration": {
        "token_ms": 5.0,
        "monitor": "cell",
    },
    "no population is called 'celll' (did you mean 'cell'?); there are: cell": {
        "duration": 5.0,
        "monitor": "celll",
    },
    "records cells that spike, and these are rate units": {"duration": 5.0, "spikes": "cell"},
}


@pytest.mark.parametrize("name", STEP)
@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_run_is_told_before(name, message):
    delay = float(message.split()[6]) if message.startswith("projection") else 2.0
    with pytest.raises(SpecError) as caught:
        backend(name, **REFUSED[message]).run(looped(0.5, Delay(delay)), {"x": [1.0]})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"neurons": "lif"}, "neurons=lif, which models that run in time do not have"),
        ({"neurons": "lif", "duration": 5.0}, "neurons=lif, which models that run in time"),
    ],
)
def test_spiking_ensembles_of_nengo_have_no_loops(options, told):
    with pytest.raises(UnsupportedError, match=told):
        require_support(get_backend("nengo", **options), looped(0.5))
