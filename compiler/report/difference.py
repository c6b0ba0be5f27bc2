"""Two circuits side by side: what only one has, what both have and differs, and their counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from cortico.ir import (
    Axis,
    Circuit,
    Compartment,
    Domain,
    Input,
    Output,
    Parameter,
    Population,
    Projection,
    Weight,
)
from cortico.report.table import Table
from cortico.report.words import number, one_line


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Part = TypeVar("Part", bound=_Named)
Place = TypeVar("Place", Population, Projection)


@dataclass(frozen=True)
class Difference:
    """One property of one part of a circuit, as text for each of two circuits."""

    kind: str  #: population, projection, axis, …
    name: str
    what: str  #: the property, or `only in A`, `only in B`
    first: str
    second: str


def circuit_differences(first: Circuit, second: Circuit) -> list[Difference]:
    """All that differs between two circuits, part by part. The order of parts does not count."""
    return [
        *_properties("circuit", "", [("name", one_line(first.name), one_line(second.name))]),
        *_parts("axis", first.axes, second.axes, _axis),
        *_parts("input", first.inputs, second.inputs, _input),
        *_parts("parameter", first.parameters, second.parameters, _parameter, _values_differ),
        *_populations(first, second),
        *_projections(first, second),
        *_parts("output", first.outputs, second.outputs, _output),
    ]


def difference_tables(first: Circuit, second: Circuit) -> list[Table]:
    """A table per kind of part that differs, and the counts of both circuits."""
    differences = circuit_differences(first, second)
    kinds = dict.fromkeys(d.kind for d in differences)
    return [
        *(_kind_table(kind, [d for d in differences if d.kind == kind]) for kind in kinds),
        count_table(first, second),
    ]


def count_table(first: Circuit, second: Circuit) -> Table:
    """Populations, projections, neurons, synapses and parameters of both, and the difference."""
    one, other = first.counts(), second.counts()
    pairs = [
        ("populations", len(first.populations), len(second.populations)),
        ("projections", len(first.projections), len(second.projections)),
        ("neurons", one.neurons, other.neurons),
        ("synapses", one.synapses, other.synapses),
        ("parameters", one.parameters, other.parameters),
    ]
    rows = tuple((what, number(a), number(b), _signed(b - a)) for what, a, b in pairs)
    return Table("Counts", ("", "A", "B", "B - A"), rows, 3)


def _kind_table(kind: str, differences: Sequence[Difference]) -> Table:
    rows = tuple((d.name, d.what, d.first, d.second) for d in differences)
    return Table(f"Differences: {kind}", (kind, "what", "A", "B"), rows, 0)


def _signed(difference: Any) -> str:
    text = number(difference)
    return f"+{text}" if isinstance(difference, int) and difference > 0 else text


# ---- parts by name ---------------------------------------------------------------------------------

Property = tuple[str, str]
Triple = tuple[str, str, str]


def _parts(
    kind: str,
    first: Sequence[Part],
    second: Sequence[Part],
    describe: Callable[[Part], Sequence[Property]],
    also: Callable[[Part, Part], Sequence[Triple]] = lambda one, other: (),
) -> Iterator[Difference]:
    """Parts that only one circuit has, and properties that differ for those with the same name."""
    ours, theirs = {p.name: p for p in first}, {p.name: p for p in second}
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in theirs:
            yield Difference(kind, name, "only in A", _summary(describe(ours[name])), "")
        elif name not in ours:
            yield Difference(kind, name, "only in B", "", _summary(describe(theirs[name])))
        else:
            one, other = dict(describe(ours[name])), dict(describe(theirs[name]))
            triples = [
                (what, one.get(what, "none"), other.get(what, "none")) for what in {**one, **other}
            ]
            yield from _properties(kind, name, [*triples, *also(ours[name], theirs[name])])


def _properties(kind: str, name: str, triples: Sequence[Triple]) -> Iterator[Difference]:
    for what, first, second in triples:
        if first != second:
            yield Difference(kind, name, what, first, second)


def _summary(properties: Sequence[Property]) -> str:
    """Properties in one line, compartments left out: their synapses are listed themselves."""
    brief = (p for p in properties if p[1] and not p[0].startswith("compartment "))
    return ", ".join(f"{what} {text}" for what, text in brief)


def _populations(first: Circuit, second: Circuit) -> Iterator[Difference]:
    counts = {id(c): c.counts().neurons_of for c in (first, second)}
    ours = [_Counted(p, counts[id(first)][p.name]) for p in first.populations]
    theirs = [_Counted(p, counts[id(second)][p.name]) for p in second.populations]
    return _parts("population", ours, theirs, _population)


def _projections(first: Circuit, second: Circuit) -> Iterator[Difference]:
    ours = [_Counted(p, first.counts().synapses_of[p.name]) for p in first.projections]
    theirs = [_Counted(p, second.counts().synapses_of[p.name]) for p in second.projections]
    numbers, others = ({p.name: p for p in c.parameters} for c in (first, second))

    def values(one: _Counted[Projection], other: _Counted[Projection]) -> Sequence[Triple]:
        mine, yours = one.part.weight.tensor, other.part.weight.tensor
        if mine is None or yours is None:
            return ()
        return _values_differ(numbers[mine.name], others[yours.name])

    return _parts("projection", ours, theirs, _projection, values)


@dataclass(frozen=True)
class _Counted(Generic[Place]):
    """A population with its number of neurons, or a projection with its number of synapses."""

    part: Place
    count: Any

    @property
    def name(self) -> str:
        return self.part.name


# ---- what a part is, as text -----------------------------------------------------------------------


def _axis(axis: Axis) -> list[Property]:
    return [("role", axis.role), ("extent", str(axis.extent)), ("in", axis.unfold)]


def _input(tensor: Input) -> list[Property]:
    return [("shape", _shape(tensor.shape)), ("kind", tensor.kind)]


def _output(output: Output) -> list[Property]:
    return [("reads", str(output.source))]


def _parameter(parameter: Parameter) -> list[Property]:
    formula = [("formula", str(parameter.formula))] if parameter.formula else []
    return [("shape", _shape(parameter.shape)), *formula]


def _population(counted: _Counted[Population]) -> list[Property]:
    cells = counted.part
    return [
        ("axes", _listed(cells.axes)),
        ("neurons", number(counted.count)),
        ("cells", f"{cells.region} {cells.cell_class}"),
        *([] if cells.transfer == "identity" else [("transfer", cells.transfer)]),
        *([("integrates", str(cells.integrates))] if cells.integrates else []),
        *_where(cells.domain),
        *((f"compartment {c.name}", _compartment(c)) for c in cells.compartments),
    ]


def _projection(counted: _Counted[Projection]) -> list[Property]:
    synapses = counted.part
    return [
        ("from", synapses.source),
        ("onto", f"{synapses.post}.{synapses.compartment}"),
        ("synapses", number(counted.count)),
        *_weight(synapses.weight),
        *([("delay", str(synapses.delay))] if synapses.delay else []),
        *_where(synapses.domain),
    ]


def _compartment(compartment: Compartment) -> str:
    return " + ".join([compartment.effect, *sorted(map(str, compartment.drive))])


def _weight(weight: Weight) -> list[Property]:
    gain = [] if weight.tensor and weight.gain.is_one else [("gain", str(weight.gain))]
    return [*gain, *([("tensor", str(weight.tensor))] if weight.tensor else [])]


def _where(domain: Domain) -> list[Property]:
    return [("where", " and ".join(sorted(map(str, domain))))] if domain else []


def _listed(words: Sequence[object]) -> str:
    return ", ".join(map(str, words)) or "none"


def _shape(shape: Sequence[object]) -> str:
    return f"({_listed(shape)})" if shape else "()"


# ---- numbers ---------------------------------------------------------------------------------------


def _values_differ(first: Parameter, second: Parameter) -> list[Triple]:
    """How far apart the values of two parameters are at most, and their types."""
    one, other = first.values, second.values
    if one is None or other is None:
        return [("values", _kind_of(one), _kind_of(other))]
    triples = [("type", one.dtype.name, other.dtype.name)]
    if one.shape == other.shape and not np.array_equal(one, other, equal_nan=True):
        triples.append(("values", "", f"at most {largest_difference(one, other):.3g} apart"))
    return triples


def largest_difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest absolute difference of two arrays of one shape (float64); 0 when empty."""
    difference = np.subtract(first, second, dtype=np.float64)
    return float(np.abs(difference).max(initial=0.0))


def _kind_of(values: np.ndarray | None) -> str:
    return "symbolic" if values is None else "numbers"
