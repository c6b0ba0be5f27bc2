"""What the commands share that write files: `--force`, and what is said of what was written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cortico.cli.arguments import CommandArguments, argument

_NAMED = 5  #: so many files that are no part of what was written are named


class ForceArguments(CommandArguments):
    """`--force`, without which nothing of other content is replaced."""

    force: bool = argument("--force", help="replace files that are there with other content")


def print_written(folder: Path, names: Collection[str]) -> None:
    """Say what was written to a folder, and what else is in it."""
    from cortico.cli.console import console, print_line
    from cortico.report.words import one_line

    out, place = console(), one_line(str(folder))
    print_line(f"written to {place}: {', '.join(names)}", out)
    others = sorted(one_line(path.name) for path in folder.iterdir() if path.name not in names)
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        print_line(f"left as it was in {place}: {', '.join(others[:_NAMED])}{more}", out)
