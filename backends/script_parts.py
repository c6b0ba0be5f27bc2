"""What emitted Python files of all backends say of a circuit, and what they cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from cortico.ir import Circuit, Extent, Formula, Input, InputKind
from cortico.ir.analysis.inputs import infinite_weights
from cortico.ir.tensors import Shape


def stores_weights(circuit: Circuit) -> bool:
    """Whether all weights have values, which lie in a file beside the emitted one."""
    return all(p.values is not None for p in circuit.parameters if p.formula is None)


def tensor_lines(circuit: Circuit) -> list[str]:
    """Lines for the head of an emitted file: names and shapes of inputs, outputs and weights."""
    outputs = [
        (o.name, tuple(circuit.axis(a).extent for a in o.source.axes)) for o in circuit.outputs
    ]
    return [
        *port_lines(circuit.inputs, outputs),
        "Weights:",
        *(f"    {p.name} {_shape_text(p.shape)}" for p in circuit.parameters if not p.formula),
    ]


def port_lines(inputs: Iterable[Input], outputs: Iterable[tuple[str, Shape]]) -> list[str]:
    """Lines for the head of an emitted file: names and shapes of what goes in and comes out."""
    return [
        "Inputs (any axes before these are a batch):",
        *(f"    {tensor.name} {_shape_text(tensor.given)}{_numbers(tensor)}" for tensor in inputs),
        "Outputs:",
        *(f"    {name} {_shape_text(shape)}" for name, shape in outputs),
    ]


def _numbers(tensor: Input) -> str:
    """What the entries of an input are that are no rates."""
    if tensor.kind is InputKind.TOKEN:
        return f": whole numbers below {tensor.shape[-1]}"
    return ""


def sides_code(shape: tuple[Extent, ...]) -> str:
    """The sides of a tensor in emitted code, where `sizes` holds those that are known when it runs."""
    sides = (str(side) if isinstance(side, int) else f'sizes["{side}"]' for side in shape)
    return ", ".join(sides)


def formula_call(name: str, formula: Formula, arguments: list[str]) -> str:
    """Code that computes the parameter `name` by a function of a template, of arguments as code.

    One that may be refused is told what to call parameter and table.
    """
    named = [name, *formula.arguments] if formula.kind == "rows" else []
    return f"{formula.kind}({', '.join([*arguments, *map(json.dumps, named)])})"


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
