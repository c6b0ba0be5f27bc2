"""Prove a circuit right, or re-check a certificate. Exits with 1 when a claim does not hold."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.sources import add_source_arguments, read_source

if TYPE_CHECKING:
    from cortico.pipeline import Compilation
    from cortico.report import Table
    from cortico.verify.claims import Verification

_HOLDS, _FAILS = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to verify, or a certificate to re-check; where to write proof and derivation.

    The source may also be a folder written by `cortico compile --verify`.
    """
    add_source_arguments(parser, optional=True)
    parser.add_argument(
        "--passes", default="default", metavar="P", help="passes to prove (default: default)"
    )
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="re-check a certificate, with other code"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="also write what compiles")
    parser.add_argument(
        "--latex", type=Path, metavar="FILE", help="write the derivation as a LaTeX document"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print every claim and how well it is known; 0 when all hold."""
    from cortico.ir import SpecError

    if (arguments.source is None) == (arguments.check is None):
        raise SpecError("give a source to verify, or --check with a certificate: one of the two")
    if arguments.check is not None:
        return _recheck(arguments.check)
    if (arguments.source / "circuit.cortico").is_file():
        return _verify_folder(arguments.source)
    return _verify(arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from cortico.cli.console import stages
    from cortico.pipeline import compile_attention

    with stages() as progress:
        spec, weights = read_source(arguments, progress)
        compilation = compile_attention(
            spec, weights, passes=arguments.passes, progress=progress, verify=True
        )
        _write(arguments, compilation, progress)
    assert compilation.verification is not None
    return _print(compilation.verification, arguments.output)


def _write(
    arguments: argparse.Namespace, compilation: Compilation, progress: Callable[[str], None]
) -> None:
    """Write the compilation with its certificate, and the derivation, where they are asked for."""
    from cortico.files import replacing_files
    from cortico.verify.equations.latex import derivation

    proof = compilation.verification
    if arguments.output is not None:
        progress(f"writing {arguments.output}")
        compilation.write(arguments.output)
    if arguments.latex is not None and proof is not None:
        progress(f"writing {arguments.latex}")
        text = derivation(proof.spec, proof.lowered, proof.claims)
        with replacing_files(arguments.latex.parent) as staging:
            (staging / arguments.latex.name).write_text(text, encoding="utf-8")


def _print(proof: Verification, folder: Path | None) -> int:
    from cortico.cli.console import console, print_line, print_table
    from cortico.report import one_line

    out = console()
    print_table(claims_table(proof), out)
    for claim in proof.claims:
        if claim.given:
            print_line(f"\n{claim.claim}, given", out)
            for fact in claim.given:
                print_line(f"  {fact}", out)
    print_line(f"\n{one_line(proof.spec.name)}: {proof.verdict}", out, style="bold")
    if folder is not None:
        print_line(f"re-check with: cortico verify --check {folder / 'certificate.json'}", out)
    return _HOLDS if proof.holds else _FAILS


def claims_table(proof: Verification) -> Table:
    """Claims with their verdict, what there is to say of them, and milliseconds."""
    from cortico.report import Table

    rows = [(c.claim, c.verdict.value, c.detail, f"{1000 * c.seconds:.0f}") for c in proof.claims]
    return Table("Claims", ("claim", "verdict", "detail", "ms"), tuple(rows), 1)


# ---- certificates --------------------------------------------------------------------------------


def _recheck(path: Path) -> int:
    from cortico.cli.console import console, print_line
    from cortico.verify.recheck import examine

    path = path / "certificate.json" if path.is_dir() else path
    wrong, right = examine(_read_json(path), path.parent)
    out = console()
    for line in right:
        print_line(line, out)
    for problem in wrong:
        print_line(f"WRONG {problem}", out, style="bold")
    print_line("the certificate does not hold" if wrong else "the certificate holds", out)
    return _FAILS if wrong else _HOLDS


def _read_json(path: Path) -> object:
    from cortico.ir import SpecError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(
            f"no certificate {str(path)!r}: `cortico compile --verify` writes one"
        ) from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SpecError(f"{str(path)!r} is no certificate: {error}") from None


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
    from cortico.verify.emission.check import claims_of_files, differing_files
    from cortico.verify.emission.record import backend_of

    found = _read_json(folder / "certificate.json")
    target = backend_of(found.get("emitted") if isinstance(found, dict) else None)
    circuit = read_circuit(folder)
    differing = differing_files(circuit, target, folder)
    if differing:
        words = "differs from what cortico emits for this circuit: it was not run"
        return [f"{name}: {words}" for name in differing], False
    return claims_of_files(circuit, target)
