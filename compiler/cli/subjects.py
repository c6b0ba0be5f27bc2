"""What pictures and pages are made of: a source that is compiled, or a circuit as it is, and an input."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.circuits import BindArguments, read_circuit
from cortico.cli.sources import (
    SourceArguments,
    is_circuit,
    read_source,
    refuse_options_of_specs,
)

if TYPE_CHECKING:
    import numpy as np

    from cortico.experiment.activity import Activity
    from cortico.ir import Circuit
    from cortico.passes import Step
    from cortico.pipeline import Compilation


@dataclass(frozen=True)
class Subject:
    """A circuit, and how it was compiled unless it was read as it is."""

    circuit: Circuit
    compilation: Compilation | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.compilation.steps if self.compilation else ()


class SubjectArguments(BindArguments, SourceArguments):
    """Source, sizes and passes. The source may also be a compiled folder or a .cortico file."""

    passes: str | None = argument("--passes", metavar="P", help="passes to run (default: default)")

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        super().add_to(parser)
        parser.epilog = (
            "The source may also be a folder written by `cortico compile`, or a .cortico file."
        )


class ExampleArguments(SubjectArguments):
    """What makes the circuit, and an input for it."""

    input: Path | None = argument(
        "-i", "--input", apart="example", metavar="FILE", help=".npy of x, or .npz by input name"
    )
    sentence: str | None = argument(
        "--sentence",
        apart="example",
        metavar="TEXT",
        help="what a language model reads, where the source is one",
    )


def default_passes(given: str | None) -> str:
    """The passes that were asked for, or those that run without a word."""
    return "default" if given is None else given


def read_subject(
    arguments: SubjectArguments, progress: Callable[[str], None], verify: bool = False
) -> Subject:
    """The circuit of the source, with sizes bound. SpecError for what does not fit."""
    if is_circuit(arguments.source):
        return _read_circuit(arguments, progress)
    from cortico.ir import CircuitError, SpecError
    from cortico.pipeline import compile_attention

    spec, weights = read_source(arguments.source, arguments, progress)
    compilation = compile_attention(
        spec, weights, passes=default_passes(arguments.passes), progress=progress, verify=verify
    )
    try:
        return Subject(compilation.circuit.bind(**dict(arguments.bind)), compilation)
    except CircuitError as error:
        raise SpecError(str(error)) from None


def read_activity(
    arguments: ExampleArguments, subject: Subject, progress: Callable[[str], None]
) -> tuple[Activity | None, list[str]]:
    """What the circuit does on the given input, and the names of its tokens; None without an input."""
    from cortico.cli.run import read_arrays
    from cortico.experiment.activity import observe

    inputs: Mapping[str, np.ndarray]
    if arguments.sentence is not None:
        inputs, tokens = _sentence(arguments, progress)
    elif arguments.input is not None:
        inputs, tokens = read_arrays(arguments.input, subject.circuit), []
    else:
        return None, []
    progress("running the circuit")
    return observe(subject.circuit, inputs), tokens


def bound_steps(subject: Subject, sizes: Mapping[str, int]) -> list[Step]:
    """The steps of the passes, with sizes bound where the circuits have them."""

    def bind(circuit: Circuit) -> Circuit:
        return circuit.bind(**{s: n for s, n in sizes.items() if s in circuit.symbols})

    return [
        replace(step, before=bind(step.before), after=bind(step.after))
        for step in subject.steps
        if step.changed
    ]


def _read_circuit(arguments: SubjectArguments, progress: Callable[[str], None]) -> Subject:
    others = ("sentence",) if isinstance(arguments, ExampleArguments) else ()
    refuse_options_of_specs(arguments, "tokens", "passes", *others)
    progress(f"reading {arguments.source}")
    return Subject(read_circuit(arguments.source, dict(arguments.bind)))


def _sentence(
    arguments: ExampleArguments, progress: Callable[[str], None]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """What the layer of a language model gets when the model reads a sentence, and its tokens."""
    from cortico.texts import read_at

    progress("reading the sentence")
    assert arguments.sentence is not None
    reading = read_at(
        arguments.source,
        [arguments.sentence],
        arguments.layer or 0,
        arguments.part,
        arguments.prefix,
        arguments.ignore,
        arguments.tokens,
    )
    return {name: array[0] for name, array in reading.inputs.items()}, [*reading.pieces[0]]
