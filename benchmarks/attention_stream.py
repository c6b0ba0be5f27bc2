"""Causal linear attention one token at a time: seconds per step, early and late in a stream.

On one thread each: a step is too short to be shared.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import by_hand_numpy
import numpy as np
from attention_kinds import Array, Weights, layer, textbook, tokens_to_attend
from common import sized
from competitors import EMITTED, assert_same, emitted_module, limit_threads

from cortico import AttentionSpec

POSITIONS = sized((0, 1_000, 10_000), (0, 10, 20))  #: tokens before the step
TURNS, STEPS = sized((20, 10), (2, 2))  #: at each position

Step = Callable[[Array], Array]


def emitted_step(spec: AttentionSpec, weights: Weights) -> Step | None:
    """`step(state, token)` of the emitted file, None where it has none."""
    module = emitted_module(spec, weights, "numpy")
    if not hasattr(module, "step"):
        return None
    state: Any = None

    def step(token: Array) -> Array:
        nonlocal state
        state, y = module.step(state, token)
        return np.asarray(y)

    return step


def steppers(spec: AttentionSpec, weights: Weights) -> dict[str, Step]:
    """Who can take one token at a time."""
    found = {EMITTED: emitted_step(spec, weights)}
    found["NumPy by hand"] = by_hand_numpy.LinearStream(spec, weights).step
    try:
        from by_hand_torch import LinearStream
    except ModuleNotFoundError:
        pass
    else:
        found["PyTorch by hand"] = LinearStream(spec, weights).step
    return {name: step for name, step in found.items() if step}


def stream(positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Median seconds per step of each at each position; they take turns."""
    limit_threads(1)
    spec, weights = layer("linear causal")
    tokens = tokens_to_attend(1, max(positions) + 2 * TURNS * STEPS)[0]
    steps = steppers(spec, weights)
    place = 0
    for position in positions:
        for token in tokens[place:position]:
            for step in steps.values():
                step(token)
        place = max(place, position)
        samples = take_turns(steps, tokens[place : place + TURNS * STEPS])
        place += TURNS * STEPS
        check(spec, weights, tokens[: place + 1], steps)
        place += 1
        for who, seconds in samples.items():
            yield {"who": who, "position": position, "seconds": statistics.median(seconds)}


def take_turns(steps: dict[str, Step], tokens: Array) -> dict[str, list[float]]:
    """Seconds per step: each takes the same few tokens in a row, then the next does."""
    samples: dict[str, list[float]] = {name: [] for name in steps}
    order = random.Random(0)
    for few in np.split(tokens, TURNS):
        for name in order.sample(list(steps), len(steps)):
            start = time.perf_counter()
            for token in few:
                steps[name](token)
            samples[name].append((time.perf_counter() - start) / STEPS)
    return samples


def check(spec: AttentionSpec, weights: Weights, tokens: Array, steps: dict[str, Step]) -> None:
    """All must give the formula's output for the last of `tokens`, having seen those before."""
    expected = textbook(spec, weights, tokens, np.array([len(tokens) - 1]))[0]
    for name, step in steps.items():
        assert_same(
            step(tokens[-1]), expected, f"{name} and the formula after {len(tokens)} tokens"
        )
