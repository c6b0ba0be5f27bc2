"""The text of an emitted file that makes it run on one of many MPI ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cortico.backends.arrays.program import Program, Statement
from cortico.backends.numpy.operations import Project, ThreadedWriter
from cortico.backends.numpy.packing import Packing
from cortico.backends.numpy.sharing import (
    OwnRows,
    Shared,
    can_share,
    leading_to,
    meeting_of,
    places_of,
)
from cortico.backends.numpy.tiling import Tile


class Ranks:
    """Writes what ranks share; nothing at all when `shared` is None."""

    def __init__(self, shared: Shared | None, program: Program, whole: Mapping[str, str]) -> None:
        self._shared, self._program, self._whole = shared, program, whole
        self._places = places_of(program.statements, shared.area) if shared else {}
        self._meeting: Statement | None = None
        self._inner: frozenset[str] = frozenset()
        weights = {**whole, shared.area: shared.areas} if shared else whole
        self.write_weights = ThreadedWriter(weights)
        self.write, self.own_rows = self.write_weights, ""

    def apart(self, packing: Packing) -> Packing:
        """The program where what leads to the meeting reads only rows of a rank, if ranks share rows."""
        if self._shared is None:
            return packing
        self._meeting = meeting_of(packing.statements, self._shared.area)
        row = self._shared.row
        if row and can_share(packing.statements, packing.results, self._meeting, row):
            own = OwnRows(self._program, self._shared)
            packing = replace(
                packing, statements=[*own.rewritten(packing.statements, self._meeting)]
            )
            self.own_rows = self._shared.own_row
            sizes = {**self.write_weights.sizes, row: self._shared.rows}
            self.write = ThreadedWriter(sizes, {row: self.own_rows})
            self._meeting = meeting_of(packing.statements, self._shared.area)
        inner = leading_to(packing.statements, self._meeting)
        self._inner = frozenset(s.result.code for s in inner)
        return packing

    def is_inner(self, statement: Statement) -> bool:
        """Whether the meeting depends on a statement, or is it."""
        return statement.result.code in self._inner

    def is_meeting(self, statement: Statement) -> bool:
        """Whether ranks meet in a statement."""
        return self._meeting is not None and statement.result.code == self._meeting.result.code

    def with_bias_once(self, statement: Statement) -> Statement:
        """The meeting with its bias on the ranks of the first area only; others as they are."""
        operation = statement.operation
        if not (self._shared and self.is_meeting(statement) and isinstance(operation, Project)):
            return statement
        others = f"{self._shared.own_area}.start" if self.own_rows else "rank"
        bias = operation.bias and f"None if {others} else {operation.bias}"
        return replace(statement, operation=replace(operation, bias=bias))

    def has(self, tile: Tile) -> bool:
        """Whether ranks can share tiles: they lead to the meeting, along the rows that ranks share."""
        if self._shared is None:
            return True
        return (
            all(map(self.is_inner, tile.statements))
            and self._meeting not in tile.statements
            and (not self.own_rows or tile.rows == self._shared.row)
        )

    # ---- text --------------------------------------------------------------------------------------

    def lines(self, of_weights: bool = False, tile: Tile | None = None) -> list[str]:
        """Lines that find a rank's share; of weights, whose ranks are given, its areas only."""
        shared = self._shared
        if shared is None:
            return []
        count = self._whole[shared.area]
        lengths = {shared.areas: shared.own_area}
        arguments, targets, what = f"{count}", f"{shared.own_area}, _", "areas"
        if self.own_rows and shared.row:
            arguments = f"{count}, {0 if of_weights else self._whole[shared.row]}"
            if not of_weights:
                arguments += ", 0.5" if tile and _hears_all_before(tile) else ""
                targets, what = f"{shared.own_area}, {shared.own_row}", "areas and query tokens"
                lengths[shared.rows] = shared.own_row
        lines = [
            f"{targets} = share(rank, ranks, {arguments})  # {what} of this rank",
            *(f"{length} = {own}.stop - {own}.start" for length, own in lengths.items()),
        ]
        if of_weights:
            return lines
        return ["rank, ranks = rank_of(comm)", *lines]

    def without_unused(self, body: list[str]) -> list[str]:
        """The function without a length that nothing reads."""
        names = (self._shared.areas, self._shared.rows) if self._shared else ()
        unused = {name for name in names if name and "\n".join(body).count(name) == 1}
        return [line for line in body if line.split(" = ")[0] not in unused]

    def packed(self) -> list[str]:
        """Names that packed weights have of a rank."""
        return [self._shared.own_area] if self._shared else []

    def check(self) -> list[str]:
        """The line that refuses weights that were packed for another rank."""
        assert self._shared is not None
        own = self._shared.own_area
        return [f"expect_areas(packed.{own}, {own})"]

    def part_of(self, weight: str) -> list[str]:
        """The last argument of `checked` for a weight that ranks share: a rank's areas of it."""
        place = self._places.get(weight)
        if self._shared is None or place is None:
            return []
        own = self._shared.own_area
        return [f"({'slice(None), ' * place}{own})" if place else own]

    def meeting_line(self, statement: Statement) -> list[str]:
        """The line after a statement in which ranks meet, if they do."""
        result = statement.result
        if self._shared is None or not self.is_meeting(statement):
            return []
        rows = ""
        if self.own_rows and self._shared.row:
            row = self._shared.row
            place = result.axes.index(row) - len(result.axes)
            rows = f", {place}, {self.own_rows}, {self._whole[row]}"
        return [f"{result.code} = sum_of_ranks({result.code}, comm{rows})"]


def _hears_all_before(tile: Tile) -> bool:
    """Whether later rows have more columns."""
    return [bound.left for bound in tile.bounds] == [tile.columns]
