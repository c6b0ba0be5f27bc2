"""Attention whose keys and values read the cells that queries read: on every simulator, and in time."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend, get_runner
from cortico.backends.numpy import compile_source
from cortico.backends.numpy.emitter import emit_source
from cortico.ir import check
from cortico.ir.rewrite import rename, with_values
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from tests.circuit_edits import joined
from tests.conformance.test_backends import relative_error
from tests.covering import first
from tests.ir.test_reading_at_other_axes import SPECS, attention, by_hand, numbers

SIMULATORS = [
    pytest.param("brian2", {}, marks=pytest.mark.full),
    ("brian2", {"form": "fast"}),
    ("nest", {}),
    ("neuron", {}),
    ("nengo", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), SIMULATORS, ids=str)
@pytest.mark.parametrize(
    "spec", first(1, SPECS[:1] + SPECS[-1:]), ids=lambda s: f"{s.kernel}-{s.mask}"
)
def test_simulators_settle_to_the_formula(name, options, spec):
    pytest.importorskip(name)
    x, weights = numbers(4)
    found = get_runner(name, **options).run(attention(spec), {"x": x}, weights)["y"]
    assert relative_error(found, by_hand(spec, x, weights)) < 1e-5


@pytest.mark.parametrize("name", ["nest", "neuron", "annarchy", "nengo"])
def test_scripts_connect_cells_at_the_axes_that_are_read(name):
    (text,) = (t for f, t in get_backend(name).emit(attention(SPECS[0])).items() if f.endswith("y"))
    assert "core[j, m]," in text and "core[i, m]," in text


@pytest.mark.slow
@pytest.mark.parametrize("mask", first(1, [Mask.CAUSAL, Mask.NONE]), ids=str)
@pytest.mark.parametrize(
    "name", first(5, ["numpy", "torch", "jax", "onnx", "brian2", "neuron", "nest"])
)
def test_an_axis_in_time_is_read_at_another_one(name, mask):
    """One clock runs both: what a cell fires at a step is of one token, whatever its axis is called."""
    pytest.importorskip(name)
    settings = {"kernel": Kernel.LINEAR, "microcircuit": Microcircuit.MEMORY, "mask": mask}
    spec = AttentionSpec(model=4, heads=2, **settings)
    apart = run_passes(lower(spec), parse_passes("serialize"))[0]
    circuit = joined(apart, "core_source", "matrix_query")
    check(circuit)
    x, weights = numbers(5)
    found = get_runner(name).run(circuit, {"x": x}, weights)["y"]
    assert relative_error(found, by_hand(spec, x, weights)) < 1e-5


@pytest.mark.parametrize("name", ["annarchy", "nengo"])
def test_other_simulators_have_no_axes_in_time(name):
    spec = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    circuit = joined(
        run_passes(lower(spec), parse_passes("serialize"))[0], "core_source", "matrix_query"
    )
    assert get_backend(name).unsupported(circuit) == [f"axis {a!r} is in time" for a in "ij"]


# ---- two layers: the relay cells that the first one drives are the tokens of the second ------------------


def stacked(spec):
    """Attention twice, with the same weights."""
    one = attention(spec)
    two = rename(
        one, populations={p.name: f"{p.name}_2" for p in one.populations} | {"core": "relay"}
    )
    later = (replace(p, name=f"{p.name}_2") for p in two.projections)
    cells = (p for p in two.populations if p.name != "relay")
    return replace(
        one,
        populations=(*one.populations, *cells),
        projections=(*one.projections, *later),
        outputs=two.outputs,
    )


def twice(spec, x, weights):
    return by_hand(spec, by_hand(spec, x, weights), weights)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kernel}-{s.mask}")
@pytest.mark.parametrize("name", ["reference", "numpy", "torch", "jax", "onnx"])
def test_a_layer_reads_the_relay_cells_of_the_one_before(name, spec):
    circuit = stacked(spec)
    check(circuit)
    x, weights = numbers(6)
    found = get_runner(name).run(circuit, {"x": x}, weights)["y"]
    assert relative_error(found, twice(spec, x, weights)) < 1e-5


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kernel}-{s.mask}")
@pytest.mark.parametrize("passes", ["none", "default", "aggressive"])
def test_many_tokens_in_tiles_and_memories(passes, spec):
    """Arrays of pairs are made in tiles, and sums over the past run along, in both layers."""
    _, weights = numbers(7)
    x = np.random.default_rng(8).normal(size=(2, 150, 4)) / 2
    circuit = run_passes(with_values(stacked(spec), weights), parse_passes(passes))[0]
    for name in ("numpy", "torch"):
        found = get_runner(name).run(circuit, {"x": x})["y"]
        expected = np.stack([twice(spec, each, weights) for each in x])
        assert relative_error(found, expected) < 1e-9 if name == "numpy" else 1e-4


def test_emitted_numpy_reads_a_view_and_streams():
    text = emit_source(stacked(SPECS[3]))
    assert "relay_at_j = output  # [j, m]" in text
    assert "def step(" in text
    x, weights = numbers(9)
    step = compile_source(text).__globals__["step"]
    state, rows = None, []
    for token in x:
        state, row = step(state, token, weights=weights)
        rows.append(row)
    assert relative_error(np.stack(rows), twice(SPECS[3], x, weights)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", first(1, ["nengo", "brian2", "nest", "neuron"]))
def test_two_layers_settle(name):
    pytest.importorskip(name)
    x, weights = numbers(10)
    found = get_runner(name).run(stacked(SPECS[1]), {"x": x[:3]}, weights)["y"]
    assert relative_error(found, twice(SPECS[1], x[:3], weights)) < 1e-5
