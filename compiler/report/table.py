"""A titled table, for a terminal or for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortico.report.words import markdown_text

Row = Sequence[str]


@dataclass(frozen=True)
class Table:
    """A titled table of texts, for a terminal or for Markdown."""

    title: str
    header: Row
    rows: tuple[Row, ...]
    numeric: int  #: the last so many columns hold numbers

    def markdown(self) -> str:
        columns = len(self.header)
        rule = ["---"] * (columns - self.numeric) + ["---:"] * self.numeric
        lines = [self.header, rule, *self.rows]
        body = "\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines)
        return f"## {self.title}\n\n{body}\n"
