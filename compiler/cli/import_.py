"""Read a circuit from SONATA files or its text, or attention from an ONNX file, into a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.outputs import ForceArguments, print_written
from cortico.cli.paths import CIRCUITS, PathKind, kind_of
from cortico.files.names import CIRCUIT

if TYPE_CHECKING:
    from cortico.ir import Circuit

#: What can be imported: a folder that is both is read as SONATA.
_READ = (PathKind.SONATA, *CIRCUITS, PathKind.ONNX)

#: What an ONNX file becomes: a spec, and the weights that `cortico compile` takes with it.
SPEC, WEIGHTS = "spec.json", "weights.safetensors"


class Arguments(ForceArguments):
    """Where to read, which layer, and where to write."""

    source: Path = argument(
        help="folder of SONATA files that cortico wrote, a compiled folder or .cortico file, or an .onnx file"
    )
    output: Path = argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    layer: int | None = argument(
        "--layer", metavar="N", help="which attention of an ONNX file (default: 0)"
    )


def execute(arguments: Arguments) -> int:
    """Read, check, write, and print what was found."""
    from cortico.cli.console import console, print_line, stages

    kind = kind_of(arguments.source, _READ)
    with stages() as progress:
        progress(f"reading {arguments.source}")
        if kind is PathKind.ONNX:
            found, written = _attention(arguments, arguments.layer or 0)
        else:
            arguments.refuse(kind.label, "layer")
            found, written = _circuit(arguments, kind, progress)
    print_line(found, console())
    print_written(arguments.output, written)
    return 0


def _attention(arguments: Arguments, layer: int) -> tuple[str, list[str]]:
    from safetensors.numpy import save

    from cortico.files.writing import replacing_files
    from cortico.frontends import layers, read_checkpoint, spec_to_json
    from cortico.report.words import one_line, quantity

    count = layers(arguments.source)
    spec, weights = read_checkpoint(arguments.source, layer)
    tensors = {name: array.copy() for name, array in weights.items()}
    with replacing_files(arguments.output, force=arguments.force) as staging:
        (staging / SPEC).write_text(spec_to_json(spec), encoding="utf-8")
        (staging / WEIGHTS).write_bytes(save(tensors))
    heads = quantity(spec.heads, "head")
    found = f"{one_line(spec.name)} of {count}: {heads}, {spec.model} features, mask {spec.mask}"
    return found, [SPEC, WEIGHTS]


def _circuit(
    arguments: Arguments, kind: PathKind, progress: Callable[[str], None]
) -> tuple[str, list[str]]:
    from cortico.files.writing import replacing_files
    from cortico.ir.text import save_circuit
    from cortico.report.summary import report_markdown
    from cortico.report.words import number, one_line

    circuit = _read(arguments.source, kind, progress)
    with replacing_files(arguments.output, force=arguments.force) as staging:
        save_circuit(circuit, staging / CIRCUIT)
        (staging / "report.md").write_text(report_markdown(circuit), encoding="utf-8")
        written = sorted(path.name for path in staging.iterdir())
    counts = circuit.counts()
    found = f"{number(counts.neurons)} neurons, {number(counts.synapses)} synapses"
    return f"{one_line(circuit.name)}: {found}", written


def _read(source: Path, kind: PathKind, progress: Callable[[str], None]) -> Circuit:
    from cortico.backends.sonata.reading import read_sonata
    from cortico.cli.circuits import read_circuit

    return read_sonata(source, progress) if kind is PathKind.SONATA else read_circuit(source)
