"""The fixed parts of an emitted Brian2 script."""

from __future__ import annotations

HEADER = '''\
"""Circuit {title} as a Brian2 network of rate units, compiled by cortico.

    python attention_brian2.py inputs.npz -o outputs.npz

Every cell follows  tau dr/dt = -r + f(product of its dendritic currents / product of its shunts).
The rates settle to multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic
circuits, arXiv 2504.06354. Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

import argparse
import functools
{json}import os
from pathlib import Path

import numpy as np
from brian2 import (
    Network,
    NetworkOperation,
    NeuronGroup,
    StateMonitor,
    Synapses,
    TimedArray,
    defaultclock,
    device,
    get_device,
    ms,
    prefs,
    second,
    set_device,
{spiking_names})
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice


'''

SIMULATE_DOC = '''\
"""Build the network for one example and run it.

Returns the outputs by name, and the course of the populations named in `monitor` (arrays over time
steps and the population's axes) with the times `t_ms`. Times are in ms; `tau` stands for all membrane
time constants. {lasting}
"""'''

UNTIL_SETTLED = "Without `duration` it runs until no rate moves more than `tolerance`."
TOKEN_BY_TOKEN = "Each token stays until what it drives is within `tolerance` of rest."

MAIN = '''\
def main():
    """Read inputs and options, simulate each example, write what comes out."""
{command_line}    parser.add_argument("--target", default={target}, choices={targets})
    parser.add_argument("--method", default={method}, help="euler, exponential_euler, rk2, rk4, heun")
{arguments}    parser.add_argument("--monitor", nargs="+", default=[], metavar="POPULATION")
    parser.add_argument("--activity", type=Path, default="activity.npz", help=".npz for what is monitored")
    options = vars(parser.parse_args())
    inputs, output, activity = (options.pop(name) for name in ("inputs", "output", "activity"))
    if options["weights"]:
        options["weights"] = dict(np.load(options["weights"], allow_pickle=False))
    batch, examples = split(dict(np.load(inputs, allow_pickle=False)))
    results = [simulate(**example, **options) for example in examples]
    found = {{name: [outputs[name] for outputs, _ in results] for name in results[0][0]}}
    np.savez(output, **{{n: np.reshape(all, batch + all[0].shape) for n, all in found.items()}})
    if options["monitor"]:
        np.savez(activity, **results[0][1])  # of the first example

'''

CELLS = '''\
class Cells:
    """Numbers the cells of a NeuronGroup, population by population, and keeps their time constants."""

    def __init__(self):
        self.taus = []

    @property
    def size(self):
        """How many there are; a group without any gets one that nobody hears, as Brian2 wants."""
        return len(self.taus) or 1

    def add(self, *axes, tau, where=True):
        """Numbers of a population's cells, an array over its axes; -1 where there is no cell."""
        exists, *indices = np.broadcast_arrays(where, *axes)
        numbers = np.full([axis.size for axis in axes], -1)
        inside = tuple(index[exists] for index in indices)
        numbers[inside] = len(self.taus) + np.arange(np.count_nonzero(exists))
        self.taus += [tau] * np.count_nonzero(exists)
        return numbers

    def tau(self, same=None):
        """Membrane time constants, or one for all."""
        return np.array(self.taus or [1.0] if same is None else [float(same)] * self.size) * ms
'''

START = '''\
def prepare(target, dt):
    """Choose the device. Cells and synapses are made with NumPy, which has nothing to compile."""
    if isinstance(get_device(), CPPStandaloneDevice):
        get_device().reinit()
    set_device("cpp_standalone" if target == "cpp_standalone" else "runtime", build_on_run=False)
    prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O1"]  # most time goes into compiling
    prefs.devices.cpp_standalone.extra_make_args_unix = [f"-j{os.cpu_count()}"]
    prefs.codegen.target = "numpy"
    defaultclock.dt = dt * ms


def start(network, target, duration):
    """Run for `duration` ms; for C++ this compiles first."""
    prefs.codegen.target = "numpy" if target == "cpp_standalone" else target
    network.run(duration * ms, report="stderr", report_period=10 * second, namespace={})
    if target == "cpp_standalone":
        device.build(directory=None, compile=True, run=True)
'''

CONNECT = '''\
def connect(synapses, pre, post, **values):
    """Make the synapses and give them their values."""
    if len(pre) == 0:
        synapses.active = False
        return
    synapses.connect(i=pre, j=post)
    for name, array in values.items():
        setattr(synapses, name, array)
'''

SETTLING_STEPS = '''\
def settling_steps(depth, part, tolerance):
    """Steps until a chain of `depth` cells, each moving by `part` of its way a step, is that close."""
    waiting, steps = np.eye(1, depth)[0], 0  # how much of a step has come to each cell of the chain
    while waiting.sum() > tolerance:
        waiting = (1 - part) * waiting + part * np.append(0, waiting[:-1])
        steps += 1
    return steps
'''

IN_SPACE = '''\
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
        self.rates, self.left, self.moved, self.settled = [0.0] * len(groups), depth, np.inf, False

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
'''

PRESENTED = '''\
def presented(size, passes, axes):
    """The token at each presentation, counted up in every pass; an array whose other axes are new."""
    tokens = [np.minimum(np.arange(count), size - 1) for count in passes]
    return np.concatenate(tokens).reshape(-1, *[1] * axes)
'''

EDGES_IN_TIME = '''\
def over_cells(size, *parts):
    """A number per presentation (or one for all) and cell: the sum of all parts (numbers, values)."""
    parts = [np.atleast_1d(*np.broadcast_arrays(*part)) for part in parts]
    total = np.zeros((max(len(values) for _, values in parts), size + 1))
    for cells, values in parts:  # the last column takes what has no cell, number -1
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
    weight = [np.broadcast_to(each, (count, each.shape[1])) for each in weight]
    return np.concatenate(pre), np.concatenate(post), np.concatenate(weight, axis=1)
'''

TIMING = '''\
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
        return StateMonitor(group, "r", record=cells[cells >= 0], dt=self.presentation, when="start")


def sampled(monitor, cells, first, count):
    """Rates at the end of `count` presentations from `first` on: an array over steps and cells."""
    rates = np.zeros((count, cells.size + 1))
    rates[:, np.flatnonzero(cells >= 0)] = np.asarray(monitor.r).T[first + 1 : first + 1 + count]
    return rates[:, :-1].reshape(count, *cells.shape)
'''

IN_TIME = "\n\n".join((PRESENTED, EDGES_IN_TIME, TIMING))

RECORD = '''\
def record(populations, names):
    """A monitor of the rates of each of these populations."""
    unknown = [name for name in names if name not in populations]
    if unknown:
        raise ValueError(f"no population is called {unknown[0]!r}; there are: {', '.join(populations)}")
    chosen = {name: populations[name] for name in names}
    return {n: StateMonitor(group, "r", record=c[c >= 0]) for n, (group, c) in chosen.items()}


def courses(monitors, populations):
    """The rates of the monitored populations, arrays over time steps and their axes, and the times."""
    found = {}
    for name, monitor in monitors.items():
        _, cells = populations[name]
        rates = np.zeros((len(monitor.t), cells.size))
        rates[:, np.flatnonzero(cells >= 0)] = np.asarray(monitor.r).T
        found[name] = rates.reshape(-1, *cells.shape)
        found["t_ms"] = np.asarray(monitor.t / ms)
    return found
'''
