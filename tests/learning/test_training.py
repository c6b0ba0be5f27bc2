"""Training: emitted code against autograd and PyTorch's SGD, layouts, settings, data, and resuming."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import SpecError
from cortico.learning.checkpoint import load_checkpoint, save_checkpoint
from cortico.learning.data import check_examples
from cortico.learning.emission import (
    load_training_source,
    trained_parameters,
    training_circuit,
    training_source,
)
from cortico.learning.layout import parameter_arrays, spec_weights
from cortico.learning.training import DivergenceError, Settings, Training, train
from cortico.lowering import circuit_weights
from cortico.spec import Kernel
from cortico.spec.weights import required_shapes
from tests.cases import CASES
from tests.covering import every_pair, first
from tests.learning.torch_training import torch_sgd

CASE = {case.name: case for case in CASES}


def examples(case, samples=6, seed=0, dtype=np.float64):
    """Data that fit a case."""
    rng, spec = np.random.default_rng(seed), case.spec
    sides = {name: array.shape[1:] for name, array in case.inputs.items()}
    data = {n: rng.standard_normal((samples, *s)).astype(dtype) for n, s in sides.items()}
    if "keep" in data:
        data["keep"] = rng.random((samples, *sides["keep"])) > 0.2
    target = rng.standard_normal((samples, sides["x"][0], spec.d_output))
    return {**data, "target": target.astype(dtype)}


# ---- layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", every_pair())
def test_layouts_are_inverse(case):
    lowered = circuit_weights(case.spec, case.weights)
    arrays = parameter_arrays(case.spec, case.weights)
    assert set(arrays) == set(required_shapes(case.spec))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, lowered[name], strict=True)
        assert array.flags.c_contiguous
    back = spec_weights(case.spec, arrays)
    for name, array in case.weights.items():
        np.testing.assert_array_equal(back[name], array, strict=True)


@pytest.mark.parametrize("case", every_pair())
def test_passes_leave_the_parameters_of_the_lowered_spec(case):
    """Else weights could not be brought there and back."""
    arrays = parameter_arrays(case.spec, case.weights)
    for parameter in training_circuit(case.spec).parameters:
        if parameter.formula is None and parameter.values is None:
            assert parameter.shape == arrays[parameter.name].shape


# ---- emitted code --------------------------------------------------------------------------------


def test_emitted_file(golden):
    golden(training_source(training_circuit(CASE["bert"].spec)), "bert.train.py.txt")


def test_it_runs_alone(tmp_path):
    """In a process that can import NumPy but not cortico."""
    case = CASE["everything"]
    (tmp_path / "train.py").write_text(training_source(training_circuit(case.spec)))
    np.savez(tmp_path / "data.npz", **examples(case))
    np.savez(tmp_path / "weights.npz", **parameter_arrays(case.spec, case.weights))
    code = """
import sys
sys.modules["cortico"] = None
import numpy as np
from train import loss_and_gradients, sgd_step
data, weights, velocity = dict(np.load("data.npz")), dict(np.load("weights.npz")), None
losses = []
for _ in range(20):
    loss, gradients = loss_and_gradients(**data, weights=weights, reduction="mean")
    weights, velocity = sgd_step(weights, gradients, 0.01, 0.9, velocity)
    losses.append(loss)
assert losses[-1] < 0.9 * losses[0], losses
print(*sorted(m for m in sys.modules if m in ("sympy", "safetensors", "networkx", "cortico.ir")))
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["bert", "everything", "cross_grouped_table", "memory_llama"])
def test_gradients_are_slopes_of_the_loss(name):
    case, rng = CASE[name], np.random.default_rng(1)
    circuit = training_circuit(case.spec)
    loss_and_gradients = load_training_source(training_source(circuit))["loss_and_gradients"]
    weights, data = parameter_arrays(case.spec, case.weights), examples(case)
    for reduction in ("sum", "mean"):
        _, gradients = loss_and_gradients(**data, weights=weights, reduction=reduction)
        assert tuple(gradients) == trained_parameters(circuit)
        ways = {name: rng.standard_normal(g.shape) for name, g in gradients.items()}
        slope = sum((gradients[n] * way).sum() for n, way in ways.items())
        step = 1e-6
        moved = [
            {n: a + s * step * ways[n] if n in ways else a for n, a in weights.items()}
            for s in (1, -1)
        ]
        up, down = (loss_and_gradients(**data, weights=w, reduction=reduction)[0] for w in moved)
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-6)


