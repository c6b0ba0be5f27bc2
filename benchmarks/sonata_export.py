"""Seconds and memory of a SONATA export, by number of synapses.

    python benchmarks/sonata_export.py             # 10^6, 10^7 and 10^8 synapses, 3.9 GB in a temporary folder

Each export runs in a process of its own, whose peak memory is compared with that of one that only imports.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from common import sized

#: Tokens of a head of width 64 with about 10^6, 10^7 and 10^8 synapses.
TOKENS = sized((8, 24, 78), (1,))

_EXPORT = """
import resource, sys, time
from pathlib import Path
import h5py
from cortico import AttentionSpec, get_backend, lower, random_weights
tokens, folder = int(sys.argv[1]), Path(sys.argv[2])
spec = AttentionSpec(model=64, heads=1, tokens=max(tokens, 1))
circuit, start, synapses = lower(spec, random_weights(spec, 0)), time.perf_counter(), 0
if tokens:
    synapses = circuit.counts().synapses
    get_backend("sonata").write(circuit, folder, lambda stage: None)
size = sum(path.stat().st_size for path in folder.iterdir())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(synapses, time.perf_counter() - start, size, peak)
"""


def measure(tokens: int) -> tuple[float, ...]:
    """Synapses, seconds, bytes on disk and peak kilobytes of an export; of an import with 0 tokens."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _EXPORT, str(tokens), str(Path(folder))]
        return tuple(map(float, subprocess.check_output(command, text=True).split()))


def main() -> None:
    """Print a table of all sizes."""
    *_, idle = measure(0)
    print("| synapses | seconds | bytes per synapse | MB beyond importing |")
    print("| ---: | ---: | ---: | ---: |")
    for tokens in TOKENS:
        synapses, seconds, size, peak = measure(tokens)
        row = (
            f"{synapses:,.0f} | {seconds:.1f} | {size / synapses:.1f} | {(peak - idle) / 1024:.0f}"
        )
        print(f"| {row} |")


if __name__ == "__main__":
    main()
