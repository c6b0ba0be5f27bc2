"""What `backends/cells` gives to a new simulator, tried on a small one: every case in space."""

from fractions import Fraction
from importlib.resources import files

import numpy as np
import pytest

from cortico.backends import get_runner, require_support
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Gain,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.backends.simulators import TOY
from tests.backends.toy_simulator import ToyBackend
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case

CASE = {case.name: case for case in CASES}


def in_space(case):
    return not lower(case.spec).presents_tokens


@pytest.mark.parametrize("case", every_case(filter(in_space, CASES), thorough=True))
def test_settles_to_the_reference(case):
    """In steps of one time constant; in this process."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    require_support(ToyBackend(), circuit)
    found = TOY.settle(circuit, example)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    assert max(relative_error(found[name], expected[name]) for name in expected) < TOY.near
    assert relative_error(found["y"], expected_output(case)[1]) < TOY.near


def test_runs_in_a_process_of_its_own():
    """A batch, in steps far shorter than the time constant."""
    case = CASE["softmax-mask_window-padded-grouped-biased"]
    found = ToyBackend(dt=0.5).run(lower(case.spec, case.weights), case.inputs)["y"]
    assert 1e-15 < relative_error(found, expected_output(case)) < 1e-8


def test_what_it_carries_is_what_it_uses():
    """No weights from disk where they are given, no formulas where there are none."""
    case = CASE["one_head"]
    symbolic, stored = (ToyBackend().source(lower(case.spec, w)) for w in (None, case.weights))
    assert "def load_weights" not in symbolic and "def load_weights" in stored
    assert "def rotation" not in stored
    assert "def rotation" in ToyBackend().source(lower(CASE["llama"].spec))
    assert "cortico." not in stored.replace("compiled by cortico.", "")


def test_what_is_refused():
    assert ToyBackend().unsupported(lower(CASE["memory"].spec)) == [
        "axis 'i' is in time",
        "axis 'j' is in time",
    ]


def test_inputs_without_a_batch_are_shared_and_masks_may_be_left_out():
    case = CASE["softmax-mask_window-padded-grouped-biased"]
    circuit, backend = lower(case.spec, case.weights), ToyBackend(tau=1.0)
    x, keep = case.inputs["x"], case.inputs["keep"]
    alone, shared = ({"x": x}, {"x": x, "keep": keep[0]})
    for given, masks in ((alone, np.ones_like(keep)), (shared, np.stack([keep[0]] * len(x)))):
        expected = get_runner("reference").run(circuit, {"x": x, "keep": masks})["y"]
        assert relative_error(backend.run(circuit, given)["y"], expected) < TOY.near


def test_weights_have_their_gains():
    """A number, and a power of a size that is known when the script runs; by hand."""
    builder = CircuitBuilder("gains")
    for name, extent in (("i", "n"), ("j", 2)):
        builder.axis(name, Role.FEATURE, extent)
    x, w = builder.input("x", ("n",)), builder.parameter("w", (2,))
    drive = (Weight(TensorRef(x, ("i",)), Gain(3.0)),)
    home = (Region.CORE, CellClass.RELAY)
    builder.population("first", ("i",), *home, [Compartment("a", drive=drive)])
    builder.population("second", ("j",), *home, [Compartment("a")])
    gain = Gain(0.5, (("i", Fraction(-1)),))
    builder.project("to", "first", "second", "a", Weight(TensorRef(w, ("j",)), gain))
    builder.output("y", "second", ("j",))
    values = np.array([1.0, 2.0, 6.0])
    found = TOY.settle(builder.build(), {"x": values}, {"w": np.array([1.0, -4.0])})["y"]
    np.testing.assert_allclose(found, [0.5 * 3 * 9 / 3, -4 * 0.5 * 3 * 9 / 3], rtol=1e-14)


def test_it_is_short():
    texts = [f.read_text("utf-8") for f in files("tests.backends.toy_simulator").glob("*.py")]
    assert len(texts) == 2 and sum(text.count("\n") for text in texts) < 120


def test_a_batch_keeps_its_shape():
    case = CASE["one_head"]
    inputs = {n: np.stack([a, a[::-1]]) for n, a in case.inputs.items()}
    found = ToyBackend(tau=1.0).run(lower(case.spec, case.weights), inputs)["y"]
    expected = expected_output(case)
    assert relative_error(found, np.stack([expected, expected[::-1]])) < 1e-12
