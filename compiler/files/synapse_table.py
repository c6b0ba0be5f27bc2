"""The synapses of a circuit as one table in a file, written block by block: Parquet or HDF5.

A row is a synapse:

    pre, post    neuron ids, int64, as `circuit.neurons()` numbers them
    weight       float64, gain applied; null (NaN in HDF5) while symbolic or where it runs in time
    compartment  of the postsynaptic neuron; text by code: a Parquet dictionary, an HDF5 enum
    delay        ms, float64, in a circuit that has delays; null (NaN in HDF5) where a projection has none
    projection   text by code, too; of a deep model in HDF5 a number: its place among the `projections` of the metadata

The file's metadata `cortico` is JSON: name and sizes of the circuit, its projections, and for each population the id of
its first neuron, its region and its cell class; in a network the path of its block, too. Parquet needs the extra `parquet`, HDF5 `hdf5`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cortico.backends.clock import delay_in_ms
from cortico.backends.extras import require_library
from cortico.backends.hdf5 import new_hdf5
from cortico.files.writing import interrupts_held, replacing_files
from cortico.ir import Circuit, Projection, SpecError
from cortico.ir.arguments import kind
from cortico.ir.errors import near_name
from cortico.ir.neurons import NeuronView, SynapseBlock

#: Synapses held in memory at a time.
BLOCK = 1 << 20

#: Bytes of the names of an HDF5 enum: a header ends at 64 KiB.
_ENUM_BYTES = 60_000

Write = Callable[[SynapseBlock], None]


@kind
def write_synapses(
    circuit: Circuit,
    path: Path | str,
    *,
    where: Callable[[Projection], bool] | None = None,
    at: Mapping[str, int] | None = None,
    limit: int | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int], None] = lambda written, total: None,
    force: bool = False,
) -> int:
    """Write synapses to a `.parquet`, `.h5` or `.hdf5` file and return how many.

    `where`, `at` and `limit` choose, as in `NeuronView.synapses`. `progress` is called with the number
    of rows written and of all. The file appears when it is whole. SpecError for other suffixes, for
    what cannot be written, such as delays in steps, and, without `force`, when other content would be replaced; UnsupportedError
    for a missing extra; CircuitError while sizes are symbols.
    """
    path = Path(path)
    writer = require_format(path).writer
    view = circuit.neurons()
    total = view.count_synapses(where, at)
    total = total if limit is None else min(total, limit)
    with (
        replacing_files(path.parent, force=force) as staging,
        writer(staging / path.name, view, total) as write,
    ):
        written = 0
        for synapses in view.synapses(block, where, limit, at):
            with interrupts_held():  # the libraries lose an interrupt, or break off within a write
                write(synapses)
            written += len(synapses.pre)
            progress(written, total)
    return total


def require_format(path: Path) -> Format:
    """The format that a file name asks for. SpecError when there is none, UnsupportedError when its library is missing."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise SpecError(
            f"cannot write synapses to {str(path)!r}{near_name(suffix, FORMATS)}: "
            f"its name must end in {known}"
        )
    found = FORMATS[suffix]
    require_library(f"a {suffix} file", found.library, found.extra)
    return found


# ---- Parquet -------------------------------------------------------------------------------------


