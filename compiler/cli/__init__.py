"""The command line, `cortico`: one file per command, errors in one readable message."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cortico.cli import backends, compile, demo, passes, run, show

_COMMANDS = (compile, run, show, demo, passes, backends)

_INTERRUPTED = 130  # what a shell reports after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for wrong input, 1 for everything else."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.execute(parsed))
    except KeyboardInterrupt:
        print("cortico: interrupted; files are as they were before", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        return 0
    except Exception as error:
        if parsed.debug:
            raise
        print(f"cortico: {_message(error)}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))


def _message(error: Exception) -> str:
    from cortico.ir.errors import CorticoError  # here, so that --help does not load NumPy

    if isinstance(error, CorticoError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    return (
        f"internal error, please report it: {type(error).__name__}: {error} (--debug shows where)"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cortico",
        description="Compile multihead attention to a cortico-thalamic circuit of neurons and synapses.",
        epilog="Start with: cortico demo",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return parser
