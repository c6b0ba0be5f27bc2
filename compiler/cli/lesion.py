"""Silence or scale cells or pathways of a circuit, and show what changes on given input."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli import run
from cortico.cli.arguments import argument
from cortico.cli.circuits import read_circuit
from cortico.cli.paths import CIRCUITS, PathKind, kind_of
from cortico.cli.targets import read_backend

if TYPE_CHECKING:
    from cortico.experiment import Effects
    from cortico.ir import Circuit
    from cortico.report.table import Table

#: What is done: a target as text, and the factor of its rates or synapses.
Cut = tuple[str, float]

_TARGETS = (
    "TARGET is population:NAME, layer:L2/3, cell:pv, nucleus:matrix or projection:NAME; "
    "TARGET@area=0,3 is in these areas (heads) only, TARGET@level=3 and TARGET@level=3,area=0 of a whole model in "
    "that level."
)


def _scaling(text: str) -> Cut:
    """The target and factor of a text such as `nucleus:matrix=0.5`, for argparse's `type`."""
    target, _, factor = text.rpartition("=")
    try:
        return target, float(factor)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected TARGET=FACTOR, such as nucleus:matrix=0.5, found {text!r}"
        ) from None


class Arguments(run.Arguments):
    """Circuit, lesions, input, and where to write what came of it."""

    cuts: tuple[Cut, ...] = argument(
        "--silence",
        type=lambda text: (text, 0.0),
        metavar="TARGET",
        help="rates (or synapses) become 0; repeatable",
    )
    json: Path | None = argument("--json", metavar="FILE", help="write the changes as JSON")

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        super().add_to(parser)
        parser.epilog = _TARGETS
        parser.add_argument(
            "--scale",
            action="append",
            type=_scaling,
            dest="cuts",
            metavar="TARGET=FACTOR",
            help="rates (or synapses) times a factor; repeatable",
        )


def execute(arguments: Arguments) -> int:
    """Run the circuit and its lesion, write what was asked for, and print the changes."""
    from cortico.cli.console import stages
    from cortico.cli.run import check_output, write_arrays
    from cortico.ir import SpecError

    if not arguments.cuts:
        raise SpecError(
            f"nothing to do: give --silence TARGET or --scale TARGET=FACTOR. {_TARGETS}"
        )
    if kind_of(arguments.circuit, (*CIRCUITS, PathKind.MODEL)) is PathKind.MODEL:
        from cortico.cli.lesion_model import lesion_model

        return lesion_model(arguments)
    arguments.refuse("a circuit, which hears no words", "text")
    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        circuit = read_circuit(arguments.circuit)
        check_output(arguments.output, circuit)
        found = _changes(arguments, circuit, progress)
        if arguments.output:
            write_arrays(arguments.output, dict(found.given), arguments.force)
        if arguments.json:
            _write_json(arguments.json, arguments, found)
    _print(circuit, arguments.cuts, found)
    return 0


def _changes(arguments: Arguments, circuit: Circuit, progress: Callable[[str], None]) -> Effects:
    import numpy as np

    from cortico.cli.run import read_arrays, read_weights, required_input
    from cortico.experiment import effects, lesions

    inputs = read_arrays(required_input(arguments), circuit)
    weights = read_weights(arguments.weights, arguments.circuit, circuit)
    lesioned = lesions(circuit, arguments.cuts)
    progress(f"running {arguments.backend}, whole and lesioned")
    with np.errstate(all="ignore"):  # a change of NaN is shown as such
        return effects(circuit, lesioned, inputs, weights, read_backend(arguments))


def _write_json(path: Path, arguments: Arguments, found: Effects) -> None:
    from cortico.files.writing import write_text

    lesions = [{"target": target, "factor": factor} for target, factor in arguments.cuts]
    text = json.dumps({"lesions": lesions, **found.record()}, indent=2) + "\n"
    write_text(path, text, force=arguments.force)


# ---- printing ------------------------------------------------------------------------------------


def _print(circuit: Circuit, cuts: Sequence[Cut], found: Effects) -> None:
    from cortico.cli.console import console, print_line, print_table

    out = console()
    for target, factor in cuts:
        print_line(told(target, factor), out)
    for note in _notes(circuit, cuts):
        print_line(note, out)
    for table in _tables(found):
        print_table(table, out)


def told(target: str, factor: float) -> str:
    """What was done to a target, in words."""
    return f"{target} {'silenced' if factor == 0 else f'times {factor:g}'}"


def _notes(circuit: Circuit, cuts: Sequence[Cut]) -> Iterator[str]:
    """Where a silenced divisor is no disinhibition, and where it is."""
    from cortico.experiment.cut import divided_by
    from cortico.experiment.targets import read_target

    for target, factor in cuts:
        divided = divided_by(circuit, read_target(target)) if factor == 0 else {}
        silent = [name for name, constant in divided.items() if not constant]
        released = [name for name, constant in divided.items() if constant]
        if silent:
            yield (
                f"note: {target} divides {', '.join(silent)}, and x/0 is 0 in a circuit: these cells "
                "fall silent. To weaken inhibition, use --scale."
            )
        if released:
            yield (
                f"note: {target} divides {', '.join(released)}, which a constant divides too: these cells "
                "are released."
            )


def _tables(found: Effects) -> Iterator[Table]:
    """Outputs and shared cells, then a row for each area."""
    from cortico.report.table import Table
    from cortico.report.words import percent

    whole = {**{f"output {n}": c for n, c in found.outputs.items()}, **found.shared}
    rows = tuple((name, percent(change)) for name, change in whole.items())
    yield Table("Relative change", ("of", "change"), rows, 1)
    if found.areas:
        yield _area_table(found)


def _area_table(found: Effects) -> Table:
    from cortico.report.table import Table
    from cortico.report.words import percent

    populations = list(found.areas[0].populations)
    attends = any(area.attention is not None for area in found.areas)
    header = ("area", *["attention"] * attends, *populations)
    rows = tuple(
        (
            str(area.area),
            *[percent(area.attention)] * attends,
            *(percent(area.populations[name]) for name in populations),
        )
        for area in found.areas
    )
    return Table("Relative change by area (head)", header, rows, len(header) - 1)
