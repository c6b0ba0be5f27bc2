"""The report of a compiled circuit: neurons and synapses by region, cell class and pathway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortico.ir import Circuit, Effect, Population, Projection, Role
from cortico.passes import Step
from cortico.report.table import Row, Table
from cortico.report.words import markdown_text, number, one_line


def report_tables(circuit: Circuit) -> list[Table]:
    """Cells by place and class, then pathways, each with exact counts."""
    return [cell_table(circuit), pathway_table(circuit)]


def report_markdown(circuit: Circuit) -> str:
    """The report as a Markdown document."""
    return head_of(circuit) + "\n".join(table.markdown() for table in report_tables(circuit))


def head_of(circuit: Circuit) -> str:
    """Title, counts and symbols, above the tables of a report."""
    counts, symbols = circuit.counts(), circuit.symbols
    lines = [
        f"# {markdown_text(one_line(circuit.name))}",
        "",
        f"{number(counts.neurons)} neurons, {number(counts.synapses)} synapses, "
        f"{number(counts.parameters)} parameters.",
        *(["", f"Sizes known when it runs: {', '.join(symbols)}."] if symbols else []),
        "",
        "",
    ]
    return "\n".join(lines)


def equation(circuit: Circuit, population: Population) -> str:
    """`deep[h, i, j, c] = basal · apical / shunt`, with the transfer function where there is one."""
    parts: dict[Effect, list[str]] = {effect: [] for effect in Effect}
    for compartment in population.compartments:
        parts[compartment.effect].append(compartment.name)
    text = " · ".join(parts[Effect.MULTIPLIES]) or "1"
    if parts[Effect.DIVIDES]:
        text += f" / {' / '.join(parts[Effect.DIVIDES])}"
    if population.transfer != "identity":
        text = f"{population.transfer}({text})"
    if population.integrates:
        text = f"{population.integrates.start:g} + {population.integrates.rate:g} per ms · ∫ {text}"
    where = f"  where {', '.join(map(str, population.domain))}" if population.domain else ""
    return f"{population.name}[{', '.join(population.axes)}] = {text}{where}"


def cell_table(circuit: Circuit) -> Table:
    """Neurons per area and in all, and synapses received, by region and cell class."""
    rows = [_cell_row(circuit, population) for population in _by_region(circuit)]
    counts = circuit.counts()
    rows.append(("all", "", "", number(counts.neurons), number(counts.synapses)))
    header = ("population", "cells", "neurons per area", "neurons", "synapses onto")
    return Table("Cells", header, tuple(rows), 3)


def pathway_table(circuit: Circuit) -> Table:
    """Every projection with what its synapses carry and how many there are; with delays where the circuit has some."""
    delays = any(projection.delay for projection in circuit.projections)
    rows = [_pathway_row(circuit, projection, delays) for projection in circuit.projections]
    header = ("projection", "from", "onto", "weight", *["delay"] * delays, "synapses")
    return Table("Pathways", header, tuple(rows), 1)


def pass_table(steps: Sequence[Step], times: bool = False) -> Table:
    """What each pass changed: neurons, synapses and parameters before and after; and which were left out.

    `times` are for a terminal: a file with them would be another one at every run.
    """
    lossy = any(step.bound is not None for step in steps)
    rows = [_step_row(step, lossy, times) for step in steps if step.changed]
    errors = ("error bound", "output moved by") if lossy else ()
    header = ("pass", "neurons", "synapses", "parameters", *errors, *["ms"] * times)
    numbers = len(header) - 1
    rows += [(f"{s.name}: left out, {s.left_out}", *["–"] * numbers) for s in steps if s.left_out]
    return Table("Passes", header, tuple(rows), numbers)


def _step_row(step: Step, lossy: bool, times: bool) -> Row:
    before, after = step.before.counts(), step.after.counts()
    pairs = [
        (before.neurons, after.neurons),
        (before.synapses, after.synapses),
        (before.parameters, after.parameters),
    ]
    errors = [_error(step.bound), _error(step.error)] if lossy else []
    milliseconds = [f"{1000 * step.seconds:.1f}"] if times else []
    return (step.name, *(_change(*pair) for pair in pairs), *errors, *milliseconds)


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _change(before: Any, after: Any) -> str:
    if before == after:
        return number(after)
    return f"{number(before)} → {number(after)}"


def _cell_row(circuit: Circuit, population: Population) -> Row:
    counts = circuit.counts()
    neurons = counts.neurons_of[population.name]
    synapses = counts.synapses_in(circuit.projections_onto(population.name))
    areas = len(circuit.areas) if _has_areas(circuit, population) else 0
    return (
        f"{population.name}[{','.join(population.axes)}]",
        f"{population.region.label} {population.cell_class}",
        number(_share(neurons, areas)) if areas else "–",
        number(neurons),
        number(synapses),
    )


def _share(neurons: Any, areas: int) -> Any:
    return neurons // areas if isinstance(neurons, int) else neurons / areas


def _has_areas(circuit: Circuit, population: Population) -> bool:
    areas = [axis.name for axis in circuit.axes if axis.role is Role.AREA]
    return bool(areas) and set(areas) <= set(population.axes)


def _pathway_row(circuit: Circuit, projection: Projection, delays: bool) -> Row:
    return (
        projection.name,
        projection.source,
        f"{projection.post}.{projection.compartment}",
        str(projection.weight),
        *[str(projection.delay or "–")] * delays,
        number(circuit.counts().synapses_of[projection.name]),
    )


def _by_region(circuit: Circuit) -> list[Population]:
    return sorted(circuit.populations, key=lambda p: (p.region.value, p.name))
