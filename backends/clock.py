"""Delays in ms, and in steps of a clock."""

from __future__ import annotations

from collections.abc import Mapping

from cortico.ir import Circuit, DelayUnit, Projection, SpecError

#: Of a step, by which a delay in ms may miss a whole number of them.
_ROUNDING = 1e-6


def delays_in_steps(circuit: Circuit, dt: float) -> Mapping[str, int]:
    """Projection to the steps of `dt` ms that a signal takes: one where it has no delay.

    SpecError for a delay that is shorter than a step, or no whole number of steps.
    """
    return {p.name: _steps(p, dt) for p in circuit.projections}


def delay_in_ms(projection: Projection) -> float | None:
    """The delay of a projection in ms; None where it has none. SpecError for one in steps: no clock runs here."""
    delay = projection.delay
    if delay is not None and delay.unit is DelayUnit.STEPS:
        raise SpecError(
            f"projection {projection.name!r} has a delay of {delay}, which are no ms before a run: give ms"
        )
    return delay and delay.amount


def _steps(projection: Projection, dt: float) -> int:
    delay = projection.delay
    if delay is None:
        return 1
    steps = delay.amount if delay.unit is DelayUnit.STEPS else delay.amount / dt
    if round(steps) < 1 or abs(steps - round(steps)) > _ROUNDING:
        raise SpecError(
            f"projection {projection.name!r} has a delay of {delay}, expected a whole number of steps of "
            f"dt = {dt:g} ms"
        )
    return round(steps)
