"""Train a spec's weights on examples, by the plasticity rules of its circuit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments
from cortico.cli.sources import SourceArguments, read_source

if TYPE_CHECKING:
    from cortico.learning.training import Settings, Snapshot, Training, TrainingResult

#: What is written beside checkpoint and weights at the end; the picture only where it can be drawn.
_RESULTS = ("history.json", "train.py", "spec.json", "loss.svg")


class Arguments(ForceArguments, SourceArguments):
    """Source, data, settings and output folder. The first weights are given or drawn."""

    data: Path = argument(
        "--data",
        required=True,
        metavar="FILE",
        help=".npz of x (samples, tokens, model), target (samples, tokens, output), and context, keep",
    )
    output: Path = argument("-o", "--output", required=True, metavar="DIR", help="folder")
    train: str | None = argument(
        "--train", metavar="W,W", help="tensors to train, as in W_Q,W_K (default: all)"
    )
    resume: bool = argument("--resume", help="go on from the last whole epoch in DIR")
    settings: dict[str, Any]  #: all but the tensors to train

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        from cortico.ir.options import add_arguments  # here, so that --help does not load NumPy
        from cortico.learning.training import Settings

        super().add_to(parser)
        add_arguments(parser, Settings)

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Self:
        from cortico.ir.options import Help, marks
        from cortico.learning.training import Settings

        made = super().of(parsed)
        made.settings = {name: getattr(parsed, name) for name in marks(Settings, Help)}
        return made


def execute(arguments: Arguments) -> int:
    """Train, writing a checkpoint after each epoch; then weights, history and picture."""
    from cortico.cli.console import stages

    with stages() as progress:
        training = _set_up(arguments, progress)
        start = _start(arguments, training)
    with _stopped_in_words(arguments.output, training, start) as seen, _bar(training) as show:
        result = _run(arguments.output, training, start, seen, show)
    drawn = _write(arguments.output, training, result)
    _print(arguments.output, training, result, drawn)
    return 0


# ---- setting up ----------------------------------------------------------------------------------


def _set_up(arguments: Arguments, progress: Any) -> Training:
    from cortico.cli.run import read_arrays
    from cortico.ir import SpecError
    from cortico.learning.emission import training_circuit
    from cortico.learning.training import Training

    settings = _settings(arguments)
    spec, weights = read_source(arguments.source, arguments, progress)
    if weights is None:
        raise SpecError(
            "training starts from weights: give --weights FILE, or --random-weights SEED"
        )
    progress("deriving the plasticity rules")
    circuit = training_circuit(spec, settings.trained)
    progress(f"reading {arguments.data}")
    return Training(spec, weights, read_arrays(arguments.data, circuit), settings)


def _settings(arguments: Arguments) -> Settings:
    from cortico.learning.training import Settings

    trained = arguments.train
    listed = None if trained is None else tuple(n.strip() for n in trained.split(",") if n.strip())
    return Settings(**arguments.settings, trained=listed)


def _start(arguments: Arguments, training: Training) -> Snapshot:
    """The checkpoint in the folder, or the first state. SpecError rather than losing a training."""
    from cortico.files.writing import require_new
    from cortico.ir import SpecError
    from cortico.learning.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint

    folder: Path = arguments.output
    if arguments.resume:
        return load_checkpoint(folder, training)
    if not arguments.force:
        if (folder / CHECKPOINT).exists():
            raise SpecError(
                f"{str(folder)!r} holds a training already: give --resume to go on with it, "
                "another folder, or --force to begin again"
            )
        require_new(folder, (WEIGHTS, *_RESULTS))
    return training.start()


# ---- running -------------------------------------------------------------------------------------


def _run(
    folder: Path, training: Training, start: Snapshot, seen: list[Snapshot], show: Any
) -> TrainingResult:
    from cortico.learning.checkpoint import save_checkpoint

    def on_epoch(snapshot: Snapshot) -> None:
        save_checkpoint(folder, training, snapshot)
        seen[:] = [snapshot]
        show(snapshot, 0, 1)

    def on_batch(done: int, count: int) -> None:
        show(seen[-1], done, count)

    show(start, 0, 1)
    return training.run(on_epoch, on_batch, start)


@contextmanager
def _stopped_in_words(
    folder: Path, training: Training, start: Snapshot
) -> Iterator[list[Snapshot]]:
    """A list of the last state that is on disk; when training stops early it says what is kept."""
    from cortico.learning.checkpoint import WEIGHTS
    from cortico.learning.training import DivergenceError
    from cortico.report.words import one_line

    seen = [start]
    try:
        yield seen
    except KeyboardInterrupt:
        done, place = seen[-1].epoch, one_line(str(folder))
        kept = (
            f"{done} of {training.settings.epochs} epochs are kept in {place}; "
            "the same command with --resume goes on"
            if done
            else f"no epoch was done, nothing is in {place}"
        )
        print(f"cortico: training stopped: {kept}", file=sys.stderr)
        raise
    except DivergenceError as error:
        place = f"{one_line(str(folder))}/{WEIGHTS}"
        kept = f"; weights after epoch {seen[-1].epoch} are in {place}" if seen[-1].epoch else ""
        raise DivergenceError(f"{error}{kept}") from None


@contextmanager
def _bar(training: Training) -> Iterator[Any]:
    """A function of (last state, batches done, batches) that moves a bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        total = training.settings.epochs
        task = bar.add_task("", total=total, epoch=0, loss="-")

        def show(last: Snapshot, done: int, count: int) -> None:
            number = min(last.epoch + (done > 0), total)
            loss = _loss_text(last) if last.history else "-"
            bar.update(task, completed=last.epoch + done / count, epoch=number, loss=loss)

        yield show


