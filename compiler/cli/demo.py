"""Compile a real language model, MiniLM, and run it on real sentences."""

from __future__ import annotations

from pathlib import Path

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments


class Arguments(ForceArguments):
    """Where to write the compiled model."""

    output: Path = argument(
        "-o", "--output", default=Path("demo"), metavar="DIR", help="folder (default: demo)"
    )


def execute(arguments: Arguments) -> int:
    """Run the demo; needs the extra `demo` and the package that carries MiniLM."""
    from cortico.cli.console import console
    from cortico.demo.tour import run_demo

    return run_demo(arguments.output, console(), force=arguments.force)
