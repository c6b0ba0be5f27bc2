"""Synapses in files, read back with pyarrow, pandas-like dictionaries and h5py."""

import json
import signal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cortico import CircuitError, SpecError, UnsupportedError, write_synapses
from cortico.files import synapse_table
from tests.cli.conftest import tree
from tests.ir.circuits import attention, sampler
from tests.ir.network.networks import stack

SUFFIXES = (".parquet", ".h5", ".hdf5")


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    return tmp_path / f"synapses{request.param}"


def read(path):
    """Columns of a file, with text decoded; a missing weight is NaN. And its metadata."""
    if path.suffix == ".parquet":
        table = pa.parquet.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return columns, table.schema.metadata[b"cortico"]
    with h5py.File(path) as file:
        columns = {name: file[name][:] for name in file}
        for name in ("compartment", "projection"):
            codes = h5py.check_enum_dtype(file[name].dtype)
            columns[name] = np.array([{k: n for n, k in codes.items()}[k] for k in columns[name]])
        return columns, file.attrs["cortico"]


def expected(circuit, **options):
    rows = []
    for block in circuit.neurons().synapses(**options):
        weights = np.full(len(block.pre), np.nan) if block.weight is None else block.weight
        names = block.projection.compartment, block.projection.name
        rows += [(*row, *names) for row in zip(block.pre, block.post, weights, strict=True)]
    names = ("pre", "post", "weight", "compartment", "projection")
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def assert_equal(found, wanted):
    assert set(found) == set(wanted)
    for name in ("pre", "post", "weight"):
        assert found[name].dtype == (np.float64 if name == "weight" else np.int64)
        assert np.array_equal(found[name], wanted[name], equal_nan=name == "weight")
    for name in ("compartment", "projection"):
        assert list(found[name]) == list(wanted[name])


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_a_file_holds_the_stream(path, weights, block):
    circuit = attention(causal=True, softmax=True, weights=weights)
    seen = []
    count = write_synapses(circuit, path, block=block, progress=lambda *at: seen.append(at))
    assert count == circuit.counts().synapses == seen[-1][0] == seen[-1][1]
    assert sorted(seen) == seen
    found, about = read(path)
    assert_equal(found, expected(circuit))
    assert np.isnan(found["weight"]).any() != weights
    first = {p["name"]: p["first"] for p in json.loads(about)["populations"]}
    assert first == circuit.neurons().offset_of


def test_a_choice_is_written(path):
    circuit = attention(causal=True, softmax=True)
    options = {"where": lambda p: p.post == "deep", "at": {"h": 1, "j": 2}, "limit": 5}
    assert write_synapses(circuit, str(path), **options) == 5
    assert_equal(read(path)[0], expected(circuit, **options))


def test_nothing_is_written_whole(path):
    assert write_synapses(attention(), path, limit=0) == 0
    assert all(len(column) == 0 for column in read(path)[0].values())


def test_text_is_coded(tmp_path):
    write_synapses(attention(), tmp_path / "a.parquet")
    schema = pa.parquet.read_schema(tmp_path / "a.parquet")
    assert all(pa.types.is_dictionary(schema.field(n).type) for n in ("compartment", "projection"))


def of_many_names():
    """Three levels, each with small projections of its own."""
    return stack(depth=3).bind(n=3).flatten()


def test_names_that_no_enum_holds_are_numbers(tmp_path, monkeypatch):
    circuit, path = of_many_names(), tmp_path / "a.h5"
    monkeypatch.setattr(synapse_table, "_ENUM_BYTES", 100)
    write_synapses(circuit, path)
    with h5py.File(path) as file:
        names = json.loads(file.attrs["cortico"])["projections"]
        assert h5py.check_enum_dtype(file["projection"].dtype) is None
        found = [names[k] for k in file["projection"][:]]
        assert h5py.check_enum_dtype(file["compartment"].dtype) is not None
    assert found == list(expected(circuit)["projection"])


def test_small_projections_are_written_together(tmp_path):
    circuit, path = of_many_names(), tmp_path / "a.parquet"
    write_synapses(circuit, path, block=10)
    assert pa.parquet.read_metadata(path).num_row_groups == 1
    assert_equal(read(path)[0], expected(circuit))
    first = pa.parquet.ParquetFile(path).read_row_group(0)["projection"].chunk(0)
    assert len(first.dictionary) == len(circuit.projections)


def test_a_group_of_rows_ends(tmp_path, monkeypatch):
    circuit, path = of_many_names(), tmp_path / "a.parquet"
    monkeypatch.setattr(synapse_table, "BLOCK", 100)
    write_synapses(circuit, path, block=30)
    groups = pa.parquet.read_metadata(path)
    rows = [groups.row_group(k).num_rows for k in range(groups.num_row_groups)]
    assert len(rows) > 2 and max(rows) < 130 and min(rows[:-1]) >= 100
    assert_equal(read(path)[0], expected(circuit))


@pytest.mark.full
@pytest.mark.parametrize("suffix", ["parquet", "h5"])
def test_a_deep_model(tmp_path, suffix):
    circuit, path = stack(depth=200).bind(n=2).flatten(), tmp_path / f"a.{suffix}"
    count = write_synapses(circuit, path)
    assert count == circuit.counts().synapses
    assert path.stat().st_size < 40 * count + 10**6


def test_a_missing_weight_is_null(tmp_path):
    write_synapses(attention(weights=False), tmp_path / "a.parquet")
    table = pa.parquet.read_table(tmp_path / "a.parquet")
    symbolic = [
        name in ("key", "query", "value", "out") for name in table["projection"].to_pylist()
    ]
    assert table["weight"].is_null().to_pylist() == symbolic


def test_symbols_are_refused(path):
    with pytest.raises(CircuitError, match=r"circuit\.bind\(n=16\)"):
        write_synapses(sampler(), path)
    assert not tree(path.parent)


def test_a_failed_run_leaves_the_old_file(path):
    write_synapses(attention(), path)
    before = tree(path.parent)

    def fail(written, total):
        if written > 20:
            raise RuntimeError("as if the power went")

    with pytest.raises(RuntimeError, match="as if"):
        write_synapses(attention(tokens=4), path, block=10, progress=fail)
    assert tree(path.parent) == before


@pytest.fixture
def interrupts():
    """Ctrl-C ends this process, even where it was started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_block(tmp_path, monkeypatch, interrupts):
    """HDF5 would lose a Ctrl-C that comes in the middle of a write."""
    columns, write = [], h5py.Dataset.__setitem__

    def interrupted(dataset, *arguments):
        signal.raise_signal(signal.SIGINT)
        write(dataset, *arguments)
        columns.append(dataset.name)

    monkeypatch.setattr(h5py.Dataset, "__setitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_synapses(attention(), tmp_path / "a.h5", block=10)
    assert columns == ["/pre", "/post", "/weight", "/compartment", "/projection"]
    assert not tree(tmp_path)


@pytest.mark.parametrize("name", ["synapses.csv", "synapses", "synapses.parque"])
def test_unknown_suffixes(tmp_path, name):
    with pytest.raises(SpecError, match=r"must end in \.parquet, \.h5, \.hdf5"):
        write_synapses(attention(), tmp_path / name)


def test_without_the_library(path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    extra = "parquet" if path.suffix == ".parquet" else "hdf5"
    with pytest.raises(
        UnsupportedError, match=rf"file needs \w+: pip install 'cortico\[{extra}\]'"
    ):
        write_synapses(attention(), path)
