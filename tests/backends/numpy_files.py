"""Emitted NumPy files as tests run them."""

from cortico.backends.numpy import compile_source, emit_source


def emitted(circuit, **replaced):
    """The emitted function, names of its file replaced.

    Small inputs are treated like large ones: threads share the work, and a tile is of one area.
    """
    attention = compile_source(emit_source(circuit))
    there = attention.__globals__
    replaced = {"SMALL": 0, "TOGETHER": 1, **replaced}
    there.update({name: value for name, value in replaced.items() if name in there})
    return attention


def stored(circuit):
    return {p.name: p.values for p in circuit.parameters if p.formula is None}
