"""Monitors of chosen cells."""

import numpy as np
from brian2 import SpikeMonitor, StateMonitor, ms

from cortico.backends.recordings.template import recorded_rates, recorded_spikes


class Recorder:
    """Records the rates of chosen cells each so many ms, and spikes of the somas that carry cells."""

    def __init__(self, network, populations, interval, rates, spikes):
        self.populations, self.interval, self.rates, self.spikes = (
            populations,
            interval,
            rates,
            spikes,
        )
        self.courses = {
            name: StateMonitor(populations[name][0], "r", record=numbers, dt=interval * ms)
            for name, (_, numbers) in rates.items()
        }
        self.network, self.first, self.fired = network, 0.0, {}
        network.add(*self.courses.values())
        network.recorder = self

    def watch(self, network):
        """Record what all somas fire that were made for groups of cells with chosen ones."""
        self.first = float(network.t / ms)
        somas = {each.name: each for each in network.objects}
        for name in self.spikes:
            group = self.populations[name][0].name
            if group not in self.fired:
                self.fired[group] = SpikeMonitor(somas[f"{group}_somas"])
                network.add(self.fired[group])

    def arrays(self):
        """What was recorded, by name."""
        times = [np.asarray(monitor.t / ms) for monitor in self.courses.values()]
        rates = {name: np.asarray(monitor.r).T for name, monitor in self.courses.items()}
        spikes = {name: self.fired_by(name, numbers) for name, (_, numbers) in self.spikes.items()}
        window = self.first, float(self.network.t / ms)
        return recorded_rates(
            times[0] if times else [], self.interval, rates, self.rates
        ) | recorded_spikes(window, spikes, self.spikes)

    def fired_by(self, name, numbers):
        """The spikes of a population's chosen cells: times, rows of the cells, somas; and how many somas each has."""
        group = self.populations[name][0]
        monitor = self.fired[group.name]
        count = monitor.source.N // group.N
        row = np.full(group.N, -1)
        row[numbers] = np.arange(len(numbers))
        cell, soma = np.divmod(np.asarray(monitor.i), count)
        own = row[cell] >= 0
        return np.asarray(monitor.t / ms)[own], row[cell[own]], soma[own], count
