"""Many trials of one attack, on one process or several, and what came of them in words."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

from tests.attack import trial_of
from tests.attack.trial import Trial

#: Wrong ones that are printed in full.
_MOST_SHOWN = 20


class Result(NamedTuple):
    """The trials of one attack."""

    name: str
    words: Counter[str]
    wrong: list[tuple[int, Trial]]
    seconds: float
    slowest: tuple[float, int] = (0.0, 0)  #: seconds of work of one trial, and its seed


def attempted(name: str, seed: int) -> tuple[int, Trial]:
    """A trial with its seed; one that fails by itself is wrong."""
    try:
        return seed, trial_of(name)(seed)
    except Exception as error:
        return seed, Trial("the attack itself failed", True, repr(error))


def attack(name: str, seeds: Sequence[int], processes: int = 1) -> Result:
    """All trials of one attack, with progress on stderr."""
    start, words, wrong = time.perf_counter(), Counter[str](), list[tuple[int, Trial]]()
    slowest = (0.0, 0)
    for done, (seed, found) in enumerate(_trials(name, seeds, processes), 1):
        of_kind = f"{found.kind}: " if found.kind else ""
        words[f"{of_kind}{found.said}{', and wrong' if found.wrong else ''}"] += 1
        slowest = max(slowest, (found.seconds, seed))
        if found.wrong:
            wrong.append((seed, found))
            print(f"\n{_line(seed, found)}", file=sys.stderr, flush=True)  # at once, in a long run
        if done % 100 == 0 or done == len(seeds):
            line = f"\r{name}: {done:,} of {len(seeds):,}, {len(wrong):,} wrong"
            print(line, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return Result(name, words, wrong, time.perf_counter() - start, slowest)


def _line(seed: int, found: Trial) -> str:
    return f"  wrong at seed {seed}: {found.said}: {found.detail}"


def _trials(name: str, seeds: Sequence[int], processes: int) -> Iterator[tuple[int, Trial]]:
    if processes == 1:
        yield from (attempted(name, seed) for seed in seeds)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(partial(attempted, name), seeds, chunksize=10)


def summary(result: Result) -> str:
    """What came of an attack, in lines."""
    count = sum(result.words.values())
    lines = [
        f"{result.name}: {count:,} trials, {len(result.wrong):,} wrong, {result.seconds:.0f} s"
    ]
    lines += [f"  {times:7,}  {word}" for word, times in sorted(result.words.items())]
    if result.slowest[0]:
        lines.append(f"  slowest: {result.slowest[0]:.2f} s at seed {result.slowest[1]}")
    for seed, found in islice(result.wrong, _MOST_SHOWN):
        lines.append(_line(seed, found))
    if len(result.wrong) > _MOST_SHOWN:
        seeds = ", ".join(str(seed) for seed, _ in result.wrong[_MOST_SHOWN:])
        lines.append(f"  wrong too: {seeds}")
    return "\n".join(lines)
