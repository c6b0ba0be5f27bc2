"""Anatomical browsing: cortical areas and their microcolumns, thalamic nuclei.

Areas and microcolumns are lazy: nothing is enumerated before it is asked for. Axes in time are no
places, so they number neither areas nor microcolumns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np

from cortico.ir.axes import Role
from cortico.ir.circuit import Circuit
from cortico.ir.counts import Count
from cortico.ir.domain import Domain, conjunction, coupled_axes
from cortico.ir.errors import CircuitError, shown
from cortico.ir.index_space import IndexSpace
from cortico.ir.names import axes_of_role
from cortico.ir.population import Population
from cortico.ir.regions import Region

Place = TypeVar("Place")
Layers = Mapping[Region, tuple[Population, ...]]


class NoSuchPlaceError(CircuitError, IndexError):
    """There is no such area or microcolumn. An IndexError too, as sequences promise."""


class _Places(Sequence[Place]):
    """A lazy sequence with one place per index tuple of an index space."""

    kind: str
    circuit: Circuit
    axes: tuple[str, ...]

    def _domain(self) -> Domain:
        return ()

    def _place(self, index: tuple[int, ...]) -> Place:
        raise NotImplementedError

    @cached_property
    def _space(self) -> IndexSpace:
        # Only the sizes at hand are needed: areas can be browsed while the columns are symbolic.
        extents = {axis: self.circuit.axis(axis).extent for axis in self.axes}
        numbers = {axis: extent for axis, extent in extents.items() if isinstance(extent, int)}
        return IndexSpace(
            self.axes,
            numbers if len(numbers) == len(extents) else self.circuit.sizes(),
            self._domain(),
        )

    def __len__(self) -> int:
        return self._space.size

    @overload
    def __getitem__(self, index: int | tuple[int, ...]) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> list[Place]: ...
    def __getitem__(self, index: int | tuple[int, ...] | slice) -> Any:
        """The place at a position or at an index tuple. NoSuchPlaceError when there is none."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._space.size))]
        if isinstance(index, tuple):
            return self._place(self._checked(index))
        position = index + self._space.size if index < 0 else index
        if not 0 <= position < self._space.size:
            raise NoSuchPlaceError(f"no {self.kind} {index}: there are {self._space.size}")
        found = self._space.unrank(np.array([position]))
        return self._place(tuple(int(found[axis][0]) for axis in self.axes))

    def _checked(self, index: tuple[int, ...]) -> tuple[int, ...]:
        if len(index) != len(self.axes):
            expected = ", ".join(self.axes) or "none"
            raise NoSuchPlaceError(f"a {self.kind} has indices ({expected}), found {index}")
        if not self._space.contains(dict(zip(self.axes, index, strict=True))):
            raise NoSuchPlaceError(
                f"no {self.kind} {index}: it is outside the {self._space.size} there are"
            )
        return index

    def __iter__(self) -> Iterator[Place]:
        return (self[position] for position in range(self._space.size))


class Areas(_Places["Area"]):
    """The cortical areas: one per index of the axes of role `area` (two when heads are grouped).

    A circuit without such axes has one area. Of a network these are the areas of one block: CircuitError
    where `path` does not say of which.
    """

    kind = "area"

    def __init__(self, circuit: Circuit, path: str | None = None) -> None:
        self.circuit = circuit
        self.path = _block_with_areas(circuit) if path is None else path
        self.axes = axes_of_role(circuit, Role.AREA, self.path)

    def _place(self, index: tuple[int, ...]) -> Area:
        return Area(self.circuit, index, self.path)


def _block_with_areas(circuit: Circuit) -> str:
    """The path of the only block with cortical cells. CircuitError where several have some."""
    paths = list(dict.fromkeys(p.path for p in circuit.populations if p.region.in_cortex))
    if len(paths) > 1:
        raise CircuitError(
            f"circuit {shown(circuit.name)} has areas in {len(paths)} blocks: look at those of one, such as "
            f"circuit.areas_at({paths[0]!r})"
        )
    return paths[0] if paths else ""


