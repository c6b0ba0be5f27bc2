"""Circuit {title} as a Brian2 network that learns on-line, compiled by cortico.

    python {file} examples.npz -o learned.npz

Every cell follows  tau dr/dt = -r + f(product of its dendritic currents / product of its shunts), those
that attend as well as those that bring errors back. Examples are presented one after another. The
network settles, then a gate opens, and every plastic weight follows

    dw/dt = -gain * (rate that the synapse brings) * (rate of its cell's partner) / tau_w

The partner of a cell is the error neuron of the compartment that the synapse ends on, that of an error
neuron the cell that it serves. The loss is sum((y - target)**2) / 2. A presentation changes weights by
learning_rate * gradient where errors come back through the weights forwards or equal ones.

{locality}
{tensors}
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import NetworkOperation, TimedArray, ms

INPUTS: Any = ...
learn: Any = ...


def main():
    """Read examples, weights and options, learn, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("examples", type=Path, help=".npz of inputs and target, each (samples, …)")
    parser.add_argument("-o", "--output", type=Path, default="learned.npz", help=".npz to write")
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path(__file__).with_suffix(".npz"),
        help=".npz of the weights to start from (default: beside this file)",
    )
    # <options>
    options = vars(parser.parse_args())
    data, output = (options.pop(name) for name in ("examples", "output"))
    arrays = dict(np.load(data, allow_pickle=False))
    unknown = sorted(arrays.keys() - INPUTS.keys())
    if unknown:
        raise ValueError(f"unknown input {unknown[0]!r}; there are: {', '.join(INPUTS)}")
    options["weights"] = dict(np.load(options["weights"], allow_pickle=False))
    learned, _ = learn(**{INPUTS[name][0]: array for name, array in arrays.items()}, **options)
    staging = output.with_name(f".{output.name}.npz")
    np.savez(staging, **learned)
    staging.replace(output)


def places(tensor):
    """The number of each entry of a tensor, in its shape."""
    return np.arange(tensor.size).reshape(tensor.shape)


class Lessons:
    """The course of a presentation: the network settles, then the gate opens and weights change."""

    def __init__(self, dt, settling, window, samples, epochs):
        self.dt, self.samples, self.count = dt, samples, samples * epochs
        self.before, self.open = max(1, round(settling / dt)), max(1, round(window / dt))
        self.steps = self.before + self.open
        self.presentation = self.steps * dt * ms
        self.step, self.losses = 0, []

    def table(self, values):
        """What has a value at each presentation (rows), as a function of time and column."""
        return TimedArray(values, dt=self.presentation)

    def gate(self):
        """1 while weights change, else 0; a function of time."""
        course = np.zeros((self.count, self.steps))
        course[:, self.before :] = 1
        return TimedArray(np.append(course.ravel(), 0.0), dt=self.dt * ms)

    def watch(self, groups, error, tensors):
        """What is done after each step: note the loss when the gate opens, then add up changes.

        Each presentation starts from rest: where all that inhibition divides by fades away, what is left
        of the example before would be divided by what is left of its inhibition.
        """

        def look():
            now, self.step = self.step % self.steps, self.step + 1
            if now == self.before - 1:
                self.note(0.5 * np.square(error.r[:]).sum())
            if now >= self.before:
                for tensor in tensors:
                    tensor.add_up()
            if now == self.steps - 1:
                for group in groups:
                    group.r = 0

        return NetworkOperation(look, when="end")

    def note(self, loss):
        """Keep the loss of a presentation, print the mean of each epoch."""
        if not np.isfinite(loss):
            raise FloatingPointError("the loss is NaN or infinite: try a smaller learning rate")
        self.losses.append(loss)
        epoch, rest = divmod(len(self.losses), self.samples)
        if not rest:
            print(f"epoch {epoch}: loss {np.mean(self.losses[-self.samples :]):.6g}", flush=True)


class Tensor:
    """A tensor that learns, and the synapses and biases that hold its entries."""

    def __init__(self, values, decay):
        self.entries, self.shape, self.decay = values.ravel().copy(), values.shape, decay
        self.changing, self.given = [], []

    def hold(self, owner, variable, places, changes):
        """Let `variable` of a group hold the entries at `places`; whether it changes by itself."""
        if len(places):
            (self.changing if changes else self.given).append((owner, variable, places))

    def add_up(self):
        """Add up what all synapses of an entry have changed, and give all of them the sum."""
        change = -self.decay * self.entries
        for owner, variable, places in self.changing:
            own = getattr(owner, variable)[:] - self.entries[places]
            change += np.bincount(places, own, self.entries.size)
        self.entries += change
        for owner, variable, places in self.changing + self.given:
            setattr(owner, variable, self.entries[places])

    def values(self):
        """The tensor as it is now; entries that no synapse has stay."""
        found = self.entries.copy()
        for owner, variable, places in self.changing:
            found[places] = getattr(owner, variable)[:]
        return found.reshape(self.shape)
