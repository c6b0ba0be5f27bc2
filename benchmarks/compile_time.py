"""How long and how much memory the compiler takes for all of GPT-2 small's attention, by length.

    python benchmarks/compile_time.py [--repeats 5]

Twelve layers of 12 heads × 64 features, 768 wide, causal, with biases and random float32 weights, are
compiled to circuits and NumPy code. Every measurement is a fresh process; sizes take turns, and
medians are reported. Exit code 1 when a goal is missed: 2 s, 200 MB beyond the weights, and nothing
that grows with the number of tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from common import resident

LAYERS = 12
LENGTHS = (128, 1024, 8192, 65536, "n")  #: numbers of tokens, and one left symbolic
RESULTS = Path(__file__).parent / "results" / "compile_time.json"

MOST_SECONDS, MOST_MEGABYTES, MOST_GROWTH = 2.0, 200.0, 1.5

COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import cortico": [sys.executable, "-c", "import cortico"],
    "cortico --help": [str(Path(sys.executable).with_name("cortico")), "--help"],
}

Sample = dict[str, Any]


# ---- one measurement, in a process of its own ----------------------------------------------------


def measure(tokens: int | str, trace: bool) -> Sample:
    """Compile all layers once: seconds, peak megabytes beyond the weights, and counts of a layer.

    With `trace`, memory is what tracemalloc saw allocated, and the time says nothing.
    """
    from cortico.pipeline import compile_attention

    spec = gpt2_small(tokens)
    weights = [gpt2_weights(spec, layer) for layer in range(LAYERS)]
    peak = _traced_peak() if trace else _resident_peak()
    start = time.perf_counter()
    compiled = [compile_attention(spec, w) for w in weights]
    seconds = time.perf_counter() - start
    megabytes = peak()
    seconds_to_write = _seconds_to_write(compiled)
    megabytes_with_writing = peak()
    counts = compiled[0].circuit.counts()
    return {
        "seconds": seconds,
        "megabytes": megabytes,
        "seconds_to_write": seconds_to_write,
        "megabytes_with_writing": megabytes_with_writing,
        "neurons": counts.neurons,
        "synapses": counts.synapses,
    }


def gpt2_small(tokens: int | str) -> Any:
    """The spec of one layer of GPT-2 small (Radford et al. 2019; config.json of openai-community/gpt2)."""
    from cortico.spec import AttentionSpec, Bias, Mask

    every = Bias(query=True, key=True, value=True, output=True)
    return AttentionSpec(model=768, heads=12, mask=Mask.CAUSAL, bias=every, tokens=tokens)


def gpt2_weights(spec: Any, layer: int) -> dict[str, Any]:
    """Random float32 weights, drawn without a float64 copy that would blur the memory figure."""
    import numpy as np

    from cortico.weights import required_shapes

    rng = np.random.default_rng(layer)
    shapes = required_shapes(spec).items()
    return {
        name: rng.standard_normal([int(side) for side in shape], dtype=np.float32)
        for name, shape in shapes
    }


def _resident_peak() -> Callable[[], float]:
    """From now on: the highest resident size of this process minus the present one, in MB."""
    before = resident("VmRSS")
    return lambda: (resident("VmHWM") - before) / 1e6


def _traced_peak() -> Callable[[], float]:
    import tracemalloc

    tracemalloc.start()
    return lambda: tracemalloc.get_traced_memory()[1] / 1e6


def _seconds_to_write(compiled: Iterable[Any]) -> float:
    """Seconds to write every layer's folder: circuit, weights, code, spec, report."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for layer, compilation in enumerate(compiled):
            compilation.write(Path(folder) / f"layer{layer}")
        return time.perf_counter() - start


# ---- all measurements ----------------------------------------------------------------------------


def measure_lengths(repeats: int) -> dict[str, Sample]:
    """Number of tokens to medians over fresh processes that take turns."""
    samples: dict[str, list[Sample]] = {str(tokens): [] for tokens in LENGTHS}
    for turn in range(repeats):
        for tokens in samples:
            print(f"turn {turn + 1} of {repeats}: {tokens} tokens", file=sys.stderr)
            samples[tokens].append(_child(tokens))
    return {
        tokens: _summary(found, _child(tokens, trace=True)) for tokens, found in samples.items()
    }


