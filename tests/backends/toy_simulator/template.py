"""Circuit {title} as a network of leaky cells, compiled by cortico.

    python attention_toy.py inputs.npz -o outputs.npz

Each cell follows tau dr/dt = -r + f(product of its compartments / product of those that divide), and x / 0
is 0. A signal passes at most {chain} cells one after another.

{tensors}
"""

from typing import Any

import numpy as np

from cortico.backends.cells.template import by_cell, numbered, settling_steps

TRANSFERS: Any = ...  # transfer function to a function of NumPy


class Network:
    """Cells, numbered in the order in which they are made, and synapses onto their compartments."""

    def __init__(self, dt, tau, tolerance):
        self.part, self.tolerance = (
            min(dt / tau, 1.0),
            tolerance,
        )  # of its way that a cell goes in a step
        self.size, self.populations = 0, []

    def population(self, name, *axes, transfer="identity", multiply={}, divide={}, where=True):
        """Make the cells of a population; returns their numbers, -1 where there is none."""
        numbers, count = numbered(self.size, axes, where)
        place = np.maximum(numbers[axes] - self.size, -1)
        drives = {c: by_cell(place, count, values) for c, values in {**multiply, **divide}.items()}
        self.populations.append((slice(self.size, self.size + count), drives, divide, transfer, []))
        self.size += count
        return numbers

    def connect(self, pre, post, compartment, weight, where=True):
        """Make the synapses between cells that exist, onto the population made last."""
        pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
        exists = where & (pre >= 0) & (post >= 0)
        own, *_, synapses = self.populations[-1]
        synapses.append((compartment, pre[exists], post[exists] - own.start, weight[exists]))

    def settle(self, chain):
        """Run until the last cells of a chain are at rest; rates by number, 0 for -1."""
        rates = np.zeros(self.size + 1)
        for _ in range(settling_steps(chain, self.part, self.tolerance)):
            goals = [self.goal(rates, *population) for population in self.populations]
            rates[:-1] = (1 - self.part) * rates[:-1] + self.part * np.concatenate(goals)
        return rates

    def goal(self, rates, own, drives, divide, transfer, synapses):
        """Where the rates of a population go."""
        currents = {compartment: drive.copy() for compartment, drive in drives.items()}
        for compartment, pre, post, weight in synapses:
            np.add.at(currents[compartment], post, weight * rates[pre])
        product = np.ones(own.stop - own.start)
        for compartment, current in currents.items():
            divides = compartment in divide
            live = current != 0
            product *= (
                np.divide(1.0, current, out=0.0 * current, where=live) if divides else current
            )
        return TRANSFERS[transfer](product)
