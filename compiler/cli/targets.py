"""The choice of a backend on the command line: `--backend NAME --option KEY=VALUE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortico.cli.arguments import CommandArguments, argument, pair

if TYPE_CHECKING:
    from cortico.backends import Backend


def backend_option(text: str) -> tuple[str, object]:
    """The name and value of a text such as `dt=0.5`, for argparse's `type`."""
    from cortico.ir.options import plain_value  # here, so that --help does not load NumPy

    key, value = pair(text, "KEY=VALUE")
    return key, plain_value(value)


class BackendArguments(CommandArguments):
    """The backend and its options."""

    backend: str = argument(
        "--backend", default="numpy", help="what to write, or what runs it (default: numpy)"
    )
    option: tuple[tuple[str, object], ...] = argument(
        "--option",
        type=backend_option,
        metavar="KEY=VALUE",
        help="an option of the backend, such as target=cython for brian2; may be repeated",
    )


def read_backend(arguments: BackendArguments) -> Backend:
    """The backend that was chosen. SpecError for an option that it does not take."""
    from cortico.backends import get_backend

    return get_backend(arguments.backend, **dict(arguments.option))
