"""ANNarchy networks settle to the textbook: few networks, as each is compiled; annarchy_record.py has all cases."""

import numpy as np
import pytest

from cortico.backends import get_runner
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Gain,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.lowering import lower
from tests.backends.simulators import ANNARCHY, folder
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error

CASE = {case.name: case for case in CASES}


@ANNARCHY.needs
@pytest.mark.full
def test_many_options_at_once():
    """Grouped heads, a window, padding, biases: a batch on one compiled network."""
    case = CASE["softmax-mask_window-padded-grouped-biased"]
    circuit = lower(case.spec, case.weights)
    expected = expected_output(case)
    assert relative_error(ANNARCHY.settle(circuit, case.inputs)["y"], expected) < 1e-12

    library = folder() / "annarchy" / "ANNarchyWrapper1.so"
    compiled = library.stat().st_mtime_ns
    in_time = ANNARCHY.simulate(circuit, case.inputs)[
        "y"
    ]  # each class of cells has its time constant
    assert 1e-15 < relative_error(in_time, expected) < 1e-8
    other = {p.name: 1.5 * p.values for p in circuit.parameters}
    found = ANNARCHY.settle(circuit, case.inputs, other)["y"]
    again = get_runner("reference").run(circuit, case.inputs, other)["y"]
    assert relative_error(found, again) < 1e-12
    assert relative_error(again, expected) > 1e-3
    assert library.stat().st_mtime_ns == compiled, "other weights were compiled anew"


@ANNARCHY.needs
@pytest.mark.slow
def test_all_that_cells_do_by_hand():
    """Factors, divisors, transfer functions, domains, constants and any name, on two threads."""
    circuit = features()
    rng = np.random.default_rng(0)
    x, z = rng.uniform(0.5, 2.0, (2, 2, 4))
    z[0, 1] = 0.0
    z[1, 2] *= -1
    found = ANNARCHY.simulate(circuit, {"x": x, "z": z}, threads=2, **ANNARCHY.exactly)
    later = np.tril(np.ones((4, 4)))
    pairs = x[:, :, None] * z[:, None, :] * later
    near = later * (1 - np.tril(np.ones((4, 4)), -3))  # a synapse from (i, j) with i - j <= 2
    with np.errstate(divide="ignore"):
        ratio = np.where(z == 0, 0, (2 * x) * (x + 0.5) * x / z / (-3 * x))
        inverse = np.where(z == 0, 0, 1 / z)
    expected = {
        "lambda": x,
        "ratio": ratio,
        "inverse": np.exp(inverse),
        "pairs": pairs,
        "pooled": np.tanh(np.sum(near * pairs, axis=2)),
        "total": np.sqrt(x.sum(axis=1) + 0.25),
        "nobody": np.zeros((2, 4, 4)),
        "clipped": np.maximum(0, -z) + np.zeros(4),
    }
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-14, err_msg=name)

    early = ANNARCHY.simulate(circuit, {"x": x, "z": z}, threads=2, dt=10.0, tolerance=0.1)
    relay, pyramidal = (-np.log(1 - early[name] / expected[name]) for name in ("lambda", "inverse"))
    steps = 20 * relay / 10.0  # of 10 ms: relay cells have 20 ms, pyramidal-tract cells 12
    np.testing.assert_allclose(steps, steps.round(), rtol=1e-6)
    np.testing.assert_allclose(12 * pyramidal / 10.0, steps[:, :1] + 0 * pyramidal, rtol=1e-6)


def features():
    """A population for each thing that cells may do, with names that mean something elsewhere."""
    builder = CircuitBuilder('späte Köpfe """ \\ \n {x} %s \'π\'')
    for axis in ("i", "j"):
        builder.axis(axis, Role.COLUMN, "n")
    x, z = (
        {axis: (Weight(TensorRef(tensor, (axis,))),) for axis in "ij"}
        for tensor in (builder.input("x", ("n",)), builder.input("z", ("n",)))
    )
    core, deep = (Region.CORE, CellClass.RELAY), (Region.L5, CellClass.PT)
    half = (Weight(gain=Gain(0.5)),)
    builder.population("lambda", ("i",), *core, [Compartment("r", drive=x["i"])])
    builder.population("by", ("j",), *core, [Compartment("tau", drive=z["j"])])
    divides = Effect.DIVIDES
    builder.population(
        "ratio",
        ("i",),
        *deep,
        [
            Compartment("if"),
            Compartment("if_", drive=half),
            Compartment("sum", drive=x["i"]),
            Compartment("t", divides, drive=z["i"]),
            Compartment("class", divides),
        ],
    )
    builder.population("inverse", ("j",), *deep, [Compartment("dt", divides, z["j"])], "exp")
    causal = (Bound("j", "i", 0),)
    builder.population(
        "pairs", ("i", "j"), *deep, [Compartment("a"), Compartment("b")], domain=causal
    )
    builder.population("pooled", ("i",), *deep, [Compartment("a")], "tanh")
    builder.population(
        "total", (), *deep, [Compartment("a", drive=(Weight(gain=Gain(0.25)),))], "sqrt"
    )
    never = (Bound("i", "j", -1), Bound("j", "i", -1))
    builder.population("nobody", ("i", "j"), *deep, [Compartment("a")], domain=never)
    builder.population(
        "clipped", ("j",), *deep, [Compartment("a"), Compartment("b", drive=half)], "relu"
    )
    for pre, post, compartment, gain in (
        ("lambda", "ratio", "if", 2.0),
        ("lambda", "ratio", "if_", 1.0),
        ("lambda", "ratio", "class", -3.0),
        ("lambda", "pairs", "a", 1.0),
        ("by", "pairs", "b", 1.0),
        ("lambda", "total", "a", 1.0),
        ("by", "nobody", "a", 1.0),
        ("by", "clipped", "a", -2.0),
        ("nobody", "clipped", "b", 1.0),
    ):
        builder.project(
            f"{pre}_{post}_{compartment}", pre, post, compartment, Weight(gain=Gain(gain))
        )
    near = (Bound("i", "j", 2),)
    builder.project("near", "pairs", "pooled", "a", domain=near)
    for name, axes in (
        ("lambda", "i"),
        ("ratio", "i"),
        ("inverse", "j"),
        ("pairs", "ij"),
        ("pooled", "i"),
        ("total", ""),
        ("nobody", "ij"),
        ("clipped", "j"),
    ):
        builder.output(name, name, tuple(axes))
    return builder.build()