@dataclass(frozen=True)
class Area:
    """A cortical area: one attention head.

    Populations that lack an area axis are shared: grouped keys belong to all members of a group.
    """

    circuit: Circuit
    index: tuple[int, ...]
    path: str = ""  #: of the block, in a network

    @property
    def name(self) -> str:
        return f"{self.path or 'cortex'}.area{_bracket(self.index)}"

    @property
    def populations(self) -> tuple[Population, ...]:
        own = (p for p in self.circuit.populations if p.path == self.path)
        return tuple(p for p in own if p.region.in_cortex)

    @property
    def layers(self) -> Layers:
        """Layer to the populations in it, from the surface down."""
        return _by_region(self.populations)

    @property
    def microcolumns(self) -> Microcolumns:
        return Microcolumns(self)


class Microcolumns(_Places["Microcolumn"]):
    """The microcolumns of an area: one per index of the column axes that its populations have.

    A bound (such as a causal mask) limits them when every population with both its axes has it.
    """

    kind = "microcolumn"

    def __init__(self, area: Area) -> None:
        self.area = area
        self.circuit = area.circuit
        known = axes_of_role(self.circuit, Role.COLUMN, area.path)
        self.axes = tuple(axis for axis in known if any(axis in p.axes for p in area.populations))

    def _domain(self) -> Domain:
        bounds = conjunction(*(p.domain for p in self.area.populations))
        pairs = [(b.left, b.right) for b in bounds if {b.left, b.right} <= set(self.axes)]
        shared = conjunction(*(self._shared_bound(left, right) for left, right in pairs))
        # Bounds of several populations may tie more axes together than can be counted.
        countable = all(len(group) <= 2 for group in coupled_axes(shared, self.axes))
        return shared if countable else ()

    def _shared_bound(self, left: str, right: str) -> Domain:
        """The loosest bound on `left - right`; none when a population with both axes has no bound."""
        concerned = [p for p in self.area.populations if {left, right} <= set(p.axes)]
        found = [
            [b for b in conjunction(p.domain) if (b.left, b.right) == (left, right)]
            for p in concerned
        ]
        if not all(found):
            return ()
        return (max((bounds[0] for bounds in found), key=lambda bound: bound.offset),)

    def _place(self, index: tuple[int, ...]) -> Microcolumn:
        return Microcolumn(self.area, self.axes, index)


@dataclass(frozen=True)
class Microcolumn:
    """A microcolumn: one token, or one pair of tokens.

    A population that has only some of the column axes serves several microcolumns and is listed in
    each; one that has none belongs to the area, not to a microcolumn.
    """

    area: Area
    axes: tuple[str, ...]
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.area.name}.column{_bracket(self.index)}"

    @property
    def populations(self) -> tuple[Population, ...]:
        if not self.axes:
            return self.area.populations
        return tuple(p for p in self.area.populations if not set(self.axes).isdisjoint(p.axes))

    @property
    def layers(self) -> Layers:
        """Layer to the populations in it, from the surface down."""
        return _by_region(self.populations)

    def neurons(self) -> np.ndarray:
        """Ids (int64) of its cells. CircuitError while sizes are symbols."""
        view = self.area.circuit.neurons()
        area_axes = axes_of_role(self.area.circuit, Role.AREA, self.area.path)
        fixed = dict(zip(area_axes + self.axes, self.area.index + self.index, strict=True))
        ids = [view.select(population, fixed) for population in self.populations]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ids])


@dataclass(frozen=True)
class Nucleus:
    """A class of thalamic nucleus and the populations in it."""

    circuit: Circuit
    region: Region
    populations: tuple[Population, ...]

    @property
    def name(self) -> str:
        return self.region.value

    @property
    def neurons(self) -> Count:
        """The number of its neurons, in closed form."""
        return self.circuit.counts().neurons_in(self.populations)


def nuclei(circuit: Circuit) -> tuple[Nucleus, ...]:
    """The thalamic nuclei that have populations."""
    thalamic = (p for p in circuit.populations if not p.region.in_cortex)
    return tuple(Nucleus(circuit, region, of) for region, of in _by_region(thalamic).items())


def _by_region(populations: Iterable[Population]) -> Layers:
    own = list(populations)
    found = {region: tuple(p for p in own if p.region is region) for region in Region}
    return {region: of for region, of in found.items() if of}


def _bracket(index: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, index))}]" if index else ""
