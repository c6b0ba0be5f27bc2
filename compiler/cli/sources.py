"""Reading what to compile from the command line: a spec file, or one layer of a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.numbers import whole_number

if TYPE_CHECKING:
    from cortico.spec import AttentionSpec
    from cortico.weights import Weights

_SPEC_SUFFIXES = (".toml", ".json", ".yaml", ".yml")


def add_source_arguments(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Source, layer, sizes and weights; the source may be left out if `optional`."""
    parser.add_argument(
        "source",
        type=Path,
        nargs="?" if optional else None,
        help="a spec (.toml, .json, .yaml), a .safetensors or .onnx file, or a checkpoint folder",
    )
    parser.add_argument(
        "--layer",
        type=whole_number,
        metavar="N",
        help="layer of a checkpoint, or attention of an ONNX file (default: 0)",
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


def read_source(
    arguments: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[AttentionSpec, Weights | None]:
    """The spec and its weights, None where they stay symbolic. SpecError for what does not fit."""
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

    if source.is_file() and source.suffix.lower() not in (*_SPEC_SUFFIXES, ".safetensors", ".onnx"):
        raise SpecError(
            f"{str(source)!r} is no spec ({', '.join(_SPEC_SUFFIXES)}), "
            "no .safetensors or .onnx file and no checkpoint folder"
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
