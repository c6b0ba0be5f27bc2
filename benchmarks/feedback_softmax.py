"""How long softmax by feedback takes to settle, over the pool's pace, membrane time constants, keys and starts.

    python benchmarks/feedback_softmax.py

A head of `keys` tokens, its scores spread by about 3 (standard deviation), runs in time on the reference
interpreter from silence on. It has settled to e when each mask cell stays within e of softmax. Each row is the
slowest of some draws of tokens and weights, with the highest rate of a mask cell on the way in any. Times are in ms.
Writes results/feedback_softmax.json, and the table of docs/feedback.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import SMOKE, machine, sized, write_results

from cortico import AttentionSpec, lower, random_weights
from cortico.backends.trajectory import run_in_time

PAGE = Path(__file__).parents[1] / "docs" / "feedback.md"
FEATURES = 4
DRAWS = sized(2, 1)
LONGEST = sized(1000.0, 20.0)  #: ms
DT = 0.2
CLOSE, CLOSER = 1e-3, 1e-9


@dataclass(frozen=True)
class Setting:
    """One row: keys, k per ms, the pool's start, the cells' tau in ms (0 for prospective ones), the step in ms."""

    keys: int
    rate: float
    start: float
    tau: float
    dt: float = DT


@dataclass(frozen=True)
class Row:
    """Ms to within 1e-3 and 1e-9 of softmax, infinite where not in the run, and the highest rate of a mask cell on the way."""

    close: float
    closer: float
    highest: float


def settings() -> Iterator[Setting]:
    """Over k and tau; then keys, starts, and steps."""
    for tau in (0.0, 10.0, 20.0):
        for rate in (0.1, 0.5, 1.0, 2.0):
            yield Setting(16, rate, 20.0, tau)
    for tau in (0.0, 10.0):
        yield Setting(64, 1.0, 20.0, tau)
        for start in (-50.0, 0.0, 100.0):
            yield Setting(16, 1.0, start, tau)
    for dt in (0.5, 0.9, 1.1):
        yield Setting(16, 1.0, 20.0, 0.0, dt)


def measured(setting: Setting) -> Row:
    """The slowest of the draws, and the highest rate."""
    rows = [_drawn(setting, seed) for seed in range(DRAWS)]
    return Row(
        max(row.close for row in rows),
        max(row.closer for row in rows),
        max(row.highest for row in rows),
    )


def _drawn(setting: Setting, seed: int) -> Row:
    spec = AttentionSpec(
        model=FEATURES,
        tokens=setting.keys,
        normalisation="feedback",
        feedback={"rate": setting.rate, "start": setting.start},
    )
    weights = random_weights(spec, seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((setting.keys, FEATURES))
    weights["W_K"] = weights["W_K"] * _to_spread(weights, x)
    expected = _softmax(_scores(weights, x))
    with np.errstate(over="ignore", invalid="ignore"):  # some settings diverge
        run = run_in_time(
            lower(spec, weights),
            {"x": x},
            duration=_duration(setting),
            dt=setting.dt,
            every=setting.dt,
            prospective=setting.tau == 0,
            tau=setting.tau or None,
        )
    mask = run.rates["mask"][:, 0]
    errors = np.abs(mask - expected).max(axis=(1, 2))
    times = np.asarray(run.times)
    return Row(*(_from_when(times, errors <= e) for e in (CLOSE, CLOSER)), float(np.max(mask)))


def _duration(setting: Setting) -> float:
    """Long enough to fall from the start and to come close: 40 / k more, 25 times 2 tau, 500 steps, in whole steps."""
    needed = (abs(setting.start) + 40) / setting.rate + 50 * setting.tau + 500 * setting.dt
    return round(min(LONGEST, needed) / setting.dt) * setting.dt


def _scores(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    queries, keys = x @ weights["W_Q"][0].T, x @ weights["W_K"][0].T
    scores: np.ndarray = queries @ keys.T / np.sqrt(queries.shape[1])
    return scores


def _to_spread(weights: dict[str, np.ndarray], x: np.ndarray) -> float:
    """The factor that gives scores a standard deviation of 3."""
    return float(3 / _scores(weights, x).std())


def _softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found


def _from_when(times: np.ndarray, holds: np.ndarray) -> float:
    """The time from which on something holds; infinite where it does not at the end."""
    if not holds[-1]:
        return float("inf")
    return float(times[np.flatnonzero(~holds)[-1] + 1]) if not holds.all() else 0.0


# ---- the page ----------------------------------------------------------------------------------------

_TABLE = re.compile(
    r"(?<=`python benchmarks/feedback_softmax.py` rewrites these lines -->\n\n)(.*?)(?=<!-- end -->)",
    re.S,
)


def page(text: str, rows: list[dict[str, Any]]) -> str:
    """The page with its table made anew."""
    lines = [
        "| keys | cells | k per ms | start | dt (ms) | within 1e-3 | within 1e-9 | highest rate |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = f"τ = {row['tau']:g} ms" if row["tau"] else "prospective"
        named = [f"{row['keys']}", cells, *(f"{row[n]:g}" for n in ("rate", "start", "dt"))]
        lines.append("| " + " | ".join([*named, *_found(row)]) + " |")
    return _TABLE.sub(lambda _: "\n".join(lines) + "\n\n", text, count=1)


def _found(row: dict[str, Any]) -> Iterator[str]:
    for name in ("close", "closer"):
        looked = _duration(Setting(**{f.name: row[f.name] for f in fields(Setting)}))
        yield f"not in {looked:g} ms" if row[name] is None else f"{row[name]:.1f} ms"
    yield f"{row['highest']:.3g}"


def main() -> int:
    """Measure each setting; its table goes to the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for setting in settings():
        row = {**asdict(setting), **asdict(measured(setting))}
        rows.append({n: None if value == float("inf") else value for n, value in row.items()})
        print(rows[-1], flush=True)
    write_results("feedback_softmax", {"machine": machine(), "rows": rows})
    if not SMOKE:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
