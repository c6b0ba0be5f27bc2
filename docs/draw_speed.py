"""Tables of speed.md and its pictures, from benchmarks/results.

    python docs/draw_speed.py

Rewrites the tables between their marks, and the pictures in pictures/speed. Colours follow Okabe and
Ito; curves differ in their marks too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "speed.md"
PICTURES = ROOT / "docs" / "pictures" / "speed"
NAMES = ("attention_speed", "attention_memory", "startup", "compile_time")  #: of results

EMITTED = "emitted NumPy"

Row = dict[str, Any]
Found = dict[str, Any]
Results = Mapping[str, Found]

#: How the name of a competitor begins, the first that fits, to the curve on which the best of them is.
FAMILIES = {
    EMITTED: EMITTED,
    "emitted PyTorch": "emitted PyTorch",
    "emitted JAX": "emitted JAX",
    "NumPy": "NumPy by hand",
    "PyTorch SDPA (softmax)": "SDPA on softmax",
    "PyTorch SDPA": "PyTorch SDPA",
    "nn.MultiheadAttention": "nn.MultiheadAttention",
    "PyTorch": "PyTorch by hand",
    "ORT": "onnxruntime",
}

#: Colour, mark and dashes of a curve.
STYLES = {
    EMITTED: ("#000000", "o", "-"),
    "emitted PyTorch": ("#999999", "h", "-"),
    "emitted JAX": ("#56B4E9", "P", "-"),
    "NumPy by hand": ("#0072B2", "s", "-"),
    "PyTorch SDPA": ("#D55E00", "^", "-"),
    "SDPA on softmax": ("#D55E00", "^", ":"),
    "nn.MultiheadAttention": ("#CC79A7", "v", "-"),
    "PyTorch by hand": ("#E69F00", "D", "-"),
    "onnxruntime": ("#009E73", "X", "-"),
}


def family(who: str) -> str:
    """The curve of a competitor."""
    return next(name for start, name in FAMILIES.items() if who.startswith(start))


# ---- the page ------------------------------------------------------------------------------------


def page(text: str, results: Results) -> str:
    """The page with its tables made anew."""
    for name, make in SECTIONS.items():
        mark = f"{name}: `make golden` rewrites these lines -->\n\n"
        pattern = re.compile(rf"(?<={re.escape(mark)})(.*?)(?=<!-- end -->)", re.S)
        made = "\n\n".join(make(results)) + "\n\n"
        text = pattern.sub(lambda _, made=made: made, text, count=1)  # type: ignore[misc]
    return text


def speed_tables(results: Results) -> Iterator[str]:
    """One for each kind and batch: ms, and in brackets the ratio to the emitted code."""
    found = results["attention_speed"]
    yield measured_on(found)
    rows = found["rows"]
    for kind, batch in dict.fromkeys((row["kind"], row["batch"]) for row in rows):
        chosen = [row for row in rows if (row["kind"], row["batch"]) == (kind, batch)]
        yield f"**{kind.capitalize()}, batch {batch}**"
        yield by_tokens(chosen, speed_cell)


def by_tokens(rows: Sequence[Row], cell: Callable[[Row], str]) -> str:
    """A line for each competitor, a column for each number of tokens."""
    found = {(row["who"], row["tokens"]): row for row in rows}
    columns = sorted({tokens for _, tokens in found})
    lines = [
        [who, *(cell(found[who, tokens]) for tokens in columns)]
        for who in dict.fromkeys(who for who, _ in found)
    ]
    return table(["tokens", *(f"{tokens:,}" for tokens in columns)], lines)


def speed_cell(row: Row) -> str:
    """Milliseconds, and the ratio where there is one."""
    if row["seconds"] is None:
        return "–"
    beside = row["who"] != EMITTED and row["ratio"] is not None
    return milliseconds(row["seconds"]) + (f" ({row['ratio']:.2f})" if beside else "")


def milliseconds(seconds: float) -> str:
    """Three digits."""
    found = 1e3 * seconds
    return f"{found:,.0f}" if found >= 100 else f"{found:.3g}"


def measured_on(results: Found) -> str:
    """The machine, and whether it was busy with other things."""
    m = results["machine"]
    known = {"python": "Python", "numpy": "NumPy", "torch": "PyTorch", "onnxruntime": "onnxruntime"}
    versions = ", ".join(f"{label} {m[name]}" for name, label in known.items() if name in m)
    loads = f"load {m['load']} at the start and {m['load at the end']} at the end"
    busy = max(m["load"], m["load at the end"]) > 0.5 * m["cores"]
    note = " **The machine was busy: times are upper bounds, ratios are rough.**" if busy else ""
    return f"{m['cores']} cores, {loads}; {versions}.{note}"


def standing(results: Results) -> Iterator[str]:
    """Ratios beside the best of each family: the least and the most over sizes."""
    yield measured_on(results["attention_speed"])
    rows = [row for row in results["attention_speed"]["rows"] if row["who"] != EMITTED]
    kinds = dict.fromkeys(row["kind"] for row in rows)
    names = [name for name in dict.fromkeys(FAMILIES.values()) if name != EMITTED]
    ratios = {
        (kind, name): [r["ratio"] for r in best_of(rows, kind, name) if r["ratio"] is not None]
        for kind in kinds
        for name in names
    }
    used = [name for name in names if any(ratios[kind, name] for kind in kinds)]
    lines = [[kind, *(span(ratios[kind, name]) for name in used)] for kind in kinds]
    yield table(["kind", *used], lines)
    yield from losses(ratios)


def best_of(rows: Sequence[Row], kind: str, name: str) -> list[Row]:
    """The fastest of a family at each size."""
    mine = [row for row in rows if row["kind"] == kind and family(row["who"]) == name]
    timed = [row for row in mine if row["seconds"] is not None]
    sizes = dict.fromkeys((row["batch"], row["tokens"]) for row in timed)
    return [
        min((r for r in timed if (r["batch"], r["tokens"]) == size), key=lambda r: r["seconds"])
        for size in sizes
    ]


def span(ratios: Sequence[float]) -> str:
    """From the least to the most, and how many are below 1."""
    if not ratios:
        return "–"
    below = sum(ratio < 1 for ratio in ratios)
    return f"{min(ratios):.2f} to {max(ratios):.2f}; below 1 at {below} of {len(ratios)}"


def losses(ratios: Mapping[tuple[str, str], Sequence[float]]) -> Iterator[str]:
    """In words, where the emitted code is slower at more than half of the sizes."""
    lost = [
        f"* {kind}: {name}, at {sum(ratio < 1 for ratio in found)} of {len(found)} sizes"
        for (kind, name), found in ratios.items()
        if found and sum(ratio < 1 for ratio in found) > len(found) / 2
    ]
    yield "The emitted code is slower at more than half of the sizes than" + (
        ":\n\n" + "\n".join(lost) if lost else " nobody here."
    )


def stream_table(results: Results) -> Iterator[str]:
    """Microseconds per token, by position."""
    rows = results["attention_speed"]["stream"]
    positions = sorted({row["position"] for row in rows})
    found = {(row["who"], row["position"]): row["seconds"] for row in rows}
    lines = [
        [who, *(f"{1e6 * found[who, position]:.0f}" for position in positions)]
        for who in dict.fromkeys(who for who, _ in found)
    ]
    yield table(["µs per step", *(f"after {position:,}" for position in positions)], lines)


def memory_tables(results: Results) -> Iterator[str]:
    """One for each kind: peak MB."""
    rows = results["attention_memory"]["rows"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        yield f"**{kind.capitalize()}**, MB"
        yield by_tokens([row for row in rows if row["kind"] == kind], memory_cell)


def memory_cell(row: Row) -> str:
    """Megabytes without digits behind the point."""
    return "–" if row["MB"] is None else f"{row['MB']:,.0f}"


def startup_table(results: Results) -> Iterator[str]:
    """Milliseconds of every command."""
    found = results["startup"]
    yield measured_on(found)
    lines = [
        [f"`{name}`", *(f"{1e3 * row[key]:.0f}" for key in ("wall", "processor", "beyond"))]
        for name, row in found["commands"].items()
    ]
    yield table(["ms", "wall", "processor", "wall, beyond NumPy"], lines)


def compile_tables(results: Results) -> Iterator[str]:
    """By tokens, heads and layers."""
    for name, word in (("lengths", "tokens"), ("heads", "heads"), ("layers", "layers")):
        lines = [
            [
                f"{int(value):,}" if value.isdecimal() else value,
                f"{row['seconds']:.2f}",
                f"{row['megabytes_of_weights']:.0f}",
                f"{row['megabytes']:.0f}",
                f"{row['seconds_to_write']:.2f}",
            ]
            for value, row in results["compile_time"][name].items()
        ]
        yield table([word, "s to compile", "MB of weights", "peak MB beyond", "s to write"], lines)


SECTIONS: Mapping[str, Callable[[Results], Iterable[str]]] = {
    "standing": standing,
    "speed": speed_tables,
    "stream": stream_table,
    "memory": memory_tables,
    "startup": startup_table,
    "compile": compile_tables,
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, all but the first column to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---- pictures ------------------------------------------------------------------------------------


def draw_time(results: Results, figure: Any) -> None:
    """Time against tokens for each kind, batch 1; the best of each family."""
    draw_kinds(figure, results, lambda row: 1e3 * row["seconds"], "ms")


def draw_ratio(results: Results, figure: Any) -> None:
    """Time over that of the emitted code; above the line the emitted code is faster."""
    panels = draw_kinds(figure, results, lambda row: row["ratio"], "time / emitted NumPy", EMITTED)
    for axes in panels:
        axes.axhline(1, color="black", linewidth=1)


def draw_kinds(
    figure: Any, results: Results, value: Callable[[Row], Any], label: str, without: str = ""
) -> list[Any]:
    """A panel for each kind with a curve for each family."""
    rows = [row for row in results["attention_speed"]["rows"] if row["batch"] == 1]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    panels = list(figure.subplots(2, 3, sharex=True, sharey=True).flat)
    for axes, kind in zip(panels, kinds, strict=True):
        for name in STYLES:
            points = {row["tokens"]: value(row) for row in best_of(rows, kind, name)}
            known = {tokens: found for tokens, found in points.items() if found is not None}
            if known and name != without:
                draw_curve(axes, known, name)
        finish(axes, kind)
    for axes in panels[::3]:
        axes.set_ylabel(label)
    share_legend(figure, panels)
    return panels


def draw_memory(results: Results, figure: Any) -> None:
    """Peak memory against tokens for each kind; the least of each family."""
    rows = [row for row in results["attention_memory"]["rows"] if row["MB"] is not None]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    panels = list(figure.subplots(1, len(kinds), sharey=True, squeeze=False).flat)
    for axes, kind in zip(panels, kinds, strict=True):
        for name in STYLES:
            mine = [r for r in rows if r["kind"] == kind and family(r["who"]) == name]
            points: dict[int, float] = {}
            for row in mine:
                points[row["tokens"]] = min(row["MB"], points.get(row["tokens"], row["MB"]))
            if points:
                draw_curve(axes, points, name)
        finish(axes, kind)
    panels[0].set_ylabel("peak MB")
    share_legend(figure, panels)


def draw_startup(results: Results, figure: Any) -> None:
    """A bar for each command, with its milliseconds."""
    found = results["startup"]["commands"]
    axes = figure.subplots()
    names, walls = list(found)[::-1], [1e3 * row["wall"] for row in found.values()][::-1]
    bars = axes.barh(names, walls, color="#0072B2", height=0.6)
    axes.bar_label(bars, [f"{wall:.0f} ms" for wall in walls], padding=3)
    axes.axvline(1e3 * found["import numpy"]["wall"], color="0.3", linestyle="--", linewidth=1)
    axes.set(xlabel="ms, whole process; the line is `import numpy`", xlim=(0, 1.15 * max(walls)))
    axes.spines[["top", "right"]].set_visible(False)


def draw_curve(axes: Any, points: Mapping[int, float], name: str) -> None:
    """Marks joined by lines; the emitted code is the thick black one."""
    colour, mark, dashes = STYLES[name]
    width = 2.4 if name == EMITTED else 1.3
    axes.plot(
        list(points),
        list(points.values()),
        color=colour,
        marker=mark,
        linestyle=dashes,
        linewidth=width,
        markersize=4.5,
        label=name,
    )


def finish(axes: Any, title: str) -> None:
    """Logarithmic axes, few ticks, a title."""
    from matplotlib.ticker import LogLocator

    axes.set(xscale="log", yscale="log", title=title, xlabel="tokens")
    ticks = [64, 256, 1024, 4096] if min(axes.get_xlim()) < 500 else [1024, 2048, 4096, 8192]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def share_legend(figure: Any, panels: Sequence[Any]) -> None:
    """One legend under all panels."""
    handles: dict[str, Any] = {}
    for axes in panels:
        axes.label_outer()
        handles.update({h.get_label(): h for h in axes.get_lines() if h.get_label()[0] != "_"})
    ordered = {name: handles[name] for name in STYLES if name in handles}
    figure.legend(ordered.values(), ordered, loc="outside lower center", ncols=4, frameon=False)


#: Name of a picture to what draws it and its size in inches.
DRAWINGS: Mapping[str, tuple[Callable[[Results, Any], None], tuple[float, float]]] = {
    "time": (draw_time, (9, 6)),
    "ratio": (draw_ratio, (9, 6)),
    "memory": (draw_memory, (9, 3.6)),
    "startup": (draw_startup, (7.5, 2.6)),
}


def draw(results: Results, folder: Path) -> None:
    """Every picture as SVG, letters as letters."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, size) in DRAWINGS.items():
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 9}):
            figure = Figure(figsize=size, layout="constrained")
            make(results, figure)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def read() -> dict[str, Found]:
    """All results that the page shows."""
    return {
        name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES
    }


def main() -> None:
    """Rewrite tables and pictures."""
    results = read()
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    draw(results, PICTURES)


if __name__ == "__main__":
    main()
