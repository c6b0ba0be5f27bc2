"""The command line, `cortico`: one file per command, errors in one readable message."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cortico.cli import (
    audit,
    backends,
    compile,
    demo,
    diff,
    draw,
    freeze,
    generate,
    import_,
    learn,
    lesion,
    passes,
    report,
    run,
    show,
    synapses,
    train,
    verify,
)
from cortico.cli.arguments import CommandArguments

_COMMANDS = (
    compile,
    import_,
    freeze,
    generate,
    run,
    show,
    synapses,
    draw,
    report,
    diff,
    verify,
    learn,
    train,
    audit,
    lesion,
    demo,
    passes,
    backends,
)

_SIGNALLED = 128  # and the number of the signal: what a shell reports


class _Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: everything is put away as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for wrong input, 1 for everything else.

    After a signal that ends it, 128 and its number.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no Σ shows ?
    parsed = _parser().parse_args(arguments)
    try:
        with _ending_signals():
            code = int(parsed.command.execute(parsed.command.Arguments.of(parsed)))
        if sys.stdout is not None:  # there is none when the shell closed it
            sys.stdout.flush()
        return code
    except KeyboardInterrupt as ended:
        print("cortico: interrupted; no file was left half written", file=sys.stderr)
        return _SIGNALLED + (ended.number if isinstance(ended, _Ended) else signal.SIGINT)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        _abandon_output()
        return 1
    except Exception as error:
        if parsed.debug:
            raise
        print(f"cortico: {_printable(_message(error))}", file=sys.stderr)
        if isinstance(error, OSError):
            _abandon_output()
        return int(getattr(error, "exit_code", 1))


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Turn the first SIGTERM or SIGHUP into an exception, so that blocks end as after Ctrl-C."""
    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [each for each in numbers if signal.getsignal(each) is signal.SIG_DFL]  # not under nohup

    def end(number: int, frame: FrameType | None) -> None:
        for each in ours:  # a second one must not stop the putting away
            signal.signal(each, signal.SIG_IGN)
        raise _Ended(number)

    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _message(error: Exception) -> str:
    from cortico.ir.errors import CorticoError  # here, so that --help does not load NumPy

    if isinstance(error, CorticoError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    if isinstance(error, OSError):
        where = "" if error.filename is None else f" {str(error.filename)!r}"
        return f"cannot read or write{where}: {error.strerror or error}"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name!r} is not installed, and is needed for this: pip install {error.name}"
    return (
        f"internal error, please report it: {type(error).__name__}: {error} (--debug shows where)"
    )


def _printable(text: str) -> str:
    """`text` with control characters escaped: a name in a file must not move the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _abandon_output() -> None:
    """Send what is left of standard output nowhere, or Python would complain when it ends."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser that learns the arguments of its command when it is used: of the one that runs only."""

    arguments: type[CommandArguments] = CommandArguments

    def parse_known_args(self, *given: Any, **options: Any) -> Any:
        self.arguments.add_to(self)
        return super().parse_known_args(*given, **options)


def _parser() -> _Parser:
    parser = _Parser(
        prog="cortico",
        description="Compile multihead attention to a cortico-thalamic circuit of neurons and synapses.",
        epilog="Start with: cortico demo",
    )
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for each in (parser, shared):  # before the command and after it
        each.add_argument("--debug", action="store_true", help="show a traceback on errors")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2].rstrip("_")  # import_, for `cortico import`
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary, parents=[shared])
        command.arguments = module.Arguments
        command.set_defaults(command=module)
    return parser
