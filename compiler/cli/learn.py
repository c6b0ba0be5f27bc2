"""How a circuit learns: what each plasticity rule needs, its gradients as formulas, or a network that does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments
from cortico.cli.sources import SourceArguments, is_circuit, read_compiled, read_source

if TYPE_CHECKING:
    from cortico.ir import Circuit
    from cortico.learning import Learning, RuleLocality
    from cortico.learning.formulas import Formulas
    from cortico.report.table import Table
    from cortico.spec.weights import Weights

_HOLDS, _FAILS = 0, 1


class Arguments(ForceArguments, SourceArguments):
    """What learns, how errors come back, and what to say of it. The source may be a compiled circuit, too."""

    explain: bool = argument("--explain", help="what each rule needs, as a table and in words")
    formulas: bool = argument(
        "--formulas", help="the gradients in closed form, made of the circuit"
    )
    latex: Path | None = argument(
        "--latex", metavar="FILE", help="write the formulas as a LaTeX document"
    )
    brian2: Path | None = argument(
        "--brian2",
        metavar="FILE.py",
        help="write a Brian2 script whose synapses learn, and FILE.npz, the weights that it starts from",
    )
    json: bool = argument("--json", help="print JSON")
    untied: bool = argument("--untied", help="a tensor for the synapses of each cell")
    untied_columns: bool = argument(
        "--untied-columns",
        help="the same for the cells of each token's columns: a weight for each synapse",
    )
    feedback: str = argument(
        "--feedback",
        choices=("transposed", "random", "learned"),
        default="transposed",
        help="what brings errors back (default: transposed)",
    )


def execute(arguments: Arguments) -> int:
    """Print what was asked for, by default the rules; 1 when a formula is not proved."""
    from cortico.cli.console import stages
    from cortico.files.writing import write_text

    with stages() as progress:
        learning, weights = _learning(arguments, progress)
        progress("making formulas")
        asked = arguments.formulas or arguments.latex is not None
        found = _formulas(learning) if asked else None
    if arguments.brian2 is not None:
        _write_network(learning, weights, arguments.brian2, arguments.force)
        if not (arguments.explain or arguments.json or asked):
            return _HOLDS
    if found is not None and arguments.latex is not None:
        write_text(arguments.latex, found.latex(), force=arguments.force)
    explain = arguments.explain or not asked
    if arguments.json:
        print(json.dumps(_record(learning, found if arguments.formulas else None), indent=2))
    else:
        _print(learning if explain else None, found if arguments.formulas else None)
    return _HOLDS if found is None or _is_proved(found) else _FAILS


def _learning(
    arguments: Arguments, progress: Callable[[str], None]
) -> tuple[Learning, Weights | None]:
    """The circuit with its rules, and the weights by its names, if there are any."""
    from cortico.learning import differentiate, untie, untied_values

    circuit, weights = _circuit(arguments, progress)
    progress("differentiating")
    columns = arguments.untied_columns
    if arguments.untied or columns:
        weights = None if weights is None else untied_values(circuit, weights, columns)
        circuit = untie(circuit, columns)
    return differentiate(circuit, feedback=arguments.feedback), weights


def _circuit(
    arguments: Arguments, progress: Callable[[str], None]
) -> tuple[Circuit, Weights | None]:
    """The circuit, symbolic, as no rule depends on the numbers; and these, where a network starts from them."""
    from cortico.ir.rewrite import map_parameters
    from cortico.lowering import circuit_weights, lower

    if is_circuit(arguments.source):
        compiled = read_compiled(arguments.source, arguments, progress)
        symbolic = map_parameters(compiled, lambda p: replace(p, values=None))
        return symbolic, _stored(compiled)
    spec, given = read_source(arguments.source, arguments, progress)
    if given is None or arguments.brian2 is None:
        return lower(spec), None
    return lower(spec), circuit_weights(spec, given)


def _stored(circuit: Circuit) -> Weights | None:
    """The weights that lie beside a compiled circuit, None where it has none."""
    return {p.name: p.values for p in circuit.parameters if p.values is not None} or None


def _write_network(learning: Learning, weights: Weights | None, path: Path, force: bool) -> None:
    """Write the script, and beside it the weights that it starts from."""
    from cortico.backends.array_files import save_npz
    from cortico.cli.console import console, print_line
    from cortico.files.writing import replacing_files
    from cortico.ir import SpecError
    from cortico.learning.online import emit_online, starting_weights
    from cortico.report.words import one_line

    if path.suffix != ".py":
        raise SpecError(f"--brian2 writes a script: {str(path)!r} must end in .py")
    if weights is None:
        raise SpecError(
            "a network starts from weights: give --weights FILE, or --random-weights SEED"
        )
    source, start = emit_online(learning, path.name), starting_weights(learning, weights)
    beside = path.with_suffix(".npz")
    with replacing_files(path.parent, force=force) as staging:
        (staging / path.name).write_text(source, encoding="utf-8")
        save_npz(staging / beside.name, start)
    place = one_line(str(path))
    print_line(f"written: {place}, and {one_line(beside.name)} to start from", console())
    print_line(f"run with: python {place} examples.npz -o learned.npz", console())


def _formulas(learning: Learning) -> Formulas:
    from cortico.learning.formulas import formulas

    return formulas(learning)


def _is_proved(found: Formulas) -> bool:
    from cortico.verify.known import Known

    return all(outcome.verdict is Known.PROVED for outcome in found.outcomes)


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
    from cortico.report.table import Table

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
