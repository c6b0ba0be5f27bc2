"""Attention settles: activity over time of one microcolumn and of the thalamus, run and drawn.

    pip install 'cortico[brian2,plots]'
    python examples/brian2_settling.py [folder]

A softmax head attends to four tokens, in Brian2, with the membrane time constants of each cell class.
Written are microcolumn.svg (the cells of query 2 and source 0) and thalamus.svg (the output for query
2). Dashed lines are the exact values, from the formula of attention in NumPy. Exit code 1 when a rate
drawn ends further from its exact value than 1e-3 of the largest.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortico import AttentionSpec, lower, random_weights
from cortico.backends.brian2 import Options, emit_script, load_simulate

QUERY, SOURCE = 2, 0
MILLISECONDS = 300.0
TOLERANCE = 1e-3
SPEC = AttentionSpec(model=6, heads=1, key_features=4, tokens=4, name="head")

#: population to its panel's title and colour (Okabe and Ito)
PANELS = {
    "superficial": ("superficial pyramidal cells (L2/3): key × query", "#0072B2"),
    "mask": ("mask cell (L2/3): exp of their sum", "#D55E00"),
    "pool": ("pool (L5, PV): sum of the query's mask cells", "#CC79A7"),
    "deep": ("deep pyramidal cells (L5): mask × value / pool", "#009E73"),
}
STYLES = ("-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))

Arrays = dict[str, np.ndarray]


def numbers() -> tuple[Arrays, np.ndarray]:
    """Weights, and four tokens; products of key and query are made large enough to see a choice."""
    weights = random_weights(SPEC, seed=3)
    weights["W_Q"] = 2.5 * weights["W_Q"]
    return weights, np.random.default_rng(2).standard_normal((4, SPEC.model))


def activity(weights: Arrays, x: np.ndarray) -> tuple[np.ndarray, Arrays]:
    """Times in ms, and the rates of the cells drawn, (times,) or (times, cells)."""
    simulate = load_simulate(emit_script(lower(SPEC, weights), Options()))
    watched = [*PANELS, "relay"]
    _, rates = simulate(x, weights=weights, duration=MILLISECONDS, monitor=watched)
    return rates["t_ms"], chosen({name: rates[name] for name in watched})


def exact(weights: Arrays, x: np.ndarray) -> Arrays:
    """What the same cells should fire in the end: the formula of attention."""
    q, k, v = (x @ weights[name][0].T for name in ("W_Q", "W_K", "W_V"))
    products = q[:, None] * k  # query, source, feature
    mask = np.exp(products.sum(axis=-1) / np.sqrt(q.shape[1]))
    shares = mask / mask.sum(axis=1, keepdims=True)
    deep = shares[..., None] * v
    values = {"superficial": products, "mask": mask, "pool": mask.sum(axis=1), "deep": deep}
    rates = {name: array[None] for name, array in values.items()}  # the axis of heads
    return chosen({**rates, "relay": (shares @ v) @ weights["W_O"][0].T})


def chosen(rates: Mapping[str, np.ndarray]) -> Arrays:
    """Of each population the cells of one microcolumn, one query, or one output token."""
    return {
        "superficial": rates["superficial"][..., 0, QUERY, SOURCE, :],
        "mask": rates["mask"][..., 0, QUERY, SOURCE],
        "pool": rates["pool"][..., 0, QUERY],
        "deep": rates["deep"][..., 0, QUERY, SOURCE, :],
        "relay": rates["relay"][..., QUERY, :],
    }


# ---- pictures ------------------------------------------------------------------------------------


def draw_microcolumn(times: np.ndarray, rates: Arrays, ends: Arrays, path: Path) -> None:
    """A panel for each cell class of the microcolumn."""
    figure = new_figure(5.5, 6.2)
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (name, (title, colour)) in zip(panels, PANELS.items(), strict=True):
        draw_rates(axes, times, rates[name], ends[name], [colour] * len(STYLES))
        axes.set_title(title, fontsize=9, loc="left")
    panels[-1].set_xlabel("time (ms)")
    save(figure, path)


def draw_thalamus(times: np.ndarray, rates: Arrays, ends: Arrays, path: Path) -> None:
    """The output of the higher-order thalamus, a relay cell for each feature of the model."""
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
    figure = new_figure(5.5, 3.0)
    axes = figure.subplots()
    draw_rates(axes, times, rates["relay"], ends["relay"], colours)
    axes.set_title(
        f"relay cells of the higher-order thalamus, query {QUERY}", fontsize=9, loc="left"
    )
    axes.set_xlabel("time (ms)")
    save(figure, path)


def draw_rates(axes: Any, times: np.ndarray, rates: np.ndarray, ends: Any, colours: Any) -> None:
    """One line per cell, and a thin dashed one at its exact value."""
    courses = rates.reshape(len(times), -1).T
    for course, end, colour, style in zip(courses, np.ravel(ends), colours, STYLES, strict=False):
        axes.axhline(end, color="0.45", linewidth=0.7, linestyle=(0, (6, 4)))
        axes.plot(times, course, color=colour, linestyle=style, linewidth=1.4)
    axes.set_ylabel("rate")
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)


def new_figure(width: float, height: float) -> Any:
    """A figure of that many inches, drawn without a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write SVG that is the same at every run."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
    print(f"drawn: {path}")


def main(folder: Path = Path()) -> int:
    """Simulate, draw, and compare where the rates end; 0 when all are within tolerance, else 1."""
    weights, x = numbers()
    times, rates = activity(weights, x)
    ends = exact(weights, x)
    draw_microcolumn(times, rates, ends, folder / "microcolumn.svg")
    draw_thalamus(times, rates, ends, folder / "thalamus.svg")
    apart = {
        name: np.abs(rates[name][-1] - ends[name]).max() / np.abs(ends[name]).max() for name in ends
    }
    for name, difference in apart.items():
        print(f"{name:<12} after {MILLISECONDS:g} ms within {difference:.0e} of the exact rates")
    return 0 if all(difference <= TOLERANCE for difference in apart.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main(*map(Path, sys.argv[1:2])))
