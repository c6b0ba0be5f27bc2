"""A softmax head bank as a Brian2 user would write it by hand, from the paper's equations.

One NeuronGroup per population, one Synapses per pathway, made from index arrays. Nothing of cortico is
used; `brian2_speed.py` holds the emitted script against it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import brian2 as b2
import numpy as np

#: population to its equations and membrane time constant in ms
_CELLS = {
    "core": ("dr/dt = (x - r)/tau : 1\nx : 1", 20),
    "matrix": ("dr/dt = (x - r)/tau : 1\nx : 1", 20),
    "superficial": ("dr/dt = (key*query - r)/tau : 1\nkey : 1\nquery : 1", 12),
    "mask": ("dr/dt = (exp(score) - r)/tau : 1\nscore : 1", 12),
    "pool": ("dr/dt = (heard - r)/tau : 1\nheard : 1", 10),
    "deep": (
        "dr/dt = (share - r)/tau : 1\ngate : 1\nvalue : 1\npool : 1\n"
        "share = int(pool > 0)*gate*value/clip(pool, 1e-300, inf) : 1",
        12,
    ),
    "relay": ("dr/dt = (heard - r)/tau : 1\nheard : 1", 20),
}


def attention_by_hand(
    network_class: type[b2.Network],
    weights: Mapping[str, np.ndarray],
    x: np.ndarray,
    dt: float,
    duration: float,
) -> tuple[np.ndarray, float]:
    """Run for `duration` ms in steps of `dt` ms; the output (n, model) and the seconds in `connect`."""
    b2.defaultclock.dt = dt * b2.ms
    heads, features, model = weights["W_K"].shape
    tokens = len(x)
    h, i, j, f, m = np.ogrid[:heads, :tokens, :tokens, :features, :model]
    column = (h * tokens + i) * tokens + j
    cell = column * features + f
    row = h * tokens + i
    counts = {
        "core": tokens * model,
        "matrix": tokens * model,
        "superficial": cell.size,
        "mask": cell.size // features,
        "pool": heads * tokens,
        "deep": cell.size,
        "relay": tokens * model,
    }
    groups = {name: _group(name, count) for name, count in counts.items()}
    groups["core"].x = groups["matrix"].x = x.ravel()
    seconds = 0.0
    pathways = []
    for pre, post, variable, source, target, weight in (
        ("core", "superficial", "key", j * model + m, cell, weights["W_K"][h, f, m]),
        ("matrix", "superficial", "query", i * model + m, cell, weights["W_Q"][h, f, m]),
        ("superficial", "mask", "score", cell, column, features**-0.5),
        ("mask", "pool", "heard", column, row, 1.0),
        ("mask", "deep", "gate", column, cell, 1.0),
        ("pool", "deep", "pool", row, cell, 1.0),
        ("core", "deep", "value", j * model + m, cell, weights["W_V"][h, f, m]),
        ("deep", "relay", "heard", cell, i * model + m, weights["W_O"][h, m, f]),
    ):
        arrays = [each.ravel() for each in np.broadcast_arrays(source, target, weight)]
        model_text = f"w : 1\n{variable}_post = w*r_pre : 1 (summed)"
        synapses = b2.Synapses(groups[pre], groups[post], model_text, namespace={})
        start = time.perf_counter()
        synapses.connect(i=arrays[0], j=arrays[1])
        synapses.w = arrays[2]
        seconds += time.perf_counter() - start
        pathways.append(synapses)
    network = network_class(list(groups.values()), pathways)
    network.run(duration * b2.ms, namespace={})
    return np.asarray(groups["relay"].r).reshape(tokens, model), seconds


def _group(name: str, count: int) -> b2.NeuronGroup:
    equations, tau = _CELLS[name]
    namespace = {"tau": tau * b2.ms}
    return b2.NeuronGroup(count, equations, method="exponential_euler", namespace=namespace)
