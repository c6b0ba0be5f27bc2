"""`cortico` as a process: Ctrl-C, closed and full outputs, terminals without Greek, imports."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import START, start, tree
from tests.covering import first

#: Says "now" and waits when the function `{name}` of `{module}` is done.
SLOW = """
import importlib, sys, time
module = importlib.import_module("{module}")
real = module.{name}
def slow(*arguments, **options):
    result = real(*arguments, **options)
    if {when}:
        print("now", flush=True)
        time.sleep({seconds})
    return result
module.{name} = slow
from cortico.cli import main
sys.exit(main())
"""

INTERRUPTED = "cortico: interrupted; no file was left half written\n"


def interrupted(arguments, module, name, seconds=60, when="True"):
    """Exit code and standard error of a process that gets Ctrl-C at the slow place."""
    code = SLOW.format(module=module, name=name, seconds=seconds, when=when)
    process = start(*arguments, code=code, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("folder", first(1, ["out", "new/folder"]))
@pytest.mark.parametrize(
    ("module", "name"),
    [("cortico.backends.numpy", "emit_source"), ("cortico.pipeline", "save_circuit")],
)
def test_interrupted_compile(home, folder, module, name):
    before = tree(home)
    arguments = ("compile", "ok.toml", "-o", folder, "--tokens", "3")
    found = interrupted(arguments, module, name)
    assert found == (130, INTERRUPTED)
    assert tree(home) == before


MODEL = """\
[stack]
model = 8
embedding = { vocabulary = 9, model = 8 }
layers = [{ steps = [{ branches = [{ attention = { model = 8, mask = "causal" } }] }] }]
[readout]
logits = { model = 8, output = 9 }
"""


@pytest.mark.full
@pytest.mark.parametrize(
    ("module", "name"),
    [("cortico.model_pipeline", "run_on_blocks"), ("cortico.model_pipeline", "save_network")],
)
def test_interrupted_compile_of_a_model(home, module, name):
    Path("model.toml").write_text(MODEL)
    before = tree(home)
    arguments = ("compile", "model.toml", "-o", "new/folder", "--random-weights", "0")
    assert interrupted(arguments, module, name) == (130, INTERRUPTED)
    assert tree(home) == before


@pytest.mark.full
def test_interrupted_while_it_writes(home, cortico):
    """What was written stays on the screen; the error is one line."""
    from tokenizers import Tokenizer, models

    Path("model.toml").write_text(MODEL)
    assert cortico("compile", "model.toml", "-o", "model", "--random-weights", "0")[0] == 0
    words = Tokenizer(models.WordLevel({f"w{k}": k for k in range(9)}, unk_token="w0"))
    words.save("model/tokenizer.json")
    arguments = ("generate", "model", "--text", "w3", "--count", "5")
    found = interrupted(arguments, "cortico.cli.console", "printable", when="result != 'w3'")
    assert found == (130, INTERRUPTED)


@pytest.mark.slow
def test_interrupt_while_files_move_waits(home, cortico):
    """All files are of one run, also when Ctrl-C comes after the first has moved."""
    command = (
        "compile",
        "ok.toml",
        "-o",
        "out",
        "--tokens",
        "3",
        "--force",
        "--random-weights",
        "2",
    )
    assert cortico(*command)[0] == 0
    expected = tree(home / "out")
    assert cortico(*command[:-1], "3")[0] == 0
    when = "not arguments[1].parent.name.startswith('.cortico-')"
    found = interrupted(command, "pathlib", "Path.replace", 0.3, when)
    assert found == (130, INTERRUPTED)
    assert tree(home / "out") == expected


def test_interrupted_run(home):
    before = tree(home)
    arguments = ("run", "out", "-i", "x.npy", "-o", "y.npy")
    assert interrupted(arguments, "numpy", "save") == (130, INTERRUPTED)
    assert tree(home) == before


COMMANDS = [
    ("show", "out"),
    ("show", "out", "--text"),
    ("compile", "ok.toml", "-o", "again"),
    ("run", "out", "-i", "x.npy"),
    ("backends",),
]
FEW = [c if c[0] == "compile" else pytest.param(c, marks=pytest.mark.full) for c in COMMANDS]


@pytest.mark.parametrize("command", FEW, ids=" ".join)
def test_reader_leaves(home, command):
    """As in `cortico show out | head -1`: no message, and nothing half written."""
    left, right = os.pipe()
    os.close(left)
    process = start(*command, stdout=right)
    os.close(right)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")
    assert not list(home.rglob(".cortico-*"))
    if command[0] == "compile":
        assert (home / "again" / "report.md").exists()


@pytest.mark.parametrize("command", FEW, ids=" ".join)
def test_full_disk_behind_stdout(home, command):
    with Path("/dev/full").open("w") as full:
        process = start(*command, stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "cortico: cannot read or write: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("closed", first(1, [">&- 2>&-", ">&-", "2>&-"]))
def test_closed_outputs(home, closed):
    for command in ("show out", "compile ok.toml -o again"):
        shell = f'exec "$0" -c "$1" {command} {closed}'
        done = subprocess.run(["sh", "-c", shell, sys.executable, START], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.full
def test_terminal_without_greek(home):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in ((*COMMANDS[0], "--population", "relay"), *COMMANDS, ("compile", "-h")):
        process = start(*command, stdout=subprocess.PIPE, env=environment)
        printed, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert printed.isascii()


# ---- imports ---------------------------------------------------------------------------------------

HEAVY = {"numpy", "sympy", "networkx", "rich", "yaml", "safetensors"}


def loaded(*arguments):
    """Which of HEAVY are imported when `cortico` has run."""
    code = (
        "import atexit, sys; from cortico.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "sys.exit(main())"
    )
    process = start(*arguments, code=code, stdout=subprocess.DEVNULL)
    _, errors = process.communicate(timeout=60)
    return HEAVY & set(errors.split())


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "-h"], ["run"], ["show", "--bnd"]])
def test_help_imports_nothing_heavy(home, arguments):
    assert not loaded(*arguments)


@pytest.mark.slow
def test_sympy_is_not_needed_to_compile(home):
    assert "sympy" not in loaded("compile", "ok.toml", "--tokens", "3", "-o", "out")
    assert "sympy" not in loaded("show", "bare", "--bind", "n=4")
    assert "sympy" not in loaded("run", "out", "-i", "x.npy")
    assert "sympy" not in loaded("compile", "ok.toml", "-o", "out")
