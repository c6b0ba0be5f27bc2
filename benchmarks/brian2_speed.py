"""Emitted Brian2 networks: speed beside one written by hand, by size and target, and compile times.

    python benchmarks/brian2_speed.py [--quick]

* The emitted script and `brian2_by_hand.py` run the same circuit in turns: ratios of medians of the
  seconds per step and of the seconds in `Synapses.connect`, target numpy.
* A table over sizes of the mask circuit: seconds to build, to start (code generation, compilers), and
  per step, memory per synapse. Every row is a process of its own; each compiles anew.
* The first run of a layer of MiniLM's shape (12 heads × 32, 384 wide, padding, biases, default passes,
  five tokens) in cython and C++.

Writes results/brian2_speed.json. Exit code 1 when a goal is missed. About eight minutes on two free
cores. Beside the wall's seconds to start stand those of the processor, which others on the machine lengthen
less.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import SMOKE, machine, resident, say_if_busy, sized, verdict, write_results

from cortico import AttentionSpec, compile_attention, lower, random_weights
from cortico.spec import Bias

TOKENS = sized((4, 8, 16, 27), (2,))  #: of the table: 27 make 10^5 neurons and 1.2·10^7 synapses
DT = 0.5  #: ms
TURNS = sized(5, 1)
BY_HAND = ((4, 400), (8, 100))  #: tokens, and steps

MOST_RATIO = 1.1  #: seconds per step, and in connect, beside those by hand: equal, but for noise
MOST_FIRST_RUN = {"cython": 60.0, "cpp_standalone": 25.0}  #: seconds, of a layer of MiniLM's shape

Found = dict[str, Any]


# ---- circuits ------------------------------------------------------------------------------------


def mask_circuit(tokens: int) -> tuple[Any, Mapping[str, np.ndarray], np.ndarray]:
    """The circuit of the paper, without passes: 4 heads × 16 features, 64 wide. With weights and x."""
    spec = AttentionSpec(model=64, heads=4, tokens=tokens)
    weights = random_weights(spec, seed=0)
    return lower(spec, weights), weights, _tokens(tokens, 64)


def minilm_layer(tokens: int) -> tuple[Any, Mapping[str, np.ndarray], np.ndarray]:
    """A layer of MiniLM's shape, after the default passes."""
    every = Bias(query=True, key=True, value=True, output=True)
    spec = AttentionSpec(model=384, heads=12, bias=every, key_padding=True, tokens=tokens)
    compiled = compile_attention(spec, random_weights(spec, seed=0))
    return compiled.circuit, compiled.weights, _tokens(tokens, 384)


