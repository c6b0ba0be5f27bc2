"""Circuit {title} as a Nengo model that runs in time, compiled by cortico.

    python attention_nengo.py inputs.npz -o outputs.npz --dt 0.0001 --duration 200

A population is a node, whose input are the currents of all its compartments. In each step a cell comes closer to
f(product of its currents / product of its shunts), exactly as  tau dr/dt = -r + f(…)  for an input that holds; cells
that integrate follow  dr/dt = rate f(…)  by Euler's method. A cell hands on r, a prospective one r + tau dr/dt, which
is f(…). A connection's synapse hands on what it heard so many steps before, one at least.

Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

import weakref
from typing import Any

import nengo
import numpy as np

from cortico.backends.cells.template_in_time import (
    Populations,
    Rest,
    existing,
    require_finite,
    run_by_steps,
    steps_of_run,
)

TOLERANCE = 1e-9  # of the largest rate of a population, by which nothing moves that is at rest
TRANSFERS: Any = ...  # transfer function to a function of NumPy


class NetworkInTime(Populations):
    """The cells and synapses of the circuit; the Nengo model is made when it first runs."""

    def __init__(self, dt, duration, token_ms, prospective):
        super().__init__()
        self.dt, self.dt_ms, self.prospective = dt, 1000 * dt, prospective
        self.steps = steps_of_run(duration, token_ms, self.dt_ms)
        self.simulator: Any = None
        self.synapses, self.watchers = [], []

    def population(
        self,
        name,
        *axes,
        tau,
        transfer="identity",
        multiply={},
        divide={},
        where=True,
        integrates=None,
    ):
        """Add the cells of a population, or drive those there anew; their numbers, -1 where there is none."""
        drives = {**multiply, **divide}
        divides = np.array([part in divide for part in drives])
        move = Integrated(*integrates) if integrates else Lagging(tau, self.prospective)
        known = list(drives), divides, transfer, move, self.dt_ms
        numbers = self.number(name, axes, where, lambda first, count: Cells(first, count, *known))
        if name in self.cells:
            given = [self.over_cells(name, axes, values) for values in drives.values()]
            self.cells[name].drives = np.stack(given, axis=1)
        return numbers

    def connect(self, pre, post, compartment, weight, where=True, delay=1):
        """Add the synapses between cells that exist; what they bring was handed on `delay` steps before."""
        if self.simulator:
            return
        pre, post, weight = existing(pre, post, weight, where)
        if pre.size:
            source, target = self.cells_of(pre[0]), self.cells_of(post[0])
            part = target.parts.index(compartment)
            rows = (post - target.first) * len(target.parts) + part
            self.synapses.append((source, target, rows, pre - source.first, weight, delay))

    def make(self):
        """Make the model: a node for each population and its drives, a connection for each projection."""
        with nengo.Network() as model:
            for name, cells in self.cells.items():
                shape = cells.drives.size, cells.count
                cells.node = nengo.Node(cells.step, *shape, label=name)
                drive = nengo.Node(lambda t, cells=cells: cells.drives.ravel())
                nengo.Connection(drive, cells.node, synapse=None)
            for source, target, rows, columns, weights, delay in self.synapses:
                shape = target.drives.size, source.count
                sparse = nengo.Sparse(shape, indices=np.stack([rows, columns], 1), init=weights)
                nengo.Connection(source.node, target.node, transform=sparse, synapse=Delay(delay))
                rests = np.bincount(rows, weights * source.move.start, minlength=shape[0])
                target.rests = target.rests + rests.reshape(target.drives.shape)
        self.simulator = nengo.Simulator(model, dt=self.dt, progress_bar=False)
        weakref.finalize(self, self.simulator.close)

    def run(self):
        """Run for the time given or until rest; returns what each cell hands on, by number, and 0 for -1."""
        if not self.simulator and self.cells:
            self.make()
        delay = max((delay for *_, delay in self.synapses), default=1)
        tau = max((cells.move.tau for cells in self.cells.values()), default=0)
        return run_by_steps(self, Rest(TOLERANCE, delay, tau, self.dt_ms))

    def step(self):
        """Run one step."""
        self.simulator.step()

    def handed(self):
        """The first cell of each population, and what its cells hand on now."""
        return {name: (cells.first, cells.handed) for name, cells in self.cells.items()}


class Cells:
    """A population, a node of Nengo: cells first … first + count - 1, a current for each compartment of each."""

    def __init__(self, first, count, parts, divides, transfer, move, dt):
        self.first, self.count, self.parts, self.divides = first, count, parts, divides
        self.transfer, self.move, self.dt = transfer, move, dt
        self.r = self.handed = np.full(count, move.start)
        self.drives = np.zeros((count, len(parts)))
        self.node: Any = None  # of Nengo
        self.rests = 0.0  # what is heard of cells that are where they start, which Nengo's synapses leave out

    def step(self, t, currents):
        """What cells hand on after a step, less what they handed on at the start."""
        currents = currents.reshape(self.drives.shape) + self.rests
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is told by name
            product = np.prod(currents[:, ~self.divides], axis=1)
            divisor = np.prod(currents[:, self.divides], axis=1)
            quotient = np.divide(product, divisor, out=np.zeros_like(product), where=divisor != 0)
            goal = TRANSFERS[self.transfer](quotient)
            self.r, self.handed = self.move(self.r, goal, self.dt)
        require_finite({self.node.label: self.handed})
        return self.handed - self.move.start


class Lagging:
    """Cells with a membrane time constant in ms: r after a step, and what they hand on."""

    start = 0.0

    def __init__(self, tau, prospective):
        self.tau, self.prospective = tau, prospective

    def __call__(self, r, goal, dt):
        r = goal + (r - goal) * np.exp(-dt / self.tau)
        return r, goal if self.prospective else r


class Integrated:
    """Cells that integrate, by so much per ms and from a start."""

    tau = 0.0

    def __init__(self, rate, start):
        self.rate, self.start = rate, start

    def __call__(self, r, goal, dt):
        r = r + self.rate * dt * goal
        return r, r


class Delay(nengo.synapses.Synapse):  # type: ignore[misc]
    """Hands on what it heard `steps` before; one of them is Nengo's own."""

    steps = nengo.params.IntParam("steps", low=1)

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def make_state(self, shape_in, shape_out, dt, dtype=None, y0=0):
        """What is under way, and the place of the oldest."""
        return {"line": np.zeros((self.steps - 1, *shape_out)), "place": np.zeros(1, int)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        """A function that takes what is heard and returns what arrives."""
        line, place = state["line"], state["place"]

        def step(t, heard):
            if not len(line):
                return heard
            arrives = line[place[0]].copy()
            line[place[0]] = heard
            place[0] = (place[0] + 1) % len(line)
            return arrives

        return step
