"""Compile a spec file or a checkpoint, whole or one attention of it, to a circuit and to code that runs it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cortico.cli.arguments import argument
from cortico.cli.models import ModelArguments, is_model, read_model_source
from cortico.cli.outputs import ForceArguments, print_written
from cortico.cli.sources import read_source
from cortico.cli.targets import BackendArguments, read_backend

if TYPE_CHECKING:
    from cortico.ir.counts import Counts
    from cortico.model_pipeline import ModelCompilation
    from cortico.passes import Step
    from cortico.pipeline import Compilation
    from cortico.report.table import Table

_LONGEST = 100  #: characters of a folder name that is made from a spec's name


class Arguments(BackendArguments, ForceArguments, ModelArguments):
    """Source, layers, sizes, weights, backend and output folder."""

    output: Path | None = argument("-o", "--output", metavar="DIR", help="folder to write")
    passes: str = argument(
        "--passes",
        default="default",
        metavar="P",
        help="none, default, aggressive, or names with commas between (see `cortico passes`)",
    )
    verify: bool = argument(
        "--verify",
        help="prove circuit and passes right, and write certificate.json",
    )
    print_between_passes: bool = argument(
        "--print-between-passes", help="print the circuit after each pass"
    )

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        super().add_to(parser)
        parser.add_argument(
            "--list-passes", action=_ListPasses, help="list passes and pipelines, and stop"
        )


class _ListPasses(argparse.Action):
    """Prints the passes, as `cortico passes` does, and stops."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *parsed: Any) -> None:
        from cortico.cli import passes

        parser.exit(passes.execute(passes.Arguments()))


def execute(arguments: Arguments) -> int:
    """Compile, write the folder, and print what was made."""
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.report.words import number, one_line

    make = _model if is_model(arguments.source, arguments) else _attention
    with stages() as progress:
        made = make(arguments, progress)
        name = made.compilation.spec.name
        folder = arguments.output or Path(_slug(name))
        progress(f"writing {folder}")
        written = made.compilation.write(folder, progress, force=arguments.force)
    if arguments.print_between_passes:
        for each in getattr(made.compilation, "across", ()):
            print(f"# after {each.name}\n{each.after}" if each.changed else "", end="")
        for path, steps in made.steps.items():
            _print_steps(path, steps)
    out, counts = console(), made.counts
    for table in made.tables:
        print_table(table, out)
    print_line(
        f"{one_line(name)}: {number(counts.neurons)} neurons, {number(counts.synapses)} synapses, "
        f"{number(counts.parameters)} parameters",
        out,
    )
    print_written(folder, written)
    return 0


class _Made(NamedTuple):
    """A compilation, and what is printed of it; of a model, steps are those of each block by its path."""

    compilation: Compilation | ModelCompilation
    counts: Counts
    tables: list[Table]
    steps: Mapping[str, Sequence[Step]]


def _attention(arguments: Arguments, progress: Callable[[str], None]) -> _Made:
    from cortico.pipeline import compile_attention
    from cortico.report.summary import pass_table, report_tables

    spec, weights = read_source(arguments.source, arguments, progress)
    chosen = (arguments.passes, read_backend(arguments), progress, arguments.verify)
    made = compile_attention(spec, weights, *chosen)
    tables = report_tables(made.circuit)
    tables += [pass_table(made.steps, times=True)] if made.steps else []
    return _Made(made, made.circuit.counts(), tables, {"": made.steps})


def _model(arguments: Arguments, progress: Callable[[str], None]) -> _Made:
    from cortico.frontends.generation import ends_file
    from cortico.frontends.tokenizer import tokenizer_file
    from cortico.model_pipeline import compile_model
    from cortico.report.networks import network_tables

    spec, weights = read_model_source(arguments.source, arguments, progress)
    chosen = (arguments.passes, read_backend(arguments), progress, arguments.verify)
    documents = tokenizer_file(arguments.source) | ends_file(arguments.source)
    made = compile_model(spec, weights, *chosen, documents)
    tables = network_tables(made.network, made.steps, made.across)
    return _Made(made, made.network.counts(), tables, made.steps)


def _print_steps(path: str, steps: Sequence[Step]) -> None:
    """The text form of a circuit, of the block at a path, after each pass that changed it."""
    for step in steps:
        if step.changed:
            print(f"# {f'{path} ' * bool(path)}after {step.name}\n{step.after}")


def _slug(name: str) -> str:
    """A folder name from a spec's name, whatever characters that has."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST].strip("-.") or "attention"
