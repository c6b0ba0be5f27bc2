"""A NEST network to which tokens are presented one after another."""

import inspect

import nest
import numpy as np

from cortico.backends.cells.presented.template import edges, over_cells, there_at
from cortico.backends.cells.template import numbered
from cortico.backends.nest.template.network import EXPONENT, NEVER, Network


class NetworkOfTokens(Network):
    """Units and synapses whose drives and weights change with the token, and units that store.

    At each token all units but those that store start anew from 0, and are let go stage by stage. A unit that
    stores has no leak, X' = what it hears, and is let go for one step, when that has settled.
    """

    def __init__(self, dt, tau, tolerance, threads):
        super().__init__(dt, tau, tolerance, threads)
        self.presentation, self.scales = 0, []
        self.alive, self.drives, self.weights, self.memories = [], [], [], {}

    def population(
        self,
        name,
        *axes,
        transfer="identity",
        multiply={},
        divide={},
        where=True,
        alive=True,
        stores={},
    ):
        """Make the units of each cell; what drives it and whether it is `alive` may depend on the presentation.

        `stores`: of compartments that store, the first presentation in which they do, and in how many.
        """
        first = self.somas.size
        count = numbered(first, axes, where)[1]
        memories = {d: self.memory(count, *when) for d, when in stores.items() if count}
        silent = [dict.fromkeys(drives, 0.0) for drives in (multiply, divide)]
        numbers = super().population(
            name, *axes, transfer=transfer, multiply=silent[0], divide=silent[1], where=where
        )
        place = np.maximum(numbers[axes] - first, -1)
        self.alive.append(over_cells(count, (place, alive)))
        if count:
            _, sums = self.populations[-1]
            for dendrite, values in {**multiply, **divide}.items():
                plain = sums[dendrite][0] == self.somas[first]
                fires = transfer if plain else "identity"
                self.drive(sums[dendrite], fires, over_cells(count, (place, values)))
            for dendrite, memory in memories.items():
                self.wire(memory, sums[dendrite], 1.0)
                self.memories[sums[dendrite][0]] = memory
        return numbers

    def drive(self, units, fires, values):
        """Keep what drives units that fire so: a row for each presentation, or one for all."""
        name, own = "mu", values
        if fires != "identity":
            name, own = "theta", (EXPONENT if fires == "exp" else 0.0) - values
        self.drives.append((units, name, own))

    def memory(self, count, first, presentations):
        """Units that add up what they hear in so many presentations from a first one on."""

        def gate():
            self.run()
            if first <= self.presentation < first + presentations:
                nest.NodeCollection(units.tolist()).set({"tau": self.dt})
                nest.Simulate(self.dt)
            return {"tau": NEVER}

        units = super().create("lin_rate_ipn", count, gate, left=0.0, **{"lambda": 0.0})
        return units

    def create(self, model, count, parameters=None, left=None, **fixed):
        """Units as ever; remembers which scales are to be set to what arrives at the next token."""
        if parameters:
            found = inspect.getclosurevars(parameters).nonlocals.values()
            self.scales += [each for each in found if hasattr(each, "cache_clear")]
        return super().create(model, count, parameters, left, **fixed)

    def connect(self, pre, post, compartment, weight, where=True, stored=False):
        """Make the synapses between cells that exist, onto what is `stored` or what acts at once."""
        pre, post, weights = edges(pre, post, weight, where)
        if not pre.size:
            return
        cells, sums = next(found for found in self.populations if post[0] in found[0])
        units = sums[compartment]
        if stored:
            units = self.memories[units[0]]
        sources, targets = self.somas[pre], units[post - cells.start]
        if len(weights) == 1:
            self.wire(sources, targets, weights[0])
        else:
            self.change(sources, targets, weights)

    def change(self, pre, post, weights):
        """Synapses whose weights change, which are a model of their own; a row for each presentation."""
        self.heard[self.stage_of(post[0])].add(self.stage_of(pre[0]))
        name = f"changing_{len(self.weights)}"
        nest.CopyModel("rate_connection_delayed", name)
        delays = np.full(len(pre), self.dt)
        synapses = {"synapse_model": name, "weight": np.zeros(len(pre)), "delay": delays}
        nest.Connect(pre, post, "one_to_one", synapses)
        self.weights.append((name, weights[:, np.lexsort((post, pre))]))

    def settle_each(self, presentations):
        """Present token after token; returns the rates at the end of each, and which cells are there.

        Both have a row for each presentation and a column for each number, the last for -1.
        """
        # behind the last Connect, each of which puts synapses in order anew
        self.weights = [self.in_order(*each) for each in self.weights]
        rates = np.array([self.present(number) for number in range(presentations)])
        there = there_at(presentations, self.alive)
        return np.where(there, rates, 0.0), there

    def in_order(self, name, weights):
        """The synapses of a model, and their weights in the same order, from those by source and target."""
        made = nest.GetConnections(synapse_model=name)
        ends = np.atleast_1d(made.target), np.atleast_1d(made.source)
        return made, weights[:, np.argsort(np.lexsort(ends))]

    def present(self, number):
        """The rates after a presentation."""
        self.presentation = number
        for units, name, values in self.drives:
            own = values[number % len(values)].tolist()
            nest.NodeCollection(units.tolist()).set({name: own if len(own) > 1 else own[0]})
        for made, values in self.weights:
            made.set(weight=values[number % len(values)].tolist())
        if number:
            self.silence()
        return super().settle()

    def silence(self):
        """Let all units wait anew, but those that store; what is on its way passes."""
        kept = {unit for units in self.memories.values() for unit in units.tolist()}
        waiting = [u for units, *_ in self.stages for u in units.tolist() if u not in kept]
        nest.NodeCollection(waiting).set({"tau": NEVER, "rate": 0.0})
        nest.Simulate(self.dt)
        for scale in self.scales:
            scale.cache_clear()
