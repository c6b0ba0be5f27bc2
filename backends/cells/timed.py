"""Scripts whose networks run in time: for circuits that live in time, and for options that ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from cortico.backends.cells.recording import RecordingOptions
from cortico.backends.clock import delays_in_steps, in_steps
from cortico.ir import Circuit, SpecError
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.options import Help, OptionSet, number

#: The options that ask for a run in time.
TIMED = ("prospective", "token_ms", "duration")

_TIME = number(1e-12, 1e9, "a positive number of ms")


@dataclass(frozen=True)
class TimedOptions(RecordingOptions):
    """What a user may choose of a run in time. SpecError for times that are no whole number of steps.

    `prospective` cells hand on r + tau dr/dt in place of their rate r. With `token_ms` the first axis of inputs
    is time: each stimulus stays so long, and outputs, as they are at its end, have that axis too; of a circuit
    with axes in time each token stays so long. `duration`
    is that of a run whose inputs hold. With neither a network runs until it is at rest.
    """

    prospective: bool = False
    token_ms: (
        Annotated[float, _TIME, Help("ms that each stimulus, or token in time, stays")] | None
    ) = None
    duration: Annotated[float, _TIME, Help("run for so many ms instead")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prospective and self.spiking:
            raise SpecError(
                f"option prospective of {self.owner} is for rate cells: cells that spike hand on spikes"
            )
        for name in ("token_ms", "duration"):
            time = getattr(self, name)
            if time is not None:
                in_steps(f"option {name} of {self.owner} is {time:g} ms", time, self.step_ms)
        if self.records and self.token_ms is not None:
            raise SpecError(
                f"options monitor and spikes of {self.owner} record one run, and token_ms is one for each "
                "stimulus: record with duration"
            )

    def of_simulation(self) -> dict[str, object]:
        """Without those that are of runs in time only."""
        return {n: value for n, value in super().of_simulation().items() if n not in TIMED}


def asked(options: OptionSet) -> list[str]:
    """The options that ask for a run in time."""
    values = {name: getattr(options, name, None) for name in TIMED}
    return [name for name, value in values.items() if value not in (None, False)]


def is_timed(circuit: Circuit, options: OptionSet) -> bool:
    """Whether a network runs in time, from silence on, in place of settling cell after cell."""
    return not circuit.presents_tokens and (circuit.lives_in_time or bool(asked(options)))


def without_time(circuit: Circuit, options: OptionSet, title: str) -> Iterator[str]:
    """A line for all that wants a run in time, for a simulator whose scripts have none."""
    if circuit.lives_in_time:
        yield f"delays and cells that integrate, which scripts for {title} do not have"
    for name in asked(options):
        yield f"option {name}, which scripts for {title} do not have"


def require_delays(circuit: Circuit, options: TimedOptions) -> None:
    """SpecError for a delay that is no whole number of steps of the simulator's clock."""
    delays_in_steps(circuit, options.step_ms)


def steps_in_time(options: TimedOptions) -> float | None:
    """The steps of a run in time; None where nobody can know."""
    return None if options.duration is None else options.duration / options.step_ms


def require_stream(options: TimedOptions, circuit: Circuit, inputs: Arrays) -> None:
    """SpecError for inputs that are no stream where `token_ms` is given: they have one first axis, which is time.

    A circuit with axes in time has its stream in these.
    """
    if circuit.presents_tokens:
        return
    # here: who emits a script reads its template, and need not import it
    from cortico.backends.cells.template_in_time import require_one_stream

    require: Callable[..., None] = require_one_stream
    axes = {tensor.name: len(tensor.given) for tensor in circuit.inputs}
    leading = [a.shape[: max(a.ndim - axes[name], 0)] for name, a in inputs.items()]
    try:
        require(leading, options.duration, options.token_ms)
    except ValueError as error:
        raise SpecError(str(error)) from None