def _tokens(count: int, model: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal((count, model))


CIRCUITS = {"mask": mask_circuit, "minilm": minilm_layer}


# ---- one network ---------------------------------------------------------------------------------


class Stopwatch:
    """Notes when a network is built and when each step starts, and adds up the seconds in `connect`."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.built = self.started
        self.built_processor = self.ready_processor = processor_seconds()
        self.ticks: list[float] = []
        self.connecting = 0.0

    def network_class(self, ticking: bool) -> type:
        """A `brian2.Network` that this stopwatch looks at; C++ runs without Python, so without ticks."""
        from brian2 import Network, NetworkOperation

        watch = self

        class Watched(Network):  # type: ignore[misc]
            def run(self, *arguments: Any, **options: Any) -> None:
                watch.built, watch.built_processor = time.perf_counter(), processor_seconds()
                if ticking:
                    self.add(NetworkOperation(watch.tick))
                super().run(*arguments, **options)

        return Watched

    def tick(self) -> None:
        """A step starts."""
        if not self.ticks:
            self.ready_processor = processor_seconds()
        self.ticks.append(time.perf_counter())

    def timed(self, connect: Callable[..., None]) -> Callable[..., None]:
        """The same function, its seconds added up."""

        def run(*arguments: Any, **options: Any) -> None:
            start = time.perf_counter()
            connect(*arguments, **options)
            self.connecting += time.perf_counter() - start

        return run

    def seconds(self) -> Found:
        """Seconds to build, in `connect`, to start (also of the processor), and per step (median)."""
        steps = np.diff(self.ticks)
        return {
            "build": self.built - self.started,
            "connect": self.connecting,
            "start": self.ticks[0] - self.built if self.ticks else None,
            "processor": self.ready_processor - self.built_processor,
            "step": float(np.median(steps)) if len(steps) else None,
        }


def processor_seconds() -> float:
    """Seconds of the processor that this process and its ended children took so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def simulate_emitted(
    circuit: Any, weights: Any, x: np.ndarray, target: str, form: str, steps: int
) -> tuple[np.ndarray, Found]:
    """The output and the seconds of the emitted script, in this process."""
    from cortico.backends.brian2 import Options, emit_script, load_simulate

    simulate = load_simulate(emit_script(circuit, Options(form=form)))
    watch, names = Stopwatch(), simulate.__globals__
    names["Network"] = watch.network_class(ticking=target != "cpp_standalone")
    if "connect" in names:
        names["connect"] = watch.timed(names["connect"])
    with contextlib.redirect_stderr(io.StringIO()):
        outputs, _ = simulate(x, weights=weights, target=target, dt=DT, duration=steps * DT)
    seconds = watch.seconds()
    if target == "cpp_standalone":
        from brian2 import device

        ran = float(device._last_run_time)
        seconds |= {
            "step": ran / steps,
            "start": time.perf_counter() - watch.built - ran,
            "processor": processor_seconds() - watch.built_processor - ran,
        }
    return outputs["y"], seconds


def simulate_by_hand(weights: Any, x: np.ndarray, steps: int) -> tuple[np.ndarray, Found]:
    """The same of the network written by hand."""
    import brian2 as b2
    from brian2_by_hand import attention_by_hand

    b2.prefs.codegen.target = "numpy"
    watch = Stopwatch()
    y, connecting = attention_by_hand(watch.network_class(True), weights, x, DT, steps * DT)
    return y, {**watch.seconds(), "connect": connecting}


# ---- beside the network by hand ------------------------------------------------------------------


def beside_by_hand(tokens: int, turns: int, steps: int) -> Found:
    """Medians of the seconds of both, which take turns, and their ratios. Both must compute the same."""
    circuit, weights, x = mask_circuit(tokens)
    samples: dict[str, list[Found]] = {"emitted": [], "by hand": []}
    for turn in range(turns + 1):  # the first is to warm up
        ours, emitted = simulate_emitted(circuit, weights, x, "numpy", "synapses", steps)
        theirs, by_hand = simulate_by_hand(weights, x, steps)
        assert np.abs(ours - theirs).max() < 1e-9 * np.abs(theirs).max(), "not the same network"
        if turn:
            samples["emitted"].append(emitted)
            samples["by hand"].append(by_hand)
    medians = {
        who: {name: statistics.median(s[name] for s in found) for name in found[0]}
        for who, found in samples.items()
    }
    ratios = {
        name: statistics.median(a[name] / b[name] for a, b in zip(*samples.values(), strict=True))
        for name in ("step", "connect", "build")
    }
    counts = circuit.counts()
    return {"tokens": tokens, "synapses": int(counts.synapses), **medians, "ratio": ratios}


# ---- rows of the table: processes of their own ---------------------------------------------------


def child(circuit: str, target: str, form: str, tokens: int, steps: int) -> Found:
    """Simulate once in this process, with an empty cache of compiled code."""
    import brian2 as b2

    made, weights, x = CIRCUITS[circuit](tokens)
    counts = made.counts()
    before = resident("VmRSS")
    with tempfile.TemporaryDirectory() as cache:
        b2.prefs["codegen.runtime.cython.cache_dir"] = cache
        _, seconds = simulate_emitted(made, weights, x, target, form, steps)
    synapses = int(counts.synapses)
    row = {"circuit": circuit, "target": target, "form": form, "tokens": tokens}
    row |= {"neurons": int(counts.neurons), "synapses": synapses, "steps": steps, **seconds}
    row["ns per synapse"] = 1e9 * seconds["step"] / synapses
    if target != "cpp_standalone":  # its network is another process
        row["bytes per synapse"] = (resident("VmHWM") - before) / synapses
    return row


def measured(arguments: Sequence[object]) -> Found:
    """A row, from a process of its own."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Found = json.loads(done.stdout.splitlines()[-1])
    return row


def rows_to_measure(quick: bool) -> Iterator[tuple[str, str, str, int, int]]:
    """Circuit, target, form, tokens, steps."""
    sizes = TOKENS[:2] if quick else TOKENS
    for tokens in sizes:
        for form in ("synapses", "fast"):
            yield "mask", "numpy", form, tokens, 400 if tokens < 16 else 40
    if quick or SMOKE:
        return
    yield from (("mask", "cython", "synapses", tokens, 100) for tokens in (8, 27))
    yield "mask", "cpp_standalone", "synapses", 16, 100
    yield from (("minilm", "numpy", form, 5, 100) for form in ("synapses", "fast"))
    yield from (("minilm", target, "synapses", 5, 100) for target in MOST_FIRST_RUN)


# ---- output --------------------------------------------------------------------------------------


def missed_goals(results: Found) -> Iterator[str]:
    """What is slower than it should be, in words."""
    for found in results["by hand"]:
        for name in ("step", "connect"):
            ratio = found["ratio"][name]
            if ratio > MOST_RATIO:
                yield f"{name} at {found['tokens']} tokens: {ratio:.2f} times that by hand"
    for row in results["table"]:
        most = MOST_FIRST_RUN.get(row["target"])
        if row["circuit"] == "minilm" and most and row["start"] > most:
            took = f"{row['start']:.0f} s ({row['processor']:.0f} s of the processor)"
            yield f"first run of MiniLM's layer, {row['target']}: {took}, goal {most:.0f} s"


def print_by_hand(found: Iterable[Found]) -> None:
    """Emitted beside by hand, target numpy."""
    print(
        "synapses     ms per step: emitted  by hand  ratio    connect s: emitted  by hand  ratio  build ratio"
    )
    for each in found:
        (a, b), ratio = (each["emitted"], each["by hand"]), each["ratio"]
        print(
            f"{each['synapses']:>9,} {1e3 * a['step']:20.2f} {1e3 * b['step']:8.2f} {ratio['step']:6.2f}"
            f" {a['connect']:20.3f} {b['connect']:8.3f} {ratio['connect']:6.2f} {ratio['build']:12.2f}"
        )


def print_row(row: Found) -> None:
    """A line of the table."""
    memory = row.get("bytes per synapse")
    print(
        f"{row['circuit']:<7} {row['target']:<14} {row['form']:<8} {row['neurons']:>8,} "
        f"{row['synapses']:>11,} {row['build']:8.2f} {row['start']:8.1f} {1e3 * row['step']:9.2f} "
        f"{row['ns per synapse']:8.2f} {'' if memory is None else format(memory, '.0f'):>6} "
        f"{row['processor']:10.1f}",
        flush=True,
    )


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small networks, nothing written")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        circuit, target, form, *sizes = arguments.child
        print(json.dumps(child(circuit, target, form, *map(int, sizes))))
        return 0
    say_if_busy()
    results: Found = {"machine": machine(), "by hand": [], "table": []}
    for tokens, steps in sized(BY_HAND, ((2, 400),))[: 1 if arguments.quick else 2]:
        results["by hand"].append(beside_by_hand(tokens, 2 if arguments.quick else TURNS, steps))
    print_by_hand(results["by hand"])
    print(
        "\ncircuit target         form      neurons    synapses  build s  start s   ms/step"
        "  ns/syn.  B/syn. processor s"
    )
    for row in rows_to_measure(arguments.quick):
        results["table"].append(measured(row))
        print_row(results["table"][-1])
    results["machine"]["load at the end"] = machine()["load"]
    if not arguments.quick:
        write_results("brian2_speed", results)
    return verdict(missed_goals(results))


if __name__ == "__main__":
    raise SystemExit(main())
