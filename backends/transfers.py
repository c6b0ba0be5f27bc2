"""Transfer functions that a backend has no words for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from cortico.ir import TRANSFERS, Circuit
from cortico.ir.transfer import Transfer


def unspelled(circuit: Circuit, language: str, lacks: str) -> Iterator[str]:
    """A line for each population with a function that `language`, a column of the table, does not have."""
    for population in circuit.populations:
        if getattr(TRANSFERS[population.transfer], language) is None:
            at = f" at {population.path}" if population.path else ""
            yield (
                f"population {population.name!r}{at} has the transfer function {population.transfer}, {lacks}"
            )


def of_circuit(circuit: Circuit) -> Iterator[Transfer]:
    """The functions that a circuit has, in the order of the table."""
    own = {population.transfer for population in circuit.populations}
    return (transfer for name, transfer in TRANSFERS.items() if name in own)


def brought(circuit: Circuit | None, language: str) -> Iterable[Transfer]:
    """The functions that a script for a simulator brings: those of the circuit, and those that all scripts do."""
    own = set(of_circuit(circuit)) if circuit else set()
    known = (t for t in TRANSFERS.values() if t.everywhere or t in own)
    return [t for t in known if getattr(t, language) is not None]


def scipy_import(functions: Iterable[Transfer]) -> str:
    """The line that imports from SciPy what of these is there; empty where nothing is."""
    names = ", ".join(dict.fromkeys(function.scipy for function in functions if function.scipy))
    return f"from scipy.special import {names}" if names else ""


def numpy_definition(function: Transfer) -> str:
    """The text of a transfer function that NumPy lacks, for an emitted file."""
    head = f'def {function.name}(x):\n    """{function.formula}"""\n'
    return head + textwrap.indent(function.numpy_body, "    ") + "\n"


def function_table(circuit: Circuit, language: str) -> str:
    """The code of a table of functions in a script: name to what `language` has for it."""
    own = list(brought(circuit, language))
    rows = (f'    "{t.name}": {getattr(t, language)},\n' for t in own)
    in_numpy = [t for t in own if getattr(t, language) == t.nengo]
    table = f"{scipy_import(in_numpy)}\nTRANSFERS = {{\n{''.join(rows)}}}\n"
    return "\n".join([table, *(numpy_definition(t) for t in in_numpy if t.numpy_body)])
