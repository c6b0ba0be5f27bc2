"""Draw a circuit (an area, all areas, a microcolumn, connections, activity, counts), a whole model, or a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments
from cortico.cli.subjects import Subject, bound_steps, read_activity, read_subject
from cortico.cli.views import ViewArguments, is_whole


class Arguments(ForceArguments, ViewArguments):
    """What to draw, which kind of picture, and where to."""

    kind: str | None = argument(
        "--kind",
        metavar="K",
        help="laminar, areas, microcolumn, matrix, activity or counts; hierarchy of a whole model (default: "
        "hierarchy, else laminar); raster, rates, psth or isi of a folder that `cortico run --record` wrote",
    )
    bin_ms: float | None = argument(
        "--bin-ms", type=float, metavar="MS", help="width of bins of --kind psth (default: 10)"
    )
    node: str | None = argument(
        "--node", metavar="PATH", help="one block of a whole model, such as layer[3].attention"
    )
    learning: bool = argument("--learning", help="with the error neurons that learning needs")
    output: Path = argument(
        "-o", "--output", required=True, metavar="FILE", help="picture to write: .svg, .png or .pdf"
    )


def execute(arguments: Arguments) -> int:
    """Write the picture; needs the extra `plots`."""
    from cortico.cli.console import console, print_line, stages
    from cortico.pictures.recordings import KINDS_OF_RECORDINGS
    from cortico.report.words import one_line

    with stages() as progress:
        _check(arguments)
        if arguments.kind in KINDS_OF_RECORDINGS:
            _draw_recording(arguments, progress)
        elif is_whole(arguments):
            from cortico.cli.draw_model import draw_model

            draw_model(arguments, progress)
        else:
            _draw_circuit(arguments, progress)
    print_line(f"written to {one_line(str(arguments.output))}", console())
    return 0


def _draw_recording(arguments: Arguments, progress: Callable[[str], None]) -> None:
    from cortico.experiment.activity import read_recording
    from cortico.pictures.recordings import BIN, draw_recording

    assert arguments.kind is not None
    progress(f"reading {arguments.source}")
    recording = read_recording(arguments.source)
    width = BIN if arguments.bin_ms is None else arguments.bin_ms
    progress(f"drawing {arguments.output}")
    draw_recording(recording, arguments.kind, arguments.output, width=width, force=arguments.force)


def _draw_circuit(arguments: Arguments, progress: Callable[[str], None]) -> None:
    from cortico.ir import SpecError
    from cortico.pictures import draw

    arguments.refuse("one circuit: it is of a whole model", "node")
    kind = arguments.kind or "laminar"
    if kind == "hierarchy":
        raise SpecError("--kind hierarchy is of a whole model, this is one circuit")
    subject = _learning(arguments, read_subject(arguments, progress))
    activity, tokens = read_activity(arguments, subject, progress)
    steps = bound_steps(subject, dict(arguments.bind))
    progress(f"drawing {arguments.output}")
    draw(
        subject.circuit,
        kind,
        arguments.output,
        activity=activity,
        tokens=tokens,
        steps=steps,
        force=arguments.force,
    )


def _check(arguments: Arguments) -> None:
    """What can be said before a large checkpoint is read."""
    from cortico.ir import SpecError
    from cortico.ir.errors import near_name
    from cortico.pictures import KINDS, KINDS_OF_MODELS
    from cortico.pictures.paint import require_format, require_matplotlib
    from cortico.pictures.recordings import KINDS_OF_RECORDINGS

    require_format(arguments.output)
    require_matplotlib()
    kinds = list(dict.fromkeys([*KINDS, *KINDS_OF_MODELS, *KINDS_OF_RECORDINGS]))
    kind, given = arguments.kind, arguments.input is not None or arguments.sentence is not None
    if kind is not None and kind not in kinds:
        known = ", ".join(kinds)
        raise SpecError(f"no kind of picture {kind!r}{near_name(kind, kinds)}; there are: {known}")
    if (kind == "activity") != given:
        raise SpecError(
            "--kind activity needs an input: add --input FILE, or --sentence TEXT for a language model"
            if kind == "activity"
            else f"an input is for --kind activity{f', not for --kind {kind}' if kind else ''}"
        )
    if arguments.bin_ms is not None and kind != "psth":
        raise SpecError("--bin-ms is for --kind psth")
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
