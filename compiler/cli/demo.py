"""Compile one real MiniLM layer and run it on a real sentence."""

from __future__ import annotations

import argparse
from pathlib import Path

from cortico.cli.outputs import add_force_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write the compiled layer."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder (default: demo)",
    )
    add_force_argument(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the demo; needs the extra `demo` and the package that carries MiniLM."""
    from cortico.cli.console import console
    from cortico.demo import run_demo

    return run_demo(arguments.output, console(), force=arguments.force)
