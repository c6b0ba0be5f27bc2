"""Ways to break a folder: each makes a function that does it to one."""

import json
import shlex
import zipfile
from io import BytesIO

import numpy as np
from safetensors.numpy import load_file, save_file

X = np.ones((5, 8))
XS = np.arange(120.0).reshape(3, 5, 8) / 120
TRAIN = "train ok.toml -o t --epochs 1"
NAN = np.full((2, 4, 8), np.nan)
HALF_WRITTEN = "model = 8\nheads = 2\nbias = {query = tru"


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def raw(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def array(name, values):
    return lambda folder: np.save(folder / name, values)


def archive(name, **arrays):
    return lambda folder: np.savez(folder / name, **arrays)


def weights(**changed):
    """w.safetensors: the weights of `out`, with some changed."""

    def prepare(folder):
        tensors = load_file(folder / "out" / "circuit.safetensors")
        save_file(tensors | changed, folder / "w.safetensors")

    return prepare


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def edited(name, old, new):
    def prepare(folder):
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return prepare


def lying_header(folder):
    """A header that places a tensor beyond the end of the file."""
    header = json.dumps({"W_Q": {"dtype": "F32", "shape": [2], "data_offsets": [0, 10**12]}})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(8)
    (folder / "w.safetensors").write_bytes(content)


def lying_npy(folder):
    """A header that promises eight petabytes."""
    header = BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 1000)}
    np.lib.format.write_array_header_1_0(header, fields)
    (folder / "bad.npy").write_bytes(header.getvalue() + bytes(64))


def raw_member(folder):
    with zipfile.ZipFile(folder / "bad.npz", "w") as file:
        file.writestr("x", "hello")


def corrupt_npz(folder):
    np.savez_compressed(folder / "bad.npz", x=np.arange(4000.0))
    content = bytearray((folder / "bad.npz").read_bytes())
    content[300:340] = bytes(40)
    (folder / "bad.npz").write_bytes(content)


def huge(folder):
    text("huge.toml", "model = 8\nheads = 2\ntokens = 1_000_000_000_000\n")(folder)
    from cortico.cli import main

    options = ["--passes", "none"]
    assert main(["compile", "huge.toml", "-o", "huge", *options]) == 0


def trained(change=lambda folder: None, epochs=1):
    """The folder t with a training of the data d.npz, changed afterwards."""

    def prepare(folder):
        archive("d.npz", x=XS, target=XS)(folder)
        from cortico.cli import main

        command = f"{TRAIN} --data d.npz --random-weights 1 --epochs {epochs}"
        assert main(shlex.split(command)) == 0  # the last --epochs counts
        change(folder)

    return prepare
