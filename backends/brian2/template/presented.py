"""A network to which tokens are presented one after another."""

import numpy as np
from brian2 import StateMonitor, TimedArray, ms


def join(*projections):
    """The synapses of all projections, one after another."""
    count = max(len(weight) for _, _, weight in projections)
    pre, post, weight = zip(*projections)
    weights = [np.broadcast_to(each, (count, each.shape[1])) for each in weight]
    return np.concatenate(pre), np.concatenate(post), np.concatenate(weights, axis=1)


class Timing:
    """The course of a presentation: what is stored settles, the gate opens, what reads it settles."""

    def __init__(self, dt, *course):
        self.dt, (self.before, self.open, self.after) = dt, course
        self.steps = sum(course)
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


def pace(groups, timing, prospective, anew):
    """Let cells begin at 0 at each presentation (`anew`); prospective ones are at their target at once.

    A divisor that only decayed to 0 would never be 0.
    """
    for group in groups:
        if prospective:
            group.run_regularly("r = target", when="thresholds")
        elif anew:
            group.run_regularly("r = 0", dt=timing.presentation, when="after_start")


def sampled(monitor, cells, first, count):
    """Rates at the end of `count` presentations from `first` on: an array over steps and cells."""
    rates = np.zeros((count, cells.size + 1))
    rates[:, np.flatnonzero(cells >= 0)] = np.asarray(monitor.r).T[first + 1 : first + 1 + count]
    return rates[:, :-1].reshape(count, *cells.shape)