def test_sum_and_mean():
    case = CASE["softmax-mask_none"]
    functions = load_training_source(training_source(training_circuit(case.spec)))
    weights, data = parameter_arrays(case.spec, case.weights), examples(case, samples=6)
    summed, gradients = functions["loss_and_gradients"](**data, weights=weights)
    mean, shares = functions["loss_and_gradients"](**data, weights=weights, reduction="mean")
    tokens = data["x"].shape[0] * data["x"].shape[1]
    assert mean == pytest.approx(summed / tokens, rel=1e-14)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(shares[name], gradient / tokens, rtol=1e-13)
    with pytest.raises(ValueError, match="must be 'sum' or 'mean', found 'all'"):
        functions["loss_and_gradients"](**data, weights=weights, reduction="all")


def test_a_step_changes_nothing_in_place():
    sgd_step = load_training_source(training_source(training_circuit(CASE["memory"].spec)))[
        "sgd_step"
    ]
    weights, gradients = {"a": np.ones(2), "b": np.ones(1)}, {"a": np.array([1.0, 2.0])}
    stepped, velocity = sgd_step(weights, gradients, 0.5)
    again, faster = sgd_step(stepped, gradients, 0.5, 0.5, velocity)
    np.testing.assert_array_equal(weights["a"], [1, 1])
    np.testing.assert_array_equal(stepped["a"], [0.5, 0])
    np.testing.assert_array_equal(again["a"], [0.5 - 0.75, -1.5])
    np.testing.assert_array_equal(faster["a"], [1.5, 3])
    assert again["b"] is weights["b"]


# ---- against PyTorch -----------------------------------------------------------------------------

