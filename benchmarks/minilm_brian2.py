"""A whole language model as one Brian2 network: MiniLM, every synapse an object, settled in time.

    python benchmarks/minilm_brian2.py [--tokens 10] [--target cython] [--precision float32]

all-MiniLM-L6-v2 is lowered to the paper's circuit, without passes; cells of tokens that do not occur are left out
(exactly: `restrict_vocabulary`). Each step is one update of all cells (Euler, dt = tau). With ten tokens there are
1.03 million neurons and 426 million synapses. Held against transformers in float64: states and sentence. Told:
counts, the estimate made before, largest resident memory, seconds to build, to compile and to run, errors. Writes
results/minilm_brian2.json. About 10 GB and half an hour for ten tokens.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from common import SMOKE, machine, resident, say_if_busy, sized, verdict, write_results
from whole_models import minilm

from cortico.backends.brian2 import Brian2Backend, load_simulate
from cortico.lowering import lower_model
from cortico.passes.restrict_vocabulary import restrict_vocabulary

TEXT = "The thalamus relays signals."  #: ten tokens
MOST_ERROR = 1e-5  #: relative, of states and of the sentence

Found = dict[str, Any]


def tokens_of_text(count: int) -> np.ndarray:
    """The first tokens of the text, and the one that ends it; in a run that only shows that it runs, any."""
    if SMOKE:
        return np.arange(1, count + 1)
    from cortico.demo.weights import model_folder
    from cortico.frontends.tokenizer import read_tokenizer

    ids = read_tokenizer(model_folder()).encode(TEXT).ids
    return np.array([*ids[: count - 1], ids[-1]])


def expected(model: Any, ids: np.ndarray) -> dict[str, np.ndarray]:
    """States, and the sentence: their mean, to length 1; of transformers, in float64."""
    import torch

    with torch.inference_mode():
        states = model.double()(torch.tensor(ids[None])).last_hidden_state[0].numpy()
    mean = states.mean(0)
    return {"states": states, "sentence": mean / np.linalg.norm(mean)}


class Clock:
    """Looks at the emitted script while it works."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.started, self.steps = time.perf_counter(), []
        start, step = names["start"], names["Course"].step

        def starting(*arguments: Any) -> None:
            self.built, self.memory = time.perf_counter(), resident("VmRSS")
            start(*arguments)

        def stepping(course: Any) -> None:
            self.steps.append(time.perf_counter())
            step(course)

        names["start"], names["Course"].step = starting, stepping

    def found(self) -> Found:
        """Seconds, and how many steps there were; bytes when all is built, and at most."""
        return {
            "build_s": self.built - self.started,
            "first_step_s": self.steps[0] - self.built,
            "run_s": self.steps[-1] - self.steps[0],
            "steps": len(self.steps),
            "built_bytes": self.memory,
            "peak_bytes": resident("VmHWM"),
        }


def measure(count: int, target: str, precision: str) -> Found:
    """Build, run, compare."""
    subject, ids = minilm(threads=1), tokens_of_text(count)
    wanted, given = expected(subject.theirs, ids), {"tokens": ids, "types": np.zeros_like(ids)}
    made = restrict_vocabulary(lower_model(subject.spec, subject.weights), given)
    del subject
    circuit, inputs = made.network.flatten().bind(n=count), made.renumbered(given)
    backend = Brian2Backend(target=target, precision=precision, method="euler", dt=10.0, tau=10.0)
    told = backend.estimate(circuit, {})
    print(f"{count} tokens: {told}", flush=True)
    simulate = load_simulate(backend.source(circuit))
    clock = Clock(simulate.__globals__)
    weights = {p.name: p.values for p in circuit.parameters if p.values is not None}
    outputs, _ = simulate(**inputs, weights=weights)
    return {
        "tokens": count,
        "target": target,
        "precision": precision,
        "neurons": told.neurons,
        "synapses": told.synapses,
        "estimated_bytes": told.bytes,
        **clock.found(),
        "errors": {name: error(outputs[name], wanted[name]) for name in outputs},
    }


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, over the largest number."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def main() -> int:
    """Measure, print, keep; 0 when the errors are small."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=sized(10, 3))
    parser.add_argument("--target", default=sized("cython", "numpy"), choices=("numpy", "cython"))
    parser.add_argument("--precision", default="float32", choices=("float32", "float64"))
    arguments = parser.parse_args()
    say_if_busy()
    results: Found = {"machine": machine()}
    results |= measure(arguments.tokens, arguments.target, arguments.precision)
    print(results, flush=True)
    write_results("minilm_brian2", results)
    missed = (f"{n} is off by {e:.1e}" for n, e in results["errors"].items() if e > MOST_ERROR)
    return verdict(missed)


if __name__ == "__main__":
    raise SystemExit(main())
