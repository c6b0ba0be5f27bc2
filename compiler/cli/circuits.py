"""Reading a compiled circuit from the command line: a folder or its text, with sizes bound."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortico.ir import Circuit


def add_circuit_argument(parser: argparse.ArgumentParser) -> None:
    """The positional argument that `read_circuit` reads."""
    parser.add_argument(
        "circuit", type=Path, help="folder written by `cortico compile`, or a .cortico file"
    )


def read_circuit(path: Path, sizes: Mapping[str, int] | None = None) -> Circuit:
    """The circuit in a folder or file, with a number for each symbol in `sizes`.

    An error in the file is the user's input here, so it is a SpecError.
    """
    from cortico.ir import CircuitError, SpecError
    from cortico.ir.text import load_circuit

    try:
        circuit = load_circuit(path / "circuit.cortico" if path.is_dir() else path)
        return circuit.bind(**(sizes or {}))
    except CircuitError as error:
        raise SpecError(str(error)) from None
