"""Text of the emitted JAX file of a network: a pure function for each distinct block, and `model`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.arrays.file import ALL_ONES, TEMPLATE
from cortico.backends.arrays.levels import Call
from cortico.backends.arrays.network.file import (
    NETWORK_TEMPLATE,
    LevelCode,
    NetworkFile,
    paths_of,
)
from cortico.backends.jax.emitter import FunctionFile
from cortico.backends.jax.writer import JaxWriter
from cortico.backends.linking import heading, link
from cortico.backends.names import settled
from cortico.ir import Circuit, InputKind
from cortico.ir.network import Network
from cortico.ir.rewrite import symbolic

_TEMPLATE = "cortico.backends.jax.network.template"
_TEMPLATES = (
    _TEMPLATE,
    "cortico.backends.jax.template",
    NETWORK_TEMPLATE,
    TEMPLATE,
    "cortico.backends.template",
)


def emit_network(network: Network) -> str:
    """A standalone Python file with the pure function `model`, which runs a network."""
    return _File(network).text()


class _BlockWriter(JaxWriter):
    """Attention of blocks is on one device."""

    attend_arguments = ()


class _BlockFile(FunctionFile):
    """The function of one block."""

    def __init__(self, circuit: Circuit, name: str) -> None:
        super().__init__(circuit, _BlockWriter)
        self.name = name

    def lines(self) -> Iterator[str]:
        """Its lines."""
        arguments = [*["weights"] * bool(self.plain), *self.wanted]
        arguments += ["*", *self.gates] if self.gates else []
        yield f"def {self.name}({', '.join(arguments)}):"
        about = [f"{self.outputs} of the block.", *[ALL_ONES] * bool(self.gates)]
        yield f'    """{" ".join(about)}"""'
        body = [*self.body(), f"return {', '.join(self.returned(self.results))}"]
        yield textwrap.indent("\n".join(body), "    ")


class _File(NetworkFile):
    """The emitted file of one network."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, _TEMPLATES, ["model"])
        #: The function of each distinct block; what numbers a circuit has are weights in the file.
        self.blocks = {c: _BlockFile(symbolic(c), name) for c, name in self.functions.items()}

    def has_weights(self, circuit: Circuit) -> bool:
        return bool(self.blocks[circuit].plain)

    def text(self) -> str:
        rates = any(tensor.kind is InputKind.RATE for tensor in self.network.inputs)
        head = heading(_TEMPLATE).format(
            title=json.dumps(self.network.name),
            tensors=self.tensors,
            deciding="Inputs" if rates else "Weights",
        )
        blocks = ["\n".join(block.lines()) for block in self.blocks.values()]
        own = [head, *self.tables(), *self._model(), *blocks]
        return link(settled("\n".join(own)), *_TEMPLATES, offers=["stored"])

    def _model(self) -> Iterator[str]:
        """The function `model`, and those of levels that are alike."""
        body, levels = self.program()
        own = self.arguments if self.is_masked else self.arguments[:-1]
        yield f"def model({', '.join(['weights', *own])}):"
        yield f'    """{", ".join(self.outputs)} of the network, for inputs with any batch axes in front.'
        yield ""
        yield "    `weights` maps `path.name` to arrays, such as `stored()`."
        yield from [f"    {ALL_ONES}"] * self.is_masked
        yield '    """'
        yield "    expect_all(weights)"
        yield from (f"    {line}" for line in body)
        for code in levels:
            yield f"def {code.name}(weights, {', '.join(code.heard)}, *, level):"
            text = "\n".join([code.about, *code.lines, f"return {', '.join(code.given)}"])
            yield textwrap.indent(text, "    ")

    def call(self, call: Call, path: str) -> str:
        circuit, block = call.node.circuit, self.blocks[call.node.circuit]
        given = [f"weights_at({path}, weights)"] * self.has_weights(circuit)
        given += self.passed(call, block.names)
        return f"{', '.join(call.results.values())} = {self.functions[circuit]}({', '.join(given)})"

    def level_lines(self, code: LevelCode, results: str, arguments: str) -> Iterator[str]:
        yield f"for level in {paths_of(code.run)}:"
        yield f"    {results} = {code.name}(weights, {arguments}, level=level)"
