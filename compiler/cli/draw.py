"""Draw a circuit: an area, all areas, a microcolumn, its connections, its activity, its counts."""

from __future__ import annotations

from pathlib import Path

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments
from cortico.cli.subjects import (
    ExampleArguments,
    Subject,
    bound_steps,
    read_activity,
    read_subject,
)


class Arguments(ForceArguments, ExampleArguments):
    """What to draw, which kind of picture, and where to."""

    kind: str = argument(
        "--kind",
        default="laminar",
        metavar="K",
        help="laminar, areas, microcolumn, matrix, activity or counts (default: laminar)",
    )
    learning: bool = argument("--learning", help="with the error neurons that learning needs")
    output: Path = argument(
        "-o", "--output", required=True, metavar="FILE", help="picture to write: .svg, .png or .pdf"
    )


def execute(arguments: Arguments) -> int:
    """Write the picture; needs the extra `plots`."""
    from cortico.cli.console import console, print_line, stages
    from cortico.pictures import draw
    from cortico.report.words import one_line

    with stages() as progress:
        _check(arguments)
        subject = _learning(arguments, read_subject(arguments, progress))
        activity, tokens = read_activity(arguments, subject, progress)
        steps = bound_steps(subject, dict(arguments.bind))
        progress(f"drawing {arguments.output}")
        draw(
            subject.circuit,
            arguments.kind,
            arguments.output,
            activity=activity,
            tokens=tokens,
            steps=steps,
            force=arguments.force,
        )
    print_line(f"written to {one_line(str(arguments.output))}", console())
    return 0


def _check(arguments: Arguments) -> None:
    """What can be said before a large checkpoint is read."""
    from cortico.ir import SpecError
    from cortico.ir.errors import near_name
    from cortico.pictures import KINDS
    from cortico.pictures.paint import require_format, require_matplotlib

    require_format(arguments.output)
    require_matplotlib()
    kind, given = arguments.kind, arguments.input is not None or arguments.sentence is not None
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise SpecError(f"no kind of picture {kind!r}{near_name(kind, KINDS)}; there are: {known}")
    if (kind == "activity") != given:
        raise SpecError(
            "--kind activity needs an input: add --input FILE, or --sentence TEXT for a language model"
            if kind == "activity"
            else f"an input is for --kind activity, not for --kind {kind}"
        )
    if kind == "counts" and arguments.learning:
        raise SpecError("--kind counts is about passes: it takes no --learning")


def _learning(arguments: Arguments, subject: Subject) -> Subject:
    """The subject with its error neurons, if they are asked for."""
    from cortico.ir import SpecError
    from cortico.learning import differentiate

    if arguments.kind == "counts" and subject.compilation is None:
        raise SpecError(
            f"--kind counts needs a spec or a checkpoint: {str(arguments.source)!r} is compiled, "
            "and does not say what its passes did"
        )
    return Subject(differentiate(subject.circuit).circuit) if arguments.learning else subject
