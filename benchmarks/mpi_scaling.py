"""Emitted NumPy on MPI ranks: one problem on more ranks (strong), and as much work for each (weak).

    python benchmarks/mpi_scaling.py [--quick] [--ranks 2]

A layer 768 wide with heads of 64 features, float32, projections included, BLAS on one thread per rank. Strong:
GPT-2 small's 12 heads, or one head whose query tokens are shared. Weak: 6 heads for each rank. Every turn runs
all numbers of ranks once, in random order; ranks that are not needed sleep. Reported are medians over turns, and
the median of the ratio to one rank in the same turn. A run lasts until the last rank has the output, which is
checked. "Together" is what a rank spends on average in the one collective, waiting for others included.

Writes results/mpi_scaling.json, from which `make golden` makes the tables of docs/mpi.md. About a minute on two
free cores. Needs mpi4py and mpiexec.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import machine, say_if_busy, sized, write_results

from cortico import AttentionSpec, lower, random_weights
from cortico.backends.numpy import compile_source, emit_source
from cortico.spec import Mask

WIDTH, FEATURES = sized((768, 64), (8, 2))
TOKENS, QUICK = sized(1024, 16), 128
TURNS = sized(11, 1)

#: As CI and containers run it: as root, perhaps on fewer cores than ranks; BLAS on one thread.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
}

#: Name to mask, and to heads on so many ranks and multiples of the tokens.
PROBLEMS: Mapping[str, tuple[Mask, Any, int]] = {
    "strong, 12 heads": (Mask.NONE, lambda ranks: 12, 1),
    "strong, 12 heads, causal": (Mask.CAUSAL, lambda ranks: 12, 1),
    "strong, 1 head": (Mask.NONE, lambda ranks: 1, 4),
    "strong, 1 head, causal": (Mask.CAUSAL, lambda ranks: 1, 4),
    "weak, 6 heads a rank": (Mask.NONE, lambda ranks: 6 * ranks, 1),
}


class Timed:
    """A communicator that knows how long its ranks spent together."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.seconds = comm, 0.0

    def Get_rank(self) -> int:  # noqa: N802
        return int(self.comm.Get_rank())

    def Get_size(self) -> int:  # noqa: N802
        return int(self.comm.Get_size())

    def Allreduce(self, part: np.ndarray, total: np.ndarray) -> None:  # noqa: N802
        start = time.perf_counter()
        self.comm.Allreduce(part, total)
        self.seconds += time.perf_counter() - start


class Layer:
    """A layer on the ranks of a communicator, ready to run."""

    def __init__(self, heads: int, mask: Mask, tokens: int, comm: Any) -> None:
        spec = AttentionSpec(
            model=WIDTH, heads=heads, mask=mask, key_features=FEATURES, value_features=FEATURES
        )
        circuit = lower(spec, weights := random_weights(spec, seed=0))
        self.attention, self.comm, self.work = (
            compile_source(emit_source(circuit, on_ranks=True)),
            comm,
            {},
        )
        x = np.random.default_rng(1).standard_normal((tokens, WIDTH))
        self.x = x.astype(np.float32)
        pack = self.attention.__globals__["pack"]
        self.packed = pack(weights, np.float32, comm.Get_rank(), comm.Get_size())

    def run(self, comm: Any) -> np.ndarray:
        y: np.ndarray = self.attention(
            self.x, weights=self.packed, threads=1, comm=comm, work=self.work
        )
        return y

    def timed(self) -> tuple[float, float]:
        """Seconds of a run, and of the collective in it, on this rank."""
        comm = Timed(self.comm)
        self.comm.Barrier()
        start = time.perf_counter()
        self.run(comm)
        return time.perf_counter() - start, comm.seconds

    def megabytes(self) -> float:
        """Weights of this rank, and the most that a run takes beside them and the input."""
        self.work.clear()
        tracemalloc.start()
        self.run(self.comm)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        arrays = (part for part in self.packed if isinstance(part, np.ndarray))
        return (peak + sum(array.nbytes for array in arrays)) / 1e6


