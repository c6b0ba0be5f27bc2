"""Weights in which passes find something to do: zeros, copies, whole heads without effect."""

import numpy as np

from cortico.spec.weights import random_weights


def planted_weights(case, seed=0):
    """Random weights of a case with slices that are zero, or copies of their neighbours."""
    rng = np.random.default_rng(seed + case.seed)
    weights = random_weights(case.spec, case.seed)
    for array in weights.values():
        for _ in range(rng.integers(0, 3)):
            side = rng.integers(0, array.ndim)
            index = rng.integers(0, array.shape[side])
            places = np.moveaxis(array, side, 0)
            places[index] = 0.0 if rng.random() < 0.5 else places[index - 1]
    if rng.random() < 0.5 and weights["W_K"].shape[0] % 2 == 0:
        for name in {"W_K", "b_K", "W_V", "b_V"} & weights.keys():
            weights[name][1::2] = weights[name][::2]
    if rng.random() < 0.5:
        weights["W_O"][0] = 0
    return weights
