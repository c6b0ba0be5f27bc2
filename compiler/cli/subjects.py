"""What pictures and pages are made of: a source that is compiled, or a circuit as it is, and an input."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.numbers import binding
from cortico.cli.sources import add_source_arguments, read_source

if TYPE_CHECKING:
    import numpy as np

    from cortico.activity import Activity
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


def add_circuit_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, sizes and passes. The source may also be a compiled folder or a .cortico file."""
    add_source_arguments(parser)
    parser.epilog = (
        "The source may also be a folder written by `cortico compile`, or a .cortico file."
    )
    parser.add_argument(
        "--bind",
        action="append",
        type=binding,
        default=[],
        metavar="n=16",
        help="give a symbolic size a number; repeatable",
    )
    parser.add_argument(
        "--passes", default="default", metavar="P", help="passes to run (default: default)"
    )


def add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    """What makes the circuit, and an input for it."""
    add_circuit_arguments(parser)
    example = parser.add_mutually_exclusive_group()
    example.add_argument(
        "-i", "--input", type=Path, metavar="FILE", help=".npy of x, or .npz by input name"
    )
    example.add_argument(
        "--sentence", metavar="TEXT", help="what a language model reads, where the source is one"
    )


def read_subject(
    arguments: argparse.Namespace, progress: Callable[[str], None], verify: bool = False
) -> Subject:
    """The circuit of the source, with sizes bound. SpecError for what does not fit."""
    if _is_circuit(arguments.source):
        return _read_circuit(arguments, progress)
    from cortico.ir import CircuitError, SpecError
    from cortico.pipeline import compile_attention

    spec, weights = read_source(arguments, progress)
    compilation = compile_attention(
        spec, weights, passes=arguments.passes, progress=progress, verify=verify
    )
    try:
        return Subject(compilation.circuit.bind(**dict(arguments.bind)), compilation)
    except CircuitError as error:
        raise SpecError(str(error)) from None


def read_activity(
    arguments: argparse.Namespace, subject: Subject, progress: Callable[[str], None]
) -> tuple[Activity | None, list[str]]:
    """What the circuit does on the given input, and the names of its tokens; None without an input."""
    from cortico.activity import observe
    from cortico.cli.run import read_arrays

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


def _is_circuit(source: Path) -> bool:
    return source.suffix == ".cortico" or (source / "circuit.cortico").is_file()


def _read_circuit(arguments: argparse.Namespace, progress: Callable[[str], None]) -> Subject:
    from cortico.cli.circuits import read_circuit
    from cortico.ir import SpecError

    for option in ("layer", "heads", "prefix", "tokens", "weights", "random_weights", "sentence"):
        if getattr(arguments, option, None) is not None:
            flag = option.replace("_", "-")
            raise SpecError(f"--{flag} does not apply to a compiled circuit, {arguments.source}")
    progress(f"reading {arguments.source}")
    return Subject(read_circuit(arguments.source, dict(arguments.bind)))


def _sentence(
    arguments: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """What the layer of a language model gets when the model reads a sentence, and its tokens."""
    from cortico.minilm import MiniLM

    progress("reading the sentence")
    model = MiniLM.load(arguments.source)
    ids, keep = model.tokenize([arguments.sentence])
    hidden = model.forward(ids, keep).hidden[arguments.layer or 0]
    return {"x": hidden[0], "keep": keep[0]}, model.tokens(arguments.sentence)
