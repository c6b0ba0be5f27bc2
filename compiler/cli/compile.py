"""Compile a spec file or one layer of a checkpoint to a circuit and to code that runs it."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.cli.numbers import whole_number

if TYPE_CHECKING:
    from cortico.passes import Step
    from cortico.spec import AttentionSpec
    from cortico.weights import Weights

_SPEC_SUFFIXES = (".toml", ".json", ".yaml", ".yml")
_LONGEST = 100  #: characters of a folder name that is made from a spec's name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, layer, sizes, weights, backend and output folder."""
    parser.add_argument(
        "source",
        type=Path,
        help="a spec (.toml, .json, .yaml), a .safetensors file, or a checkpoint folder",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--layer", type=whole_number, metavar="N", help="layer of a checkpoint (default: 0)"
    )
    parser.add_argument(
        "--heads", type=whole_number, metavar="H", help="heads, where a file does not say"
    )
    parser.add_argument("--prefix", metavar="P", help="what stands before the tensors' names")
    parser.add_argument(
        "--tokens",
        type=whole_number,
        metavar="N",
        help="fix the number of tokens (default: as in the spec)",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors file with W_Q, W_K, … for a spec"
    )
    weights.add_argument(
        "--random-weights", type=whole_number, metavar="SEED", help="draw weights for a spec"
    )
    parser.add_argument("--backend", default="numpy", help="what to emit (default: numpy)")
    parser.add_argument(
        "--passes",
        default="default",
        metavar="P",
        help="none, default, aggressive, or names with commas between (see `cortico passes`)",
    )
    parser.add_argument(
        "--list-passes", action=_ListPasses, help="list passes and pipelines, and stop"
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare each pass with the circuit before it"
    )
    parser.add_argument(
        "--print-between-passes", action="store_true", help="print the circuit after each pass"
    )


class _ListPasses(argparse.Action):
    """Prints the passes, as `cortico passes` does, and stops."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *parsed: Any) -> None:
        from cortico.cli import passes

        parser.exit(passes.execute(argparse.Namespace()))


def execute(arguments: argparse.Namespace) -> int:
    """Compile, write the folder, and print what was made."""
    from cortico.cli.console import console, print_line, print_table, stages
    from cortico.pipeline import compile_attention
    from cortico.report import number, one_line, pass_table, report_tables

    with stages() as progress:
        spec, weights = _read(arguments, progress)
        compilation = compile_attention(
            spec,
            weights,
            passes=arguments.passes,
            backend=arguments.backend,
            progress=progress,
            verify=arguments.verify,
        )
        folder = arguments.output or Path(_slug(spec.name))
        progress(f"writing {folder}")
        compilation.write(folder)
    out, counts = console(), compilation.circuit.counts()
    if arguments.print_between_passes:
        _print_steps(compilation.steps)
    for table in report_tables(compilation.circuit):
        print_table(table, out)
    if compilation.steps:
        print_table(pass_table(compilation.steps), out)
    print_line(
        f"{one_line(spec.name)}: {number(counts.neurons)} neurons, {number(counts.synapses)} synapses, "
        f"{number(counts.parameters)} parameters",
        out,
    )
    print_line(f"written to {one_line(str(folder))}: {', '.join(compilation.file_names)}", out)
    return 0


def _print_steps(steps: Sequence[Step]) -> None:
    """The text form of the circuit after each pass that changed it."""
    for step in steps:
        if step.changed:
            print(f"# after {step.name}\n{step.after}")


def _read(
    arguments: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[AttentionSpec, Weights | None]:
    progress(f"reading {arguments.source}")
    _check_source(arguments.source)
    if arguments.source.suffix.lower() in _SPEC_SUFFIXES:
        spec, weights = _read_spec(arguments)
    else:
        spec, weights = _read_checkpoint(arguments)
    if arguments.tokens is not None:
        spec = dataclasses.replace(spec, tokens=arguments.tokens)
    return spec, weights


def _check_source(source: Path) -> None:
    from cortico.ir import SpecError

    if source.is_file() and source.suffix.lower() not in (*_SPEC_SUFFIXES, ".safetensors"):
        raise SpecError(
            f"{str(source)!r} is no spec ({', '.join(_SPEC_SUFFIXES)}), "
            "no .safetensors file and no checkpoint folder"
        )


def _read_spec(arguments: argparse.Namespace) -> tuple[AttentionSpec, Weights | None]:
    from cortico.frontends import open_tensors, read_spec

    _refuse(arguments, "a spec file", ("layer", "heads", "prefix"))
    spec = read_spec(arguments.source)
    if arguments.weights is not None:
        tensors = open_tensors(arguments.weights)
        return spec, {name: tensors[name] for name in tensors}
    if arguments.random_weights is not None:
        return spec, _draw(spec, arguments.random_weights)
    return spec, None


def _draw(spec: AttentionSpec, seed: int) -> Weights:
    """Random weights. SpecError when there are more numbers than memory holds."""
    from cortico.ir import SpecError
    from cortico.weights import random_weights, required_shapes

    try:
        return random_weights(spec, seed)
    except (MemoryError, ValueError):  # NumPy refuses very large arrays with a ValueError
        shapes = required_shapes(spec).values()
        total = sum(math.prod(int(side) for side in shape) for shape in shapes)
        raise SpecError(
            f"random weights of {spec.name!r} are {total:,} numbers, more than memory holds"
        ) from None


def _read_checkpoint(arguments: argparse.Namespace) -> tuple[AttentionSpec, Weights]:
    from cortico.frontends import read_checkpoint

    _refuse(arguments, "a checkpoint", ("weights", "random_weights"))
    return read_checkpoint(
        arguments.source, arguments.layer or 0, arguments.heads, arguments.prefix
    )


def _refuse(arguments: argparse.Namespace, source: str, options: tuple[str, ...]) -> None:
    from cortico.ir import SpecError

    for option in options:
        if getattr(arguments, option) is not None:
            raise SpecError(f"--{option.replace('_', '-')} does not apply to {source}")


def _slug(name: str) -> str:
    """A folder name from a spec's name, whatever characters that has."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST].strip("-.") or "attention"
