"""Lines of an emitted NumPy file that check the inputs, and that compute what does not depend on rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from cortico.backends.arrays.file import checked
from cortico.backends.numpy.plan import Plan
from cortico.backends.script_parts import sides_code
from cortico.ir import Input, InputKind, Parameter
from cortico.ir.tensors import Shape


def checked_inputs(plan: Plan, without: object = None) -> Iterator[str]:
    """Lines that choose the precision and check the inputs, which may lack the side `without`."""
    yield f"dtype = precision({', '.join(plan.rates)})"
    yield "sizes = {}"
    for tensor in plan.inputs:
        shape = tuple(side for side in tensor.shape if side != without)
        yield from _checked_input(replace(tensor, shape=shape), plan.names[tensor.name])


def _checked_input(tensor: Input, name: str) -> Iterator[str]:
    if tensor.kind is InputKind.RATE:
        yield f"{name} = {checked(tensor, name, 'dtype')}"
        return
    yield f"if {name} is None:"
    yield f"    {name} = np.ones([{sides_code(tensor.shape)}], bool)"
    # anything but zero counts as one
    yield f"{name} = {checked(tensor, name, 'bool')}.astype(dtype)"


def all_positions(shape: Shape) -> str:
    """Code for the positions of all tokens."""
    return f"np.arange({sides_code(shape[:1])})"


def formula_lines(
    plan: Plan, positions: Callable[[Shape], str] = all_positions, token: str = ""
) -> Iterator[str]:
    """Lines that compute parameters that are formulas over tokens, of which `token` reads some."""
    for parameter in plan.circuit.parameters:
        formula = plan.formulas.get(parameter.name)
        if formula:
            arguments = [positions(parameter.shape), *(plan.names[n] for n in formula.arguments)]
            code = f"{formula.kind}({', '.join(arguments)}).astype(dtype){token}"
            yield f"{plan.names[parameter.name]} = {code}"


def checked_weight(plan: Plan, parameter: Parameter, array: str, kind: str = "dtype") -> str:
    """The line that checks a weight; of one that ranks share, a rank takes its part."""
    name = plan.names[parameter.name]
    return f"{name} = {checked(parameter, array, kind, *plan.ranks.part_of(name))}"
