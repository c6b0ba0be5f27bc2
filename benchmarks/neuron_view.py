"""How many synapses per second the neuron view gives, to NumPy and to disk, and in how much memory.

    python benchmarks/neuron_view.py [--quick]

* The synapses of single projections of a layer of GPT-2 small's shape (12 heads × 64, 768 wide, float32
  weights), in NumPy blocks, beside what others take for the same synapses: networkx's `add_edges_from`,
  Brian2's `Synapses.connect` with given indices, and NEST's `Connect` where NEST is installed. All take
  turns; medians of synapses per second, of the wall and of the processor. Others on the machine slow
  the wall's more, so goals are about the processor's.
* The same to Parquet and HDF5 files.
* The peak memory of a process that streams the whole layer (default passes) and of one that writes it,
  by number of synapses, and the time for 10^9. Every row is a process of its own.

Writes results/neuron_view.json. Exit code 1 when a goal is missed: 20 million synapses per second to
NumPy, 5 million to disk, no memory that grows. About five minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import machine, resident, say_if_busy, sized, verdict, write_results

from cortico import AttentionSpec, compile_attention, lower, random_weights, write_synapses
from cortico.spec import Mask

TURNS = sized(5, 1)
LEAST_TO_NUMPY, LEAST_TO_DISK = 20e6, 5e6  #: synapses per second
MOST = (10**7, 10**8, 10**9), (10**7, 10**8)  #: synapses that are streamed, and written to a file
MOST_GROWTH = 1.25  #: of peak memory, from the fewest synapses to the most

Ends = tuple[np.ndarray, np.ndarray, np.ndarray]
Task = Callable[[], int]


# ---- circuits ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A projection of a lowered layer."""

    title: str
    projection: str
    tokens: int
    mask: Mask = Mask.NONE
    window: int | None = None
    weights: bool = True
    soft_cap: float | None = None

    def circuit(self) -> Any:
        """The layer, lowered and without passes."""
        spec = AttentionSpec(
            model=768,
            heads=12,
            tokens=self.tokens,
            mask=self.mask,
            window=self.window,
            soft_cap=self.soft_cap,
        )
        return lower(spec, _float32(spec) if self.weights else None)


CASES = (
    Case("all to all, weights", "key", 1024),
    Case("all to all, symbolic", "key", 1024, weights=False),
    Case("causal, weights", "key", 1024, Mask.CAUSAL),
    Case("causal pool", "pool_mask", 2048, Mask.CAUSAL),
    Case("window of 128, weights", "output", 8192, Mask.WINDOW, 128),
    Case("window of 128, pool", "pool_mask", 8192, Mask.WINDOW, 128),
    Case("one to one", "cap", 1024, soft_cap=30.0),
)
BESIDE = CASES[2]  #: what others build, and what is written


def layer() -> Any:
    """A causal layer of 1024 tokens after the default passes: 5·10^9 synapses."""
    spec = AttentionSpec(model=768, heads=12, tokens=1024, mask=Mask.CAUSAL)
    return compile_attention(spec, _float32(spec)).circuit


def _float32(spec: AttentionSpec) -> Mapping[str, np.ndarray]:
    return {name: w.astype(np.float32) for name, w in random_weights(spec, seed=0).items()}


def chosen(case: Case) -> Callable[[Any], bool]:
    """`where` for the projection of a case."""
    return lambda projection: bool(projection.name == case.projection)


# ---- what is timed -------------------------------------------------------------------------------


def to_numpy(case: Case, count: int) -> Task:
    """Streams blocks and keeps none."""
    view = case.circuit().neurons()

    def run() -> int:
        blocks = view.synapses(where=chosen(case), limit=count)
        return sum(len(block.pre) for block in blocks)

    return run


def to_disk(case: Case, count: int, folder: Path, suffix: str) -> Task:
    """Writes a file over the one before."""
    circuit = case.circuit()
    return lambda: write_synapses(
        circuit, folder / f"synapses{suffix}", where=chosen(case), limit=count
    )


def ends(case: Case, count: int) -> Ends:
    """The first synapses of a case, in one block, with its neurons numbered from 0."""
    block = next(case.circuit().neurons().synapses(count, chosen(case), count))
    pre, post = (np.unique(ids, return_inverse=True)[1] for ids in (block.pre, block.post))
    return pre, post, block.weight


def with_networkx(case: Case, count: int) -> Task:
    """Edges of a new graph, from lists of Python numbers."""
    import networkx as nx

    pre, post, weight = ends(case, count)

    def run() -> int:
        graph = nx.MultiDiGraph()
        graph.add_weighted_edges_from(
            zip(pre.tolist(), (post + len(pre)).tolist(), weight.tolist(), strict=True)
        )
        return int(graph.number_of_edges())

    return run


def with_brian2(case: Case, count: int) -> Task:
    """Synapses between two groups, target numpy; making the groups is not counted."""
    import brian2

    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.suppress_name("unused_brian_object")
    pre, post, weight = ends(case, count)
    groups = [brian2.NeuronGroup(int(ids.max()) + 1, "rate : 1") for ids in (pre, post)]

    def run() -> int:
        synapses = brian2.Synapses(*groups, "w : 1")
        synapses.connect(i=pre, j=post)
        synapses.w = weight
        return len(synapses)

    return run


