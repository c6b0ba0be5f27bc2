"""Reading what to compile from the command line: a spec file, or one layer of a checkpoint."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import CommandArguments, argument
from cortico.cli.circuits import read_circuit
from cortico.cli.paths import CIRCUITS, SOURCES, PathKind, kind_of

if TYPE_CHECKING:
    from cortico.ir import Circuit
    from cortico.spec import AttentionSpec
    from cortico.spec.weights import Weights

#: Options of a checkpoint, and of a spec file: neither is of a circuit.
OF_CHECKPOINTS = ("layer", "part", "heads", "prefix", "cross", "ignore")
OF_SPECS = ("weights", "random_weights")


class SpecArguments(CommandArguments):
    """Layer, sizes and weights."""

    layer: int | None = argument(
        "--layer",
        metavar="N",
        help="layer of a checkpoint, or attention of an ONNX file (default: 0)",
    )
    part: str | None = argument(
        "--part",
        metavar="PART",
        help="of a model with several attentions: encoder, decoder, cross; text, vision",
    )
    heads: int | None = argument("--heads", metavar="H", help="heads, where a file does not say")
    prefix: str | None = argument(
        "--prefix", metavar="P", help="what stands before the tensors' names"
    )
    cross: bool = argument("--cross", help="a torch state dict's attention reads a second input")
    ignore: tuple[str, ...] = argument(
        "--ignore",
        metavar="KEY",
        help="read config.json as if it had not this key, or a folder without this adapter file",
    )
    tokens: int | None = argument(
        "--tokens",
        metavar="N",
        help="fix the number of tokens; T5, MPNet and ropes by length need it (default: as in the spec)",
    )
    weights: Path | None = argument(
        "--weights",
        apart="weights",
        metavar="FILE",
        help="safetensors file with W_Q, W_K, … for a spec",
    )
    random_weights: int | None = argument(
        "--random-weights", apart="weights", metavar="SEED", help="draw weights for a spec"
    )


class SourceArguments(SpecArguments):
    """Source, layer, sizes and weights."""

    source: Path = argument(
        help="a spec (.toml, .json, .yaml), a .safetensors, .bin, .pt, .gguf or .onnx file, or a checkpoint folder"
    )


def is_circuit(source: Path) -> bool:
    """Whether a source is a circuit as it is, rather than a spec. SpecError when it is neither."""
    return kind_of(source, (*CIRCUITS, *SOURCES)) in CIRCUITS


def read_source(
    source: Path, arguments: SpecArguments, progress: Callable[[str], None]
) -> tuple[AttentionSpec, Weights | None]:
    """The spec and its weights, None where they stay symbolic. SpecError for what does not fit."""
    progress(f"reading {source}")
    if kind_of(source, SOURCES) is PathKind.SPEC:
        return _read_spec(source, arguments)
    return _read_checkpoint(source, arguments)


def refuse_options_of_specs(arguments: SpecArguments, *others: str) -> None:
    """SpecError when an option was given that a compiled circuit cannot heed; `others` are such, too."""
    arguments.refuse("a compiled circuit", *OF_CHECKPOINTS, *OF_SPECS, *others)


def read_compiled(
    source: Path, arguments: SpecArguments, progress: Callable[[str], None]
) -> Circuit:
    """A circuit that was compiled before, with all its sizes set to `--tokens`."""
    refuse_options_of_specs(arguments)
    progress(f"reading {source}")
    circuit = read_circuit(source)
    if arguments.tokens is None:
        return circuit
    return read_circuit(source, dict.fromkeys(circuit.symbols, arguments.tokens))


def tell_of_passed_over(source: Path) -> None:
    """Say which pickled weights do not count, for there are safetensors beside them."""
    from cortico.frontends.checkpoint import passed_over

    for name in passed_over(source):
        print(f"cortico: {name} does not count, safetensors beside it do", file=sys.stderr)


def _read_spec(source: Path, arguments: SpecArguments) -> tuple[AttentionSpec, Weights | None]:
    from cortico.frontends import open_tensors, read_spec

    arguments.refuse("a spec file", *OF_CHECKPOINTS)
    spec = read_spec(source)
    if arguments.tokens is not None:
        spec = dataclasses.replace(spec, tokens=arguments.tokens)
    if arguments.weights is not None:
        tensors = open_tensors(arguments.weights)
        return spec, {name: tensors[name] for name in tensors}
    if arguments.random_weights is not None:
        return spec, _draw(spec, arguments.random_weights)
    return spec, None


def _draw(spec: AttentionSpec, seed: int) -> Weights:
    """Random weights. SpecError when there are more numbers than memory holds."""
    from cortico.ir import SpecError
    from cortico.spec.weights import random_weights, required_shapes

    try:
        return random_weights(spec, seed)
    except (MemoryError, ValueError):  # NumPy refuses very large arrays with a ValueError
        shapes = required_shapes(spec).values()
        total = sum(math.prod(int(side) for side in shape) for shape in shapes)
        raise SpecError(
            f"random weights of {spec.name!r} are {total:,} numbers, more than memory holds"
        ) from None


def _read_checkpoint(source: Path, arguments: SpecArguments) -> tuple[AttentionSpec, Weights]:
    from cortico.frontends.checkpoint import read_checkpoint

    arguments.refuse("a checkpoint", *OF_SPECS)
    tell_of_passed_over(source)
    return read_checkpoint(
        source,
        arguments.layer or 0,
        arguments.heads,
        arguments.prefix,
        arguments.cross or None,
        arguments.ignore,
        arguments.part,
        arguments.tokens,
    )
