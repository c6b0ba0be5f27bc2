"""Circuit {title} as an ANNarchy network of rate neurons, compiled by cortico.

    python attention_annarchy.py inputs.npz -o outputs.npz --threads 2

Every population of the circuit is a population, every projection a projection with one weight per synapse.
Neurons integrate the equations below: sum(basal) is what arrives at the synapses of that compartment,
basal_drive what drives it from outside. Shunting inhibition divides, and x / 0 is 0.

The rates settle to multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic
circuits, arXiv 2504.06354. They have no unit: they are relative to a baseline and may be negative.
A signal passes at most {chain} cells one after another. With --dt much longer than the time constants a
step brings each to rest, and the network settles in {chain} of them; with a short one it follows its time
course.

ANNarchy writes C++ into a folder called annarchy and compiles it: once for a circuit and its sizes. Other
inputs and other weights use what was compiled, also in another run.

{tensors}
"""

import os
import sys
from pathlib import Path
from typing import Any

# CMake takes the first Python that it finds
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))

import ANNarchy as ann
import numpy as np
from scipy.sparse import csc_matrix

from cortico.backends.cells.template import (
    CLOSE,
    by_cell,
    command_line,
    numbered,
    settling_steps,
    stacked,
)
from cortico.backends.recordings.template import recorded_rates

FLAGS = "-O2 -march=native"  # of the C++ compiler
SILENT = 1e-30  # rates that are smaller count as zero
simulate: Any = ...


def main():
    """Simulate each example on one network, write what comes out."""
    batch, examples, output, options = command_line()
    weights = options.pop("weights")
    network = Network(**options)
    results = [simulate(**example, weights=weights, network=network) for example in examples]
    np.savez(output, **stacked(results, batch))


def onset(network, after, slowest):
    """When cells are let go behind `after` others, each of which comes close to rest first: in ms."""
    part = 1 - np.exp(-network.dt / (network.tau or slowest))
    steps = after * settling_steps(1, part, CLOSE)
    return network.network.time + (steps - 0.25) * network.dt


def run_until(network, time):
    """Let all cells go, the last at this time."""
    if network.cells:
        if not network.compiled:
            network.compile()
        network.network.simulate(np.ceil((time - network.network.time) / network.dt) * network.dt)


class Network:
    """Populations and projections: made and compiled for a first example, driven anew by the next."""

    def __init__(self, dt, tau, tolerance, threads, folder):
        self.network = ann.Network(dt=dt)
        self.network.config(num_threads=threads)
        self.dt, self.tau, self.tolerance, self.folder = dt, tau, tolerance, folder
        self.numbers, self.cells = {}, {}  # of each population; of those that have cells
        self.size, self.slowest, self.compiled = 0, 0.0, False

    def population(self, name, *axes, neuron, tau, where=True, **drives):
        """Make a cell per index at which one exists, or drive those made; their numbers, -1 for none."""
        if name not in self.numbers:
            self.make(name, axes, where, neuron, self.tau or tau)
        numbers = self.numbers[name]
        if name in self.cells:
            first, cells = self.cells[name]
            for parameter, values in drives.items():
                setattr(
                    cells,
                    parameter,
                    by_cell(np.maximum(numbers[axes] - first, -1), cells.size, values),
                )
            cells.r = 0.0
        return numbers

    def make(self, name, axes, where, neuron, tau):
        """Make the cells of a population."""
        self.numbers[name], count = numbered(self.size, axes, where)
        if count:
            cells = self.network.create(int(count), neuron, name=name)
            cells.tau = tau
            self.cells[name] = self.size, cells
            self.slowest = max(self.slowest, tau)
        self.size += count

    def connect(self, pre, post, compartment, weight, where=True):
        """Make the synapses between cells that exist."""
        if self.compiled:
            return
        pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
        exists = where & (pre >= 0) & (post >= 0)
        pre, post, weight = pre[exists], post[exists], weight[exists]
        if pre.size:
            (first, sources), (start, targets) = self.cells_of(pre[0]), self.cells_of(post[0])
            matrix = csc_matrix((weight, (pre - first, post - start)), (sources.size, targets.size))
            projection = self.network.connect(sources, targets, compartment)
            projection.from_sparse(matrix, storage_format="csr")

    def cells_of(self, number):
        """The number of a population's first cell, and the population, for a cell in it."""
        return next(found for found in reversed(self.cells.values()) if found[0] <= number)

    def compile(self):
        """Write and compile C++, unless the same was compiled before."""
        folder = Path(self.folder, "annarchy").resolve()
        try:
            self.network.compile(str(folder), compiler_flags=FLAGS, silent=True)
        except BaseException:
            # or ANNarchy would take an older library for that of an interrupted compiler
            if folder.exists():
                (folder / "compilation").write_text("0", encoding="utf-8")
            raise
        self.compiled = True

    def settle(self, chain):
        """Run until every rate is at rest; returns the rates by number, 0 for number -1."""
        if not self.cells:
            return np.zeros(1)
        if not self.compiled:
            self.compile()
        part = 1 - np.exp(-self.dt / self.slowest)  # of its way that a cell goes in a step
        for _ in range(20 * settling_steps(chain, part, self.tolerance) // chain + 1):
            self.network.simulate(chain * self.dt)
            if self.distance() <= part * self.tolerance:
                return np.concatenate([*self.rates(), [0.0]])
        raise RuntimeError(f"not settled after {self.network.time} ms")

    def distance(self):
        """The longest way of a rate in the next step, over the largest of its population."""
        before = self.rates()
        self.network.step()
        ways = [
            (np.abs(new - old).max(), np.abs(new).max()) for old, new in zip(before, self.rates())
        ]
        if not np.isfinite(ways).all():
            raise FloatingPointError("a rate is NaN or infinite")
        return max((way / (largest + SILENT) for way, largest in ways), default=0.0)

    def rates(self):
        """Those of each population now."""
        return [cells.r for _, cells in self.cells.values()]


class Recorder:
    """Stands before ANNarchy's network and reads the rates of chosen cells each so many ms, step by step."""

    def __init__(self, network, interval, rates, spikes):
        self.dt, self.interval, self.rates = network.dt, interval, rates
        self.every, self.steps, self.times = round(interval / network.dt), 0, []
        self.courses = {name: [] for name in rates}
        self.places = {
            name: (cells, rates[name][1] - first)
            for name, (first, cells) in network.cells.items()
            if name in rates
        }
        self.stepped = getattr(network.network, "stepped", network.network)  # of the last example
        network.network = self

    def __getattr__(self, name):
        return getattr(self.stepped, name)

    def simulate(self, duration):
        """Run for so many ms."""
        for _ in range(round(duration / self.dt)):
            self.step()

    def step(self):
        """Run one step, and read rates where it is time to."""
        self.stepped.step()
        self.steps += 1
        if self.steps % self.every == 0:
            self.times.append(self.steps * self.dt)
            for name, (cells, places) in self.places.items():
                self.courses[name].append(np.array(cells.r)[places])

    def arrays(self):
        """What was recorded, by name."""
        rates = {
            name: np.reshape(course, (len(self.times), len(self.rates[name][1])))
            for name, course in self.courses.items()
        }
        return recorded_rates(self.times, self.interval, rates, self.rates)
