"""Delays in ms, and in steps of a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from cortico.ir import Circuit, DelayUnit, Projection, SpecError
from cortico.ir.errors import named


def delays_in_steps(circuit: Circuit, dt: float) -> Mapping[str, int]:
    """Projection to the steps of `dt` ms that a signal takes: one where it has no delay.

    SpecError for a delay that is shorter than a step, or no whole number of steps.
    """
    return {p.name: _steps(p, dt) for p in circuit.projections}


def in_steps(what: str, time: float, dt: float) -> int:
    """A time in ms as a number of steps. SpecError that says `what` where it is no whole number of them."""
    # here: who emits a script reads its template, and need not import it
    from cortico.backends.template import whole_steps

    count: Callable[[str, float, float], int] = whole_steps
    try:
        return count(what, time, dt)
    except ValueError as error:
        raise SpecError(str(error)) from None


def delay_in_ms(projection: Projection) -> float | None:
    """The delay of a projection in ms; None where it has none. SpecError for one in steps: no clock runs here."""
    delay = projection.delay
    if delay is not None and delay.unit is DelayUnit.STEPS:
        raise SpecError(
            f"projection {projection.name!r} has a delay of {delay}, which are no ms before a run: give ms"
        )
    return None if delay is None else delay.amount


def fitting_step(circuit: Circuit, largest: float = 0.1) -> float:
    """The largest step in ms up to `largest`, and one over it whole, in which all delays are whole numbers of steps.

    SpecError where none down to a thousandth of `largest` is.
    """
    for parts in range(1, 1001):
        with suppress(SpecError):
            delays_in_steps(circuit, largest / parts)
            return largest / parts
    raise SpecError(
        f"circuit {named(circuit.name)} has delays that are no whole numbers of steps of "
        f"{largest / 1000:g} ms or more"
    )


def _steps(projection: Projection, dt: float) -> int:
    delay = projection.delay
    if delay is None:
        return 1
    time = delay.amount * dt if delay.unit is DelayUnit.STEPS else delay.amount
    return in_steps(f"projection {projection.name!r} has a delay of {delay}", time, dt)
