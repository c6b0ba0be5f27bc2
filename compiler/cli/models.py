"""Whole models on the command line: a model spec, or a checkpoint of which no single attention is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.paths import CIRCUITS, SOURCES, PathKind, kind_of
from cortico.cli.sources import (
    OF_CHECKPOINTS,
    OF_SPECS,
    SourceArguments,
    SpecArguments,
    tell_of_passed_over,
)

if TYPE_CHECKING:
    import numpy as np

    from cortico.ir.network import Network
    from cortico.spec import ModelSpec

    Weights = dict[str, dict[str, np.ndarray]]

#: Options that say that one attention of a checkpoint is meant.
_OF_ONE = ("layer", "part", "heads", "cross")
OF_MODELS = ("layers", "architecture")


class LayerArguments(SpecArguments):
    """Layers, sizes and weights, of a whole model or of one attention."""

    layers: str | None = argument(
        "--layers", metavar="A-B", help="only these layers of a model, such as 0-3 (default: all)"
    )
    architecture: str | None = argument(
        "--architecture",
        metavar="NAME",
        help="read a checkpoint as this class of transformers, such as BertForMaskedLM",
    )


class ModelArguments(LayerArguments, SourceArguments):
    """The same and the source."""


def is_model(source: Path, arguments: LayerArguments) -> bool:
    """Whether a whole model is meant. SpecError for options that contradict each other, and for other files."""
    kind = kind_of(source, SOURCES)
    one, whole = [*arguments.given(*_OF_ONE)], [*arguments.given(*OF_MODELS)]
    if kind is PathKind.SPEC:
        from cortico.frontends.spec_file import read_any_spec
        from cortico.spec import ModelSpec

        found = isinstance(read_any_spec(source), ModelSpec)
    else:
        found = not one and kind is not PathKind.ONNX and _has_config(source, kind)
    if one:
        arguments.refuse(f"one attention, which {one[0]} asks for", *OF_MODELS)
    if whole and not found:
        arguments.refuse("one attention", *OF_MODELS)
    return found


def _has_config(source: Path, kind: PathKind) -> bool:
    """Whether more is known of a checkpoint than the tensors of one attention."""
    folder = source if source.is_dir() else source.parent
    places = (folder / "config.json", folder / "modules.json")
    return kind is PathKind.GGUF or any(place.exists() for place in places)


def read_model_source(
    source: Path, arguments: LayerArguments, progress: Callable[[str], None]
) -> tuple[ModelSpec, Weights | None]:
    """The model spec and its weights by path, None where they stay symbolic."""
    if kind_of(source, SOURCES) is PathKind.SPEC:
        arguments.refuse("a model spec", "tokens")
    return _read_model_source(source, arguments, progress)


def _read_model_source(
    source: Path, arguments: LayerArguments, progress: Callable[[str], None]
) -> tuple[ModelSpec, Weights | None]:
    progress(f"reading {source}")
    if kind_of(source, SOURCES) is PathKind.SPEC:
        spec, weights = _of_spec(source, arguments)
    else:
        spec, weights = _of_checkpoint(source, arguments)
    if arguments.layers is None:
        return spec, weights
    from cortico.spec.part_of_model import only_layers

    return only_layers(spec, weights, *number_range(arguments.layers, "--layers"))


def read_whole(
    arguments: ModelArguments, passes: str, progress: Callable[[str], None]
) -> Network | None:
    """The whole model that a source is, compiled before or here; None where it is one circuit.

    What `--tokens` says of sizes that are symbols is left to the caller. SpecError for options that do not apply.
    """
    source = arguments.source
    kind = kind_of(source, (PathKind.MODEL, *CIRCUITS, *SOURCES))
    if kind is PathKind.MODEL:
        return read_compiled(source, arguments, progress)
    if kind in CIRCUITS:
        arguments.refuse("a compiled circuit", *OF_MODELS)
        return None
    if not is_model(source, arguments):
        return None
    from cortico.model_pipeline import compile_model

    spec, weights = _read_model_source(source, arguments, progress)
    return compile_model(spec, weights, passes, progress=progress).network


def read_compiled(
    folder: Path, arguments: LayerArguments, progress: Callable[[str], None]
) -> Network:
    """The network of a compiled folder. SpecError for options that say how to compile one."""
    arguments.refuse("a compiled model", *OF_CHECKPOINTS, *OF_SPECS, *OF_MODELS, "passes")
    progress(f"reading {folder}")
    return read_network(folder)


def number_range(text: str, option: str) -> tuple[int, int]:
    """First and last of `0-3`; of `2` both are 2."""
    from cortico.ir import SpecError
    from cortico.ir.errors import shown

    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text, re.ASCII)
    if found is None:
        raise SpecError(f"{option} must be a range such as 0-3, found {shown(text)}")
    return int(found[1]), int(found[2] or found[1])


def _of_spec(source: Path, arguments: LayerArguments) -> tuple[ModelSpec, Weights | None]:
    from cortico.frontends import open_tensors
    from cortico.frontends.spec_file import read_model_spec
    from cortico.ir import SpecError
    from cortico.spec.model_weights import by_path, model_shapes, random_model

    arguments.refuse("a model spec", *_OF_ONE, "prefix", "ignore", "architecture")
    spec = read_model_spec(source)
    if arguments.weights is not None:
        tensors = open_tensors(arguments.weights)
        return spec, by_path({name: tensors[name] for name in tensors})
    if arguments.random_weights is None:
        return spec, None
    try:
        return spec, random_model(spec, arguments.random_weights)
    except (MemoryError, ValueError):  # NumPy refuses very large arrays with a ValueError
        raise SpecError(
            f"random weights of {spec.name!r} are more than memory holds: {len(model_shapes(spec))} blocks"
        ) from None


def _of_checkpoint(source: Path, arguments: LayerArguments) -> tuple[ModelSpec, Weights]:
    from cortico.frontends.whole_models import read_model

    arguments.refuse("a checkpoint", "weights", "random_weights")
    tell_of_passed_over(source)
    return read_model(
        source, arguments.architecture, arguments.prefix, arguments.ignore, arguments.tokens
    )


def read_network(folder: Path) -> Network:
    """The network of a compiled model. An error in its files, NaN too, is the user's input: SpecError."""
    from cortico.files.names import NETWORK
    from cortico.ir import CircuitError, SpecError
    from cortico.ir.errors import bullet_list
    from cortico.ir.text import load_network

    kind_of(folder, (PathKind.MODEL,))
    try:
        network = load_network(folder / NETWORK)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    wrong = [*_not_finite(network)]
    if wrong:
        raise SpecError(f"weights of {str(folder)!r} are wrong:{bullet_list(wrong)}")
    return network


def _not_finite(network: Network) -> Iterator[str]:
    """A line for each array with numbers that are none, as no spec is given such."""
    import numpy as np

    for node in network:
        for name, array in node.values.items():
            if not np.isfinite(array).all():
                yield f"{node.path}: {name} has numbers that are NaN or infinite"
