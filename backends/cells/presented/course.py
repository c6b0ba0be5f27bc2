"""What cannot be presented token by token, and whether `token_ms` is long enough."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule, unscheduled
from cortico.backends.cells.timed import TimedOptions, asked
from cortico.ir import Circuit, Population

_TOKENS = "tokens come one after another"


def unpresented(
    circuit: Circuit,
    options: TimedOptions,
    taken: Collection[str],
    units: Callable[[Population], int] = lambda population: 1,
) -> Iterator[str]:
    """Everything about tokens one after another that cannot be: clocks, options, stays too short for their phases.

    A cell of a population is so many `units` one after another; `taken` are the options of runs in time that
    scripts have for tokens.
    """
    problems = [f"option {name}, where {_TOKENS}" for name in asked(options) if name not in taken]
    if circuit.lives_in_time:
        problems.append(f"delays and cells that integrate, where {_TOKENS}")
    else:
        problems += unscheduled(circuit)
    yield from problems
    if options.token_ms is not None and not problems:
        yield from _too_short(circuit, options.token_ms, options.step_ms, units)


def _too_short(
    circuit: Circuit, token_ms: float, dt: float, units: Callable[[Population], int]
) -> Iterator[str]:
    # here: who emits a script reads its template, and need not import it
    from cortico.backends.cells.presented.template import presentation_course

    course: Callable[..., list[int]] = presentation_course
    chains = depth(circuit, schedule(circuit), units)
    try:
        given = chains.through, chains.before_write, chains.after_write
        course(dt, 1.0, 1e-9, *given, token_ms)
    except ValueError as error:
        yield str(error)
