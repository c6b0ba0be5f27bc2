"""A NEURON model to which tokens are presented one after another."""

import numpy as np
from neuron import h as nrn

from cortico.backends.cells.presented.template import (
    edges,
    over_cells,
    presentation_course,
    there_at,
)
from cortico.backends.neuron.template.network import AREA, Network, pc


class NetworkOfTokens(Network):
    """Cells and synapses whose drives and weights change with the token, and synapses that store.

    `chains` are the most compartments that a signal passes: in all, up to what is stored, from a memory on. A
    token stays until all has settled, or for `token_ms`.
    """

    def __init__(self, dt, tau, tolerance, token_ms, chains):
        super().__init__(dt, tau, tolerance)
        self.token_ms, self.chains = token_ms, chains
        self.alive, self.drives, self.weights, self.gates = [], [], [], []

    def population(self, name, *axes, multiply={}, divide={}, alive=True, stores={}, **known):
        """Make a cell per index; what drives it, and whether it is `alive`, may depend on the presentation.

        `stores`: of dendrites that store, the first presentation in which they do, and in how many.
        """
        silent = (dict.fromkeys(drives, 0.0) for drives in (multiply, divide))
        first = self.size
        numbers = super().population(
            name, *axes, **dict(zip(("multiply", "divide"), silent)), **known
        )
        count, place = self.size - first, np.maximum(numbers[axes] - first, -1)
        self.alive.append(over_cells(count, (place, alive)))
        for number in range(first, self.size):
            if number in self.cells:
                self.cells[number].stores = stores
        for dendrite, values in {**multiply, **divide}.items():
            for number, own in enumerate(over_cells(count, (place, values)).T, first):
                if number in self.cells:
                    leak = self.cells[number].dendrites[dendrite](0.5).fastpas
                    self.drives.append((leak, own.tolist()))
        return numbers

    def connect(self, pre, post, dendrite, weight, where=True, stored=False):
        """Make the synapses between cells that exist, those that are `stored` or those that act at once."""
        pre, post, weights = edges(pre, post, weight, where)
        for source, target, own in zip(pre.tolist(), post.tolist(), weights.T):
            if target not in self.cells:
                continue
            cell = self.cells[target]
            if stored:
                synapse = nrn.StoringSynapse(cell.dendrites[dendrite](0.5))
                self.gates.append((synapse, *cell.stores[dendrite]))
            else:
                synapse = nrn.RateSynapse(cell.dendrites[dendrite](0.5))
            self.weights.append((synapse, (own * cell.leak * AREA / 100).tolist()))  # uS
            pc.target_var(synapse, synapse._ref_r, source)
            self.synapses.append(synapse)

    def settle_each(self, presentations):
        """Present token after token; returns the rates at the end of each, and which cells are there.

        Both have a row for each presentation and a column for each number, the last for -1.
        """
        part = nrn.dt / (nrn.dt + self.slowest)  # of its way that a compartment goes in a step
        through, before, after = self.chains
        course = presentation_course(
            nrn.dt, part, self.tolerance, through, before, after, self.token_ms
        )
        pc.setup_transfer()
        nrn.finitialize(0)
        self.moves = part * self.tolerance  # by so much at most in a step, who is at rest
        rates = np.array([self.present(number, *course) for number in range(presentations)])
        there = there_at(presentations, self.alive)
        return np.where(there, rates, 0.0), there

    def present(self, number, before, opens, after):
        """The rates after a presentation: what is stored settles, the gates open, what reads it settles."""
        if self.token_ms is None:  # else a divisor that should be 0 would fall and never be
            nrn.finitialize(0)
        for leak, values in self.drives:
            leak.e = values[number % len(values)]
        for synapse, values in self.weights:
            synapse.w = values[number % len(values)]
        writing = [
            synapse for synapse, first, count in self.gates if first <= number < first + count
        ]
        self.rest(before)
        for synapse in writing:
            synapse.gate = 1 / opens  # all of what is stored of a token
        self.advance(opens)
        for synapse in writing:
            synapse.gate = 0
        self.rest(after)
        rates = self.rates()
        if not np.isfinite(rates).all():
            raise FloatingPointError("a voltage is NaN or infinite")
        return rates

    def rest(self, steps):
        """Run for so many steps, and on until all is at rest where a token stays until then."""
        self.advance(steps)
        if self.token_ms is not None or not steps:
            return
        for _ in range(20):
            if self.distance() <= self.moves:
                return
            self.advance(steps)
        raise RuntimeError(f"not settled after {nrn.t} ms")

    def advance(self, steps):
        """Run for so many steps."""
        for _ in range(steps):
            nrn.fadvance()
