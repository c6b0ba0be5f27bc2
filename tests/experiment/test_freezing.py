"""Freezing keeps what a circuit computes: every case, random circuits, readings of one input."""

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico import AttentionSpec, SpecError, compile_attention, freeze, get_runner, random_weights
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.text import load_circuit, save_circuit
from cortico.lowering import lower
from cortico.spec import Kernel, Microcircuit
from tests.cases import CASES
from tests.conformance.test_backends import relative_error
from tests.covering import every_pair
from tests.oracle import textbook_attention
from tests.strategies import circuits, real_numbers

CASE = {case.name: case for case in CASES}
REFERENCE = get_runner("reference")

LINEAR = AttentionSpec(
    model=6, heads=2, key_features=3, cross=True, context=5, kernel=Kernel.LINEAR
)
MEMORY = dataclasses.replace(LINEAR, microcircuit=Microcircuit.MEMORY)


def example(case):
    return {name: array[0] for name, array in case.inputs.items()}


def linear(spec=LINEAR, tokens=4, context=7):
    """A linear cross attention with weights, query tokens and a context."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((tokens, spec.model))
    return (
        lower(spec, weights := random_weights(spec, 1)),
        weights,
        x,
        rng.standard_normal((context, 5)),
    )


def from_context(spec):
    """The spec for the oracle alone: a user's spec has no causal or rotary cross attention."""
    cross = copy.copy(spec)
    object.__setattr__(cross, "cross", True)
    return cross


def size(circuit):
    return {p.name for p in circuit.populations}


@pytest.mark.slow
@pytest.mark.parametrize("passes", ["none", "default"])
@pytest.mark.parametrize(
    "case", [c for c in CASES if len(c.inputs) > 1], ids=lambda case: case.name
)
def test_any_input_of_any_case(case, passes):
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    inputs = example(case)
    expected = REFERENCE.run(circuit, inputs)["y"]
    for name in inputs:
        frozen = freeze(circuit, {name: inputs[name]})
        assert name not in [tensor.name for tensor in frozen.inputs]
        rest = {other: array for other, array in inputs.items() if other != name}
        assert relative_error(REFERENCE.run(frozen, rest)["y"], expected) < 1e-12


@pytest.mark.parametrize("case", every_pair())
def test_with_all_inputs_frozen_only_rates_are_left(case):
    circuit, inputs = lower(case.spec, case.weights), example(case)
    frozen = freeze(circuit, inputs)
    assert (size(frozen), frozen.projections, frozen.inputs) == ({"relay"}, (), ())
    expected = REFERENCE.run(circuit, inputs)["y"]
    np.testing.assert_allclose(REFERENCE.run(frozen, {})["y"], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data(), circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit(data, circuit, seed, tokens):
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    assume(inputs)
    names = data.draw(st.sets(st.sampled_from(sorted(inputs)), min_size=1))
    frozen = freeze(circuit, {name: inputs[name] for name in names})
    check(frozen)
    rest = {name: array for name, array in inputs.items() if name not in names}
    used = {p.name for p in frozen.parameters}
    left = {name: array for name, array in weights.items() if name in used}
    found = REFERENCE.run(frozen, rest, left)["y"]
    expected = REFERENCE.run(circuit, inputs, weights)["y"]
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * largest)


@pytest.mark.parametrize("spec", [LINEAR, MEMORY], ids=["mask", "memory"])
def test_keys_and_values_of_a_context_are_gone(spec):
    circuit, weights, x, context = linear(spec)
    frozen = freeze(circuit, {"context": context})
    assert size(circuit) - size(frozen) == (
        {"core_source"} if spec is LINEAR else {"core_source", "association", "memory"}
    )
    assert [tensor.name for tensor in frozen.inputs] == ["x"]
    assert {"W_K", "W_V", "context"}.isdisjoint(p.name for p in frozen.parameters)
    expected = textbook_attention(spec, weights, x, context)
    assert relative_error(REFERENCE.run(frozen, {"x": x})["y"], expected) < 1e-13


def test_the_memory_is_the_sum_of_outer_products():
    circuit, weights, _, context = linear(MEMORY)
    frozen = freeze(circuit, {"context": context})
    (memory,) = (p for p in frozen.parameters if p.name == "recall_current")
    k = np.einsum("ham,jm->hja", weights["W_K"], context)
    v = np.einsum("hcm,jm->hjc", weights["W_V"], context)
    np.testing.assert_allclose(memory.values, np.einsum("hjc,hja->hca", v, k), rtol=1e-12)
    assert "j" not in [axis.name for axis in frozen.axes]


def test_a_frozen_circuit_is_saved_and_loaded(tmp_path):
    circuit, _, _, context = linear()
    frozen = freeze(circuit, {"context": context})
    save_circuit(frozen, tmp_path / "circuit.cortico")
    assert load_circuit(tmp_path / "circuit.cortico") == frozen


