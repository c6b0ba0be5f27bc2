"""The classes of backends that write a script for a simulator, and run it in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np

from cortico.backends.cells.coder import Coder
from cortico.backends.cells.estimate import COSTS, Estimate, estimate, free_memory
from cortico.backends.cells.presented.course import unpresented
from cortico.backends.cells.presented.script import emit_script_of_tokens
from cortico.backends.cells.recording import RecordingOptions, require_one
from cortico.backends.cells.script import (
    axes_in_time,
    dendrites,
    emit_cell_script,
    time_constant,
)
from cortico.backends.cells.statements import option_lines
from cortico.backends.cells.timed import (
    TimedOptions,
    is_timed,
    require_stream,
    steps_in_time,
    without_time,
)
from cortico.backends.extras import require_extra
from cortico.backends.protocol import Backend
from cortico.backends.recordings.values import Recording, taken_out
from cortico.backends.script_parts import unwritable
from cortico.backends.script_running import run_and_listen
from cortico.backends.transfers import function_table, unspelled
from cortico.ir import Circuit, Population
from cortico.ir.analysis.dimensions import crowded
from cortico.ir.analysis.inputs import Arrays, given_inputs, stored_values
from cortico.ir.arguments import kind
from cortico.ir.options import OptionSet

Kind = TypeVar("Kind", bound=OptionSet)


class ScriptBackend(ABC, Generic[Kind]):
    """Emits one script, and runs it."""

    name: str
    summary: str
    title: str  #: the simulator's name
    Options: type[Kind]
    progress: str | None = (
        None  #: a pattern of lines that tell a waiting user how far the simulator is
    )
    remarks_what_it_prints = False
    watching: Mapping[str, str] = MappingProxyType({})  #: lines for holes of templates, to record

    def __init__(self, **options: object) -> None:
        self.options = self.Options.of(options)
        self.remarks: tuple[str, ...] = ()
        self.recording: Recording | None = None  #: of the last run, where something is recorded

    @property
    def script(self) -> str:
        """The name of the emitted file."""
        return f"attention_{self.name}.py"

    @abstractmethod
    def unsupported(self, circuit: Circuit) -> list[str]: ...

    @abstractmethod
    def source(self, circuit: Circuit) -> str:
        """The text of the script."""

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        if self.recorded:
            self.recorded.require_cells(circuit)
        return {self.script: self.source(circuit)}

    @property
    def recorded(self) -> RecordingOptions | None:
        """The options that say what is recorded; None where nothing is."""
        options = self.options
        return options if isinstance(options, RecordingOptions) and options.records else None

    def hooks(self) -> dict[str, str]:
        """The lines for holes of templates: those that record, or none."""
        return {name: lines * bool(self.recorded) for name, lines in self.watching.items()}

    def require(self) -> None:
        """UnsupportedError, in one line, when the simulator or what it needs is missing."""
        require_extra(self.name, self.name, self.title)

    def steps(self, circuit: Circuit) -> float | None:
        """How many steps the network of a circuit takes whose sizes are numbers; None where that is not known."""
        return None

    def estimate(self, circuit: Circuit, symbols: Mapping[str, int]) -> Estimate | None:
        """What the network takes where symbols have these sizes; None where that was never measured."""
        if self.name not in COSTS:
            return None
        sized = circuit.bind(**symbols) if symbols else circuit
        options = self.options
        if isinstance(options, TimedOptions) and is_timed(sized, options):
            steps = steps_in_time(options)
        else:
            steps = self.steps(sized)
        return estimate(COSTS[self.name], self.title, sized, steps)

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        """What the script among emitted files gives, by name."""
        source, what = files[self.script], f"the {self.title} network"
        outputs, said = run_and_listen(source, inputs, weights, what, progress=self.progress)
        self.remarks = tuple(said.splitlines()) if self.remarks_what_it_prints else ()
        return outputs

    @kind
    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        self.require()
        inputs, symbols = given_inputs(circuit, inputs)
        if isinstance(self.options, TimedOptions):
            require_stream(self.options, circuit, inputs)
        sized = self._require_recordable(circuit, inputs, symbols)
        expected = self.estimate(circuit, symbols)
        if expected and getattr(self.options, "size", "checked") == "checked":
            expected.require_room(free_memory())
        weights = stored_values(circuit, symbols, parameters)
        outputs = self.outputs(self.emit(circuit), inputs, weights)
        if sized is None:
            return outputs
        outputs, self.recording = taken_out(sized, outputs)
        return outputs

    def _require_recordable(
        self, circuit: Circuit, inputs: Arrays, symbols: Mapping[str, int]
    ) -> Circuit | None:
        """The circuit with its sizes, where something of it is recorded. SpecError for what cannot be."""
        self.recording = None
        if self.recorded is None:
            return None
        require_one(inputs, circuit)
        sized = circuit.bind(**{s: n for s, n in symbols.items() if s in circuit.symbols})
        self.recorded.require_cells(sized)
        return sized


class CellBackend(ScriptBackend[Kind]):
    """Emits a script that makes a network cell by cell; a backend says what its simulator has.

    `template` is a module with a class `Network`, made with the options by name:

        numbers = network.population("deep", h, i, j, c, …)
        network.connect(core_source[j, m], deep[h, i, j, c], "basal", W_V[h, c, m])
        rates = network.settle()

    `numbers` holds a number for each cell, over the population's axes, and -1 where there is none; `rates` has
    a rate for each number, and 0 for -1. Where something is recorded there is a class `Recorder`, made before the
    network runs, whose `arrays()` gives what was (`recordings/template.py`):

        recorder = Recorder(network, interval, {"deep": chosen(deep, …)}, {})

    The docstring of the template heads the script, with places for {title}, {tensors} and
    {chain}, the most cells that a signal passes.

    `template_of_tokens` is one with a subclass `NetworkOfTokens`, for axes in time: drives, weights and `where` of
    synapses may have a presentation as their first axis, populations are told when cells are `alive` and in which
    presentations compartments store (`stores`), synapses whether they are `stored`, and
    `settle_each(presentations)` gives the rates at the end of each, and which cells are there.

    `template_in_time` is such a module for networks that run in time: what its `NetworkInTime` does is told in
    `cortico.backends.cells.template_in_time`, and there is no {chain}.
    """

    language = ""  #: the column of the table of transfer functions, where that is not called as the backend
    lacks: str  #: what is said of a transfer function that the simulator cannot have
    template: str
    #: A module with a class `NetworkOfTokens`, to which tokens are presented one after another; None refuses these.
    template_of_tokens: str | None = None
    of_tokens: tuple[str, ...] = ()  #: options of runs in time that `NetworkOfTokens` takes
    #: How many units a signal passes between what is stored and a cell that hears it.
    memory_units = 0
    template_in_time: str | None = None  #: None where no script runs in time
    #: Who writes the scripts that run in time, where that is another class.
    writer_in_time: type[WriterInTime[Any]] | None = None
    step_ms = "dt"  #: code for the step of the clock in ms
    physiology = False  #: whether cells have their membrane time constants
    reuses = False  #: whether one network serves all examples of a batch
    #: Of which size an e^x is exact in the simulator, as code.
    exponentials = ("TINY", "np.finfo(float).max")
    settles_by_depth = False  #: whether `settle` is told {chain}
    waits = False  #: whether cells of a network of blocks are let go one after another, by `after`

    def arguments(self) -> dict[str, object]:
        """The arguments of the script's class `Network`, with their defaults."""
        options = self.options
        return options.of_simulation() if isinstance(options, RecordingOptions) else vars(options)

    def arguments_of_tokens(self) -> dict[str, object]:
        """Further arguments of `NetworkOfTokens`."""
        return {name: getattr(self.options, name) for name in self.of_tokens}

    def times(self) -> dict[str, object]:
        """Further arguments of one that runs in time."""
        return {name: getattr(self.options, name, None) for name in ("duration", "token_ms")}

    def flags(self) -> str:
        """Lines that add options to the `parser` of the command line."""
        return option_lines(self.Options, self.arguments())

    def units(self, population: Population) -> int:
        """How many units one after another a signal passes in a cell."""
        return 1

    def cell(self, coder: Coder, population: Population) -> Iterator[str]:
        """What `network.population` is told of cells."""
        return dendrites(coder, population)

    def onset(self, circuit: Circuit, after: int) -> str:
        """What `network.population` is told of cells that are let go behind so many units."""
        return f"after={after}"

    def started(self, circuit: Circuit, last: int) -> Iterator[str]:
        """Statements that come before a network settles whose last cells are let go behind so many units."""
        yield from ()

    def values(self, circuit: Circuit) -> str:
        """The values that `template` wants the script to have: `TRANSFERS`, by name."""
        return function_table(circuit, self.language or self.name)

    def writer(self, circuit: Circuit) -> CellBackend[Any]:
        """Who writes the script of a circuit."""
        if self.writer_in_time and is_timed(circuit, self.options):
            return self.writer_in_time(self.options)
        return self

    def unsupported(self, circuit: Circuit) -> list[str]:
        writer = self.writer(circuit)
        if writer is not self:
            return writer.unsupported(circuit)
        missing = unspelled(circuit, self.language or self.name, self.lacks)
        return [*self._untimely(circuit), *crowded(circuit), *missing, *unwritable(circuit)]

    def _untimely(self, circuit: Circuit) -> Iterator[str]:
        """What of axes in time, delays and options of runs in time cannot be."""
        if circuit.presents_tokens and self.template_of_tokens:
            assert isinstance(self.options, TimedOptions), "which say how long tokens stay"
            if self.recorded:
                yield "options monitor and spikes, where tokens come one after another"
            yield from unpresented(circuit, self.options, self.of_tokens, self.units)
            return
        yield from axes_in_time(circuit)
        if self.template_in_time is None:
            yield from without_time(circuit, self.options, self.title)

    def source(self, circuit: Circuit) -> str:
        if circuit.presents_tokens:
            return emit_script_of_tokens(circuit, self)
        return emit_cell_script(circuit, self.writer(circuit))


class WriterInTime(CellBackend[Kind]):
    """Writes scripts that run in time, for a backend with other scripts too, and with its options."""

    physiology = True

    def __init__(self, options: Kind) -> None:
        super().__init__()
        self.options = options

    def cell(self, coder: Coder, population: Population) -> Iterator[str]:
        yield time_constant(population)
        yield from dendrites(coder, population)


def forecast(backend: Backend, circuit: Callable[[], Circuit], inputs: Mapping[str, Any]) -> str:
    """`: 6,010 neurons, …` for a simulator whose networks were measured, else nothing; for progress lines."""
    if not isinstance(backend, ScriptBackend):
        return ""
    found = circuit()
    expected = backend.estimate(found, given_inputs(found, inputs)[1])
    return f": {expected}" if expected else ""
