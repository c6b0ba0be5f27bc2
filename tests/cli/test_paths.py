"""What a path is: each kind of path with each command, which takes it or says the same words."""

import shutil

import pytest

from cortico.cli.paths import CIRCUITS, SOURCES, PathKind, kind_of
from cortico.ir import SpecError
from tests.covering import first

#: Each command that reads a path, up to the path, what follows it, and what it takes.
COMMANDS = {
    "compile": ("-o new", SOURCES),
    "train": ("-o new --data none.npz", SOURCES),
    "learn": ("", (*CIRCUITS, *SOURCES)),
    "audit": ("", (*CIRCUITS, *SOURCES)),
    "draw": ("-o a.svg", (*CIRCUITS, *SOURCES)),
    "report": ("-o a.html", (*CIRCUITS, *SOURCES)),
    "synapses": ("", (*CIRCUITS, *SOURCES)),
    "verify": ("", (PathKind.COMPILED, *SOURCES)),
    "verify --check c.json": ("", SOURCES),
    "show": ("", CIRCUITS),
    "diff out": ("", CIRCUITS),
    "run": ("-i none.npy", CIRCUITS),
    "lesion": ("--silence layer:L5 -i none.npy", CIRCUITS),
    "freeze": ("--hold x=none.npy -o new", CIRCUITS),
    "import": ("-o new", (PathKind.SONATA, *CIRCUITS, PathKind.ONNX)),
}

#: A path of each kind, below `home`.
PATHS = {
    "ok.toml": PathKind.SPEC,
    "OK.YML": PathKind.SPEC,
    "bert": PathKind.CHECKPOINT,
    "tensors": PathKind.CHECKPOINT,
    "bert/model.safetensors": PathKind.SAFETENSORS,
    "a.pt": PathKind.PICKLED,
    "A.GGUF": PathKind.GGUF,
    "a.onnx": PathKind.ONNX,
    "bare": PathKind.COMPILED,
    "out/circuit.cortico": PathKind.TEXT,
    "circuit.txt": PathKind.TEXT,
    "sonata": PathKind.SONATA,
    "empty": PathKind.FOLDER,
    "bad.txt": PathKind.UNKNOWN,
}

WORDS = {
    "compile": "a spec file (.toml, .json, .yaml, .yml), a .safetensors file, a PyTorch file (.bin, .pt, .pth), a .gguf file, an .onnx file or a checkpoint folder",
    "show": "a compiled folder or a circuit file (.cortico)",
    "import": "a SONATA folder, a compiled folder, a circuit file (.cortico) or an .onnx file",
}


@pytest.fixture
def paths(home):
    """All of PATHS."""
    (home / "OK.YML").write_text("model: 8\nheads: 2\n")
    (home / "tensors").mkdir()
    shutil.copy(home / "bert" / "model.safetensors", home / "tensors" / "one.safetensors")
    (home / "a.pt").write_bytes(b"no pickle")
    (home / "A.GGUF").write_bytes(b"no GGUF, but as long as its header")
    (home / "a.onnx").write_bytes(b"no ONNX")
    shutil.copy(home / "bare" / "circuit.cortico", home / "circuit.txt")
    (home / "sonata").mkdir()
    (home / "sonata" / "circuit_config.json").write_text("{}")
    (home / "empty").mkdir()
    (home / "bad.txt").write_text("model = 8\n")
    return home


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("command", first(8, COMMANDS))
def test_each_path_with_each_command(cortico, paths, command, path):
    rest, accepted = COMMANDS[command]
    code, printed, err = cortico(*command.split(), path, *rest.split())
    taken = PATHS[path] in accepted
    if PATHS[path] is PathKind.FOLDER and PathKind.CHECKPOINT in accepted:
        assert err == "cortico: 'empty' has no model.safetensors or model.safetensors.index.json\n"
    elif taken:
        assert f"is {PATHS[path].label}, expected" not in err and "internal error" not in err
        assert code in (0, 1) or err.startswith("cortico: ")
    else:
        assert code == 2 and not printed
        beginning = f"cortico: {path!r} is {PATHS[path].label}, expected "
        assert err.startswith(beginning) and err.count("\n") == 1
        assert command not in WORDS or err == f"{beginning}{WORDS[command]}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_is_not_there(cortico, home, command):
    rest, _ = COMMANDS[command]
    code, printed, err = cortico(*command.split(), "lost", *rest.split())
    assert (code, printed) == (2, "")
    assert err == "cortico: cannot read 'lost': No such file or directory\n"


