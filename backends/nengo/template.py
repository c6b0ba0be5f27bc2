"""Circuit {title} as a Nengo model, compiled by cortico.

    python attention_nengo.py inputs.npz -o outputs.npz
    python attention_nengo.py inputs.npz -o outputs.npz --neurons lif

A cell with k compartments is an ensemble of k dimensions, the currents of its compartments. Its rate is a
function that a connection decodes from it: the product of those that multiply, over the product of those
that divide (x / 0 is 0), under the cell's transfer function.

direct: the ensembles of a population are one of nengo.Direct, and connections have no synapse. All values
pass through the network within one step, which is all that is run: exact, but for rounding.

lif: an ensemble of LIF neurons for each cell. A direct run on the same input comes first. It says between which
values the currents and rates of a population stay; these are what its ensembles represent. Connections have
synapses, a signal passes at most {chain} of them, and rates are averaged over the second half of the time.
How far that is from the exact rates is printed. Decoders are found by least squares with random neurons: the
same seed gives the same error.

The rates are multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic circuits,
arXiv 2504.06354. Ensembles, decoders and connections are the Neural Engineering Framework: Eliasmith &
Anderson 2003; Nengo: Bekolay et al. 2014, doi 10.3389/fninf.2013.00048.

{tensors}
"""

from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np

from cortico.backends.cells.template import by_cell, command_line, numbered, stacked
from cortico.backends.recordings.template import recorded_rates, recorded_spikes

HEADROOM = 1.1  # what ensembles represent, over the values that arise
DIFFERENCES = {}  # population: how far spiking rates are from exact ones, and the largest exact rate
TRANSFERS: Any = ...  # transfer function to a function of NumPy
simulate: Any = ...


def main():
    """Simulate each example, write what comes out, say how far spiking rates are from exact ones."""
    batch, examples, output, options = command_line()
    results = [simulate(**example, **options) for example in examples]
    np.savez(output, **stacked(results, batch))
    for name, (difference, largest) in DIFFERENCES.items():
        print(
            f"{name}: spiking rates differ by {difference:.3g} at most; largest rate {largest:.3g}"
        )


@dataclass
class Cells:
    """A population: cells first … first + count - 1, and a dimension for each compartment."""

    name: str
    first: int
    compartments: list[str]
    divides: np.ndarray  # (compartments,) bool
    transfer: str
    drives: np.ndarray  # (cells, compartments)

    @property
    def numbers(self):
        """The cells of this population, as a slice of all."""
        return slice(self.first, self.first + len(self.drives))

    def rates(self, currents):
        """The rates of cells from the currents of their compartments, along the last axis."""
        product = np.prod(currents[..., ~self.divides], axis=-1)
        divisor = np.prod(currents[..., self.divides], axis=-1)
        quotient = np.divide(product, divisor, out=np.zeros_like(product), where=divisor != 0)
        return TRANSFERS[self.transfer](quotient)

    def represent(self, currents):
        """Set the values that spiking ensembles represent: around those that arise, for all cells alike."""
        low, high = currents.min(axis=0), currents.max(axis=0)
        self.centre = (low + high) / 2
        width = HEADROOM * (high - low) / 2
        self.width = np.where(width > 0, width, np.maximum(np.abs(self.centre), 1.0))
        rates = self.rates(currents)
        margin = (HEADROOM - 1) * np.ptp(rates)
        self.bounds = rates.min() - margin, rates.max() + margin

    def decoded(self, x):
        """The rate of one cell from what its ensemble represents, within the bounds of all."""
        return np.clip(self.rates(self.centre + self.width * x), *self.bounds)


