"""What can be done to the weights once, before any token is seen.

Products of one array with several weights become one product with all their columns side by side:
[Q|K|V]. Biases and constant gains go into it. Statements that depend on weights alone move there too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cortico.backends.arrays.operations import Reorder, Reread
from cortico.backends.arrays.program import Program, Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.numpy.linear_maps import LinearMap, LinearMaps
from cortico.backends.numpy.operations import Part, Project, columns_code

#: The axis of a fused product: no axis of a circuit has an empty name.
_COLUMNS = ""


@dataclass(frozen=True)
class Packing:
    """A program in two parts: what makes the weights ready, and the statements that use them."""

    constants: list[Statement]  #: on weights alone
    lines: list[str]  #: that make the fused matrices and biases
    statements: list[Statement]
    results: list[Variable]


def pack(
    program: Program,
    results: Sequence[Variable],
    weights: Iterable[str],
    write: Writer,
    apart: str | None = None,
) -> Packing:
    """The program without what depends on `weights` (Python names) alone, which comes apart.

    Products over the axis `apart` are not side by side with others.
    """
    constants, rest = _split_constants(program.statements, weights, write)
    known = frozenset([*weights, *(statement.result.code for statement in constants)])
    maps = LinearMaps(results, known)
    found = maps.found(rest)
    of_source = defaultdict(list)
    for part in found:
        if isinstance(part, LinearMap):
            of_source[part.key(apart)].append(part)
    fuser = _Fuser(program, write.sizes)
    for part in found:
        if isinstance(part, Statement):
            fuser.statements.append(part)
        elif part.key(apart) in of_source:
            fuser.fuse(of_source.pop(part.key(apart)))
    results = maps.results()
    statements = _kept_apart(fuser.statements, results)
    return Packing(constants, fuser.lines, statements, results)


def _kept_apart(statements: list[Statement], results: Sequence[Variable]) -> list[Statement]:
    """The statements, where no product that a result is a view of lies in memory for the next call."""
    views = shown(statements, results)
    return [
        replace(s, operation=replace(s.operation, stays=False))
        if isinstance(s.operation, Project) and s.result.code in views
        else s
        for s in statements
    ]


def shown(statements: Sequence[Statement], results: Iterable[Variable]) -> frozenset[str]:
    """Names of the results, and of arrays that they are views of."""
    names = {result.code for result in results}
    for statement in reversed(statements):
        if (
            isinstance(statement.operation, Part | Reorder | Reread)
            and statement.result.code in names
        ):
            names.update(operand.code for operand in statement.operands)
    return frozenset(names)


def _split_constants(
    statements: Iterable[Statement], weights: Iterable[str], write: Writer
) -> tuple[list[Statement], list[Statement]]:
    """Statements on weights alone, of no size that is known only with the inputs; and all others."""
    known = set(weights)
    constants: list[Statement] = []
    rest: list[Statement] = []
    for statement in statements:
        code = statement.operation.code(write, statement.result, statement.operands)
        if "sizes[" not in code and all(operand.code in known for operand in statement.operands):
            known.add(statement.result.code)
            constants.append(statement)
        else:
            rest.append(statement)
    return constants, rest


class _Fuser:
    """Writes one product for all linear maps of an array."""

    def __init__(self, program: Program, sizes: Mapping[str, str]) -> None:
        self._program = program
        self._write = Writer(sizes)
        self.lines: list[str] = []
        self.statements: list[Statement] = []

    def fuse(self, maps: list[LinearMap]) -> None:
        """One product for `maps`, which read the same array."""
        fresh = self._program.names.fresh
        names = "_".join(dict.fromkeys(item.weight.code for item in maps))
        matrix = fresh(f"{names}_matrix" if len(maps) == 1 else "projection")
        self.lines.append(f"{matrix} = {_side_by_side([self._matrix(m) for m in maps])}")
        bias = ""
        if any(item.biases for item in maps):
            bias = fresh(f"{matrix}_bias")
            self.lines.append(f"{bias} = {_side_by_side([self._bias(m) for m in maps])}")
        whole = self._product(maps, matrix, bias)
        if not self._is_whole(maps):
            self._split(maps, whole)

    def _is_whole(self, maps: list[LinearMap]) -> bool:
        return len(maps) == 1 and len(maps[0].shown) == 1

    def _product(self, maps: list[LinearMap], matrix: str, bias: str) -> Variable:
        first = maps[0]
        rest = tuple(axis for axis in first.source.axes if axis not in first.summed)
        whole = first.result
        if not self._is_whole(maps):
            label = f"{first.result.code}_columns" if len(maps) == 1 else "projected"
            name = self._program.names.fresh(label)
            whole = Variable(name, (*rest, _COLUMNS), batched=True)
        comments = tuple(dict.fromkeys(text for item in maps for text in item.comments))
        operation = Project(matrix, first.summed, bias, stays=not self._is_whole(maps))
        self.statements.append(Statement(whole, operation, (first.source,), comments))
        return whole

    def _split(self, maps: list[LinearMap], whole: Variable) -> None:
        for k, item in enumerate(maps):
            part = Part(tuple(before.shown for before in maps[:k]), item.shown)
            self.statements.append(Statement(item.result, part, (whole,)))

    def _matrix(self, item: LinearMap) -> str:
        """Code for a weight as a matrix, with the axes that are summed along its rows."""
        code = self._write.transposed(item.weight, (*item.summed, *item.shown))
        rows, columns = (self._columns(axes) for axes in (item.summed, item.shown))
        if len(item.summed) > 1 or len(item.shown) > 1 or not item.shown:
            code = f"{code}.reshape({rows}, {columns})"
        return _scaled(item.gains, code)

    def _bias(self, item: LinearMap) -> str:
        """Code for the sum of all biases of a map, one number per column."""
        if not item.biases:
            return f"np.zeros({self._columns(item.shown)}, dtype)"
        parts = [self._bias_part(gains, bias, item.shown) for gains, bias in item.biases]
        return " + ".join(parts)

    def _bias_part(self, gains: list[str], bias: Variable, shown: tuple[str, ...]) -> str:
        if {*bias.axes} == {*shown}:
            code = self._write.transposed(bias, shown)
        else:
            sides = ", ".join(self._write.sizes[axis] for axis in shown)
            code = f"np.broadcast_to({self._write.indexed(bias, shown)}, [{sides}])"
        flat = code if len(shown) == 1 else f"{code}.reshape({self._columns(shown)})"
        return _scaled(gains, flat)

    def _columns(self, axes: tuple[str, ...]) -> str:
        """Code for the number of columns over some axes."""
        return columns_code([axes], self._write.sizes)


def _scaled(gains: Sequence[str], code: str) -> str:
    return " * ".join([*gains, code])


def _side_by_side(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return "\n".join(
        [
            "np.concatenate(",
            "    [",
            *(f"        {p}," for p in parts),
            "    ],",
            "    axis=-1,",
            ")",
        ]
    )
