"""Draws how long proofs take: `python docs/draw_proof_time.py` writes proof_time.svg and the tables of
proof_time.md, from benchmarks/results/proof_time.json.

Colours follow Okabe and Ito; each curve is labelled, and differs from its neighbours in its marks too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "proof_time.json"
PAGE = ROOT / "docs" / "proof_time.md"
TARGET = ROOT / "docs" / "proof_time.svg"

Found = dict[str, Any]
Point = tuple[float, float]

#: What was timed: by cortico, and by SymPy entry by entry.
OURS = ("output", "gradients")
SYMPY = ("checker, output", "expand, output", "expand, gradients")


# ---- tables --------------------------------------------------------------------------------------

_TABLES = re.compile(r"(?<=rewrites these lines -->\n\n)(.*?)(?=<!-- end -->)", re.S)


def page(text: str, results: Found) -> str:
    """The page with its tables made from `results`."""
    return _TABLES.sub(lambda _: "\n\n".join(tables(results)) + "\n\n", text)


def tables(results: Found) -> Iterator[str]:
    """Markdown: one table for each kernel, real layers, the case table."""
    header = ("tokens, model, heads, features", "synapses", *(f"cortico: {name}" for name in OURS))
    header += tuple(f"SymPy: {method}" for method in SYMPY)
    for kernel, rows in results["sizes"].items():
        body = [
            [", ".join(map(str, row["size"])), count(row["synapses"])]
            + [duration(row[name]) for name in (*OURS, *SYMPY)]
            for row in rows
        ]
        yield f"**{kernel.capitalize()} attention**\n\n{table(header, body)}"
    layers = [(r["layer"], *(duration(r[name]) for name in OURS)) for r in results["layers"]]
    yield f"**Layers as they are**, for any number of tokens\n\n{table(('layer', *OURS), layers)}"
    names = ("specs", "claims", "proved", "undecided", "refuted")
    cases = [
        [
            r["kind"],
            *(f"{r[name]:,}" for name in names),
            f"{r['seconds']:.1f} s",
            duration(r["median"]),
            f"{duration(r['most'])}, {r['slowest']}",
        ]
        for r in results["cases"]
    ]
    header = ("claims about", *names, "in all", "median spec", "slowest spec")
    yield f"**The case table**\n\n{table(header, cases)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown with one column of words."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))


def duration(seconds: float | str) -> str:
    """Two digits, in ms or s; words as they are."""
    if isinstance(seconds, str):
        return "–" if seconds == "not tried" else seconds
    return f"{float(f'{1000 * seconds:.2g}'):g} ms" if seconds < 0.0995 else f"{seconds:.2g} s"


def count(synapses: int) -> str:
    """A number as it is, or a large one as a power of ten."""
    if synapses < 1_000_000:
        return f"{synapses:,}"
    power = len(str(synapses)) - 1
    return f"{synapses / 10**power:.1f} × {power_of_ten(power)}"


def power_of_ten(power: int) -> str:
    """10 with its exponent."""
    return "10" + str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


# ---- the picture ---------------------------------------------------------------------------------

WIDTH, HEIGHT = 960, 770
LEFT, RIGHT = 90, 930
PANELS = {"linear": (60, 340), "softmax": (430, 710)}  #: top and bottom of each panel
SYNAPSES, SECONDS = (0, 16), (-3, 2)  #: powers of ten at the ends of the axes

#: Of a curve: colour, dashes, and its label.
CURVES = {
    "output": ("#0072B2", "", "cortico: the output"),
    "gradients": ("#00694E", "9 5", "cortico: all gradients"),
    "checker, output": ("#D55E00", "", "SymPy, checker: the output"),
    "expand, output": ("#000000", "", "SymPy, expand: the output"),
    "expand, gradients": ("#A0457B", "9 5", "SymPy, expand: all gradients"),
}
MARKS = {
    "output": "circle",
    "gradients": "square",
    "checker, output": "circle",
    "expand, output": "square",
    "expand, gradients": "diamond",
}
NAMED = {9: "GPT-2 small,\n1024 tokens", 10: "Llama 1B,\n8192 tokens"}  #: sizes with a name


def drawing(results: Found) -> str:
    """The SVG text."""
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for kernel, rows in results["sizes"].items():
        parts += Panel(kernel, rows, results["limit"]).parts()
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" '
        f'font-size="13" role="img" aria-label="Time to prove, against size">\n{body}\n</svg>\n'
    )


class Panel:
    """Curves of one kernel: seconds against synapses, both logarithmic."""

    def __init__(self, kernel: str, rows: Sequence[Found], limit: float) -> None:
        self.kernel, self.rows, self.limit = kernel, rows, limit
        self.top, self.bottom = PANELS[kernel]

    def parts(self) -> Iterator[str]:
        yield from self.axes()
        for name in CURVES:
            yield from self.curve(name)
        yield from self.labels()

    def x(self, synapses: float) -> float:
        low, high = SYNAPSES
        return round(LEFT + (RIGHT - LEFT) * (math.log10(synapses) - low) / (high - low), 1)

    def y(self, seconds: float) -> float:
        low, high = SECONDS
        share = (math.log10(seconds) - low) / (high - low)
        return round(self.bottom + (self.top - self.bottom) * share, 1)

    def axes(self) -> Iterator[str]:
        """Frame, ticks, titles, and the line beyond which nothing was waited for."""
        title = f"{self.kernel.capitalize()} attention: time to an answer, against size"
        yield text(LEFT, self.top - 32, title, font_weight="bold")
        yield text(LEFT - 8, self.y(self.limit) + 4, f"{self.limit:g} s", text_anchor="end")
        for power in range(*SECONDS):
            at = self.y(10**power)
            words = f"{1000 * 10**power:g} ms" if power < 0 else f"{10**power:g} s"
            yield line((LEFT, at), (RIGHT, at), "#dddddd")
            yield text(LEFT - 8, at + 4, words, text_anchor="end")
        for power in range(SYNAPSES[0], SYNAPSES[1] + 1, 2):
            at = self.x(10**power)
            yield line((at, self.bottom), (at, self.bottom + 5), "#000000")
            yield text(at, self.bottom + 22, power_of_ten(power), text_anchor="middle")
        yield line((LEFT, self.bottom), (RIGHT, self.bottom), "#000000")
        yield text(RIGHT, self.bottom + 42, "synapses of the circuit", text_anchor="end")
        yield line((LEFT, self.y(self.limit)), (RIGHT, self.y(self.limit)), "#666666", "2 4")
        words = f"△ no answer in {self.limit:g} s"
        yield text(RIGHT, self.y(self.limit) - 6, words, "#444444", text_anchor="end")

    def points(self, name: str) -> list[Point]:
        """Where something was measured."""
        found = [(row["synapses"], row[name]) for row in self.rows]
        return [(self.x(n), self.y(s)) for n, s in found if isinstance(s, float)]

    def ends(self, name: str) -> list[Point]:
        """Where there was no answer for the first time, at the limit; nothing for a whole curve."""
        after = self.rows[len(self.points(name)) :][:1]
        return [(self.x(row["synapses"]), self.y(self.limit)) for row in after]

    def curve(self, name: str) -> Iterator[str]:
        """Lines and marks, up to the first size without answer."""
        colour, dashes, _ = CURVES[name]
        points = self.points(name)
        end = self.ends(name)
        path = "M" + "L".join(f"{x} {y}" for x, y in (*points, *end))
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        yield from (mark(MARKS[name], x, y, colour) for x, y in points)
        yield from (mark("open triangle", x, y, colour) for x, y in end)

    def labels(self) -> Iterator[str]:
        """The name of each curve: of flat ones above it, of steep ones beside where it ends."""
        for name in OURS:
            colour, _, words = CURVES[name]
            x, y = self.points(name)[-4]
            low, high = (pick(row[name] for row in self.rows) for pick in (min, max))
            yield text(x, y - 10, f"{words}, {span(low, high)}", colour, text_anchor="middle")
        colour, _, words = CURVES[SYMPY[-1]]
        x = self.ends(SYMPY[-1])[0][0]  # the leftmost curve has its name on top
        for k, part in enumerate(words.split(": ")):
            at = self.y(self.limit) - 30 + 16 * k
            yield text(x, at, part + ":" * (k == 0), colour, text_anchor="middle")
        steep = sorted((self.points(name)[-1][1], name) for name in SYMPY[:-1])
        for k, (_, name) in enumerate(steep):
            colour, _, words = CURVES[name]
            x, y = self.points(name)[-1]
            at = (self.x(3e4), self.y(self.limit) + 26 + 26 * k)
            yield line((x + 6, y), (at[0] - 5, at[1] - 4), "#aaaaaa")
            yield text(*at, words, colour)
        for k, words in NAMED.items():
            x = self.x(self.rows[k]["synapses"])
            first, second = words.split("\n")
            at = min(self.y(self.rows[k][name]) for name in OURS) - 62
            yield line((x, at + 22), (x, at + 54), "#aaaaaa")
            yield text(x, at, first, "#444444", text_anchor="middle", font_size="12")
            yield text(x, at + 15, second, "#444444", text_anchor="middle", font_size="12")


def span(low: float, high: float) -> str:
    """From the lowest to the highest time, in ms."""
    first, last = (f"{1000 * seconds:.0f}" for seconds in (low, high))
    return f"{first} ms" if first == last else f"{first} to {last} ms"


def text(x: float, y: float, words: str, colour: str = "#000000", **style: str) -> str:
    """Words that start, end or are centred at (x, y)."""
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{given}>{escape(words)}</text>'


def line(start: Point, end: Point, colour: str, dashes: str = "") -> str:
    """A thin line."""
    (x1, y1), (x2, y2) = start, end
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}"{dash}/>'


def mark(shape: str, x: float, y: float, colour: str) -> str:
    """A mark of some shape at (x, y)."""
    corners: dict[str, Sequence[Point]] = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "open triangle": ((0, -8), (7, 5), (-7, 5)),
    }
    if shape == "circle":
        return f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{colour}"/>'
    points = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in corners[shape])
    fill = (
        f'fill="#ffffff" stroke="{colour}" stroke-width="2"'
        if "open" in shape
        else f'fill="{colour}"'
    )
    return f'<polygon points="{points}" {fill}/>'


def draw() -> str:
    """Rewrite page and picture; the tables."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    TARGET.write_text(drawing(results), encoding="utf-8")
    return "\n\n".join(tables(results))


if __name__ == "__main__":
    draw()
