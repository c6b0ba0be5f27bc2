"""Pipelines: every case through each, random passes in random order, and how the manager refuses."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.backends.numpy import compile_source
from cortico.ir import Gain, PassError, SpecError, check
from cortico.lowering import lower
from cortico.passes import (
    PASSES,
    PIPELINES,
    Pass,
    check_order,
    compare_meaning,
    parse_passes,
    relative_difference,
    run_passes,
)
from cortico.pipeline import compile_attention
from tests.cases import BATCH, CASES
from tests.covering import every_case
from tests.oracle import textbook_attention
from tests.spec_strategies import inputs_of, planted_weights, small_specs

EXACT = [kind for kind in PASSES if kind.exact]


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["default", "aggressive"])
@pytest.mark.parametrize("case", every_case())
def test_pipeline_keeps_the_output(pipeline, case):
    before = lower(case.spec, case.weights)
    after, _ = run_passes(before, parse_passes(pipeline), compare_meaning)
    inputs = case.inputs
    expected = np.stack(
        [
            textbook_attention(case.spec, case.weights, **{n: a[k] for n, a in inputs.items()})
            for k in range(BATCH)
        ]
    )
    for name in ("numpy", "reference"):
        found = get_backend(name).run(after, inputs)["y"]
        assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data(), spec=small_specs)
def test_random_passes_in_random_order(data, spec):
    weights, inputs = data.draw(planted_weights(spec)), data.draw(inputs_of(spec))
    order = data.draw(st.lists(st.sampled_from(EXACT), max_size=6))
    circuit = lower(spec, weights)
    for kind in order:
        circuit = kind().run(circuit)
        check(circuit)
    expected = textbook_attention(spec, weights, **inputs)
    found = get_backend("numpy").run(circuit, inputs)["y"]
    largest = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * largest)


APPROXIMATE = (
    "default,prune-heads(keep=1),prune-small(budget=0.2),low-rank(tolerance=0.1),quantize(bits=4)"
)
#: Those that hold for circuits that live in time.
APPROXIMATE_IN_TIME = "default,prune-small(budget=0.2),quantize(bits=4)"


@pytest.mark.slow
@pytest.mark.parametrize("case", every_case())
def test_approximate_passes_report_their_errors(case):
    lowered = lower(case.spec, case.weights)
    text = APPROXIMATE_IN_TIME if lowered.lives_in_time else APPROXIMATE
    circuit, steps = run_passes(lowered, parse_passes(text))
    check(circuit)
    lossy = [step for step in steps if step.bound is not None]
    assert {"prune-small(budget=0.2, scope=global)", "quantize(bits=4)"} <= {s.name for s in lossy}
    for step in lossy:
        assert step.error is not None
        assert step.error == pytest.approx(relative_difference(step.before, step.after))
        assert 0 <= step.bound < float("inf")
    assert all(step.error is None for step in steps if step not in lossy)


def test_the_name_of_a_pass_is_its_file():
    for kind in PASSES:
        assert kind.__module__ == f"cortico.passes.{kind.name.replace('-', '_')}"
        assert kind.__doc__


def test_named_pipelines_are_in_order():
    for name, members in PIPELINES.items():
        assert [each.name for each in parse_passes(name)] == list(members)


@dataclass(frozen=True)
class Harmful(Pass):
    """Doubles a weight's gain, which an exact pass must not."""

    name = "harmful"

    def run(self, circuit):
        first, *rest = circuit.projections
        changed = replace(first, weight=replace(first.weight, gain=first.weight.gain * Gain(2.0)))
        return replace(circuit, projections=(changed, *rest))


@dataclass(frozen=True)
class Breaking(Pass):
    """Forgets the outputs."""

    name = "breaking"

    def run(self, circuit):
        return replace(circuit, outputs=())


@dataclass(frozen=True)
class Early(Pass):
    """Must come after harmful."""

    name = "early"
    after = ("harmful",)

    def run(self, circuit):
        return circuit


def linear_circuit():
    return lower(CASES[0].spec, CASES[0].weights)


def test_a_pass_that_changes_the_meaning_is_caught():
    with pytest.raises(PassError, match=r"pass harmful is at fault: .*changed its output by"):
        run_passes(linear_circuit(), [Harmful()], compare_meaning)


def test_a_pass_that_breaks_an_invariant_is_caught():
    with pytest.raises(PassError, match=r"(?s)pass breaking is at fault.*no output"):
        run_passes(linear_circuit(), [Breaking()])


def test_passes_that_do_not_settle_are_caught():
    with pytest.raises(PassError, match="do not settle after 10 rounds; still changing: harmful"):
        run_passes(linear_circuit(), [Harmful()])


def test_order_is_checked():
    with pytest.raises(SpecError, match="pass early must come after harmful"):
        check_order([Early(), Harmful()])
    check_order([Harmful(), Early()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("share-relay", "no pass called 'share-relay'.*did you mean 'share-relays'"),
        ("share-relays(depth=3)", "pass share-relays has no option 'depth'"),
        ("default,x", "no pass called 'x'"),
        ("default,,x", "cannot read pass ''"),
        ("share-relays(", r"cannot read pass 'share-relays\('"),
        ("default(x=1)", "no pass called 'default'"),
    ],
)
def test_wrong_names(text, message):
    with pytest.raises(SpecError, match=message):
        parse_passes(text)


def test_nothing_to_do_is_the_same_circuit():
    circuit = linear_circuit()
    assert run_passes(circuit, []) == (circuit, [])
    settled, _ = run_passes(circuit, parse_passes("default"))
    assert run_passes(settled, parse_passes("default"))[0] is settled


def test_changed_numbers_get_another_name():
    """The weights of the spec cannot be given by mistake to a circuit whose passes changed them."""
    case = next(case for case in CASES if case.name == "gpt2")
    compilation = compile_attention(case.spec, case.weights)
    given = {p.name: p for p in lower(case.spec, case.weights).parameters}
    for parameter in compilation.circuit.parameters:
        assert given.get(parameter.name, parameter) == parameter
    assert {"W_K_v2", "b_O_v2"} <= set(compilation.weights)
    with pytest.raises(ValueError, match="weights are missing: W_K_v2, b_O_v2"):
        compile_source(compilation.files["attention.py"])(case.inputs["x"], weights=case.weights)
