"""Run attacks: `python -m tests.attack NAME… [--count N] [--seed S] [--processes P]`.

Without a name all of them; `NAME=N` makes N trials of one. The seed is a new one at each run unless it is given, and is printed: trial
k has the seed S + k. Says how often each word came and lists every wrong one. Exit code 1 when there is
one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing import get_context
from random import SystemRandom
from typing import NamedTuple

from tests.attack import attacks, trial_of
from tests.attack.trial import Trial

#: Wrong ones that are printed in full.
_MOST_SHOWN = 20


class Result(NamedTuple):
    """The trials of one attack."""

    name: str
    words: Counter[str]
    wrong: list[tuple[int, Trial]]
    seconds: float


def attempted(name: str, seed: int) -> tuple[int, Trial]:
    """A trial with its seed; one that fails by itself is wrong."""
    try:
        return seed, trial_of(name)(seed)
    except Exception as error:
        return seed, Trial("the attack itself failed", True, repr(error))


def attack(name: str, seeds: Sequence[int], processes: int = 1) -> Result:
    """All trials of one attack, with progress on stderr."""
    start, words, wrong = time.perf_counter(), Counter[str](), list[tuple[int, Trial]]()
    for done, (seed, found) in enumerate(_trials(name, seeds, processes), 1):
        words[f"{found.said}{', and wrong' if found.wrong else ''}"] += 1
        if found.wrong:
            wrong.append((seed, found))
        if done % 100 == 0 or done == len(seeds):
            line = f"\r{name}: {done:,} of {len(seeds):,}, {len(wrong):,} wrong"
            print(line, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return Result(name, words, wrong, time.perf_counter() - start)


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
    for seed, found in islice(result.wrong, _MOST_SHOWN):
        lines.append(f"  wrong at seed {seed}: {found.said}: {found.detail}")
    if len(result.wrong) > _MOST_SHOWN:
        seeds = ", ".join(str(seed) for seed, _ in result.wrong[_MOST_SHOWN:])
        lines.append(f"  wrong too: {seeds}")
    return "\n".join(lines)


def main() -> int:
    """Run the attacks that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    listed = ", ".join(attacks())
    parser.add_argument("names", nargs="*", metavar="NAME[=N]", help=f"of {listed}")
    parser.add_argument("--count", type=int, default=1000, help="trials of each")
    parser.add_argument("--seed", type=int, help="of the first trial")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    chosen = [each.partition("=") for each in options.names or attacks()]
    for name, _, count in chosen:
        if name not in attacks() or not (count or "1").isdecimal():
            parser.error(f"no attack {name}={count}; there are: {listed}")
    seed = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    wrong = 0
    for name, _, count in chosen:
        print(f"{name}: seeds from {seed}", flush=True)
        seeds = range(seed, seed + int(count or options.count))
        result = attack(name, seeds, options.processes)
        print(summary(result), flush=True)
        wrong += len(result.wrong)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
