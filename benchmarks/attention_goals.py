"""What the emitted NumPy code is held to beside others, as ratios: their seconds over its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from competitors import EMITTED, LINEAR, SOFTMAX

LEAST_NUMPY = 1.0  #: beside the best NumPy by hand, softmax, at any size
LEAST_SDPA = {512: 1.0, 8192: 0.9}  #: beside PyTorch's fused kernel, up to so many tokens
LEAST_LINEAR = 1.0  #: beside the best linear attention in PyTorch
LEAST_LONG = 20.0  #: linear attention beside softmax in the fused kernel, at 8192 tokens
LONG = 8192
MOST_STEP_GROWTH = 1.2  #: seconds of a step late in a stream over those of an early one

Row = Mapping[str, Any]


def missed_goals(results: Mapping[str, Any]) -> Iterator[str]:
    """What is slower than it should be, in words."""
    for kind in SOFTMAX:
        rows = [row for row in results["rows"] if row["kind"] == kind]
        yield from _behind(rows, "NumPy ", lambda tokens: LEAST_NUMPY)
        yield from _behind(rows, "PyTorch SDPA", _least_beside_sdpa)
    for kind in LINEAR:
        rows = [row for row in results["rows"] if row["kind"] == kind]
        own = [row for row in rows if "softmax" not in row["who"]]
        yield from _behind(own, "PyTorch ", lambda tokens: LEAST_LINEAR)
        long = [row for row in rows if "softmax" in row["who"] and row["tokens"] == LONG]
        yield from _behind(long, "PyTorch SDPA", lambda tokens: LEAST_LONG)
    yield from _slower_late(results["stream"])


def _least_beside_sdpa(tokens: int) -> float:
    return next(least for most, least in LEAST_SDPA.items() if tokens <= most)


def _behind(rows: Sequence[Row], who: str, least: Any) -> Iterator[str]:
    """One line for each size at which the fastest of those called `who` is too fast for us."""
    for size in dict.fromkeys((row["batch"], row["tokens"]) for row in rows):
        here = [r for r in rows if (r["batch"], r["tokens"]) == size and r["who"].startswith(who)]
        timed = [row for row in here if row["ratio"] is not None]
        best = min(timed, key=lambda row: row["seconds"], default=None)
        if best and best["ratio"] < least(size[1]):
            yield (
                f"{best['kind']}, {size[0]} × {size[1]} tokens: {best['ratio']:.2f} beside "
                f"{best['who']}, wanted {least(size[1]):g}"
            )


def _slower_late(steps: Sequence[Row]) -> Iterator[str]:
    seconds = [row["seconds"] for row in steps if row["who"] == EMITTED]
    if seconds and max(seconds) > MOST_STEP_GROWTH * seconds[0]:
        yield f"a step takes {max(seconds) / seconds[0]:.2f} times the first, wanted {MOST_STEP_GROWTH}"
