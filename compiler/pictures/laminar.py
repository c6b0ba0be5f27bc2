"""The laminar diagram: one area with its layers, cells and pathways, and the thalamus below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortico.ir import Circuit, Population
from cortico.pictures.diagram import Diagram, Room, describe
from cortico.pictures.glyphs import cell, dendrites
from cortico.pictures.grid import arrange
from cortico.pictures.labels import Label, label
from cortico.pictures.ports import Net
from cortico.pictures.routing import path, route
from cortico.pictures.scene import Group, Point, Scene
from cortico.pictures.style import kind_of
from cortico.pictures.titles import area_count
from cortico.pictures.wires import branches, wire

_GUTTER = 54.0  #: on the left, for the names of layers
_CELL_LEFT = 27.0  #: room left of a soma


def laminar_scene(circuit: Circuit) -> Scene:
    """The diagram of one area of any circuit."""
    grid = arrange(circuit)
    labels = {p.name: label(circuit, p) for p in circuit.populations}
    rooms = {name: _room(of) for name, of in labels.items()}
    diagram = Diagram(circuit, grid, route(circuit, grid), rooms, _GUTTER)
    what = f"one of {area_count(circuit)}" if len(circuit.areas) > 1 else "the only area"
    cells = (_population(diagram, p, labels[p.name]) for p in circuit.populations)
    return diagram.scene(what, (*_wires(diagram), *cells))


def _room(words: Label) -> Room:
    return Room(_CELL_LEFT, words.width + 6, words.height_above, words.height_below)


def _wires(diagram: Diagram) -> Iterator[Group]:
    """One group for each projection, then the dots where axons branch."""
    paths: dict[str, Sequence[Point]] = {}
    nets: dict[Net, list[Sequence[Point]]] = {}
    for way in diagram.routes.ways:
        paths[way.name] = path(way, diagram.routes, diagram.frame)
        nets.setdefault(way.net, []).append(paths[way.name])
    for projection in diagram.circuit.projections:
        kind = kind_of(diagram.circuit, projection)
        marks = tuple(wire(paths[projection.name], kind))
        yield Group(f"projection-{projection.name}", marks, describe(projection, kind))
    dots = [dot for net, those in nets.items() for dot in branches(those, net.kind)]
    yield Group("branches", tuple(dots))


def _population(diagram: Diagram, population: Population, words: Label) -> Group:
    x, y = diagram.frame.soma(diagram.grid.slots[population.name])
    marks = (
        *dendrites(population.cell_class, x, y),
        *cell(population.cell_class, x, y),
        *words.words(x, y),
    )
    title = f"{population.name}: {population.cell_class} in {population.region}"
    return Group(f"population-{population.name}", marks, title)
