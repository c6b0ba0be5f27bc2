"""Numbers of a circuit beside published ones: connection probability, signs, and cells per piece of cortex.

A measure has no verdict while sizes are symbols, or weights have no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

from cortico.anatomy.data import CellCount, Range, cell_counts
from cortico.anatomy.findings import Measure, Verdict
from cortico.anatomy.links import Link
from cortico.ir import Circuit, Population, Role
from cortico.ir.analysis.constants import array_of
from cortico.ir.analysis.signs import Signs
from cortico.ir.counts import Count
from cortico.ir.names import axes_of_role, local_name

Measures = Iterator[Measure]

#: How far from the published range a probability may be: studies of one pathway differ by up to 3.
_ALLOWED = 2

#: Longer formulas are not shown.
_LONGEST = 30

NEEDS_SIZES = "Not decided without numbers: give the sizes (--tokens)."
NEEDS_WEIGHTS = "Not decided without weights."


def measures(circuit: Circuit) -> Measures:
    """All measures of all projections, then those of each block, then those of the whole circuit."""
    for projection in circuit.projections:
        for rule in LINK_MEASURES:
            yield from rule(Link(circuit, projection))
    yield from rates_are_not_negative(circuit)
    for path in _paths(circuit):
        for measure in BLOCK_MEASURES:
            yield from (replace(found, path=path) for found in measure(circuit, path))
    yield from interneurons_per_neuron(circuit)


# ---- projections ---------------------------------------------------------------------------------


def connection_probability(link: Link) -> Measures:
    """Synapses over pairs of cells, in one microcolumn and in one area, beside what was recorded.

    Recordings are of cells near each other: of one microcolumn and of those around it. So published
    numbers should be met at one of the two scales. A synapse of weight zero is none.
    """
    known = [pathway for pathway in link.published_here if pathway.probability is not None]
    ranges = [pathway.probability for pathway in known if pathway.probability is not None]
    if not ranges:
        return
    published = Range(min(r.low for r in ranges), max(r.high for r in ranges))
    column, area = _probabilities(link)
    verdict = _verdict_on_probability(column, area, published)
    yield Measure(
        link.projection.name,
        "connection_probability",
        f"{_number(column)} in a microcolumn, {_number(area)} in an area",
        str(published),
        verdict,
        _PROBABILITY[verdict],
        tuple(known),
        path=link.post.path,
    )


_PROBABILITY = {
    None: NEEDS_SIZES,
    Verdict.SUPPORTED: "As dense as published, at one of the scales.",
    Verdict.CONTESTED: "Denser than published inside a microcolumn, sparser beyond it.",
    Verdict.UNSUPPORTED: "Not as dense as published at any scale.",
}


def _verdict_on_probability(column: Any, area: Any, published: Range) -> Verdict | None:
    if not (_is_number(column) and _is_number(area)):
        return None
    low, high = published.low / _ALLOWED, published.high * _ALLOWED
    if any(low <= found <= high for found in (column, area)):
        return Verdict.SUPPORTED
    return Verdict.CONTESTED if area < low and high < column else Verdict.UNSUPPORTED


def _probabilities(link: Link) -> tuple[Any, Any]:
    """The shares of pairs that are connected, among those of a microcolumn and of an area."""
    circuit, projection = link.circuit, link.projection
    counts = circuit.counts()
    synapses = counts.synapses_of[projection.name]
    shared = set(link.pre.axes) & set(link.post.axes)
    areas, columns = (set(axes_of_role(circuit, role)) for role in (Role.AREA, Role.COLUMN))
    # with every shared axis matched, and no bounds of the projection's own
    free = replace(circuit, projections=(replace(projection, domain=()),)).counts().synapses
    matched = _size(circuit, shared - areas - columns)
    pairs = counts.neurons_of[link.pre.name] * counts.neurons_of[link.post.name]
    kept = _share_of_weights(link, lambda values: values != 0)
    kept = 1 if kept in (None, 1) else kept
    in_area = _ratio(synapses * _size(circuit, shared & areas), pairs)
    return kept * _ratio(synapses, free * matched), kept * in_area


def cells_have_one_sign(link: Link) -> Measures:
    """The share of synapses with the sign that the presynaptic class does not have."""
    inhibits = link.pre.cell_class.inhibitory
    word = "excite" if inhibits else "inhibit"
    wrong = _share_of_wrong_signs(link, inhibits)
    if wrong == 0 and link.projection.weight.tensor is None:
        return  # a constant: nothing was to be found
    verdict = None
    if wrong is not None:
        verdict = Verdict.CONTRADICTED if wrong > 0 else Verdict.SUPPORTED
    yield Measure(
        link.projection.name,
        "cells_have_one_sign",
        "not known" if wrong is None else f"{wrong:.0%} {word}",
        "0%",
        verdict,
        _SIGNS[verdict].format(source=link.source, word=word),
        link.published_here,
        path=link.post.path,
    )


_SIGNS = {
    None: NEEDS_WEIGHTS,
    Verdict.SUPPORTED: "All synapses have the sign of their cells.",
    Verdict.CONTRADICTED: "{source} cells do not {word}.",
}


def _share_of_wrong_signs(link: Link, inhibits: bool) -> float | None:
    """None while weights have no numbers. A positive weight on a dividing compartment inhibits."""
    gain = link.projection.weight.gain.coefficient
    wrong = 1 if inhibits and not link.divides else -1
    if link.divides and not inhibits:
        return 1.0
    return _share_of_weights(link, lambda values: values * gain * wrong > 0)


def _share_of_weights(link: Link, test: Callable[[Any], Any]) -> float | None:
    """The share of a projection's weights that pass a test; None while they have no numbers."""
    import numpy as np

    weight = link.projection.weight
    if weight.tensor is None:
        return float(test(np.ones(())))
    values = array_of(link.circuit, weight.tensor.name)
    return None if values is None else float(np.mean(test(values)))


