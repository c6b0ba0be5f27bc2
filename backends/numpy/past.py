"""Tokens that come after others: what tiles read of earlier tokens is kept, and positions go on from there.

A circuit can go on when no query hears a later token, and tokens meet nowhere but in its tiles and in sums over
the past. Then what the tiles read of a token (its key and its value) stays as it is when more tokens come, and of
a sum one memory is kept, of any number of tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from cortico.backends.arrays.going_on import (
    Once,
    computed_once,
    each_alone,
    one_token_will_do,
    with_memory,
)
from cortico.backends.arrays.operations import PastSum
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.numpy.operations import Part
from cortico.backends.numpy.plan import Plan
from cortico.backends.numpy.tiling import Tile
from cortico.ir import Extent, Role

#: The slice of the tokens of this call among all: a variable of the emitted function.
NEW = "new"


def can_go_on(plan: Plan) -> bool:
    """Whether the tokens of a call can come after others."""
    tile, tokens = plan.tiling.tile, plan.tokens
    if plan.sized_later or not all(isinstance(clock, str) for clock in _clocks(plan)):
        return False
    if plan.entry.once:
        return _hears_each_alone(plan)
    apart = [*plan.tiling.before, *plan.tiling.after]
    return (
        len(_clocks(plan)) <= 1
        and all(one_token_will_do(statement, tokens, Part) for statement in apart)
        and not any(isinstance(statement.operation, PastSum) for statement in apart)
        and all(tokens & {*result.axes} for result in plan.packing.results)
        and (tile is None or _has_one_way(tile, tokens))
    )


def _hears_each_alone(plan: Plan) -> bool:
    """Whether tokens meet nowhere but with what is heard once."""
    others = {side for t in plan.circuit.inputs if t.name in plan.entry.once for side in t.shape}
    going = frozenset(axis.name for axis in plan.axes if axis.extent in _clocks(plan) - others)
    tile = plan.tiling.tile
    inner = tile.statements if tile else ()
    return (
        not plan.formulas
        and all(going & {*result.axes} for result in plan.packing.results)
        and not (tile and (tile.columns in going or tile.bounds))
        and each_alone([*plan.tiling.before, *inner, *plan.tiling.after], going, Part)
    )


def once(plan: Plan) -> Once:
    """What is computed in the first call alone."""
    goes_on = plan.entry.goes_on and can_go_on(plan)
    names = [plan.names[name] for name in plan.entry.once if goes_on]
    tile, after = plan.tiling.tile, plan.tiling.after
    read = [o for s in (*(tile.statements if tile else ()), *after) for o in s.operands]
    return computed_once(plan.tiling.before, names, [*read, *plan.packing.results])


def goes_behind(plan: Plan) -> bool:
    """Whether tokens of a call meet those of earlier ones."""
    meets = plan.tiling.tile is not None or plan.recalls
    return plan.entry.goes_on and meets and not plan.entry.once and can_go_on(plan)


def keeps_tokens(plan: Plan) -> bool:
    """Whether the function has the argument `past`."""
    return goes_behind(plan) or bool(once(plan).kept)


def counts_tokens(plan: Plan) -> bool:
    """Whether the function has the argument `start`: it reads where tokens stand."""
    return plan.entry.goes_on and can_go_on(plan) and (keeps_tokens(plan) or _has_positions(plan))


def arguments(plan: Plan) -> list[str]:
    """Those of the function, with their defaults."""
    return [*["start=0"] * counts_tokens(plan), *["past=None"] * keeps_tokens(plan)]


def slice_lines(plan: Plan) -> Iterator[str]:
    """The line that says where the tokens of the call stand."""
    if counts_tokens(plan) and not plan.entry.once and (plan.tiling.tile or _has_positions(plan)):
        (clock,) = _clocks(plan)
        yield f"{NEW} = slice(start, start + sizes[{json.dumps(clock)}])  # the tokens of this call"


def going_on(plan: Plan, statement: Statement) -> Statement:
    """A statement outside tiles, where the tokens of a call come after others."""
    return with_memory(statement) if goes_behind(plan) else statement


def kept_lines(plan: Plan, tile: Tile) -> Iterator[str]:
    """Lines that put what tiles read of the new tokens behind what they read of earlier ones."""
    for variable in _read(tile):
        if tile.columns in variable.axes:
            axis = variable.axes.index(tile.columns) - len(variable.axes)
            name = json.dumps(variable.code, ensure_ascii=False)
            yield f"{variable.code} = kept_behind(past, {name}, {variable.code}, {axis}, start)"


def _clocks(plan: Plan) -> set[Extent]:
    """The numbers of tokens that there are."""
    return {axis.extent for axis in plan.circuit.axes if axis.role is Role.COLUMN}


def _has_positions(plan: Plan) -> bool:
    formulas = (p for p in plan.circuit.parameters if p.formula)
    return any(side in _clocks(plan) for p in formulas for side in p.shape)


def _has_one_way(tile: Tile, tokens: frozenset[str]) -> bool:
    """Whether rows hear no column after them, and each token brings what is read of it."""
    bounded = any(b.left == tile.columns and b.offset <= 0 for b in tile.bounds)
    return bounded and all(v.batched for v in _read(tile) if tokens & {*v.axes})


def _read(tile: Tile) -> list[Variable]:
    """What a tile reads that it does not make, each once."""
    made = {statement.result.code for statement in tile.statements}
    operands = [o for statement in tile.statements for o in statement.operands]
    return [*{o.code: o for o in operands if o.code not in made}.values()]
