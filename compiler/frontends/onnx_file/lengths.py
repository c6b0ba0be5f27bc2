"""How many tokens show all that a graph does: more than the numbers that stand in it.

A window of 512 is not seen at 16 tokens. So the longest probe has more tokens than any number with
which the graph may compare positions, and as many as its tables have rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.measuring import TooLargeError
from cortico.frontends.onnx_file.nodes import attributes
from cortico.frontends.onnx_file.probe import Probe
from cortico.ir.errors import SpecError

#: Tokens of a probe where the graph does not take as many as usual.
SHORT = (12, 8, 6, 4, 3, 2)
#: Tokens of a longer probe: the first number that the graph takes.
LONG = (129, 65, 33, 24, 20)
#: Examples of a longer probe.
_EXAMPLES = 1
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
#: Operators that take parts of tables.
_CUT = ("Slice", "Gather", "GatherND", "GatherElements", "Turn")


@dataclass(frozen=True)
class Sign:
    """Why more tokens may show more."""

    what: str
    surely: bool = True  #: compared with positions; else a number that they may be scaled with


def shortest(probe: Probe) -> Probe:
    """The probe with fewer tokens where the graph does not take so many. SpecError when it takes none.

    And when it takes one number only, such as that of lengths that it stores, or as many source tokens as
    queries where these are not the same tokens: what it does with others was not seen.
    """
    reason = None
    usual = probe.queries.tokens
    told = _of_maps(probe) | _of_masks(probe)
    choices = {usual} if probe.fixed else {usual, *SHORT, *told}
    for tokens in sorted((n for n in choices if 1 < n <= usual or n == usual), reverse=True):
        fewer = probe.at(probe.queries.examples, tokens)
        try:
            fewer.shares()
        except TooLargeError:
            raise
        except SpecError as error:
            reason = reason or error
        else:
            return fewer if reason is None else _of_several(probe, fewer, reason)
    assert reason is not None
    raise reason


def _of_several(probe: Probe, fewer: Probe, reason: SpecError) -> Probe:
    """`fewer`, which takes less tokens than usual, if it also takes one less: its limit is one from above."""
    if probe.cross and fewer.queries.tokens == fewer.sources.tokens:
        raise reason
    try:
        probe.at(probe.queries.examples, fewer.queries.tokens - 1).shares()
    except SpecError:
        raise reason from None
    return fewer


def longest(probe: Probe) -> Probe:
    """The probe with the most tokens that show a mask and that the graph takes.

    SpecError where a number in the graph could only be seen with more tokens than there is room for.
    """
    told = _of_masks(probe)
    alone = probe.alone()
    if max(told, default=0) > max(LONG):  # one head is enough, and all are too many
        longer = _longest(alone, told, lambda longer: longer.shares())
        if longer is not alone:
            return longer
    return _longest(probe, told, lambda longer: longer.shares())


def farthest(probe: Probe) -> Probe:
    """The same, for how queries and keys turn."""
    return _longest(probe, _of_maps(probe), lambda longer: longer.heads("Q"))


def _longest(probe: Probe, told: dict[int, Sign], tried: Callable[[Probe], object]) -> Probe:
    few = probe.queries.tokens
    choices = [] if probe.fixed else sorted({*LONG, *told}, reverse=True)
    for tokens in (n for n in choices if n > few):
        try:
            longer = probe.at(_EXAMPLES, tokens)
            tried(longer)
        except TooLargeError as error:
            if tokens in told and told[tokens].surely:
                raise TooLargeError(
                    f"{probe.graph.source}: {told[tokens].what} may show with {tokens:,} tokens, which are "
                    f"too many to measure: {error}"
                ) from None
        except SpecError:
            continue
        else:
            return longer
    return probe


def _of_maps(probe: Probe) -> dict[int, Sign]:
    """Numbers of tokens that show what turns queries and keys."""
    graph, site = probe.graph, probe.site
    nodes = graph.between([probe.queries.name, probe.sources.name], [site.query, site.key])
    found = {rows: Sign(f"row {rows} of {name!r}") for rows, name in tables(graph, nodes)}
    return dict(_numbers(graph, nodes)) | found


def _of_masks(probe: Probe) -> dict[int, Sign]:
    """Numbers of tokens that show what is added to scores."""
    graph, site = probe.graph, probe.site
    given = [probe.queries.name, probe.sources.name, site.query, site.key, site.value]
    nodes = graph.between(given, [site.result])
    found = {side: Sign(f"row {side} of {name!r}") for side, name in _sides(graph, nodes)}
    if not site.causal:  # else the operator says the window
        found |= {size + _MORE: Sign(f"a window of {size}") for size in _windows(nodes)}
    return dict(_numbers(graph, nodes)) | found


def _windows(nodes: list[onnx.NodeProto]) -> Iterator[int]:
    """Tokens that operators let be seen to either side."""
    for node in nodes:
        given = attributes(node)
        sizes = (given.get(f"{side}_window_size", -1) for side in ("left", "right"))
        yield from (size for size in sizes if size > 0)


def _numbers(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, Sign]]:
    """Numbers of tokens just past stored whole numbers, those that must be tried last."""
    found: list[tuple[int, Sign]] = []
    for node in nodes:
        if node.op_type not in _COMPARE + _MOVE:
            continue
        for array in (_stored(graph, name) for name in node.input):
            if array is None or array.size != 1 or array.dtype.kind not in "iuf":
                continue
            number = abs(float(array.reshape(())))
            if not (number.is_integer() and 1 < number < _ENDLESS):
                continue
            surely = array.dtype.kind in "iu" or node.op_type in _COMPARE
            sign = Sign(f"{number:.0f} in {node.op_type}", surely)
            found.append((int(number) + _MORE, sign))
    yield from sorted(found, key=lambda each: each[1].surely)


def _stored(graph: OnnxGraph, name: str) -> np.ndarray | None:
    """The array of a name that no input makes; None where there is none, or it is too large."""
    if name not in graph.settled:
        return None
    try:
        return graph.evaluate({}, [name])[0] if name in graph.maker else graph.constants[name]
    except SpecError:
        return None


def tables(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, str]]:
    """Rows of tables that queries and keys are turned with, but for those that are known to turn evenly."""
    for node in nodes:
        if node.op_type not in _CUT or node.output[0] in graph.settled:
            continue  # a part that is always the same is no row for a position
        for name in node.input:
            array = graph.constants.get(name)
            if array is not None and array.ndim > 1 and name not in graph.even:
                yield max(array.shape[:-1]), name


def _sides(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> Iterator[tuple[int, str]]:
    """Sides of the stored masks."""
    for node in nodes:
        for name in node.input:
            array = graph.constants.get(name)
            if array is not None and array.ndim > 1:
                yield max(array.shape[-2:]), name
