"""What the commands do, and that what they print can be read in narrow and wide terminals."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cortico import cli, load_circuit
from cortico.ir.text import parse_circuit
from tests.cli.conftest import SPEC

WRITTEN = {"attention.py", "circuit.cortico", "report.md", "spec.json"}


def ok(done):
    """What a command printed, after a look that it went well."""
    code, printed, errors = done
    assert (code, errors) == (0, "")
    return printed


def names(folder):
    return {path.name for path in folder.iterdir()}


def load_emitted(folder):
    spec = importlib.util.spec_from_file_location("emitted", folder / "attention.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.attention


# ---- compile ---------------------------------------------------------------------------------------

SPECS = {
    "toml": SPEC,
    "json": '{"model": 8, "heads": 2, "mask": "causal", "name": "small"}',
    "yaml": "model: 8\nheads: 2\nmask: causal\nname: small\n",
}


@pytest.mark.parametrize("suffix", SPECS)
@pytest.mark.parametrize("weights", ["none", "random", "file"])
def test_compile_spec(cortico, home, suffix, weights):
    (home / f"s.{suffix}").write_text(SPECS[suffix])
    options = {
        "none": [],
        "random": ["--random-weights", 1],
        "file": ["--weights", "out/circuit.safetensors"],
    }[weights]
    printed = ok(cortico("compile", f"s.{suffix}", "-o", "made", "--passes", "none", *options))
    stored = set() if weights == "none" else {"circuit.safetensors"}
    assert names(home / "made") == WRITTEN | stored
    assert f"written to made: {', '.join(load_order(home / 'made'))}" in " ".join(printed.split())
    twin = "bare" if weights == "none" else "out"
    assert load_circuit(home / "made/circuit.cortico") == load_circuit(
        home / twin / "circuit.cortico"
    )
    assert (home / "made/attention.py").read_text() == (home / twin / "attention.py").read_text()


def load_order(folder):
    first = ["circuit.cortico", "circuit.safetensors", "attention.py", "spec.json", "report.md"]
    return [name for name in first if (folder / name).exists()]


def test_compile_again_is_the_same(cortico, home):
    ok(cortico("compile", "ok.toml", "--random-weights", 1))
    assert names(home / "small") == WRITTEN | {"circuit.safetensors"}  # the folder is the name
    ok(cortico("compile", "small/spec.json", "--random-weights", 1, "-o", "again"))
    for name in ("attention.py", "circuit.cortico", "circuit.safetensors", "spec.json"):
        assert (home / "small" / name).read_bytes() == (home / "again" / name).read_bytes()
    assert {path.stat().st_mode & 0o777 for path in (home / "small").iterdir()} == {
        (home / "ok.toml").stat().st_mode & 0o777
    }


def test_compile_checkpoint(cortico, home):
    printed = ok(cortico("compile", "bert", "--layer", 1, "-o", "layer"))
    assert "bert layer 1: " in printed
    stored = load_file(home / "layer" / "circuit.safetensors")
    model = load_file(home / "bert" / "model.safetensors")
    query = model["bert.encoder.layer.1.attention.self.query.weight"]
    np.testing.assert_array_equal(stored["W_Q"].reshape(8, 8), query)
    assert "keep" in [tensor.name for tensor in load_circuit(home / "layer/circuit.cortico").inputs]


def test_compile_checkpoint_file_and_prefix(cortico, home):
    ok(cortico("compile", "bert/model.safetensors", "--prefix", "bert", "--layer", 0, "-o", "layer"))
    assert json.loads((home / "layer" / "spec.json").read_text())["name"] == "bert layer 0"


#: Of each stack of a model with an encoder and a decoder.
SIZES = {"layers": 1, "attention_heads": 2}


def test_compile_a_part(cortico, home):
    (home / "two").mkdir()
    maps = [f"{m}_proj.{kind}" for m in ("q", "k", "v", "out") for kind in ("weight", "bias")]
    places = (
        "encoder.layers.0.self_attn",
        "decoder.layers.0.self_attn",
        "decoder.layers.0.encoder_attn",
    )
    shapes = {f"{place}.{m}": (8, 8) if "w" in m else (8,) for place in places for m in maps}
    save_file({name: np.ones(s) for name, s in shapes.items()}, "two/model.safetensors")
    sizes = {f"{s}_{what}": n for s in ("encoder", "decoder") for what, n in SIZES.items()}
    Path("two/config.json").write_text(json.dumps({"model_type": "marian", "d_model": 8} | sizes))
    ok(cortico("compile", "two", "--part", "cross", "-o", "crossed"))
    spec = json.loads(Path("crossed/spec.json").read_text())
    assert spec["cross"] and spec["name"] == "two cross layer 0"
    code, _, errors = cortico("compile", "two", "--layer", 0, "-o", "other")
    assert code == 2 and "give part 'encoder' or 'decoder' or 'cross'" in errors
    code, _, errors = cortico("compile", "bert", "--part", "cross", "-o", "other")
    assert code == 2 and "'bert' has no parts, found part 'cross'" in errors


def test_compile_for_a_number_of_tokens(cortico, home):
    """T5 needs one: its bias by distance becomes a table."""
    (home / "t5").mkdir()
    place, table = "encoder.block.0.layer.0.SelfAttention", np.arange(16.0).reshape(8, 2)
    maps = {f"{place}.{m}.weight": np.ones((6, 8) if m != "o" else (8, 6)) for m in "qkvo"}
    save_file(maps | {f"{place}.relative_attention_bias.weight": table}, "t5/model.safetensors")
    sizes = {"d_model": 8, "d_kv": 3, "num_heads": 2, "num_layers": 1}
    buckets = {"relative_attention_num_buckets": 8}
    Path("t5/config.json").write_text(json.dumps({"model_type": "t5"} | sizes | buckets))
    code, _, errors = cortico("compile", "t5", "--part", "encoder", "-o", "other")
    assert code == 2 and "give tokens=N, --tokens N" in errors
    given = ("--part", "encoder", "--tokens", "3", "--passes", "none")
    ok(cortico("compile", "t5", *given, "-o", "layer"))
    bias = load_file(home / "layer" / "circuit.safetensors")["position_bias"]
    rows = [[0, 5, 6], [1, 0, 5], [2, 1, 0]]  # to later tokens the second half of the table
    np.testing.assert_array_equal(bias, table.T[:, rows])


def test_compile_cross_attention_and_ignore_a_key(cortico, home):
    save_file(
        {"in_proj_weight": np.ones((24, 8)), "out_proj.weight": np.ones((8, 8))}, "mha.safetensors"
    )
    ok(cortico("compile", "mha.safetensors", "--heads", "2", "--cross", "-o", "crossed"))
    assert json.loads(Path("crossed/spec.json").read_text())["cross"]
    config = json.loads(Path("bert/config.json").read_text()) | {"foo": 1, "bar": 2}
    Path("bert/config.json").write_text(json.dumps(config))
    code, _, errors = cortico("compile", "bert", "--layer", 0, "--ignore", "foo", "-o", "layer")
    assert code == 2 and "unknown key 'bar' = 2" in errors and "'foo'" not in errors
    ok(cortico("compile", "bert", "--layer", 0, "--ignore", "foo", "--ignore", "bar", "-o", "layer"))


def test_compile_tokens(cortico, home):
    ok(cortico("compile", "ok.toml", "--tokens", 7, "--passes", "none", "-o", "seven"))
    circuit = load_circuit(home / "seven" / "circuit.cortico")
    assert circuit.symbols == ()
    assert circuit == load_circuit(home / "bare" / "circuit.cortico").bind(n=7)


def test_compile_for_a_backend_that_only_runs(cortico, home):
    code, _, errors = cortico("compile", "ok.toml", "--backend", "reference", "-o", "made")
    assert code == 1 and "'reference' cannot write files, it runs circuits" in errors
    assert not (home / "made").exists()


@pytest.mark.slow
def test_compile_prints_passes(cortico, home):
    options = ("--verify", "--print-between-passes")
    printed = ok(cortico("compile", "ok.toml", "--passes", "share-relays", *options, "-o", "made"))
    assert "# after share-relays\ncortico circuit" in printed


def test_compile_huge_for_numpy(cortico, home):
    (home / "huge.toml").write_text("model = 8\nheads = 2\ntokens = 1_000_000_000_000\n")
    ok(cortico("compile", "huge.toml"))


HOSTILE = [
    'a"b\'\n\x1b[31mred\x00 [bold]x[/bold] ../../etc \u202e"""\\',
    "# {n} %s $(id) `id` <b> | \r\t\x07",
    "",
    "x" * 4000,
    "../..",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names(cortico, home, name):
    (home / "s.json").write_text(json.dumps({"model": 8, "heads": 2, "name": name}))
    before = names(home)
    printed = ok(cortico("compile", "s.json", "--random-weights", 1))
    (made,) = names(home) - before  # a new folder here, and nothing anywhere else
    for view in ([], ["--text"], ["--population", "deep"]):
        printed += ok(cortico("show", made, *view))
    assert all(c.isprintable() or c == "\n" for c in printed)
    x = np.load(home / "x.npy")
    ok(cortico("run", made, "-i", "x.npy", "-o", "y.npy"))
    np.testing.assert_array_equal(load_emitted(home / made)(x), np.load(home / "y.npy"))
    assert load_circuit(home / made / "circuit.cortico").name == name


