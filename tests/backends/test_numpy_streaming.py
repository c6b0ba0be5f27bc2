"""`step` of emitted NumPy: one token at a time gives what the whole sequence gives."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, PositionBias
from cortico.spec.weights import random_weights
from tests.backends.numpy_files import emitted, stored
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case

CASE = {case.name: case for case in CASES}


def meets_only_the_past(spec):
    """Whether tokens meet in nothing but sums over earlier ones: no softmax, no bias of pairs, no cap, no norm."""
    linear = spec.kernel is Kernel.LINEAR and spec.mask is Mask.CAUSAL
    divided = spec.qk_norm is not None and spec.rotary is None  # where pairs of tokens meet
    plain = spec.position_bias is PositionBias.NONE and spec.soft_cap is None
    return linear and plain and not divided


STREAMED = [case for case in CASES if meets_only_the_past(case.spec)]


def steps(circuit):
    return emitted(circuit).__globals__.get("step")


def token(inputs, position):
    """The inputs of one token: `x` has an axis of features, `keep` has none."""
    return {
        name: array[:, position] if name == "keep" else array[:, position, :]
        for name, array in inputs.items()
    }


@pytest.mark.parametrize("case", every_case(STREAMED))
def test_tokens_one_by_one_give_what_all_give(case):
    circuit = lower(case.spec, case.weights)
    step, state, found = steps(circuit), None, []
    for position in range(case.inputs["x"].shape[1]):
        state, y = step(state, **token(case.inputs, position), weights=stored(circuit))
        found.append(y)
    assert relative_error(np.stack(found, 1), expected_output(case)) <= 1e-12


@pytest.mark.slow
def test_others_have_no_step():
    for case in CASES:
        streamed = steps(lower(case.spec, case.weights)) is not None
        assert streamed == meets_only_the_past(case.spec), case.name


def streaming():
    spec = AttentionSpec(
        model=8,
        heads=2,
        kernel=Kernel.LINEAR,
        mask=Mask.CAUSAL,
        microcircuit=Microcircuit.MEMORY,
    )
    circuit = lower(spec, random_weights(spec))
    return circuit, steps(circuit), np.random.default_rng(0).standard_normal((40, 8))


def test_a_state_has_one_size_at_every_position():
    circuit, step, x = streaming()
    state, sizes = None, set()
    for row in x:
        state, _ = step(state, row, weights=stored(circuit))
        sizes.add(tuple((name, array.shape) for name, array in sorted(state.items())))
    assert len(sizes) == 1
    assert state["position"] == 40


def test_a_state_is_saved_and_resumed(tmp_path):
    circuit, step, x = streaming()
    state = None
    for row in x[:20]:
        state, _ = step(state, row, weights=stored(circuit))
    np.savez(tmp_path / "state.npz", **state)
    _, on = step(state, x[20], weights=stored(circuit))
    with np.load(tmp_path / "state.npz") as file:
        _, again = step(dict(file), x[20], weights=stored(circuit))
    np.testing.assert_array_equal(on, again)


def test_a_step_leaves_the_state_before_it_as_it_was():
    circuit, step, x = streaming()
    first, _ = step(None, x[0], weights=stored(circuit))
    before = {name: array.copy() for name, array in first.items()}
    step(first, x[1], weights=stored(circuit))
    for name, array in before.items():
        np.testing.assert_array_equal(first[name], array)


def test_a_state_of_something_else_is_refused():
    circuit, step, x = streaming()
    with pytest.raises(
        ValueError, match=r"state has \['memory'\], expected \['position', 'recalled'\]"
    ):
        step({"memory": x}, x[0], weights=stored(circuit))
    with pytest.raises(ValueError, match=r"x has shape \(7,\), expected \(..., 8\)"):
        step(None, x[0, :7], weights=stored(circuit))


def test_a_state_of_another_size_is_refused():
    circuit, step, x = streaming()
    state, _ = step(None, x[0], weights=stored(circuit))
    state["recalled"] = state["recalled"][:, :1]
    with pytest.raises(ValueError, match=r"state has an array of shape .*, expected \(2, 4, 4\)"):
        step(state, x[1], weights=stored(circuit))


def test_as_many_tokens_as_features_have_no_step():
    """Which axis of x would a token lack?"""
    spec = AttentionSpec(model=8, heads=2, tokens=8, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)
    assert steps(lower(replace(spec, tokens=5))) is not None
    assert steps(lower(spec)) is None


def test_a_sum_over_all_tokens_has_no_step():
    b = CircuitBuilder("past and all")
    now, then, every = (b.axis(name, Role.COLUMN, "n") for name in ("now", "then", "every"))
    b.input("x", ("n",))
    for name, axis in (("earlier", then), ("other", every)):
        drive = (Weight(TensorRef("x", (axis,))),)
        b.population(name, (axis,), Region.L5, CellClass.PT, [Compartment("soma", drive=drive)])
    b.population("y", (now,), Region.L5, CellClass.PT, [Compartment("soma")])
    b.project("past", "earlier", "y", "soma", domain=(Bound("then", "now", 0),))
    b.output("sums", "y", (now,))
    assert steps(b.build()) is not None
    b.project("all", "other", "y", "soma")
    assert steps(b.build()) is None


@pytest.mark.parametrize("name", ["rotary_linear_causal", "memory_llama"])
def test_a_token_without_batch_axes_gives_none(name):
    case = CASE[name]
    circuit = lower(case.spec, case.weights)
    inputs = {n: array[0] for n, array in token(case.inputs, 0).items()}
    state, y = steps(circuit)(None, **inputs, weights=stored(circuit))
    assert y.shape == expected_output(case)[0, 0].shape
    several, _ = steps(circuit)(None, **token(case.inputs, 0), weights=stored(circuit))
    assert {n: a.shape for n, a in several.items() if a.shape} == {
        n: (len(case.inputs["x"]), *a.shape) for n, a in state.items() if a.shape
    }


def test_angles_of_late_tokens_in_single_precision():
    """Frequencies stay in double precision: their error would grow with the position."""
    case = CASE["rotary_linear_causal"]
    circuit = lower(case.spec, case.weights)
    step, x = steps(circuit), case.inputs["x"][0].astype(np.float32)
    found = []
    for kind in (np.float32, np.float64):
        state, _ = step(None, x[0].astype(kind), weights=stored(circuit))
        late = {**state, "position": np.asarray(10**6)}
        found.append(step(late, x[1].astype(kind), weights=stored(circuit))[1])
    assert relative_error(*found) < 1e-5
