"""Memory and processor time of networks in each simulator, and the bytes and seconds that follow from them.

    PYTHONPATH=. python benchmarks/simulator_memory.py brian2 cpp_standalone nengo nest neuron

A network of an attention runs in a process of its own, once small, once with many neurons and once with many
synapses. What the largest process took more than the small one, over what it has more, are the constants of
`cortico.backends.cells.estimate`. For Brian2 also one Synapses by itself: bytes of a synapse while it is made and
afterwards, with weights of eight bytes and of four. `cpp_standalone` is that target of Brian2, where Python and the
program hold a network together.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

#: Features and tokens: small; many pairs of tokens, which are neurons; wide, which are synapses.
SIZES = ((8, 4), (8, 24), (64, 4))
SMALL = ((4, 2), (4, 4), (8, 2))
#: The memory of Nengo grows with the square of a population's dendrites: `estimate` says how it was read off.
#: The same for those that hold a synapse in few bytes.
LARGE = {"brian2": ((8, 4), (8, 40), (160, 4)), "cpp_standalone": ((8, 4), (8, 40), (256, 5))}
ALONE = 20_000_000  #: synapses of the one that is made by itself


def measure(backend: str, model: int, tokens: int) -> tuple[float, ...]:
    """Neurons, synapses, the most bytes that the simulator's process held, and its seconds of the processor."""
    from cortico import AttentionSpec, lower, random_weights
    from cortico.backends import get_runner

    spec = AttentionSpec(model, 2)
    circuit = lower(spec, random_weights(spec, 0))
    x = np.random.default_rng(0).standard_normal((tokens, model))
    compiled = backend == "cpp_standalone"
    runner = get_runner("brian2", target=backend) if compiled else get_runner(backend)
    with Watch() as watch:
        runner.run(circuit, {"x": x})
    counts = circuit.bind(n=tokens).counts()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    most = watch.most if compiled else used.ru_maxrss * 1024
    return counts.neurons, counts.synapses, most, used.ru_utime + used.ru_stime


class Watch(threading.Thread):
    """Looks every 50 ms how many bytes the processes hold that this one has started; compilers do not count."""

    most, ended = 0.0, False

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        self.join()

    def run(self) -> None:
        while not self.ended:
            self.most = max(self.most, sum(held_behind(os.getpid()).values()))
            time.sleep(0.05)


def held_behind(process: int) -> dict[int, float]:
    """Bytes that each process holds which `process` or one of these has started."""
    found, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            name, _, rest = path.read_text(errors="replace").partition("(")[2].rpartition(")")
            parents[int(path.parent.name)] = int(rest.split()[1])
            if not name.startswith(("cc1", "as", "ld", "make")):
                found[int(path.parent.name)] = 4096.0 * int(rest.split()[21])
    inside = {process}
    for _ in parents:
        inside |= {child for child, parent in parents.items() if parent in inside}
    return {each: held for each, held in found.items() if each in inside - {process}}


def alone(precision: str, synapses: int) -> dict[str, float]:
    """Bytes of a synapse of Brian2, and nanoseconds of the processor that it takes to make and in a step."""
    from brian2 import Network, NeuronGroup, Synapses, defaultclock, ms, prefs

    from benchmarks.common import resident

    prefs.codegen.target = "numpy"
    defaultclock.dt = 10 * ms
    cells = NeuronGroup(20_000, "dr/dt = (-r + a) / (10*ms) : 1\na : 1", method="euler")
    rng = np.random.default_rng(0)
    ends = rng.integers(0, cells.N, (2, synapses), dtype=np.int32)
    weights, before, begun = np.ones(synapses, precision), resident("VmRSS"), time.process_time()
    model = "w : 1 (constant)\na_post = w*r_pre : 1 (summed)"
    made = Synapses(cells, cells, model, dtype={"w": np.dtype(precision).type})
    made.connect(i=ends[0], j=ends[1])
    made.w = weights
    found = {"held": resident("VmRSS") - before, "made": resident("VmHWM") - before}
    building, network = time.process_time() - begun, Network(cells, made)
    network.run(10 * ms)
    begun = time.process_time()
    network.run(10 * ms)
    seconds = {"ns to build": building, "ns a step": time.process_time() - begun}
    return {n: b / synapses for n, b in found.items()} | {
        n: 1e9 * s / synapses for n, s in seconds.items()
    }


def constants(rows: list[list[float]]) -> np.ndarray:
    """Bytes of a process without a network, of a neuron and of a synapse: none is below 0."""
    counts = np.array([(1, neurons, synapses) for neurons, synapses, *_ in rows], float)
    return nnls(counts, np.array([row[2] for row in rows], float))[0]


def main() -> None:
    """Print what was measured, a line for each backend; of the first two without arguments."""
    small = os.environ.get("SMOKE")
    for backend in sys.argv[1:] or ["brian2", "nengo"]:
        sizes = SMALL if small else LARGE.get(backend, SIZES)
        rows = [json.loads(in_process("measure", backend, *each)) for each in sizes]
        print(backend, rows, constants(rows).round().tolist(), flush=True)
        for precision in ("float64", "float32") if backend == "brian2" else ():
            print(precision, in_process("alone", precision, 1000 if small else ALONE), flush=True)


def in_process(function: str, *given: object) -> str:
    """What a function gives in a process of its own: the peak of its children is of one simulator."""
    code = (
        f"import json; from benchmarks.simulator_memory import {function}; "
        f"print(json.dumps({function}(*{given})))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    ).stdout.strip()


if __name__ == "__main__":
    main()
