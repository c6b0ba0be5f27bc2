"""A spec, the circuit made of it, how large that is, one neuron, and a run.

    python examples/compile_spec.py

The spec is a small causal attention block; its weights are random. Exit code 1 when the emitted code
and the reference interpreter disagree.
"""

from __future__ import annotations

import numpy as np

from cortico import AttentionSpec, compile_attention, get_runner, random_weights
from cortico.spec import Mask


def main() -> int:
    """Print each step; 0 when both backends agree to 1e-12, else 1."""
    spec = AttentionSpec(model=16, heads=2, mask=Mask.CAUSAL, name="example")
    weights = random_weights(spec, seed=0)
    circuit = compile_attention(spec, weights, passes="none").circuit  # the circuit of the paper

    print("The circuit: axes, tensors, populations with their compartments, projections.\n")
    print(circuit)

    counts = circuit.counts()  # formulas in n, the number of tokens
    print(f"neurons, any n:       {counts.neurons}")
    print(f"synapses, any n:      {counts.synapses}")
    small = circuit.bind(n=5)
    print(f"neurons for n = 5:    {small.counts().neurons}")
    print(f"synapses for n = 5:   {small.counts().synapses}\n")

    view = small.neurons()
    name = "cortex.area[1].column[4,2].L5.deep[3]"  # head 1, query token 4, source token 2
    neuron = view.id_of(name)
    print(f"{name} is neuron {neuron} of {view.size}. Its synapses:")
    for block in view.incoming(neuron):
        first = view.name_of(int(block.pre[0]))
        onto = block.projection.compartment
        print(f"  {len(block.pre):3} onto its {onto} compartment, the first from {first}")

    smaller = compile_attention(spec, weights).circuit  # the same output, by the default passes
    long, shared = (c.bind(n=1000).counts().synapses for c in (circuit, smaller))
    print(f"\nSynapses for 1000 tokens: {long:,}, and {shared:,} after the default passes.")

    x = np.random.default_rng(1).standard_normal((5, 16))  # five tokens
    y = get_runner("numpy").run(smaller, {"x": x})["y"]
    expected = get_runner("reference").run(circuit, {"x": x})["y"]
    difference = np.abs(y - expected).max() / np.abs(expected).max()
    print(f"Output of shape {y.shape}.")
    print(f"Largest relative difference to the reference interpreter: {difference:.0e}")
    return 0 if difference <= 1e-12 else 1


if __name__ == "__main__":
    raise SystemExit(main())
