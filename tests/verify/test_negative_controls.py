"""What is wrong is refuted, by numbers that differ by another route, too."""

import numpy as np
import pytest

from cortico.ir import check
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.covering import first
from tests.verify.negative_controls import WRONG_CIRCUITS
from tests.verify.negative_gradients import WRONG_GRADIENTS
from tests.verify.negative_passes import NOT_FOUND, WRONG_PASSES
from tests.verify.numbers import (
    circuit_numbers,
    joined,
    matched_sizes,
    resized,
    split,
    textbook_numbers,
    torch_gradients,
)

CLOSE = 1e-9


def refuted(left, right):
    """The outcomes that refute, at least one."""
    outcomes = compare(left, right)
    assert not all(each.verdict is Known.PROVED for each in outcomes)
    found = [each for each in outcomes if each.verdict is Known.REFUTED]
    assert found, [each.reason for each in outcomes]
    for each in found:
        shown = each.counterexample
        assert abs(shown.left - shown.right) > 1e-6 * max(1.0, abs(shown.left), abs(shown.right))
    return found


def same(found, expected):
    return abs(found - expected) <= CLOSE * max(1.0, abs(expected))


@pytest.mark.parametrize("name", WRONG_CIRCUITS)
def test_wrong_circuits_are_refuted(name):
    """The counterexample's numbers are the oracle's and the interpreter's."""
    control = WRONG_CIRCUITS[name]
    spec, wrong = control.spec, control.wrong
    check(wrong)
    (outcome,) = refuted(reference(spec), circuit_equations(wrong))
    found = outcome.counterexample
    sizes, axes = matched_sizes(spec, wrong, found.sizes)
    assert same(textbook_numbers(spec, sizes, found.given)[found.index], found.left)
    assert same(circuit_numbers(wrong, axes, found.given)[found.index], found.right)


@pytest.mark.parametrize("name", WRONG_PASSES)
def test_wrong_passes_are_refuted(name):
    """Circuits before and after; both numbers are the interpreter's."""
    control = WRONG_PASSES[name]
    right, wrong = control.right, control.wrong
    check(wrong)
    (outcome,) = refuted(circuit_equations(right), circuit_equations(wrong))
    (also,) = refuted(reference(control.spec), circuit_equations(wrong))
    found = also.counterexample
    for circuit, expected in ((right, found.left), (wrong, found.right)):
        _, axes = matched_sizes(control.spec, circuit, found.sizes, like=wrong)
        assert same(circuit_numbers(circuit, axes, found.given)[found.index], expected)
    assert outcome.output == "y"


@pytest.mark.parametrize("name", first(20, WRONG_GRADIENTS))
def test_wrong_gradients_are_refuted(name):
    """The right number is PyTorch's, the wrong one what the wrong equations say at these sizes."""
    control = WRONG_GRADIENTS[name]
    for found in refuted(control.right, control.wrong):
        shown, tensor = found.counterexample, found.output.removeprefix("d.")
        spec = resized(control.spec, shown.sizes)
        weights = joined(spec, shown.given)
        inputs = {n: shown.given[n] for n in ("x", "keep") if n in shown.given}
        slopes = torch_gradients(spec, weights, inputs, shown.given["error"])
        expected = split(spec, {**weights, **slopes})[tensor]
        expected = expected.reshape(shown.given[tensor].shape)
        assert same(expected[shown.index], shown.left)
        wrong = evaluate(control.wrong, shown.sizes, shown.given)[found.output]
        assert same(wrong[shown.index], shown.right)


@pytest.mark.parametrize("name", first(8, [*WRONG_CIRCUITS][::5]))
def test_gradients_of_wrong_circuits_are_refuted(name):
    """Some gradient moves when a circuit is wrong, if only that of an input."""
    control = WRONG_CIRCUITS[name]
    systems = [circuit_equations(circuit) for circuit in (control.right, control.wrong)]
    wanted = [t for t in ("W_Q", "W_K", "W_V", "W_O", "x") if all(t in s.given for s in systems)]
    refuted(*(gradients(system, wanted) for system in systems))


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_no_numbers_tell_apart_is_not_proved(name):
    control = NOT_FOUND[name]
    (outcome,) = compare(reference(control.spec), circuit_equations(control.wrong))
    assert outcome.verdict is not Known.PROVED


def test_there_are_many():
    assert len(WRONG_CIRCUITS) + len(WRONG_PASSES) + len(WRONG_GRADIENTS) >= 150
    assert np.isfinite(CLOSE)
