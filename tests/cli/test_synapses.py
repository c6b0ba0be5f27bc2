"""`cortico synapses`: the table, files, choices, interrupts, a full disk, and errors."""

import h5py
import pyarrow.parquet
import pytest

from cortico import load_circuit
from tests.cli.conftest import tree
from tests.cli.test_processes import INTERRUPTED, interrupted

OUT = ("synapses", "out", "--bind", "n=5")


def test_the_first_synapses(cortico, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, printed, errors = cortico(*OUT, "--projection", "key", "--at", "h=1", "--limit", "3")
    view = load_circuit("out/circuit.cortico").bind(n=5).neurons()
    block = next(view.synapses(where=lambda p: p.name == "key", at={"h": 1}))
    lines = [line.split() for line in printed.splitlines() if line.startswith("thalamus")]
    names = [view.name_of(int(neuron)) for neuron in block.pre[:3]]
    assert [line[0] for line in lines] == names
    assert [line[-1] for line in lines] == [f"{weight:.6g}" for weight in block.weight[:3]]
    total = view.count_synapses(lambda p: p.name == "key", {"h": 1})
    assert f"3 synapses of {total:,}; -o FILE writes them" in printed
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("source", [OUT[1:], ("ok.toml", "--tokens", "5", "--passes", "none")])
@pytest.mark.parametrize("suffix", ["parquet", "h5"])
def test_files(cortico, home, source, suffix):
    counts = load_circuit("out/circuit.cortico").bind(n=5).counts()
    code, printed, errors = cortico("synapses", *source, "-o", f"new/all.{suffix}")
    assert (code, errors) == (0, "")
    assert printed == f"{counts.synapses:,} synapses written to new/all.{suffix}\n"
    assert length(home / "new" / f"all.{suffix}") == counts.synapses
    onto = cortico("synapses", *source, "-o", f"new/all.{suffix}", "--onto", "mask", "--force")
    assert onto[1].startswith(f"{counts.synapses_of['score']:,} synapses")
    assert length(home / "new" / f"all.{suffix}") == counts.synapses_of["score"]


def length(path):
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_metadata(path).num_rows
    with h5py.File(path) as file:
        return len(file["pre"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out",), "synapses need a number for each size of the circuit: add --bind n=16"),
        ((*OUT[1:], "--projection", "keyy"), "no projection called 'keyy' (did you mean 'key'?)"),
        ((*OUT[1:], "--onto", "dep"), "no population called 'dep' (did you mean 'deep'?)"),
        ((*OUT[1:], "--at", "h=2"), "axis 'h' has indices 0 to 1, found 2"),
        ((*OUT[1:], "--at", "heads=1"), "no axis called 'heads'"),
        ((*OUT[1:], "--block", "0", "-o", "a.h5"), "block must be at least 1, found 0"),
        ((*OUT[1:], "-o", "a.hdf"), "(did you mean '.hdf5'?): its name must end in .parquet"),
        ((*OUT[1:], "-o", "ok.toml/a.h5"), "'ok.toml' is no folder"),
        (("ok.toml", "--tokens", "9999999999999"), "no int64 numbers them"),
    ],
)
def test_errors(cortico, home, arguments, message):
    before = tree(home)
    code, printed, errors = cortico("synapses", *arguments)
    assert (code, printed) == (2, "")
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert tree(home) == before


@pytest.mark.parametrize("suffix", ["parquet", "h5"])
def test_interrupts(home, suffix):
    """Ctrl-C while blocks are written: it waits for the end of the block, and leaves nothing."""
    before = tree(home)
    library = {
        "parquet": ("pyarrow.parquet", "ParquetWriter.write_batch"),
        "h5": ("h5py", "Dataset.__setitem__"),
    }
    command = ("synapses", "out", "--bind", "n=40", "--block", "500", "-o", f"all.{suffix}")
    assert interrupted(command, *library[suffix], 0.05) == (130, INTERRUPTED)
    assert tree(home) == before
