"""Emitted NumPy on many MPI ranks: the same numbers, one collective, and only a rank's share of the work.

Ranks are threads here, with a communicator of a few lines; `test_under_mpiexec` has real ones.
"""

import importlib.util
import itertools
import json
import re
import runpy
import shutil
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend, get_runner, require_support
from cortico.backends.numpy import compile_source, emit_source
from cortico.backends.numpy.emitter import what_ranks_share
from cortico.backends.numpy.running import run_on_ranks
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    SpecError,
    TensorRef,
    UnsupportedError,
    Weight,
)
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask, NormOver, PositionBias
from cortico.spec.weights import random_weights
from tests.backends.neuron.simulation import MPI
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case
from tests.oracle import textbook_attention
from tests.spec_strategies import inputs_of, planted_weights, small_specs

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


class Communicator:
    """What emitted code calls of mpi4py's; `parts` and `barrier` are of all ranks."""

    def __init__(self, rank, parts, barrier):
        self.rank, self.parts, self.barrier, self.calls = rank, parts, barrier, 0

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return len(self.parts)

    def Allreduce(self, part, total):  # noqa: N802
        assert part.flags.c_contiguous and total.flags.c_contiguous and part.shape == total.shape
        self.calls += 1
        self.parts[self.rank] = part
        self.barrier.wait()
        total[...] = sum(self.parts)
        self.barrier.wait()


def on_ranks(ranks, function, *arguments, **options):
    """What every rank returns, and their communicators; `function` takes one as `comm`."""
    parts, barrier = [None] * ranks, threading.Barrier(ranks, timeout=600)
    comms = [Communicator(rank, parts, barrier) for rank in range(ranks)]

    def one(comm):
        try:
            return function(*arguments, **options, comm=comm)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(ranks) as pool:
        futures = [pool.submit(one, comm) for comm in comms]
    errors = [future.exception() for future in futures if future.exception()]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures], comms


def emitted(circuit, **replaced):
    attention = compile_source(emit_source(circuit, on_ranks=True))
    there = attention.__globals__
    there.update({name: value for name, value in replaced.items() if name in there})
    return attention


def stored(circuit):
    return {p.name: p.values for p in circuit.parameters if p.formula is None}


def layer(**options):
    spec = AttentionSpec(**{"model": 8, "heads": 4} | options)
    circuit = lower(spec, random_weights(spec, 0))
    return circuit, emitted(circuit, TILE=(2, 2)), stored(circuit)


def tokens(*shape):
    return np.random.default_rng(1).standard_normal(shape)


# ---- the same numbers ------------------------------------------------------------------------------


#: A norm over the width adds up all areas before they attend: they meet twice.
MEETING_ONCE = [c for c in CASES if not c.spec.qk_norm or c.spec.qk_norm.over is NormOver.HEAD]


def test_a_norm_over_the_width_is_refused():
    circuit = lower(CASE["olmo2"].spec)
    assert what_ranks_share(circuit) is None
    with pytest.raises(UnsupportedError, match="ranks"):
        require_support(get_backend("numpy", ranks=2), circuit)


@pytest.mark.parametrize("case", every_case(MEETING_ONCE))
def test_ranks_give_what_one_process_gives(case):
    """On both sides of the number of areas, which is 2 or 4."""
    circuit, expected = lower(case.spec, case.weights), expected_output(case)
    attention = emitted(circuit, TILE=(2, 2))
    for ranks in (2, 3, 7):
        found, comms = on_ranks(ranks, attention, **case.inputs, weights=stored(circuit))
        assert [comm.calls for comm in comms] == [1] * ranks  # one collective
        for y in found:
            assert relative_error(y, expected) <= 1e-12


@pytest.mark.parametrize("passes", ["default", "aggressive"])
@pytest.mark.parametrize("name", ["bert", "everything", "memory_llama", "alibi_grouped"])
def test_after_passes(name, passes):
    case = CASE[name]
    circuit, _ = run_passes(lower(case.spec, case.weights), parse_passes(passes))
    found, _ = on_ranks(3, emitted(circuit), **case.inputs, weights=stored(circuit))
    assert relative_error(found[1], expected_output(case)) <= 1e-12


