"""Run a compiled circuit or model on arrays from an .npy or .npz file, or on texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.circuits import CircuitArguments, read_circuit
from cortico.cli.outputs import ForceArguments
from cortico.cli.targets import BackendArguments, read_backend

if TYPE_CHECKING:
    import numpy as np

    from cortico.backends import Backend
    from cortico.ir import Circuit
    from cortico.ir.network import Network


class RunArguments(BackendArguments, ForceArguments, CircuitArguments):
    """Circuit, inputs, backend and where to write the output."""

    input: Path | None = argument(
        "-i",
        "--input",
        apart="input",
        metavar="FILE",
        help=".npy of x, or .npz by input name",
    )
    output: Path | None = argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".npy or .npz of the outputs to write (default: only a summary)",
    )
    record: Path | None = argument(
        "--record",
        metavar="DIR",
        help="folder for what a simulator records: SONATA files of --option monitor=deep:10, spikes=all",
    )
    weights: Path | None = argument(
        "--weights", metavar="FILE", help="safetensors file for a circuit without values"
    )


class Arguments(RunArguments):
    """The same, and texts for a whole model."""

    text: tuple[str, ...] = argument(
        "--text", metavar="TEXT", help="a text for a whole model; repeatable"
    )
    restrict_vocabulary: bool = argument(
        "--restrict-vocabulary",
        help="leave out the cells of tokens that do not occur, for simulators of single cells",
    )


def execute(arguments: Arguments) -> int:
    """Run, write the outputs, and print their shapes."""
    from cortico.cli.paths import CIRCUITS, PathKind, kind_of

    if kind_of(arguments.circuit, (*CIRCUITS, PathKind.MODEL)) is PathKind.MODEL:
        from cortico.cli.run_model import run_model

        return run_model(arguments)
    arguments.refuse("a circuit, which hears no words", "text", "restrict_vocabulary")
    return _run_circuit(arguments)


def _run_circuit(arguments: Arguments) -> int:
    import numpy as np

    from cortico.backends import get_runner, require_support
    from cortico.backends.cells.backend import forecast
    from cortico.cli.console import console, print_line, stages
    from cortico.report.words import one_line

    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        circuit = read_circuit(arguments.circuit)
        check_output(arguments.output, circuit)
        backend = get_runner(read_backend(arguments))
        check_record(arguments, backend)
        require_support(backend, circuit)
        inputs = read_arrays(required_input(arguments), circuit)
        weights = read_weights(arguments.weights, arguments.circuit, circuit)
        progress(f"running {arguments.backend}{forecast(backend, lambda: circuit, inputs)}")
        with np.errstate(all="ignore"):  # the summary tells of NaN and infinity
            outputs = backend.run(circuit, inputs, weights)
        if arguments.output:
            write_arrays(arguments.output, outputs, arguments.force)
        write_record(arguments, backend)
    for name, array in outputs.items():
        print_line(summary(name, array), console())
    for remark in getattr(backend, "remarks", ()):
        print_line(one_line(remark), console())
    print_written(arguments)
    return 0


def print_written(arguments: RunArguments) -> None:
    """Lines that say where outputs and recording are."""
    from cortico.cli.console import console, print_line
    from cortico.report.words import one_line

    if arguments.output:
        print_line(f"written to {one_line(str(arguments.output))}", console())
    if arguments.record:
        print_line(f"recorded to {one_line(str(arguments.record))}", console())


def check_record(arguments: RunArguments, backend: Backend) -> None:
    """SpecError for --record where nothing is recorded, and for a recording that has no place to go to."""
    from cortico.backends.cells.backend import ScriptBackend
    from cortico.backends.recordings.files import FILES
    from cortico.files.writing import require_new
    from cortico.ir import SpecError

    records = isinstance(backend, ScriptBackend) and backend.recorded is not None
    if arguments.record is None and records:
        raise SpecError("options monitor and spikes record: say where to, --record DIR")
    if arguments.record is None:
        return
    if not records:
        raise SpecError(
            "--record wants cells to record, in a simulator: --option monitor=deep:10 for rates, "
            f"--option spikes=all for spikes (found --backend {arguments.backend} without)"
        )
    if not arguments.force:
        require_new(arguments.record, FILES)


def write_record(arguments: RunArguments, backend: Backend) -> None:
    """Write what the last run recorded, if it is asked for."""
    from cortico.backends.cells.backend import ScriptBackend
    from cortico.backends.recordings import write_recording
    from cortico.backends.recordings.files import FILES
    from cortico.files.writing import replacing_files

    if arguments.record is None or not isinstance(backend, ScriptBackend):
        return
    assert backend.recording is not None
    with replacing_files(arguments.record, force=arguments.force) as staging:
        written = write_recording(backend.recording, staging)
    for name in {*FILES} - {*written}:  # of an older recording, which --force replaces
        (arguments.record / name).unlink(missing_ok=True)


def required_input(arguments: RunArguments) -> Path:
    """The file of inputs. SpecError where none is given."""
    from cortico.ir import SpecError

    if arguments.input is None:
        raise SpecError("no input: give -i FILE, an .npy of x or an .npz by input name")
    return arguments.input


def summary(name: str, array: np.ndarray) -> str:
    """Shape, type, mean and largest number of an output."""
    import numpy as np

    wrong = array.size - np.isfinite(array).sum()
    numbers = (
        f"{wrong:,} of {array.size:,} numbers are NaN or infinite"
        if wrong
        else f"mean {array.mean():.6g}, largest {abs(array).max():.6g}"
    )
    return f"{name} {array.shape} {array.dtype}: {numbers}"


def read_arrays(path: Path, circuit: Circuit | Network) -> Mapping[str, np.ndarray]:
    """Input name to array. SpecError for what is no NumPy file, or holds anything but numbers.

    Arrays of an .npz file are read when they are asked for.
    """
    from cortico.backends import array_files

    loaded = array_files.read_arrays(path)
    if isinstance(loaded, array_files.Archive):
        return loaded
    return {_only_input(circuit): loaded}


def read_array(path: Path, name: str) -> np.ndarray:
    """The array in an .npy file, for the input `name`. SpecError for anything else."""
    from cortico.backends import array_files
    from cortico.ir import SpecError

    loaded = array_files.read_arrays(path)
    if isinstance(loaded, array_files.Archive):
        raise SpecError(f"{str(path)!r} holds several arrays, expected one for {name!r}: .npy")
    return loaded


def _only_input(circuit: Circuit | Network) -> str:
    """The name of the input that an .npy file is for: the only one that must be given."""
    from cortico.ir import SpecError

    names = [tensor.name for tensor in circuit.inputs if not tensor.optional]
    if len(names) != 1:
        raise SpecError(
            f"circuit {circuit.name!r} has inputs {', '.join(names) or 'none'}: "
            "give them by name in an .npz file"
        )
    return names[0]


def write_arrays(path: Path, arrays: dict[str, np.ndarray], force: bool) -> None:
    """Write one array to .npy, or all to .npz."""
    import io

    import numpy as np

    from cortico.backends.array_files import save_npz
    from cortico.files.writing import replacing_files

    with replacing_files(path.parent, force=force) as staging:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            written = io.BytesIO()  # NumPy does not notice that the end of a file found no room
            np.save(written, array, allow_pickle=False)
            (staging / path.name).write_bytes(written.getvalue())
            return
        save_npz(staging / path.name, arrays)


def check_output(path: Path | None, circuit: Circuit | Network) -> None:
    """SpecError when the file's suffix does not fit what is written."""
    from cortico.ir import SpecError

    if path is None:
        return
    if path.suffix not in (".npy", ".npz"):
        raise SpecError(f"output {str(path)!r} must end in .npy or .npz")
    names = [output.name for output in circuit.outputs]
    if path.suffix == ".npy" and len(names) != 1:
        raise SpecError(f"output {str(path)!r} must end in .npz to hold all of {', '.join(names)}")


def read_weights(path: Path | None, source: Path, circuit: Circuit) -> dict[str, np.ndarray] | None:
    """Arrays for the parameters of a circuit that was compiled without weights.

    With the spec beside the circuit the file has the spec's tensors (W_Q and so on), else the
    circuit's own.
    """
    from cortico.frontends import open_tensors, read_spec
    from cortico.ir import SpecError
    from cortico.lowering import circuit_weights

    wanted = {p.name for p in circuit.parameters if p.values is None and p.formula is None}
    if path is None:
        if wanted:
            raise SpecError(
                f"{str(source)!r} was compiled without weights, and {', '.join(sorted(wanted))} have no values: "
                "give --weights FILE"
            )
        return None
    if not wanted:
        raise SpecError(f"--weights does not apply: {str(source)!r} has weights of its own")
    tensors = open_tensors(path)
    given = {name: tensors[name] for name in tensors}
    spec = (source if source.is_dir() else source.parent) / "spec.json"
    if spec.is_file():
        given = circuit_weights(read_spec(spec), given)
        return {name: array for name, array in given.items() if name in wanted}
    return given