@pytest.mark.parametrize("name", ["[/bold] [red]", "$(id)", "a b", "-"])
def test_hostile_paths(cortico, home, name):
    source = home / f"{name}.toml"
    source.parent.mkdir(exist_ok=True)
    shutil.copy("ok.toml", source)
    printed = ok(cortico("compile", f"./{name}.toml", "-o", f"./{name}"))
    assert f"\nwritten to {name}: " in printed
    ok(cortico("show", f"./{name}"))


# ---- run -------------------------------------------------------------------------------------------


def test_run(cortico, home):
    x = np.load(home / "x.npy")
    np.savez(home / "x.npz", x=x)
    for backend in ("numpy", "reference"):
        for source in ("x.npy", "x.npz"):
            for target in ("y.npy", "y.npz"):
                (home / target).unlink(missing_ok=True)
                command = ("run", "out", "-i", source, "-o", target, "--backend", backend)
                printed = ok(cortico(*command))
                assert re.search(r"y \(5, 8\) float64: mean \S+, largest \S+\n", printed)
                assert f"written to {target}\n" in printed
                found = np.load(home / target)
                found = found if target == "y.npy" else found["y"]
                expected = load_emitted(home / "out")(x)
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert (home / "y.npy").stat().st_mode == (home / "x.npy").stat().st_mode