@contextmanager
def _parquet(path: Path, view: NeuronView, total: int) -> Iterator[Write]:
    """Ids as differences, text by code, Snappy over all: 9 bytes a synapse, under 1 where weights repeat.

    Small blocks are written together: a group of rows has a table of names of its own.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    text = pa.dictionary(pa.int32(), pa.string())
    fields = {"pre": pa.int64(), "post": pa.int64(), "weight": pa.float64()}
    delays = _delays(view.circuit)
    fields |= {"delay": pa.float64()} if delays else {}
    schema = pa.schema(
        {**fields, "compartment": text, "projection": text}, {"cortico": _about(view)}
    )

    waiting: list[Any] = []
    rows = 0

    def coded(name: str, count: int) -> Any:
        return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [name])

    def same(number: float | None, count: int) -> Any:
        return pa.nulls(count, pa.float64()) if number is None else pa.array(np.full(count, number))

    def write_waiting() -> None:
        nonlocal rows
        if waiting:
            whole = pa.Table.from_batches(waiting, schema).combine_chunks()
            table.write_batch(*whole.to_batches())
            waiting.clear()
            rows = 0

    def write(synapses: SynapseBlock) -> None:
        nonlocal rows
        count, weight = len(synapses.pre), synapses.weight
        columns = [
            pa.array(synapses.pre),
            pa.array(synapses.post),
            pa.nulls(count, pa.float64()) if weight is None else pa.array(weight),
            *([same(delays[synapses.projection.name], count)] if delays else []),
            coded(synapses.compartment, count),
            coded(synapses.projection.name, count),
        ]
        waiting.append(pa.record_batch(columns, schema=schema))
        rows += count
        if rows >= BLOCK:
            write_waiting()

    with ParquetWriter(
        path,
        schema,
        use_dictionary=[
            "compartment",
            "projection",
            *["delay"] * bool(delays),
        ],  # coding weights would double the time
        column_encoding=dict.fromkeys(("pre", "post"), "DELTA_BINARY_PACKED"),
    ) as table:
        yield write
        with interrupts_held():
            write_waiting()


# ---- HDF5 ----------------------------------------------------------------------------------------


@contextmanager
def _hdf5(path: Path, view: NeuronView, total: int) -> Iterator[Write]:
    """Contiguous columns: 28 bytes a synapse, read and written as fast as the disk."""

    compartments, projections = _names(view.circuit)
    types = {
        "pre": np.int64,
        "post": np.int64,
        "weight": np.float64,
        **({"delay": np.float64} if (delays := _delays(view.circuit)) else {}),
        "compartment": _codes(compartments),
        "projection": _codes(projections),
    }
    written = 0

    def write(synapses: SynapseBlock) -> None:
        nonlocal written
        rows = slice(written, written + len(synapses.pre))
        columns["pre"][rows] = synapses.pre
        columns["post"][rows] = synapses.post
        columns["weight"][rows] = np.nan if synapses.weight is None else synapses.weight
        if delays:
            found = delays[synapses.projection.name]
            columns["delay"][rows] = np.nan if found is None else found
        columns["compartment"][rows] = compartments.index(synapses.compartment)
        columns["projection"][rows] = projections.index(synapses.projection.name)
        written = rows.stop
        check()

    with new_hdf5(path) as (table, check):
        table.attrs["cortico"] = _about(view)
        columns = {name: table.create_dataset(name, (total,), of) for name, of in types.items()}
        yield write


def _codes(names: list[str]) -> Any:
    """The type of codes of names: an enum, or plain numbers where an enum cannot hold all."""
    import h5py

    if sum(len(name.encode()) + 10 for name in names) > _ENUM_BYTES:  # each is filled up to 8 bytes
        return np.uint32
    return h5py.enum_dtype({name: k for k, name in enumerate(names)}, "u2")


# ---- both ----------------------------------------------------------------------------------------


def _names(circuit: Circuit) -> tuple[list[str], list[str]]:
    """The compartments and the projections that a row may name."""
    compartments = dict.fromkeys(p.compartment for p in circuit.projections)
    return list(compartments), [p.name for p in circuit.projections]


def _delays(circuit: Circuit) -> dict[str, float | None]:
    """Projection to its delay in ms; none at all where nothing has a delay."""
    found = {p.name: delay_in_ms(p) for p in circuit.projections}
    return found if any(found.values()) else {}


def _about(view: NeuronView) -> str:
    """What the ids mean, as JSON."""
    populations = [
        {
            "name": population.name,
            **({"path": population.path} if population.path else {}),
            "first": view.offset_of[population.name],
            "neurons": view.circuit.counts().neurons_of[population.name],
            "axes": [a for a in population.axes if not view.circuit.axis(a).in_time],
            "region": population.region.value,
            "cell_class": population.cell_class.value,
            **({"integrates": str(population.integrates)} if population.integrates else {}),
        }
        for population in view.circuit.populations
    ]
    about = {"circuit": view.circuit.name, "sizes": view.sizes, "populations": populations}
    return json.dumps(about | {"projections": _names(view.circuit)[1]})


@dataclass(frozen=True)
class Format:
    """A kind of file: what opens it for writing, the library for that, and the extra that brings it.

    `bytes`: of a synapse, where no weight repeats.
    """

    writer: Callable[[Path, NeuronView, int], AbstractContextManager[Write]]
    library: str
    extra: str
    bytes: int


#: Suffix to format.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".parquet": Format(_parquet, "pyarrow", "parquet", 9),
        ".h5": Format(_hdf5, "h5py", "hdf5", 28),
        ".hdf5": Format(_hdf5, "h5py", "hdf5", 28),
    }
)
