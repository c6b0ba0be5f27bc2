"""Attention whose keys and values read the cells that queries read: on every simulator, and in time."""

import pytest

from cortico.backends import get_backend, get_runner
from cortico.ir import check
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from tests.circuit_edits import joined
from tests.conformance.test_backends import relative_error
from tests.ir.test_reading_at_other_axes import SPECS, attention, by_hand, numbers

SIMULATORS = [
    ("brian2", {}),
    ("brian2", {"form": "fast"}),
    ("nest", {}),
    ("neuron", {}),
    ("nengo", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), SIMULATORS, ids=str)
@pytest.mark.parametrize("spec", SPECS[:1] + SPECS[-1:], ids=lambda s: f"{s.kernel}-{s.mask}")
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
@pytest.mark.parametrize("mask", [Mask.CAUSAL, Mask.NONE], ids=str)
@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "onnx", "brian2"])
def test_an_axis_in_time_is_read_at_another_one(name, mask):
    """One clock runs both: what a cell fires at a step is of one token, whatever its axis is called."""
    settings = {"kernel": Kernel.LINEAR, "microcircuit": Microcircuit.MEMORY, "mask": mask}
    spec = AttentionSpec(model=4, heads=2, **settings)
    apart = run_passes(lower(spec), parse_passes("serialize"))[0]
    circuit = joined(apart, "core_source", "matrix_query")
    check(circuit)
    x, weights = numbers(5)
    found = get_runner(name).run(circuit, {"x": x}, weights)["y"]
    assert relative_error(found, by_hand(spec, x, weights)) < 1e-5


@pytest.mark.parametrize("name", ["nest", "neuron", "annarchy", "nengo"])
def test_other_simulators_have_no_axes_in_time(name):
    spec = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    circuit = joined(
        run_passes(lower(spec), parse_passes("serialize"))[0], "core_source", "matrix_query"
    )
    assert get_backend(name).unsupported(circuit) == [f"axis {a!r} is in time" for a in "ij"]
