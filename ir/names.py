"""Names of single neurons, such as `cortex.area[3].column[2,5].L5.deep[7]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from cortico.ir.axes import Role
from cortico.ir.circuit import Circuit
from cortico.ir.paths import prefix
from cortico.ir.population import Population

_NUMBER = "(0|[1-9][0-9]{0,17})"


def space_axes(circuit: Circuit, population: Population) -> tuple[str, ...]:
    """The axes that number the neurons of a population: those that are not in time."""
    return tuple(axis for axis in population.axes if not circuit.axis(axis).in_time)


def axes_of_role(circuit: Circuit, role: Role, path: str | None = None) -> tuple[str, ...]:
    """The axes in space with this role, in the circuit's order; of the populations at a path only, where one is given."""
    found = tuple(axis.name for axis in circuit.axes if axis.role is role and not axis.in_time)
    if path is None:
        return found
    own = circuit.axes_at.get(path, frozenset())
    return tuple(axis for axis in found if axis in own)


def local_name(population: Population) -> str:
    """The name of a population within its block."""
    return population.name.removeprefix(prefix(population.path))


@dataclass(frozen=True)
class NameTemplate:
    """How the neurons of one population are called: `text` with one `%d` per axis of `axes`."""

    text: str
    axes: tuple[str, ...]
    mark: str = ""  #: what stands before the names of axes in the flat circuit of a network

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.text).replace("%d", _NUMBER) + r"\Z")

    def match(self, name: str) -> dict[str, int] | None:
        """Axis name to index, or None when `name` is not of this form."""
        found = self._pattern.match(name)
        if found is None:
            return None
        return dict(zip(self.axes, map(int, found.groups()), strict=True))

    @property
    def own_axes(self) -> tuple[str, ...]:
        """The axes as the block of a network calls them."""
        return tuple(axis.removeprefix(self.mark) for axis in self.axes)

    def __str__(self) -> str:
        return self.text.replace("%d", "%s") % self.own_axes


def name_template(circuit: Circuit, population: Population) -> NameTemplate:
    """The name of a population's neurons: area, column, layer, then the population and the rest.

    Thalamic nuclei have no areas or columns: all indices stand last. In a network the path of the block
    stands in place of `cortex`: `layer[3].attention.area[5].column[2,7].L5.deep[1]`.
    """
    axes, name, path = space_axes(circuit, population), local_name(population), population.path
    if not population.region.in_cortex:
        place = f"{path}.{population.region}" if path else population.region
        return NameTemplate(f"{place}.{name}" + _bracket(axes), axes, prefix(path))
    known = partial(axes_of_role, circuit, path=path or None)
    area, area_axes = _part("area", known(Role.AREA), axes, prefix(path))
    column, column_axes = _part("column", known(Role.COLUMN), axes, prefix(path))
    rest = tuple(axis for axis in axes if axis not in area_axes + column_axes)
    text = f"{path or 'cortex'}{area}{column}.{population.region.label}.{name}{_bracket(rest)}"
    return NameTemplate(text, area_axes + column_axes + rest, prefix(path))


def _part(
    kind: str, known: Sequence[str], axes: Sequence[str], mark: str
) -> tuple[str, tuple[str, ...]]:
    """`.column[%d,%d]`; axes are named (`.column[j=%d]`) when the population lacks some of them."""
    own = tuple(axis for axis in known if axis in axes)
    if not own:
        return "", own
    whole = len(own) == len(known)
    entries = ["%d" if whole else f"{axis.removeprefix(mark)}=%d" for axis in own]
    return f".{kind}[{','.join(entries)}]", own


def _bracket(axes: Sequence[str]) -> str:
    return f"[{','.join('%d' for _ in axes)}]" if axes else ""
