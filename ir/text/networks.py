"""The text form of a network: its own lines, then the text of each distinct block, indented.

    cortico network 1
    name "two levels"

    input x (n, 8)

    node layer[0].attention : attention
    node layer[1].attention : attention

    wire x -> layer[0].attention.x
    wire layer[0].attention.y -> layer[1].attention.x

    output y = layer[1].attention.y

    block attention
      cortico circuit 1
      …

`node … stored` says that the arrays of its parameters lie in the weights file, each under the path of the node and
its own name: `layer[0].attention.W_Q`. A parameter `stored` within a block is shared by its nodes: `attention:frequencies`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, near_name
from cortico.ir.network import Network, NetworkOutput, Node, Port, Wire, check_network, port
from cortico.ir.paths import PATH
from cortico.ir.tensors import Input, Parameter
from cortico.ir.text.line import Line
from cortico.ir.text.parser import (
    Draft,
    Head,
    body,
    finish,
    read,
    read_input,
    read_name,
    read_weights_file,
    require_short,
)
from cortico.ir.text.printer import check_file_name, input_line, quote

#: The version of the text form.
VERSION = 1

_PORT = re.compile(rf"(?:{PATH.pattern}\.)?[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_.\[])")
_BLOCK = re.compile(r"^block[ \t]+([A-Za-z_][A-Za-z0-9_]*)[ \t]*(?:#.*)?$")


def print_network(network: Network, weights_file: str | None = None) -> str:
    """The text of a network; `weights_file` names the safetensors file beside it.

    CircuitError when `weights_file` is not a plain file name.
    """
    blocks = network.block_names
    head = [f"cortico network {VERSION}", f"name {quote(network.name)}"]
    if weights_file is not None:
        head.append(f"weights {quote(check_file_name(weights_file))}")
    sections = (
        head,
        map(input_line, network.inputs),
        (
            f"node {n.path} : {blocks[n.circuit]}{' stored' if n.values else ''}"
            for n in network.nodes
        ),
        (f"wire {wire}" for wire in network.wires),
        (f"output {output.name} = {output.source}" for output in network.outputs),
        *(_block(name, circuit) for circuit, name in blocks.items()),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def stored_arrays(network: Network) -> dict[str, np.ndarray]:
    """What a weights file holds: arrays of nodes (`path.name`), and of blocks (`block:name`)."""
    shared = {
        f"{block}:{p.name}": p.values
        for circuit, block in network.block_names.items()
        for p in circuit.parameters
        if p.values is not None
    }
    return shared | {f"{n.path}.{name}": v for n in network.nodes for name, v in n.values.items()}


def _block(name: str, circuit: Circuit) -> Iterator[str]:
    yield f"block {name}"
    yield from (f"  {line}".rstrip() for line in str(circuit).splitlines())


# ---- parsing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DraftNode:
    """A node as its line says it."""

    path: str
    block: str
    stored: bool
    line: Line


@dataclass
class NetworkDraft(Head):
    """What has been read so far."""

    kind = "network"
    inputs: list[Input] = field(default_factory=list)
    nodes: list[_DraftNode] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    outputs: list[NetworkOutput] = field(default_factory=list)
    blocks: dict[str, Draft] = field(default_factory=dict)

    def stored(self) -> dict[str, Parameter]:
        """What the weights file must hold, by the name that it has there."""
        shared = {
            f"{block}:{p.name}": p
            for block, draft in self.blocks.items()
            for p in draft.parameters
            if p.name in draft.stored
        }
        return shared | {
            f"{node.path}.{p.name}": p
            for node in self.nodes
            if node.stored
            for p in _left_open(self.blocks[node.block])
        }


def parse_network(text: str, weights: Mapping[str, np.ndarray] | None = None) -> Network:
    """The network that `text` describes, checked; `weights` holds the stored arrays by path and name.

    CircuitError with line, text, what was found and what was expected.
    """
    return finish_network(read_network(text), weights or {})


def read_network(text: str) -> NetworkDraft:
    """Everything that the text says, without the stored values."""
    require_short(text)
    own, blocks = _apart(text)
    draft = NetworkDraft()
    for line in body(own, draft.kind, VERSION):
        _READERS[line.one_of(_READERS, "a declaration")](line, draft)
        line.finish()
    draft.require_title()
    draft.blocks = {name: read(block) for name, block in blocks.items()}
    for node in draft.nodes:
        if node.block not in draft.blocks:
            near = near_name(node.block, draft.blocks)
            node.line.complain(f"there is no block {node.block!r}{near}")
    unused = draft.blocks.keys() - {node.block for node in draft.nodes}
    if unused:
        raise CircuitError(f"no node is a block {', '.join(map(repr, sorted(unused)))}")
    return draft


def finish_network(draft: NetworkDraft, weights: Mapping[str, np.ndarray]) -> Network:
    """The network of a draft, with stored values taken from `weights`, checked."""
    assert draft.name is not None
    blocks = {
        name: finish(block, _beginning(f"{name}:", weights)) for name, block in draft.blocks.items()
    }
    made = Network(
        draft.name,
        tuple(draft.inputs),
        tuple(_node(node, blocks[node.block], weights) for node in draft.nodes),
        tuple(draft.wires),
        tuple(draft.outputs),
    )
    check_network(made)
    return made


def _node(drawn: _DraftNode, circuit: Circuit, weights: Mapping[str, np.ndarray]) -> Node:
    node = Node(drawn.path, circuit)
    if not drawn.stored:
        return node
    own = _beginning(f"{node.path}.", weights)
    missing = [name for name in node.open if name not in own]
    if missing:
        drawn.line.complain(
            f"{node.path} has stored values, but the weights lack {', '.join(missing)}"
        )
    return replace(node, values={name: own[name] for name in node.open})


def _beginning(mark: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by the rest of their names."""
    return {n.removeprefix(mark): array for n, array in weights.items() if n.startswith(mark)}