def rest(comm: Any) -> None:
    """Wait for all ranks asleep: MPI's own way keeps a core busy."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.001)


def measure(name: str, tokens: int, turns: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of one problem, on the first rank; the others help."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    mask, heads, longer = PROBLEMS[name]
    layers = {}
    for ranks in sizes:
        group = world.Split(0 if world.rank < ranks else MPI.UNDEFINED)
        if world.rank < ranks:
            layers[ranks] = Layer(heads(ranks), mask, tokens * longer, group)
    outputs = {ranks: layer.run(layer.comm) for ranks, layer in layers.items()}
    check(outputs, heads)
    megabytes = {ranks: layer.megabytes() for ranks, layer in layers.items()}
    seconds: dict[int, list[float]] = {ranks: [] for ranks in sizes}
    together: dict[int, list[float]] = {ranks: [] for ranks in sizes}
    order = random.Random(0)  # the same on every rank
    for _ in range(turns):
        for ranks in order.sample(sizes, len(sizes)):
            rest(world)
            if ranks in layers:
                parts = layers[ranks].comm.gather(layers[ranks].timed())
                if world.rank == 0:
                    seconds[ranks].append(max(whole for whole, _ in parts))
                    together[ranks].append(statistics.mean(met for _, met in parts))
    rest(world)
    if world.rank:
        return []
    return [
        {
            "problem": name,
            "heads": heads(ranks),
            "tokens": tokens * longer,
            "ranks": ranks,
            "ms": round(1e3 * statistics.median(seconds[ranks]), 1),
            "ratio": round(
                statistics.median(a / b for a, b in zip(seconds[1], seconds[ranks], strict=True)), 2
            ),
            "together_ms": round(1e3 * statistics.median(together[ranks]), 1),
            "megabytes": round(megabytes[ranks], 1),
        }
        for ranks in sizes
    ]


def check(outputs: Mapping[int, np.ndarray], heads: Any) -> None:
    """The same problem has the same output on any number of ranks."""
    for ranks, y in outputs.items():
        if 1 in outputs and heads(ranks) == heads(1):
            difference = np.abs(y - outputs[1]).max() / np.abs(y).max()
            assert difference < 1e-5, f"{ranks} ranks differ by {difference:.0e}"


def table(results: Mapping[str, Any]) -> str:
    """The rows as Markdown, and what they were measured on."""
    about = results["machine"]
    lines = [
        f"{about['cores']} cores, load {about['load']} at the start; NumPy {about['numpy']}, "
        f"mpi4py {about['mpi4py']}, {about['mpi']}.",
        "",
        "| problem | heads | tokens | ranks | ms | one rank over it | together, ms | MB of a rank |",
        "| --- | " + "---: | " * 7,
    ]
    for row in results["rows"]:
        cells = [f"{row[name]:,}" for name in ("heads", "tokens", "ranks")]
        cells += [f"{row['ms']:.0f}", f"{row['ratio']:.2f}", f"{row['together_ms']:.1f}"]
        lines.append(f"| {row['problem']} | {' | '.join(cells)} | {row['megabytes']:.0f} |")
    return "\n".join(line.rstrip() for line in lines)


def child(quick: bool, most: int) -> None:
    """On every rank: all problems; the first prints them."""
    from mpi4py import MPI

    sizes = [ranks for ranks in (1, 2, 4, 8, 16) if ranks <= most]
    for name in PROBLEMS:
        rows = measure(name, QUICK if quick else TOKENS, 3 if quick else TURNS, sizes)
        for row in rows:
            print(json.dumps({**row, "mpi": MPI.Get_library_version().split(",")[0]}), flush=True)


def main() -> int:
    """Start the ranks, print all rows, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few tokens and turns, keep nothing")
    parser.add_argument("--ranks", type=int, default=2, help="the most ranks (default: 2)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.quick, arguments.ranks)
        return 0
    say_if_busy()
    about = {**machine(["numpy"]), "mpi4py": version("mpi4py")}
    itself = [sys.executable, "-m", "mpi4py", str(Path(__file__).resolve()), *sys.argv[1:]]
    printed = subprocess.run(
        ["mpiexec", "-n", str(arguments.ranks), *itself, "--child"],
        env={**os.environ, **ENVIRONMENT},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    about["mpi"] = {row.pop("mpi") for row in rows}.pop()
    results = {"machine": about, "rows": rows}
    print(table(results))
    if not arguments.quick:
        write_results("mpi_scaling", results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
