"""Recordings as SONATA files in a folder, and back: `rates.h5`, `spikes.h5`, and the circuit's text.

Format: https://github.com/BlueBrain/sonata-extension, and the SONATA developer guide, "spike file" and "report
file" (Dai et al. 2020, doi 10.1371/journal.pcbi.1007696). Population and node ids are those of the SONATA backend,
which are `circuit.neurons()`'s. Rates have no unit ("1"). `data` is float32, which libsonata wants; `exact`, a
dataset of our own beside it, is float64, and is what is read back. SONATA has no words for spikes of several
somas that carry one cell: others beside `node_ids` say which soma fired, and which cells were
recorded, so that silent ones are known. `recorded.cortico` has the populations, without weights.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.backends.extras import require_library
from cortico.backends.recordings.values import Rates, Recording, Spikes
from cortico.backends.sonata.hdf5 import new_file
from cortico.backends.sonata.types import NODE_POPULATION
from cortico.ir import Circuit, SpecError
from cortico.ir.arguments import kind
from cortico.ir.errors import clipped
from cortico.ir.reading import require_file
from cortico.ir.text import load_circuit, save_circuit

if TYPE_CHECKING:
    import h5py

FILES = RATES, SPIKES, TEXT = "rates.h5", "spikes.h5", "recorded.cortico"

#: How spikes are sorted, as SONATA numbers it: 0 none, 1 by id, 2 by time.
_BY_TIME = 2


def write_recording(recording: Recording, folder: Path) -> tuple[str, ...]:
    """Write the files into a folder, which exists; returns their names. UnsupportedError without h5py."""
    require_library("a recording", "h5py", "hdf5")
    names = [TEXT]
    save_circuit(_without_weights(recording.circuit), folder / TEXT)
    if recording.rates is not None:
        _write_rates(recording.rates, folder / RATES)
        names.append(RATES)
    if recording.spikes is not None:
        _write_spikes(recording.spikes, folder / SPIKES)
        names.append(SPIKES)
    return tuple(names)


@kind
def read_recording(folder: str | os.PathLike[str]) -> Recording:
    """The recording in a folder. SpecError for a folder that has none, or whose files say something else."""
    folder = Path(folder)
    require_library("a recording", "h5py", "hdf5")
    found = [name for name in (RATES, SPIKES) if (folder / name).is_file()]
    if not found:
        raise SpecError(f"{str(folder)!r} is no recording: it has no {RATES} and no {SPIKES}")
    require_file(folder / TEXT)
    circuit = load_circuit(folder / TEXT)
    rates = _read(folder / RATES, _read_rates, circuit) if RATES in found else None
    spikes = _read(folder / SPIKES, _read_spikes, circuit) if SPIKES in found else None
    return Recording(circuit, rates, spikes)


def _without_weights(circuit: Circuit) -> Circuit:
    """The circuit with parameters that have no values: what is needed to name cells."""
    return replace(circuit, parameters=tuple(replace(p, values=None) for p in circuit.parameters))


# ---- writing ---------------------------------------------------------------------------------------


def _write_rates(rates: Rates, path: Path) -> None:
    count = len(rates.cells)
    start = float(rates.times[0]) if len(rates.times) else 0.0
    with new_file(path) as (file, check):
        group = file.create_group(f"report/{NODE_POPULATION}")
        with np.errstate(over="ignore"):  # beyond float32 a rate is infinite to others
            data = group.create_dataset("data", data=rates.values.astype(np.float32))
        data.attrs["units"] = "1"
        group["exact"] = rates.values
        mapping = group.create_group("mapping")
        ids = mapping.create_dataset("node_ids", data=rates.cells.astype(np.uint64))
        ids.attrs["sorted"] = np.uint8(1)
        mapping["index_pointer"] = np.arange(count + 1, dtype=np.uint64)  # one element a cell
        mapping["index_pointers"] = mapping["index_pointer"]  # as libsonata calls them
        mapping["element_ids"] = np.zeros(count, np.uint32)
        stop = start + len(rates.times) * rates.interval
        time = mapping.create_dataset("time", data=[start, stop, rates.interval])
        time.attrs["units"] = "ms"
        check()


def _write_spikes(spikes: Spikes, path: Path) -> None:
    import h5py

    with new_file(path) as (file, check):
        group = file.create_group(f"spikes/{NODE_POPULATION}")
        sorting = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, np.uint8)
        group.attrs.create("sorting", _BY_TIME, dtype=sorting)
        times = group.create_dataset("timestamps", data=spikes.times)
        times.attrs["units"] = "ms"
        group["node_ids"] = spikes.cells.astype(np.uint64)
        group["soma_ids"] = spikes.somas.astype(np.uint32)
        group["recorded_node_ids"] = spikes.recorded.astype(np.uint64)
        group["somas_per_node"] = spikes.somas_of.astype(np.uint32)
        window = group.create_dataset("time", data=[spikes.start, spikes.stop])
        window.attrs["units"] = "ms"
        check()


# ---- reading ---------------------------------------------------------------------------------------


def _read(path: Path, reader: Any, circuit: Circuit) -> Any:
    """What `reader` finds in a file. SpecError, in one line, for a file that is something else."""
    import h5py

    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            return reader(file, circuit)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"cannot read {path}: {clipped(str(error), 200)}") from None


def _read_rates(file: h5py.File, circuit: Circuit) -> Rates:
    group = file[f"report/{NODE_POPULATION}"]
    cells, values = _ids(group["mapping/node_ids"], circuit), _numbers(group["exact"], 2)
    start, stop, interval = _numbers(group["mapping/time"], 1).tolist()
    if values.shape[1] != len(cells):
        raise ValueError(f"exact has {values.shape[1]} columns, {len(cells)} node_ids")
    if not interval > 0 or abs((stop - start) / interval - len(values)) > 0.5:
        raise ValueError(
            f"exact has {len(values)} rows, time has {start:g} to {stop:g} by {interval:g} ms"
        )
    if (np.diff(cells) <= 0).any():
        raise ValueError("node_ids are not ascending")
    return Rates(start + np.arange(len(values)) * interval, interval, cells, values)


def _read_spikes(file: h5py.File, circuit: Circuit) -> Spikes:
    group = file[f"spikes/{NODE_POPULATION}"]
    recorded, somas_of = _ids(group["recorded_node_ids"], circuit), _whole(group["somas_per_node"])
    times, cells = _numbers(group["timestamps"], 1), _ids(group["node_ids"], circuit)
    somas, (start, stop) = _whole(group["soma_ids"]), _numbers(group["time"], 1).tolist()
    if not len(times) == len(cells) == len(somas) or len(recorded) != len(somas_of):
        raise ValueError("timestamps, node_ids and soma_ids are not equally long")
    if (np.diff(recorded) <= 0).any() or (np.diff(times) < 0).any():
        raise ValueError("recorded_node_ids or timestamps are not ascending")
    place = np.minimum(np.searchsorted(recorded, cells), max(len(recorded) - 1, 0))
    if len(cells) and not (len(recorded) and (recorded[place] == cells).all()):
        raise ValueError("node_ids has cells that are not in recorded_node_ids")
    if (somas >= somas_of[place]).any() if len(cells) else False:
        raise ValueError("soma_ids has somas beyond somas_per_node")
    return Spikes(start, stop, times, cells, somas, recorded, somas_of)


def _numbers(data: h5py.Dataset, dimensions: int) -> np.ndarray:
    """The finite numbers of a dataset, in float64."""
    found = np.asarray(data[()], np.float64)
    if found.ndim != dimensions:
        raise ValueError(f"{data.name} has {found.ndim} dimensions, expected {dimensions}")
    if not np.isfinite(found).all():
        raise ValueError(f"{data.name} has numbers that are NaN or infinite")
    return found


def _whole(data: h5py.Dataset) -> np.ndarray:
    """The whole numbers of a dataset, in int64."""
    if data.ndim != 1 or data.dtype.kind not in "iu":
        raise ValueError(f"{data.name} is no list of whole numbers")
    return np.asarray(data[()], np.int64)


def _ids(data: h5py.Dataset, circuit: Circuit) -> np.ndarray:
    """Ids of cells that are in the circuit."""
    found, size = _whole(data), circuit.neurons().size
    if len(found) and not 0 <= found.min() <= found.max() < size:
        raise ValueError(f"{data.name} has ids that are not from 0 to {size - 1}, as in {TEXT}")
    return found
