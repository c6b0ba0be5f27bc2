"""Small files that ask for much: each is refused with a short message, before it costs time or memory."""

import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.conftest import SPEC
from tests.covering import first

LONGEST = 2000  # characters of an error

DIGITS = "9" * 5000


def merges(times):
    """YAML in which every table has the one before it twice: 2^times fields."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}" for k in range(1, times)]
    return "\n".join(lines)


SPECS = {
    "merges.yaml": merges(20),
    "aliases.yaml": "model: &m 8\nheads: *m",
    "twice.yaml": "model: 8\nmodel: 16",
    "keys.json": json.dumps({f"k{k}": 1 for k in range(200_000)}),
    "some_keys.json": json.dumps({f"k{k}": 1 for k in range(2_000)}),
    "digits.json": f'{{"model": {DIGITS}}}',
    "digits.toml": f"model = {DIGITS}",
    "digits.yaml": f"model: {DIGITS}",
    "hexadecimal.toml": f"model = 0x{DIGITS}",
    "hexadecimal.yaml": f"model: 0x{DIGITS}",
    "negative.json": f'{{"model": -{DIGITS[:4000]}}}',
    "deep.json": f'{{"model": {"[" * 9000}{"]" * 9000}}}',
    "deep.toml": f"model = {'[' * 9000}{']' * 9000}",
    "deep.yaml": f"model: {'[' * 9000}{']' * 9000}",
    "turns.json": json.dumps({"model": 2**32, "heads": 2, "rotary": {"rotated": 2}}),
    "title.json": json.dumps({"model": 8, "heads": 7, "name": "x" * 3000}),
    "name.json": json.dumps({"model": 8, "name": "x" * 3_000_000}),
}


REASONS = {
    "merges": "aliases (*name) are not read",
    "aliases": "aliases (*name) are not read",
    "twice": "the key 'model' stands twice",
    "keys": "is too large: expected at most 32,768 bytes",
    "some_keys": "the spec has 2,000 fields",
    "digits": "it has a number of thousands of digits",
    "hexadecimal": "found an integer of thousands of digits",
    "negative": "it is too large",
    "deep": "nested too deeply",
    "turns": "rotary turns features of a head one by one: 2,147,483,648 are too many",
    "title": "model = 8 does not divide into heads = 7",
    "name": "is too large: expected at most 32,768 bytes",
}


@pytest.mark.parametrize("name", SPECS)
def test_specs(cortico, home, name):
    (home / name).write_text(SPECS[name])
    code, out, err = cortico("compile", name, "-o", "o")
    refused(code, out, err)
    assert REASONS[name.partition(".")[0]] in err and not (home / "o").exists()


def refused(code, out, err):
    assert code == 2
    assert err.startswith(("cortico: ", "usage: ")) and len(err) <= LONGEST
    assert "internal error" not in err and "set_int_max_str_digits" not in err


# ---- circuits ------------------------------------------------------------------------------------


def chain(length, transfer=""):
    """Populations one after another, each hearing the one before it."""
    lines = ["cortico circuit 1", 'name "chain"', "axis i : column n", "axis m : model 8"]
    lines += ["input x (n, 8)", "population p0 [i, m] thalamus.core relay"]
    lines += ["  driver multiplies x[i, m]"]
    for k in range(1, length):
        lines += [f"population p{k} [i, m] cortex.L4 stellate{transfer}", "  basal multiplies"]
    lines += [f"projection s{k} p{k - 1} -> p{k}.basal weight 1.5" for k in range(1, length)]
    return "\n".join([*lines, f"output y = p{length - 1}[i, m]"])


def with_drive(drive, model="8"):
    lines = ["cortico circuit 1", 'name "c"', "axis i : column n", f"axis m : model {model}"]
    lines += [f"input x (n, {model})", "population r [i, m] thalamus.core relay"]
    return "\n".join([*lines, f"  driver multiplies {drive}", "output y = r[i, m]"])


CIRCUITS = {
    "exponent": with_drive("size(m)^999999999 * x[i, m]"),
    "overflow": with_drive("1e308 * size(m)^16 * x[i, m]"),
    "denominator": with_drive("size(m)^1/999999999999 * x[i, m]"),
    "coefficient": with_drive("1e999 * x[i, m]"),
    "size": with_drive("x[i, m]", DIGITS),
    "large_size": with_drive("x[i, m]", "99999999999999999999"),
    "axes": with_drive("x[i, m]").replace("[i, m] thal", f"[i, m{', i' * 20_000}] thal"),
    "compartments": with_drive("x[i, m]").replace(
        "  driver", "  d multiplies\n" * 5000 + "  driver"
    ),
    "lines": with_drive("x[i, m]") + "\n# nothing" * 200_000,
    "unknown": with_drive("x[i, m]") + "\noutput z = q[i, m]" * 20_000,
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits(cortico, home, name):
    (home / "c.cortico").write_text(CIRCUITS[name])
    refused(*cortico("show", "c.cortico"))


def test_more_axes_than_an_array_has(cortico, home):
    axes = [f"a{k}" for k in range(40)]
    text = with_drive("x[i, m]").replace(
        "population r [i, m]", f"population r [i, m, {', '.join(axes)}]"
    )
    text = text.replace("input", "\n".join([*(f"axis {a} : feature 1" for a in axes), "input"]))
    (home / "c.cortico").write_text(text.replace("= r[i, m]", f"= r[i, m, {', '.join(axes)}]"))
    code, out, err = cortico("show", "c.cortico")
    refused(code, out, err)
    assert "42 axes" in err


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "reference"])
@pytest.mark.parametrize("transfer", first(1, [" tanh", ""]))
def test_a_chain_of_three_thousand_runs(cortico, home, backend, transfer):
    (home / "c.cortico").write_text(chain(3000, transfer).replace("1.5", "1.0"))
    code, _, err = cortico("run", "c.cortico", "-i", "x.npy", "-o", "y.npy", "--backend", backend)
    assert (code, err) == (0, "")
    expected = np.load(home / "x.npy")
    for _ in range(2999 if transfer else 0):
        expected = np.tanh(expected)
    np.testing.assert_allclose(np.load(home / "y.npy"), expected, rtol=1e-9)


@pytest.mark.parametrize("command", ["draw --kind laminar -o p.svg", "report -o p.html"])
def test_a_chain_of_three_thousand_is_no_picture(cortico, home, command):
    (home / "c.cortico").write_text(chain(3000))
    command, *options = command.split()
    code, out, err = cortico(command, "c.cortico", *options)
    refused(code, out, err)
    assert "room for 300 populations" in err and not list(home.glob("p.*"))


# ---- arrays --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_npz_bombs(cortico, home):
    """Half a gigabyte of zeros in a file of two megabytes, under a name that nobody asks for."""
    with zipfile.ZipFile(home / "b.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(home / "x.npy", "x.npy")
        with archive.open("unasked.npy", "w") as member:
            for _ in range(520):
                member.write(bytes(2**20))
    code, out, err = cortico("run", "out", "-i", "b.npz")
    refused(code, out, err)
    assert "unpacks to 545," in err


def test_arrays_that_nobody_asks_for_are_not_read(cortico, home):
    """The second member is broken: it would not be read without an error."""
    np.savez(home / "a.npz", x=np.load(home / "x.npy"), other=np.ones(1000))
    content = bytearray((home / "a.npz").read_bytes())
    content[-3000:-2000] = bytes(1000)
    (home / "a.npz").write_bytes(content)
    code, out, err = cortico("run", "out", "-i", "a.npz")
    refused(code, out, err)
    assert "unknown input 'other'" in err


def test_npz_with_two_arrays_of_one_name(cortico, home):
    with zipfile.ZipFile(home / "a.npz", "w") as archive:
        for name in ("x.npy", "x"):
            archive.writestr(name, (home / "x.npy").read_bytes())
    code, out, err = cortico("run", "out", "-i", "a.npz")
    refused(code, out, err)
    assert "two arrays of one name" in err


# ---- checkpoints and options ---------------------------------------------------------------------


def test_sizes_in_config_are_not_believed(cortico, home):
    """Frequencies of 2^30 pairs of features would be made before the tensors are looked at."""
    config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 1}
    config |= {"num_hidden_layers": 1, "head_dim": 2**31 - 2}
    config["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}
    (home / "m").mkdir()
    (home / "m" / "config.json").write_text(json.dumps(config))
    save_file({"q": np.ones(2)}, home / "m" / "model.safetensors")
    code, out, err = cortico("compile", "m", "--layer", 0, "-o", "o")
    refused(code, out, err)
    assert "head_dim must be a positive integer below" in err


@pytest.mark.parametrize(
    "command",
    [
        f"compile ok.toml -o o --backend brian2 --option dt={DIGITS}",
        f"lesion out --silence cell:pv@area={DIGITS} -i x.npy",
        f"show bare --bind n={DIGITS}",
        "show bare --bind n=١٢",
        f"compile ok.toml -o o --passes quantize(bits={DIGITS[:900]})",
        f"compile ok.toml -o o --passes {'prune-dead,' * 10_000}prune-dead",
    ],
)
def test_numbers_on_the_command_line(cortico, home, command):
    (home / "ok.toml").write_text(SPEC)
    refused(*cortico(*command.split()))
