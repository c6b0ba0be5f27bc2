"""Peak memory of attention layers beyond their weights and inputs: emitted NumPy code beside others.

    python benchmarks/attention_memory.py [--kind causal] [--tokens 1024 8192] [--only SDPA]

Every figure is a process of its own: it runs the layer at 64 tokens, so that libraries have what they
need, puts weights and inputs in place (masks too, where a library takes one), and then runs once.
Reported is the highest resident size in that run over the one before it, output included. The emitted NumPy
code is not told to keep memory for another run. Linux only.

Writes results/attention_memory.json when nothing is left out by options. Exit code 1 when the emitted
code takes more than PyTorch's fused kernel and ten percent at the most tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from attention_kinds import KINDS, THREADS, layer, tokens_to_attend
from common import machine, resident, restart_peak, sized, verdict, write_results
from competitors import EMITTED, PACKAGES, limit_threads, taking_part
from rich.console import Console
from rich.table import Table

TOKENS = sized((1024, 2048, 4096, 8192), (64,))
USUAL = sized(("softmax", "causal", "linear causal"), ("causal",))
WARM = 64  #: tokens
LONGEST = 30.0  #: seconds of a run, as expected from half as many tokens; longer ones are left out
MOST_OVER_SDPA = 1.1
MEGABYTE = 1e6

Row = dict[str, Any]


# ---- one run, in a process of its own ------------------------------------------------------------


def child(kind: str, tokens: int, who: str) -> Row:
    """Peak megabytes and seconds of one run."""
    import time

    limit_threads()
    player = next(each for each in taking_part(kind) if each.name == who)
    if who == EMITTED:
        player = replace(player, options={**player.options, "keep": False})
    spec, weights = layer(kind)
    player.build(spec, weights, tokens_to_attend(1, WARM))()
    run = player.build(spec, weights, tokens_to_attend(1, tokens))
    before = restart_peak()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    megabytes = (resident("VmHWM") - before) / MEGABYTE
    return {"kind": kind, "tokens": tokens, "who": who, "MB": megabytes, "seconds": seconds}


# ---- all -----------------------------------------------------------------------------------------


def measure(kind: str, tokens: Sequence[int], only: str) -> Iterator[Row]:
    """Rows of everybody at all sizes; without megabytes where a run would take too long."""
    for player in taking_part(kind):
        if player.name != EMITTED and only.lower() not in player.name.lower():
            continue
        expected = 0.0
        for count in tokens:
            row = {"kind": kind, "tokens": count, "who": player.name, "MB": None}
            if expected < LONGEST:
                print(f"{kind}, {count} tokens: {player.name}", file=sys.stderr)
                row = in_a_process(kind, count, player.name)
                expected = 4 * row["seconds"]
            yield row


def in_a_process(kind: str, tokens: int, who: str) -> Row:
    """What `child` finds in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, str(tokens), who]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def missed_goals(rows: Sequence[Row]) -> Iterator[str]:
    """Where the emitted code takes more memory than PyTorch's fused kernel allows."""
    found: Mapping[Any, float] = {(r["kind"], r["tokens"], r["who"]): r["MB"] for r in rows}
    most = max(row["tokens"] for row in rows)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        ours = found[kind, most, EMITTED]
        fused = [
            mb for (k, n, who), mb in found.items() if (k, n) == (kind, most) and "SDPA" in who
        ]
        limit = MOST_OVER_SDPA * min((mb for mb in fused if mb is not None), default=float("inf"))
        if ours is None or ours > limit:
            taken = "too long to say" if ours is None else f"{ours:.0f} MB"
            yield f"{kind}, {most} tokens: {taken}, wanted {limit:.0f} MB"


def print_kind(console: Console, kind: str, rows: Sequence[Row]) -> None:
    """A line for each competitor, a column for each number of tokens."""
    columns = list(dict.fromkeys(row["tokens"] for row in rows))
    table = Table(title=f"{kind}: peak MB beyond weights and inputs")
    table.add_column("")
    for tokens in columns:
        table.add_column(f"{tokens:,} tokens", justify="right")
    for who in dict.fromkeys(row["who"] for row in rows):
        found = [row["MB"] for row in rows if row["who"] == who]
        table.add_row(who, *("–" if mb is None else f"{mb:,.0f}" for mb in found))
    console.print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(USUAL))
    parser.add_argument("--tokens", nargs="+", type=int, default=list(TOKENS))
    parser.add_argument(
        "--only", default=sized("", "SDPA"), metavar="TEXT", help="names that hold this text"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, tokens, who = arguments.child
        print(json.dumps(child(kind, int(tokens), who)))
        return 0
    console, rows = Console(), []
    for kind in arguments.kind:
        found = list(measure(kind, sorted(arguments.tokens), arguments.only))
        print_kind(console, kind, found)
        rows += found
    if len(sys.argv) == 1:
        results = {"machine": machine(PACKAGES), "threads": THREADS, "rows": rows}
        write_results("attention_memory", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
