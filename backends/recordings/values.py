"""A recording as a value: rates over time and spikes of chosen cells, which have the ids of `circuit.neurons()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cortico.ir import Circuit, SpecError
from cortico.ir.errors import named, near_name
from cortico.ir.names import space_axes

#: What names of a recording's arrays begin with, among the outputs of a script (`template.py` says what they are).
PREFIX = "recording/"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates of cells at regular times."""

    times: np.ndarray  #: (samples,) in ms
    interval: float  #: between samples, in ms
    cells: np.ndarray  #: (cells,) ids, ascending
    values: np.ndarray  #: (samples, cells) float64; they have no unit


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of the somas that carry cells, in order of time. A silent cell is in `recorded` all the same."""

    start: float  #: in ms: spikes were recorded from then on
    stop: float  #: until then
    times: np.ndarray  #: (spikes,) in ms, ascending
    cells: np.ndarray  #: (spikes,) ids
    somas: np.ndarray  #: (spikes,) which of the cell's somas fired
    recorded: np.ndarray  #: (cells,) ids of the cells whose spikes were recorded, ascending
    somas_of: np.ndarray  #: (cells,) how many somas carry each of these

    def trains(self) -> dict[tuple[int, int], np.ndarray]:
        """The spike times in ms of every soma that was recorded, by id of its cell and number."""
        found: dict[tuple[int, int], np.ndarray] = {}
        order = np.lexsort((self.times, self.somas, self.cells))
        keys = np.stack([self.cells, self.somas])[:, order]
        times = self.times[order]
        for cell, count in zip(self.recorded.tolist(), self.somas_of.tolist(), strict=True):
            first, last = np.searchsorted(keys[0], [cell, cell + 1])
            own = np.searchsorted(keys[1, first:last], np.arange(count + 1)) + first
            found |= {(cell, k): times[own[k] : own[k + 1]] for k in range(count)}
        return found


@dataclass(frozen=True, eq=False)
class Recording:
    """What a simulator recorded of a circuit whose sizes are numbers."""

    circuit: Circuit
    rates: Rates | None = None
    spikes: Spikes | None = None

    @cached_property
    def _offsets(self) -> dict[str, tuple[int, int]]:
        """The first id of each population, and the one behind its last."""
        view = self.circuit.neurons()
        first = [*view.offset_of.values(), view.size]
        return {name: (a, b) for name, a, b in zip(view.offset_of, first, first[1:], strict=False)}

    @property
    def populations(self) -> tuple[str, ...]:
        """Those of which something was recorded."""
        rates = self.rates.cells if self.rates else np.zeros(0, int)
        spikes = self.spikes.recorded if self.spikes else np.zeros(0, int)
        cells = np.concatenate([rates, spikes])
        return tuple(name for name in self._offsets if self.of(name, cells).size)

    def of(self, population: str, cells: np.ndarray) -> np.ndarray:
        """The places in `cells`, which are ids, where one is of a population. SpecError for one that there is not."""
        if population not in self._offsets:
            near = near_name(population, self._offsets)
            raise SpecError(f"no population is called {named(population)}{near}")
        first, last = self._offsets[population]
        return np.flatnonzero((cells >= first) & (cells < last))

    def names(self, cells: Sequence[int] | np.ndarray) -> list[str]:
        """The dotted names of cells by their ids."""
        view = self.circuit.neurons()
        return [view.name_of(int(cell)) for cell in cells]

    def rates_of(self, population: str) -> np.ndarray:
        """Rates (time, *axes in space) of a population; NaN where no cell is, or none was recorded.

        SpecError where no rates were recorded, and for a population that there is not.
        """
        if self.rates is None:
            raise SpecError("this recording has no rates")
        places = self.of(population, self.rates.cells)
        owner, view = self.circuit.population(population), self.circuit.neurons()
        axes, sizes = space_axes(self.circuit, owner), self.circuit.sizes()
        shape = (len(self.rates.times), *(sizes[axis] for axis in axes))
        found = np.full(shape, np.nan)
        indices = view.indices(owner, self.rates.cells[places])
        if places.size:
            values = self.rates.values[:, places]
            where: tuple[Any, ...] = (slice(None), *(indices[axis] for axis in axes))
            found[where] = values if axes else values[:, 0]
        return found

    def spikes_of(self, cell: int) -> list[np.ndarray]:
        """The spike times in ms of each soma of a cell. SpecError where its spikes were not recorded."""
        spikes = self.spikes
        if spikes is None or cell not in spikes.recorded:
            raise SpecError(f"no spikes were recorded of the cell with id {cell}")
        return [train for (owner, _), train in spikes.trains().items() if owner == cell]


def taken_out(circuit: Circuit, outputs: Arrays) -> tuple[dict[str, np.ndarray], Recording]:
    """The outputs of a script without its recording, and that recording; sizes of `circuit` are numbers."""
    rest = {name: array for name, array in outputs.items() if not name.startswith(PREFIX)}
    own = {n.removeprefix(PREFIX): array for n, array in outputs.items() if n.startswith(PREFIX)}
    return rest, Recording(circuit, _rates(circuit, own), _spikes(circuit, own))


def _ids(circuit: Circuit, population: str, cells: np.ndarray) -> np.ndarray:
    """The ids of cells from their indices, shape (cells, axes in space)."""
    owner = circuit.population(population)
    indices = {axis: cells[:, k] for k, axis in enumerate(space_axes(circuit, owner))}
    return circuit.neurons().ids(owner, indices, len(cells))


def _parts(arrays: Arrays, kind: str) -> dict[str, np.ndarray]:
    """The arrays of one kind, by population."""
    return {n.partition("/")[2]: array for n, array in arrays.items() if n.startswith(f"{kind}/")}


def _rates(circuit: Circuit, arrays: Arrays) -> Rates | None:
    cells = {name: _ids(circuit, name, of) for name, of in _parts(arrays, "rate_cells").items()}
    if not cells:
        return None
    ids = np.concatenate(list(cells.values()))
    values = np.concatenate([arrays[f"rates/{name}"] for name in cells], axis=1)
    order, times = np.argsort(ids), arrays["t_ms"]
    return Rates(times, float(arrays["interval_ms"]), ids[order], values[:, order])


def _spikes(circuit: Circuit, arrays: Arrays) -> Spikes | None:
    cells = {name: _ids(circuit, name, of) for name, of in _parts(arrays, "spike_cells").items()}
    if not cells:
        return None
    recorded = np.concatenate(list(cells.values()))
    somas_of = np.concatenate([arrays[f"somas/{name}"] for name in cells])
    fired = [cells[name][arrays[f"spike_cell/{name}"]] for name in cells]
    times, somas = (
        np.concatenate([arrays[f"{kind}/{name}"] for name in cells])
        for kind in ("spike_ms", "spike_soma")
    )
    ids, order = np.concatenate(fired), np.argsort(recorded)
    at = np.lexsort((somas, ids, times))
    start, stop = arrays["spikes_from_to_ms"].tolist()
    return Spikes(start, stop, times[at], ids[at], somas[at], recorded[order], somas_of[order])
