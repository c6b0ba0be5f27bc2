"""The choice of a backend on the command line: `--backend NAME --option KEY=VALUE`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortico.backends import Backend


def add_backend_arguments(parser: argparse.ArgumentParser, summary: str) -> None:
    """The backend and its options."""
    parser.add_argument("--backend", default="numpy", help=f"{summary} (default: numpy)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the backend, such as target=cython for brian2; may be repeated",
    )


def read_backend(arguments: argparse.Namespace) -> Backend:
    """The backend that was chosen. SpecError for an option that it does not take."""
    from cortico.backends import get_backend

    return get_backend(arguments.backend, **dict(map(_option, arguments.option)))


def _option(text: str) -> tuple[str, object]:
    from cortico.ir import SpecError
    from cortico.ir.errors import shown

    key, equals, value = text.partition("=")
    if not key or not equals:
        raise SpecError(f"--option takes KEY=VALUE, found {shown(text)}")
    return key, _value(value)


def _value(text: str) -> object:
    """A number or nothing where the text says so, else the text; that of endless digits is none."""
    from cortico.ir.limits import DIGITS

    if text.isdecimal() and len(text) > DIGITS:
        return text
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
