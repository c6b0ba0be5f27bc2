"""Write a page to explore a circuit or a whole model: pictures, attention on an input, anatomy, passes, proofs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments
from cortico.cli.subjects import Subject, bound_steps, read_activity, read_subject
from cortico.cli.views import ViewArguments, checked_sizes, is_whole, read_view
from cortico.files.names import CERTIFICATE

if TYPE_CHECKING:
    from cortico.ir import Circuit
    from cortico.page import Page
    from cortico.verify.claims import Claim


_NOT_AGAIN = "--verify is for a spec or a checkpoint; `cortico verify` checks a folder"


class Arguments(ForceArguments, ViewArguments):
    """What the page is about, and where to write it."""

    verify: bool = argument(
        "--verify", help="prove the circuit and its passes, and show the claims"
    )
    output: Path = argument(
        "-o", "--output", required=True, metavar="FILE", help="page to write: .html"
    )


def execute(arguments: Arguments) -> int:
    """Write the page."""
    from cortico.cli.console import console, print_line, stages
    from cortico.report.words import one_line

    with stages() as progress:
        _check(arguments)
        write = _write_model if is_whole(arguments) else _write_circuit
        write(arguments, progress)
    size = f"{arguments.output.stat().st_size:,} bytes"
    print_line(f"written to {one_line(str(arguments.output))}: {size}", console())
    return 0


def _check(arguments: Arguments) -> None:
    from cortico.ir import SpecError

    if arguments.output.suffix.lower() not in (".html", ".htm"):
        raise SpecError(f"output {str(arguments.output)!r} must end in .html")


def _write_circuit(arguments: Arguments, progress: Callable[[str], None]) -> None:
    from cortico.page import write_page

    page = _page(arguments, progress)
    progress(f"writing {arguments.output}")
    write_page(page, arguments.output, force=arguments.force)


def _write_model(arguments: Arguments, progress: Callable[[str], None]) -> None:
    from cortico.ir import SpecError
    from cortico.page.model import ModelPage, write_model_page

    arguments.refuse(
        "the page of a whole model: `cortico draw` shows activity", "input", "sentence"
    )
    model = read_view(arguments, progress, verify=arguments.verify)
    claims = model.claims
    if model.spec is None:
        if arguments.verify:
            raise SpecError(_NOT_AGAIN)
        claims = _certified(arguments.source)
    sizes = checked_sizes(model.network, arguments.bind)
    progress(f"writing {arguments.output}")
    page = ModelPage(model.network, model.spec, model.steps, model.across, claims, sizes)
    write_model_page(page, arguments.output, force=arguments.force)


def _page(arguments: Arguments, progress: Callable[[str], None]) -> Page:
    from cortico.anatomy import audit
    from cortico.page import Page
    from cortico.pictures import require_drawable

    subject = read_subject(arguments, progress, verify=arguments.verify)
    require_drawable(subject.circuit)
    activity, tokens = read_activity(arguments, subject, progress)
    circuit = activity.circuit if activity else subject.circuit
    progress("holding it against published anatomy")
    return Page(
        circuit,
        audit(circuit),
        subject.compilation.spec if subject.compilation else None,
        bound_steps(subject, {**_sizes(subject.circuit, circuit), **dict(arguments.bind)}),
        _claims(arguments, subject),
        activity,
        tokens,
    )


def _sizes(before: Circuit, after: Circuit) -> dict[str, int]:
    """The numbers that `after` has for the symbols of `before`."""
    pairs = ((a.extent, b.extent) for a, b in zip(before.axes, after.axes, strict=True))
    return {a: b for a, b in pairs if isinstance(a, str) and isinstance(b, int)}


def _claims(arguments: Arguments, subject: Subject) -> tuple[Claim, ...]:
    """What was proved just now, or what the certificate beside a compiled circuit says."""
    from cortico.ir import SpecError

    if subject.compilation and subject.compilation.verification:
        return subject.compilation.verification.claims
    if subject.compilation is None and arguments.verify:
        raise SpecError(_NOT_AGAIN)
    return _certified(arguments.source)


def _certified(folder: Path) -> tuple[Claim, ...]:
    """What the certificate in a folder says, if there is one. SpecError when it is of other files than are there."""
    from cortico.files.writing import sha256
    from cortico.ir import SpecError
    from cortico.ir.errors import clipped

    path = folder / CERTIFICATE
    if not path.is_file():
        return ()
    files, claims = _read_certificate(path)
    plain = (each for each in folder.iterdir() if each.name in files and each.is_file())
    found = {each.name: sha256(each) for each in plain}
    other = sorted(name for name, digest in files.items() if found.get(name) != digest)
    if other:
        raise SpecError(
            f"{str(path)!r} is of other files: {clipped(', '.join(other), 200)} differ from what it was written for; "
            "compile anew with --verify, or take the certificate away"
        )
    return claims


def _read_certificate(path: Path) -> tuple[dict[str, str], tuple[Claim, ...]]:
    """The digests of files and the claims of a certificate."""
    from cortico.ir import SpecError
    from cortico.ir.errors import clipped
    from cortico.ir.limits import JSON_BYTES
    from cortico.ir.reading import read_bytes
    from cortico.verify.claims import Claim
    from cortico.verify.known import Known

    try:
        written = json.loads(read_bytes(path, JSON_BYTES))
        files, claims = dict(written["files"]), written["claims"]
        texts = [text for c in claims for text in (c["claim"], c["detail"], *c["given"])]
        if not all(isinstance(text, str) for text in (*texts, *files)):
            raise TypeError("claims and names of files must be texts")
        read = (
            Claim(c["claim"], Known(c["verdict"]), c["detail"], tuple(c["given"])) for c in claims
        )
        return files, tuple(read)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecError(f"{str(path)!r} is no certificate: {clipped(str(error), 200)}") from None
