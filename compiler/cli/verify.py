"""Prove a circuit right, or re-check a certificate. Exits with 1 when a claim does not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.models import LayerArguments, is_model, read_model_source, read_network
from cortico.cli.outputs import ForceArguments
from cortico.cli.paths import SOURCES, PathKind, kind_of
from cortico.cli.sources import read_source, refuse_options_of_specs
from cortico.cli.subjects import default_passes
from cortico.files.names import CERTIFICATE

if TYPE_CHECKING:
    from cortico.pipeline import Compilation
    from cortico.report.table import Table
    from cortico.spec import AttentionSpec, ModelSpec
    from cortico.spec.weights import Given
    from cortico.verify.claims import Claims

    Spec = AttentionSpec | ModelSpec

_HOLDS, _FAILS = 0, 1


class Arguments(ForceArguments, LayerArguments):
    """What to verify, or a certificate to re-check; where to write proof and derivation.

    The source may also be a folder written by `cortico compile --verify`.
    """

    source: Path | None = argument(
        nargs="?",
        help="a spec (.toml, .json, .yaml), a .safetensors or .onnx file, a checkpoint or compiled folder",
    )
    passes: str | None = argument(
        "--passes", metavar="P", help="passes to prove (default: default)"
    )
    check: Path | None = argument(
        "--check",
        metavar="FILE",
        help="re-check a certificate, with other code; with a source, against its spec and weights",
    )
    output: Path | None = argument("-o", "--output", metavar="DIR", help="also write what compiles")
    latex: Path | None = argument(
        "--latex", metavar="FILE", help="write the derivation as a LaTeX document"
    )


def execute(arguments: Arguments) -> int:
    """Print every claim and how well it is known; 0 when all hold."""
    from cortico.ir import SpecError

    if arguments.check is not None:
        arguments.refuse("--check, which writes nothing", "passes", "output", "latex")
        return _check(arguments.check, arguments.source, arguments)
    if arguments.source is None:
        raise SpecError("give a source to verify, or --check with a certificate")
    compiled = (PathKind.COMPILED, PathKind.MODEL)
    if kind_of(arguments.source, (*compiled, *SOURCES)) in compiled:
        others = ("tokens", "passes", "output", "latex", "layers", "architecture")
        refuse_options_of_specs(arguments, *others)
        return _verify_folder(arguments.source)
    if is_model(arguments.source, arguments):
        return _verify_model(arguments.source, arguments)
    return _verify(arguments.source, arguments)


def _verify_model(source: Path, arguments: Arguments) -> int:
    from cortico.cli.console import stages
    from cortico.model_pipeline import compile_model

    arguments.refuse("a whole model, of which each block is proved by itself", "latex")
    with stages() as progress:
        spec, weights = read_model_source(source, arguments, progress)
        compilation = compile_model(
            spec, weights, passes=default_passes(arguments.passes), progress=progress, verify=True
        )
        if arguments.output is not None:
            progress(f"writing {arguments.output}")
            compilation.write(arguments.output, progress, force=arguments.force)
    assert compilation.verification is not None
    return _print(compilation.verification, spec.name, arguments.output)


def _verify(source: Path, arguments: Arguments) -> int:
    from cortico.cli.console import stages
    from cortico.pipeline import compile_attention

    with stages() as progress:
        spec, weights = read_source(source, arguments, progress)
        compilation = compile_attention(
            spec, weights, passes=default_passes(arguments.passes), progress=progress, verify=True
        )
        _write(arguments, compilation, progress)
    assert compilation.verification is not None
    return _print(compilation.verification, spec.name, arguments.output)


def _write(arguments: Arguments, compilation: Compilation, progress: Callable[[str], None]) -> None:
    """Write the compilation with its certificate, and the derivation, where they are asked for."""
    from cortico.files.writing import write_text
    from cortico.verify.latex.document import derivation

    proof = compilation.verification
    if arguments.output is not None:
        progress(f"writing {arguments.output}")
        compilation.write(arguments.output, force=arguments.force)
    if arguments.latex is not None and proof is not None:
        progress(f"writing {arguments.latex}")
        text = derivation(compilation.spec, proof.lowered, proof.claims)
        write_text(arguments.latex, text, force=arguments.force)


def _print(proof: Claims, name: str, folder: Path | None) -> int:
    from cortico.cli.console import console, print_line, print_table
    from cortico.report.words import one_line

    out = console()
    print_table(claims_table(proof), out)
    for claim in proof.claims:
        if claim.given:
            print_line(f"\n{claim.claim}, given", out)
            for fact in claim.given:
                print_line(f"  {fact}", out)
    print_line(f"\n{one_line(name)}: {proof.verdict}", out, style="bold")
    if folder is not None:
        print_line(f"re-check with: cortico verify --check {folder / 'certificate.json'}", out)
    return _HOLDS if proof.holds else _FAILS


def claims_table(proof: Claims) -> Table:
    """Claims with their verdict, what there is to say of them, and milliseconds."""
    from cortico.report.table import Table

    rows = [(c.claim, c.verdict.value, c.detail, f"{1000 * c.seconds:.0f}") for c in proof.claims]
    return Table("Claims", ("claim", "verdict", "detail", "ms"), tuple(rows), 1)


# ---- certificates --------------------------------------------------------------------------------


def _check(certificate: Path, source: Path | None, arguments: LayerArguments) -> int:
    """Re-check a certificate, with the source's spec and weights if one is given."""
    from cortico.cli.console import stages

    if source is None:
        return _recheck(certificate)
    read = read_model_source if is_model(source, arguments) else read_source
    with stages() as progress:
        spec, weights = read(source, arguments, progress)
    return _recheck(certificate, weights, spec)


