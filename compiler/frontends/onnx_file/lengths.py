"""How many tokens show all that a graph does: more than the numbers that stand in it.

A window of 512 is not seen at 16 tokens. So the longest probe has more tokens than any number with
which the graph may compare positions, and as many as its tables have rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.measuring import TooLargeError
from cortico.frontends.onnx_file.microsoft import EVEN
from cortico.frontends.onnx_file.probe import Probe
from cortico.ir.errors import SpecError

#: Tokens of a probe where the graph does not take as many as usual.
SHORT = (12, 8, 6, 4, 3, 2)
#: Tokens of a longer probe: the first number that the graph takes.
LONG = (257, 129, 65, 33, 24, 20)
#: So many tokens more than a number that they may be compared with.
_MORE = 2
#: Numbers from here up end slices, and are no window.
_ENDLESS = 2**30

#: Operators that compare numbers, of any type.
_COMPARE = (
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "Equal",
    "Min",
    "Max",
    "Clip",
    "Mod",
)
#: Operators that change positions, which are whole.
_MOVE = ("Add", "Sub", "Div", "Mul", "Range", "Trilu", "CumSum")
#: Operators that keep a number what it is.
_KEEP = ("Cast", "CastLike", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Expand")
#: Operators that take parts of tables.
_CUT = ("Slice", "Gather", "GatherND", "GatherElements", "Turn")


def shortest(probe: Probe) -> Probe:
    """The probe with fewer tokens where the graph does not take so many. SpecError when it takes none."""
    reason = None
    usual = probe.queries.tokens
    choices = {usual} if probe.fixed else {usual, *SHORT, *wanted(probe)}
    for tokens in sorted((n for n in choices if 1 < n <= usual or n == usual), reverse=True):
        try:
            fewer = probe.at(probe.queries.examples, tokens)
            fewer.tried()
        except TooLargeError:
            raise
        except SpecError as error:
            reason = reason or error
        else:
            return fewer
    assert reason is not None
    raise reason


def longest(probe: Probe) -> Probe:
    """The probe with the most tokens that are needed and that the graph takes.

    SpecError where a number in the graph could only be seen with more tokens than there is room for.
    """
    if probe.fixed:
        return probe
    told = wanted(probe)
    too_many = None
    for tokens in sorted({*LONG, *told}, reverse=True):
        longer = probe.at(2, tokens)
        if tokens <= probe.queries.tokens:
            break
        try:
            longer.tried()
        except TooLargeError as error:
            too_many = too_many or (tokens in told and (tokens, error))
        except SpecError:
            continue
        else:
            break
    else:
        longer = probe
    if too_many:
        tokens, error = too_many
        raise SpecError(
            f"{probe.graph.source}: {told[tokens]} may be seen with {tokens:,} tokens, which are too "
            f"many to measure: {error}"
        )
    return longer


def wanted(probe: Probe) -> dict[int, str]:
    """Numbers of tokens that show what numbers and tables in the graph do, and what each is for."""
    graph, site = probe.graph, probe.site
    streams = [probe.queries.name, probe.sources.name]
    maps = graph.between(streams, [site.query, site.key])
    masks = graph.between([*streams, site.query, site.key, site.value], [site.result])
    found = {
        number + _MORE: f"{number} in {kind}" for number, kind in _numbers(graph, [*maps, *masks])
    }
    found |= {rows: f"row {rows} of {name!r}" for rows, name in _rows(graph, maps)}
    return found | {side: f"row {side} of {name!r}" for side, name in _sides(graph, masks)}


def _numbers(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, str]]:
    """Stored whole numbers that positions may be compared with."""
    for node in nodes:
        if node.op_type not in _COMPARE + _MOVE:
            continue
        for name in node.input:
            array = _stored(graph, name)
            if array is None or array.size != 1 or array.dtype.kind not in "iuf":
                continue
            number = abs(float(array.reshape(())))
            whole = number.is_integer() and 1 < number < _ENDLESS
            if whole and (array.dtype.kind in "iu" or node.op_type in _COMPARE):
                yield int(number), node.op_type


def _stored(graph: OnnxGraph, name: str) -> np.ndarray | None:
    """The array of a name, or of what only its type and shape were changed of."""
    while name not in graph.constants:
        node = graph.maker.get(name)
        if node is None or node.op_type not in _KEEP:
            return None
        name = node.input[0]
    return graph.constants[name]


def _rows(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, str]]:
    """Rows of tables that queries and keys are turned with, but for those that are known to turn evenly."""
    for node in nodes:
        for name in node.input if node.op_type in _CUT else ():
            array = graph.constants.get(name)
            if array is not None and array.ndim > 1 and not name.startswith(EVEN):
                yield max(array.shape[:-1]), name


def _sides(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, str]]:
    """Sides of the stored masks."""
    for node in nodes:
        for name in node.input:
            array = graph.constants.get(name)
            if array is not None and array.ndim > 1:
                yield max(array.shape[-2:]), name