def _left_open(draft: Draft) -> list[Parameter]:
    return [p for p in draft.parameters if p.formula is None and p.name not in draft.stored]


def _apart(text: str) -> tuple[str, dict[str, str]]:
    """The network's own lines, and the text of each block; every line keeps its number."""
    lines = text.split("\n")
    own: list[str] = []
    blocks: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(lines):
        found = _BLOCK.match(line)
        if found and found.group(1) in blocks:
            raise CircuitError(f"line {number + 1}: there is a block {found.group(1)!r} already")
        if found:
            current = blocks.setdefault(found.group(1), [""] * (number + 1))
        elif current is not None and (not line.strip() or line.startswith("  ")):
            current.append(line[2:])
        else:
            current = None
        own.append(line if current is None else "")
    return "\n".join(own), {name: "\n".join(block) for name, block in blocks.items()}


def _read_input(line: Line, draft: NetworkDraft) -> None:
    draft.inputs.append(read_input(line))


def _read_node(line: Line, draft: NetworkDraft) -> None:
    path = line.take(PATH, "a path such as layer[3].attention")
    line.expect(":")
    block = line.name("the name of a block")
    draft.nodes.append(_DraftNode(path, block, line.accept("stored"), line))


def _read_wire(line: Line, draft: NetworkDraft) -> None:
    source = _port(line)
    line.expect("->")
    draft.wires.append(Wire(source, _port(line)))


def _read_output(line: Line, draft: NetworkDraft) -> None:
    name = line.name("the name of an output")
    line.expect("=")
    draft.outputs.append(NetworkOutput(name, _port(line)))


def _port(line: Line) -> Port:
    return port(line.take(_PORT, "an input or output such as layer[3].attention.x"))


#: First word of a line to the function that reads the rest of it.
_READERS: Mapping[str, Callable[[Line, NetworkDraft], None]] = MappingProxyType(
    {
        "name": read_name,
        "weights": read_weights_file,
        "input": _read_input,
        "node": _read_node,
        "wire": _read_wire,
        "output": _read_output,
    }
)
