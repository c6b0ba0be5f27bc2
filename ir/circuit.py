"""The circuit: a frozen value made of axes, tensors, populations and projections."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeVar

from cortico.ir.axes import Axis, Extent
from cortico.ir.domain import Domain, conjunction, rename
from cortico.ir.errors import CircuitError, clipped, named, near_name, shown
from cortico.ir.fields import of_python
from cortico.ir.limits import SIZE
from cortico.ir.population import Effect, Population, Projection
from cortico.ir.tensors import Formula, Input, Parameter, TensorRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx

    from cortico.ir.atlas import Area, Areas, Nucleus
    from cortico.ir.counts import Counts
    from cortico.ir.neurons import NeuronView

Found = TypeVar("Found")

#: Characters of a list of names in an error.
_LONGEST = 1000


@dataclass(frozen=True)
class Output:
    """A population's rates, given to the outside as the tensor `name` with axes in this order."""

    name: str
    source: TensorRef


@dataclass(frozen=True)
class Circuit:
    """A cortico-thalamic circuit. Make one with `CircuitBuilder`; change one by making another.

    Its meaning is defined by `cortico.backends.reference`; `docs/ir.md` explains it.
    """

    name: str
    axes: tuple[Axis, ...]
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[Output, ...]

    # ---- looking things up -------------------------------------------------------------------

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {axis.name: axis for axis in self.axes}

    @cached_property
    def _tensors(self) -> dict[str, Input | Parameter]:
        return {tensor.name: tensor for tensor in self.inputs + self.parameters}

    @cached_property
    def _populations(self) -> dict[str, Population]:
        return {population.name: population for population in self.populations}

    @cached_property
    def axes_at(self) -> dict[str, frozenset[str]]:
        """The path of a block of a network to the axes of its populations."""
        found: dict[str, set[str]] = {}
        for population in self.populations:
            found.setdefault(population.path, set()).update(population.axes)
        return {path: frozenset(axes) for path, axes in found.items()}

    def axis(self, name: str) -> Axis:
        return _lookup("axis", name, self._axes)

    def tensor(self, name: str) -> Input | Parameter:
        """The input or parameter called `name`."""
        return _lookup("tensor", name, self._tensors)

    def formula(self, name: str) -> Formula | None:
        """The formula of a parameter; None for plain ones and for inputs."""
        tensor = self.tensor(name)
        return tensor.formula if isinstance(tensor, Parameter) else None

    def population(self, name: str) -> Population:
        return _lookup("population", name, self._populations)

    @cached_property
    def _projections_onto(self) -> dict[str, tuple[Projection, ...]]:
        found: dict[str, list[Projection]] = {p.name: [] for p in self.populations}
        for projection in self.projections:
            found.setdefault(projection.post, []).append(projection)
        return {name: tuple(those) for name, those in found.items()}

    @cached_property
    def _projections_from(self) -> dict[str, tuple[Projection, ...]]:
        found: dict[str, list[Projection]] = {}
        for projection in self.projections:
            found.setdefault(projection.pre, []).append(projection)
        return {name: tuple(those) for name, those in found.items()}

    def projections_onto(
        self, population: str, compartment: str | None = None
    ) -> tuple[Projection, ...]:
        """Projections that end on a population, or on one of its compartments only."""
        return tuple(
            projection
            for projection in self._projections_onto.get(population, ())
            if compartment in (None, projection.compartment)
        )

    def projections_from(self, population: str) -> tuple[Projection, ...]:
        return self._projections_from.get(population, ())

    @cached_property
    def order(self) -> tuple[Population, ...]:
        """Populations so that each comes after all that project to it.

        CircuitError for a circuit that lives in time: its rates are not made one after another. What it is
        at rest is another circuit (`cortico.ir.analysis.rest.at_rest`).
        """
        if self.lives_in_time:
            listed = clipped(", ".join(self.living_in_time), _LONGEST)
            raise CircuitError(f"circuit {named(self.name)} lives in time: {listed}")
        return self._sorted(self.projections, "")

    @cached_property
    def order_in_time(self) -> tuple[Population, ...]:
        """The same where what a population hears from before does not count. CircuitError on a cycle without delay."""
        at_once = [p for p in self.projections if not self.is_from_before(p)]
        return self._sorted(at_once, ", in which nothing has a delay or integrates")

    def _sorted(self, projections: Iterable[Projection], remark: str) -> tuple[Population, ...]:
        before: dict[str, list[str]] = {p.name: [] for p in self.populations}
        for projection in projections:
            before[projection.post].append(projection.pre)
        try:
            return tuple(self._populations[n] for n in TopologicalSorter(before).static_order())
        except CycleError as error:
            loop = clipped(" -> ".join(error.args[1]), _LONGEST)
            raise CircuitError(f"circuit {named(self.name)} has a cycle: {loop}{remark}") from None

    def is_from_before(self, projection: Projection) -> bool:
        """Whether what a projection brings was there before: it has a delay, or its source integrates."""
        return (
            projection.delay is not None or self.population(projection.pre).integrates is not None
        )

    @cached_property
    def presents_tokens(self) -> bool:
        """Whether it has axes in time: their tokens are presented one after another, each until all has settled."""
        return any(axis.in_time for axis in self.axes)

    @cached_property
    def lives_in_time(self) -> bool:
        """Whether it has delays or cells that integrate: then its rates depend on what was before."""
        return bool(self.living_in_time)

    @cached_property
    def living_in_time(self) -> tuple[str, ...]:
        """What makes it live in time, in words: each population that integrates, each projection with a delay."""
        integrating = (f"{p.name} integrates" for p in self.populations if p.integrates)
        delayed = (f"{p.name} has a delay" for p in self.projections if p.delay)
        return (*integrating, *delayed)

    # ---- sizes ---------------------------------------------------------------------------------

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Symbolic extents of the axes, in order of first appearance."""
        return tuple(dict.fromkeys(a.extent for a in self.axes if isinstance(a.extent, str)))

    def sizes(self, symbols: Mapping[str, int] | None = None) -> dict[str, int]:
        """Axis name to size, with symbolic extents taken from `symbols`."""
        bound = symbols or {}
        missing = [symbol for symbol in self.symbols if symbol not in bound]
        if missing:
            raise CircuitError(
                f"circuit {self.name!r} has symbolic sizes {', '.join(missing)}: give each a number, "
                f"for example circuit.bind({missing[0]}=16)"
            )
        return {axis.name: resolve(axis.extent, bound) for axis in self.axes}

    def bind(self, /, **symbols: int) -> Circuit:
        """The same circuit with symbolic extents replaced by numbers."""

        def settle(extent: Extent) -> Extent:
            return symbols.get(extent, extent) if isinstance(extent, str) else extent

        def settle_shape(tensor: Any) -> Any:
            return dataclasses.replace(tensor, shape=tuple(settle(side) for side in tensor.shape))

        symbols = {symbol: of_python(value) for symbol, value in symbols.items()}
        for symbol, value in symbols.items():
            if symbol not in self.symbols:
                raise CircuitError(
                    f"circuit {self.name!r} has no symbolic size {symbol!r}{near_name(symbol, self.symbols)};"
                    f" it has {', '.join(self.symbols) or 'none'}"
                )
            if type(value) is not int or not 1 <= value < SIZE:
                raise CircuitError(
                    f"size {symbol} must be a positive integer below 2^62, found {shown(value)}"
                )
        return dataclasses.replace(
            self,
            axes=tuple(dataclasses.replace(a, extent=settle(a.extent)) for a in self.axes),
            inputs=tuple(settle_shape(tensor) for tensor in self.inputs),
            parameters=tuple(settle_shape(tensor) for tensor in self.parameters),
        )

    def heard(self, projection: Projection) -> Population:
        """The source of a projection as that reads it: its axes and its domain at the axes read."""
        pre = self.population(projection.pre)
        if not projection.at:
            return pre
        names = self.read_as(projection)
        return dataclasses.replace(pre, axes=projection.at, domain=rename(pre.domain, names))

    def read_as(self, projection: Projection) -> dict[str, str]:
        """Each axis of the source of a projection, and the axis that it is read at."""
        own = self.population(projection.pre).axes
        return dict(zip(own, projection.at or own, strict=True))

    def moved_axes(self, projection: Projection) -> list[tuple[str, str]]:
        """The axes of the source of a projection that it reads at others, each with that one."""
        return [pair for pair in self.read_as(projection).items() if pair[0] != pair[1]]

    def synapse_axes(self, projection: Projection) -> tuple[str, ...]:
        """The axes that number the synapses of a projection: the target's, then the summed ones."""
        return self.population(projection.post).axes + self.summed_axes(projection)

    def summed_axes(self, projection: Projection) -> tuple[str, ...]:
        """The axes over which a projection sums: those that only its source has."""
        post, pre = self.population(projection.post), self.heard(projection)
        return tuple(axis for axis in pre.axes if axis not in post.axes)

    def synapse_domain(self, projection: Projection) -> Domain:
        """Where synapses exist: both neurons exist and the projection's own domain holds."""
        post, pre = self.population(projection.post), self.heard(projection)
        return conjunction(post.domain, pre.domain, projection.domain)

    def divides(self, projection: Projection) -> bool:
        """Whether a projection ends on a compartment that divides."""
        compartment = self.population(projection.post).compartment(projection.compartment)
        return compartment.effect is Effect.DIVIDES

    # ---- views (each imported when asked for) -----------------------------------------------------

    def counts(self) -> Counts:
        """Exact numbers of neurons, synapses and parameters, in closed form."""
        return self._counts

    @cached_property
    def _counts(self) -> Counts:
        from cortico.ir.counts import Counts

        return Counts(self)

    @property
    def areas(self) -> Areas:
        """The cortical areas, one per index of the area axes. CircuitError in a network of several blocks."""
        from cortico.ir.atlas import Areas

        return Areas(self)

    def areas_at(self, path: str) -> Areas:
        """The cortical areas of the block of a network at `path`."""
        from cortico.ir.atlas import Areas

        if path not in self.axes_at:
            raise CircuitError(_unknown("block", path, self.axes_at))
        return Areas(self, path)

    @property
    def thalamus(self) -> tuple[Nucleus, ...]:
        """The thalamic nuclei with the populations in each."""
        from cortico.ir.atlas import nuclei

        return nuclei(self)

    def area(self, *index: int) -> Area:
        """One cortical area by its index (two indices when heads are grouped)."""
        return self.areas[index if len(index) != 1 else index[0]]

    def neurons(self) -> NeuronView:
        """The neuron-level view: neurons and synapses, streamed in blocks."""
        from cortico.ir.neurons import NeuronView

        return NeuronView(self)

    def to_networkx(self, level: str = "population") -> nx.MultiDiGraph[Any]:
        """The circuit as a networkx graph of populations (any circuit) or neurons (small ones)."""
        from cortico.ir.graph import to_networkx

        return to_networkx(self, level)

    def __str__(self) -> str:
        from cortico.ir.text import print_circuit

        return print_circuit(self)


def resolve(extent: Extent, symbols: Mapping[str, int]) -> int:
    """An extent as a number."""
    return symbols[extent] if isinstance(extent, str) else extent


def _lookup(kind: str, name: str, table: Mapping[str, Found]) -> Found:
    try:
        return table[name]
    except KeyError:
        raise CircuitError(_unknown(kind, name, table)) from None


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    there = clipped(", ".join(names), _LONGEST) or "none"
    return f"no {kind} called {named(name)}{near_name(name, names)}; there are: {there}"
