"""Options of simulators that say what is recorded, and the statements of a script that record it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from cortico.backends.cells.coder import Coder
from cortico.backends.cells.estimate import SizedOptions
from cortico.backends.recordings.choice import (
    Choice,
    by_population,
    place_of,
    read_choices,
    require_choices,
)
from cortico.ir import Circuit, SpecError
from cortico.ir.names import space_axes
from cortico.ir.options import OptionSet, number

#: The options that say what is recorded.
RECORDED = ("monitor", "spikes", "record_ms")

_SAME = 1e-9  #: of a step that an interval may lack


@dataclass(frozen=True)
class RecordingOptions(SizedOptions):
    """Options of a simulator that records: the rates of the cells in `monitor`, the spikes of those in `spikes`.

    Cells are chosen as `deep`, `deep[h=0,i=3]`, `deep:10` (a sample, evenly spread, the same each time) or `all`;
    several with commas. Rates are taken each `record_ms`, a whole number of steps, or in each step. SpecError
    for texts that choose nothing, and for spikes of rate units.
    """

    monitor: str | None = None
    spikes: str | None = None
    record_ms: Annotated[float, number(1e-9, 1e12, "a positive number")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chosen()
        if self.spikes is not None and not self.spiking:
            raise SpecError(
                f"option spikes of {self.owner} records cells that spike, and these are rate units: "
                f"{self.to_spike}"
            )
        if self.record_ms is not None:
            self._require_steps(self.record_ms)

    def _require_steps(self, interval: float) -> None:
        steps = interval / self.step_ms
        if self.monitor is None:
            raise SpecError(f"option record_ms of {self.owner} is for monitor only")
        if round(steps) < 1 or abs(steps - round(steps)) > _SAME * steps:
            raise SpecError(
                f"option record_ms of {self.owner} is {interval:g} ms, expected a whole number of steps "
                f"of {self.step_ms:g} ms"
            )

    @property
    def spiking(self) -> bool:
        """Whether cells spike."""
        return False

    @property
    def to_spike(self) -> str:
        """What a user can do who wants spikes."""
        return "Brian2 with cells=lif and Nengo with neurons=lif have spikes"

    @property
    def step_ms(self) -> float:
        """A step of the simulation in ms."""
        step: float = vars(self)["dt"]
        return step

    @property
    def interval(self) -> float:
        """Between two samples of the rates, in ms."""
        return self.record_ms or self.step_ms

    @property
    def records(self) -> bool:
        """Whether anything is recorded."""
        return self.monitor is not None or self.spikes is not None

    def chosen(self) -> Mapping[str, tuple[Choice, ...]]:
        """The choices of `monitor` and `spikes`, for those that are given."""
        given = {name: vars(self)[name] for name in ("monitor", "spikes")}
        return {
            name: read_choices(text, f"option {name} of {self.owner}")
            for name, text in given.items()
            if text is not None
        }

    def require_cells(self, circuit: Circuit) -> None:
        """SpecError for cells that are asked for, and that the circuit has not."""
        require_choices(
            circuit, {f"option {n} of {self.owner}": c for n, c in self.chosen().items()}
        )

    def of_simulation(self) -> dict[str, object]:
        """The options that say how the network runs: not what it takes, and what is recorded."""
        return {n: value for n, value in vars(self).items() if n not in ("size", *RECORDED)}


def recorder(coder: Coder, options: OptionSet, network: str) -> Iterator[str]:
    """Statements that choose cells and make the script's `Recorder` of a network; none where nothing is recorded.

    It has all that is needed of them: `recorder.arrays()` gives what was recorded.
    """
    if not (isinstance(options, RecordingOptions) and options.records):
        return
    asked = options.chosen()
    yield "# What is recorded stands beside the outputs."
    yield f"recorder = Recorder({network}, {options.interval!r}, {{"
    yield from _table(coder, asked.get("monitor", ()))
    yield "}, {"
    yield from _table(coder, asked.get("spikes", ()))
    yield "})"


def _table(coder: Coder, choices: Sequence[Choice]) -> Iterator[str]:
    """Lines of a table: of each population that is asked for the cells that are."""
    for name, own in by_population(coder.circuit, choices).items():
        parts = ", ".join(f"({_index(coder, name, c)}, {c.most})" for c in own)
        yield f'    "{name}": chosen({coder.populations[name]}, {parts}),'


def _index(coder: Coder, name: str, choice: Choice) -> str:
    """Code for where cells are in the array of a population's numbers."""
    population = coder.circuit.population(name)
    fixed = {place_of(coder.circuit, population, word): index for word, index in choice.at}
    if not fixed:
        return "np.s_[...]"
    axes = space_axes(coder.circuit, population)
    return f"np.s_[{', '.join(str(fixed.get(axis, ':')) for axis in axes)}]"


def require_one(batch: Mapping[str, Any], circuit: Circuit) -> None:
    """SpecError for inputs with a batch: a recording is of one example."""
    axes = {tensor.name: len(tensor.given) for tensor in circuit.inputs}
    for name, array in batch.items():
        shape = np.shape(array)
        if len(shape) > axes[name]:
            raise SpecError(
                f"input {name!r} has a batch, shape {shape}: a recording is of one example, without batch axes"
            )
