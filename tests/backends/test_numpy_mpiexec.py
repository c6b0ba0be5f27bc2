"""Emitted NumPy under mpiexec, what is refused, and the page on ranks."""

import importlib.util
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cortico.backends import get_backend, get_runner, require_support
from cortico.backends.numpy import emit_source
from cortico.backends.numpy.running import run_on_ranks, script_for
from cortico.ir import SpecError, UnsupportedError
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.backends.numpy_files import stored
from tests.backends.numpy_ranks import layer, on_ranks, tokens
from tests.backends.simulators import MPI
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error

ROOT = Path(__file__).parents[2]
CASE = {case.name: case for case in CASES}
MISSING = [
    what
    for what, there in (
        ("mpi4py", importlib.util.find_spec("mpi4py")),
        ("mpiexec", shutil.which("mpiexec")),
    )
    if not there
]
needs_mpi = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")


# ---- what cannot be --------------------------------------------------------------------------------


def test_weights_that_were_packed_for_another_rank_are_refused():
    _, attention, weights = layer()
    packed = attention.__globals__["pack"](weights, np.float64)
    wrong = r"packed for areas slice\(0, 4, None\), this rank has slice\([02], [24], None\)"
    with pytest.raises(ValueError, match=wrong):
        on_ranks(2, attention, tokens(3, 8), weights=packed)

    def own(x, comm):
        mine = attention.__globals__["pack"](weights, np.float64, comm.Get_rank(), comm.Get_size())
        return attention(x, weights=mine, comm=comm)

    x = tokens(3, 8)
    np.testing.assert_allclose(on_ranks(2, own, x)[0][1], attention(x, weights=weights), atol=1e-12)


def test_ranks_use_one_thread_each_unless_told():
    _, attention, weights = layer()
    asked = []
    attention.__globals__["number_of_threads"] = lambda threads, size: asked.append(threads) or 1
    on_ranks(2, attention, tokens(3, 8), weights=weights)
    on_ranks(2, attention, tokens(3, 8), weights=weights, threads=2)
    attention(tokens(3, 8), weights=weights)
    assert asked == [1, 1, 2, 2, None]


def test_circuits_without_areas_are_refused():
    from tests.backends.test_numpy_code import hostile_circuit

    with pytest.raises(UnsupportedError, match="no areas meet in one sum after the tiles"):
        require_support(get_backend("numpy", ranks=2), hostile_circuit())
    wide, _, _ = layer(model=4, heads=2, value_features=8)  # W_O goes into the values, in tiles
    assert "comm=" not in emit_source(wide, on_ranks=True)
    require_support(get_backend("numpy", ranks=1), hostile_circuit())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"rank": 2}, r"backend numpy has no option 'rank' \(did you mean 'ranks'\?\)"),
        ({"ranks": 0}, "option ranks of backend numpy must be a whole number from 1 .* found 0"),
    ],
)
def test_wrong_options(option, message):
    with pytest.raises(SpecError, match=message):
        get_backend("numpy", **option)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("mpi4py", r"needs mpi4py: pip install 'cortico\[mpi\]'"), ("mpiexec", "needs mpiexec: ")],
)
def test_what_is_missing_is_named(monkeypatch, missing, message):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == missing else name == "mpi4py" or real(name),
    )
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else name)
    circuit, _, _ = layer()
    with pytest.raises(UnsupportedError, match=f"ranks > 1 of backend 'numpy' {message}"):
        get_runner("numpy", ranks=2).run(circuit, {"x": tokens(3, 8)})


# ---- the script for ranks --------------------------------------------------------------------------


