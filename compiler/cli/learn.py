"""How a circuit learns: what each plasticity rule needs and where it is, or its gradients as formulas."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.sources import add_source_arguments, read_source

if TYPE_CHECKING:
    from cortico.learning import Learning, RuleLocality
    from cortico.learning.formulas import Formulas
    from cortico.report import Table

_HOLDS, _FAILS = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What learns, how errors come back, and what to say of it."""
    add_source_arguments(parser)
    parser.add_argument(
        "--explain", action="store_true", help="what each rule needs, as a table and in words"
    )
    parser.add_argument(
        "--formulas", action="store_true", help="the gradients in closed form, made of the circuit"
    )
    parser.add_argument(
        "--latex", type=Path, metavar="FILE", help="write the formulas as a LaTeX document"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--untied", action="store_true", help="a tensor for the synapses of each cell"
    )
    parser.add_argument(
        "--feedback",
        choices=("transposed", "random", "learned"),
        default="transposed",
        help="what brings errors back (default: transposed)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print what was asked for, by default the rules; 1 when a formula is not proved."""
    from cortico.cli.console import stages

    with stages() as progress:
        learning = _learning(arguments, progress)
        progress("making formulas")
        asked = arguments.formulas or arguments.latex is not None
        found = _formulas(learning) if asked else None
    if found is not None and arguments.latex is not None:
        _write(found, arguments.latex)
    explain = arguments.explain or not asked
    if arguments.json:
        print(json.dumps(_record(learning, found if arguments.formulas else None), indent=2))
    else:
        _print(learning if explain else None, found if arguments.formulas else None)
    return _HOLDS if found is None or _is_proved(found) else _FAILS


def _learning(arguments: argparse.Namespace, progress: Callable[[str], None]) -> Learning:
    from cortico.learning import differentiate, untie
    from cortico.lowering import lower

    spec, _ = read_source(arguments, progress)
    progress("differentiating")
    circuit = lower(spec)  # no rule depends on the numbers
    circuit = untie(circuit) if arguments.untied else circuit
    return differentiate(circuit, feedback=arguments.feedback)


def _formulas(learning: Learning) -> Formulas:
    from cortico.learning.formulas import formulas

    return formulas(learning)


def _is_proved(found: Formulas) -> bool:
    from cortico.verify.normal.equivalence import Verdict

    return all(outcome.verdict is Verdict.PROVED for outcome in found.outcomes)


def _write(found: Formulas, path: Path) -> None:
    from cortico.files import replacing_files

    with replacing_files(path.parent) as staging:
        (staging / path.name).write_text(found.latex(), encoding="utf-8")


def _record(learning: Learning, found: Formulas | None) -> dict[str, object]:
    from cortico.learning import locality

    record: dict[str, object] = {
        "name": learning.circuit.name,
        "feedback": learning.feedback,
        "rules": [each.record() for each in locality(learning)],
    }
    if found is not None:
        record["formulas"] = str(found).splitlines()
        record["verdicts"] = {each.output: each.verdict for each in found.outcomes}
    return record


def _print(learning: Learning | None, found: Formulas | None) -> None:
    """The rules, and the formulas, each if there."""
    from cortico.cli.console import console, print_line, print_table
    from cortico.learning import locality

    out = console()
    if learning is not None:
        reports = locality(learning)
        print_table(locality_table(reports), out)
        print_line("", out)
        for report in reports:
            print_line(f"* {report}", out)
    if found is not None:
        print_line(str(found), out)
        verdicts = ", ".join(dict.fromkeys(each.verdict.value for each in found.outcomes))
        print_line(f"these are the gradients of the circuit: {verdicts}", out, style="bold")


def locality_table(reports: Sequence[RuleLocality]) -> Table:
    """One row for each rule, with its labels."""
    from cortico.report import Table

    rows = (
        (
            r.parameter.name,
            r.pre.name if r.pre else "",
            r.post,
            " · ".join(r.third),
            ", ".join(r.trace),
            ", ".join(r.shared),
            ", ".join(r.transported),
            ", ".join(r.labels),
        )
        for r in reports
    )
    header = (
        "weight",
        "rate of",
        "error of",
        "third factor",
        "trace",
        "shared",
        "back by",
        "label",
    )
    return Table("Plasticity rules", header, tuple(rows), 0)
