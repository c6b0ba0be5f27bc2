"""Whole models as pictures and pages see them: a network, the steps of its blocks, and what these do on an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cortico.cli.models import (
    OF_MODELS,
    LayerArguments,
    is_model,
    read_compiled,
    read_model_source,
)
from cortico.cli.paths import CIRCUITS, SOURCES, PathKind, kind_of
from cortico.cli.subjects import ExampleArguments, default_passes

if TYPE_CHECKING:
    import numpy as np

    from cortico.ir.network import Network
    from cortico.passes import NetworkStep, Step
    from cortico.spec import ModelSpec
    from cortico.verify.claims import Claim


class ViewArguments(LayerArguments, ExampleArguments):
    """A circuit or a whole model, and an input for it."""


@dataclass(frozen=True)
class Model:
    """A network, and how it was compiled unless it was read as it is."""

    network: Network
    spec: ModelSpec | None = None
    steps: Mapping[str, Sequence[Step]] = field(default_factory=dict)  #: by path
    across: Sequence[NetworkStep] = ()
    claims: tuple[Claim, ...] = ()


def is_whole(arguments: ViewArguments) -> bool:
    """Whether the source is a whole model. SpecError for one that is nothing to draw, and options of the other."""
    kind = kind_of(arguments.source, (PathKind.MODEL, *CIRCUITS, *SOURCES))
    if kind in CIRCUITS:
        arguments.refuse("a compiled circuit", *OF_MODELS)
        return False
    return kind is PathKind.MODEL or is_model(arguments.source, arguments)


def read_view(
    arguments: ViewArguments, progress: Callable[[str], None], verify: bool = False
) -> Model:
    """The network of a compiled folder, or of a source that is compiled. SpecError for what does not fit."""
    if kind_of(arguments.source, (PathKind.MODEL, *SOURCES)) is PathKind.MODEL:
        arguments.refuse("a compiled model", "tokens")
        return Model(read_compiled(arguments.source, arguments, progress))
    from cortico.model_pipeline import compile_model

    spec, weights = read_model_source(arguments.source, arguments, progress)
    passes = default_passes(arguments.passes)
    made = compile_model(spec, weights, passes=passes, progress=progress, verify=verify)
    claims = made.verification.claims if made.verification else ()
    return Model(made.network, spec, made.steps, made.across, claims)


def checked_sizes(network: Network, bind: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The numbers of `--bind`. SpecError for a symbol that the network has not."""
    from cortico.ir import CircuitError, SpecError

    try:
        network.flatten().bind(**dict(bind))
    except CircuitError as error:
        raise SpecError(str(error)) from None
    return dict(bind)


def read_example(
    arguments: ViewArguments, network: Network
) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """What the model is given, one example, and the names of its tokens where it is a sentence."""
    from cortico.cli.run import read_arrays

    if arguments.sentence is None:
        assert arguments.input is not None
        return read_arrays(arguments.input, network), []
    from cortico.frontends.tokenizer import read_tokenizer
    from cortico.texts import text_inputs

    tokenizer = read_tokenizer(arguments.source)
    inputs = text_inputs(network, [arguments.sentence], tokenizer)
    tokens = tokenizer.encode(arguments.sentence).tokens
    return {name: array[0] for name, array in inputs.items()}, tokens
