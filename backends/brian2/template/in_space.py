"""A network that settles: all tokens are there at once."""

import numpy as np
from brian2 import NetworkOperation, StateMonitor, ms

from cortico.backends.brian2.template.network import start
from cortico.backends.cells.template import settling_steps

SILENT = (
    1e-30  # a population is silent whose rates are so much smaller than the largest of its group
)


def over_cells(size, *parts):
    """One number per cell: the sum of all parts (numbers of cells, values), zero where there is none."""
    total = np.zeros(size + 1)  # the last one takes what has no cell, number -1
    for cells, values in parts:
        cells, values = np.broadcast_arrays(cells, values)
        total[cells] += values
    return total[:-1]


def edges(pre, post, weight, where=True):
    """The synapses of a projection: numbers of both cells, as Brian2 holds them, and the weight."""
    pre, post = (np.asarray(cells, np.int32) for cells in (pre, post))
    pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
    exists = where & (pre >= 0) & (post >= 0)
    return pre[exists], post[exists], weight[exists]


def join(*projections, precision=np.float64):
    """The synapses of all projections, one after another; weights in this precision."""
    pre, post, weights = zip(*projections)
    held = [np.asarray(weight, precision) for weight in weights]
    return tuple(map(np.concatenate, (pre, post, held)))


def rates_of(group, cells):
    """The rates of a population now, an array over its axes; zero where there is no cell."""
    return np.append(group.r[:], 0.0)[cells]


def of_cells(group, cells):
    """The rates of a population's cells now, one after another."""
    return group.r[:][cells[cells >= 0]]


def settle(network, populations, target, dt, part, depth, tolerance, duration, wait=0):
    """Run until no rate moves any more, or for `duration` ms. C++ runs for a time known beforehand.

    The last cells are let go after `wait` steps for each of the cells before them.
    """
    steps, course = settling_steps(depth, part, tolerance), Course(populations, part * tolerance)
    steps, least = steps + (depth - 1) * wait, max(depth, (depth - 1) * wait + 1)
    if duration is not None:
        if duration < (depth - 1) * wait * dt:
            raise ValueError(
                f"duration is {duration} ms, expected more than {(depth - 1) * wait * dt:g} ms, when the "
                "last cells are let go"
            )
        start(network, target, duration)
    elif target == "cpp_standalone":
        network.add(*course.at(2 * steps * dt - dt))
        start(network, target, 2 * steps * dt)
        course.end()
    else:
        watching = NetworkOperation(course.watch(network, least), when="end")
        network.add(watching)
        start(network, target, 20 * steps * dt)
        network.remove(watching)
    if duration is None and not course.settled:
        raise RuntimeError(f"not settled in {network.t}: the last step moved by {course.moved}")


class Course:
    """Whether a network has settled: no population moves more in a step than a part of its largest rate."""

    def __init__(self, populations, tolerance):
        self.tolerance, self.moved, self.monitors = tolerance, np.inf, []
        self.groups = list({id(group): group for group, _ in populations.values()}.values())
        firsts = {id(group): [] for group in self.groups}
        for group, cells in populations.values():
            if (cells >= 0).any():
                firsts[id(group)].append(cells.max(initial=0, where=cells >= 0) + 1)
        # cells of a population are numbered one after another
        self.firsts = [[0, *sorted(firsts[id(group)])[:-1]] for group in self.groups]
        self.rates = [np.zeros(group.N) for group in self.groups]

    @property
    def settled(self):
        """Whether the last step moved little."""
        return self.moved <= self.tolerance

    def step(self):
        """Compare the rates with those of the step before."""
        last, self.rates = self.rates, [np.array(group.r) for group in self.groups]
        parts = []
        for new, old, firsts in zip(self.rates, last, self.firsts):
            moved = np.maximum.reduceat(np.abs(new - old), firsts)
            largest = np.maximum.reduceat(np.abs(new), firsts)
            if not np.isfinite(largest).all():
                raise FloatingPointError(
                    "a rate is NaN or infinite: is dt too long for tau, or does a norm divide by "
                    "nearly nothing while signals arrive?"
                )
            # small rates matter where all are: exponentials of low scores
            least = np.maximum(largest, SILENT * largest.max(initial=0))
            parts += [m / size if size else np.inf for m, size in zip(moved, least) if m]
        self.moved = max(parts, default=0.0)

    def watch(self, network, least):
        """What is done after each step: end the run when a signal has passed all cells, and none moves."""
        left = iter(range(least, -1, -1))

        def look():
            self.step()
            if next(left, 0) == 0 and self.settled:
                network.stop()

        return look

    def at(self, time):
        """Monitors of the rates at a time in ms."""
        self.monitors = [
            StateMonitor(g, "r", record=True, dt=time * ms, when="start") for g in self.groups
        ]
        return self.monitors

    def end(self):
        """Compare the rates with those that were monitored."""
        self.rates = [np.asarray(monitor.r)[:, -1] for monitor in self.monitors]
        self.step()
