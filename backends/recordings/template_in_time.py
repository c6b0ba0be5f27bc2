"""Who records what networks hand on that a script runs step by step."""

import numpy as np

from cortico.backends.recordings.template import recorded_rates


class Recorder:
    """Records what chosen cells hand on, each so many ms, from the start on.

    `network` has its step `dt_ms`, those who look on as `watchers`, and tells what is handed on, by population.
    """

    def __init__(self, network, interval, rates, spikes):
        self.network, self.interval, self.rates = network, interval, rates
        self.every = round(interval / network.dt_ms)
        self.times, self.courses = [], {name: [] for name in rates}
        network.watchers.append(self.watch)

    def watch(self, step):
        """Keep the rates after so many steps, if it is time."""
        if step % self.every:
            return
        self.times.append(step * self.network.dt_ms)
        handed = self.network.handed()
        for name, (_, numbers) in self.rates.items():
            if name in handed:
                first, rates = handed[name]
                self.courses[name].append(rates[numbers - first])

    def arrays(self):
        """What was recorded, by name."""
        rates = {name: np.array(course) for name, course in self.courses.items() if course}
        return recorded_rates(self.times, self.interval, rates, self.rates)
