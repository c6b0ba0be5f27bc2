"""Circuit {title} as an ANNarchy network that runs in time, compiled by cortico.

    python attention_annarchy.py inputs.npz -o outputs.npz --duration 200

Every population of the circuit is a population, every projection a projection with one weight per synapse, and a
delay where it has one. Neurons integrate the equations below: sum(basal) is what arrives at the synapses of that
compartment, basal_drive what drives it from outside. Shunting inhibition divides, and x / 0 is 0. A rate r is handed
on; that of prospective cells is r + tau dr/dt of others. What is heard was handed on a step before, at least.

Rates have no unit: they are relative to a baseline and may be negative.

ANNarchy writes C++ into a folder called annarchy and compiles it.

{tensors}
"""

import ANNarchy as ann  # noqa: F401, for the neurons that a script defines
import numpy as np
from scipy.sparse import csc_matrix

from cortico.backends.annarchy.template import SILENT, Network  # noqa: F401, for the check of ranges
from cortico.backends.cells.template import by_cell
from cortico.backends.cells.template_in_time import (
    Rest,
    by_name,
    existing,
    require_finite,
    run_by_steps,
    steps_of_run,
)


class NetworkInTime(Network):
    """Populations and projections, which run step by step, one stimulus after another."""

    def __init__(self, dt, tau, tolerance, threads, folder, duration, token_ms, prospective):
        super().__init__(dt, tau, tolerance, threads, folder)
        self.steps = steps_of_run(duration, token_ms, dt)
        self.dt_ms, self.longest, self.watchers = dt, 1, []  # of delays in steps; who looks on

    def population(self, name, *axes, neuron, tau, where=True, integrates=None, **drives):
        """Make a cell per index at which one exists, or drive those made; their numbers, -1 for none.

        What cells that integrate start from is in the equations of the neuron.
        """
        if name not in self.numbers:
            self.make(name, axes, where, neuron, self.tau or tau)
        if name in self.cells:
            first, cells = self.cells[name]
            place = np.maximum(self.numbers[name][axes] - first, -1)
            for parameter, values in drives.items():
                setattr(cells, parameter, by_cell(place, cells.size, values))
        return self.numbers[name]

    def connect(self, pre, post, compartment, weight, where=True, delay=1):
        """Make the synapses between cells that exist; what they bring was handed on `delay` steps before."""
        if self.compiled:
            return
        pre, post, weight = existing(pre, post, weight, where)
        if pre.size:
            (first, sources), (start, targets) = self.cells_of(pre[0]), self.cells_of(post[0])
            matrix = csc_matrix((weight, (pre - first, post - start)), (sources.size, targets.size))
            projection = self.network.connect(sources, targets, compartment)
            projection.from_sparse(matrix, delays=delay * self.dt, storage_format="csr")
            self.longest = max(self.longest, delay)

    def restart(self):
        """Let all be as it was at the start."""
        if self.compiled:
            self.network.reset()

    def run(self):
        """Run for the time given or until rest; returns what each cell hands on, by number, and 0 for -1."""
        if self.cells and not self.compiled:
            self.compile()
            self.network.reset()  # what is under way is then what cells start from
        return run_by_steps(self, Rest(self.tolerance, self.longest, self.slowest, self.dt))

    def step(self):
        """Run one step, and look at its rates, which is done anyway until rest."""
        self.network.step()
        if self.steps is not None:
            require_finite(by_name(self))

    def handed(self):
        """The first cell of each population, and what its cells hand on now."""
        return {name: (first, np.array(cells.r)) for name, (first, cells) in self.cells.items()}
