"""Run attacks: `python -m tests.attack NAME… [--count N] [--seed S] [--processes P]`.

Without a name all of them; `NAME=N` makes N trials of one. The seed is a new one at each run unless it is given, and is printed: trial
k has the seed S + k. Says how often each word came and lists every wrong one. Exit code 1 when there is
one.
"""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom

from tests.attack import attacks
from tests.attack.runner import attack, summary


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
