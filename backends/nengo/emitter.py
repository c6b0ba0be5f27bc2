"""Text of the emitted Nengo script."""

from __future__ import annotations

from cortico.backends.cell_script import (
    BY_CELL,
    Engine,
    dendrites,
    emit_cell_script,
)
from cortico.backends.nengo.options import Options
from cortico.backends.nengo.template import CONSTANTS, HEADER, MAIN, NETWORK
from cortico.backends.transfers import function_table, of_circuit, scipy_import
from cortico.ir import Circuit
from cortico.ir.rewrite import longest_chain

SCRIPT = "attention_nengo.py"


def _constants(circuit: Circuit) -> str:
    line = scipy_import(of_circuit(circuit))  # the last of the imports
    return (f"{line}\n\n" if line else "") + CONSTANTS + function_table(circuit, "nengo")


ENGINE = Engine(
    header=HEADER,
    constants=_constants,
    main=MAIN,
    options=Options,
    network=f"{NETWORK}\n{BY_CELL}",
    settle="",
    cell=dendrites,
    physiology=False,
)


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports nengo and numpy and runs `circuit`."""
    chain = longest_chain(circuit, lambda population: 1)
    return emit_cell_script(circuit, ENGINE, vars(options), chain)
