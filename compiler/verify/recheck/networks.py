"""The text of a network, read with a parser of its own; and whether its wires are those of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from cortico.verify.recheck.forms import printable
from cortico.verify.recheck.model_spec import Model
from cortico.verify.recheck.text import LINES, LONGEST, matched, names, parse, require

PART = r"[A-Za-z_]\w*(?:\[\d{1,9}\])?"
PATH = rf"{PART}(?:\.{PART})*"
PORT = rf"(?:{PATH}\.)?[A-Za-z_]\w*"
OWN = {
    "": r"cortico network 1|name .*|weights .*|",
    "input": LINES["input"],
    "node": rf"node ({PATH}) : (\w+)( stored)?",
    "wire": rf"wire ({PORT}) -> ({PORT})",
    "output": rf"output (\w+) = ({PORT})",
}
BLOCK = r"block ([A-Za-z_]\w*)"

#: Symbols of the numbers of tokens, by what the name of an input begins with.
SYMBOLS = {"decoder_": "n_decoder", "context": "n_context"}


def parse_network(text: str) -> SimpleNamespace:
    """A network: inputs and their sides, `path` to its block and whether its numbers are stored, what feeds
    each `path.input`, outputs; and of each block its lines and its circuit.
    """
    require(len(text) <= LONGEST, f"a network of {len(text)} characters is too long")
    n = SimpleNamespace(inputs={}, shapes={}, nodes={}, wires={}, outputs={}, lines={})
    for line in apart(text.split("\n"), n.lines):
        fits = [k for k, form in OWN.items() if re.fullmatch(form, line, re.ASCII)]
        require(fits, f"cannot read {printable(line, 80)}")
        name, *part = matched(OWN[fits[0]], line) or ("",)
        match fits[0]:
            case "input":
                declare(n.shapes, name, names(part[0]))
                n.inputs[name] = None if part[1] == " token" else bool(part[1])
            case "node":
                declare(n.nodes, name, (part[0], bool(part[1])))
            case "wire":
                declare(n.wires, part[0], name)
            case "output":
                declare(n.outputs, name, part[0])
    used = {block for block, _ in n.nodes.values()}
    require(used == set(n.lines), "its nodes are of other blocks than there are")
    n.circuits = {block: parse("\n".join(lines)) for block, lines in n.lines.items()}
    return n


def apart(lines: Iterable[str], blocks: dict[str, list[str]]) -> Iterable[str]:
    """The network's own lines; those of each block go to `blocks`, as its circuit has them."""
    own: list[str] | None = None
    for line in lines:
        found = re.fullmatch(BLOCK, line, re.ASCII)
        if found:
            declare(blocks, found[1], own := [])
        elif own is not None and (not line or line.startswith("  ")):
            own += [line[2:]] if line else []
        else:
            own = None
            yield line


def declare(table: dict[str, Any], name: str, value: Any) -> None:
    """Enter a value. ValueError when its name is there."""
    require(name not in table, f"{name} is declared twice")
    table[name] = value


def check_wires(network: Any, model: Model) -> None:
    """ValueError unless nodes, wires, inputs and outputs are those of a model, and sizes meet."""
    equal("node", set(network.nodes), set(model.blocks))
    equal("wire", pairs(network.wires), pairs(model.wires))
    equal("output", pairs(network.outputs), pairs(model.outputs))
    equal("input", set(network.inputs), {s for s in model.wires.values() if "." not in s})
    check_sizes(network, model)


def equal(what: str, found: set[str], expected: set[str]) -> None:
    """ValueError that names the first that only one of both has."""
    for one, words in (
        (found - expected, "is none of the model"),
        (expected - found, "is missing"),
    ):
        require(not one, f"the {what} {printable(min(one, default=''), 200)} {words}")


def pairs(table: Mapping[str, str]) -> set[str]:
    """Each target with its source, in words."""
    return {f"{target} of {source}" for target, source in table.items()}


def check_sizes(network: Any, model: Model) -> None:
    """Along every wire one size and kind; inputs have a symbol for tokens unless a block fixes their number."""
    fixed = {
        str(b.spec.get(t)) for b in model.blocks.values() for t in ("tokens", "context_tokens")
    }
    shapes: dict[str, list[str]] = dict(network.shapes)
    for name, sides in shapes.items():
        begins = (symbol for prefix, symbol in SYMBOLS.items() if name.startswith(prefix))
        tokens, *features = sides
        fine = tokens == next(begins, "n") or (tokens.isdigit() and tokens in fixed)
        require(fine and all(map(str.isdigit, features)), f"the input {name} has other sizes")
    for path, block in model.blocks.items():  # in the order in which they run
        circuit, sizes = network.circuits[network.nodes[path][0]], dict[str, str]()
        require(set(circuit.inputs) == set(block.heard), f"{path} has other inputs")
        for name, source in block.heard.items():
            expected, given = circuit.shapes[name], shapes[source]
            require(
                circuit.inputs[name] is network.inputs.get(source, False),
                f"{path}.{name} is of another kind",
            )
            meet = len(expected) == len(given) and all(
                (a if a.isdigit() else sizes.setdefault(a, b)) == b
                for a, b in zip(expected, given, strict=True)
            )
            require(meet, f"{path}.{name} has other sizes than what feeds it")
        for name, (_, axes) in circuit.outputs.items():
            own = [circuit.axes[axis] for axis in axes]
            shapes[f"{path}.{name}"] = [sizes.get(side, side) for side in own]
