"""Memory and time of networks in each simulator, and the bytes of a neuron and of a synapse that follow from them.

    PYTHONPATH=. python benchmarks/simulator_memory.py brian2 nengo nest neuron

A network of an attention runs in a process of its own, once small, once with many neurons and once with many
synapses. What the largest process took more than the small one, over what it has more, are the constants of
`cortico.backends.cells.estimate`.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

#: Features and tokens: small; many pairs of tokens, which are neurons; wide, which are synapses.
SIZES = ((8, 4), (8, 24), (64, 4))
SMALL = ((4, 2), (4, 4), (8, 2))
#: The memory of Nengo grows with the square of a population's dendrites: `estimate` says how it was read off.
#: The same for those that hold a synapse in few bytes.
LARGE = {"brian2": ((8, 4), (8, 40), (160, 4))}


def measure(backend: str, model: int, tokens: int) -> tuple[float, ...]:
    """Neurons, synapses, the most bytes that the simulator's process held, and seconds."""
    from cortico import AttentionSpec, lower, random_weights
    from cortico.backends import get_runner

    spec = AttentionSpec(model, 2)
    circuit = lower(spec, random_weights(spec, 0))
    x = np.random.default_rng(0).standard_normal((tokens, model))
    started = time.perf_counter()
    get_runner(backend).run(circuit, {"x": x})
    counts = circuit.bind(n=tokens).counts()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return counts.neurons, counts.synapses, peak, time.perf_counter() - started


def constants(rows: list[list[float]]) -> np.ndarray:
    """Bytes of a process without a network, of a neuron and of a synapse: none is below 0."""
    counts = np.array([(1, neurons, synapses) for neurons, synapses, *_ in rows], float)
    return nnls(counts, np.array([row[2] for row in rows], float))[0]


def main() -> None:
    """Print what was measured, a line for each backend; of the first two without arguments."""
    for backend in sys.argv[1:] or ["brian2", "nengo"]:
        sizes = SMALL if os.environ.get("SMOKE") else LARGE.get(backend, SIZES)
        rows = [json.loads(in_process(backend, *each)) for each in sizes]
        print(backend, rows, constants(rows).round().tolist(), flush=True)


def in_process(backend: str, *sizes: int) -> str:
    """What a process of its own prints: the peak of its children is of one simulator."""
    code = (
        f"import json; from benchmarks.simulator_memory import measure; "
        f"print(json.dumps(measure({backend!r}, *{sizes})))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    ).stdout


if __name__ == "__main__":
    main()
