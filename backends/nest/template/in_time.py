"""Circuit {title} as a NEST network that runs in time, compiled by cortico.

    python attention_nest.py inputs.npz -o outputs.npz --dt 0.1 --duration 200

A cell is a rate neuron that NEST brings, and follows  tau dr/dt = -r + f(what it hears and what drives it), which NEST
integrates exactly for an input that holds; one that integrates follows  dr/dt = rate f(…). A prospective cell hands on
r + tau dr/dt, which is f(…): a neuron that is there within a step. What cells hand on is heard a step later, by
instantaneous connections; what takes longer, by delayed ones, which NEST delivers a step after their delay.
Before the first step all neurons are held at the rates that they start from, until these have arrived everywhere.

Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

from typing import Any

import nest
import numpy as np

from cortico.backends.cells.template_in_time import (
    Populations,
    Rest,
    by_name,
    by_number,
    existing,
    run_by_steps,
    steps_of_run,
)
from cortico.backends.nest.template.network import (  # noqa: F401, for the check of ranges
    BLOCK,
    EXPONENT,
    LARGEST,
    NEVER,
    SMALLEST,
)

TOLERANCE = 1e-9  # of the largest rate of a population, by which nothing moves that is at rest
AT_ONCE = 1e-3  # steps, which is the time constant of a neuron that is where it goes within one
TRANSFERS: Any = ...  # transfer function to a model of NEST and its parameters


class NetworkInTime(Populations):
    """Neurons, made population by population, and connections between them, made when the network first runs."""

    def __init__(self, dt, threads, duration, token_ms, prospective):
        super().__init__()
        nest.ResetKernel()
        nest.verbosity = nest.VerbosityLevel.ERROR
        if nest.num_processes > 1:
            raise RuntimeError("this script reads the rates of all neurons: use threads, not MPI")
        self.steps = steps_of_run(duration, token_ms, dt)
        self.dt_ms, self.threads, self.prospective = dt, threads, prospective
        self.synapses, self.watchers, self.made = [], [], False

    def population(
        self,
        name,
        *axes,
        tau,
        transfer="identity",
        multiply={},
        where=True,
        integrates=None,
    ):
        """Add the cells of a population, or drive those there anew; their numbers, -1 where there is none."""
        at_once = self.prospective and not integrates
        known = AT_ONCE * self.dt_ms if at_once else tau, transfer, integrates
        numbers = self.number(name, axes, where, lambda first, count: Cells(first, count, *known))
        if name in self.cells:
            (drives,) = multiply.values()
            self.cells[name].drive(self.over_cells(name, axes, drives))
        return numbers

    def connect(self, pre, post, compartment, weight, where=True, delay=1):
        """Add the synapses between cells that exist; what they bring was handed on `delay` steps before."""
        if self.made:
            return
        pre, post, weight = existing(pre, post, weight, where)
        if pre.size:
            self.synapses.append((pre, post, weight, delay))

    def make(self):
        """Make neurons and connections, and let what cells start from arrive everywhere."""
        longest = max((delay for *_, delay in self.synapses), default=1)
        dt = self.dt_ms
        nest.set(
            resolution=dt,
            min_delay=dt,
            max_delay=max(longest, 2) * dt,
            local_num_threads=self.threads,
            use_wfr=False,
        )
        for cells in self.cells.values():
            cells.make()
        nodes = np.concatenate([cells.nodes for cells in self.cells.values()])
        for pre, post, weight, delay in self.synapses:
            for start in range(0, len(pre), BLOCK):
                block = slice(start, start + BLOCK)
                synapses = {
                    "synapse_model": "rate_connection_instantaneous",
                    "weight": np.array(weight[block]),
                }
                if delay > 1:
                    late = np.full(len(pre[block]), (delay - 1) * dt)
                    synapses |= {"synapse_model": "rate_connection_delayed", "delay": late}
                nest.Connect(nodes[pre[block]], nodes[post[block]], "one_to_one", synapses)
        self.made = True
        nest.Simulate((longest + 1) * dt)
        for cells in self.cells.values():
            cells.collection.tau = cells.tau

    def run(self):
        """Run for the time given or until rest; returns what each cell hands on, by number, and 0 for -1."""
        if self.cells and not self.made:
            self.make()
        longest = max((delay for *_, delay in self.synapses), default=1)
        tau = max((cells.tau for cells in self.cells.values()), default=0)
        if self.steps and not self.watchers:
            nest.Simulate(self.steps * self.dt_ms)
            return by_number(by_name(self))
        return run_by_steps(self, Rest(TOLERANCE, longest, tau, self.dt_ms))

    def step(self):
        """Run one step."""
        nest.Simulate(self.dt_ms)

    def handed(self):
        """The first cell of each population, and what its cells hand on now."""
        return {name: (cells.first, cells.rates()) for name, cells in self.cells.items()}


class Cells:
    """A population: its neurons in NEST, and what drives them."""

    def __init__(self, first, count, tau, transfer, integrates):
        self.first, self.count, self.tau = first, count, tau
        self.model, fixed = TRANSFERS[transfer]
        self.linear, self.bend = transfer == "identity", EXPONENT if transfer == "exp" else 0.0
        self.fixed = {"sigma": 0.0, "tau": NEVER, **fixed}
        if integrates:
            rate, start = integrates
            self.tau, self.fixed = 1 / rate, {**self.fixed, "lambda": 0.0, "rate": start}
        self.collection: Any = None

    def drive(self, values):
        """Let these values drive the cells from now on."""
        self.drives = values
        if self.collection is not None:
            self.set_drives()

    def set_drives(self):
        """Tell NEST what drives the neurons."""
        values = self.drives if self.linear else self.bend - self.drives
        setattr(self.collection, "mu" if self.linear else "theta", values.tolist())

    def make(self):
        """Make the neurons, which are held at the rates that they start from."""
        self.collection = nest.Create(self.model, self.count, self.fixed)
        self.nodes = np.array(self.collection.tolist())
        self.set_drives()

    def rates(self):
        """What the neurons fire now."""
        return np.array(self.collection.get("rate")).reshape(-1)
