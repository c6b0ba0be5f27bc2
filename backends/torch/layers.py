"""Products of arrays with weights become linear layers: those that read the same array, one layer.

A layer holds its weights as one matrix, with the rows of every product one after another, and the biases
that are added right after. So a token is projected to queries, keys and values by one matrix product.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from cortico.backends.arrays.operations import Add, Contract
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.names import Names, plain


@dataclass(frozen=True)
class Member:
    """One product of a layer: `gain` times `source` times `weight`, plus `bias`, is `result`."""

    source: Variable
    weight: Variable
    bias: Variable | None
    result: Variable
    gain: str
    comments: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The axes that are summed."""
        return tuple(axis for axis in self.source.axes if axis in self.weight.axes)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The axes of the source that are kept."""
        return tuple(axis for axis in self.source.axes if axis not in self.weight.axes)

    @property
    def rows(self) -> tuple[str, ...]:
        """The axes that the weight brings."""
        return tuple(axis for axis in self.weight.axes if axis not in self.source.axes)

    def length(self, sizes: Mapping[str, int]) -> int:
        """The number of rows of the matrix."""
        return math.prod(sizes[axis] for axis in self.rows)


@dataclass(frozen=True)
class Layer:
    """A linear layer, an attribute of the emitted module."""

    name: str
    members: tuple[Member, ...]

    def parts(self, sizes: Mapping[str, int]) -> list[str]:
        """The slice of rows of each member; empty when there is only one."""
        if len(self.members) == 1:
            return [""]
        ends = list(accumulate((m.length(sizes) for m in self.members), initial=0))
        return [f"{start}:{stop}" for start, stop in pairwise(ends)]


@dataclass(frozen=True)
class Project:
    """All outputs of a layer: `columns` of the source are summed."""

    layer: str
    columns: tuple[str, ...]

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (source,) = operands
        text = write.transposed(source, (*result.axes[:-1], *self.columns))
        if len(self.columns) > 1:
            text = f"merge_columns({text}, {len(self.columns)})"
        return f"self.{self.layer}({text})"


@dataclass(frozen=True)
class Rows:
    """A part of the outputs of a layer, over `tokens` and `rows`; all of them when `part` is empty."""

    tokens: tuple[str, ...]
    rows: tuple[str, ...]
    part: str
    gain: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        text = operands[0].code + (f"[..., {self.part}]" if self.part else "")
        if len(self.rows) > 1:
            text = f"split_columns({text}, {', '.join(write.sizes[axis] for axis in self.rows)})"
        text = write.transposed(Variable(text, (*self.tokens, *self.rows), True), result.axes)
        return f"{self.gain} * {text}" if self.gain else text


def with_layers(
    statements: Sequence[Statement],
    weights: Iterable[str],
    sizes: Mapping[str, int],
    names: Names,
    attributes: Names,
) -> tuple[list[Statement], list[Layer]]:
    """The same program with linear layers, and these layers.

    `weights` are names of parameters that may become parts of layers; those that are read more than once
    stay as they are. `sizes` has the length of every axis of them. Variables get fresh `names`, layers
    fresh `attributes`.
    """
    search = _Search(statements, set(weights))
    found = {s.result.code: member for s in statements if (member := search.member(s))}
    groups: dict[object, list[Member]] = {}
    for member in found.values():
        places = tuple(map(member.source.axes.index, member.columns))
        key = (member.source.code, places, member.bias is not None)
        groups.setdefault(key, []).append(member)
    layers = [Layer(_name(group, attributes), tuple(group)) for group in groups.values()]
    calls = {group.members[0].result.code: _calls(group, sizes, names) for group in layers}
    program: list[Statement] = []
    for statement in statements:
        member = found.get(statement.result.code)
        if member:
            program += calls.get(member.result.code, [])
        else:
            program += search.without_biases(statement)
    return program, layers


def _name(group: Sequence[Member], names: Names) -> str:
    return names.fresh("_".join(plain(m.result.code).removesuffix("_part") for m in group))


def _calls(layer: Layer, sizes: Mapping[str, int], names: Names) -> list[Statement]:
    """The statements that call a layer and take its outputs apart."""
    first = layer.members[0]
    project = Project(layer.name, first.columns)
    plain = (*first.tokens, *first.rows) == first.result.axes and len(first.rows) == 1
    if plain and not first.gain and len(layer.members) == 1:
        return [Statement(first.result, project, (first.source,), first.comments)]
    projected = Variable(names.fresh("projected"), (*first.tokens, "…"), True)
    program = [Statement(projected, project, (first.source,))]
    for member, part in zip(layer.members, layer.parts(sizes), strict=True):
        rows = Rows(member.tokens, member.rows, part, member.gain)
        program.append(Statement(member.result, rows, (projected,), member.comments))
    return program


class _Search:
    """Finds the products with weights that are read once, and the biases that are added to them."""

    def __init__(self, statements: Sequence[Statement], weights: set[str]) -> None:
        self.uses = Counter(operand.code for s in statements for operand in s.operands)
        self.single = {name for name in weights if self.uses[name] == 1}
        self.sums = {o.code: s for s in statements if s.operation == Add() for o in s.operands}
        self.added: set[str] = set()

    def member(self, statement: Statement) -> Member | None:
        """The product of an array with a weight that this statement is, if it is one."""
        if not isinstance(statement.operation, Contract):
            return None
        gain, comments = statement.operation.gain, statement.comments
        for source, weight in (statement.operands, statement.operands[::-1]):
            member = Member(source, weight, None, statement.result, gain, comments)
            shown = {*member.tokens, *member.rows}
            regular = source.batched and bool(member.rows) and shown == {*statement.result.axes}
            if weight.code in self.single and regular:
                return member if gain else self._with_bias(member)
        return None

    def _with_bias(self, member: Member) -> Member:
        """`member` with the bias over its rows that is added to it right after, if there is one."""
        addition = self.sums.get(member.result.code)
        if addition is None or self.uses[member.result.code] != 1:
            return member
        for bias in addition.operands:
            if {*bias.axes} == {*member.rows} and bias.code in self.single - self.added:
                self.added.add(bias.code)
                if len(addition.operands) > 2:
                    return replace(member, bias=bias)
                comments = (*member.comments, *addition.comments)
                return replace(member, bias=bias, result=addition.result, comments=comments)
        return member

    def without_biases(self, statement: Statement) -> list[Statement]:
        """A statement, or what is left of a sum when layers have added the biases."""
        rest = tuple(o for o in statement.operands if o.code not in self.added)
        if rest == statement.operands:
            return [statement]
        return [replace(statement, operands=rest)] if len(rest) > 1 else []
