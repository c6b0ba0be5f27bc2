"""Let a model write: what follows a text, token by token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.models import ModelArguments, is_model, read_model_source, read_network
from cortico.cli.paths import SOURCES, PathKind, kind_of

if TYPE_CHECKING:
    from cortico.ir.network import Network


class Arguments(ModelArguments):
    """The model, the text, and how tokens are drawn."""

    source: Path = argument(
        help="a folder written by `cortico compile`, a checkpoint folder or a .gguf file"
    )
    text: str = argument(
        "--text",
        required=True,
        metavar="TEXT",
        help="what the model goes on from, or what its encoder hears",
    )
    count: int = argument(
        "--count", default=64, metavar="N", help="most tokens that are written (default: 64)"
    )
    temperature: str = argument(
        "--temperature",
        default="0",
        metavar="T",
        help="0: the likeliest token; else drawn from softmax(logits / T) (default: 0)",
    )
    top_k: int | None = argument(
        "--top-k", metavar="K", help="draw from the K likeliest tokens (default: from all)"
    )
    seed: int | None = argument(
        "--seed", metavar="S", help="of the drawing (default: another each time)"
    )
    precision: str = argument(
        "--precision", default="float32", choices=("float32", "float64"), help="(default: float32)"
    )


def execute(arguments: Arguments) -> int:
    """Read or compile the model, and print text as it is written."""
    import sys

    from cortico.cli.console import printable, stages
    from cortico.frontends.generation import read_ends
    from cortico.frontends.tokenizer import read_tokenizer
    from cortico.texts import Writer

    with stages() as progress:
        tokenizer = read_tokenizer(arguments.source)
        network = _network(arguments, progress)
        progress("making weights ready")
        writer = Writer(network, tokenizer, arguments.precision, read_ends(arguments.source))
        pieces = writer.write(
            arguments.text,
            arguments.count,
            _temperature(arguments.temperature),
            arguments.top_k,
            arguments.seed,
        )
    for piece in ("" if writer.answers else arguments.text, *pieces):
        sys.stdout.write(printable(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _temperature(text: str) -> float:
    """The number that a text says."""
    from cortico.ir import SpecError
    from cortico.ir.errors import shown

    try:
        return float(text)
    except ValueError:
        raise SpecError(f"--temperature must be a number, found {shown(text)}") from None


def _network(arguments: Arguments, progress: Callable[[str], None]) -> Network:
    """The compiled model, or the network of a checkpoint."""
    from cortico.ir import SpecError
    from cortico.model_pipeline import compile_model

    kind = kind_of(arguments.source, (PathKind.MODEL, *SOURCES))
    if kind is PathKind.MODEL:
        progress(f"reading {arguments.source}")
        return read_network(arguments.source)
    if not is_model(arguments.source, arguments):
        raise SpecError(f"{str(arguments.source)!r} is one attention, expected a whole model")
    spec, weights = read_model_source(arguments.source, arguments, progress)
    if weights is None:
        raise SpecError(
            f"{str(arguments.source)!r} has no weights: give --weights or --random-weights"
        )
    return compile_model(spec, weights, progress=progress).network
