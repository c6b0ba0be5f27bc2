"""Emitted Nengo scripts, run in this process."""

import importlib.util

import pytest

from cortico.backends.nengo import Options, emit_script

needs_nengo = pytest.mark.skipif(
    importlib.util.find_spec("nengo") is None, reason="nengo is not installed"
)


def load(circuit):
    """What an emitted script defines. Nengo keeps no decoders in the user's home."""
    import nengo

    nengo.rc.set("decoder_cache", "enabled", "False")
    namespace = {"__name__": "attention_nengo", "__file__": "attention_nengo.py"}
    exec(compile(emit_script(circuit, Options()), "attention_nengo.py", "exec"), namespace)
    return namespace


def simulate(circuit, inputs, weights=None, **options):
    """Outputs of one example; `options` are arguments of the script's function."""
    known = {p.name: p.values for p in circuit.parameters if p.values is not None}
    weights = {**known, **(weights or {})}
    return load(circuit)["simulate"](**inputs, weights=weights, **options)
