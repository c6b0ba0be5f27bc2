"""Error of a softmax head of spiking cells, against cells per rate and against simulated time.

    python benchmarks/spiking_error.py [--seeds 3] [--quick]

One head of two features attends to four tokens of four features. Each rate is coded by `neurons` leaky
integrate-and-fire cells (`cells="lif"`, dt = 0.1 ms). The error is that of the output: its root mean
square over that of exact attention. Seeds draw where in their cycle cells start. Writes
results/spiking_error.json after each seed; `docs/draw_brian2.py` draws it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import machine, say_if_busy, sized, write_results

from cortico import AttentionSpec, get_backend, lower, random_weights
from cortico.backends.brian2 import Options, emit_script, load_simulate

SPEC = AttentionSpec(model=4, heads=1, key_features=2, tokens=4, name="head")
NEURONS = sized((10, 30, 100, 300, 1000), (2, 3))
MILLISECONDS = sized((250, 500, 1000, 2000, 4000), (3, 6))
USUAL_NEURONS, USUAL_MILLISECONDS = sized((100, 1000), (3, 3))
IN_STEP = sized((1, 1000, 4000), (1,))  #: ms after which it is asked how far cells are in step

Sample = dict[str, Any]


def network() -> tuple[Callable[..., Any], dict[str, np.ndarray], np.ndarray]:
    """The head as a function to simulate it, its weights, and four tokens."""
    weights = random_weights(SPEC, seed=0)
    source = emit_script(lower(SPEC, weights), Options(cells="lif", dt=0.1))
    return load_simulate(source), weights, np.random.default_rng(0).standard_normal((4, 4))


def head(target: str) -> Callable[..., Sample]:
    """A function that simulates the head once: neurons, ms, seed to a sample."""
    simulate, weights, x = network()
    exact = get_backend("reference").run(lower(SPEC, weights), {"x": x})["y"]

    def sample(neurons: int, ms: int, seed: int) -> Sample:
        options = {"weights": weights, "target": target, "neurons": neurons, "seed": seed}
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            outputs, _ = simulate(x, duration=float(ms), **options)
        error = np.sqrt(((outputs["y"] - exact) ** 2).mean() / (exact**2).mean())
        seconds = time.perf_counter() - start
        return {
            "neurons": neurons,
            "ms": ms,
            "seed": seed,
            "error": float(error),
            "seconds": seconds,
        }

    return sample


def in_step(target: str, neurons: int, ms: int) -> float:
    """How far the cells of a rate are in step after `ms`: 1 is all at once, 1/√neurons is chance."""
    simulate, weights, x = network()
    groups: list[Any] = []
    lif = simulate.__globals__["lif"]

    def noted(*arguments: Any) -> Any:
        somas, spikes = lif(*arguments)
        groups.append(somas)
        return somas, spikes

    simulate.__globals__["lif"] = noted
    with contextlib.redirect_stderr(io.StringIO()):
        simulate(x, weights=weights, target=target, neurons=neurons, duration=float(ms))
    turns = np.concatenate([phases(somas) for somas in groups]).reshape(-1, neurons)
    return float(np.abs(np.exp(2j * np.pi * turns).mean(axis=1)).mean())


def phases(somas: Any) -> np.ndarray:
    """Where in its cycle each cell is, from 0 to 1: the time that v takes from 0 to where it is."""
    v, current = np.asarray(somas.v), np.asarray(somas.current[:])
    left = np.clip(1 - v / current, 1e-12, 1)
    return -np.log(left) * np.asarray(somas.tau_m) / np.asarray(somas.cycle[:])


def runs(seeds: int, neurons: Sequence[int], ms: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Neurons, ms and seed of each run, all of one seed before the next."""
    for seed in range(seeds):
        yield from ((count, USUAL_MILLISECONDS, seed) for count in neurons)
        yield from ((USUAL_NEURONS, time, seed) for time in ms if time != USUAL_MILLISECONDS)


def slope(samples: Sequence[Sample], name: str, usual: Sample) -> float:
    """Exponent of the mean error as a power of `name`, the other number being the usual one."""
    chosen = [s for s in samples if all(s[key] == value for key, value in usual.items())]
    values = sorted({s[name] for s in chosen})
    errors = [np.mean([s["error"] for s in chosen if s[name] == value]) for value in values]
    return float(np.polyfit(np.log(values), np.log(errors), 1)[0])


def summary(samples: Sequence[Sample]) -> Sample:
    """All samples, and the exponents of both curves."""
    return {
        "machine": machine(),
        "rates": int(lower(SPEC).counts().neurons),
        "slope_neurons": slope(samples, "neurons", {"ms": USUAL_MILLISECONDS}),
        "slope_ms": slope(samples, "ms", {"neurons": USUAL_NEURONS}),
        "samples": samples,
    }


def steps_taken(target: str) -> dict[int, float]:
    """Milliseconds to how far cells are in step."""
    return {ms: in_step(target, USUAL_NEURONS, ms) for ms in IN_STEP}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=sized(3, 1))
    parser.add_argument("--target", default=sized("cython", "numpy"), choices=["numpy", "cython"])
    parser.add_argument(
        "--quick", action="store_true", help="few cells, two seeds, nothing written"
    )
    arguments = parser.parse_args()
    say_if_busy()
    sample, samples = head(arguments.target), []
    seeds, neurons, ms = arguments.seeds, NEURONS, MILLISECONDS
    if arguments.quick:
        seeds, neurons, ms = 2, NEURONS[:2], MILLISECONDS[:2]
    print("neurons per rate     ms  seed   error  seconds")
    for run in runs(seeds, neurons, ms):
        samples.append(sample(*run))
        print("{neurons:16}  {ms:5}  {seed:4}  {error:6.4f}  {seconds:7.1f}".format(**samples[-1]))
        if run[:2] == (USUAL_NEURONS, ms[-1]) and not arguments.quick:
            write_results("spiking_error", summary(samples))
    if not arguments.quick:
        found = summary(samples) | {"in_step": steps_taken(arguments.target)}
        write_results("spiking_error", found)
        print(f"error ~ neurons^{found['slope_neurons']:.2f}, time^{found['slope_ms']:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
