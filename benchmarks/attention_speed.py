"""Emitted NumPy code beside attention layers written by hand, PyTorch and onnxruntime.

    python benchmarks/attention_speed.py [--quick] [--kind causal] [--tokens 64 1024] [--only SDPA]

GPT-2 small's layer (`attention_kinds.py`), projections included, float32, two threads for everybody.
All are checked against the formula and against each other before they are timed. In each turn every
competitor runs once, in random order; reported are medians over turns, and the median of the ratio
to the emitted code in the same turn: above 1 the emitted code is faster. Before each turn of a
competitor comes a pause and some runs that do not count: idle threads of OpenBLAS and OpenMP stay in
busy loops for up to a tenth of a second, and would take a core of whoever comes next. Who would take
over five seconds for a run, or over two and four times the fastest, is left out, and the table says so.

Writes results/attention_speed.json when nothing is left out by options. Exit code 1 when a goal is
missed.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from attention_goals import missed_goals
from attention_kinds import KINDS, THREADS, Array, layer, tokens_to_attend
from attention_stream import POSITIONS, stream
from common import machine, say_if_busy, sized, verdict, write_results
from competitors import (
    EMITTED,
    PACKAGES,
    Competitor,
    Run,
    assert_same,
    check,
    limit_threads,
    taking_part,
)
from rich.console import Console
from rich.table import Table

TOKENS = sized((64, 256, 512, 1024, 2048, 8192), (8,))
BATCHED = sized((64, 256, 1024), ())  #: tokens at batch 16
QUICK = (64, 128, 256, 512)
BATCH = 16

LONGEST = 5.0  #: seconds; who takes longer for a run is left out
LONG, FAR_BEHIND = 2.0, 4.0  #: who takes this many seconds and times the fastest is left out
SHORTEST = sized(0.02, 1e-6)  #: seconds of one measurement: shorter runs are repeated in it
PAUSE = sized(
    0.13, 0.0
)  #: seconds before each, in which the threads of the one before come to rest
WARM = sized(0.03, 0.0)  #: seconds of runs before each that do not count, if runs are shorter
TURNS, MOST_TURNS = sized((3, 7), (1, 1))
SECONDS, QUICK_SECONDS = 10.0, 4.0  #: to spend on a size, if three turns take less
PROBE = (1, 256)  #: batch and tokens that are tried first when only long inputs are asked for

Row = dict[str, Any]
Size = tuple[int, int]  #: batch, tokens


# ---- one size ------------------------------------------------------------------------------------


def measure(kind: str, size: Size, players: Sequence[Competitor], seconds: float) -> list[Row]:
    """A row for each competitor, all checked before one is timed."""
    spec, weights = layer(kind)
    x = tokens_to_attend(*size)
    runs, firsts = {}, {}
    agreed: Array | None = None
    for player in players:
        runs[player.name] = run = player.build(spec, weights, x)
        start = time.perf_counter()
        y = run()
        firsts[player.name] = time.perf_counter() - start
        if player.same:
            check(spec, weights, x, y, player.name)
            agreed = y if agreed is None else agreed
            assert_same(y, agreed, f"{player.name} and {players[0].name} at {size[1]} tokens")
    samples = take_turns(runs, firsts, seconds)
    return [row_of(kind, size, name, samples) for name in samples]


def row_of(
    kind: str, size: Size, who: str, samples: Mapping[str, Sequence[float]] | None = None
) -> Row:
    """Median and least seconds, and the ratio to the emitted code; None when it was left out."""
    row = {"kind": kind, "batch": size[0], "tokens": size[1], "who": who}
    if samples is None:
        return {**row, "seconds": None, "ratio": None}
    seconds, beside = samples[who], samples.get(EMITTED)
    ratio = beside and statistics.median(a / b for a, b in zip(seconds, beside, strict=True))
    figures = {"seconds": statistics.median(seconds), "ratio": ratio}
    return {**row, **figures, "least": min(seconds), "turns": len(seconds)}


def take_turns(
    runs: Mapping[str, Run], firsts: Mapping[str, float], budget: float
) -> dict[str, list[float]]:
    """Seconds per run of each, turn by turn, in random order; `firsts` are those of a cold run."""
    seconds = {
        name: first if first > 1 else min(first, once(runs[name], 1, 0))
        for name, first in firsts.items()
    }
    counts = {name: math.ceil(SHORTEST / found) for name, found in seconds.items()}
    warm = {name: math.ceil(WARM / found) if found < 1 else 0 for name, found in seconds.items()}
    turn = sum(PAUSE + (counts[name] + warm[name]) * found for name, found in seconds.items())
    samples: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(0)
    for _ in range(min(MOST_TURNS, max(TURNS, int(budget / turn)))):
        for name in order.sample(list(runs), len(runs)):
            time.sleep(PAUSE)
            samples[name].append(once(runs[name], counts[name], warm[name]))
    return samples


def once(run: Run, count: int, before: int) -> float:
    """Seconds per run, of `count` in a row, after `before` that do not count."""
    for _ in range(before):
        run()
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


# ---- all sizes -----------------------------------------------------------------------------------


def measure_kind(kind: str, sizes: Sequence[Size], only: str, seconds: float) -> Iterator[Row]:
    """Rows of every size, smallest first; those left out have no seconds."""
    everybody = [
        p for p in taking_part(kind) if only.lower() in p.name.lower() or p.name == EMITTED
    ]
    rows: list[Row] = []
    if sizes[0][1] > PROBE[1]:
        rows += measure(kind, PROBE, everybody, seconds)
    for size in sizes:
        predicted = {p.name: predict(rows, p.name, size) for p in everybody}
        least = min(predicted.values())
        stay = [p for p in everybody if worth_a_run(p.name, predicted[p.name], least)]
        print(
            f"{kind}: batch {size[0]}, {size[1]} tokens, {len(stay)} of {len(everybody)}",
            flush=True,
        )
        found = list(measure(kind, size, stay, seconds)) if stay else []
        rows += found
        yield from found
        for player in everybody:
            if player not in stay:
                yield row_of(kind, size, player.name)


def predict(rows: Sequence[Row], who: str, size: Size) -> float:
    """At most so many seconds, from the least at smaller sizes; 0 when there are none."""
    batch, tokens = size
    return min(
        (
            row["least"] * batch / row["batch"] * (tokens / row["tokens"]) ** 2
            for row in rows
            if row["who"] == who and row["batch"] <= batch and row["tokens"] <= tokens
        ),
        default=0.0,
    )


def worth_a_run(who: str, seconds: float, least: float) -> bool:
    """Whether a run of `seconds` is short, or not too long and not far behind."""
    near = who == EMITTED or seconds <= FAR_BEHIND * least
    return seconds <= LONG or (seconds <= LONGEST and near)


def sizes_to_measure(tokens: Sequence[int], batched: Sequence[int]) -> list[Size]:
    """Batch 1 at all, then batch 16 at some."""
    return [(1, n) for n in sorted(tokens)] + [(BATCH, n) for n in batched if n in tokens]


# ---- output --------------------------------------------------------------------------------------


def print_kind(console: Console, kind: str, rows: Sequence[Row]) -> None:
    """One table for each batch: a line for each competitor, a column for each number of tokens."""
    for batch in dict.fromkeys(row["batch"] for row in rows):
        chosen = {(r["who"], r["tokens"]): r for r in rows if r["batch"] == batch}
        columns = list(dict.fromkeys(tokens for _, tokens in chosen))
        table = Table(title=f"{kind}, batch {batch}: ms, projections included (ratio to emitted)")
        table.add_column("")
        for tokens in columns:
            table.add_column(f"{tokens:,} tokens", justify="right")
        for who in dict.fromkeys(who for who, _ in chosen):
            table.add_row(who, *(cell(chosen[who, tokens]) for tokens in columns))
        console.print(table)


def cell(row: Row) -> str:
    """Milliseconds and ratio, or – when it was left out."""
    if row["seconds"] is None:
        return "–"
    ratio = "" if row["ratio"] is None or row["who"] == EMITTED else f" ({row['ratio']:.2f})"
    return (
        f"{1e3 * row['seconds']:.3g}{ratio}"
        if row["seconds"] < 1
        else f"{1e3 * row['seconds']:.0f}{ratio}"
    )


def print_stream(console: Console, rows: Sequence[Row]) -> None:
    """Microseconds per token at each position."""
    table = Table(title="linear causal, one token at a time: µs per step")
    positions = list(dict.fromkeys(row["position"] for row in rows))
    table.add_column("")
    for position in positions:
        table.add_column(f"after {position:,}", justify="right")
    for who in dict.fromkeys(row["who"] for row in rows):
        mine = [row for row in rows if row["who"] == who]
        table.add_row(who, *(f"{1e6 * row['seconds']:.0f}" for row in mine))
    console.print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="64 to 512 tokens at batch 1")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=sized(list(KINDS), ["causal"]))
    parser.add_argument("--tokens", nargs="+", type=int)
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold this text")
    arguments = parser.parse_args()
    tokens = arguments.tokens or (QUICK if arguments.quick else TOKENS)
    sizes = sizes_to_measure(tokens, () if arguments.quick else BATCHED)
    seconds = QUICK_SECONDS if arguments.quick else SECONDS
    say_if_busy()
    limit_threads()
    machine_before = machine(PACKAGES)
    console, rows = Console(), []
    for kind in arguments.kind:
        found = list(measure_kind(kind, sizes, arguments.only, seconds))
        print_kind(console, kind, found)
        rows += found
    streamed = list(stream(POSITIONS[: 2 if arguments.quick else 3]))
    print_stream(console, streamed)
    results = {"machine": machine_before, "threads": THREADS, "rows": rows, "stream": streamed}
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    if len(sys.argv) == 1:
        write_results("attention_speed", results)
    return verdict(missed_goals(results))


if __name__ == "__main__":
    raise SystemExit(main())
