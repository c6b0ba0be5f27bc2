"""What scripts of networks that run in time have in common: `cortico.backends.linking` copies what is used.

A template of a simulator has a class `NetworkInTime(…, duration, token_ms, prospective)`, used as

    numbers = network.population("core", h, i, …, integrates=(rate, start))
    network.connect(core[h, i], reticular[h], "basal", w, delay=steps)
    rates = network.run()

Delays are in steps, one where a projection has none. The last line runs for a stimulus, for the duration, or until the
network is at rest, and gives what each cell hands on then, by number. The network is called so again for the next stimulus: then `population` drives the
cells that are there anew, and `connect` does nothing. So it is for the next example of a batch, where the
network has a method `restart`, which lets all be as it was at the start; else another is made.
Where something is recorded there is a `Recorder`, as without time; what it records is what cells hand on.
"""

from typing import Any

import numpy as np

from cortico.backends.cells.template import by_cell, command_line, numbered, stacked
from cortico.backends.template import whole_steps

STRETCH = (
    10  # membrane time constants, and parts of a run, in which nothing may move that is at rest
)
PATIENCE = 20  # such stretches after which a network that still moves is given up
new_network: Any = ...  #: the network, which has no cells yet
simulate: Any = ...


def main():
    """Run each example from silence, or one stimulus after another on one network; write what comes out."""
    batch, examples, output, options = command_line()
    weights = options.pop("weights")
    require_one_stream([batch], options["duration"], options["token_ms"])
    network, results = None, []
    for example in examples:
        if options["token_ms"] is None:
            network = at_the_start(network)
        network = network or new_network(**options)
        results.append(simulate(**example, weights=weights, **options, network=network))
    np.savez(output, **stacked(results, batch))


def at_the_start(network):
    """A network with all as it was at the start, where it has a way back; else None, and another is made."""
    if not hasattr(network, "restart"):
        return None
    network.restart()
    return network


def require_one_stream(leading, duration, token_ms):
    """ValueError where inputs that change have no axis of time, others too, or do not fill the duration.

    `leading` are the shapes of the axes that inputs have beyond those of one stimulus.
    """
    if token_ms is None:
        return
    found = sorted({axes for axes in leading if axes})
    if len(found) != 1 or len(found[0]) != 1:
        raise ValueError(
            "token_ms needs inputs with one first axis, which is time and as long in all; found "
            f"{', '.join(map(str, found)) or 'none'}"
        )
    (count,) = found[0]
    if duration is not None and not np.isclose(duration, count * token_ms):
        raise ValueError(
            f"duration is {duration:g} ms, but {count} stimuli of {token_ms:g} ms take "
            f"{count * token_ms:g} ms: leave it out"
        )


def delays_in_steps(delays, dt):
    """Projection to the steps that a signal takes, from times in ms."""
    return {
        name: whole_steps(f"projection {name!r} has a delay of {time:g} ms", time, dt)
        for name, time in delays.items()
    }


def steps_of_run(duration, token_ms, dt):
    """The steps of a run, or of a stimulus; None for one until rest."""
    for name, time in (("token_ms", token_ms), ("duration", duration)):
        if time is not None:
            return whole_steps(f"{name} is {time:g} ms", time, dt)
    return None


def require_finite(rates):
    """FloatingPointError for rates, arrays by population, that are NaN or infinite."""
    for name, now in rates.items():
        if not np.isfinite(now).all():
            raise FloatingPointError(
                f"{name} has a rate that is NaN or infinite: does a loop diverge, does something divide by "
                "nearly nothing on the way, or is dt too long?"
            )


def existing(pre, post, weight, where):
    """Both cells and the weight of each synapse that there is, as three vectors: those of cells that exist."""
    pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
    exists = where & (pre >= 0) & (post >= 0)
    return pre[exists], post[exists], weight[exists]


def by_name(network):
    """What the cells of each population hand on now."""
    return {name: rates for name, (_, rates) in network.handed().items()}


def by_number(rates):
    """Rates by population as one vector, by number, and 0 for -1. FloatingPointError for what is not finite."""
    require_finite(rates)
    return np.concatenate([*rates.values(), [0.0]])


def run_by_steps(network, rest):
    """Run for the time given or until rest; returns what each cell hands on, by number, and 0 for -1.

    `network` has its `cells`, how many `steps` to run (None for those until rest), who looks on as `watchers`, a method
    `step`, and `handed`, which tells the first cell of each population and what its cells hand on now.
    """
    done = 0
    while network.cells and (network.steps is None or done < network.steps):
        for watch in network.watchers:
            watch(done)
        network.step()
        done += 1
        if network.steps is None and rest.has_come(done, by_name(network)):
            break
    return by_number(by_name(network))


class Populations:
    """The cells of a network: their numbers, and what a simulator has of each population, which knows `first` and `count`."""

    def __init__(self):
        self.numbers, self.cells, self.size = {}, {}, 0

    def number(self, name, axes, where, make):
        """Numbers of a population's cells, -1 where there is none; `make(first, count)` makes what is new and has cells."""
        if name not in self.numbers:
            self.numbers[name], count = numbered(self.size, axes, where)
            if count:
                self.cells[name] = make(self.size, count)
            self.size += count
        return self.numbers[name]

    def over_cells(self, name, axes, values):
        """A value for each cell of a population that has cells, from values over its axes."""
        cells = self.cells[name]
        place = np.maximum(self.numbers[name][axes] - cells.first, -1)
        return by_cell(place, cells.count, values)

    def cells_of(self, number):
        """The population of a cell."""
        return next(c for c in reversed(self.cells.values()) if c.first <= number)


class Rest:
    """Tells when a network is at rest. One rule for all simulators.

    It is when no rate has moved by more than `tolerance`, of the largest of its population, for as long as the
    longest delay and ten membrane time constants take, and for the last tenth of the run.
    """

    def __init__(self, tolerance, delay, tau, dt):
        """`delay` is the longest in steps, `tau` the longest membrane time constant in ms."""
        self.tolerance, self.dt = tolerance, dt
        self.stretch = delay + int(np.ceil(STRETCH * tau / dt))
        self.longest = PATIENCE * self.stretch  # steps after which it is given up
        self.last, self.name, self.base = 0, "", {}

    def has_come(self, step, rates):
        """Whether rates, arrays by population after so many steps, are at rest; RuntimeError when they never are."""
        require_finite(rates)
        for name, now in rates.items():
            before, size = self.base.get(name), np.abs(now).max(initial=0.0)
            if before is None or np.abs(now - before).max(initial=0.0) > self.tolerance * size:
                self.base[name], self.last, self.name = np.array(now), step, name
        if step - self.last >= max(self.stretch, step // STRETCH):
            return True
        if step >= self.longest:
            raise RuntimeError(
                f"not at rest after {step * self.dt:g} ms: rates of {self.name} still move by more than "
                f"{self.tolerance:g} of the largest; does it oscillate? duration says how long to run"
            )
        return False
