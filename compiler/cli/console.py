"""What the commands share: a console, lines, tables, and what shows how far long work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich.console
    import rich.text

    from cortico.report.table import Table

_GAP = 2  #: spaces between the columns of a table


def console() -> rich.console.Console:
    """Standard output, for results."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """A function to call as each stage of long work begins; shows it on standard error."""
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("starting") as status:
        yield lambda stage: status.update(plain(stage))


@contextmanager
def counting(stage: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with what is done and what there is to do; a terminal shows a bar."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    out = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(str(plain(stage)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def plain(text: str, **options: Any) -> rich.text.Text:
    """A text for a terminal: nothing in it is markup, and nothing moves the cursor but its line breaks."""
    from rich.text import Text

    return Text(printable(text), **options)


def printable(text: str) -> str:
    """A text in which nothing but line breaks moves the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def print_line(text: str, out: rich.console.Console, style: str = "") -> None:
    """Print a text as it is, broken only between words, however narrow the terminal."""
    out.print(plain(text, style=style, overflow="ignore"), crop=False)


def print_table(table: Table, out: rich.console.Console) -> None:
    """Print a report table in columns, or row by row where the columns do not fit."""
    widths = column_widths(table, out.width)
    if widths is None:
        _print_rows(table, out)
    else:
        _print_columns(table, widths, out)


def column_widths(table: Table, room: int) -> list[int] | None:
    """Widths that fit `room` and break cells only between words, as few as possible.

    None when there are none.
    """
    columns = list(zip(table.header, *table.rows, strict=True))
    least = [
        max(len(word) for cell in column for word in ("", *cell.split())) for column in columns
    ]
    widths = [max([least[k], *map(len, column[1:])]) for k, column in enumerate(columns)]

    def broken(column: int) -> tuple[int, int]:
        """How many cells one character less would break; the widest column goes first."""
        width = widths[column]
        return sum(len(cell) >= width for cell in columns[column][1:]), -width

    while sum(widths) + _GAP * (len(widths) - 1) > room:
        wider = [k for k, width in enumerate(widths) if width > least[k]]
        if not wider:
            return None
        widths[min(wider, key=broken)] -= 1
    return widths


def _print_columns(table: Table, widths: list[int], out: rich.console.Console) -> None:
    import rich.box
    import rich.table

    grid = rich.table.Table(
        title=plain(table.title),
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, _GAP - 1, 0, 0),  # the box draws one space between columns
        pad_edge=False,
    )
    words = len(table.header) - table.numeric
    for k, column in enumerate(table.header):
        grid.add_column(plain(column), justify="left" if k < words else "right", width=widths[k])
    for row in table.rows:
        grid.add_row(*map(plain, row))
    out.print("", grid)


def _print_rows(table: Table, out: rich.console.Console) -> None:
    print_line(f"\n{table.title}", out, style="italic")
    width = max(map(len, table.header[1:]))
    for first, *others in table.rows:
        print_line(first, out)
        for label, cell in zip(table.header[1:], others, strict=True):
            if cell:
                print_line(f"  {label:<{width}}  {cell}", out)
