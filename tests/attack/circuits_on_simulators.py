"""Random circuits on the backends that are slow to start, beside the reference interpreter.

As `tests.attack.circuits_on_backends`, each circuit on one backend in turn: cell-by-cell simulators, a compiler,
another library's graph.
"""

from __future__ import annotations

from tests.attack.circuits_on_backends import attempt
from tests.attack.trial import Trial

BACKENDS = ("brian2", "nest", "neuron", "nengo", "jax", "onnx")

#: Trials that pytest makes: each backend once.
IN_TESTS = len(BACKENDS)


def trial(seed: int) -> Trial:
    """One circuit on one backend."""
    return attempt(seed, (BACKENDS[seed % len(BACKENDS)],))
