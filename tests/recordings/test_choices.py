"""Which cells are chosen, and what is said of those that are not there, before anything runs."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico import SpecError, get_runner
from cortico.backends import get_backend
from cortico.backends.linking import link
from cortico.backends.recordings import Choice, read_choices
from tests.recordings.circuits import X, pair, triangle

TEMPLATE = "cortico.backends.recordings.template"


@functools.cache
def script():
    """What scripts choose cells with."""
    source = link('"""A script."""\n\ndef main():\n    return chosen\n\nmain()\n', TEMPLATE)
    names = {}
    exec(source, names)
    return names["chosen"]


def test_choices_are_read():
    assert read_choices("deep, mask[h=0, i=3] relay:10,all:2,pool[j=1]:3", "monitor") == (
        Choice("deep"),
        Choice("mask", (("h", 0), ("i", 3))),
        Choice("relay", (), 10),
        Choice("all", (), 2),
        Choice("pool", (("j", 1),), 3),
    )


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_sample_is_spread_and_the_same_each_time(count, most):
    chosen = script()
    numbers = np.arange(count) + 5
    cells, own = chosen(numbers, (np.s_[...], most))
    assert len(cells) == min(count, most) == len(set(own.tolist()))
    np.testing.assert_array_equal(own, cells[:, 0] + 5)
    share = np.searchsorted(np.arange(1, len(cells)) * count // len(cells), cells[:, 0], "right")
    np.testing.assert_array_equal(
        share, np.arange(len(cells))
    )  # one in each part of the population
    np.testing.assert_array_equal(chosen(numbers, (np.s_[...], most))[0], cells)


def test_cells_at_indices_that_exist():
    numbers = np.array([[0, -1, -1], [1, 2, -1], [3, 4, 5]])
    cells, own = script()(numbers, (np.s_[:, 1], None), (np.s_[2, :], None))
    assert cells.tolist() == [[1, 1], [2, 0], [2, 1], [2, 2]] and own.tolist() == [2, 3, 4, 5]
    lone, own = script()(np.array(7), (np.s_[...], None))
    assert lone.shape == (1, 0) and own.tolist() == [7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"monitor": "coer"},
            "option monitor of backend brian2: no population is called 'coer' (did you mean 'core'?); there are: core, relay",
        ),
        ({"monitor": "core[a=0]"}, "cells of 'core' have no axis 'a': it has axes m"),
        ({"monitor": "core[m=3]"}, "cells of 'core' have indices 0 to 2 along m, found m=3"),
        ({"monitor": "all[m=1]"}, "all takes no indices, found m=1"),
        ({"monitor": "core,nuclei,relay[a=9]"}, "no such cells can be recorded:\n"),
    ],
)
def test_cells_that_are_not_there(options, message, monkeypatch):
    """One error, before a simulator is looked for or started."""
    backend = get_runner("brian2", **options)
    monkeypatch.setattr(type(backend), "outputs", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SpecError) as caught:
        backend.run(pair(), {"x": X})
    assert message in str(caught.value)
    with pytest.raises(SpecError):
        backend.emit(pair())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "brian2",
            {"spikes": "all"},
            "option spikes of backend brian2 records cells that spike, and these are rate units: cells=lif has spikes",
        ),
        ("nengo", {"spikes": "all"}, "these are rate units: neurons=lif has spikes"),
        (
            "neuron",
            {"spikes": "all"},
            "these are rate units: Brian2 with cells=lif and Nengo with neurons=lif have spikes",
        ),
        ("nest", {"spikes": "core"}, "option spikes of backend nest"),
        ("annarchy", {"spikes": "core"}, "option spikes of backend annarchy"),
        ("brian2", {"monitor": "core["}, "'core[' is no choice of cells, expected a population"),
        ("brian2", {"monitor": "core:0"}, "'core:0' is no choice of cells"),
        ("brian2", {"monitor": " , "}, "option monitor of backend brian2 is empty"),
        (
            "brian2",
            {"monitor": "all", "record_ms": 0.7},
            "is 0.7 ms, expected a whole number of steps of 0.5 ms",
        ),
        (
            "brian2",
            {"monitor": "all", "record_ms": 0.1},
            "expected a whole number of steps of 0.5 ms",
        ),
        ("nest", {"record_ms": 1.0}, "option record_ms of backend nest is for monitor only"),
    ],
)
def test_options_that_record_nothing(name, options, message):
    with pytest.raises(SpecError) as caught:
        get_backend(name, **options)
    assert message in str(caught.value)


def test_a_batch_is_refused():
    with pytest.raises(
        SpecError, match=r"input 'x' has a batch, shape .*: a recording is of one example"
    ):
        get_runner("brian2", monitor="all").run(pair(), {"x": np.stack([X, X])})


def test_scripts_that_record_nothing_have_nothing_of_it():
    for name in ("brian2", "neuron", "nest", "nengo", "annarchy"):
        source = get_backend(name).emit(triangle()[0])[f"attention_{name}.py"]
        assert not any(word in source for word in ("ecorder", "chosen(", "recording/", "# <"))
