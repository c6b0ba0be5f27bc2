"""What a network takes is told before it is built: exact counts, and a refusal where memory would not hold it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cortico import AttentionSpec, SpecError, lower
from cortico.backends import get_backend, get_runner
from cortico.backends.brian2 import Options, emit_script
from cortico.backends.cells import backend as running
from cortico.backends.cells import estimate as sizes
from cortico.backends.cells.backend import forecast
from cortico.ir import UnsupportedError
from tests.backends.brian2.simulation import SYNCHRONOUS
from tests.backends.networks.models import case

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def small():
    each = case("vectors", (), 3)
    return each.network.flatten(), each.inputs


def made_by_the_script(circuit, inputs):
    """Cells and synapses that an emitted script makes, counted as it makes them."""
    file = "attention_brian2.py"
    names = {"__name__": "attention_brian2", "__file__": file}
    exec(compile(emit_script(circuit, Options()), file, "exec"), names)
    found = {"neurons": 0, "synapses": 0}
    numbered, connect = names["numbered"], names["connect"]

    def counted_cells(*given):
        numbers, count = numbered(*given)
        found["neurons"] += count
        return numbers, count

    def counted_synapses(synapses, pre, post, **values):
        found["synapses"] += len(pre)
        connect(synapses, pre, post, **values)

    names |= {"numbered": counted_cells, "connect": counted_synapses}
    weights = {p.name: p.values for p in circuit.parameters if p.values is not None}
    names["simulate"](**inputs, weights=weights, **SYNCHRONOUS)
    return found


def test_counts_are_those_of_the_network():
    circuit, inputs = small()
    told = get_backend("brian2").estimate(circuit, {"n": 3})
    assert {"neurons": told.neurons, "synapses": told.synapses} == made_by_the_script(
        circuit, inputs
    )
    assert told.bytes == 151e6 + 250 * told.neurons + 16 * told.synapses + 36 * largest(circuit)


def largest(circuit):
    """Synapses of the largest Synapses that the script makes, of ends and compartments by name."""
    groups, counts = {}, circuit.bind(n=3).counts().synapses_of
    kinds = {p.name: kind_of(circuit, p.name) for p in circuit.populations}
    for each in circuit.projections:
        groups.setdefault((kinds[each.pre], kinds[each.post], each.compartment), []).append(each)
    return max(sum(counts[p.name] for p in found) for found in groups.values())


def kind_of(circuit, name):
    """Cells of one class that have one equation share a group."""
    population = circuit.population(name)
    parts = tuple((c.name, c.effect) for c in population.compartments)
    return population.cell_class, population.transfer, parts


def test_what_does_not_fit_is_refused_with_the_numbers(monkeypatch):
    circuit, inputs = small()
    told = get_backend("brian2").estimate(circuit, {"n": 3})
    monkeypatch.setattr(running, "free_memory", lambda: told.bytes - 1)
    wrong = (
        rf"the Brian2 network would have {told.neurons:,} neurons and {told.synapses:,} synapses and need about "
        r"0\.15 GB and [0-9]+ (s|min), 0\.15 GB are free; fewer tokens"
    )
    with pytest.raises(UnsupportedError, match=wrong):
        get_runner("brian2").run(circuit, inputs)


@pytest.mark.slow
def test_size_any_builds_it_all_the_same(monkeypatch):
    circuit, inputs = small()
    monkeypatch.setattr(running, "free_memory", lambda: 0.0)
    found = get_runner("brian2", size="any", **SYNCHRONOUS).run(circuit, inputs)
    assert found["states"].shape == (3, 16)


def test_the_option_is_checked():
    with pytest.raises(SpecError, match="option size of backend brian2"):
        get_backend("brian2", size="huge")


def test_large_numbers_are_in_words():
    told = sizes.Estimate("Brian2", 1_339_444, 117_000_000, 9.3e9)
    assert str(told) == "1.34 million neurons, 117 million synapses, about 9.3 GB"
    long = sizes.Estimate("Nengo", 6_010, 117, 1.63e12, 4.4e6)
    assert str(long) == "6,010 neurons, 117 synapses, about 1,600 GB and 1,200 h"
    assert [sizes.time_in_words(s) for s in (0.01, 119, 130, 7100)] == [
        "1 s",
        "120 s",
        "2.2 min",
        "120 min",
    ]
    with pytest.raises(UnsupportedError, match=r"117 million synapses and need about 9\.3 GB, 3"):
        told.require_room(3.1e9)
    told.require_room(9.4e9)


def test_progress_tells_of_simulators_alone():
    circuit, inputs = small()
    told = forecast(get_backend("brian2"), lambda: circuit, inputs)
    assert re.fullmatch(r": .* synapses, about 0\.15 GB and [0-9]+ (s|min)", told)
    assert forecast(get_backend("numpy"), lambda: circuit, inputs) == ""


def test_free_memory_is_some():
    assert 2**20 < sizes.free_memory() < 2**50
    assert np.isfinite(sizes.free_memory())


@pytest.mark.parametrize(
    ("backend", "options", "model", "tokens", "measured"),
    [
        ("brian2", {}, 160, 4, 215_498_752),
        ("brian2", {"target": "cpp_standalone"}, 256, 5, 756_703_232),
        ("nest", {}, 8, 24, 469_663_744),
        ("nengo", {}, 8, 24, 3_815_026_688),
        ("nengo", {}, 64, 4, 259_158_016),
    ],
)
def test_the_constants_are_near_what_processes_held(backend, options, model, tokens, measured):
    """Figures of benchmarks/simulator_memory.py; in C++, of Python and the program together."""
    spec = AttentionSpec(model, 2)
    told = get_backend(backend, **options).estimate(lower(spec), {"n": tokens})
    assert 0.8 < told.bytes / measured < 1.25


@pytest.mark.parametrize("engine", ["neuron", "nest", "annarchy"])
@pytest.mark.parametrize("shape", ["whole", "thin"])
def test_the_constants_are_near_what_was_measured_at_scale(engine, shape):
    """Figures of benchmarks/simulator_scale.py: many synapses to a neuron, and few."""
    rows = json.loads((RESULTS / "simulator_scale.json").read_text(encoding="utf-8"))[engine][
        "rows"
    ]
    (row,) = (r for r in rows if (r["shape"], r["workers"]) == (shape, 1))
    cost, neurons, synapses = sizes.COSTS[engine], row["neurons"], row["synapses"]
    held = cost.neuron * neurons + cost.synapse * synapses
    assert 0.75 < held / (row["bytes_per_synapse"] * synapses) < 1.33
    built = cost.pace.seconds(neurons, synapses, 0)
    compiling = 9 * cost.code[1] if engine == "annarchy" else -cost.pace.start  # which is within
    assert 0.6 < (built + compiling) / row["build_s"] < 1.7
    step = (cost.pace.seconds(neurons, synapses, 1) - built) * 1e9
    assert 0.75 < step / (row["ns_per_synapse"] * synapses) < 1.33
