"""Tables of brian2.md and the picture of the spiking error, from benchmarks/results.

    python docs/draw_brian2.py

Rewrites the tables between their marks, and pictures/brian2/spiking_error.svg. Colours follow Okabe and
Ito; curves differ in their marks too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "brian2.md"
PICTURE = ROOT / "docs" / "pictures" / "brian2" / "spiking_error.svg"

USUAL = {"neurons": 100, "ms": 1000}  #: what the other curve is measured at

TICKS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  #: of the error

Found = dict[str, Any]


# ---- tables --------------------------------------------------------------------------------------

_SPEED = re.compile(
    r"(?<=speed: `make golden` rewrites these lines -->\n\n)(.*?)(?=<!-- end -->)", re.S
)
_ERROR = re.compile(
    r"(?<=error: `make golden` rewrites these lines -->\n\n)(.*?)(?=<!-- end -->)", re.S
)


def page(text: str, speed: Found, spiking: Found) -> str:
    """The page with its tables made anew."""
    text = _SPEED.sub(lambda _: "\n\n".join(speed_tables(speed)) + "\n\n", text, count=1)
    return _ERROR.sub(lambda _: "\n\n".join(error_tables(spiking)) + "\n\n", text, count=1)


def speed_tables(speed: Found) -> Iterator[str]:
    """Beside the network by hand; then every size and target."""
    yield measured_on(speed)
    rows = [
        [
            f"{each['synapses']:,}",
            *(f"{1e3 * each[who]['step']:.2f}" for who in ("emitted", "by hand")),
            *(f"{each[who]['connect']:.3f}" for who in ("emitted", "by hand")),
            *(f"{each['ratio'][name]:.2f}" for name in ("step", "connect", "build")),
        ]
        for each in speed["by hand"]
    ]
    header = ["synapses", "ms per step", "by hand", "s in `connect`", "by hand"]
    yield table([*header, "ratio: step", "connect", "build"], rows)
    header = ["circuit", "target", "form", "neurons", "synapses", "s to build", "s to start"]
    header += ["of the processor", "ms per step", "ns per synapse", "bytes per synapse"]
    yield table(header, map(speed_row, speed["table"]))


def speed_row(row: Found) -> list[str]:
    """Cells of one row; a C++ network is a process whose memory was not measured."""
    memory = row.get("bytes per synapse")
    return [
        *(row[name] for name in ("circuit", "target", "form")),
        f"{row['neurons']:,}",
        f"{row['synapses']:,}",
        f"{row['build']:.2f}",
        f"{row['start']:.1f}",
        f"{row['processor']:.1f}",
        f"{1e3 * row['step']:.2f}",
        f"{row['ns per synapse']:.2f}",
        "–" if memory is None else f"{memory:.0f}",
    ]


def measured_on(results: Found) -> str:
    """One sentence on the machine."""
    m = results["machine"]
    loads = f"load {m['load']} at the start and {m['load at the end']} at the end"
    return f"{m['cores']} cores, {loads}; Python {m['python']}, Brian2 {m['brian2']}, NumPy {m['numpy']}."


def error_tables(spiking: Found) -> Iterator[str]:
    """Mean error, and the smallest and largest of the seeds, along both curves."""
    for name, label in (("neurons", "cells per rate"), ("ms", "ms simulated")):
        rows = [
            (str(value), f"{np.mean(e):.2%}", f"{min(e):.2%} to {max(e):.2%}")
            for value, e in curve(spiking, name).items()
        ]
        yield table((label, "mean error", "over seeds"), rows)
    seeds = len({s["seed"] for s in spiking["samples"]})
    yield (
        f"{seeds} seeds. Fitted: error ~ cells^{spiking['slope_neurons']:.2f}, "
        f"error ~ time^{spiking['slope_ms']:.2f}."
    )
    steps = [(ms, f"{value:.2f}") for ms, value in spiking["in_step"].items()]
    yield table(("ms simulated", "how far cells of a rate are in step"), steps)


def curve(spiking: Found, name: str) -> dict[int, list[float]]:
    """Value of `name` to the errors of all seeds, the other number being the usual one."""
    (other,) = USUAL.keys() - {name}
    chosen = [s for s in spiking["samples"] if s[other] == USUAL[other]]
    values = sorted({s[name] for s in chosen})
    return {value: [s["error"] for s in chosen if s[name] == value] for value in values}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---- picture -------------------------------------------------------------------------------------


def picture(spiking: Found, path: Path) -> None:
    """Error against cells per rate with the slope of independent cells, and against simulated time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw_curve(left, curve(spiking, "neurons"), "#0072B2", "o")
    draw_curve(right, curve(spiking, "ms"), "#D55E00", "s")
    expected = curve(spiking, "neurons")
    counts = np.array(list(expected))
    middle = np.exp(np.mean([np.log(np.mean(e)) for e in expected.values()]))
    line = middle * np.sqrt(np.exp(np.log(counts).mean()) / counts)
    left.plot(counts, line, color="0.3", linestyle="--", linewidth=1, label="slope −1/2")
    left.set(xlabel=f"cells per rate ({USUAL['ms']} ms)", ylabel="relative error of the output")
    right.set(xlabel=f"ms simulated ({USUAL['neurons']} cells per rate)")
    left.set_ylim(TICKS[0], 0.8 * TICKS[-1])
    left.legend(frameon=False)
    with rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def draw_curve(axes: Any, errors: dict[int, list[float]], colour: str, mark: str) -> None:
    """A small open mark per seed, a line through the means; both axes logarithmic."""
    for value, found in errors.items():
        axes.plot([value] * len(found), found, mark, color=colour, fillstyle="none", markersize=4)
    means = [np.mean(found) for found in errors.values()]
    axes.plot(list(errors), means, "-" + mark, color=colour, linewidth=1.4, markersize=5)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(list(errors), list(map(str, errors)))
    axes.set_yticks(TICKS, [f"{tick:.2%}" for tick in TICKS])
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def read(name: str) -> Found:
    """Results of a benchmark."""
    found: Found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Rewrite tables and picture."""
    speed, spiking = read("brian2_speed"), read("spiking_error")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), speed, spiking), encoding="utf-8")
    picture(spiking, PICTURE)


if __name__ == "__main__":
    main()
