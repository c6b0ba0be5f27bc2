"""Text of the emitted PyTorch file of a network: a class for each distinct block and for levels, and `Model`."""

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
    stem,
)
from cortico.backends.linking import heading, link
from cortico.backends.names import Names, settled
from cortico.backends.torch.network.block import BlockFile
from cortico.backends.torch.state import MODULE_NAMES
from cortico.ir import Circuit
from cortico.ir.network import Network
from cortico.ir.paths import prefix
from cortico.ir.rewrite import symbolic

_TEMPLATE = "cortico.backends.torch.network.template"
_TEMPLATES = (_TEMPLATE, "cortico.backends.torch.template", NETWORK_TEMPLATE, TEMPLATE)


def emit_network(network: Network) -> str:
    """A standalone Python file with the `nn.Module` `Model`, which runs a network.

    Where no token hears a later one it takes a `past` and has `step`; for token ids and logits, `generate`.
    """
    return _File(network).text()


class _File(NetworkFile):
    """The emitted file of one network."""

    shape = "torch.Tensor.size"

    def __init__(self, network: Network) -> None:
        super().__init__(network, _TEMPLATES, ["Model", "SHAPES", "OUTPUTS"])
        #: The module of each distinct block; what numbers a circuit has are weights in the file.
        once = self.once.blocks
        self.blocks = {
            circuit: BlockFile(
                symbolic(circuit),
                name,
                network.block_names[circuit],
                once.get(circuit, frozenset()),
            )
            for circuit, name in self.functions.items()
        }
        moving = [self.blocks[circuit] for circuit in once]
        self.goes_on = all(block.can_go_on for block in moving)
        for block in moving:
            block.goes_on = self.goes_on
        self.attributes = self._attributes()

    def _attributes(self) -> dict[str, str]:
        """The attribute of each block, within its level where there are several that are alike."""
        own = Names(MODULE_NAMES)
        found: dict[str, str] = {}
        for run in self.levels.runs:
            for group in run.groups:
                inner = Names(MODULE_NAMES) if len(run.groups) > 1 else own
                names = (
                    (n.path, group.name(n) if inner is not own else n.path) for n in group.nodes
                )
                found |= {path: inner.fresh(prefix(name)[:-1]) for path, name in names}
        self.lists = {id(r): own.fresh(stem(r)) for r in self.levels.runs if len(r.groups) > 1}
        return found

    def spelled(self, name: str) -> str:
        return "".join(word[:1].upper() + word[1:] for word in name.split("_"))

    def has_weights(self, circuit: Circuit) -> bool:
        return bool(self.blocks[circuit].plain)

    # ---- the file --------------------------------------------------------------------------------

    def text(self) -> str:
        head = heading(_TEMPLATE).format(title=json.dumps(self.network.name), tensors=self.tensors)
        blocks = ["\n".join(block.class_lines()) for block in self.blocks.values()]
        own = [head, *self.tables(), *self._more_tables(), *self._model(), *blocks]
        offers = ["step", *["generate"] * self.writes] if self.goes_on else []
        return link(settled("\n".join(own)), *_TEMPLATES, offers=offers)

    def _more_tables(self) -> Iterator[str]:
        yield f"OUTPUTS = {json.dumps(self.outputs)}"
        yield from self.tables_of_tokens()
        files = {name: self.blocks[circuit] for circuit, name in self.with_weights.items()}
        shapes = {name: {p.name: p.shape for p in file.plain} for name, file in files.items()}
        made = {name: file.state.made_of() for name, file in files.items()}
        given = {name: [*file.state.as_given()] for name, file in files.items()}
        yield "#: The shape of each weight."
        yield f"SHAPES = {json.dumps(shapes)}"
        yield "#: Parameters of modules: the weights that they are made of, and those that lie as these do."
        yield f"MADE_OF = {json.dumps(made)}"
        yield f"AS_GIVEN = {json.dumps(given)}"

    # ---- the model -------------------------------------------------------------------------------

    def _model(self) -> Iterator[str]:
        """The class `Model`, and those of levels that are alike."""
        (*body, result), levels = self.program()
        yield "class Model(nn.Module):"
        inner = [
            *self._docstring(),
            "",
            *self._constructor(levels),
            "",
            *self._forward(body, result),
        ]
        yield textwrap.indent("\n".join(inner), "    ")
        for code in levels:
            yield f"class {code.name}(nn.Module):"
            yield textwrap.indent("\n".join(self._level_class(code)), "    ")

    def _docstring(self) -> Iterator[str]:
        yield f'"""{", ".join(self.outputs)} of the network.'
        yield ""
        yield "`weights` maps `path.name` to arrays or tensors; by default they are read from the file beside this one."
        yield "What is made of the same arrays is one parameter. `dtype` is by default that of the largest weight, at"
        yield "least float32; `to` changes it, and the device."
        yield '"""'

    def _constructor(self, levels: list[LevelCode]) -> Iterator[str]:
        names = {id(code.run): code.name for code in levels}
        yield "def __init__(self, weights=None, *, dtype=None):"
        yield "    super().__init__()"
        yield "    weights, dtype = ready(weights, dtype)"
        for run in self.levels.runs:
            if len(run.groups) > 1:
                made = f"{names[id(run)]}(weights, level, dtype) for level in {paths_of(run)}"
                yield f"    self.{self.lists[id(run)]} = nn.ModuleList({made})"
            else:
                yield from (f"    {self._made(n.path, n.circuit)}" for n in run.first.nodes)
        yield "    share(self, weights)"

    def _made(self, path: str, circuit: Circuit, code: str = "") -> str:
        """The line that makes a block; `code` is code for its path."""
        given = f"weights, {code or json.dumps(path)}, dtype"
        return f"self.{self.attributes[path]} = {self.functions[circuit]}({given})"

    def _forward(self, body: list[str], result: str) -> Iterator[str]:
        options = ["past=None", "only_last=False"] * self.goes_on
        arguments = [each for each in self.arguments if each != "*"]
        wanted = [each for each in arguments if "=" not in each]
        named = [*(each for each in arguments if "=" in each), *options]
        yield f"def forward({', '.join(['self', *wanted, *['*'] * bool(named), *named])}):"
        yield f'    """{", ".join(self.outputs)}, for inputs with any batch axes in front.'
        if self.goes_on or self.is_masked:
            yield ""
        yield from (f"    {line}" for line in self.about_past)
        if self.is_masked:
            yield f"    {ALL_ONES}"
        yield '    """'
        if self.goes_on:
            yield '    start = 0 if past is None else past.get("tokens", 0)'
            yield f"    stop = start + {self.number_of_tokens()}"
        yield from (f"    {line}" for line in body)
        if self.goes_on:
            yield "    if past is not None:"
            yield '        past["tokens"] = stop'
        yield f"    {result}"

    def call(self, call: Call, path: str) -> str:
        block = self.blocks[call.node.circuit]
        given = self.passed(call, block.names)
        moves = self.moves(call.node)
        given += ["start=start"] * (moves and block.counts)
        given += ["past=past"] * (moves and block.keeps)
        function = f"self.{self.attributes[call.node.path]}"
        return f"{', '.join(call.results.values())} = {function}({', '.join(given)})"

    # ---- levels ----------------------------------------------------------------------------------

    def level_lines(self, code: LevelCode, results: str, arguments: str) -> Iterator[str]:
        how = ", start=start, past=past" * self.moves(code.run.first.nodes[0])
        yield f"for level in self.{self.lists[id(code.run)]}:"
        yield f"    {results} = level({arguments}{how})"

    def _level_class(self, code: LevelCode) -> Iterator[str]:
        group = code.run.first
        yield code.about
        yield ""
        yield "def __init__(self, weights, level, dtype):"
        yield "    super().__init__()"
        for node in group.nodes:
            path = f'f"{{level}}.{group.name(node)}"'
            yield f"    {self._made(node.path, node.circuit, path)}"
        yield ""
        how = ["*", "start", "past"] * self.moves(group.nodes[0])
        yield f"def forward({', '.join(['self', *code.heard, *how])}):"
        yield from (f"    {line}" for line in code.lines)
        yield f"    return {', '.join(code.given)}"
