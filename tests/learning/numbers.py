"""Numbers for the tests of learning: targets, autograd's gradients, and losses of emitted code."""

from __future__ import annotations

import functools

import numpy as np

from cortico.backends import get_backend
from cortico.lowering import circuit_weights
from cortico.spec.weights import required_shapes
from tests.cases import BATCH, TOKENS
from tests.verify.numbers import _torch_textbook


def target_of(case):
    """A target for each output of the batch, (batch, n, out)."""
    rng = np.random.default_rng(case.seed + 1)
    return rng.standard_normal((BATCH, TOKENS, case.spec.d_output))


@functools.cache
def autograd(case):
    """PyTorch's gradients of ½ Σ (y - t)², named and laid out as the circuit's parameters.

    One dictionary for each example of the batch, and one of a loss that sums over the batch.
    """
    import torch

    names = list(required_shapes(case.spec))
    leaves = {n: torch.tensor(case.weights[n], requires_grad=True) for n in names}
    # what no example sees still has a gradient: zero
    losses = [sum(0 * leaf.sum() for leaf in leaves.values()) for _ in range(BATCH)]
    for k, target in enumerate(target_of(case)):
        inputs = {name: torch.tensor(array[k]) for name, array in case.inputs.items()}
        y = _torch_textbook(torch, case.spec, {**leaves, **inputs}, np.array([]))
        losses[k] = losses[k] + 0.5 * ((y - torch.tensor(target)) ** 2).sum()

    def gradients(loss):
        found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True)
        arrays = {n: g.numpy() for n, g in zip(names, found, strict=True)}
        laid_out = circuit_weights(case.spec, arrays)
        return {n: laid_out[n] for n in names}

    return [gradients(loss) for loss in losses], gradients(sum(losses))


def largest(gradients):
    """The largest entry of any gradient."""
    return max(float(np.abs(array).max()) for array in gradients.values())


def gradients_of(circuit, inputs, backend="numpy", parameters=None):
    """Parameter name to its gradient, (batch, …), from a gradient circuit."""
    found = get_backend(backend).run(circuit, inputs, parameters)
    return {n.removeprefix("d_"): array for n, array in found.items() if n.startswith("d_")}