class Network:
    """The cells and synapses of the circuit, and Nengo models that are made of them."""

    def __init__(self, neurons, neurons_per_dimension, synapse, time, dt, seed):
        self.spikes = {"direct": False, "lif": True}[neurons]
        self.neurons_per_dimension = neurons_per_dimension
        self.synapse, self.time, self.dt, self.seed = synapse, time, dt, seed
        self.populations, self.synapses, self.count = [], [], 0

    # ---- what the circuit is made of

    def population(self, name, *axes, transfer="identity", multiply={}, divide={}, where=True):
        """Add the cells of a population; returns the numbers of cells, -1 where there is none."""
        numbers, count = numbered(self.count, axes, where)
        place = np.maximum(numbers[axes] - self.count, -1)
        drives = {**multiply, **divide}
        values = np.stack([by_cell(place, count, each) for each in drives.values()], axis=1)
        divides = np.array([part in divide for part in drives])
        if count:
            self.populations.append(
                Cells(name, self.count, list(drives), divides, transfer, values)
            )
        self.count += count
        return numbers

    def connect(self, pre, post, compartment, weight, where=True):
        """Add the synapses between cells that exist."""
        pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
        exists = where & (pre >= 0) & (post >= 0)
        if exists.any():
            source, target = (self.cells_of(cells[exists][0]) for cells in (pre, post))
            part = target.compartments.index(compartment)
            rows = (post[exists] - target.first) * len(target.compartments) + part
            self.synapses.append((source, target, rows, pre[exists] - source.first, weight[exists]))

    def cells_of(self, number):
        """The population of a cell."""
        return next(c for c in reversed(self.populations) if c.first <= number)

    # ---- models

    def settle(self):
        """The rate of each cell, by number, and 0 for -1."""
        currents, rates = self.run(self.direct_model(), steps=1)
        if self.spikes:
            for cells in self.populations:
                cells.represent(currents[cells.name])
            exact = rates
            _, rates = self.run(self.spiking_model(), steps=max(round(self.time / self.dt), 1))
            self.compare(rates, exact)
        return np.append(rates, 0.0)

    def compare(self, rates, exact):
        """Note for each population how far its rates are from the exact ones."""
        for cells in self.populations:
            own = exact[cells.numbers]
            found = np.abs(rates[cells.numbers] - own).max(), np.abs(own).max()
            DIFFERENCES[cells.name] = np.maximum(found, DIFFERENCES.get(cells.name, (0, 0)))

    def direct_model(self):
        """All cells of a population in one ensemble that computes instead of spiking."""
        with nengo.Network(seed=self.seed) as model:
            for cells in self.populations:
                size, shape = cells.drives.size, cells.drives.shape
                cells.currents = nengo.Ensemble(
                    1,
                    size,
                    neuron_type=nengo.Direct(),
                    eval_points=np.zeros((1, size)),  # nothing is fitted
                    label=cells.name,
                )
                cells.output = nengo.Node(size_in=len(cells.drives), label=f"{cells.name} rates")
                nengo.Connection(nengo.Node(cells.drives.ravel()), cells.currents, synapse=None)
                nengo.Connection(
                    cells.currents,
                    cells.output,
                    function=lambda x, cells=cells, shape=shape: cells.rates(x.reshape(shape)),
                    synapse=None,
                )
            for source, target, rows, columns, weights in self.synapses:
                shape = target.drives.size, len(source.drives)
                sparse = nengo.Sparse(shape, indices=np.stack([rows, columns], 1), init=weights)
                nengo.Connection(source.output, target.currents, transform=sparse, synapse=None)
        return model

    def spiking_model(self):
        """An ensemble of LIF neurons for each cell; its input is scaled to what it represents."""
        with nengo.Network(seed=self.seed) as model:
            for cells in self.populations:
                count, dimensions = cells.drives.shape
                corner = np.sqrt(dimensions)  # all compartments at their largest
                cells.currents = nengo.Node(
                    size_in=count * dimensions, label=f"{cells.name} currents"
                )
                cells.output = nengo.Node(size_in=count, label=f"{cells.name} rates")
                for cell in range(count):
                    ensemble = nengo.Ensemble(
                        self.neurons_per_dimension * dimensions,
                        dimensions,
                        radius=corner,
                        eval_points=nengo.dists.Uniform(-1 / corner, 1 / corner),
                        label=f"{cells.name} {cell}",
                    )
                    own = slice(cell * dimensions, (cell + 1) * dimensions)
                    nengo.Connection(cells.currents[own], ensemble, synapse=None)
                    nengo.Connection(
                        ensemble, cells.output[cell], function=cells.decoded, synapse=None
                    )
                drive = nengo.Node(((cells.drives - cells.centre) / cells.width).ravel())
                nengo.Connection(drive, cells.currents, synapse=None)
            for source, target, rows, columns, weights in self.synapses:
                shape = target.drives.size, len(source.drives)
                scaled = weights / target.width[rows % len(target.compartments)]
                sparse = nengo.Sparse(shape, indices=np.stack([rows, columns], 1), init=scaled)
                nengo.Connection(
                    source.output, target.currents, transform=sparse, synapse=self.synapse
                )
        return model

    def run(self, model, steps):
        """Currents by population, and the rates of all cells: means over the second half of the steps."""
        with model:
            probes = [(nengo.Probe(c.currents), nengo.Probe(c.output)) for c in self.populations]
            # <probes>
        with nengo.Simulator(
            model, dt=self.dt, progress_bar=False, optimize=steps > 1
        ) as simulator:
            simulator.run_steps(steps)
            # <probed>
        means = [[simulator.data[p][steps // 2 :].mean(axis=0) for p in pair] for pair in probes]
        currents = {
            cells.name: own.reshape(cells.drives.shape)
            for cells, (own, _) in zip(self.populations, means, strict=True)
        }
        return currents, np.concatenate([rates for _, rates in means] or [np.zeros(0)])


class Recorder:
    """Probes of chosen cells: rates each so many ms, spikes of the neurons that carry cells."""

    def __init__(self, network, interval, rates, spikes):
        self.interval, self.rates, self.spikes = interval, rates, spikes
        network.recorder = self

    def watch(self, network, model):
        """Probe a model; what was read of one before is left."""
        self.courses, self.fired = {}, {}
        for name, (_, numbers) in self.rates.items():
            if len(numbers):
                cells = network.cells_of(numbers[0])
                places, period = numbers - cells.first, self.interval / 1e3
                self.courses[name] = nengo.Probe(cells.output[places], sample_every=period)
        if not any(isinstance(each.neuron_type, nengo.Direct) for each in model.ensembles):
            for name, (_, numbers) in self.spikes.items():  # there is an ensemble for each cell
                self.fired[name] = [nengo.Probe(model.ensembles[n].neurons) for n in numbers]

    def read(self, simulator):
        """Keep what the probes of a model have."""
        self.times = simulator.trange(sample_every=self.interval / 1e3) * 1e3
        self.values = {name: simulator.data[probe] for name, probe in self.courses.items()}
        self.window, self.steps = (0.0, simulator.time * 1e3), simulator.trange() * 1e3
        self.trains = {
            name: [np.nonzero(simulator.data[probe]) for probe in probes]
            for name, probes in self.fired.items()
        }
        self.somas = {
            name: [probe.size_in for probe in probes] for name, probes in self.fired.items()
        }

    def arrays(self):
        """What was recorded, by name."""
        spikes = {}
        for name, trains in self.trains.items():
            when, soma = (np.concatenate(each) for each in zip(([], []), *trains))
            rows = np.repeat(np.arange(len(trains)), [len(steps) for steps, _ in trains])
            spikes[name] = self.steps[when.astype(int)], rows, soma, self.somas[name]
        return recorded_rates(self.times, self.interval, self.values, self.rates) | recorded_spikes(
            self.window, spikes, self.spikes
        )
