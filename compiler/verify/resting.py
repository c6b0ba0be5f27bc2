"""What is claimed of a circuit that lives in time: where its loops come to rest, and that they do.

The prover treats a settled loop as an equation. `cortico.ir.analysis.rest` finds loops and solves them by shape, for all
sizes; here SymPy solves the same equation, and says for which paces the rest is stable (Routh and Hurwitz).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from cortico.ir import Circuit
from cortico.ir.analysis.rest import Feedback, feedback_loops
from cortico.ir.physiology import cell_type
from cortico.verify.known import Known


def rest_claims(circuit: Circuit) -> Iterator[tuple[str, Known, str, float]]:
    """Claim, what is known, detail and seconds, of each thing to show; nothing for a feed-forward circuit."""
    if not circuit.lives_in_time:
        return
    start = time.perf_counter()
    loops = feedback_loops(circuit)
    pools = ", ".join(loop.pool for loop in loops) or "no pool"
    claim = f"at rest the circuit is its form without loops ({pools})"
    found = Known.PROVED if _solved() else Known.REFUTED
    detail = "the sum S of positive terms has e^(-m) S = 1 at m = log S alone, for all sizes"
    yield claim, found, detail, time.perf_counter() - start
    for loop in loops:
        start = time.perf_counter()
        claim = f"the rest of {loop.pool} is stable, where cells are prospective"
        steady, detail = _stable(), _lagging(circuit, loop)
        known = Known.PROVED if steady else Known.REFUTED
        yield claim, known, detail, time.perf_counter() - start


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
    pool = circuit.population(loop.pool)
    assert pool.integrates is not None
    cells = [circuit.population(name) for name in loop.between]
    times = [cell_type(p.region, p.cell_class).membrane_time.value for p in cells]
    limit = fastest_pace(times if len(loop.between) > len(loop.members) else [max(times)])
    if limit is None:
        return "with lagging cells it is not known"
    if limit == math.inf:
        return "with lagging cells too, at every pace"
    below = "is" if pool.integrates.rate < limit else "is NOT"
    return f"with lagging cells where the pace is below {limit:.3g} per ms, which {pool.integrates.rate:g} {below}"