# ---- readings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "linear-mask_none-grouped-biased",
        "linear-mask_none-biased",
        "bert",
        "llama",
        "alibi",
        "memory",
    ],
)
def test_keys_and_values_of_self_attention(name):
    """Queries of x, keys and values of a fixed text: cross attention with the same weights."""
    case = CASE[name]
    spec, x = case.spec, example(case)["x"]
    context = np.random.default_rng(9).standard_normal((7, spec.model))
    given = {"x[j, m]": context}
    if spec.key_padding:
        given["keep[j]"] = np.arange(7) != 3
    frozen = freeze(lower(spec, case.weights), given)
    expected = textbook_attention(
        from_context(spec), case.weights, x, context, given.get("keep[j]")
    )
    assert relative_error(REFERENCE.run(frozen, {"x": x})["y"], expected) < 1e-12
    assert frozen.symbols == ("n",)
    more = np.random.default_rng(4).standard_normal((11, spec.model))
    assert REFERENCE.run(frozen, {"x": more})["y"].shape[0] == 11


def test_a_tensor_read_along_both_axes_is_told_apart():
    """merge-duplicates makes one table of R_Q and R_K, whose tokens then differ in number."""
    case = CASE["llama"]
    circuit = compile_attention(case.spec, case.weights, passes="merge-duplicates").circuit
    tables = [p for p in circuit.parameters if p.formula]
    context = np.random.default_rng(9).standard_normal((7, 8))
    frozen = freeze(circuit, {"x[j,m]": context})
    x = example(case)["x"]
    expected = textbook_attention(from_context(case.spec), case.weights, x, context)
    assert len(tables) == 1
    assert relative_error(REFERENCE.run(frozen, {"x": x})["y"], expected) < 1e-12


# ---- what stays ------------------------------------------------------------------------------------


def test_symbolic_weights_stay():
    _, weights, x, context = linear()
    frozen = freeze(lower(LINEAR), {"context": context})
    assert size(frozen) == size(lower(LINEAR))
    found = REFERENCE.run(frozen, {"x": x}, weights)["y"]
    assert relative_error(found, textbook_attention(LINEAR, weights, x, context)) < 1e-13


def held_by_a_bound(symbolic):
    """p (constant) sends to y along the axis i, whose size may be a symbol."""
    b = CircuitBuilder("bound")
    b.axis("i", Role.COLUMN, "n" if symbolic else 3)
    b.axis("j", Role.COLUMN, 2)
    b.input("x", ("n" if symbolic else 3,))
    b.input("s", (2,))
    home = (Region.L5, CellClass.PT)
    b.population(
        "p", ("j",), *home, [Compartment("a", drive=(Weight(TensorRef("s", ("j",))),))], "exp"
    )
    b.population("y", ("i",), *home, [Compartment("a", drive=(Weight(TensorRef("x", ("i",))),))])
    b.project("to", "p", "y", "a", domain=(Bound("j", "i", 0),))
    b.output("y", "y", ("i",))
    return b.build()


@pytest.mark.parametrize("symbolic", [True, False])
def test_cells_whose_targets_have_no_number_stay(symbolic):
    circuit = held_by_a_bound(symbolic)
    s, x = np.array([0.5, -1.0]), np.array([1.0, 2.0, 3.0])
    frozen = freeze(circuit, {"s": s})
    assert size(frozen) == ({"p", "y"} if symbolic else {"y"})
    found = REFERENCE.run(frozen, {"x": x})["y"]
    first, both = np.exp(0.5), np.exp(0.5) + np.exp(-1)
    np.testing.assert_allclose(found, [1 + first, 2 + both, 3 + both], rtol=1e-14)


# ---- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"contxt": np.ones((2, 5))},
            "no input 'contxt' (did you mean 'context'?); it has x, context",
        ),
        ({"context": np.ones((2, 6))}, "input 'context' has shape (2, 6), expected (…, 2, 5)"),
        ({"context": np.ones((2, 2, 5))}, "expected ('n_context', 5): one example"),
        ({"context": np.full((2, 5), np.nan)}, "no finite numbers"),
        ({"context": np.full((2, 5), "a")}, "holds texts, 'a'"),
    ],
)
def test_wrong_arrays(given, message):
    with pytest.raises(SpecError) as caught:
        freeze(lower(LINEAR), given)
    assert message in str(caught.value)


def test_padding_is_zero_or_one():
    with pytest.raises(SpecError, match="must be 0 or 1"):
        freeze(lower(CASE["bert"].spec), {"keep": np.array([0.5, 1.0])})


def test_readings_are_suggested():
    with pytest.raises(SpecError) as caught:
        freeze(lower(CASE["llama"].spec), {"x[j,a]": np.ones((5, 8))})
    assert "did you mean 'x[j, m]'?); it has x, x[i, m], x[j, m]" in str(caught.value)
