"""Back in: the circuit of a SONATA folder that cortico wrote, checked against its neurons and synapses.

SONATA lists synapses and forgets the index relations they come from. These are in the circuit's text in
the same folder; what is read here is that text, and that the HDF5 files still say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends.extras import require_extra
from cortico.backends.protocol import Progress
from cortico.backends.sonata.types import EDGE_POPULATION, EDGES, NODE_POPULATION, NODES, tables
from cortico.ir import Circuit, CircuitError, SpecError
from cortico.ir.errors import clipped, shown
from cortico.ir.limits import TEXT_BYTES
from cortico.ir.reading import read_bytes, require_file
from cortico.ir.text import load_circuit

if TYPE_CHECKING:
    import h5py

#: The circuit's text, which `cortico compile` writes beside the SONATA files.
TEXT = "circuit.cortico"

#: Neurons or synapses in memory at once.
_BLOCK = 1 << 18


def read_sonata(folder: Path, progress: Progress = lambda stage: None) -> Circuit:
    """The circuit of a SONATA folder. SpecError when it has none, or the files say something else."""
    require_extra("sonata", "h5py")
    if not (folder / TEXT).is_file():
        raise SpecError(
            f"{str(folder)!r} has no {TEXT}: cortico reads SONATA that it wrote itself, since the format "
            "does not keep the index relations of projections"
        )
    try:
        circuit = load_circuit(folder / TEXT)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    if circuit.symbols:
        raise SpecError(f"{folder / TEXT} has no numbers of neurons, so {NODES} is not of it")
    counts = circuit.counts()
    nodes = (folder / NODES, f"nodes/{NODE_POPULATION}", int(counts.neurons))
    _check(*nodes, _neurons(circuit), progress)
    edges = (folder / EDGES, f"edges/{EDGE_POPULATION}", int(counts.synapses))
    _check(*edges, _synapses(circuit), progress)
    if circuit.lives_in_time:
        _check_types(circuit, folder)
    return circuit


def _check_types(circuit: Circuit, folder: Path) -> None:
    """SpecError where the tables of types, in which delays stand, say something else than the text."""
    for name, text in tables(circuit).items():
        found = read_bytes(folder / name, TEXT_BYTES).decode("utf-8", "replace").splitlines()
        for line, wanted in zip_longest(found, text.splitlines()):
            if line != wanted:
                raise SpecError(
                    f"{folder / name} has {shown(line)}, but {TEXT} has {shown(wanted)}: change the circuit, "
                    "not its types"
                )


#: A block: what it is of, and the arrays that the file should have there, by name.
_Expected = tuple[str, Mapping[str, np.ndarray]]


def _neurons(circuit: Circuit) -> Iterator[_Expected]:
    numbers = {population.name: k for k, population in enumerate(circuit.populations)}
    for part in circuit.neurons().neurons(_BLOCK):
        name = part.population.name
        types = np.full(len(part.ids), numbers[name])
        indices = {f"0/index_{axis}": index for axis, index in part.indices.items()}
        yield f"population {name!r}", {"node_type_id": types, **indices}


def _synapses(circuit: Circuit) -> Iterator[_Expected]:
    numbers = {projection.name: k for k, projection in enumerate(circuit.projections)}
    for part in circuit.neurons().synapses(_BLOCK):
        name = part.projection.name
        if part.weight is None:
            raise SpecError(f"projection {name!r} has no weights in {TEXT}")
        yield (
            f"projection {name!r}",
            {
                "edge_type_id": np.full(len(part.pre), numbers[name]),
                "source_node_id": part.pre,
                "target_node_id": part.post,
                "0/syn_weight": part.weight,
            },
        )


def _check(
    path: Path, place: str, rows: int, blocks: Iterator[_Expected], progress: Progress
) -> None:
    import h5py

    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            _compare(path, _inside(file, place), rows, blocks, progress)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"cannot read {path}: {clipped(str(error), 200)}") from None


def _inside(group: h5py.Group, place: str) -> h5py.Group | h5py.Dataset:
    """What is at a place of this very file. ValueError for a link to another one."""
    import h5py

    for name in place.split("/"):
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink | h5py.SoftLink):
            raise ValueError(f"{name!r} is a link")
        group = group[name]
    return group


def _column(group: h5py.Group, name: str, rows: int, path: Path) -> h5py.Dataset:
    """The numbers of one property: all in this file, and in pieces that fit into memory."""
    column = _inside(group, name)
    found = column.shape
    if found is None or len(found) != 1 or column.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} is no list of numbers")
    if column.is_virtual or column.external:
        raise ValueError(f"{name!r} lies in other files")
    if column.chunks and column.chunks[0] > max(rows, _BLOCK):
        raise ValueError(f"{name!r} has pieces of {column.chunks[0]:,} numbers")
    if found[0] != rows:
        raise SpecError(f"{path} has {found[0]:,} rows, the circuit's text has {rows:,}")
    return column


def _compare(
    path: Path, group: h5py.Group, rows: int, blocks: Iterator[_Expected], progress: Progress
) -> None:
    columns: dict[str, h5py.Dataset] = {}
    first = 0
    for what, expected in blocks:
        last = first + len(next(iter(expected.values())))
        progress(f"comparing {what}: {last:,} in {path.name}")
        for name, wanted in expected.items():
            if name not in columns:
                columns[name] = _column(group, name, rows, path)
            found = columns[name][first:last]
            wrong = np.flatnonzero(found != wanted) if len(found) == len(wanted) else [len(found)]
            if len(wrong):
                raise SpecError(
                    _difference(path, f"{group.name}/{name}", what, first, wrong[0], found, wanted)
                )
        first = last


def _difference(
    path: Path, name: str, what: str, first: int, at: int, found: np.ndarray, wanted: np.ndarray
) -> str:
    value = found[at] if at < len(found) else "nothing"
    return (
        f"{path}: {name}[{first + at}] is {value}, but {TEXT} has {wanted[at]} there ({what}): "
        "change the circuit, not its synapses"
    )
