"""Synapses that learn in Brian2, against attention and its gradients written down in PyTorch.

Nothing of the oracle comes from the circuit: rates are einsums, errors come from autograd, and where
feedback has a tensor of its own the error of the heads is that tensor times the error of the output.
"""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from cortico.cli import main
from cortico.ir import SpecError, UnsupportedError
from cortico.learning import differentiate, draw_feedback, untie, untied_values
from cortico.learning.online import emit_online, starting_weights
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, PositionBias
from cortico.weights import random_weights

N, D, H, SAMPLES = 3, 4, 2, 3
RATE, DECAY = 2e-3, 0.1
#: One step of the network is one synchronous update of all cells, one step of the gate one change.
SYNCHRONOUS = {"method": "euler", "dt": 10.0, "tau": 10.0, "window": 10.0}
SPEC = AttentionSpec(model=D, heads=H, tokens=N)
FORWARD = ("W_Q", "W_K", "W_V", "W_O")


def learn(source, arrays, weights, **options):
    """Learned weights and losses; only ever called on text that cortico emitted."""
    script = {"__name__": "learn_brian2", "__file__": "learn_brian2.py"}
    exec(compile(source, "learn_brian2.py", "exec"), script)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return script["learn"](*arrays, weights=weights, **options)


def examples(seed=0, samples=SAMPLES):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, N, D)), rng.standard_normal((samples, N, D))


# ---- the oracle --------------------------------------------------------------------------------------


def textbook(kernel, w, x):
    """(heads, y): what each token i of each head hears from each token j, and the output.

    Weights are (head, feature, model, i, j), a number for each synapse; W_O is (head, model, feature, i, j).
    """
    q = torch.einsum("hamij,im->hija", w["W_Q"], x)
    k = torch.einsum("hamij,jm->hija", w["W_K"], x)
    v = torch.einsum("hcmij,jm->hijc", w["W_V"], x)
    scores = (q * k).sum(-1)
    mask = scores if kernel is Kernel.LINEAR else torch.softmax(scores * q.shape[-1] ** -0.5, -1)
    heard = mask[..., None] * v
    return heard, torch.einsum("hmcij,hijc->im", w["W_O"], heard)


def each_synapse(weights):
    """Weights without (i, j) spread over all pairs of tokens."""
    return {
        name: array if array.dim() == 5 else array[..., None, None].expand(*array.shape, N, N)
        for name, array in weights.items()
    }


def loss_and_changes(kernel, weights, feedback, x, target):
    """½ Σ (y - t)², and what each forward tensor changes by; the heads' errors come through `feedback`."""
    leaves = {name: torch.tensor(weights[name], requires_grad=True) for name in FORWARD}
    spread = each_synapse(leaves)
    heard, y = textbook(kernel, spread, torch.tensor(x))
    error = (y - torch.tensor(target)).detach()
    back = each_synapse({"W_O": torch.tensor(feedback)})["W_O"]
    inner = [leaves[name] for name in ("W_Q", "W_K", "W_V")]
    errors = torch.einsum("hmcij,im->hijc", back, error)
    changes = torch.autograd.grad(heard, inner, errors, retain_graph=True)
    (output,) = torch.autograd.grad(y, [leaves["W_O"]], error)
    numbers = [change.numpy() for change in (*changes, output)]
    return 0.5 * float((error**2).sum()), dict(zip(FORWARD, numbers, strict=True))


def steps(kernel, feedback, weights, arrays, epochs=2, rate=RATE):
    """Weights and losses after steps down the changes, one example after another."""
    x, target = arrays
    weights = {name: np.array(array, np.float64) for name, array in weights.items()}
    losses, rng = [], np.random.default_rng(0)
    for k in np.concatenate([rng.permutation(len(x)) for _ in range(epochs)]):
        back = weights["W_O" if feedback == "transposed" else "B"]
        loss, changes = loss_and_changes(kernel, weights, back, x[k], target[k])
        losses.append(loss)
        if feedback == "learned":  # Kolen and Pollack: both by the same product, both decay
            changes["B"] = changes["W_O"] + DECAY * weights["B"]
            changes["W_O"] = changes["W_O"] + DECAY * weights["W_O"]
        for name, change in changes.items():
            weights[name] = weights[name] - rate * change
    return weights, np.array(losses)


def network(kernel, feedback="transposed", columns=False):
    """Learning circuit and weights by its names, and its names for those of the oracle."""
    spec = replace(SPEC, kernel=kernel)
    circuit, weights = lower(spec), random_weights(spec, 1)
    names = {name: name for name in FORWARD}
    if columns:
        weights, circuit = untied_values(circuit, weights, columns=True), untie(circuit, columns=True)
        rng = np.random.default_rng(2)  # copies that are not equal
        weights = {n: a + 0.1 * rng.standard_normal(a.shape) for n, a in weights.items()}
        names = {name: f"{name}_untied" for name in FORWARD}
    learning = differentiate(circuit, feedback=feedback, decay=DECAY)
    if feedback != "transposed":
        names["B"] = names["W_O"] + "_feedback"
    return learning, starting_weights(learning, weights), names


# ---- what weights change by ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "feedback", "columns"),
    [
        (Kernel.LINEAR, "transposed", False),
        (Kernel.SOFTMAX, "transposed", False),
        (Kernel.SOFTMAX, "learned", False),
        (Kernel.LINEAR, "transposed", True),
        (Kernel.SOFTMAX, "random", True),
        (Kernel.SOFTMAX, "learned", True),
    ],
)
def test_each_presentation_is_a_step_down_the_gradient(kernel, feedback, columns):
    learning, weights, names = network(kernel, feedback, columns)
    arrays = examples()
    found, losses = learn(
        emit_online(learning), arrays, weights, epochs=2, learning_rate=RATE, **SYNCHRONOUS
    )
    expected, expected_losses = steps(
        kernel, feedback, {n: weights[name] for n, name in names.items()}, arrays
    )
    assert np.allclose(losses, expected_losses, rtol=1e-10, atol=0)
    for name, mine in names.items():
        moved = np.abs(expected[name] - weights[mine]).max()
        assert np.abs(found[mine] - expected[name]).max() < 1e-10 * moved if moved else True
        assert (moved > 0) == ((name, feedback) != ("B", "random"))
    assert found.keys() == weights.keys()
