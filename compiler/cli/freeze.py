"""Hold inputs of a circuit at given arrays, and compute what depends on nothing else."""

from __future__ import annotations

from pathlib import Path

from cortico.cli.arguments import argument, pair
from cortico.cli.circuits import CircuitArguments, read_circuit
from cortico.cli.outputs import ForceArguments, print_written
from cortico.cli.targets import BackendArguments, read_backend


def _holding(text: str) -> tuple[str, Path]:
    """The input and file of a text such as `context=text.npy`, for argparse's `type`."""
    name, file = pair(text, "INPUT=FILE.npy")
    return name, Path(file)


class Arguments(BackendArguments, ForceArguments, CircuitArguments):
    """Circuit, what to hold, backend and output folder."""

    hold: tuple[tuple[str, Path], ...] = argument(
        "--hold",
        type=_holding,
        required=True,
        metavar="INPUT=FILE",
        help="an input, or one reading of it such as 'x[j, m]', and an .npy file; repeatable",
    )
    output: Path = argument("-o", "--output", required=True, metavar="DIR", help="folder to write")


def execute(arguments: Arguments) -> int:
    """Freeze, write the folder, and print what is left."""
    from cortico.cli.console import console, print_line, stages
    from cortico.cli.run import read_array
    from cortico.experiment.freezing import freeze
    from cortico.pipeline import export_circuit
    from cortico.report.words import number, one_line

    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        circuit = read_circuit(arguments.circuit)
        held = {name: read_array(path, name) for name, path in arguments.hold}
        progress("computing what is constant")
        frozen = freeze(circuit, held)
        backend = read_backend(arguments)
        progress(f"writing {arguments.output}")
        written = export_circuit(frozen, backend, arguments.output, progress, force=arguments.force)
    before, after = circuit.counts(), frozen.counts()
    print_line(
        f"{one_line(circuit.name)}: {number(before.neurons)} neurons, with "
        f"{one_line(', '.join(held))} held {number(after.neurons)}",
        console(),
    )
    print_written(arguments.output, written)
    return 0
