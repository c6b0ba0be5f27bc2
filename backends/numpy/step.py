"""The function `step` of an emitted NumPy file, which takes one token at a time."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.numpy.inputs import checked_inputs, formula_lines
from cortico.backends.numpy.plan import Plan
from cortico.backends.numpy.streaming import StepCode, can_stream, kept
from cortico.backends.numpy.weights import unpacked
from cortico.ir import Role


def step_function(plan: Plan) -> Iterator[str]:
    """The function, where the circuit can be streamed."""
    statements, results = plan.packing.statements, plan.packing.results
    if plan.sized_later or not can_stream(plan.lettered, statements, results):
        return
    weights = "weights=None" if plan.stored else "weights"
    yield f"def step(state, {', '.join([*plan.rates, '*', *plan.gates, weights])}):"
    yield f"""\
    \"""The state after one more token, and {plan.outputs} of it. Inputs lack their axis of tokens.

    `state` is None before the first token. It is a dictionary of arrays, of one size at every
    position: `np.savez(file, **state)` and `dict(np.load(file))` keep and resume it.
    \"""\
"""
    yield textwrap.indent("\n".join(_body(plan)), "    ")


def _body(plan: Plan) -> Iterator[str]:
    statements, code = plan.packing.statements, StepCode(plan.sizes, plan.tokens)
    names = json.dumps(kept(statements), ensure_ascii=False)
    yield f"state, position = next_token(state, {names})"
    clock = next(a.extent for a in plan.circuit.axes if a.role is Role.COLUMN)
    yield from checked_inputs(plan, without=clock)
    yield from unpacked(plan, on_ranks=False)
    yield from formula_lines(plan, lambda shape: "np.array([position])", "[0]")
    yield from code.lines(statements)
    wanted = zip(plan.packing.results, plan.results, strict=True)
    given = [plan.write.transposed(code.local(r), code.local(w).axes) for r, w in wanted]
    yield f"return state, {given[0] if len(given) == 1 else '(' + ', '.join(given) + ')'}"
