"""A cursor over one line of a circuit's text: takes one piece after another, or says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NoReturn, TypeVar

from cortico.ir.errors import CircuitError, clipped, near_name
from cortico.ir.limits import DIGITS

Item = TypeVar("Item")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[^\s\[\](),:#\"]+")
_BOUNDARY = r"(?![A-Za-z0-9_])"
_SOMETHING = re.compile(r"\"(?:[^\"\\]|\\.)*\"?|[A-Za-z0-9_./+-]+|\S")


class Line:
    """One line (number counted from 1) and how far it has been read."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text
        self._at = 0
        self._skip()

    @property
    def indented(self) -> bool:
        return self.text[:1] in (" ", "\t")

    @property
    def at_end(self) -> bool:
        return self._at == len(self.text)

    def _skip(self) -> None:
        while self._at < len(self.text) and self.text[self._at] in " \t\r":
            self._at += 1
        if self.text.startswith("#", self._at):
            self._at = len(self.text)

    # ---- taking --------------------------------------------------------------------------------

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """What `pattern` matches here, taken; None, and nothing taken, when it does not."""
        found = None if self.at_end else pattern.match(self.text, self._at)
        if found is None:
            return None
        self._at = found.end()
        self._skip()
        return found.group()

    def take(self, pattern: re.Pattern[str], what: str) -> str:
        found = self.match(pattern)
        return self.fail(what) if found is None else found

    def starts(self, text: str) -> bool:
        """Whether this text comes next; nothing is taken."""
        return self.text.startswith(text, self._at)

    def sees(self, *words: str) -> bool:
        """Whether one of these words comes next; nothing is taken."""
        return any(_exactly(word).match(self.text, self._at) for word in words)

    def accept(self, text: str) -> bool:
        """Take exactly this text (a whole word, when it is one) if it comes next."""
        return self.match(_exactly(text)) is not None

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(repr(text))

    def name(self, what: str) -> str:
        return self.take(_NAME, what)

    def one_of(self, known: Iterable[str], what: str) -> str:
        """A word among `known`."""
        names, start = list(map(str, known)), self._at
        word = self.match(_WORD)
        if word in names:
            return word
        self._at = start
        return self.fail(f"{what} ({', '.join(names)})", near_name(word or "", names))

    def integer(self, what: str, pattern: re.Pattern[str]) -> int:
        start = self._at
        text = self.take(pattern, what)
        if len(text.lstrip("-")) > DIGITS:
            self._at = start
            return self.fail(f"{what} of at most {DIGITS} digits")
        return int(text)

    def listing(self, left: str, item: Callable[[], Item], right: str) -> tuple[Item, ...]:
        """Items between brackets, with commas between them. A comma may follow the last."""
        self.expect(left)
        items: list[Item] = []
        while not self.accept(right):
            items.append(item())
            if not self.accept(","):
                self.expect(right)
                break
        return tuple(items)

    def separated(self, item: Callable[[], Item], separator: str) -> tuple[Item, ...]:
        """One item or more, with `separator` between them."""
        items = [item()]
        while self.accept(separator):
            items.append(item())
        return tuple(items)

    def finish(self) -> None:
        if not self.at_end:
            self.fail("the end of the line")

    # ---- complaining ---------------------------------------------------------------------------

    def fail(self, expected: str, hint: str = "") -> NoReturn:
        found = _SOMETHING.match(self.text, self._at)
        next_text = repr(clipped(found.group(), 40)) if found else "the end of the line"
        self.complain(f"expected {expected}, found {next_text}{hint}")

    def complain(self, problem: str) -> NoReturn:
        raise CircuitError(f"line {self.number}: {problem}\n  {clipped(self.text.strip(), 160)}")


@cache
def _exactly(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text) + (_BOUNDARY if text[-1].isalnum() else ""))


def lines_of(text: str) -> Sequence[Line]:
    """The lines that say something: blank ones and comments are left out."""
    lines = (Line(number, line) for number, line in enumerate(text.split("\n"), start=1))
    return [line for line in lines if not line.at_end]
