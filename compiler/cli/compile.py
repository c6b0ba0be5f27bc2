"""Compile a spec file or a checkpoint, whole or one attention of it, to a circuit and to code that runs it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.cli.arguments import argument
from cortico.cli.models import ModelArguments, is_model, read_model_source
from cortico.cli.outputs import ForceArguments, print_written
from cortico.cli.sources import read_source
from cortico.cli.targets import BackendArguments, read_backend

if TYPE_CHECKING:
    from cortico.passes import Step

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
    if is_model(arguments.source, arguments):
        return _compile_model(arguments)
    return _compile_attention(arguments)


def _compile_attention(arguments: Arguments) -> int:
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.pipeline import compile_attention
    from cortico.report.summary import pass_table, report_tables
    from cortico.report.words import number, one_line

    with stages() as progress:
        spec, weights = read_source(arguments.source, arguments, progress)
        compilation = compile_attention(
            spec,
            weights,
            passes=arguments.passes,
            backend=read_backend(arguments),
            progress=progress,
            verify=arguments.verify,
        )
        folder = arguments.output or Path(_slug(spec.name))
        progress(f"writing {folder}")
        written = compilation.write(folder, progress, force=arguments.force)
    out, counts = console(), compilation.circuit.counts()
    if arguments.print_between_passes:
        _print_steps(compilation.steps)
    for table in report_tables(compilation.circuit):
        print_table(table, out)
    if compilation.steps:
        print_table(pass_table(compilation.steps, times=True), out)
    print_line(
        f"{one_line(spec.name)}: {number(counts.neurons)} neurons, {number(counts.synapses)} synapses, "
        f"{number(counts.parameters)} parameters",
        out,
    )
    print_written(folder, written)
    return 0


def _compile_model(arguments: Arguments) -> int:
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.frontends.tokenizer import tokenizer_file
    from cortico.model_pipeline import compile_model
    from cortico.report.networks import network_tables
    from cortico.report.words import number, one_line

    with stages() as progress:
        spec, weights = read_model_source(arguments.source, arguments, progress)
        compilation = compile_model(
            spec,
            weights,
            passes=arguments.passes,
            backend=read_backend(arguments),
            progress=progress,
            verify=arguments.verify,
            documents=tokenizer_file(arguments.source),
        )
        folder = arguments.output or Path(_slug(spec.name))
        progress(f"writing {folder}")
        written = compilation.write(folder, progress, force=arguments.force)
    out, counts = console(), compilation.network.counts()
    if arguments.print_between_passes:
        for path, steps in compilation.steps.items():
            print(f"# {path}")
            _print_steps(steps)
    for table in network_tables(compilation.network, compilation.steps):
        print_table(table, out)
    print_line(
        f"{one_line(spec.name)}: {number(counts.neurons)} neurons, {number(counts.synapses)} synapses, "
        f"{number(counts.parameters)} parameters",
        out,
    )
    print_written(folder, written)
    return 0


def _print_steps(steps: Sequence[Step]) -> None:
    """The text form of the circuit after each pass that changed it."""
    for step in steps:
        if step.changed:
            print(f"# after {step.name}\n{step.after}")


def _slug(name: str) -> str:
    """A folder name from a spec's name, whatever characters that has."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST].strip("-.") or "attention"
