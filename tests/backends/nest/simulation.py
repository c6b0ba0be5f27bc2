"""Emitted NEST scripts, run in this process."""

import importlib.util

import pytest

from cortico.backends.nest import Options, emit_script

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None, reason="nest is not installed"
)

#: Fewer steps, and some digits less.
QUICK = {"tau": 0.1, "tolerance": 1e-12}


def simulate(circuit, inputs, weights=None, **options):
    """Outputs of one example; `options` are arguments of the script's function."""
    known = {p.name: p.values for p in circuit.parameters if p.values is not None}
    namespace = {"__name__": "attention_nest", "__file__": "attention_nest.py"}
    exec(compile(emit_script(circuit, Options()), "attention_nest.py", "exec"), namespace)
    return namespace["simulate"](**inputs, weights={**known, **(weights or {})}, **options)
