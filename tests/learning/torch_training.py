"""SGD with momentum by PyTorch: its optimiser, and its autograd through attention written in torch."""

import numpy as np
import torch

from cortico.verify.pytorch import torch_block


def torch_sgd(spec, weights, data, settings):
    """(weights, loss of each epoch) of `torch.optim.SGD`, on the batches that cortico draws."""
    leaves = {name: torch.tensor(a, dtype=torch.float64) for name, a in weights.items()}
    optimiser = torch.optim.SGD(
        leaves.values(), lr=settings.learning_rate, momentum=settings.momentum
    )
    rng, losses = np.random.default_rng(settings.seed), []
    for _ in range(settings.epochs):
        order, total = rng.permutation(len(data["x"])), 0.0
        for start in range(0, len(order), settings.batch_size):
            which = order[start : start + settings.batch_size]
            loss = set_gradients(spec, leaves, {n: a[which] for n, a in data.items()})
            optimiser.step()
            total += loss * len(which) / len(order)
        losses.append(total)
    return {name: leaf.numpy() for name, leaf in leaves.items()}, losses


def set_gradients(spec, leaves, batch):
    """½ |y - target|², the mean over tokens; its gradients go to the leaves."""
    arrays = {name: leaf.numpy() for name, leaf in leaves.items()}
    samples, tokens = batch["target"].shape[:2]
    loss, sums = 0.0, dict.fromkeys(arrays, 0.0)
    for k in range(samples):
        inputs = {name: array[k] for name, array in batch.items() if name != "target"}
        target = batch["target"][k]
        y = torch_block(spec, arrays, inputs, np.zeros_like(target)).y
        error = (y - target) / (samples * tokens)
        gradients = torch_block(spec, arrays, inputs, error).gradients
        loss += 0.5 * ((y - target) ** 2).sum() / (samples * tokens)
        sums = {name: total + gradients[name] for name, total in sums.items()}
    for name, leaf in leaves.items():
        leaf.grad = torch.tensor(sums[name])
    return loss
