"""Hold a circuit or a whole model against published anatomy: which pathways are known, contested or absent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.models import ModelArguments, read_whole
from cortico.cli.outputs import ForceArguments
from cortico.cli.sources import is_circuit, read_compiled, read_source

if TYPE_CHECKING:
    from cortico.anatomy import Audit, NetworkAudit
    from cortico.anatomy.suggestions import Alternative
    from cortico.ir import Circuit
    from cortico.ir.network import Network
    from cortico.spec import AttentionSpec
    from cortico.spec.weights import Weights

_SOUND, _CONTRADICTED = 0, 1


class Arguments(ForceArguments, ModelArguments):
    """What to audit, what to add to the audit, and where to write it."""

    passes: str | None = argument(
        "--passes", metavar="P", help="passes to run before the audit of a spec (default: none)"
    )
    suggest: bool = argument("--suggest", help="try settings and passes that resolve warnings")
    json: Path | None = argument("--json", metavar="FILE", help="write the audit as JSON")
    markdown: Path | None = argument(
        "--markdown", metavar="FILE", help="write it as Markdown, with a bibliography"
    )
    strict: bool = argument("--strict", help="exit code 1 when something is contradicted")


def execute(arguments: Arguments) -> int:
    """Print the audit; 1 when `--strict` and something is contradicted."""
    from cortico.anatomy import Audit, Verdict
    from cortico.cli.console import stages

    with stages() as progress:
        network = read_whole(arguments, arguments.passes or "none", progress)
        made = _audited(arguments, progress) if network is None else _model(arguments, network)
        _write(made, arguments)
    flat = made if isinstance(made, Audit) else made.flat
    _print(made, flat)
    verdicts = [*flat.verdicts.values(), *(m.verdict for m in flat.measures)]
    broken = arguments.strict and Verdict.CONTRADICTED in verdicts
    return _CONTRADICTED if broken else _SOUND


def _audited(arguments: Arguments, progress: Callable[[str], None]) -> Audit:
    from cortico.anatomy import audit
    from cortico.anatomy.suggestions import pass_alternatives, suggest

    spec, weights, circuit = _read(arguments, progress)
    progress("holding it against published anatomy")
    found = audit(circuit)
    if not arguments.suggest:
        return found
    progress("trying other settings and passes")
    alternatives = list(_spec_alternatives(arguments, spec, weights)) if spec else []
    return suggest(found, [*alternatives, *pass_alternatives(circuit)])


def _model(arguments: Arguments, network: Network) -> NetworkAudit:
    from cortico.anatomy import audit_network

    arguments.refuse(
        "a whole model: settings and passes are tried on one attention (--layer N of a checkpoint)",
        "suggest",
    )
    sizes = dict.fromkeys(network.symbols, arguments.tokens) if arguments.tokens else {}
    return audit_network(network.bind(**sizes))


def _spec_alternatives(
    arguments: Arguments, spec: AttentionSpec, weights: Weights | None
) -> Iterable[Alternative]:
    from cortico.anatomy.suggestions import spec_alternatives
    from cortico.passes import parse_passes

    return spec_alternatives(spec, weights, parse_passes(arguments.passes or "none"))


def _read(
    arguments: Arguments, progress: Callable[[str], None]
) -> tuple[AttentionSpec | None, Weights | None, Circuit]:
    """The circuit, and the spec and weights that it was lowered from here, if any."""
    if is_circuit(arguments.source):
        arguments.refuse("a compiled circuit", "passes")
        return None, None, read_compiled(arguments.source, arguments, progress)
    from cortico.lowering import lower
    from cortico.passes import parse_passes, run_passes

    spec, weights = read_source(arguments.source, arguments, progress)
    circuit, _ = run_passes(lower(spec, weights), parse_passes(arguments.passes or "none"))
    return spec, weights, circuit


def _write(found: Audit | NetworkAudit, arguments: Arguments) -> None:
    from cortico.anatomy.markdown import audit_markdown
    from cortico.files.writing import write_text

    if arguments.json is not None:
        text = json.dumps(found.record(), indent=2) + "\n"
        write_text(arguments.json, text, force=arguments.force)
    if arguments.markdown is not None:
        write_text(arguments.markdown, audit_markdown(found), force=arguments.force)


def _print(found: Audit | NetworkAudit, flat: Audit) -> None:
    from cortico.anatomy.markdown import finding_table, measure_table, suggestions, summary
    from cortico.cli.console import console, print_line

    out = console()
    _print_rows("Pathways", finding_table(found))
    _print_rows("Numbers", measure_table(found))
    print_line(f"\n{summary(found)}", out, style="bold")
    for line in suggestions(flat):
        print_line(f"* {line}", out)
    if flat.sources:
        print_line("", out)
    for line in _sources(flat):
        print_line(line, out)


def _print_rows(title: str, rows: Iterable[Sequence[str]]) -> None:
    """A table, if there is anything in it."""
    from cortico.cli.console import console, print_table
    from cortico.report.table import Table

    header, *body = rows
    if body:
        print_table(Table(title, tuple(header), tuple(map(tuple, body)), 0), console())


def _sources(found: Audit) -> Iterator[str]:
    for row in found.sources:
        yield f"{row.id}  {'; '.join(map(str, row.references))} ({row.species})"
