"""List the passes and the named pipelines."""

from __future__ import annotations

from cortico.cli.arguments import CommandArguments


class Arguments(CommandArguments):
    """This command has no arguments."""


def execute(arguments: Arguments) -> int:
    """Print each pass with its options and what it does, then the pipelines."""
    from dataclasses import fields

    from cortico.passes import NETWORK_PASSES, PASSES, PIPELINES

    for kind in (*PASSES, *NETWORK_PASSES):
        options = ", ".join(f"{field.name}={field.default}" for field in fields(kind))
        summary = (kind.__doc__ or "").partition("\n")[0]
        word = "exact" if kind.exact else "approximate"
        print(f"{kind.name}{f'({options})' if options else ''}, {word}\n  {summary}")
    for name, members in PIPELINES.items():
        print(f"\npipeline {name}: {', '.join(members) or 'no passes'}")
    return 0
