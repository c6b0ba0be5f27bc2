"""How long a token stays: the option `token_ms`, held against the circuit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cortico.backends.cells.in_time.depth import depth
from cortico.backends.cells.in_time.schedule import schedule, unscheduled
from cortico.ir import Circuit, Population


def unpresented(
    circuit: Circuit,
    token_ms: float | None,
    dt: float,
    units: Callable[[Population], int] = lambda population: 1,
) -> Iterator[str]:
    """Everything about tokens one after another that cannot be: clocks, and stays too short for their phases.

    A cell of a population is so many `units` one after another; times are in ms.
    """
    problems = [*unscheduled(circuit)]
    yield from problems
    if token_ms is None:
        return
    if not any(axis.in_time for axis in circuit.axes):
        yield "option token_ms, which is for axes in time, and all are in space"
    elif not problems:
        yield from _too_short(circuit, token_ms, dt, units)


def _too_short(
    circuit: Circuit, token_ms: float, dt: float, units: Callable[[Population], int]
) -> Iterator[str]:
    # here: who emits a script reads its template, and need not import it
    from cortico.backends.cells.in_time.template import presentation_course

    course: Callable[..., list[int]] = presentation_course
    chains = depth(circuit, schedule(circuit), units)
    try:
        given = chains.through, chains.before_write, chains.after_write
        course(dt, 1.0, 1e-9, *given, token_ms)
    except ValueError as error:
        yield str(error)
