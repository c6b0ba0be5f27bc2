"""Compare two circuits or models: what only one has, what differs, and their counts. Exits with 1 if they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.circuits import BindArguments, bound, read_flat

if TYPE_CHECKING:
    from cortico.ir import Circuit

_EQUAL, _DIFFERENT = 0, 1


class Arguments(BindArguments):
    """Two circuits, and numbers for their symbolic sizes; a size is bound in both."""

    first: Path = argument(
        metavar="A", help="folder written by `cortico compile`, or a .cortico file"
    )
    second: Path = argument(metavar="B", help="the circuit to compare with it")


def execute(arguments: Arguments) -> int:
    """Print what differs and the counts; 0 when the circuits are equal, 1 when they differ."""
    from cortico.cli.console import console, print_line, print_table
    from cortico.report.difference import circuit_differences, difference_tables

    first, second = _read_both(arguments.first, arguments.second, dict(arguments.bind))
    out = console()
    print_line(f"A: {arguments.first}\nB: {arguments.second}", out)
    differences = circuit_differences(first, second)
    if not differences:
        print_line("The circuits are equal.", out, style="bold")
    for table in difference_tables(first, second):
        print_table(table, out)
    return _DIFFERENT if differences else _EQUAL


def _read_both(first: Path, second: Path, sizes: Mapping[str, int]) -> tuple[Circuit, Circuit]:
    """Both circuits; a size is bound in those that have its symbol, of which there must be one."""
    both = read_flat(first), read_flat(second)
    nowhere = {symbol for symbol in sizes if not any(symbol in own.symbols for own in both)}

    def sized(circuit: Circuit) -> Circuit:
        own = {s: n for s, n in sizes.items() if s in {*circuit.symbols, *nowhere}}
        return bound(circuit, own)

    return sized(both[0]), sized(both[1])
