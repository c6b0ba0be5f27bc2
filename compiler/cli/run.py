"""Run a compiled circuit on arrays from an .npy or .npz file."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.cli.circuits import add_circuit_argument, read_circuit

if TYPE_CHECKING:
    import numpy as np

    from cortico.ir import Circuit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Circuit, inputs, backend and where to write the output."""
    add_circuit_argument(parser)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help=".npy of x, or .npz by input name",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=".npy or .npz to write (default: only a summary)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors file for a circuit without values"
    )
    parser.add_argument("--backend", default="numpy", help="what runs it (default: numpy)")


def execute(arguments: argparse.Namespace) -> int:
    """Run, write the outputs, and print their shapes."""
    from cortico.backends import get_backend, require_support
    from cortico.cli.console import console, stages

    _check_output(arguments.output)
    with stages() as progress:
        progress(f"reading {arguments.circuit}")
        circuit = read_circuit(arguments.circuit)
        backend = get_backend(arguments.backend)
        require_support(backend, circuit)
        inputs = read_arrays(arguments.input, circuit)
        progress(f"running {arguments.backend}")
        outputs = backend.run(circuit, inputs, _weights(arguments.weights))
        if arguments.output:
            write_arrays(arguments.output, outputs)
    for name, array in outputs.items():
        where = f" -> {arguments.output}" if arguments.output else ""
        console().print(
            f"{name} {array.shape} {array.dtype}, mean {array.mean():.6g}, "
            f"largest {abs(array).max():.6g}{where}",
            markup=False,
        )
    return 0


def read_arrays(path: Path, circuit: Circuit) -> dict[str, np.ndarray]:
    """Input name to array. SpecError for what is no NumPy file, or holds anything but numbers."""
    import zipfile

    import numpy as np

    from cortico.ir import SpecError

    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = (
            dict(loaded)
            if isinstance(loaded, np.lib.npyio.NpzFile)
            else {circuit.inputs[0].name: loaded}
        )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it is no .npy or .npz file of numbers"
        raise SpecError(f"cannot read {str(path)!r}: {reason}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise SpecError(f"{name!r} in {str(path)!r} has type {array.dtype}, expected numbers")
    return arrays


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write one array to .npy, or all to .npz, under a temporary name first."""
    import numpy as np

    from cortico.ir import SpecError

    try:
        handle, temporary = tempfile.mkstemp(
            prefix=".cortico-", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise SpecError(f"cannot write {str(path)!r}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            if path.suffix == ".npz":
                np.savez(file, allow_pickle=False, **arrays)
            else:
                np.save(file, next(iter(arrays.values())))
        Path(temporary).replace(path)
    except OSError as error:
        raise SpecError(f"cannot write {str(path)!r}: {error.strerror}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def _check_output(path: Path | None) -> None:
    from cortico.ir import SpecError

    if path is not None and path.suffix not in (".npy", ".npz"):
        raise SpecError(f"output {str(path)!r} must end in .npy or .npz")


def _weights(path: Path | None) -> dict[str, np.ndarray] | None:
    from cortico.frontends import open_tensors

    if path is None:
        return None
    tensors = open_tensors(path)
    return {name: tensors[name] for name in tensors}
