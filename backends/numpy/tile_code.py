"""The text of a tile: a function of the example, the areas and the query tokens that it is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cortico.backends.arrays.file import assignment
from cortico.backends.arrays.operations import (
    Add,
    Divide,
    Inside,
    Multiply,
    Peak,
    Scale,
    Select,
    ShiftedExponential,
    Sum,
)
from cortico.backends.arrays.program import Program, Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.numpy.tiling import Tile
from cortico.ir import Bound


class TileWriter(Writer):
    """NumPy where rows, columns and areas are those of a tile; `areas` are the names of their slices."""

    def __init__(self, sizes: Mapping[str, str], tile: Tile, areas: Mapping[str, str]) -> None:
        self._pair = {tile.rows, tile.columns}
        self.slots = 0
        self._places = {tile.rows: "rows", **areas}
        if tile.bounds:
            self._places[tile.columns] = "columns"
        lengths = {axis: f"({name}.stop - {name}.start)" for axis, name in self._places.items()}
        super().__init__({**sizes, **lengths})

    def _tensordot(
        self, first: Variable, second: Variable, summed: list[str], onto: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        return self._matmul(first, second, summed, onto)

    def matmul(self, left: str, right: str, axes: tuple[str, ...]) -> str:
        """An array over the pairs of a tile lies in the memory of the thread."""
        if not self._pair <= {*axes}:
            return super().matmul(left, right, axes)
        self.slots += 1
        return f"product({left}, {right}, scratch, {self.slots})"

    def positions(self, axis: str) -> str:
        if axis not in self._places:
            return super().positions(axis)
        place = self._places[axis]
        return f"np.arange({place}.start, {place}.stop)"


class TileCode:
    """Writes one tile. Arrays of pairs are changed in place where nothing else reads them."""

    def __init__(
        self, tile: Tile, program: Program, sizes: Mapping[str, str], own_rows: str = ""
    ) -> None:
        self._tile, self._program, self._sizes = tile, program, sizes
        self._own_rows = own_rows  # the slice of rows that arrays have, where it is not all
        self._here = "here" if own_rows else "rows"
        self._areas = program.names.of(tile.areas)
        self._write = TileWriter(sizes, tile, self._areas)
        self._made = {s.result.code: s.operation for s in tile.statements}
        self._uses = Counter(o.code for s in tile.statements for o in s.operands)
        self._now = {  # a result that the tile itself reads has a name apart from the array outside
            v.code: program.names.fresh(f"{v.code}_rows")
            for v in tile.exported
            if self._uses[v.code]
        }
        self._order: dict[str, tuple[str, ...]] = {}  # of axes, where a result lies in an operand
        self._last = {v.code for v in tile.exported if not self._uses[v.code]}
        self._divisors = self._shifted_divisors()
        self._peaks: set[str] = set()  # that have a name

    # ---- the whole ---------------------------------------------------------------------------------

    def lines(self, shown: frozenset[str]) -> Iterator[str]:
        """The arrays that tiles fill, the function, and the call that runs it for all tiles.

        The arrays in `shown` are returned; others lie in memory that the next call uses again.
        """
        tile = self._tile
        for variable in tile.exported:
            whole = self._whole(variable)
            shape = f"(*batch, {', '.join(self._sizes[axis] for axis in whole.axes)})"
            new, again = f"np.empty({shape}, dtype)", f'kept(work, "{whole.code}", {shape}, dtype)'
            yield assignment(whole, new if whole.code in shown else again)
        yield ""
        shifted = ", shifted=False" if self._divisors else ""
        yield f"def tile(index, rows, scratch{shifted}):"
        yield from (f"    {line}" if line else "" for line in self._body())
        yield ""
        areas = ", ".join(self._sizes[axis] for axis in tile.areas)
        stack = f"({areas},)" if len(tile.areas) == 1 else f"({areas})"
        rows = self._own_rows or f"slice(0, {self._sizes[tile.rows]})"
        bounded = ", bounded=True" if tile.bounds else ""
        yield f"in_tiles(tile, batch, {stack}, {rows}, {self._width()}, dtype, threads, work{bounded})"

    def _width(self) -> str:
        """Code for the number of columns of a tile, as far as it is known."""
        both = {(b.left, b.right): b.offset for b in self._tile.bounds}
        ahead = both.get((self._tile.columns, self._tile.rows))
        behind = both.get((self._tile.rows, self._tile.columns))
        size = self._sizes[self._tile.columns]
        return size if ahead is None or behind is None else f"min({size}, {ahead + behind + 1})"

    def exported(self) -> dict[str, Variable]:
        """Exported results as they are after the tiles: rows first, then areas."""
        return {variable.code: self._whole(variable) for variable in self._tile.exported}

    def _whole(self, variable: Variable) -> Variable:
        first = (self._tile.rows, *self._tile.areas)
        return replace(variable, axes=(*first, *(a for a in variable.axes if a not in first)))

    # ---- the function ------------------------------------------------------------------------------

    def _body(self) -> Iterator[str]:
        areas = self._areas.values()
        yield f"*example, {', '.join(areas)} = index" if areas else "example = index"
        if self._own_rows:
            start = f"{self._own_rows}.start"
            yield f"here = slice(rows.start - {start}, rows.stop - {start})  # in arrays of these rows"
        if self._tile.bounds:
            yield f"columns = {self._columns()}"
        yield from self._imports()
        for statement in self._tile.statements:
            yield from (f"# {text}" for text in statement.comments)
            yield from self._statement(statement)
            if statement.result.code in self._divisors:
                yield f"if not shifted and not in_range({self._name(statement.result)}):"
                yield "    return tile(index, rows, scratch, shifted=True)"
        for variable in self._tile.exported:
            if variable.code not in self._last:
                code = self._write.transposed(self._local(variable), self._whole(variable).axes)
                yield f"{self._target(variable)} = {code}"

    def _columns(self) -> str:
        """The slice of key tokens that the bounds leave for the rows."""
        start, stop = "0", self._sizes[self._tile.columns]
        for bound in self._tile.bounds:
            if bound.left == self._tile.columns:
                stop = f"min({stop}, rows.stop + {bound.offset})" if bound.offset else "rows.stop"
            else:
                start = f"max(0, rows.start - {bound.offset})"
        return f"slice({start}, {stop})"

    def _imports(self) -> Iterator[str]:
        """Views of what the tile reads: the rows and columns of one area and example."""
        seen: set[str] = set()
        operands = [o for s in self._tile.statements for o in s.operands]
        for operand in operands:
            if operand.code in self._made or self._key(operand) in seen:
                continue
            seen.add(self._key(operand))
            index = self._index(operand)
            if index:
                name = self._program.names.fresh(f"{operand.code}_tile")
                self._now[self._key(operand)] = name
                yield assignment(self._local(operand), self._read(operand, index))

    def _read(self, operand: Variable, index: str) -> str:
        """Code for a part of an array. What all rows read, one tile after another, is kept close by."""
        again = self._tile.columns in operand.axes and self._tile.rows not in operand.axes
        if not again or len(operand.axes) < 2 or not operand.batched:
            part = replace(operand, code=f"{operand.code}[{index}]", batched=False)
            return self._write.transposed(part, self._local(operand).axes)
        self._write.slots += 1
        whole = replace(
            operand, code=f"{operand.code}[{index.replace('columns', ':')}]", batched=False
        )
        axes = self._local(operand).axes
        code = (
            f"close_by({self._write.transposed(whole, axes)}, index, scratch, {self._write.slots})"
        )
        return (
            f"{code}[{':, ' * axes.index(self._tile.columns)}columns]"
            if self._tile.bounds
            else code
        )

    def _key(self, variable: Variable) -> str:
        made = variable.code in self._made
        return variable.code if made else f"{variable.code}[{''.join(variable.axes)}]"

    def _index(self, variable: Variable) -> str:
        places = {self._tile.rows: self._here, **self._areas}
        if self._tile.bounds:
            places[self._tile.columns] = "columns"
        steps = [places.get(axis, ":") for axis in variable.axes]
        while steps and steps[-1] == ":":
            steps.pop()
        if not variable.batched:
            return ", ".join(steps)
        return ", ".join(["*example", *steps])

    def _local(self, variable: Variable) -> Variable:
        """A variable as it is within a tile: without batch, areas first."""
        axes = self._order.get(variable.code)
        if axes is None:
            areas = tuple(axis for axis in self._tile.areas if axis in variable.axes)
            axes = (*areas, *(axis for axis in variable.axes if axis not in areas))
        return replace(variable, code=self._name(variable), axes=axes, batched=False)

    def _name(self, variable: Variable) -> str:
        return self._now.get(self._key(variable), variable.code)

    def _target(self, variable: Variable) -> str:
        areas = "".join(f", {a}" for a in self._areas.values())
        return f"{variable.code}[*example, {self._here}{areas}]"

    # ---- statements --------------------------------------------------------------------------------

    def _statement(self, statement: Statement) -> Iterator[str]:
        match statement.operation:
            case Peak():
                yield from self._peak(statement)
            case Select() if self._can_silence(statement):
                yield from self._silenced(statement)
            case Inside() if self._only_silences(statement):
                return
            case ShiftedExponential():
                yield from self._shifted(statement)
            case Sum() if self._adds_up_rows(statement):
                (operand,) = map(self._local, statement.operands)
                ones = f"np.ones({operand.code}.shape[-1], dtype)"  # BLAS adds up faster than sum()
                yield assignment(self._local(statement.result), f"{operand.code} @ {ones}")
            case Add() | Multiply() | Scale() if self._reused(statement):
                yield self._augmented(statement)
            case _:
                yield self._assigned(statement)

    def _assigned(self, statement: Statement) -> str:
        """`result = code`; into the array outside when nothing else in the tile reads it."""
        result, operands = (
            self._local(statement.result),
            tuple(map(self._local, statement.operands)),
        )
        if statement.result.code in self._last:
            result = replace(result, axes=self._whole(statement.result).axes)
            code = statement.operation.code(self._write, result, operands)
            return f"{self._target(statement.result)} = {code}"
        code = statement.operation.code(self._write, result, operands)
        return assignment(result, code)

    def _adds_up_rows(self, statement: Statement) -> bool:
        (operand,) = map(self._local, statement.operands)
        exported = statement.result.code in {v.code for v in self._tile.exported}
        pair = (self._tile.rows, self._tile.columns)
        rows_last = self._local(statement.result).axes == operand.axes[:-1]
        return operand.axes[-2:] == pair and rows_last and not exported

    def _is_large(self, variable: Variable) -> bool:
        return {self._tile.rows, self._tile.columns} <= {*variable.axes}

    def _reused(self, statement: Statement) -> Variable | None:
        """An operand of the result's axes that is made here and read only once: it may be overwritten."""
        local = self._local(statement.result)
        for operand in statement.operands:
            if (
                operand.code in self._made
                and self._is_large(operand)
                and self._uses[operand.code] == 1
                and {*self._local(operand).axes} == {*local.axes}
                and not isinstance(self._made[operand.code], Inside)  # holds rates, no truth values
            ):
                return operand
        return None

    def _overwritten(self, target: Variable, result: Variable) -> Variable:
        """`target` as it is within the tile, which `result` is from now on."""
        local = self._local(target)
        self._now[result.code], self._order[result.code] = local.code, local.axes
        return local

    def _augmented(self, statement: Statement) -> str:
        target = self._reused(statement)
        assert target is not None
        local = self._overwritten(target, statement.result)
        rest = [o for o in statement.operands if o is not target]
        operator = "+" if isinstance(statement.operation, Add) else "*"
        if isinstance(statement.operation, Scale):
            return f"{local.code} *= {statement.operation.gain}"
        code = f" {operator} ".join(self._write.indexed(self._local(o), local.axes) for o in rest)
        return f"{local.code} {operator}= {code}"

    # ---- bounds ------------------------------------------------------------------------------------

    def _can_silence(self, statement: Statement) -> bool:
        return self._reused(statement) is statement.operands[0]

    def _only_silences(self, statement: Statement) -> bool:
        """Whether a bound is needed as an array nowhere in the tile."""
        readers = [s for s in self._tile.statements if statement.result in s.operands]
        return all(isinstance(s.operation, Select) and self._can_silence(s) for s in readers)

    def _silenced(self, statement: Statement) -> Iterator[str]:
        """The first operand, overwritten where the others do not hold."""
        value, *conditions = statement.operands
        local, operation = self._overwritten(value, statement.result), statement.operation
        assert isinstance(operation, Select)
        nothing = "-np.inf" if operation.silent else "0"
        for condition in conditions:
            maker = self._made.get(condition.code)
            if isinstance(maker, Inside):
                yield self._silence_outside(local, maker.bounds, nothing)
            else:
                test = Select.condition(self._write, self._local(condition), local.axes)
                yield f"np.copyto({local.code}, {nothing}, where=~{test})"

    def _silence_outside(self, local: Variable, bounds: tuple[Bound, ...], nothing: str) -> str:
        limits = [
            f"most={bound.offset}" if bound.left == self._tile.columns else f"least={-bound.offset}"
            for bound in bounds
        ]
        pair = (self._tile.rows, self._tile.columns)
        others = tuple(axis for axis in local.axes if axis not in pair)
        matrix = self._write.transposed(local, (*others, *pair))
        first = "columns.start" if self._tile.bounds else "0"
        offset = f"rows.start - {first}"
        return f"silence({matrix}, {nothing}, {offset}, {', '.join(limits)})"

    # ---- softmax -----------------------------------------------------------------------------------

    def _shifted_divisors(self) -> frozenset[str]:
        """Divisors made of shifted exponentials: while they are in range, no shift is needed."""
        pooled: set[str] = set()
        divisors: set[str] = set()
        for statement in self._tile.statements:
            if isinstance(statement.operation, ShiftedExponential) or any(
                operand.code in pooled for operand in statement.operands
            ):
                pooled.add(statement.result.code)
            if isinstance(statement.operation, Divide) and statement.operands[1].code in pooled:
                divisors.add(statement.operands[1].code)
        return frozenset(divisors)

    def _peak(self, statement: Statement) -> Iterator[str]:
        """The shift, which is left out (and zero) while what divides stays in range without it."""
        readers = [s for s in self._tile.statements if statement.result in s.operands]
        if self._divisors and all(map(self._may_overwrite, readers)) and len(readers) == 1:
            return  # written where it is subtracted
        result, code = self._local(statement.result), self._peak_code(statement)
        if self._divisors:
            sides = ", ".join(self._write.sizes[axis] for axis in result.axes)
            code = f"{code} if shifted else np.zeros([{sides}], dtype)"
        yield assignment(result, code)
        self._peaks.add(statement.result.code)

    def _peak_code(self, statement: Statement) -> str:
        operands = tuple(map(self._local, statement.operands))
        return statement.operation.code(self._write, self._local(statement.result), operands)

    def _shifted(self, statement: Statement) -> Iterator[str]:
        if not self._divisors or not self._may_overwrite(statement):
            yield self._assigned(statement)
            return
        exponent, peak = map(self._local, statement.operands)
        if statement.operands[1].code not in self._peaks:
            (maker,) = [s for s in self._tile.statements if s.result == statement.operands[1]]
            peak = replace(peak, code=self._peak_code(maker))
        result = self._local(statement.result)
        yield "if shifted:"
        yield f"    {exponent.code} -= {self._write.indexed(peak, exponent.axes)}"
        yield assignment(result, f"np.exp({exponent.code}, out={exponent.code})")

    def _may_overwrite(self, statement: Statement) -> bool:
        """Whether only the peak and this statement read the exponent."""
        if not isinstance(statement.operation, ShiftedExponential):
            return False
        exponent = statement.operands[0]
        peaks = [s for s in self._tile.statements if isinstance(s.operation, Peak)]
        read = sum(exponent in peak.operands for peak in peaks)
        return (
            exponent.code in self._made
            and self._uses[exponent.code] == 1 + read
            and self._local(exponent).axes == self._local(statement.result).axes
        )
