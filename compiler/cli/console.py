"""What the commands share: a console, tables, and a line that shows the stage of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.console

    from cortico.report import Table


def console() -> rich.console.Console:
    """Standard output, for results."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """A function to call as each stage of long work begins; shows it on standard error."""
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("starting") as status:
        yield lambda stage: status.update(stage)


def print_table(table: Table, out: rich.console.Console) -> None:
    """Print a report table in columns."""
    import rich.box
    import rich.table
    from rich.text import Text

    grid = rich.table.Table(title=table.title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    words = len(table.header) - table.numeric
    for k, column in enumerate(table.header):
        grid.add_column(column, justify="left" if k < words else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    out.print(grid)
