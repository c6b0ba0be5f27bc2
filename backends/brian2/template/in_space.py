"""A network that settles: all tokens are there at once."""

import numpy as np
from brian2 import NetworkOperation

from cortico.backends.brian2.template.network import start
from cortico.backends.cells.template import settling_steps


def over_cells(size, *parts):
    """One number per cell: the sum of all parts (numbers of cells, values), zero where there is none."""
    total = np.zeros(size + 1)  # the last one takes what has no cell, number -1
    for cells, values in parts:
        cells, values = np.broadcast_arrays(cells, values)
        total[cells] += values
    return total[:-1]


def edges(pre, post, weight, where=True):
    """The synapses of a projection: numbers of both cells, and the weight."""
    pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
    exists = where & (pre >= 0) & (post >= 0)
    return pre[exists], post[exists], weight[exists]


def join(*projections):
    """The synapses of all projections, one after another."""
    return (np.concatenate(parts) for parts in zip(*projections))


def rates_of(group, cells):
    """The rates of a population now, an array over its axes; zero where there is no cell."""
    return np.append(group.r[:], 0.0)[cells]


def of_cells(group, cells):
    """The rates of a population's cells now, one after another."""
    return group.r[:][cells[cells >= 0]]


def settle(network, groups, target, dt, part, depth, tolerance, duration):
    """Run until no rate moves any more, or for `duration` ms. C++ runs for a time known beforehand."""
    steps, watch = settling_steps(depth, part, tolerance), None
    if duration is None and target != "cpp_standalone":
        duration = 20 * steps * dt
        watch = Watch(network, groups, depth, part * tolerance)
        watching = NetworkOperation(watch.look, when="end")
        network.add(watching)
    start(network, target, steps * dt if duration is None else duration)
    if watch:
        network.remove(watching)
    if watch and not watch.settled:
        raise RuntimeError(f"not settled in {duration} ms: the last step moved by {watch.moved}")


class Watch:
    """Stops the network when no group moves more in a step than a small part of its largest rate."""

    def __init__(self, network, groups, depth, tolerance):
        self.network, self.groups, self.tolerance = network, groups, tolerance
        self.rates, self.left = [np.zeros(1)] * len(groups), depth
        self.moved, self.settled = np.inf, False

    def look(self):
        """Compare the rates with those of the step before."""
        last, self.left = self.rates, self.left - 1
        self.rates = [np.array(group.r) for group in self.groups]
        moved = [np.abs(new - old).max() for new, old in zip(self.rates, last)]
        largest = [np.abs(rates).max() for rates in self.rates]
        if not np.isfinite(largest).all():
            raise FloatingPointError("a rate is NaN or infinite: is dt too long for tau?")
        parts = [m / size if size else np.inf for m, size in zip(moved, largest) if m]
        self.moved = max(parts, default=0.0)
        if self.left < 0 and self.moved <= self.tolerance:
            self.settled = True
            self.network.stop()