def with_nest(case: Case, count: int) -> Task:
    """One-to-one connections between arrays of nodes, after a reset of the kernel."""
    import nest

    pre, post, weight = ends(case, count)

    def run() -> int:
        nest.ResetKernel()
        first = nest.Create("parrot_neuron", int(pre.max()) + 1)
        nest.Create("parrot_neuron", int(post.max()) + 1)
        sources, targets = pre + 1, post + 1 + len(first)
        options = {"weight": weight, "delay": np.ones(len(pre))}
        nest.Connect(sources, targets, "one_to_one", options)
        return int(nest.num_connections)

    return run


#: Name to what makes the task, and how many synapses it gets in full and quick runs.
OTHERS = {
    "networkx": (with_networkx, sized(200_000, 1000), 20_000),
    "brian2": (with_brian2, sized(2_000_000, 1000), 100_000),
    "nest": (with_nest, sized(2_000_000, 1000), 100_000),
}


# ---- rates, in turns -----------------------------------------------------------------------------


def rates(quick: bool) -> dict[str, dict[str, float] | None]:
    """What to medians of synapses per second, of the wall and of the processor; None if not installed."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = dict(_tasks(Path(folder), quick))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for turn in range(TURNS):
            print(f"turn {turn + 1} of {TURNS}", file=sys.stderr)
            for name, task in tasks.items():
                found[name].append(_timed(task))
    medians = {
        name: dict(
            zip(("wall", "processor"), map(statistics.median, zip(*each, strict=True)), strict=True)
        )
        for name, each in found.items()
    }
    return {**medians, **{name: None for name in OTHERS if name not in medians}}


def _timed(task: Task) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    done = task()
    return done / (time.perf_counter() - wall), done / (time.process_time() - processor)


def _tasks(folder: Path, quick: bool) -> Iterator[tuple[str, Task]]:
    ours = 2_000_000 if quick else sized(10_000_000, 1000)
    for case in CASES:
        yield case.title, to_numpy(case, ours)
    yield "Parquet", to_disk(BESIDE, ours, folder, ".parquet")
    yield "HDF5", to_disk(BESIDE, ours, folder, ".h5")
    for name, (make, full, few) in OTHERS.items():
        if importlib.util.find_spec(name) is not None:
            yield name, make(BESIDE, few if quick else full)


# ---- memory, a process each ----------------------------------------------------------------------


def memory(quick: bool) -> list[dict[str, Any]]:
    """Kind, synapses, seconds and peak megabytes beyond the circuit."""
    blocks, files = ((10**7, 10**8), (10**7,)) if quick else sized(MOST, ((1000,), (1000,)))
    sizes = {"blocks": blocks, ".parquet": files, ".h5": files}
    return [_child(kind, count) for kind, counts in sizes.items() for count in counts]


def _child(kind: str, count: int) -> dict[str, Any]:
    print(f"memory: {kind} {count:,}", file=sys.stderr)
    command = [sys.executable, __file__, "--child", kind, str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def measure(kind: str, count: int) -> dict[str, Any]:
    """In a process of its own."""
    circuit = layer()
    before, start, used = resident("VmRSS"), time.perf_counter(), time.process_time()
    if kind == "blocks":
        done = sum(len(block.pre) for block in circuit.neurons().synapses(limit=count))
    else:
        with tempfile.TemporaryDirectory() as folder:
            done = write_synapses(circuit, Path(folder) / f"synapses{kind}", limit=count)
    return {
        "kind": kind,
        "synapses": done,
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - used,
        "megabytes": (resident("VmHWM") - before) / 1e6,
    }


# ---- goals and tables ----------------------------------------------------------------------------


def missed_goals(results: Mapping[str, Any]) -> list[str]:
    """What is slower or grows more than it should, in words."""
    speed = results["synapses_per_second"]
    goals = {case.title: LEAST_TO_NUMPY for case in CASES} | dict.fromkeys(
        ("Parquet", "HDF5"), LEAST_TO_DISK
    )
    missed = [
        f"{name}: {rate / 1e6:.1f} million synapses per second, goal {goal / 1e6:.0f}"
        for name, goal in goals.items()
        if (rate := speed[name]["processor"]) < goal
    ]
    for kind in dict.fromkeys(row["kind"] for row in results["memory"]):
        peaks = [row["megabytes"] for row in results["memory"] if row["kind"] == kind]
        if peaks[-1] > MOST_GROWTH * peaks[0]:
            missed.append(f"memory of {kind} grows: {peaks[0]:.0f} MB to {peaks[-1]:.0f} MB")
    return missed


def print_results(results: Mapping[str, Any]) -> None:
    """Both tables on standard output."""
    print(f"\n{'million synapses per second':<30}{'wall':>14}{'processor':>14}")
    for name, rate in results["synapses_per_second"].items():
        cells = [f"{each / 1e6:>14.2f}" for each in rate.values()] if rate else ["not installed"]
        print(f"{name:<30}{''.join(cells):>14}")
    print(f"\n{'':<10}{'synapses':>16}{'seconds':>10}{'processor':>12}{'peak MB':>10}")
    for row in results["memory"]:
        seconds = f"{row['seconds']:>10.1f}{row['processor_seconds']:>12.1f}"
        print(f"{row['kind']:<10}{row['synapses']:>16,}{seconds}{row['megabytes']:>10.0f}")


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer synapses; no JSON")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.child[0], int(arguments.child[1]))))
        return 0
    say_if_busy()
    versions = {name: version(name) for name in ("networkx", "pyarrow", "h5py")}
    results = {
        "machine": {**machine(), **versions},
        "synapses_per_second": rates(arguments.quick),
        "memory": memory(arguments.quick),
    }
    print_results(results)
    if not arguments.quick:
        write_results("neuron_view", results)
    print()
    return verdict(missed_goals(results))


if __name__ == "__main__":
    raise SystemExit(main())
