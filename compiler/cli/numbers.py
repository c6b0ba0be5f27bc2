"""Numbers as arguments of commands."""

from __future__ import annotations

import argparse


def whole_number(text: str) -> int:
    """The number that `text` says, for argparse's `type`. ArgumentTypeError when it is none."""
    from cortico.ir.errors import shown  # here, so that --help does not load NumPy
    from cortico.ir.limits import DIGITS

    if not (text.isascii() and text.isdecimal()) or len(text) > DIGITS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at most {DIGITS} digits, found {shown(text)}"
        )
    return int(text)


def binding(text: str) -> tuple[str, int]:
    """The symbol and number of a text such as `n=16`, for argparse's `type`."""
    from cortico.ir.errors import shown

    symbol, equals, number = text.partition("=")
    if not symbol or not equals:
        raise argparse.ArgumentTypeError(
            f"expected SYMBOL=NUMBER, such as n=16, found {shown(text)}"
        )
    return symbol, whole_number(number)