def test_a_folder_may_be_two_things(paths):
    """A circuit that was compiled into the folder of its checkpoint, or as SONATA files."""
    shutil.copy(paths / "bare" / "circuit.cortico", paths / "bert")
    shutil.copy(paths / "bare" / "circuit.cortico", paths / "sonata")
    everything = tuple(PathKind)
    assert PathKind.SPEC.label == "a spec file"
    assert kind_of(paths / "bert", everything) is PathKind.COMPILED
    assert kind_of(paths / "bert", SOURCES) is PathKind.CHECKPOINT
    assert kind_of(paths / "sonata", everything) is PathKind.SONATA
    assert kind_of(paths / "sonata", CIRCUITS) is PathKind.COMPILED
    with pytest.raises(SpecError, match=r"'.*out' is a compiled folder, expected an \.onnx file$"):
        kind_of(paths / "out", (PathKind.ONNX,))


#: Options that a circuit as it is cannot heed.
IGNORED = {
    "draw": (
        "passes",
        "tokens",
        "layer",
        "heads",
        "prefix",
        "weights",
        "random-weights",
    ),
    "report": ("passes", "tokens", "layer", "weights", "sentence", "ignore"),
    "synapses": ("passes", "tokens", "prefix", "weights"),
    "audit": ("passes", "layer", "heads", "prefix", "weights", "random-weights"),
    "learn": ("layer", "part", "heads", "prefix", "weights", "random-weights"),
    "verify": ("passes", "output", "latex", "layer", "tokens", "weights", "random-weights"),
}


@pytest.mark.parametrize(
    ("command", "option"), [(c, o) for c, all_ in IGNORED.items() for o in all_]
)
def test_options_that_a_circuit_cannot_heed_are_refused(cortico, home, command, option):
    rest = COMMANDS[command][0].split()
    code, printed, err = cortico(command, "out", f"--{option}", "1", *rest)
    assert (code, printed) == (2, "")
    assert err == f"cortico: --{option} does not apply to a compiled circuit\n"
    assert not (home / "1").exists()


def test_a_recheck_writes_nothing(cortico, home):
    for option in ("passes", "output", "latex"):
        code, _, err = cortico("verify", "--check", "c.json", f"--{option}", "p")
        assert code == 2
        assert err == f"cortico: --{option} does not apply to --check, which writes nothing\n"


def test_a_compiled_circuit_learns_as_its_spec(cortico, home):
    """The same rules, from the folder, from its text, and with its numbers at hand."""
    expected = cortico("learn", "ok.toml", "--json", "--formulas")
    assert expected[0] == 0
    for source in ("bare", "out", "out/circuit.cortico"):
        assert cortico("learn", source, "--json", "--formulas") == expected


def test_a_network_that_learns_starts_from_the_numbers_of_a_circuit(cortico, home):
    assert cortico("learn", "ok.toml", "--random-weights", "1", "--brian2", "a.py")[0] == 0
    assert cortico("learn", "out", "--brian2", "b.py")[0] == 0
    assert (home / "a.py").read_text().replace("a.py", "b.py") == (home / "b.py").read_text()
    assert (home / "a.npz").read_bytes() == (home / "b.npz").read_bytes()
    code, _, err = cortico("learn", "bare", "--brian2", "c.py")
    assert code == 2 and "a network starts from weights" in err
