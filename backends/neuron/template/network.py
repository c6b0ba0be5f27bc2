"""Circuit {title} as a NEURON model of rate units, compiled by cortico.

    nrnivmodl .
    python attention_neuron.py inputs.npz -o outputs.npz
    mpiexec -n 2 python attention_neuron.py inputs.npz -o outputs.npz

Every compartment is a section of one segment, and its voltage is the number that it holds, in mV. A
dendrite sums: fastpas leaks towards its drive from outside, a RateSynapse adds weight times presynaptic rate.
A soma multiplies what its dendrites sum and is divided by shunting inhibition (dendritic_product.mod); one
with a single dendrite and nothing to compute is that dendrite. The voltage of the soma is the rate, which
continuous transfer (ParallelContext.source_var, target_var) carries to all synapses of its axon.
The compartments of a cell act on each other through these pointers only: no axial current flows.

The rates settle to multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic
circuits, arXiv 2504.06354. They have no unit: they are relative to a baseline and may be negative.
A signal passes at most {chain} compartments one after another. With --dt much longer than the time
constants a step brings each to rest, and the network settles in {chain} of them; with a short one it
follows its time course. A dendrite has the time constant of its cell (placeholder, no source).

Areas are spread over the MPI processes, and so are the cells of the thalamus, each in turn.

{tensors}
"""

import ctypes.util
import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
import neuron
from neuron import h as nrn

if not hasattr(nrn, "RateSynapse"):  # nrnivmodl was run where this file lies, not where Python is
    neuron.load_mechanisms(str(Path(__file__).parent))
if __name__ == "__main__" and os.environ.setdefault(
    "MPI_LIB_NRN_PATH", next(filter(None, map(ctypes.util.find_library, ("mpi", "mpich"))), "")
):
    # without mpiexec OpenMPI wants no daemon
    os.environ.setdefault("OMPI_MCA_ess_singleton_isolated", "1")
    nrn.nrnmpi_init()

from cortico.backends.cells.template import (
    CLOSE,
    by_cell,
    command_line,
    numbered,
    settling_steps,
    stacked,
)
from cortico.backends.recordings.template import recorded_rates

pc = nrn.ParallelContext()  # knows how many processes there are: one without MPI
TRANSFERS: Any = ...  # transfer function to its number in dendritic_product.mod
AREA = 100  # um2: 1 nA into a section is then 1 mA/cm2
simulate: Any = ...


def main():
    """Simulate each example, write what comes out, once for all processes."""
    batch, examples, output, options = command_line()
    results = [simulate(**example, **options) for example in examples]
    if pc.id() == 0:
        np.savez(output, **stacked(results, batch))
    pc.barrier()
    nrn.quit()  # which ends MPI, too


class Cell:
    """A soma, and a dendrite for each of its compartments. `drives`: what dendrites get from outside."""

    def __init__(self, name, tau, transfer, drives, divide):
        self.name, self.leak = name, 1e-3 / tau  # S/cm2
        self.sections, self.products = [], []
        self.dendrites = {
            dendrite: self.section(dendrite, drive) for dendrite, drive in drives.items()
        }
        factors = [s for name, s in self.dendrites.items() if name not in divide]
        divisors = [self.dendrites[name] for name in divide]
        if len(factors) == 1 and not divisors and transfer == "identity":
            self.soma = factors[0]
            return
        while len(factors) > 2:
            factors = [self.product(factors[:2]), *factors[2:]]
        while len(divisors) > 1:
            divisors = [self.product(divisors[:2]), *divisors[2:]]
        self.soma = self.product(factors, divisors, transfer)

    def section(self, name, drive=0):
        """A section of one segment, which leaks towards its drive."""
        made = nrn.Section(name=f"{self.name}.{name}")
        made.L = made.diam = (AREA / np.pi) ** 0.5
        made.cm = 1  # uF/cm2
        made.insert("fastpas")
        made(0.5).fastpas.g, made(0.5).fastpas.e = self.leak, drive
        self.sections.append(made)
        return made

    def product(self, factors, divisors=(), transfer="identity"):
        """A section whose voltage goes to transfer(product of the factors / divisor)."""
        made = self.section("soma")
        made.insert("dendritic_product")
        segment = made(0.5)
        membrane, one = segment.dendritic_product, segment.dendritic_product._ref_one
        membrane.g_leak, membrane.transfer = self.leak, TRANSFERS[transfer]
        membrane._ref_g, membrane._ref_e = segment.fastpas._ref_g, segment.fastpas._ref_e
        voltages = [factor(0.5)._ref_v for factor in factors]
        membrane._ref_a, membrane._ref_b = [*voltages, one, one][:2]
        membrane._ref_d = divisors[0](0.5)._ref_v if divisors else one
        self.products.append(membrane)
        return made

    def synapse(self, dendrite, weight):
        """A synapse that adds weight * r to what the dendrite goes to."""
        made = nrn.RateSynapse(self.dendrites[dendrite](0.5))
        made.w = weight * self.leak * AREA / 100  # uS
        return made


