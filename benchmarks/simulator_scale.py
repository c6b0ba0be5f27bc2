"""What a synapse costs in NEURON, NEST and ANNarchy: bytes, and nanoseconds per step, on one process and on two.

    python benchmarks/simulator_scale.py [--quick] [--engine annarchy]

The circuit is the paper's without passes: 4 heads of 16 features, 64 wide, 4 and 8 tokens; half of its heads, for
weak scaling; and one of few synapses per neuron, which tells bytes per neuron from bytes per synapse. The emitted
script makes it; then a few steps are timed. Nanoseconds are of the wall, and
those of the processor summed over ranks and threads. Bytes are the growth of the largest resident memory while the
network is made, over the synapses of the circuit. NEURON runs on 1 and 2 MPI ranks where mpiexec is at hand,
NEST and ANNarchy on 1 and 2 threads. Every row is a process of its own, or one per rank. ANNarchy is measured where
it is installed; what it takes to build includes its compiler.

Writes results/simulator_scale.json, from which `make golden` makes the tables of docs/neuron.md, docs/nest.md,
docs/annarchy.md and docs/scale.md. About four minutes on two free cores, and three for ANNarchy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import RESULTS, SMOKE, machine, say_if_busy, sized, write_results

from cortico import AttentionSpec, lower, random_weights
from cortico.backends import get_writer
from cortico.backends.neuron import mechanisms
from cortico.backends.neuron.running import compiled
from cortico.ir import Circuit

STORED = RESULTS / "simulator_scale.json"
STEPS = 5

#: Name to a spec, and the numbers of workers that are tried.
SHAPES: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "small": ({"model": sized(64, 4), "heads": 4, "tokens": sized(4, 1)}, (1, 2)),
    "whole": ({"model": 64, "heads": 4, "tokens": 8}, (1, 2)),
    "half": (
        {"model": 64, "heads": 2, "key_features": 16, "value_features": 16, "tokens": 8},
        (1,),
    ),
    "thin": (
        {"model": 4, "heads": 4, "key_features": 1, "value_features": 1, "tokens": 48},
        (1,),
    ),
}

#: Engine to what is said of it: its package, and what two of are tried.
ENGINES = {
    "neuron": ("NEURON", "neuron", "ranks"),
    "nest": ("NEST", "nest-simulator", "threads"),
    "annarchy": ("ANNarchy", "ANNarchy", "threads"),
}

#: As CI and containers run it: as root, perhaps on one core.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def circuit_of(shape: str) -> tuple[Circuit, dict[str, Any]]:
    """The circuit, with its weights and x by name."""
    spec = AttentionSpec(**SHAPES[shape][0])  # type: ignore[arg-type]
    weights = random_weights(spec, seed=0)
    x = 0.1 * np.random.default_rng(1).standard_normal((spec.tokens, spec.model))
    return lower(spec, weights), {"weights": weights, "x": x}


def measure(engine: str, shape: str, workers: int) -> dict[str, Any]:
    """Make and time one network in this process; of a rank for NEURON."""
    circuit, given = circuit_of(shape)
    options = {"dt": 1e8} if engine == "neuron" else {"threads": workers}
    text = get_writer(engine, **options).emit(circuit)[f"attention_{engine}.py"]
    script: dict[str, Any] = {"__name__": engine, "__file__": f"attention_{engine}.py"}
    exec(compile(text, f"attention_{engine}.py", "exec"), script)
    found: dict[str, Any] = {}
    before, start = _memory(), time.perf_counter()

    def settle(network: Any, *_: Any) -> np.ndarray:
        prepare(script, engine, network)
        found["build_s"] = time.perf_counter() - start
        found["bytes"] = _memory() - before
        begin, busy = time.perf_counter(), time.process_time()
        advance(script, engine, network)
        found["step_s"] = (time.perf_counter() - begin) / STEPS
        found["processor_s"] = (time.process_time() - busy) / STEPS
        return np.ones(circuit.counts().neurons + 1)

    script["Network"].settle = settle
    script["simulate"](**given)
    return found


def prepare(script: dict[str, Any], engine: str, network: Any) -> None:
    """Connect processes or compile, and take a first step."""
    if engine == "neuron":
        script["pc"].setup_transfer()
        script["nrn"].finitialize(0)
        script["nrn"].fadvance()
    elif engine == "nest":
        script["nest"].Simulate(script["nest"].resolution)
    else:
        network.compile()
        network.network.step()


def advance(script: dict[str, Any], engine: str, network: Any) -> None:
    """Take `STEPS` steps."""
    if engine == "neuron":
        for _ in range(STEPS):
            script["nrn"].fadvance()
    elif engine == "nest":
        script["nest"].Simulate(STEPS * network.dt)
    else:
        network.network.simulate(STEPS * network.dt)


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def row(engine: str, shape: str, workers: int) -> dict[str, Any]:
    """One row of the table, measured in processes of its own."""
    counts = circuit_of(shape)[0].counts()
    start = ["mpiexec", "-n", str(workers)] if engine == "neuron" and workers > 1 else []
    child = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--child",
        engine,
        shape,
        str(workers),
    ]
    with tempfile.TemporaryDirectory() as empty:
        printed = subprocess.run(
            [*start, *child],
            cwd=compiled(tuple(mechanisms().items())) if engine == "neuron" else empty,
            env={**os.environ, **MPI},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    parts = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    synapses = int(counts.synapses)
    return {
        "engine": engine,
        "shape": shape,
        "workers": workers,
        "neurons": int(counts.neurons),
        "synapses": synapses,
        "build_s": round(max(part["build_s"] for part in parts), 2),
        "ns_per_synapse": round(max(part["step_s"] for part in parts) / synapses * 1e9, 1),
        "processor_ns": round(sum(part["processor_s"] for part in parts) / synapses * 1e9, 1),
        "bytes_per_synapse": round(sum(part["bytes"] for part in parts) / synapses),
    }


def rows(engine: str, shapes: Iterable[str]) -> Iterator[dict[str, Any]]:
    """All rows of an engine, each when it is measured."""
    for shape in shapes:
        for workers in SHAPES[shape][1]:
            compiles_anew = SMOKE and engine == "annarchy"
            can_share = not compiles_anew and (engine != "neuron" or shutil.which("mpiexec"))
            if workers == 1 or can_share:
                yield row(engine, shape, workers)


def table(results: dict[str, Any], engine: str) -> str:
    """The rows of an engine as Markdown, and what they were measured on."""
    title, _, workers = ENGINES[engine]
    about = results[engine]["machine"]
    titles = ("neurons", "synapses", workers, "s to build", "ns per synapse and step")
    lines = [
        f"{about['cores']} cores, load {about['load']} at the start; {title} {about['version']}.",
        "",
        f"| {' | '.join(titles)} | of the processor | bytes per synapse |",
        "| ---: " * 7 + "|",
    ]
    for each in results[engine]["rows"]:
        if each["shape"] in ("half", "thin"):
            continue
        cells = [f"{each[name]:,}" for name in ("neurons", "synapses", "workers")]
        cells += [f"{each['build_s']:.1f}", figure(each["ns_per_synapse"])]
        cells += [figure(each["processor_ns"]), str(each["bytes_per_synapse"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(number: float) -> str:
    """Whole above ten, else with a decimal."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def main() -> int:
    """Measure all rows, print them, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="the smallest network only, keep nothing"
    )
    parser.add_argument("--engine", choices=ENGINES, help="this one only")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        engine, shape, workers = arguments.child
        print(json.dumps(measure(engine, shape, int(workers))), flush=True)
        if engine == "neuron":
            sys.modules["neuron"].h.quit()  # closes MPI
        return 0
    say_if_busy()
    results = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    for engine in [arguments.engine] if arguments.engine else installed():
        about = {**machine(), "version": version(ENGINES[engine][1])}
        found = []
        for each in rows(engine, ["small"] if arguments.quick else sized([*SHAPES], ["small"])):
            print(each, flush=True)
            found.append(each)
        results[engine] = {"machine": about, "rows": found}
    if not arguments.quick:
        write_results("simulator_scale", results)
    return 0


def installed() -> list[str]:
    """All engines, but for ANNarchy where it is missing."""
    there = importlib.util.find_spec("ANNarchy") is not None
    return [engine for engine in ENGINES if there or engine != "annarchy"]


if __name__ == "__main__":
    raise SystemExit(main())