def _recheck(path: Path, weights: Given | None = None, spec: Spec | None = None) -> int:
    """Re-check a certificate, against the spec and weights that it is said to be of where given."""
    from cortico.cli.console import console, print_line
    from cortico.verify.recheck import examine

    path = path / CERTIFICATE if path.is_dir() else path
    certificate = _read_json(path)
    if spec is not None:
        _require_spec(path, certificate, spec)
    report = examine(certificate, path.parent, weights)
    for line in report.lines():
        print_line(line, console(), style="bold" if line.startswith("WRONG") else "")
    return report.code


def _require_spec(path: Path, certificate: object, spec: Spec) -> None:
    from cortico.frontends.spec_file import spec_to_json
    from cortico.ir import SpecError

    mine = certificate.get("spec") if isinstance(certificate, dict) else None
    if mine != json.loads(spec_to_json(spec)):
        raise SpecError(f"{str(path)!r} is of another spec than the source")


def _read_json(path: Path) -> object:
    from cortico.ir import SpecError
    from cortico.verify.recheck import printable, read_json

    try:
        return read_json(path)
    except FileNotFoundError:
        raise SpecError(
            f"no certificate {str(path)!r}: `cortico compile --verify` writes one"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"{str(path)!r} is no certificate: {printable(reason, 240)}") from None


def _verify_folder(folder: Path) -> int:
    """Re-check the certificate of a compiled folder, and its code. Nothing of the folder is run.

    Code is emitted again from the folder's circuit. Where that is the same, byte by byte, what was just
    emitted is checked.
    """
    from cortico.cli.console import console, print_line
    from cortico.ir import UnsupportedError

    code, out = _recheck(folder), console()
    try:
        lines, same = _emitted_again(folder)
    except UnsupportedError as error:
        print_line(f"its files: not compared, {str(error).splitlines()[0]}", out)
        return code
    for line in lines:
        print_line(line, out)
    return code if same else _FAILS


def _emitted_again(folder: Path) -> tuple[list[str], bool]:
    """What there is to say of the text files of a folder, and whether they are right."""
    from cortico.cli.circuits import read_circuit
    from cortico.ir import Circuit
    from cortico.verify.emission.check import claims_of_files, differing_files, emitted_files
    from cortico.verify.emission.record import backend_of

    found = _read_json(folder / CERTIFICATE)
    target = backend_of(found.get("emitted") if isinstance(found, dict) else None)
    of_model = kind_of(folder, (PathKind.COMPILED, PathKind.MODEL)) is PathKind.MODEL
    what = read_network(folder) if of_model else read_circuit(folder)
    emitted = emitted_files(what, target)
    differing = differing_files(emitted, folder)
    if differing:
        words = f"differs from what cortico emits for this {'network' if of_model else 'circuit'}"
        return [f"{name}: {words}: it was not run" for name in differing], False
    if isinstance(what, Circuit):
        return claims_of_files(what, target)
    same = "byte by byte what cortico emits for this network: it was not run"
    return [f"{', '.join(emitted)}: {same}"] if emitted else [], True