def test_query_tokens_that_come_from_weights_are_not_shared():
    """Keys that are zero leave a mask that depends on weights alone, packed as a matrix of all queries."""
    spec = AttentionSpec(
        model=1, heads=1, key_features=2, tokens=2, position_bias=PositionBias.TABLE
    )
    weights = {**random_weights(spec, 0), "W_K": np.zeros((1, 2, 1))}
    circuit, _ = run_passes(lower(spec, weights), parse_passes("default"))
    x = tokens(2, 1)
    found, _ = on_ranks(2, emitted(circuit), x, weights=stored(circuit))
    for y in found:
        np.testing.assert_allclose(y, textbook_attention(spec, weights, x=x), atol=1e-14)


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data(), spec=small_specs, ranks=st.integers(1, 5))
def test_any_spec_that_can_be_shared(data, spec, ranks):
    weights, inputs = data.draw(planted_weights(spec)), data.draw(inputs_of(spec))
    passes = data.draw(st.sampled_from(["none", "default", "aggressive"]))
    circuit, _ = run_passes(lower(spec, weights), parse_passes(passes))
    assume(what_ranks_share(circuit))  # passes may leave no head
    attention = emitted(circuit, TILE=(1, 2), CHUNK=1)
    found, _ = on_ranks(ranks, attention, **inputs, weights=stored(circuit))
    expected = textbook_attention(spec, weights, **inputs)
    for y in found:
        largest = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11 * largest)


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
@pytest.mark.parametrize("length", [1, 2, 11])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
def test_batches_uneven_shares_and_idle_ranks(mask, length, batch):
    """Three areas on up to nine ranks: more than one query token has rows for."""
    _, attention, weights = layer(model=6, heads=3, mask=mask)
    x = tokens(*batch, length, 6)
    expected = attention(x, weights=weights)
    for ranks in (1, 2, 4, 9):
        found, _ = on_ranks(ranks, attention, x, weights=weights)
        for y in found:
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


def test_single_precision_stays():
    _, attention, weights = layer()
    x = tokens(5, 8).astype(np.float32)
    found, comms = on_ranks(3, attention, x, weights=weights)
    assert {y.dtype for y in found} == {np.dtype(np.float32)}
    assert {part.dtype for part in comms[0].parts} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found[0], attention(x, weights=weights), rtol=1e-5, atol=1e-6)


def test_bounds_outside_tiles_hold_for_the_tokens_of_a_rank():
    """Few query tokens and keys of an unknown number: arrays of pairs that are made whole."""
    b = CircuitBuilder("few queries")
    h, i, j = b.axis("h", Role.AREA, 2), b.axis("i", Role.COLUMN, 5), b.axis("j", Role.COLUMN, "n")
    b.input("query", (5,))
    b.input("key", ("n",))
    b.parameter("gain", (2,), np.array([0.5, 2.0]))
    drives = (TensorRef("query", (i,)), TensorRef("key", (j,)), TensorRef("gain", (h,)))
    soma = Compartment("soma", drive=tuple(map(Weight, drives)))
    earlier = (Bound("j", "i", 0),)
    b.population(
        "pair", (h, i, j), Region.L5, CellClass.PT, [soma], transfer="tanh", domain=earlier
    )
    b.population("sum", (i,), Region.CORE, CellClass.RELAY, [Compartment("driver")])
    b.project("to_sum", "pair", "sum", "driver", domain=earlier)
    b.output("y", "sum", (i,))
    circuit, query, key = b.build(), tokens(5), tokens(4)
    attention = emitted(circuit)
    assert "in_tiles" not in attention.__globals__
    rates = np.tanh(query[:, None] + key + np.array([0.5, 2.0])[:, None, None]).sum(0)
    found, _ = on_ranks(5, attention, query, key, weights=stored(circuit))
    for y in found:
        np.testing.assert_allclose(y, np.tril(rates).sum(-1), atol=1e-12)