def test_run_batch_in_single_precision(cortico, home):
    np.save(home / "x.npy", np.ones((2, 3, 5, 8), np.float32))
    assert "y (2, 3, 5, 8) float32: " in ok(cortico("run", "out", "-i", "x.npy"))


def test_run_with_weights(cortico, home):
    command = ("-i", "x.npy", "-o")
    ok(cortico("run", "out", *command, "a.npy"))
    ok(cortico("run", "bare", *command, "b.npy", "--weights", "out/circuit.safetensors"))
    np.testing.assert_array_equal(np.load(home / "a.npy"), np.load(home / "b.npy"))


def test_run_checkpoint_with_mask(cortico, home):
    ok(cortico("compile", "bert", "--layer", 0, "-o", "layer"))
    x, keep = np.load(home / "x.npy"), np.array([1, 1, 1, 0, 0])
    np.savez(home / "x.npz", x=x, keep=keep)
    ok(cortico("run", "layer", "-i", "x.npz", "-o", "masked.npy"))
    ok(cortico("run", "layer", "-i", "x.npy", "-o", "all.npy"))  # keep may be absent
    masked = np.load(home / "masked.npy")
    np.save(home / "x.npy", x[:3])
    ok(cortico("run", "layer", "-i", "x.npy", "-o", "short.npy"))
    np.testing.assert_allclose(masked[:3], np.load(home / "short.npy"), rtol=1e-10)
    assert not np.allclose(masked, np.load(home / "all.npy"))


def test_run_tells_of_numbers_that_are_not_finite(cortico, home):
    np.save(home / "x.npy", np.full((5, 8), np.nan))
    printed = ok(cortico("run", "out", "-i", "x.npy"))
    assert printed == "y (5, 8) float64: 40 of 40 numbers are NaN or infinite\n"


TWO = """cortico circuit 1
name "two"
axis m : feature 3
input a (3)
input b (3)
population p [m] thalamus.core relay
  driver multiplies a[m]
population q [m] thalamus.matrix relay
  driver multiplies b[m]
output file = p[m]
output allow_pickle = q[m]
"""


