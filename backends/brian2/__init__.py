"""The Brian2 backend: one standalone script that runs the circuit in time.

`cell_groups` says which populations share a NeuronGroup, `statements` and `results` write the script around
them, `template` has what it carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cortico.backends.brian2.cell_groups import largest_object
from cortico.backends.brian2.emitter import emit_script
from cortico.backends.brian2.in_time import InTime, unsupported_in_time
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.running import load_simulate, require_brian2
from cortico.backends.cells.backend import ScriptBackend
from cortico.backends.cells.estimate import COSTS, Estimate, estimate
from cortico.backends.cells.presented.course import unpresented
from cortico.backends.cells.start import slowest, steps_to_settle
from cortico.backends.cells.timed import asked, steps_in_time
from cortico.backends.script_parts import unwritable
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.dimensions import crowded

__all__ = ["Brian2Backend", "Options", "emit_script", "load_simulate"]


class Brian2Backend(ScriptBackend[Options]):
    """Emits a Brian2 script, and runs it in a process of its own."""

    name = "brian2"
    in_time = True
    summary = "a Brian2 script: a network of rate units that settles to attention"
    title = "Brian2"
    Options = Options
    progress = "% (complete|simulated)"

    def unsupported(self, circuit: Circuit) -> list[str]:
        return list(_unsupported(circuit, self.options))

    def source(self, circuit: Circuit) -> str:
        if runs_in_time(circuit, self.options):
            return InTime(self.options).source(circuit)
        return emit_script(circuit, self.options)

    def steps(self, circuit: Circuit) -> float | None:
        """As the script counts them; None for tokens one after another, and for spikes."""
        options = self.options
        if runs_in_time(circuit, options):
            return steps_in_time(options)
        if circuit.presents_tokens or options.cells == "lif":
            return None
        if options.duration is not None:
            return options.duration / options.dt
        times = options.dt / (options.tau or slowest(circuit))
        part = times if options.method == "euler" else 1 - math.exp(-times)
        steps = steps_to_settle(circuit, lambda _: 1, part, options.tolerance)
        return steps * (2 if options.target == "cpp_standalone" else 1)

    def estimate(self, circuit: Circuit, symbols: Mapping[str, int]) -> Estimate:
        """In the fast form synapses are no objects: they take the bytes of their weights."""
        options, sized = self.options, circuit.bind(**symbols) if symbols else circuit
        fast = options.form == "fast"
        cost = COSTS[f"brian2 {'fast' if fast else options.target}"]
        if options.precision == "float32" and not fast:
            cost = replace(cost, synapse=cost.synapse - 4)
        cells = 1 + options.neurons if options.cells == "lif" else 1
        timed = runs_in_time(sized, options)
        largest = int(sized.counts().synapses) if timed else largest_object(sized)
        return estimate(cost, self.title, sized, self.steps(sized), cells, largest)

    def require(self) -> None:
        require_brian2(self.options.target)


def runs_in_time(circuit: Circuit, options: Options) -> bool:
    """Whether a script is one of a network that runs in time; others have a duration of their own."""
    if circuit.presents_tokens:
        return False
    return circuit.lives_in_time or bool({"prospective", "token_ms"} & {*asked(options)})


def _unsupported(circuit: Circuit, options: Options) -> Iterator[str]:
    if runs_in_time(circuit, options):
        yield from unsupported_in_time(options)
    elif circuit.presents_tokens:
        yield from _unpresented(circuit, options)
    yield from crowded(circuit)
    yield from unspelled(circuit, "brian2", "which networks of Brian2 do not settle to")
    yield from unwritable(circuit)


def _unpresented(circuit: Circuit, options: Options) -> Iterator[str]:
    """What cannot be presented token by token."""
    yield from unpresented(circuit, options, ["token_ms", "prospective"])
    for name, value in (("form", "fast"), ("cells", "lif")):
        if getattr(options, name) == value:
            yield f"axes in time, which {name}={value} has not"