# ---- only a share of the work ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "areas", "rows"),
    [
        (1, [(0, 3)], [(0, 8)]),
        (2, [(0, 2), (2, 3)], [(0, 8)] * 2),
        (4, [(0, 1), (0, 1), (1, 2), (2, 3)], [(0, 4), (4, 8), (0, 8), (0, 8)]),
    ],
)
def test_areas_first_then_query_tokens(ranks, areas, rows):
    share = layer(heads=3, model=6)[1].__globals__["share"]
    found = [share(rank, ranks, 3, 8) for rank in range(ranks)]
    assert [(a.start, a.stop) for a, _ in found] == areas
    assert [(r.start, r.stop) for _, r in found] == rows


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_shares_cover_everything_once(power):
    share = layer()[1].__globals__["share"]
    for ranks, areas, length in itertools.product(range(1, 12), range(1, 7), (1, 5, 49)):
        count = np.zeros((areas, length), int)
        for rank in range(ranks):
            count[share(rank, ranks, areas, length, power)] += 1
        assert (count == 1).all()


def test_causal_query_tokens_are_cut_into_equal_work():
    _, attention, weights = layer(heads=1, mask=Mask.CAUSAL)
    pairs = []
    product = attention.__globals__["product"]

    def counted(left, right, scratch, place):
        result = product(left, right, scratch, place)
        pairs.append((threading.get_ident(), result.size))
        return result

    attention.__globals__["product"] = counted
    on_ranks(2, attention, tokens(200, 8), weights=weights)
    ranks = {name for name, _ in pairs}
    first, second = (sum(count for name, count in pairs if name == rank) for rank in ranks)
    assert len(ranks) == 2
    assert abs(first - second) < 0.05 * (first + second)


def multiplied(attention, ranks, *arguments, **options):
    """Rank to the (rows, columns) of what it projects with weights."""
    found = {}
    project = attention.__globals__["project"]

    def noted(array, matrix, *rest):
        shape = (int(np.prod(array.shape[:-1])), matrix.shape)
        found.setdefault(threading.get_ident(), []).append(shape)
        return project(array, matrix, *rest)

    attention.__globals__["project"] = noted
    on_ranks(ranks, attention, *arguments, **options)
    return [*found.values()]


def test_a_rank_projects_its_own_areas_and_query_tokens():
    """Keys and values, queries, outputs: 2 features in each of 4 areas, 6 tokens, 8 ranks."""
    _, attention, weights = layer()
    for found in multiplied(attention, 8, tokens(6, 8), weights=weights):
        assert found == [(6, (8, 4)), (3, (8, 2)), (3, (2, 8))]
    _, attention, weights = layer()
    for found in multiplied(attention, 2, tokens(6, 8), weights=weights):
        assert found == [(6, (8, 8)), (6, (8, 4)), (6, (4, 8))]


def test_memory_and_weights_of_a_rank_fall_with_ranks():
    _, attention, weights = layer(model=32, heads=16)
    there = attention.__globals__
    there["TILE"] = (8, 8)
    alone = there["pack"](weights, np.float64)
    packed = there["pack"](weights, np.float64, 3, 8)
    assert 7 * sum(a.nbytes for a in packed[1:]) < sum(a.nbytes for a in alone[1:])

    class Alone(Communicator):
        """One rank of eight, whose sum nobody waits for."""

        def Allreduce(self, part, total):  # noqa: N802
            total[...] = part

    def peak(comm, packed):
        tracemalloc.start()
        attention(tokens(512, 32), weights=packed, comm=comm, threads=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    output = 512 * 32 * 8
    alone, one = peak(None, alone), peak(Alone(3, [None] * 8, None), packed)
    assert one - 4 * output < 0.5 * (alone - output)  # the whole output is on every rank


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
