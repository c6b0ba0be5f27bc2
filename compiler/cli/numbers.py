"""Numbers as arguments of commands."""

from __future__ import annotations

import argparse
import reprlib

_MOST_DIGITS = 18  #: such numbers fit in 64 bits


def whole_number(text: str) -> int:
    """The number that `text` says, for argparse's `type`. ArgumentTypeError when it is none."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at most {_MOST_DIGITS} digits, found {reprlib.repr(text)}"
        )
    return int(text)


def binding(text: str) -> tuple[str, int]:
    """The symbol and number of a text such as `n=16`, for argparse's `type`."""
    symbol, equals, number = text.partition("=")
    if not symbol or not equals:
        raise argparse.ArgumentTypeError(
            f"expected SYMBOL=NUMBER, such as n=16, found {reprlib.repr(text)}"
        )
    return symbol, whole_number(number)