# ---- a block, or a circuit without blocks ------------------------------------------------------------


def rates_are_not_negative(circuit: Circuit) -> Measures:
    """How many populations may have rates below zero, readouts left aside; block by block."""
    signs = Signs(circuit)
    known = all(values is not None for values in signs.values.values())
    for path in _paths(circuit):
        speaking = [p for p in _at(circuit, path) if circuit.projections_from(p.name)]
        signed = [local_name(p) for p in speaking if p.name not in signs.positive]
        verdict = Verdict.CONTRADICTED if signed else Verdict.SUPPORTED
        names = f": {', '.join(signed)}" if signed else ""
        yield Measure(
            "rates",
            "rates_are_not_negative",
            f"{len(signed)} of {len(speaking)} populations may fall below 0",
            "0",
            verdict if known or not signed else None,
            f"A rate is never below zero{names}." if known or not signed else NEEDS_WEIGHTS,
            (),
            path=path,
        )


def neurons_per_microcolumn(circuit: Circuit, path: str) -> Measures:
    """Cells that stand once in every microcolumn, beside those of a minicolumn."""
    columns = set(_column_axes(circuit, path))
    if not columns:
        return
    places = columns | set(axes_of_role(circuit, Role.AREA))
    inside = (p for p in _cortical(circuit, path) if columns <= set(p.axes))
    found = sum(_size(circuit, set(p.axes) - places) for p in inside)
    yield _fits("a microcolumn", "neurons_per_microcolumn", found, "C01")


def neurons_per_column(circuit: Circuit, path: str) -> Measures:
    """Cells of all microcolumns of one output token: that these form a column is our reading."""
    read = _axes_given(circuit, path)
    grouped = [axis for axis in _column_axes(circuit, path) if axis in read]
    if grouped:
        found = _ratio(_per_area(circuit, path), _size(circuit, grouped))
        yield _fits("a column", "neurons_per_column", found, "C02", "C03")


def neurons_per_area(circuit: Circuit, path: str) -> Measures:
    """Cortical cells per attention head, beside those of an average area of the mouse."""
    if _cortical(circuit, path) or not path:
        yield _fits("an area", "neurons_per_area", _per_area(circuit, path), "C04")


# ---- the whole circuit ---------------------------------------------------------------------------


def interneurons_per_neuron(circuit: Circuit) -> Measures:
    """The share of cortical cells that inhibit, where any do."""
    counts = circuit.counts()
    cortical = [p for p in circuit.populations if p.region.in_cortex]
    inhibiting = [p for p in cortical if p.cell_class.inhibitory]
    if inhibiting:
        found = _ratio(counts.neurons_in(inhibiting), counts.neurons_in(cortical))
        yield _fits("inhibitory share", "interneurons_per_neuron", found, "C05")


