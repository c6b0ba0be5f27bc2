"""`cortico lesion`: what is printed and written, and errors."""

import json

import numpy as np
import pytest

from cortico.experiment import effects, lesion
from cortico.ir.text import load_circuit


def cut(cortico, *arguments):
    return cortico("lesion", "out", "-i", "x.npy", *arguments)


def test_changes_are_printed_and_written(cortico, home):
    code, out, err = cut(
        cortico, "--silence", "layer:L2/3@area=1", "--json", "a.json", "-o", "y.npy"
    )
    assert (code, err) == (0, "")
    circuit = load_circuit(home / "out" / "circuit.cortico")
    silent = lesion(circuit, "layer:L2/3@area=1")
    x = np.load(home / "x.npy")
    expected = effects(circuit, silent, {"x": x}, backend="numpy")
    record = json.loads((home / "a.json").read_text())
    assert record == {
        "lesions": [{"target": "layer:L2/3@area=1", "factor": 0.0}],
        **json.loads(json.dumps(expected.record())),
    }
    np.testing.assert_array_equal(np.load(home / "y.npy"), expected.given["y"])
    assert out.startswith("layer:L2/3@area=1 silenced\n")
    rows = [line.split() for line in out.splitlines()]
    assert ["output", "y", f"{100 * expected.outputs['y']:.3g}%"] in rows
    assert ["1", *["100%"] * 5] in rows
    assert ["0", *["0%"] * 5] in rows


def test_scaling(cortico, home):
    arguments = ("--scale", "nucleus:matrix@area=0=0.5", "--silence", "cell:pv")
    assert cut(cortico, *arguments)[0] == 2  # thalamus belongs to no area
    code, out, _ = cut(cortico, "--scale", "nucleus:matrix=0.5", "--json", "a.json")
    assert code == 0
    assert "nucleus:matrix times 0.5\n" in out
    assert json.loads((home / "a.json").read_text())["shared"]["matrix_query"] == pytest.approx(0.5)


def test_lesions_add_up(cortico, home):
    code, out, _ = cut(
        cortico, "--scale", "population:mask=0.5", "--scale", "layer:L2/3=0.5", "--json", "a.json"
    )
    assert code == 0
    assert out.splitlines()[:2] == ["population:mask times 0.5", "layer:L2/3 times 0.5"]
    areas = json.loads((home / "a.json").read_text())["areas"]
    circuit = load_circuit(home / "out" / "circuit.cortico")
    half = lesion(circuit, "layer:L2/3", 0.5)
    expected = effects(circuit, lesion(half, "population:mask", 0.5), {"x": np.load("x.npy")})
    assert areas[0]["populations"]["pool"] == pytest.approx(
        expected.areas[0].populations["pool"], rel=1e-9
    )


def test_silenced_divisors_are_explained(cortico, home):
    note = "note: cell:pv divides deep, and x/0 is 0 in a circuit"
    assert note in " ".join(cut(cortico, "--silence", "cell:pv")[1].split())
    assert "note" not in cut(cortico, "--scale", "cell:pv=0.5")[1]


def test_released_cells_are_told(cortico, home):
    (home / "sigma.toml").write_text((home / "ok.toml").read_text() + "semi_saturation = 0.5\n")
    assert cortico("compile", "sigma.toml", "--random-weights", "0", "-o", "released")[0] == 0
    code, out, _ = cortico("lesion", "released", "-i", "x.npy", "--silence", "cell:pv")
    note = "note: cell:pv divides deep, which a constant divides too: these cells are released."
    assert code == 0 and note in " ".join(out.split()) and "fall silent" not in out


def test_weights_from_a_file(cortico, home):
    from safetensors.numpy import save_file

    from cortico import random_weights, read_spec

    save_file(dict(random_weights(read_spec(home / "ok.toml"), 1)), home / "w.safetensors")
    arguments = ("-i", "x.npy", "--silence", "layer:L2/3@area=1")
    bare = cortico("lesion", "bare", *arguments, "--weights", "w.safetensors")
    assert bare[0] == 0
    assert bare == cortico("lesion", "out", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to do: give --silence TARGET or --scale TARGET=FACTOR"),
        (("--silence", "cell:pvv"), "no cell 'pvv' (did you mean 'pv'?)"),
        (("--silence", "pv"), "cannot read target 'pv'"),
        (("--scale", "cell:pv=-1"), "a lesion's factor must be finite and at least 0, found -1.0"),
        (("--silence", "cell:pv", "-o", "y.txt"), "output 'y.txt' must end in .npy or .npz"),
        (("--scale", "cell:pv"), "expected TARGET=FACTOR, such as nucleus:matrix=0.5"),
        (("--scale", "cell:pv=half"), "expected TARGET=FACTOR"),
    ],
)
def test_errors(cortico, home, arguments, message):
    code, out, err = cut(cortico, *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert not (home / "y.txt").exists()
