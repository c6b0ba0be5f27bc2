"""Circuit {title} as a Brian2 network of rate units, compiled by cortico.

    python attention_brian2.py inputs.npz -o outputs.npz

Every cell follows  tau dr/dt = -r + f(product of its dendritic currents / product of its shunts).
The rates settle to multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic
circuits, arXiv 2504.06354. Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

import math
import os
from typing import Any

import numpy as np
from brian2 import (
    Function,
    StateMonitor,
    defaultclock,
    device,
    get_device,
    ms,
    prefs,
    second,
    set_device,
)
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice

from cortico.backends.cells.template import command_line, numbered, stacked

simulate: Any = ...


def main():
    """Simulate each example, write what comes out and what is monitored."""
    batch, examples, output, options = command_line()
    activity = options.pop("activity")
    results = [simulate(**example, **options) for example in examples]
    np.savez(output, **stacked([outputs for outputs, _ in results], batch))
    if options["monitor"]:
        np.savez(activity, **results[0][1])  # of the first example


class Cells:
    """Numbers the cells of a NeuronGroup, population by population; what is known of each when it starts."""

    def __init__(self):
        self.taus, self.after = [], []

    @property
    def size(self):
        """How many there are; a group without any gets one that nobody hears, as Brian2 wants."""
        return len(self.taus) or 1

    def add(self, *axes, tau, where=True, after=0):
        """Numbers of a population's cells, an array over its axes; -1 where there is no cell.

        They hear of what comes in by way of `after` others.
        """
        numbers, count = numbered(len(self.taus), axes, where)
        self.taus += [tau] * count
        self.after += [after] * count
        return numbers

    def tau(self, same=None):
        """Membrane time constants, or one for all."""
        return np.array(self.taus or [1.0] if same is None else [float(same)] * self.size) * ms

    def onset(self, wait, dt):
        """When cells are let go, if each waits so many steps for those that it hears."""
        return (np.array(self.after or [0]) * wait - 0.5) * dt * ms


def error_function():
    """erf, which equations of Brian2 know by what its `namespace` says; C has one of its own."""
    made = Function(np.vectorize(math.erf, otypes=[float]), arg_units=[1], return_unit=1)
    made.implementations.add_implementation("cpp", code=None, name="erf")
    in_c = 'cdef extern from "math.h":\n    double erf(double x)\n'
    made.implementations.add_implementation("cython", code=in_c, name="erf")
    return made


def connect(synapses, pre, post, **values):
    """Make the synapses and give them their values."""
    if len(pre) == 0:
        synapses.active = False
        return
    synapses.connect(i=pre, j=post)
    for name, array in values.items():
        setattr(synapses, name, array)


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


def record(populations, names):
    """A monitor of the rates of each of these populations."""
    unknown = [name for name in names if name not in populations]
    if unknown:
        raise ValueError(
            f"no population is called {unknown[0]!r}; there are: {', '.join(populations)}"
        )
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
