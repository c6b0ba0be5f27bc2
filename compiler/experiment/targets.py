"""What a lesion is made to: a text such as `layer:L2/3@area=3`, and the parts of a circuit it names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cortico.ir import Circuit, Population, Projection, SpecError
from cortico.ir.errors import named, near_name


class Kind(StrEnum):
    """By what cells or synapses are chosen."""

    POPULATION = "population"  #: by name
    LAYER = "layer"  #: all cells of a cortical layer: `L2/3`
    CELL = "cell"  #: all cells of a class: `pv`
    NUCLEUS = "nucleus"  #: all cells of a thalamic class: `matrix`
    PROJECTION = "projection"  #: synapses, by name


_TARGET = re.compile(
    r"(?P<kind>[^:@]*):(?P<name>[^@]+)(@area=(?P<areas>[0-9]{1,18}(,[0-9]{1,18})*))?"
)


@dataclass(frozen=True)
class Target:
    """Cells or synapses, in all areas or in those with these numbers (positions in `circuit.areas`)."""

    kind: Kind
    name: str
    areas: tuple[int, ...] | None = None

    def __str__(self) -> str:
        where = "" if self.areas is None else f"@area={','.join(map(str, self.areas))}"
        return f"{self.kind}:{self.name}{where}"

    # ---- what of a circuit it names --------------------------------------------------------------

    def populations(self, circuit: Circuit) -> tuple[Population, ...]:
        """The populations it names. SpecError when there is none."""
        known = {p.name: _label(p, self.kind) for p in circuit.populations}
        found = tuple(p for p in circuit.populations if known[p.name] == self.name)
        return found or self._missing(known.values())

    def projections(self, circuit: Circuit) -> tuple[Projection, ...]:
        """The projections it names. SpecError when there is none."""
        found = tuple(p for p in circuit.projections if p.name == self.name)
        return found or self._missing(p.name for p in circuit.projections)

    def _missing(self, known: Iterable[str | None]) -> tuple[()]:
        names = sorted({name for name in known if name})
        raise SpecError(
            f"the circuit has no {self.kind} {self.name!r}{near_name(self.name, names)}; "
            f"it has {', '.join(names) or 'none'}"
        )

    def factors(
        self, circuit: Circuit, what: str, axes: Iterable[str], factor: float
    ) -> tuple[tuple[str, ...], np.ndarray]:
        """The area axes among `axes`, and over them `factor` in the areas of the lesion, 1 elsewhere.

        SpecError where areas that the lesion takes share `what` with areas that it leaves.
        """
        areas, own = circuit.areas, set(axes)
        count = len(areas)
        kept = tuple(axis for axis in areas.axes if axis in own)
        hit = np.zeros([int(circuit.axis(axis).extent) for axis in areas.axes], dtype=bool)
        for number in self.areas or ():
            if number >= count:
                raise SpecError(f"{self}: there is no area {number}, the circuit has {count}")
            hit[areas[number].index] = True
        shared = tuple(k for k, axis in enumerate(areas.axes) if axis not in own)
        if (hit.any(axis=shared) != hit.all(axis=shared)).any():
            raise SpecError(f"{self}: {what} is shared by areas, so it cannot be cut in some only")
        return kept, np.where(hit.all(axis=shared), factor, 1.0)


def read_target(text: str) -> Target:
    """The target that a text names, such as `population:superficial` or `cell:pv@area=0,3`."""
    found = _TARGET.fullmatch(text)
    if found is None:
        raise SpecError(
            f"cannot read target {named(text)}: write KIND:NAME or KIND:NAME@area=0,3, such as layer:L2/3"
        )
    kind = found["kind"]
    if kind not in list(Kind):
        kinds = list(map(str, Kind))
        raise SpecError(
            f"no kind of target {kind!r}{near_name(kind, kinds)}; there are: {', '.join(kinds)}"
        )
    areas = found["areas"]
    numbers = None if areas is None else tuple(map(int, areas.split(",")))
    return Target(Kind(kind), found["name"], numbers)


def _label(population: Population, kind: Kind) -> str | None:
    """What a population is called among the targets of a kind."""
    in_cortex = population.region.in_cortex
    match kind:
        case Kind.POPULATION:
            return population.name
        case Kind.CELL:
            return population.cell_class.value
        case Kind.LAYER:
            return population.region.label if in_cortex else None
        case Kind.NUCLEUS:
            return None if in_cortex else population.region.label
        case Kind.PROJECTION:
            return None
