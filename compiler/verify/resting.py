"""What is claimed of a circuit that lives in time: where its loops come to rest, and that they do.

The prover treats a settled loop as an equation. `cortico.ir.analysis.rest` finds loops and solves them by shape, for all
sizes; here SymPy solves the same equation, and says for which paces the rest is stable (Routh and Hurwitz).

With φ'(0) · pace = k, prospective cells, and parts w_c > 0 of the sum (Σ w_c = 1) that come around after delays d_c, the
rest obeys λ + k Σ w_c e^(-λ d_c) = 0. λ = iω needs ω ≤ k, and k d < π/2 of the longest delay d leaves all cos(ω d_c) above 0:
no root crosses the imaginary axis, and the rest is stable. For one delay that is also necessary. This is our derivation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from cortico.ir import Circuit, DelayUnit
from cortico.ir.analysis.rest import Feedback, at_rest, feedback_loops
from cortico.ir.physiology import cell_type
from cortico.verify.known import Known

#: φ'(0) of the functions that are 0 at 0 only.
_SLOPES_AT_ZERO = {"identity": 1.0, "tanh": 1.0, "erf": 2 / math.sqrt(math.pi)}


def rest_claims(circuit: Circuit) -> Iterator[tuple[str, Known, str, float]]:
    """Claim, what is known, detail and seconds, of each thing to show; nothing for a feed-forward circuit."""
    if not circuit.lives_in_time:
        return
    start = time.perf_counter()
    at_rest(circuit)  # CircuitError where there is none
    loops = feedback_loops(circuit)
    pools = ", ".join(loop.pool for loop in loops) or "no pool"
    claim = f"at rest the circuit is its form without loops ({pools})"
    found = Known.PROVED if _solved() else Known.REFUTED
    detail = "the sum S of positive terms has e^(-m) S = 1 at m = log S alone, for all sizes"
    yield claim, found, detail, time.perf_counter() - start
    for loop in loops:
        start = time.perf_counter()
        claim = f"the rest of {loop.pool} is stable, where cells are prospective"
        known, detail = _stability(circuit, loop)
        yield claim, known, detail, time.perf_counter() - start


def _stability(circuit: Circuit, loop: Feedback) -> tuple[Known, str]:
    """What is known of a loop whose cells are prospective, and of lagging ones, in words."""
    if not _stable():
        return Known.REFUTED, "the pool goes away from its rest"
    pace, longest = _pace(circuit, loop), _longest_delay(circuit, loop)
    if longest is None:
        return Known.UNDECIDED, "its delays in steps have no length until a run gives them one"
    if not longest:
        return Known.PROVED, _lagging(circuit, loop)
    limit = math.pi / 2 / longest
    around = f"its delays take {longest:g} ms around it, stable where the pace is below {limit:.3g} per ms"
    if pace < limit:
        return Known.PROVED, f"{around}, which {pace:.3g} is; with lagging cells it is not known"
    return Known.UNDECIDED, f"{around}, which {pace:.3g} is NOT"


def _pace(circuit: Circuit, loop: Feedback) -> float:
    """How fast a pool moves per ms, for each part of 1 by which its sum misses 1, near rest."""
    pool = circuit.population(loop.pool)
    assert pool.integrates is not None
    return pool.integrates.rate * _SLOPES_AT_ZERO[pool.transfer]


def _longest_delay(circuit: Circuit, loop: Feedback) -> float | None:
    """The ms that delays add up to on the longest way around a loop; None where some are in steps."""
    after = {loop.pool: 0.0}
    for name in (*loop.between, loop.pool):
        ways = [p for p in circuit.projections_onto(name) if p.pre in after]
        delays = [p.delay for p in ways if p.delay]
        if any(delay.unit is not DelayUnit.MS for delay in delays):
            return None
        after[name] = max(after[p.pre] + (p.delay.amount if p.delay else 0.0) for p in ways)
    return after[loop.pool]


def _solved() -> bool:
    """Whether SymPy finds the one rest, and the softmax there."""
    import sympy

    total, m, score = (
        sympy.Symbol("S", positive=True),
        sympy.Symbol("m", real=True),
        sympy.Symbol("s"),
    )
    rest = sympy.solve(total * sympy.exp(-m) - 1, m)
    fires = sympy.simplify(sympy.exp(score - sympy.log(total)) - sympy.exp(score) / total)
    return bool(rest == [sympy.log(total)] and fires == 0)


def _stable() -> bool:
    """Whether m' = k φ(S e^(-m) - 1) returns to rest from both sides: φ has the sign of its argument.

    Near rest the slope of S e^(-m) - 1 is -1 for every S, so that the root is -k φ'(0).
    """
    import sympy

    total, m = sympy.Symbol("S", positive=True), sympy.Symbol("m", real=True)
    slope = sympy.diff(total * sympy.exp(-m) - 1, m).subs(m, sympy.log(total))
    return bool(sympy.simplify(slope) == -1)


def fastest_pace(times: Sequence[float]) -> float | None:
    """The pace per ms from which on a loop oscillates whose cells have these membrane times (ms), one after another.

    λ Π (1 + τ λ) + rate = 0 has roots with negative real parts only: for one cell at every pace (infinity), for two
    below 1/τ₁ + 1/τ₂ (Hurwitz). None for more cells.
    """
    lags = [tau for tau in times if tau > 0]
    if len(lags) > 2:
        return None
    return sum(1 / tau for tau in lags) if len(lags) == 2 else math.inf


def _lagging(circuit: Circuit, loop: Feedback) -> str:
    """What cells with a membrane time do to the rest of a loop, in words."""
    pace = _pace(circuit, loop)
    cells = [circuit.population(name) for name in loop.between]
    times = [cell_type(p.region, p.cell_class).membrane_time.value for p in cells]
    limit = fastest_pace(times if len(loop.between) > len(loop.members) else [max(times)])
    if limit is None:
        return "with lagging cells it is not known"
    if limit == math.inf:
        return "with lagging cells too, at every pace"
    below = "is" if pace < limit else "is NOT"
    return (
        f"with lagging cells where the pace is below {limit:.3g} per ms, which {pace:.3g} {below}"
    )
