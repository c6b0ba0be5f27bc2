"""A network to which tokens are presented one after another."""

import functools

import numpy as np
from brian2 import StateMonitor, TimedArray, ms

from cortico.backends.cells.template import settling_steps


def presented(size, passes, axes):
    """The token at each presentation, counted up in every pass; an array whose other axes are new."""
    tokens = [np.minimum(np.arange(count), size - 1) for count in passes]
    return np.concatenate(tokens).reshape(-1, *[1] * axes)


def over_cells(size, *parts):
    """A number per presentation (or one for all) and cell: the sum of all parts (numbers, values)."""
    arrays = [np.atleast_1d(*np.broadcast_arrays(*part)) for part in parts]
    total = np.zeros((max(len(values) for _, values in arrays), size + 1))
    for cells, values in arrays:  # the last column takes what has no cell, number -1
        total[:, cells[0].ravel()] += values.reshape(len(values), -1)
    return total[:, :-1]


def edges(pre, post, weight, where=True):
    """The synapses of a projection: numbers of both cells, and the weights at each presentation."""
    pre, post, weight, where = np.atleast_1d(*np.broadcast_arrays(pre, post, weight, where))
    exists = where.any(0) & (pre[0] >= 0) & (post[0] >= 0)
    return pre[0][exists], post[0][exists], np.where(where, weight, 0.0)[:, exists]


def join(*projections):
    """The synapses of all projections, one after another."""
    count = max(len(weight) for _, _, weight in projections)
    pre, post, weight = zip(*projections)
    weights = [np.broadcast_to(each, (count, each.shape[1])) for each in weight]
    return np.concatenate(pre), np.concatenate(post), np.concatenate(weights, axis=1)


class Timing:
    """The course of a presentation: what is stored settles, the gate opens, what reads it settles."""

    def __init__(self, dt, part, tolerance, through, before, after):
        self.dt, settling = dt, functools.partial(settling_steps, part=part, tolerance=tolerance)
        self.before = settling(before)
        self.open = max(1, round(1 / part)) if after else 0
        self.after = max(settling(after), settling(through) - self.before - self.open)
        self.steps = self.before + self.open + self.after
        self.presentation = self.steps * dt * ms

    def table(self, values):
        """What has a value at each presentation (rows), as a function of time and column."""
        return TimedArray(values, dt=self.presentation)

    def gate(self, first, count):
        """1 while the gate is open, in `count` presentations from `first` on."""
        course = np.zeros((first + count, self.steps))
        course[first:, self.before : self.before + self.open] = 1
        return TimedArray(np.append(course.ravel(), 0.0), dt=self.dt * ms)

    def sample(self, group, cells):
        """A monitor of the rates at the end of each presentation."""
        return StateMonitor(
            group, "r", record=cells[cells >= 0], dt=self.presentation, when="start"
        )


def sampled(monitor, cells, first, count):
    """Rates at the end of `count` presentations from `first` on: an array over steps and cells."""
    rates = np.zeros((count, cells.size + 1))
    rates[:, np.flatnonzero(cells >= 0)] = np.asarray(monitor.r).T[first + 1 : first + 1 + count]
    return rates[:, :-1].reshape(count, *cells.shape)