COMPARED = [
    "softmax-mask_none",
    "softmax-mask_causal-padded-grouped-biased",
    "linear-mask_window-padded-biased",
    "everything",
    "table",
    "alibi_grouped",
    "rotary_partial_interleaved",
    "gpt_oss",
    "cross_padded",
    "narrow_output",
    "memory_llama",
    "memory_cross_padded",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", first(5, COMPARED))
def test_twenty_steps_are_those_of_pytorch(name):
    case = CASE[name]
    data = examples(case, samples=10)
    rate = 0.003 if case.spec.kernel is Kernel.SOFTMAX else 0.0001  # linear attention is steep
    settings = Settings(epochs=4, batch_size=2, learning_rate=rate, momentum=0.9, seed=3)
    result = train(case.spec, case.weights, data, settings)
    expected, losses = torch_sgd(case.spec, case.weights, data, settings)
    assert [epoch.loss for epoch in result.history] == pytest.approx(losses, rel=1e-10)
    moved = 0.0
    for tensor, array in expected.items():
        found, first = result.weights[tensor], case.weights[tensor]
        assert abs(found - array).max() <= 1e-10 * abs(array).max(), tensor
        moved = max(moved, abs(found - first).max() / abs(first).max())
    assert moved > 1e-3


# ---- training ------------------------------------------------------------------------------------

SHORT = {"epochs": 5, "batch_size": 4, "learning_rate": 0.01, "momentum": 0.9}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "memory_biased", "everything"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resumed_training_has_the_same_bits(name, dtype, tmp_path):
    case = CASE[name]
    data = examples(case, samples=9, dtype=dtype)

    def training(epochs):
        options = {**SHORT, "epochs": epochs, "learning_rate": 0.0001}
        settings = Settings(**options, validation=0.25)
        return Training(case.spec, case.weights, data, settings)

    whole = train(case.spec, case.weights, data, training(5).settings)
    for epochs in (2, 3, 5):  # in three parts, each from the file of the one before
        part = training(epochs)
        start = load_checkpoint(tmp_path, part) if epochs > 2 else part.start()
        save = lambda snapshot, part=part: save_checkpoint(tmp_path, part, snapshot)  # noqa: E731
        result = part.run(save, lambda done, count: None, start)
    assert result.history == whole.history
    for tensor, array in whole.weights.items():
        assert array.dtype == dtype
        assert result.weights[tensor].tobytes() == array.tobytes()
    for tensor, array in whole.snapshot.velocity.items():
        assert result.snapshot.velocity[tensor].tobytes() == array.tobytes()


def test_loss_falls_and_calls_come():
    case, epochs, batches = CASE["llama"], [], []
    result = train(
        case.spec,
        case.weights,
        examples(case, samples=9),
        Settings(**SHORT),
        on_epoch=epochs.append,
        on_batch=lambda done, count: batches.append((done, count)),
    )
    assert [snapshot.epoch for snapshot in epochs] == [1, 2, 3, 4, 5]
    assert batches == [(1, 3), (2, 3), (3, 3)] * 5
    assert result.history[-1].loss < 0.9 * result.history[0].loss
    assert result.history[0].validation is None


def test_only_the_tensors_that_are_asked_for_change():
    case = CASE["bert"]
    settings = Settings(**SHORT, trained=("W_O", "b_Q"))
    result = train(case.spec, case.weights, examples(case), settings)
    changed = {n for n, a in case.weights.items() if (result.weights[n] != a).any()}
    assert changed == {"W_O", "b_Q"}
    assert set(result.weights) == set(case.weights)


def test_given_frequencies_are_used_and_kept():
    case = CASE["llama"]
    weights = {**case.weights, "rotary_frequencies": np.array([0.3, 0.2])}
    data = examples(case)
    given = train(case.spec, weights, data, Settings(epochs=1))
    usual = train(case.spec, case.weights, data, Settings(epochs=1))
    assert given.history != usual.history
    np.testing.assert_array_equal(given.weights["rotary_frequencies"], [0.3, 0.2])


def test_validation_holds_samples_out():
    case = CASE["one_head"]
    data = examples(case, samples=8)
    kept, held = check_examples(training_circuit(case.spec), data).split(0.25, seed=5)
    together = np.concatenate([kept.arrays["x"], held.arrays["x"]])
    assert (len(kept), len(held)) == (6, 2)
    assert {row.tobytes() for row in together} == {row.tobytes() for row in data["x"]}
    with pytest.raises(SpecError, match=r"share of 0\.01 of 8 samples is 0 samples"):
        train(case.spec, case.weights, data, Settings(validation=0.01))


def test_divergence_names_the_epoch_and_a_smaller_rate():
    case, seen = CASE["memory"], []
    settings = Settings(epochs=50, batch_size=3, learning_rate=0.3)
    with pytest.raises(DivergenceError) as caught:
        train(case.spec, case.weights, examples(case), settings, on_epoch=seen.append)
    message = str(caught.value)
    assert f"diverged in epoch {len(seen) + 1}" in message
    assert "a smaller learning rate than 0.3, such as 0.03" in message
    for snapshot in seen:
        assert all(np.isfinite(array).all() for array in snapshot.weights.values())


# ---- what does not fit ---------------------------------------------------------------------------


def test_wrong_settings_are_listed_at_once():
    with pytest.raises(SpecError) as caught:
        Settings(
            epochs=0,
            batch_size=True,
            learning_rate=float("nan"),
            momentum=1,
            seed=-1,
            reduction="all",
            validation=1.5,
            trained=(),
        )
    assert str(caught.value).splitlines() == [
        "settings of the training are wrong:",
        "  - epochs must be an integer from 1 on, found 0",
        "  - batch size must be an integer from 1 on, found True",
        "  - learning rate must be a positive number, found nan",
        "  - momentum must be from 0 to below 1, found 1",
        "  - seed must be an integer from 0 on, found -1",
        "  - reduction must be sum or mean, found 'all'",
        "  - validation must be a share from 0 to below 1, found 1.5",
        "  - trained must name a tensor",
    ]


def test_wrong_data_are_listed_at_once():
    case = CASE["cross_padded"]
    good = examples(case)
    bad = {
        "x": good["x"][:5],
        "contxt": good["context"],
        "keep": np.full((6, 4), 2),
        "target": good["target"][:, :3],
    }
    with pytest.raises(SpecError) as caught:
        check_examples(training_circuit(case.spec), bad)
    assert str(caught.value).splitlines()[1:] == [
        "  - unknown array 'contxt' (did you mean 'context'?)",
        "  - context is missing, expected shape (samples, n_context, 6)",
        "  - keep must hold 0 or 1",
        "  - target has shape (6, 3, 8), expected (samples, 5, 8), none empty",
        "  - the numbers of samples differ: x has 5, keep has 6",
    ]


def test_tensors_that_cannot_be_trained():
    for name in ("W_X", "b_K"):  # softmax does not change when all scores are shifted
        with pytest.raises(
            SpecError, match=f"cannot train {name} of .* are W_Q, W_K, W_V, W_O, b_Q"
        ):
            training_circuit(CASE["bert"].spec, ["W_Q", name])


def test_another_training_is_not_resumed(tmp_path):
    case = CASE["bert"]
    data, weights, settings = examples(case), case.weights, Settings(**SHORT)
    first = Training(case.spec, weights, data, settings)
    save_checkpoint(tmp_path, first, first.epoch(first.start()))
    assert load_checkpoint(tmp_path, first).epoch == 1
    others = {
        "other data": (weights, examples(case, seed=1), settings),
        "other first weights": ({**weights, "W_Q": -weights["W_Q"]}, data, settings),
        "momentum was 0.9, is 0.5": (weights, data, Settings(**{**SHORT, "momentum": 0.5})),
        "trained was None, is .'W_O'": (weights, data, Settings(**SHORT, trained=("W_O",))),
    }
    for message, (other_weights, other_data, other_settings) in others.items():
        training = Training(case.spec, other_weights, other_data, other_settings)
        with pytest.raises(SpecError, match=message):
            load_checkpoint(tmp_path, training)


def test_more_epochs_may_follow_but_not_fewer(tmp_path):
    case = CASE["one_head"]
    data = examples(case)
    done = train(case.spec, case.weights, data, Settings(epochs=2)).snapshot
    more = train(case.spec, case.weights, data, Settings(epochs=3), resume=done)
    assert more.history[:2] == done.history
    with pytest.raises(SpecError, match="2 epochs are done already, more than the 1 asked for"):
        train(case.spec, case.weights, data, Settings(epochs=1), resume=done)


def test_a_broken_checkpoint(tmp_path):
    case = CASE["one_head"]
    training = Training(case.spec, case.weights, examples(case), Settings(epochs=2))
    good = training.epoch(training.start())
    fewer = {name: a for name, a in good.weights.items() if name != "W_Q"}
    broken = {
        "is broken": replace(good, random_state={"bit_generator": "PCG64"}),
        "tensors of .* are not those of the training": replace(good, weights=fewer),
        "tensors of .* are not those of": replace(good, velocity={}),
    }
    for message, snapshot in broken.items():
        save_checkpoint(tmp_path, training, snapshot)
        with pytest.raises(SpecError, match=message):
            load_checkpoint(tmp_path, training)
