"""What emitted Python files share: weights from disk, parameters that are formulas, what they cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.linking import definition
from cortico.ir import Circuit, Extent
from cortico.ir.analysis.inputs import infinite_weights

_TEMPLATE = "cortico.backends.template"

LOAD_WEIGHTS = definition(_TEMPLATE, "load_weights")

#: Formula kind to the function that evaluates it, as in `cortico.ir.tensors`.
FORMULAS = {kind: definition(_TEMPLATE, kind) for kind in ("rotation", "distance")}


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
