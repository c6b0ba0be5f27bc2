"""Products of an array with a weight, and what goes through them: gains and biases.

A map's gain and biases are weights too, so they are taken care of before any token is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cortico.backends.arrays.operations import Add, Contract, Reorder, Scale
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable


@dataclass
class LinearMap:
    """`source @ weight + biases`, where each part has gains of its own."""

    source: Variable
    weight: Variable
    result: Variable
    comments: tuple[str, ...] = ()
    gains: list[str] = field(default_factory=list)
    biases: list[tuple[list[str], Variable]] = field(default_factory=list)

    @property
    def summed(self) -> tuple[str, ...]:
        """The axes that are summed, in the order of the source."""
        return tuple(axis for axis in self.source.axes if axis in self.weight.axes)

    @property
    def shown(self) -> tuple[str, ...]:
        """The axes that the weight brings in."""
        return tuple(axis for axis in self.weight.axes if axis not in self.source.axes)

    def key(self, apart: str | None) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        """What two maps must share to be one product: the array, where it is summed and has `apart`."""
        axes = self.source.axes
        places = tuple(k for k, axis in enumerate(axes) if axis == apart)
        return self.source.code, tuple(axes.index(axis) for axis in self.summed), places

    def scale(self, gain: str) -> None:
        self.gains.append(gain)
        for gains, _ in self.biases:
            gains.append(gain)


class LinearMaps:
    """Finds the linear maps of a program. `known` are the names of what depends on weights alone."""

    def __init__(self, results: Sequence[Variable], known: frozenset[str]) -> None:
        self._results, self._known = results, known
        self._maps: dict[str, LinearMap] = {}
        self._made: dict[str, Statement] = {}
        self._now: dict[str, Variable] = {}
        self._uses: Counter[str] = Counter()

    def found(self, statements: Sequence[Statement]) -> list[LinearMap | Statement]:
        """The program with maps in the place of the statements that they stand for."""
        read = [operand.code for s in statements for operand in s.operands]
        self._uses = Counter([*read, *(result.code for result in self._results)])
        found: list[LinearMap | Statement] = []
        for old in statements:
            operands = tuple(self._current(operand) for operand in old.operands)
            statement = replace(old, operands=operands)
            item = self._map_of(statement)
            if item:
                self._maps[item.result.code] = item
                self._now[item.result.code] = item.result
            part = item or self._absorbed(statement)
            if part:
                found.append(part)
            if isinstance(part, Statement):
                self._made[part.result.code] = part
        return found

    def results(self) -> list[Variable]:
        """The results of the program, under their present names and axes."""
        return [self._current(result) for result in self._results]

    def _current(self, variable: Variable) -> Variable:
        new = self._now.get(variable.code)
        return variable if new is None else replace(variable, code=new.code, axes=new.axes)

    def _map_of(self, statement: Statement) -> LinearMap | None:
        """The map that a statement is: an array of the inputs times a weight, over no axis of both."""
        if not isinstance(statement.operation, Contract):
            return None
        source, weight = statement.operands
        if source.code in self._known:
            source, weight = weight, source
        summed = {*source.axes} & {*weight.axes}
        if source.code in self._known or weight.code not in self._known or not source.batched:
            return None
        gain = statement.operation.gain
        if summed & {*statement.result.axes} or "sizes[" in gain:
            return None
        rest = tuple(axis for axis in source.axes if axis not in summed)
        shown = tuple(axis for axis in weight.axes if axis not in summed)
        result = replace(statement.result, axes=(*rest, *shown))
        gains = [gain] if gain else []
        return LinearMap(source, weight, result, statement.comments, gains)

    def _absorbed(self, statement: Statement) -> Statement | None:
        """What is left of a statement when maps have taken gains, orders and biases; None for nothing."""
        operation = statement.operation
        gain = operation.gain if isinstance(operation, Contract | Scale) else ""
        if isinstance(operation, Contract) and gain and self._scaled(statement.operands, gain):
            return replace(statement, operation=Contract())
        for operand in statement.operands:
            item = self._sole(operand)
            if item is None:
                continue
            if isinstance(operation, Add):
                return self._without_biases(item, statement)
            scaled = isinstance(operation, Scale) and self._scaled([operand], gain)
            if scaled or isinstance(operation, Reorder):
                self._replace(item, statement)
                return None
        return statement

    def _sole(self, variable: Variable) -> LinearMap | None:
        """The map that makes a variable, when it is read once."""
        return self._maps.get(variable.code) if self._uses[variable.code] == 1 else None

    def _scaled(self, factors: Iterable[Variable], gain: str) -> bool:
        """Give a gain to a map that makes one of `factors`, perhaps through products; whether one took it."""
        if "sizes[" in gain:
            return False
        for factor in factors:
            item, maker = self._sole(factor), self._made.get(factor.code)
            if item:
                item.scale(gain)
                return True
            through = (
                maker and self._uses[factor.code] == 1 and isinstance(maker.operation, Contract)
            )
            if maker and through and self._scaled(maker.operands, gain):
                return True
        return False

    def _without_biases(self, item: LinearMap, statement: Statement) -> Statement | None:
        biases = [
            operand
            for operand in statement.operands
            if operand.code in self._known and {*operand.axes} <= {*item.shown}
        ]
        item.biases += [([], bias) for bias in biases]
        rest = tuple(operand for operand in statement.operands if operand not in biases)
        if len(rest) > 1:
            return replace(statement, operands=rest)
        self._replace(item, statement)
        return None

    def _replace(self, item: LinearMap, statement: Statement) -> None:
        """Put the map in the place of a statement that only it went through."""
        del self._maps[item.result.code]
        name = statement.result.code
        item.result = replace(item.result, code=name)
        item.comments = tuple(dict.fromkeys((*item.comments, *statement.comments)))
        self._maps[name] = item
        self._now[name] = item.result