def test_run_with_several_inputs_and_outputs(cortico, home):
    (home / "two.cortico").write_text(TWO)
    np.savez(home / "ab.npz", a=np.arange(3.0), b=np.ones(3))
    ok(cortico("run", "two.cortico", "-i", "ab.npz", "-o", "pq.npz"))
    with np.load(home / "pq.npz") as found:
        np.testing.assert_array_equal(found["file"], np.arange(3.0))
        np.testing.assert_array_equal(found["allow_pickle"], np.ones(3))
    code, _, errors = cortico("run", "two.cortico", "-i", "ab.npz", "-o", "p.npy")
    assert code == 2
    assert "'p.npy' must end in .npz to hold all of file, allow_pickle" in errors
    code, _, errors = cortico("run", "two.cortico", "-i", "x.npy")
    assert code == 2
    assert "has inputs a, b: give them by name in an .npz file" in errors


# ---- show ------------------------------------------------------------------------------------------


def test_show_circuit(cortico, home):
    printed = ok(cortico("show", "out"))
    assert "cortex: 2 areas (heads), each with" in printed
    assert "mask[h, i, j] = exp(basal)  where j - i <= 0" in printed
    assert "Cells" in printed
    assert "Pathways" in printed
    assert printed == ok(cortico("show", "out/circuit.cortico"))


def test_show_bound(cortico, home):
    circuit = load_circuit(home / "bare" / "circuit.cortico").bind(n=1000)
    assert f"{circuit.counts().neurons:,}" in ok(cortico("show", "bare", "--bind", "n=1000"))


def test_show_population(cortico, home):
    printed = ok(cortico("show", "bare", "--bind", "n=1", "--population", "mask"))
    assert printed.startswith("mask[h, i, j] = exp(basal)  where j - i <= 0\n")
    assert "Σ_{a} size(a)^-1/2 · superficial[h, i, j, a]   (score: 8 synapses)" in printed
    assert "  to pool.soma by pool_mask: 2 synapses\n" in printed
    assert "  read as output y\n" in ok(cortico("show", "bare", "--population", "relay"))


def test_show_neuron(cortico, home):
    view = load_circuit(home / "out" / "circuit.cortico").bind(n=4).neurons()
    name = "cortex.area[0].column[1,0].L2/3.mask"
    printed = ok(cortico("show", "out", "--bind", "n=4", "--neuron", name))
    assert f"{name}: neuron {view.id_of(name)} of {view.size}\n" in printed
    assert "  basal by score: 4 synapses\n" in printed
    assert "    cortex.area[0].column[1,0].L2/3.superficial[3]  weight 0.5\n" in printed
    assert "  to pool" not in printed


def test_show_neuron_with_many_synapses(cortico, home):
    ok(cortico("compile", "ok.toml", "--tokens", 40, "--passes", "none", "-o", "many"))
    name = "cortex.area[1].column[i=39].L5.pool"
    printed = ok(cortico("show", "many", "--neuron", name))
    assert "  soma by pool_mask: 40 synapses\n" in printed
    assert printed.count("cortex.area[1].column[39,") == 20
    assert printed.endswith("    … and 20 more\n")


def test_show_text(cortico, home):
    circuit = load_circuit(home / "out" / "circuit.cortico")
    values = load_file(home / "out" / "circuit.safetensors")
    assert parse_circuit(ok(cortico("show", "out", "--text")), values) == circuit
    bound = parse_circuit(ok(cortico("show", "out", "--text", "--bind", "n=3")), values)
    assert bound == circuit.bind(n=3)


# ---- lists and help --------------------------------------------------------------------------------


def test_backends(cortico):
    printed = ok(cortico("backends"))
    rows = {line.split()[0]: line.split()[1:4] for line in printed.splitlines() if line.strip()}
    assert rows["name"] == ["runs", "emits", "exports"]
    assert rows["numpy"] == ["yes", "yes", "–"]
    assert rows["reference"] == ["yes", "–", "–"]
    assert "a standalone NumPy file" in printed


def test_passes(cortico):
    printed = ok(cortico("passes"))
    assert "share-relays, exact\n  " in printed
    assert "pipeline none: no passes\n" in printed


COMMANDS = tuple(m.__name__.rpartition(".")[2].rstrip("_") for m in cli._COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(cortico, command):
    printed = ok(cortico(*command.split(), "--help"))
    assert printed.startswith(f"usage: cortico {command}".rstrip())
    assert "--debug" in printed
    assert max(map(len, printed.splitlines())) <= 80
    if not command:
        assert all(f"\n    {name} " in printed for name in COMMANDS)


def test_no_command(cortico):
    code, printed, errors = cortico()
    assert (code, printed) == (2, "")
    assert "COMMAND" in errors
