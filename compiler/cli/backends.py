"""List the backends that are installed, and what each can do."""

from __future__ import annotations

from cortico.cli.arguments import CommandArguments


class Arguments(CommandArguments):
    """This command has no arguments."""


def execute(arguments: Arguments) -> int:
    """Print each backend's name, what it can do, and what it is."""
    from cortico.backends import backend_names, get_backend
    from cortico.backends.protocol import ABILITIES
    from cortico.cli.console import console, print_table
    from cortico.report.table import Table

    rows = []
    for name in backend_names():
        backend = get_backend(name)
        able = ("yes" if isinstance(backend, kind) else "–" for kind in ABILITIES)
        rows.append((name, *able, backend.summary))
    headings = (heading for _, heading in ABILITIES.values())
    print_table(Table("Backends", ("name", *headings, "what it is"), tuple(rows), 0), console())
    return 0
