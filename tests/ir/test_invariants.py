"""Each rule fires on a circuit built to break it; everything broken is listed in one error."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from cortico.ir import (
    Axis,
    Bound,
    CellClass,
    CircuitError,
    Compartment,
    Effect,
    Formula,
    Gain,
    Input,
    Output,
    Parameter,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from tests.ir.circuits import attention, tensor
from tests.strategies import circuits


def with_axis(c, name, /, **change):
    return replace(c, axes=tuple(replace(a, **change) if a.name == name else a for a in c.axes))


def with_population(c, name, /, **change):
    parts = tuple(replace(p, **change) if p.name == name else p for p in c.populations)
    return replace(c, populations=parts)


def with_projection(c, name, /, **change):
    parts = tuple(replace(p, **change) if p.name == name else p for p in c.projections)
    return replace(c, projections=parts)


def with_parameter(c, parameter):
    return replace(c, parameters=(*c.parameters, parameter))


def formula(c, kind, arguments, shape):
    plain = Parameter("f", (3,))
    return with_parameter(
        with_parameter(c, plain), Parameter("F", shape, None, Formula(kind, arguments))
    )


def key_weight(c, weight):
    return with_projection(c, "key", weight=weight)


CASES = {
    "plain identifier": lambda c: with_axis(c, "h", name="1h; import os"),
    "axis 'h' is declared 2 times": lambda c: replace(c, axes=(*c.axes, c.axes[0])),
    "tensor 'x' is declared 2 times": lambda c: replace(c, inputs=c.inputs * 2),
    "is at '1.x', which is no path": lambda c: with_population(c, "deep", path="1.x"),
    "is at layer[1], so its name begins with 'layer_1_'": lambda c: with_population(
        c, "deep", path="layer[1]"
    ),
    "title has characters": lambda c: replace(c, name="\ud800"),
    "has extent 0": lambda c: with_axis(c, "h", extent=0),
    "has an empty side": lambda c: replace(c, inputs=(*c.inputs, Input("z", (0,)))),
    "size symbol 'n' is the side of no input": lambda c: replace(
        c, axes=(*c.axes, Axis("z", Role.COLUMN, "n"))
    ),
    "both values and a formula": lambda c: with_parameter(
        c, Parameter("P", (1,), np.zeros(1), Formula("distance", ()))
    ),
    "has values of shape": lambda c: with_parameter(c, Parameter("P", (2,), np.zeros(1))),
    "has values of type int64": lambda c: with_parameter(
        c, Parameter("P", (1,), np.zeros(1, dtype=np.int64))
    ),
    "unknown formula 'rotatoin' (did you mean 'rotation'?)": lambda c: formula(
        c, "rotatoin", ("f",), (3,)
    ),
    "needs 'g', which is no plain parameter": lambda c: formula(c, "distance", ("g",), (3, 3, 3)),
    "formula rotation cannot make 'F'": lambda c: formula(c, "rotation", ("f", "f"), (5, 3, 2, 2)),
    "formula distance cannot make 'F'": lambda c: formula(c, "distance", ("f",), (5, 3, 3)),
    "no relay cells in cortex.L5": lambda c: with_population(c, "core", region=Region.L5),
    "no reticular cells in thalamus.core": lambda c: with_population(
        c, "core", cell_class=CellClass.RETICULAR
    ),
    "no pv cells in thalamus.reticular": lambda c: with_population(
        c, "core", region=Region.RETICULAR, cell_class=CellClass.PV
    ),
    "unknown transfer 'tan' (did you mean 'tanh'?)": lambda c: with_population(
        c, "core", transfer="tan"
    ),
    "has unknown axis 'zz'": lambda c: with_population(c, "core", axes=("j", "zz")),
    "names an axis twice": lambda c: with_population(c, "core", axes=("j", "j")),
    "has no compartment": lambda c: with_population(c, "relay", compartments=()),
    "unknown population 'cor' (did you mean 'core'?)": lambda c: with_projection(
        c, "key", pre="cor"
    ),
    "but 'superficial' has apical, basal (did you mean 'apical'?)": lambda c: with_projection(
        c, "key", compartment="apica"
    ),
    "gain uses unknown axis 'zz'": lambda c: key_weight(
        c, Weight(None, Gain(1.0, (("zz", Fraction(1)),)))
    ),
    "is no finite number": lambda c: key_weight(c, Weight(None, Gain(float("nan")))),
    "unknown tensor 'W_k'": lambda c: key_weight(c, tensor("W_k", "ham")),
    "unknown tensor 'x'": lambda c: key_weight(c, tensor("x", "jm")),
    "must use axes among h, i, j, a, m, each once": lambda c: key_weight(c, tensor("W_K", "hac")),
    "but 'W_K' has shape (2, 2, 3)": lambda c: key_weight(c, tensor("W_K", "hma")),
    "drive of core.driver: unknown tensor": lambda c: with_population(
        c, "core", compartments=(Compartment("driver", Effect.MULTIPLIES, (tensor("q", "j"),)),)
    ),
    "has no output": lambda c: replace(c, outputs=()),
    "reads unknown population 'rela' (did you mean 'relay'?)": lambda c: replace(
        c, outputs=(Output("y", TensorRef("rela", ("i", "m"))),)
    ),
    "must list the axes": lambda c: replace(c, outputs=(Output("y", TensorRef("relay", ("i",))),)),
    "must tie two axes among j, m": lambda c: with_population(
        c, "core", domain=(Bound("j", "i", 0),)
    ),
    "projection 'key': bound 'j - zz <= 0' must tie": lambda c: with_projection(
        c, "key", domain=(Bound("j", "zz", 0),)
    ),
    "bounds tie h, i, j together": lambda c: with_projection(
        c, "key", domain=(Bound("h", "i", 0), Bound("i", "j", 0))
    ),
    "population 'deep': bounds tie": lambda c: with_population(
        c, "deep", domain=(Bound("h", "i", 0), Bound("i", "j", 0))
    ),
    "compartment superficial.apical receives nothing": lambda c: replace(
        c, projections=tuple(p for p in c.projections if p.name != "key")
    ),
    "has a cycle: ": lambda c: with_projection(c, "key", pre="deep", weight=Weight()),
}


def test_the_circuit_that_the_cases_break_is_whole():
    check(attention())


@pytest.mark.parametrize("message", CASES)
def test_rule_fires(message):
    with pytest.raises(CircuitError) as caught:
        check(CASES[message](attention()))
    assert message in str(caught.value)


def test_all_violations_are_in_one_error():
    broken = with_population(with_axis(attention(), "h", extent=0), "core", transfer="tan")
    broken = with_projection(broken, "key", pre="nobody")
    with pytest.raises(CircuitError) as caught:
        check(broken)
    assert str(caught.value).count("\n  - ") == 3
    assert str(caught.value).startswith("circuit 'linear attention' is broken:")


@pytest.mark.slow
@settings(max_examples=25)
@given(circuits() | circuits(living=True))
def test_random_circuits_are_whole(circuit):
    check(circuit)
