"""What emitted Python files share: weights from disk, parameters that are formulas, what they cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from cortico.ir import Circuit, Extent
from cortico.ir.analysis.inputs import infinite_weights
from cortico.ir.options import Help, alternatives, choices_of, hints, marks

LOAD_WEIGHTS = '''\
@functools.cache
def load_weights(path=Path(__file__).with_name("circuit.safetensors")):
    """Tensor name to memory-mapped array, from a safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length)
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            arrays[name] = data[start:stop].view(kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays
'''

CHECKED = '''\
def checked(name, array, shape, sizes):
    """`array` in float64, of this shape; a symbol in it gets its size at first sight."""
    array = np.asarray(array, np.float64)
    expected = [sizes.get(side, side) for side in shape]
    fits = all(isinstance(side, str) or side == size for side, size in zip(expected, array.shape))
    if array.ndim != len(shape) or not fits or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected ({str(expected)[1:-1]})")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are NaN or infinite")
    sizes.update((side, size) for side, size in zip(shape, array.shape) if isinstance(side, str))
    return array
'''

SPLIT = '''\
def split(arrays):
    """The shape of the batch, and the arguments of each example; arrays without batch axes are shared."""
    inputs = {inputs}  # the argument of each, and the axes of one example
    unknown = sorted(arrays.keys() - inputs.keys())
    if unknown:
        raise ValueError(f"unknown input {{unknown[0]!r}}; there are: {{', '.join(inputs)}}")
    leading = [array.shape[: max(array.ndim - inputs[n][1], 0)] for n, array in arrays.items()]
    batch = max(leading, key=len, default=())
    return batch, [
        {{inputs[n][0]: array[index if array.ndim > inputs[n][1] else ...] for n, array in arrays.items()}}
        for index in np.ndindex(*batch)
    ]
'''

#: Where the function `main` of a script begins; its options follow.
_COMMAND_LINE = """\
    parser = argparse.ArgumentParser(description=__doc__.partition("\\n")[0])
    parser.add_argument("inputs", type=Path, help=".npz of the inputs by name")
    parser.add_argument("-o", "--output", type=Path, default="outputs.npz", help=".npz to write")
    parser.add_argument("--weights", type=Path{weights_required}, help=".npz of the weights by name")
"""

#: Formula kind to the function that evaluates it, as in `cortico.ir.tensors`.
FORMULAS = {
    "rotation": '''\
def rotation(shape, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = np.arange(shape[0])[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
''',
    "distance": '''\
def distance(shape, slopes):
    """Linear position bias slopes[..., None, None] * (j - i), shape (..., i, j)."""
    return slopes[..., None, None] * (np.arange(shape[-1]) - np.arange(shape[-2])[:, None])
''',
}


NO_WEIGHTS = '''\
def load_weights(path=None):
    """No tensors: the circuit has none."""
    return {}
'''


def weights_reader(circuit: Circuit, from_file: str = LOAD_WEIGHTS) -> str:
    """The function `load_weights` of an emitted file; nothing where weights are given at run time."""
    if not stores_weights(circuit):
        return ""
    return from_file if any(p.formula is None for p in circuit.parameters) else NO_WEIGHTS


def command_line(circuit: Circuit) -> str:
    """The lines of `main` that make a parser of inputs, output and weights."""
    needed = "" if stores_weights(circuit) else ", required=True"
    return _COMMAND_LINE.format(weights_required=needed)


def option_lines(kind: type, values: Mapping[str, object]) -> str:
    """The lines of `main` for the options of a dataclass that have help and a default in `values`."""
    found = marks(kind, Help)
    return "".join(
        f'    parser.add_argument("--{name.replace("_", "-")}", {_keywords(hints(kind)[name], value)}, '
        f'help="{found[name].text}")\n'
        for name, value in values.items()
        if name in found
    )


def _keywords(hint: object, default: object) -> str:
    choices = choices_of(hint)
    kinds = [kind for kind, _ in alternatives(hint)]
    type_ = f"choices={json.dumps(choices)}" if choices else f"type={kinds[0].__name__}"
    return f"{type_}, default={default!r}"


def stores_weights(circuit: Circuit) -> bool:
    """Whether all weights have values, which lie in a file beside the emitted one."""
    return all(p.values is not None for p in circuit.parameters if p.formula is None)


def tensor_lines(circuit: Circuit) -> list[str]:
    """Lines for the head of an emitted file: names and shapes of inputs, outputs and weights."""
    outputs = [
        (o.name, tuple(circuit.axis(a).extent for a in o.source.axes)) for o in circuit.outputs
    ]
    return [
        "Inputs (any axes before these are a batch):",
        *(f"    {t.name} {_shape_text(t.shape)}" for t in circuit.inputs),
        "Outputs:",
        *(f"    {name} {_shape_text(shape)}" for name, shape in outputs),
        "Weights:",
        *(f"    {p.name} {_shape_text(p.shape)}" for p in circuit.parameters if not p.formula),
    ]


def sides_code(shape: tuple[Extent, ...]) -> str:
    """The sides of a tensor in emitted code, where `sizes` holds those that are known when it runs."""
    sides = (str(side) if isinstance(side, int) else f'sizes["{side}"]' for side in shape)
    return ", ".join(sides)


def _shape_text(shape: tuple[Extent, ...]) -> str:
    return f"({', '.join(str(side) for side in shape)})"


def unwritable(circuit: Circuit) -> Iterator[str]:
    """A line for whatever a script could not read or write: weights that are no numbers, names of outputs.

    Scripts write `np.savez(path, **outputs)`, as their readers would; its own parameters are no names there.
    """
    yield from infinite_weights(circuit)
    for output in circuit.outputs:
        if output.name in ("file", "allow_pickle"):
            yield f"an output called {output.name!r}, a name that np.savez keeps for itself"


def two_blank_lines_between_functions(source: str) -> str:
    """`source` with the blank lines that a formatter would put before functions and classes."""
    lines: list[str] = []
    for line in source.splitlines():
        if line.startswith(("def ", "class ", "@", "if __name__")) and not (
            lines and lines[-1].startswith("@")
        ):
            while lines and not lines[-1]:
                lines.pop()
            lines += ["", ""]
        lines.append(line)
    return "\n".join(lines).rstrip() + "\n"
