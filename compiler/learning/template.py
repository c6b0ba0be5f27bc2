"""What `train.py` has beside the NumPy code of its circuit. Never imported: `cortico.backends.linking` copies it."""

import numpy as np


def expect_reduction(reduction):
    """Refuse what is neither the sum over all tokens nor their mean."""
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction must be 'sum' or 'mean', found {reduction!r}")


def loss_of(error, gradients, reduction, axes):
    """The loss, and the gradients summed over the batch: what stands before the last `axes` of the error."""
    share = 1 / (error.size // error.shape[-1]) if reduction == "mean" else 1
    batch = tuple(range(error.ndim - axes))
    loss = share * 0.5 * float(np.square(error, dtype=np.float64).sum())
    return loss, {name: share * array.sum(axis=batch) for name, array in gradients.items()}


def sgd_step(weights, gradients, rate, momentum=0.0, velocity=None):
    """(weights, velocity) after one step: velocity = momentum * velocity + gradient, weight -= rate * velocity.

    Weights without a gradient stay. Nothing is changed in place. Begin with velocity=None.
    """
    velocity = dict(velocity or {})
    weights = dict(weights)
    for name, gradient in gradients.items():
        moving = name in velocity and momentum != 0
        velocity[name] = momentum * velocity[name] + gradient if moving else gradient
        weights[name] = weights[name] - rate * velocity[name]
    return weights, velocity
