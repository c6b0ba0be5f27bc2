"""How long and how much memory compiling GPT-2 small's attention takes, by tokens, heads and layers.

    python benchmarks/compile_time.py [--repeats 5]

Twelve layers of 12 heads × 64 features, 768 wide, causal, with biases and random float32 weights, are
compiled to circuits and NumPy code. The number of tokens, of heads or of layers varies, the rest stays.
Every measurement is a fresh process; sizes take turns, and medians are reported. Exit code 1 when a goal
is missed: 2 s, 200 MB beyond the weights, and nothing that grows with the number of tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from common import machine, resident, sized, verdict, write_results

TOKENS, HEADS, LAYERS = sized((1024, 12, 12), (16, 1, 1))  #: what stays
#: Numbers of tokens, and one left symbolic.
LENGTHS: tuple[int | str, ...] = sized((128, 1024, 8192, 65536, "n"), (8, 16, "n"))
MANY_HEADS = sized((1, 4, 12, 36), (1,))
MANY_LAYERS = sized((1, 4, 12, 36), (1,))
MOST_SECONDS, MOST_MEGABYTES, MOST_GROWTH = 2.0, 200.0, 1.5

Size = tuple[int | str, int, int]  #: tokens, heads, layers
Sample = dict[str, Any]


# ---- one measurement, in a process of its own ----------------------------------------------------


def measure(size: Size, trace: bool) -> Sample:
    """Compile all layers once: seconds, peak megabytes beyond the weights, and counts of a layer.

    With `trace`, memory is what tracemalloc saw allocated, and the time says nothing.
    """
    from cortico.pipeline import compile_attention

    tokens, heads, layers = size
    spec = gpt2_small(tokens, heads)
    weights = [gpt2_weights(spec, layer) for layer in range(layers)]
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
        "megabytes_of_weights": sum(a.nbytes for w in weights for a in w.values()) / 1e6,
        "neurons": counts.neurons,
        "synapses": counts.synapses,
    }


def gpt2_small(tokens: int | str, heads: int = HEADS) -> Any:
    """The spec of one layer of GPT-2 small (Radford et al. 2019; config.json of openai-community/gpt2).

    With another number of heads each keeps its 64 features, and the model its width.
    """
    from cortico.spec import AttentionSpec, Bias, Mask

    every = Bias(query=True, key=True, value=True, output=True)
    return AttentionSpec(
        model=768, heads=heads, key_features=64, mask=Mask.CAUSAL, bias=every, tokens=tokens
    )


def gpt2_weights(spec: Any, layer: int) -> dict[str, Any]:
    """Random float32 weights, drawn without a float64 copy that would blur the memory figure."""
    import numpy as np

    from cortico.spec.weights import required_shapes

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


def sizes() -> dict[str, dict[str, Size]]:
    """What varies, to the values it takes, to the whole size."""
    return {
        "lengths": {str(tokens): (tokens, HEADS, LAYERS) for tokens in LENGTHS},
        "heads": {str(heads): (TOKENS, heads, LAYERS) for heads in MANY_HEADS},
        "layers": {str(layers): (TOKENS, HEADS, layers) for layers in MANY_LAYERS},
    }


def measure_all(repeats: int) -> dict[str, dict[str, Sample]]:
    """Medians over fresh processes that take turns, as `sizes` has them."""
    every = list(dict.fromkeys(size for group in sizes().values() for size in group.values()))
    samples: dict[Size, list[Sample]] = {size: [] for size in every}
    for turn in range(repeats):
        for size in every:
            words = "{} tokens, {} heads, {} layers".format(*size)
            print(f"turn {turn + 1} of {repeats}: {words}", file=sys.stderr)
            samples[size].append(_child(size))
    found = {size: _summary(samples[size], _child(size, trace=True)) for size in every}
    return {
        name: {value: found[size] for value, size in group.items()}
        for name, group in sizes().items()
    }


def _child(size: Size, trace: bool = False) -> Sample:
    command = [
        sys.executable,
        __file__,
        "--child",
        *map(str, size),
        *(["--trace"] if trace else []),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    sample: Sample = json.loads(done.stdout)
    return sample


def _summary(samples: list[Sample], traced: Sample) -> Sample:
    """Medians, the fastest run, and what is the same in every run."""
    medians = {
        name: statistics.median(sample[name] for sample in samples)
        for name in ("seconds", "megabytes", "seconds_to_write", "megabytes_with_writing")
    }
    same = {name: samples[0][name] for name in ("megabytes_of_weights", "neurons", "synapses")}
    fastest = min(sample["seconds"] for sample in samples)
    traced_peak = traced["megabytes"]
    return {**medians, "fastest_seconds": fastest, "megabytes_traced": traced_peak, **same}


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
    for name, found in results.items():
        if name != "machine":
            console.print(_cost_table(name, found))
    console.print(_size_table(results["lengths"]))


#: Title of a column of medians to its figure and its format.
_COSTS = {
    "compile s": ("seconds", ".3f"),
    "weights MB": ("megabytes_of_weights", ".0f"),
    "peak MB": ("megabytes", ".1f"),
    "traced MB": ("megabytes_traced", ".1f"),
    "write s": ("seconds_to_write", ".2f"),
    "peak MB, written": ("megabytes_with_writing", ".0f"),
}


def _cost_table(name: str, varied: Mapping[str, Sample]) -> Any:
    rows = [
        (_grouped(value), *(format(found[name], form) for name, form in _COSTS.values()))
        for value, found in varied.items()
    ]
    word = {"lengths": "tokens"}.get(name, name)
    title = f"GPT-2 small's attention by {word}: medians, peaks beyond the weights"
    return _table(title, (word, *_COSTS), rows)


def _size_table(lengths: Mapping[str, Sample]) -> Any:
    rows = [
        tuple(_grouped(size) for size in (tokens, found["neurons"], found["synapses"]))
        for tokens, found in lengths.items()
    ]
    return _table("One layer", ("tokens", "neurons", "synapses"), rows)


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


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=sized(5, 1), help="fresh processes per size")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--trace", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        from cortico.report.words import number  # writes symbolic counts as formulas

        tokens, heads, layers = arguments.child
        size = (int(tokens) if tokens.isdecimal() else tokens, int(heads), int(layers))
        print(json.dumps(measure(size, arguments.trace), default=number))
        return 0
    found = measure_all(arguments.repeats)
    results = {"machine": machine(("numpy",)), **found}
    print_results(results)
    write_results("compile_time", results)
    return verdict(missed_goals(found["lengths"]))


if __name__ == "__main__":
    raise SystemExit(main())
