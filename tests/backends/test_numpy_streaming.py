"""`step` of emitted NumPy: one token at a time gives what the whole sequence gives."""

import numpy as np
import pytest

from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, PositionBias
from cortico.weights import random_weights
from tests.backends.test_numpy_tiles import emitted, stored
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error


def meets_only_the_past(spec):
    """Whether tokens meet in nothing but sums over earlier ones: no softmax, no bias of pairs."""
    linear = spec.kernel is Kernel.LINEAR and spec.mask is Mask.CAUSAL
    return linear and spec.position_bias is PositionBias.NONE


STREAMED = [case for case in CASES if meets_only_the_past(case.spec)]


def steps(circuit):
    return emitted(circuit).__globals__.get("step")


def token(inputs, position):
    """The inputs of one token: `x` has an axis of features, `keep` has none."""
    return {
        name: array[:, position] if name == "keep" else array[:, position, :]
        for name, array in inputs.items()
    }


@pytest.mark.parametrize("case", STREAMED, ids=lambda case: case.name)
def test_tokens_one_by_one_give_what_all_give(case):
    circuit = lower(case.spec, case.weights)
    step, state, found = steps(circuit), None, []
    for position in range(case.inputs["x"].shape[1]):
        state, y = step(state, **token(case.inputs, position), weights=stored(circuit))
        found.append(y)
    assert relative_error(np.stack(found, 1), expected_output(case)) <= 1e-12


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
