"""Circuit {title} as a Brian2 network that runs in time, compiled by cortico.

    python attention_brian2.py inputs.npz -o outputs.npz --duration 200

Cells follow  tau dr/dt = -r + f(product of their dendritic currents / product of their shunts);  those that
integrate follow  dr/dt = rate f(…)  by Euler's method. A cell hands on r, a prospective one r + tau dr/dt, which
is f(…). Every synapse hears what was handed on a step before. Synapses of Brian2 delay events and not rates, so
what takes longer lies on a delay line: a group with a place for each cell and step, along which rates move.

Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

from typing import Any

import numpy as np
from brian2 import Network, NetworkOperation, NeuronGroup, StateMonitor, Synapses, linked_var, ms

from cortico.backends.brian2.template.network import connect, error_function, prepare, start
from cortico.backends.cells.template_in_time import (
    Populations,
    Rest,
    by_number,
    existing,
    steps_of_run,
)
from cortico.backends.recordings.template import recorded_rates

TRANSFERS: Any = ...  # transfer function to its text in Brian2's language


class NetworkInTime(Populations):
    """The cells and synapses of a circuit; Brian2's objects are made when it first runs."""

    def __init__(self, target, method, dt, tau, tolerance, duration, token_ms, prospective):
        super().__init__()
        self.steps = steps_of_run(duration, token_ms, dt)
        if target == "cpp_standalone" and (token_ms is not None or duration is None):
            raise ValueError(
                "target cpp_standalone runs once and for a time known beforehand: it needs duration, "
                "and has no token_ms"
            )
        prepare(target, dt)
        self.target, self.method, self.dt, self.tau = target, method, dt, tau
        self.tolerance, self.prospective = tolerance, prospective
        self.made: Any = None
        self.watchers = []

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
        parts = {**dict.fromkeys(multiply, False), **dict.fromkeys(divide, True)}
        known = self.tau or tau, transfer, parts, integrates, self.prospective
        numbers = self.number(name, axes, where, lambda first, count: Cells(first, count, *known))
        if name in self.cells:
            for part, values in {**multiply, **divide}.items():
                self.cells[name].drive(part, self.over_cells(name, axes, values))
        return numbers

    def connect(self, pre, post, compartment, weight, where=True, delay=1):
        """Add the synapses between cells that exist; what they bring was handed on `delay` steps before."""
        if self.made:
            return
        pre, post, weight = existing(pre, post, weight, where)
        if pre.size:
            source, target = self.cells_of(pre[0]), self.cells_of(post[0])
            source.longest = max(source.longest, delay)
            ends = pre - source.first, post - target.first
            target.synapses.append((source, compartment, *ends, weight, delay))

    def make(self):
        """Make Brian2's objects: groups and delay lines first, then the synapses between them."""
        objects = []
        for cells in self.cells.values():
            objects += cells.make(self.method)
        for cells in self.cells.values():
            objects += cells.wire()
        self.made = Network(objects)
        for watch in self.watchers:
            self.made.add(watch())

    def run(self):
        """Run for the time given or until rest; returns what each cell hands on, by number, and 0 for -1."""
        if self.cells:
            if not self.made:
                self.make()
            if self.steps is None:
                self.settle()
            else:
                start(self.made, self.target, self.steps * self.dt)
        return by_number(self.rates())

    def settle(self):
        """Run until no rate moves any more."""
        delay = max(cells.longest for cells in self.cells.values())
        tau = max(cells.tau for cells in self.cells.values())
        rest, done = Rest(self.tolerance, delay, tau, self.dt), 0

        def look():
            nonlocal done
            done += 1
            if rest.has_come(done, self.rates()):
                self.made.stop()

        watching = NetworkOperation(look, when="end")
        self.made.add(watching)
        start(self.made, self.target, rest.longest * self.dt)
        self.made.remove(watching)

    def rates(self):
        """What the cells of each population hand on now."""
        return {name: np.array(cells.group.handed[:]) for name, cells in self.cells.items()}