class Network:
    """Cells and synapses, of which each MPI process makes those of its own areas."""

    def __init__(self, dt, tau, tolerance):
        self.tau, self.tolerance = tau, tolerance
        self.size, self.slowest = 0, 0.0
        self.cells, self.synapses, self.sections = {}, [], {}
        self.waiting = {}  # compartments before a population whose somas wait for them
        pc.gid_clear()
        pc.set_maxstep(10 * dt)
        nrn.dt = dt

    def population(
        self,
        name,
        *axes,
        tau,
        area=(),
        transfer="identity",
        multiply={},
        divide={},
        where=True,
        after=None,
    ):
        """Make a cell per index at which one exists; returns their numbers, -1 where there is none.

        Somas that compute are let go when `after` compartments, and then the cell's dendrites, have settled.
        """
        first = self.size
        numbers, count = numbered(first, axes, where)
        self.size += count
        tau = self.tau or tau
        self.slowest = max(self.slowest, tau)
        if after is not None:
            self.waiting[name] = after + 1
        place = np.maximum(numbers[axes] - first, -1)
        owners = by_cell(place, count, area_number(area) if area else numbers[axes]) % pc.nhost()
        drives = {d: by_cell(place, count, given) for d, given in {**multiply, **divide}.items()}
        for index in np.ndindex(*numbers.shape):
            if numbers[index] >= 0 and owners[numbers[index] - first] == pc.id():
                own = {dendrite: each[numbers[index] - first] for dendrite, each in drives.items()}
                label = f"{name}[{','.join(map(str, index))}]"
                self.add(int(numbers[index]), name, Cell(label, tau, transfer, own, divide))
        return numbers

    def add(self, number, population, cell):
        """Keep a cell, and give its rate to whoever has a synapse from this number."""
        self.cells[number], cell.population = cell, population
        pc.source_var(cell.soma(0.5)._ref_v, number, sec=cell.soma)
        for place, section in enumerate(cell.sections):
            self.sections.setdefault((population, place), []).append(section)

    def connect(self, pre, post, dendrite, weight, where=True):
        """Make the synapses between cells that exist, onto those of this process."""
        pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
        exists = where & (pre >= 0) & np.isin(post, list(self.cells))
        for source, target, w in zip(
            pre[exists].tolist(), post[exists].tolist(), weight[exists].tolist()
        ):
            synapse = self.cells[target].synapse(dendrite, w)
            pc.target_var(synapse, synapse._ref_r, source)
            self.synapses.append(synapse)

    def settle(self, chain):
        """Run until every compartment is at rest; returns the rates by number, 0 for number -1."""
        part = nrn.dt / (nrn.dt + self.slowest)  # of its way that a compartment goes in a step
        pc.setup_transfer()
        nrn.finitialize(0)
        for _ in range(self.let_go(settling_steps(1, part, CLOSE))):
            nrn.fadvance()
        for _ in range(20 * settling_steps(chain, part, self.tolerance) // chain + 1):
            for _ in range(chain):
                nrn.fadvance()
            if self.distance() <= part * self.tolerance:
                return self.rates()
        raise RuntimeError(f"not settled after {nrn.t} ms")

    def let_go(self, wait):
        """Say when somas are let go, if each compartment before them takes so many steps; the last step."""
        for cell in self.cells.values():
            for membrane in cell.products:
                membrane.onset = (self.waiting.get(cell.population, 0) * wait - 0.25) * nrn.dt
        return max(self.waiting.values(), default=0) * wait

    def distance(self):
        """The longest way of a compartment in the next step, over the largest voltage of its kind."""
        before = self.voltages()
        nrn.fadvance()
        after = self.voltages()
        own = {k: (np.abs(after[k] - before[k]).max(), np.abs(after[k]).max()) for k in after}
        of_ranks = pc.py_allgather(own)
        kinds = {kind for found in of_ranks for kind in found}
        found = {
            kind: np.max([each[kind] for each in of_ranks if kind in each], axis=0)
            for kind in kinds
        }
        if not np.isfinite(list(found.values())).all():
            raise FloatingPointError("a voltage is NaN or infinite")
        return max((way / largest for way, largest in found.values() if way), default=0.0)

    def voltages(self):
        """Those of all sections of this process, by population and place in the cell."""
        return {kind: np.array([s.v for s in sections]) for kind, sections in self.sections.items()}

    def rates(self):
        """The voltages of all somas, gathered from all processes."""
        found = nrn.Vector(self.size + 1)
        for number, cell in self.cells.items():
            found[number] = cell.soma.v
        pc.allreduce(found, 1)
        return np.array(found)


class Recorder:
    """Records the rates of chosen cells each so many ms, on each process those of its own cells."""

    def __init__(self, network, interval, rates, spikes):
        self.interval, self.rates, self.courses = interval, rates, {}
        for number in np.concatenate([numbers for _, numbers in rates.values()]).tolist():
            if number in network.cells:
                soma = network.cells[number].soma(0.5)
                self.courses[number] = nrn.Vector().record(soma._ref_v, interval)

    def arrays(self):
        """What was recorded, by name, gathered from all processes."""
        own = {number: np.array(course) for number, course in self.courses.items()}
        found = {n: course for each in pc.py_allgather(own) for n, course in each.items()}
        samples = min(map(len, found.values()), default=0)
        rates = {
            name: np.reshape(
                [found[n][:samples] for n in numbers.tolist()], (len(numbers), samples)
            ).T
            for name, (_, numbers) in self.rates.items()
        }
        return recorded_rates(np.arange(samples) * self.interval, self.interval, rates, self.rates)


def area_number(axes):
    """Areas counted one after another, along all their axes."""
    number = 0
    for axis in axes:
        number = number * axis.size + axis
    return number