def _paths(circuit: Circuit) -> Iterable[str]:
    """The paths of the blocks of a network; of another circuit the empty one."""
    return dict.fromkeys(p.path for p in circuit.populations)


def _at(circuit: Circuit, path: str) -> list[Population]:
    return [p for p in circuit.populations if p.path == path]


def _cortical(circuit: Circuit, path: str) -> list[Population]:
    return [p for p in _at(circuit, path) if p.region.in_cortex]


def _axes_given(circuit: Circuit, path: str) -> set[str]:
    """The axes of what a block gives: to other blocks, or as an output."""
    heard = (p for p in circuit.projections if circuit.population(p.post).path != path)
    given = {o.source.name for o in circuit.outputs} | {p.pre for p in heard}
    return {axis for p in _at(circuit, path) if p.name in given for axis in p.axes}


def _per_area(circuit: Circuit, path: str) -> Any:
    cells = circuit.counts().neurons_in(_cortical(circuit, path))
    return _ratio(cells, len(circuit.areas_at(path)))


def _fits(subject: str, rule: str, found: Any, *ids: str) -> Measure:
    """Whether there are as many cells in the brain as are needed: fewer are no objection."""
    counts: list[CellCount] = [cell_counts()[each] for each in ids]
    largest = max(counts, key=lambda count: count.reported.high)
    verdict = None
    if _is_number(found):
        verdict = Verdict.SUPPORTED if found <= largest.typical.high else Verdict.UNSUPPORTED
        if verdict is Verdict.UNSUPPORTED and found <= largest.reported.high:
            verdict = Verdict.CONTESTED
    published = "; ".join(_number(count.typical.high) for count in counts)
    if largest.typical != largest.reported:
        published = f"{largest.typical}, at most {largest.reported.high:,.0f}"
    return Measure(subject, rule, _number(found), published, verdict, _FITS[verdict], tuple(counts))


_FITS = {
    None: NEEDS_SIZES,
    Verdict.SUPPORTED: "There are cells enough.",
    Verdict.CONTESTED: "More cells than usual, within what was reported.",
    Verdict.UNSUPPORTED: "More cells than there are.",
}


# ---- numbers -------------------------------------------------------------------------------------


def _column_axes(circuit: Circuit, path: str) -> list[str]:
    """Column axes in space that cortical cells of a block have."""
    cortical = {a for p in _cortical(circuit, path) for a in p.axes}
    return [axis for axis in axes_of_role(circuit, Role.COLUMN) if axis in cortical]


def _size(circuit: Circuit, axes: Iterable[str]) -> Count:
    """The product of the sizes of axes in space."""
    spatial = (circuit.axis(axis) for axis in axes if not circuit.axis(axis).in_time)
    return prod(_extent(axis.extent) for axis in spatial)


def _extent(extent: int | str) -> Count:
    if isinstance(extent, int):
        return extent
    import sympy

    return sympy.Symbol(extent, integer=True, positive=True)


def _ratio(above: Count, below: Count) -> Any:
    if isinstance(above, int) and isinstance(below, int):
        return above / below if below else 0.0
    import sympy

    ratio = sympy.sympify(above) / below
    stepped = ratio.has(sympy.Min, sympy.Max, sympy.Piecewise)  # these take seconds to simplify
    return ratio if stepped else sympy.cancel(ratio)


def _is_number(found: Any) -> bool:
    return not getattr(found, "free_symbols", None)


def _number(found: Any) -> str:
    if not _is_number(found):
        text = str(found).replace("**", "^").replace("*", "·")
        text = re.sub(r"(\w+)\^\(-(\d+)\)", r"1/\1^\2", text)
        return text if len(text) <= _LONGEST else "depends on the sizes"
    return f"{float(found):,.0f}" if found >= 10 else f"{float(found):.3g}"


LINK_MEASURES = (connection_probability, cells_have_one_sign)
BLOCK_MEASURES = (neurons_per_microcolumn, neurons_per_column, neurons_per_area)
CIRCUIT_MEASURES = (rates_are_not_negative, interneurons_per_neuron)