class OneRank:
    """What the script calls of mpi4py's communicator, of which it is the only rank or the second."""

    def __init__(self, rank=0):
        self.rank, self.codes = rank, []

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return self.rank + 1

    def Allreduce(self, part, total):  # noqa: N802
        total[...] = part

    def Abort(self, code):  # noqa: N802
        self.codes.append(code)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that runs the script in this process; returns the file that it should write."""
    case = CASE["everything"]
    circuit = lower(case.spec, case.weights)
    text = script_for(emit_source(circuit, on_ranks=True))
    given, found, weights = (tmp_path / f"{n}.npz" for n in ("given", "found", "weights"))

    def run(comm, **inputs):
        np.savez(given, **{**case.inputs, **inputs})
        np.savez(weights, **stored(circuit))
        monkeypatch.setitem(
            sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_WORLD=comm))
        )
        arguments = ["script.py", str(given), "-o", str(found), "--weights", str(weights)]
        monkeypatch.setattr(sys, "argv", arguments)
        exec(
            compile(text, str(tmp_path / "script.py"), "exec"),
            {"__name__": "__main__", "__file__": "script.py"},
        )
        return found

    return run


def test_the_script_writes_what_the_first_rank_has(script):
    comm = OneRank()
    with np.load(script(comm)) as found:
        assert relative_error(found["arr_0"], expected_output(CASE["everything"])) <= 1e-12
    assert not comm.codes
    script(comm).unlink()
    assert not script(OneRank(1)).exists()


def test_a_rank_that_fails_says_why_and_ends_all(script, capsys):
    comm = OneRank(1)
    with pytest.raises(UnboundLocalError):  # a real one does not come back from Abort
        script(comm, x=np.ones((3, 9)))
        script(OneRank(), x=np.ones((3, 9)))
    assert comm.codes == [1]
    assert "x has shape (3, 9), expected (..., n, 8), none empty" in capsys.readouterr().err


# ---- real ranks ------------------------------------------------------------------------------------


@needs_mpi
def test_under_mpiexec(monkeypatch):
    """As `cortico run` does it: causal, padded, grouped heads, a batch."""
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    case = CASE["everything"]
    circuit = lower(case.spec, case.weights)
    found = get_runner("numpy", ranks=2).run(circuit, case.inputs)["y"]
    assert relative_error(found, expected_output(case)) <= 1e-12
    meet = "comm.Allreduce(whole, total)"
    source = emit_source(circuit, on_ranks=True).replace(meet, f"1 / comm.Get_rank()\n    {meet}")
    with pytest.raises(UnsupportedError, match="on 2 ranks failed"):  # and rank 1 does not wait
        run_on_ranks(source, case.inputs, stored(circuit), 2)


LAYER = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
sys.path.insert(0, str(Path("net").resolve()))
from attention import attention
comm = MPI.COMM_WORLD
y = attention(np.load("x.npy"), comm=comm)
assert "cortico" not in sys.modules
np.save(f"y{comm.rank}.npy", y)
"""


@needs_mpi
def test_an_emitted_file_of_a_users_own_script(tmp_path, monkeypatch):
    """The file stands alone, and each rank reads its own weights of those beside it."""
    from cortico.backends.script_running import run_command

    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    spec = AttentionSpec(model=8, heads=1, kernel=Kernel.SOFTMAX, mask=Mask.CAUSAL)
    compilation = compile_attention(
        spec, random_weights(spec, 0), backend=get_backend("numpy", ranks=2)
    )
    compilation.write(tmp_path / "net")
    np.save(tmp_path / "x.npy", tokens(9, 8))
    (tmp_path / "layer.py").write_text(LAYER, encoding="utf-8")
    command = ["mpiexec", "-n", "2", sys.executable, "-m", "mpi4py", "layer.py"]
    run_command(command, tmp_path, "the script")
    expected = get_runner("numpy").run(compilation.circuit, {"x": tokens(9, 8)})["y"]
    for rank in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"y{rank}.npy"), expected, atol=1e-13)


# ---- the page and the benchmark --------------------------------------------------------------------

_SCALING = re.compile(r"(?<=rewrites these lines -->\n)(.*?)(?=<!-- end -->)", re.S)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return runpy.run_path(str(ROOT / "benchmarks" / "mpi_scaling.py"))


def test_the_table_is_what_was_measured(benchmark, golden):
    results = json.loads((ROOT / "benchmarks/results/mpi_scaling.json").read_text("utf-8"))
    text = (ROOT / "docs" / "mpi.md").read_text(encoding="utf-8")
    assert _SCALING.search(text)
    made = _SCALING.sub(lambda _: f"\n{benchmark['table'](results)}\n\n", text)
    golden(made, "mpi.md", ROOT / "docs")


def test_the_benchmark_compares_what_it_times(benchmark):
    same, other = np.ones((2, 2)), np.array([[1.0, 1.0], [1.0, 1.1]])
    benchmark["check"]({1: same, 2: same}, lambda ranks: 12)
    benchmark["check"]({1: same, 2: other}, lambda ranks: 6 * ranks)  # another layer
    with pytest.raises(AssertionError, match="2 ranks differ by"):
        benchmark["check"]({1: same, 2: other}, lambda ranks: 12)
