"""List the backends that are installed."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This command has no arguments."""


def execute(arguments: argparse.Namespace) -> int:
    """Print each backend's name and what it is."""
    from cortico.backends import backend_names, get_backend

    for name in backend_names():
        print(f"{name:<12} {get_backend(name).summary}")
    return 0
