"""What MPI ranks share: the areas of a circuit and, where these are fewer, its query tokens.

Areas meet in one sum (through W_O, in the thalamus). Each rank computes what leads to that sum for some
areas, perhaps for some query tokens; the sum over ranks of what it then has is the one collective. What comes
after (a bias) every rank does by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cortico.backends.arrays.operations import Contract, OneHot, PastProduct, PastSum, Sum
from cortico.backends.arrays.program import Program, Statement
from cortico.backends.arrays.variables import Variable, axes_of
from cortico.backends.numpy.operations import Own, Project


@dataclass(frozen=True)
class Shared:
    """The axes that ranks share, with the Python names of a rank's slice of each and of its length."""

    area: str
    own_area: str
    areas: str
    row: str | None = None  #: the axis of query tokens, where these may be shared too
    own_row: str = ""
    rows: str = ""


def shared_axes(
    program: Program,
    results: Sequence[Variable],
    areas: Iterable[str],
    tokens: frozenset[str],
    inputs: frozenset[str],
    weights: frozenset[str],
) -> Shared | None:
    """What ranks can share of a program; None where no one sum brings areas together.

    `areas` are axes, best first; `inputs` and `weights` are Python names.
    """
    statements = program.statements
    for area in areas:
        meeting = _meeting(statements, results, area, inputs, weights)
        if meeting:
            names = [program.names.fresh(f"{prefix}_{area}") for prefix in ("own", "n")]
            row = _row(statements, results, meeting, tokens)
            if row is None:
                return Shared(area, *names)
            rows = [program.names.fresh(f"{prefix}_{row}") for prefix in ("own", "n")]
            return Shared(area, names[0], names[1], row, *rows)
    return None


def meeting_of(statements: Sequence[Statement], area: str) -> Statement:
    """The statement that sums the areas."""
    (found,) = _losing(statements, area)
    return found


def _losing(statements: Iterable[Statement], axis: str) -> list[Statement]:
    return [s for s in statements if axis in s.lost]


def _meeting(
    statements: Sequence[Statement],
    results: Sequence[Variable],
    area: str,
    inputs: frozenset[str],
    weights: frozenset[str],
) -> Statement | None:
    """The one sum over `area`, if nothing else needs more than one area at a time."""
    losing = _losing(statements, area)
    if len(losing) != 1 or not isinstance(losing[0].operation, Contract | Sum):
        return None
    (meeting,) = losing
    later = _depending(statements, meeting)
    variables = [v for s in statements for v in (s.result, *s.operands)]
    if (
        not meeting.result.batched
        or any(area in v.axes for v in (*results, *(v for v in variables if v.code in inputs)))
        or any(area in axes_of((s.result, *s.operands)) for s in later)
        or any(area in s.result.axes for s in statements if isinstance(s.operation, OneHot))
        or not _same_places(variables, area, weights)
    ):
        return None
    return meeting


def _same_places(variables: Iterable[Variable], area: str, weights: frozenset[str]) -> bool:
    """Whether each weight has its areas along the same axis wherever it is read."""
    places: dict[str, set[tuple[int, ...]]] = {}
    for v in variables:
        if v.code in weights:
            found = tuple(k for k, axis in enumerate(v.axes) if axis == area)
            places.setdefault(v.code, set()).add(found)
    return all(len(found) == 1 for found in places.values())


def places_of(statements: Iterable[Statement], area: str) -> dict[str, int]:
    """Variable to the place of `area` among its axes, where it has it."""
    variables = (v for s in statements for v in (s.result, *s.operands))
    return {v.code: v.axes.index(area) for v in variables if area in v.axes}


def _depending(statements: Iterable[Statement], first: Statement) -> list[Statement]:
    """The statements that depend on `first`."""
    codes, found = {first.result.code}, []
    for s in statements:
        if s is not first and any(o.code in codes for o in s.operands):
            codes.add(s.result.code)
            found.append(s)
    return found


def leading_to(statements: Sequence[Statement], last: Statement) -> list[Statement]:
    """The statements on which `last` depends, and itself."""
    needed, found = set[str](), []
    for s in reversed(statements):
        if s is last or s.result.code in needed:
            needed.update(o.code for o in s.operands)
            found.append(s)
    return found[::-1]


# ---- rows --------------------------------------------------------------------------------------------


def _row(
    statements: Sequence[Statement],
    results: Sequence[Variable],
    meeting: Statement,
    tokens: frozenset[str],
) -> str | None:
    """The axis of query tokens, if what leads to the meeting keeps each of them apart."""
    inner = leading_to(statements, meeting)
    for row in sorted(tokens.intersection(meeting.result.axes)):
        past = any(isinstance(s.operation, PastProduct | PastSum) for s in inner)
        if not past and not _losing(inner, row) and can_share(statements, results, meeting, row):
            return row
    return None


def can_share(
    statements: Sequence[Statement], results: Sequence[Variable], meeting: Statement, row: str
) -> bool:
    """Whether no array of one rank's rows is needed after the meeting, and no rows come from packed weights."""
    inner = leading_to(statements, meeting)
    from_weights = any(isinstance(s.operation, Project) and _makes(s, row) for s in inner)
    if from_weights or row not in meeting.result.axes:
        return False
    made = {s.result.code for s in inner if row in s.result.axes} - {meeting.result.code}
    codes = {s.result.code for s in inner}
    read = [o for s in statements if s.result.code not in codes for o in s.operands]
    return not any(v.code in made for v in (*read, *results))


def _makes(statement: Statement, axis: str) -> bool:
    return axis in statement.result.axes and axis not in axes_of(statement.operands)


class OwnRows:
    """Rewrites what leads to the meeting so that it reads only a rank's rows of inputs and weights."""

    def __init__(self, program: Program, shared: Shared) -> None:
        assert shared.row is not None
        self._program, self._row, self._slice = program, shared.row, shared.own_row
        self._slices: dict[Variable, Variable] = {}
        self._made: set[str] = set()

    def rewritten(self, statements: Sequence[Statement], meeting: Statement) -> Iterator[Statement]:
        """All statements, those that lead to the meeting on rows of a rank."""
        inner = {id(s) for s in leading_to(statements, meeting)}
        for statement in statements:
            if id(statement) in inner:
                yield from self._inner(statement)
            else:
                yield statement

    def _inner(self, statement: Statement) -> Iterator[Statement]:
        operands = []
        for operand in statement.operands:
            if self._row in operand.axes and operand.code not in self._made:
                if operand not in self._slices:
                    yield self._cut(operand)
                operand = self._slices[operand]
            operands.append(operand)
        if self._row in statement.result.axes:
            self._made.add(statement.result.code)
        yield replace(statement, operands=tuple(operands))

    def _cut(self, variable: Variable) -> Statement:
        name = self._program.names.fresh(f"{variable.code}_own")
        own = self._slices[variable] = replace(variable, code=name)
        return Statement(own, Own(self._slice, variable.axes.index(self._row)), (variable,))