class Cells:
    """A population: its group of neurons, its delay line, and the synapses onto it."""

    def __init__(self, first, count, tau, transfer, parts, integrates, prospective):
        self.first, self.count, self.tau, self.transfer = first, count, tau, transfer
        self.parts, self.integrates = parts, integrates  # compartment to whether it divides
        self.prospective = prospective and integrates is None
        self.drives, self.synapses, self.group, self.longest = {}, [], None, 1

    def drive(self, part, values):
        """Let these values drive a compartment from now on."""
        self.drives[part] = values
        if self.group is not None:
            setattr(self.group, f"drive_{part}", values)

    def equations(self):
        """Those of the neurons, in Brian2's language."""
        own = {part: [f"drive_{part}"] for part in self.parts}
        for number, (_, part, *_) in enumerate(self.synapses):
            own[part].append(f"heard_{number}")
        goal = "*".join(f"I_{part}" for part, divides in self.parts.items() if not divides) or "1"
        for part, divides in self.parts.items():
            if divides:  # x / 0 is 0
                goal += f"*int(I_{part} != 0)/(I_{part} + int(I_{part} == 0))"
        moves = "rate*goal : 1" if self.integrates else "(goal - r) / tau : 1"
        return "\n".join(
            [
                f"dr/dt = {moves}",
                f"goal = {TRANSFERS[self.transfer].format(x=goal)} : 1",
                "handed : 1" if self.prospective else "handed = r : 1",
                "rate : Hz (constant)" if self.integrates else "tau : second (constant)",
                *(f"I_{part} = {' + '.join(terms)} : 1" for part, terms in own.items()),
                *(f"drive_{part} : 1" for part in self.parts),
                *(f"heard_{number} : 1" for number in range(len(self.synapses))),
            ]
        )

    def make(self, method):
        """Make the group of neurons and the delay line; returns both."""
        equations = self.equations()
        names = {"erf": error_function()} if "erf(" in equations else {}
        method = "euler" if self.integrates else method
        self.group = NeuronGroup(self.count, equations, method=method, namespace=names)
        for part, values in self.drives.items():
            setattr(self.group, f"drive_{part}", values)
        if self.integrates:
            rate, first = self.integrates
            self.group.rate, self.group.r = rate / ms, first
        else:
            self.group.tau = self.tau * ms
        if self.prospective:
            self.group.run_regularly("handed = goal", when="thresholds")
        return [self.group, *self.delay_line()]

    def delay_line(self):
        """A group of a place per cell and step: what is handed on moves by one step, cells side by side."""
        self.line = self.group
        if self.longest == 1:
            return
        self.line = NeuronGroup(
            self.count * self.longest,
            "x : 1\nmoved : 1\nbefore : 1 (linked)\narrives : 1 (linked)",
            namespace={"count": self.count},
        )
        places = np.arange(self.line.N)
        self.line.before = linked_var(self.line, "x", index=np.maximum(places - self.count, 0))
        self.line.arrives = linked_var(self.group, "handed", index=places % self.count)
        self.line.x = self.integrates[1] if self.integrates else 0.0
        self.line.run_regularly("moved = before", when="end", order=0)
        self.line.run_regularly(
            "x = arrives*int(i < count) + moved*int(i >= count)", when="end", order=1
        )
        yield self.line

    def wire(self):
        """Make the synapses onto these cells, one object for each projection."""
        for number, (source, _, pre, post, weight, delay) in enumerate(self.synapses):
            line, word = (source.group, "handed") if delay == 1 else (source.line, "x")
            made = Synapses(
                line,
                self.group,
                f"w : 1 (constant)\nheard_{number}_post = w*{word}_pre : 1 (summed)",
                namespace={},
            )
            connect(made, pre + (delay - 1) * source.count * (delay > 1), post, w=weight)
            yield made


class Recorder:
    """Records what chosen cells hand on, each so many ms."""

    def __init__(self, network, interval, rates, spikes):
        self.network, self.interval, self.rates, self.monitors = network, interval, rates, {}
        network.watchers.append(self.watch)

    def watch(self):
        """Monitors of the groups, when these are made."""
        for name, (_, numbers) in self.rates.items():
            cells = self.network.cells.get(name)
            if cells is not None:
                own = numbers - cells.first
                self.monitors[name] = StateMonitor(
                    cells.group, "handed", record=own, dt=self.interval * ms
                )
        return list(self.monitors.values())

    def arrays(self):
        """What was recorded, by name."""
        times = [np.asarray(monitor.t / ms) for monitor in self.monitors.values()]
        rates = {name: np.asarray(each.handed).T for name, each in self.monitors.items()}
        return recorded_rates(times[0] if times else [], self.interval, rates, self.rates)
