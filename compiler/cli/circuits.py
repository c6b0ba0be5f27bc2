"""Reading a compiled circuit from the command line: a folder or its text, with sizes bound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import CommandArguments, argument, binding
from cortico.cli.paths import CIRCUITS, PathKind, is_compiled_model, kind_of
from cortico.files.names import CIRCUIT

if TYPE_CHECKING:
    from cortico.ir import Circuit


class CircuitArguments(CommandArguments):
    """The circuit, which `read_circuit` reads."""

    circuit: Path = argument(help="folder written by `cortico compile`, or a .cortico file")


class BindArguments(CommandArguments):
    """Numbers for symbolic sizes."""

    bind: tuple[tuple[str, int], ...] = argument(
        "--bind",
        type=binding,
        metavar="n=16",
        help="give a symbolic size a number; repeatable",
    )


def read_circuit(path: Path, sizes: Mapping[str, int] | None = None) -> Circuit:
    """The circuit in a folder or file, with a number for each symbol in `sizes`.

    An error in the file is the user's input here, so it is a SpecError.
    """
    from cortico.ir import CircuitError, SpecError
    from cortico.ir.text import load_circuit

    kind = kind_of(path, CIRCUITS)
    try:
        circuit = load_circuit(path / CIRCUIT if kind is PathKind.COMPILED else path)
        return circuit.bind(**(sizes or {}))
    except CircuitError as error:
        raise SpecError(str(error)) from None


def read_flat(path: Path) -> Circuit:
    """The same; of the folder of a compiled model its flat circuit, in which names begin with paths."""
    if not is_compiled_model(path):
        return read_circuit(path)
    from cortico.cli.models import read_network

    return read_network(path).flatten()


def bound(circuit: Circuit, sizes: Mapping[str, int]) -> Circuit:
    """The circuit with numbers for symbols. SpecError for those that it has not, as `--bind` named them."""
    from cortico.ir import CircuitError, SpecError

    try:
        return circuit.bind(**sizes)
    except CircuitError as error:
        raise SpecError(str(error)) from None