def _loss_text(snapshot: Snapshot) -> str:
    last = snapshot.history[-1]
    held_out = "" if last.validation is None else f", validation {last.validation:.6g}"
    return f"{last.loss:.6g}{held_out}"


# ---- results -------------------------------------------------------------------------------------


def _write(folder: Path, training: Training, result: TrainingResult) -> bool:
    """History, code, spec, and the picture where it can be drawn; whether it was."""
    from cortico.files.writing import replacing_files
    from cortico.frontends.spec_file import spec_to_json
    from cortico.learning.curve import can_draw, draw_losses
    from cortico.learning.training import history_json
    from cortico.report.words import one_line

    drawn = can_draw()
    with replacing_files(folder, force=True) as staging:  # `_start` has looked
        (staging / "history.json").write_text(history_json(training, result), encoding="utf-8")
        (staging / "train.py").write_text(training.source, encoding="utf-8")
        (staging / "spec.json").write_text(spec_to_json(training.spec), encoding="utf-8")
        if drawn:
            loss = f"loss, {training.settings.reduction} over tokens"
            title = one_line(training.spec.name)
            draw_losses(result.history, title, loss, staging / "loss.svg")
    return drawn


def _print(folder: Path, training: Training, result: TrainingResult, drawn: bool) -> None:
    from cortico.cli.console import console, print_line
    from cortico.report.words import one_line

    out, place = console(), one_line(str(folder))
    first, last = result.history[0], result.history[-1]
    held_out = "" if last.validation is None else f", validation {last.validation:.6g}"
    print_line(
        f"{one_line(training.spec.name)}: loss {first.loss:.6g} in epoch 1, {last.loss:.6g} in "
        f"epoch {last.number}{held_out}",
        out,
    )
    names = ["weights.safetensors", *_RESULTS[: None if drawn else -1]]
    print_line(f"written to {place}: {', '.join(names)}, checkpoint.safetensors", out)
    if not drawn:
        print_line("no loss.svg: drawing it needs matplotlib, pip install 'cortico[plots]'", out)
    print_line(
        f"compile with: cortico compile {place}/spec.json --weights {place}/weights.safetensors",
        out,
    )
