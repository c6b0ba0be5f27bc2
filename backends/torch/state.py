"""What an emitted module keeps, and the methods that fill and show it: layers, parameters, constants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from cortico.backends.arrays.variables import Variable
from cortico.backends.names import Names
from cortico.backends.torch.layers import Layer, Member
from cortico.ir import Parameter

#: What no parameter may be called: the method below, the path of a block, and attributes of every `nn.Module`. Those are in a file, for
#: what is emitted is the same where PyTorch is not installed; `make golden` adds what newer versions have.
MODULE_NAMES = frozenset(
    [
        "weights",
        "path",
        *resources.files(__package__).joinpath("module_names.txt").read_text("ascii").split(),
    ]
)


@dataclass(frozen=True)
class State:
    """`layers` hold the weights of matrix products, `direct` is read as it is, `constants` go into formulas.

    `parameters` are those of the circuit by the name of the variable that holds them.
    """

    layers: tuple[Layer, ...]
    direct: tuple[str, ...]
    constants: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    sizes: Mapping[str, int]
    shapes: str = "SHAPES"  #: code for the shape of each weight

    @property
    def attributes(self) -> dict[str, str]:
        """Variables of `direct` and `constants` to attributes of the module."""
        names = Names([*MODULE_NAMES, *(layer.name for layer in self.layers)])
        direct, constants = names.of(self.direct), names.of(self.constants)
        return {**direct, **{f"{name} exactly": text for name, text in constants.items()}}

    def constant(self, variable: str) -> str:
        """Code for the float64 numbers of a constant."""
        return f"self.{self.attributes[f'{variable} exactly']}.view(torch.float64)"

    def like(self) -> str:
        """Code for a tensor with the dtype and the device of the module."""
        if self.layers:
            return f"self.{self.layers[0].name}.weight"
        return f"self.{self.attributes[self.direct[0]]}" if self.direct else "self.empty"

    def constructor(self, default: str) -> list[str]:
        """Lines of `__init__`; `default` is code for the weights that are taken where none are given."""
        argument = "weights=None" if default else "weights"
        lines = [f"def __init__(self, {argument}, *, dtype=None):", "    super().__init__()"]
        if default:
            lines.append(f"    weights = {default} if weights is None else weights")
        return [*lines, *(f"    {line}" for line in self.filling())]

    def filling(self) -> Iterator[str]:
        """Lines that make layers and parameters of `weights` in `dtype`."""
        yield f"tensors = as_tensors(weights, {self.shapes}, dtype)"
        for layer in self.layers:
            matrices = ", ".join(self._matrix(member) for member in layer.members)
            biases = ", ".join(self._vector(m, m.bias) for m in layer.members if m.bias)
            yield f"self.{layer.name} = linear([{matrices}], [{biases}])"
        for name in self.direct:
            yield f"self.{self.attributes[name]} = nn.Parameter({self._given(name)})"
        for name in self.constants:
            attribute = self.attributes[f"{name} exactly"]
            given = f'weights["{self.parameters[name].name}"]'
            yield f'self.register_buffer("{attribute}", exact({given}))'
        if not self.layers and not self.direct:
            yield 'self.register_buffer("empty", torch.empty(0, dtype=dtype), persistent=False)'

    def reader(self) -> list[str]:
        """Lines of the method `weights`."""
        entries = [
            *(entry for layer in self.layers for entry in self._views(layer)),
            *(self._entry(name, f"read(self.{self.attributes[name]})") for name in self.direct),
        ]
        constants = "".join(f", {self._entry(n, self.constant(n))}" for n in self.constants)
        return [
            "def weights(self, *, gradients=False):",
            '    """Each weight, or its gradient, under its name in the circuit: views of the parameters."""',
            "    read = (lambda parameter: parameter.grad) if gradients else (lambda parameter: parameter)",
            "    found = {",
            *(f"        {entry}," for entry in entries),
            "    }",
            f"    return found if gradients else {{**found{constants}}}"
            if constants
            else "    return found",
        ]

    def made_of(self) -> dict[str, list[str]]:
        """Each parameter of the module, and the weights that it is made of."""
        found = {self.attributes[name]: [self.parameters[name].name] for name in self.direct}
        for layer in self.layers:
            biases = [m.bias.code for m in layer.members if m.bias]
            parts = {"weight": [m.weight.code for m in layer.members], "bias": biases}
            found |= {
                f"{layer.name}.{part}": [self.parameters[code].name for code in codes]
                for part, codes in parts.items()
                if codes
            }
        return found

    def as_given(self) -> Iterator[str]:
        """The parameters whose numbers lie as those of the weight that they are."""
        yield from (self.attributes[name] for name in self.direct)
        for layer in self.layers:
            first = layer.members[0]
            if len(layer.members) == 1 and first.weight.axes == (*first.rows, *first.columns):
                yield f"{layer.name}.weight"

    def _views(self, layer: Layer) -> Iterator[str]:
        for member, part in zip(layer.members, layer.parts(self.sizes), strict=True):
            rows = f"[{part}]" if part else ""
            shape = (*member.rows, *member.columns)
            code = f"read(self.{layer.name}.weight){rows}"
            yield self._entry(member.weight.code, self._viewed(code, shape, member.weight.axes))
            if member.bias:
                code = f"read(self.{layer.name}.bias){rows}"
                yield self._entry(
                    member.bias.code, self._viewed(code, member.rows, member.bias.axes)
                )

    def _viewed(self, code: str, axes: tuple[str, ...], wanted: tuple[str, ...]) -> str:
        sides = ", ".join(str(self.sizes[axis]) for axis in axes)
        return f"{code}.view({sides}){_permuted(axes, wanted)}"

    def _entry(self, variable: str, code: str) -> str:
        return f'"{self.parameters[variable].name}": {code}'

    def _given(self, variable: str) -> str:
        return f'tensors["{self.parameters[variable].name}"]'

    def _matrix(self, member: Member) -> str:
        """Code for a weight as a matrix of rows and columns."""
        columns = math.prod(self.sizes[axis] for axis in member.columns)
        order = _permuted(member.weight.axes, (*member.rows, *member.columns))
        return f"{self._given(member.weight.code)}{order}.reshape({member.length(self.sizes)}, {columns})"

    def _vector(self, member: Member, bias: Variable) -> str:
        order = _permuted(bias.axes, member.rows)
        return f"{self._given(bias.code)}{order}.reshape({member.length(self.sizes)})"


def _permuted(axes: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if axes == wanted:
        return ""
    return f".permute({', '.join(str(axes.index(axis)) for axis in wanted)})"