def measure_commands(repeats: int) -> dict[str, float]:
    """Command to its median wall time in seconds; commands take turns."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(2 * repeats):
        print(f"start-up, turn {turn + 1} of {2 * repeats}", file=sys.stderr)
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            samples[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in samples.items()}


def _child(tokens: str, trace: bool = False) -> Sample:
    command = [sys.executable, __file__, "--child", tokens, *(["--trace"] if trace else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    sample: Sample = json.loads(done.stdout)
    return sample


def _summary(samples: list[Sample], traced: Sample) -> Sample:
    """Medians, the fastest run, and the counts of a layer, the same in every run."""
    medians = {
        name: statistics.median(sample[name] for sample in samples)
        for name in ("seconds", "megabytes", "seconds_to_write", "megabytes_with_writing")
    }
    return {
        **medians,
        "fastest_seconds": min(sample["seconds"] for sample in samples),
        "megabytes_traced": traced["megabytes"],
        "neurons": samples[0]["neurons"],
        "synapses": samples[0]["synapses"],
    }


def missed_goals(lengths: Mapping[str, Sample]) -> list[str]:
    """What is slower, bigger or faster-growing than it should be, in words."""
    missed = []
    for tokens, found in lengths.items():
        if found["seconds"] > MOST_SECONDS:
            missed.append(f"{tokens} tokens take {found['seconds']:.2f} s, goal {MOST_SECONDS} s")
        if found["megabytes"] > MOST_MEGABYTES:
            missed.append(f"{tokens} tokens take {found['megabytes']:.0f} MB more than the weights")
    # fastest runs: what else the machine does cannot look like growth
    first, last = (lengths[str(n)]["fastest_seconds"] for n in (LENGTHS[0], LENGTHS[-2]))
    if last > MOST_GROWTH * first:
        missed.append(f"time grows with tokens: {first:.2f} s to {last:.2f} s")
    return missed


# ---- output --------------------------------------------------------------------------------------


def print_results(results: Sample) -> None:
    """All tables on standard output."""
    from rich.console import Console

    console = Console()
    lengths = results["lengths"]
    commands = _command_table(results["start_up_seconds"])
    console.print(_cost_table(lengths), _size_table(lengths), commands)


#: Title of a column of medians to its figure and its format.
_COSTS = {
    "compile s": ("seconds", ".3f"),
    "peak MB": ("megabytes", ".1f"),
    "traced MB": ("megabytes_traced", ".1f"),
    "write s": ("seconds_to_write", ".2f"),
    "peak MB, written": ("megabytes_with_writing", ".0f"),
}


def _cost_table(lengths: Mapping[str, Sample]) -> Any:
    rows = [
        (_grouped(tokens), *(format(found[name], form) for name, form in _COSTS.values()))
        for tokens, found in lengths.items()
    ]
    title = f"GPT-2 small, {LAYERS} layers: medians, MB beyond the weights (113 MB)"
    return _table(title, ("tokens", *_COSTS), rows)


def _size_table(lengths: Mapping[str, Sample]) -> Any:
    rows = [
        tuple(_grouped(size) for size in (tokens, found["neurons"], found["synapses"]))
        for tokens, found in lengths.items()
    ]
    return _table("One layer", ("tokens", "neurons", "synapses"), rows)


def _command_table(seconds: Mapping[str, float]) -> Any:
    rows = [(name, f"{1000 * found:.0f}") for name, found in seconds.items()]
    return _table("Start-up: medians", ("command", "ms"), rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from rich.table import Table

    table = Table(title=title)
    for column in header:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _grouped(count: int | str) -> str:
    """A number with thousands separators; a symbol or a formula as it is."""
    return f"{int(count):,}" if str(count).isdecimal() else str(count)


def write_results(results: Sample) -> None:
    """Write JSON under a temporary name first."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    temporary = RESULTS.with_name(f"{RESULTS.name}.tmp-{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    temporary.replace(RESULTS)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import numpy as np

    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes per size")
    parser.add_argument("--child", metavar="TOKENS", help=argparse.SUPPRESS)
    parser.add_argument("--trace", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        from cortico.report import number  # writes symbolic counts as formulas

        tokens = int(arguments.child) if arguments.child.isdecimal() else arguments.child
        print(json.dumps(measure(tokens, arguments.trace), default=number))
        return 0
    lengths = measure_lengths(arguments.repeats)
    commands = measure_commands(arguments.repeats)
    results = {"machine": machine(), "lengths": lengths, "start_up_seconds": commands}
    print_results(results)
    write_results(results)
    missed = missed_goals(lengths)
    print("\n".join(f"goal missed: {text}" for text in missed) or "all goals met")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
