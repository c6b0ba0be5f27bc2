"""A live PyTorch module becomes a circuit, and the emitted code gives the module's output.

    pip install 'cortico[torch]'
    python examples/pytorch_layer.py

Exit code 1 when the largest relative difference is above 1e-12.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

import numpy as np
import torch

from cortico import compile_attention, from_torch

MOST = 1e-12  #: largest relative difference allowed


def main() -> int:
    """Print the circuit's size and the difference; 0 when it is at most `MOST`, else 1."""
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(64, 4, batch_first=True, dtype=torch.float64).eval()
    x = torch.randn(2, 10, 64, dtype=torch.float64)  # a batch of two, ten tokens each
    with torch.no_grad():
        expected = module(x, x, x, need_weights=False)[0].numpy()

    spec, weights = from_torch(module)
    compilation = compile_attention(spec, weights)
    counts = compilation.circuit.bind(n=10).counts()
    print(f"circuit for 10 tokens: {counts.neurons:,} neurons, {counts.synapses:,} synapses")

    with tempfile.TemporaryDirectory() as folder:
        compilation.write(folder)  # attention.py and the weights it reads, among others
        emitted = runpy.run_path(str(Path(folder) / "attention.py"))
        found = emitted["attention"](x.numpy())
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"largest relative difference to the module: {difference:.0e} (at most {MOST:.0e})")
    return 0 if difference <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
