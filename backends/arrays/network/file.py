"""The emitted file of a network in any library of arrays: one function for each distinct block, and what calls them.

A library says how a block is called and how levels that are alike are; the order and the variables are here.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cortico.backends.arrays.going_on import once_lines
from cortico.backends.arrays.levels import Call, Levels, Run, calls, letter
from cortico.backends.arrays.network.once import heard_once
from cortico.backends.arrays.network.running import argument_names
from cortico.backends.names import Names
from cortico.backends.script_parts import port_lines
from cortico.backends.templates import template
from cortico.ir import Circuit, Input, InputKind
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import shapes_of_ports

#: What all of these files carry.
NETWORK_TEMPLATE = "cortico.backends.arrays.network.template"


@dataclass(frozen=True)
class LevelCode:
    """What runs one of the levels that are alike."""

    run: Run
    name: str  #: of the function or class
    heard: tuple[str, ...]  #: what it is given
    lines: tuple[str, ...]
    given: tuple[str, ...]  #: what it returns

    @property
    def about(self) -> str:
        """Its docstring."""
        return f'"""One of the levels {self.run.first.path} … {self.run.last.path}."""'


class NetworkFile(ABC):
    """The emitted file of one network."""

    def __init__(self, network: Network, templates: Iterable[str], taken: Iterable[str]) -> None:
        """`taken` are names that the file has beside those of its `templates`."""
        self.network, self.once = network, heard_once(network)
        self.levels = Levels(network, self.once.nodes)
        self.names = Names(name for each in templates for name in template(each).definitions)
        #: Inputs to what they are called as arguments.
        self.given = argument_names(network)
        self.names.take([*self.given.values(), *taken])
        self.functions = {
            circuit: self.names.fresh(self.spelled(name))
            for circuit, name in network.block_names.items()
        }

    shape = "np.shape"  #: what gives the shape of an array
    goes_on = False  #: whether tokens of a call may come after those of earlier ones

    # ---- what a library says -----------------------------------------------------------------------

    def spelled(self, name: str) -> str:
        """The name of what stands for a block or a level, as the language has such names."""
        return name

    @abstractmethod
    def has_weights(self, circuit: Circuit) -> bool:
        """Whether what stands for a block is given weights."""

    @abstractmethod
    def call(self, call: Call, path: str) -> str:
        """The line that calls a block; `path` is code for its path."""

    @abstractmethod
    def level_lines(self, code: LevelCode, results: str, arguments: str) -> Iterator[str]:
        """The lines that run levels that are alike, one after another."""

    def only_last(self, variable: str) -> Iterator[str]:
        """The line that leaves of a variable the last token alone, where that may be asked for."""
        if self.goes_on:
            yield f"{variable} = {variable}[..., -1:, :] if only_last else {variable}"

    def passed(self, call: Call, names: Mapping[str, str]) -> list[str]:
        """What a block is given: by place what must be, 0/1 inputs by their `names` as its arguments."""
        inputs = call.node.circuit.inputs
        gates = (t.name for t in inputs if t.optional)
        return [
            *(call.arguments[t.name] for t in inputs if not t.optional),
            *(f"{names[name]}={call.arguments[name]}" for name in gates),
        ]

    # ---- what the file says of itself ----------------------------------------------------------------

    @property
    def tensors(self) -> str:
        """Lines for the head: names and shapes of inputs and outputs."""
        shapes = shapes_of_ports(self.network)
        outputs = [(output.name, shapes[output.source]) for output in self.network.outputs]
        return "\n".join(port_lines(self.network.inputs, outputs))

    @property
    def outputs(self) -> list[str]:
        return [output.name for output in self.network.outputs]

    @property
    def arguments(self) -> list[str]:
        """Those that must be given, and by keyword 0/1 inputs with their default."""
        inputs = self.network.inputs
        wanted = [self.given[t.name] for t in inputs if not t.optional]
        return [*wanted, "*", *(f"{self.given[t.name]}=None" for t in inputs if t.optional)]

    @property
    def is_masked(self) -> bool:
        """Whether there are 0/1 inputs."""
        return any(tensor.kind is InputKind.MASK for tensor in self.network.inputs)

    @property
    def writes(self) -> bool:
        """Whether it gives logits for token ids, of which the next token can be drawn."""
        ids = [t.kind for t in self.going if not t.optional]
        return ids == [InputKind.TOKEN] and "logits" in self.outputs

    @property
    def going(self) -> list[Input]:
        """Inputs over the tokens that may come part by part."""
        return [tensor for tensor in self.network.inputs if tensor not in self.once.inputs]

    def moves(self, node: Node) -> bool:
        """Whether a node hears tokens that may come after others."""
        return self.goes_on and node.path not in self.once.nodes

    def tables_of_tokens(self) -> Iterator[str]:
        """Lines that say which arguments are of tokens that go on, and which are heard once."""
        if self.goes_on:
            yield "#: The argument whose tokens may come part by part, and those that are heard in the first call alone."
            yield f"GOES_ON = {json.dumps(self.given[self.going[0].name])}"
            yield f"ONCE = {json.dumps([self.given[t.name] for t in self.once.inputs])}"

    @property
    def about_past(self) -> Iterator[str]:
        """Lines of a docstring on `past` and `only_last`."""
        if self.goes_on:
            yield "`past` is a dictionary in which is kept what later tokens read of these: tokens come after those of"
            yield "earlier calls with it. `only_last` reads out the last token alone."
        if self.goes_on and self.once.inputs:
            names = " and ".join(f"`{self.given[t.name]}`" for t in self.once.inputs)
            yield f"What is computed of {names} is kept, too: in later calls None stands there."

    def number_of_tokens(self) -> str:
        """Code for how many tokens there are in a call."""
        first = self.going[0]
        axis = -1 if first.kind is InputKind.TOKEN else -2
        return f"{self.shape}({self.given[first.name]})[{axis}]"

    # ---- weights ---------------------------------------------------------------------------------

    def tables(self) -> Iterator[str]:
        """Which block stands at each path, and the weights that it has there."""
        yield "#: The block at each path that has weights."
        yield "PATHS = {"
        for run in self.levels.runs:
            yield from self._rows(run)
        yield "}"
        tensors = {name: _names(c, stored=False) for c, name in self.with_weights.items()}
        constants = {name: _names(c, stored=True) for c, name in self.with_weights.items()}
        yield "#: Names of the weights of each block, and of those that are the same wherever it stands."
        yield f"TENSORS = {json.dumps(tensors)}"
        yield f"CONSTANTS = {json.dumps({k: v for k, v in constants.items() if v})}"

    def _rows(self, run: Run) -> Iterator[str]:
        """Lines of the table of paths."""
        nodes = [node for node in run.first.nodes if node.circuit in self.with_weights]
        blocks = {run.first.name(node): self.network.block_names[node.circuit] for node in nodes}
        if len(run.groups) == 1:
            yield from (
                f"    {json.dumps(n.path)}: {json.dumps(b)},"
                for n, b in zip(nodes, blocks.values(), strict=True)
            )
        elif blocks:
            yield "    **{"
            yield '        f"{level}.{name}": block'
            yield f"        for level in {paths_of(run)}"
            yield f"        for name, block in {json.dumps(blocks)}.items()"
            yield "    },"

    @property
    def with_weights(self) -> dict[Circuit, str]:
        """Blocks that have weights, and what these are called by in the file of weights."""
        return {c: name for c, name in self.network.block_names.items() if self.has_weights(c)}

    # ---- the model -----------------------------------------------------------------------------------

    def program(self) -> tuple[list[str], list[LevelCode]]:
        """The lines that run the network, and what they call for levels that are alike."""
        body, levels = list[str](), list[LevelCode]()
        variables = {Port(name): given for name, given in self.given.items()}
        runs = self.levels.runs
        outputs = {output.source for output in self.network.outputs}
        for k, run in enumerate(runs):
            later = {port for after in runs[k + 1 :] for g in after.groups for port in g.heard}
            ends = k == len(runs) - 1
            if run is self._first_moving:
                body = [*self._hearing(body, variables)]
            if len(run.groups) == 1:
                body += self._last_token(run, variables) if ends else []
                for call in calls(self.levels, run.first.nodes, variables, later | outputs):
                    body.append(self.call(call, json.dumps(call.node.path)))
            else:
                levels.append(self._level(run))
                body += self._loop(levels[-1], variables, later | outputs)
        if not self._is_apart(runs[-1]):
            for name in dict.fromkeys(variables[port] for port in outputs):
                body += self.only_last(name)
        given = ", ".join(variables[output.source] for output in self.network.outputs)
        return [*body, f"return {given}"], levels

    @property
    def _first_moving(self) -> Run | None:
        """The first run whose tokens go on, where something is heard once."""
        moving = (run for run in self.levels.runs if self.moves(run.first.nodes[0]))
        return next(moving, None) if self.once.inputs else None

    def _hearing(self, body: list[str], variables: Mapping[Port, str]) -> Iterator[str]:
        """`body`, which computes what is heard once, in the first call; in others its results are at hand."""
        wanted, optional = (
            ", ".join(f'"{name}": {name}' for name in names)
            for names in (
                [self.given[t.name] for t in self.once.inputs if t.optional is kind]
                for kind in (False, True)
            )
        )
        wires = (w for w in self.network.wires if w.target.path not in self.once.nodes)
        read = (wire.source for wire in wires if wire.source in self.once.ports)
        yield f"expect_once(start, {{{wanted}}}, {{{optional}}})"
        yield from once_lines(dict.fromkeys(variables[port] for port in read), body)

    def _last_token(self, run: Run, variables: dict[Port, str]) -> Iterator[str]:
        """Lines that leave the last token alone before what reads out, where that is by itself."""
        if self._is_apart(run):
            yield from self.only_last(variables[run.first.heard[0]])

    def _is_apart(self, run: Run) -> bool:
        """Whether blocks come after all levels and hear one thing that others give."""
        heard = run.first.heard
        return len(run.groups) == 1 and len(heard) == 1 and bool(heard[0].path)

    def _level(self, run: Run) -> LevelCode:
        """The code of levels that are alike."""
        group = run.first
        variables: dict[Port, str] = {}
        for port in group.heard:
            free = letter(set(variables.values()))
            variables[port] = free if port.path else self.given[port.name]
        heard = tuple(variables.values())
        body = [
            self.call(call, f'f"{{level}}.{group.name(call.node)}"')
            for call in calls(self.levels, group.nodes, variables, group.given)
        ]
        name = self.names.fresh(self.spelled(stem(run)))
        return LevelCode(run, name, heard, tuple(body), tuple(variables[p] for p in group.given))

    def _loop(self, code: LevelCode, variables: dict[Port, str], kept: set[Port]) -> Iterator[str]:
        """The lines that run levels one after another; what is carried on keeps its name."""
        run, first, last = code.run, code.run.first, code.run.last
        heard = {given: first.heard[k] for k, given in run.carried.items()}
        for k, port in enumerate(last.given):
            source = heard.get(k)
            free = source is not None and source.path and source not in kept
            variable = variables[source] if source and free else letter(set(variables.values()))
            if source is not None and not free:
                yield f"{variable} = {variables[source]}"
            variables[port] = variable
        arguments = [
            variables[last.given[run.carried[k]] if k in run.carried else port]
            for k, port in enumerate(first.heard)
        ]
        results = ", ".join(variables[port] for port in last.given)
        yield from self.level_lines(code, results, ", ".join(arguments))


def _names(circuit: Circuit, stored: bool) -> list[str]:
    """Names of parameters that a circuit has numbers for, or that each node has for itself."""
    plain = (p for p in circuit.parameters if p.formula is None)
    return [p.name for p in plain if (p.values is not None) is stored]


def stem(run: Run) -> str:
    """What the levels of a run are called: `layer`."""
    path = run.first.path.rpartition("[")[0]
    return path.replace(".", "_").replace("[", "_").replace("]", "")


def paths_of(run: Run) -> str:
    """Code for the paths of levels in a row."""
    start, _, number = run.first.path.rpartition("[")
    first, count = int(number.rstrip("]")), len(run.groups)
    paths = [group.path for group in run.groups]
    if paths == [f"{start}[{first + k}]" for k in range(count)]:
        span = f"range({count})" if first == 0 else f"range({first}, {first + count})"
        return f'[f"{start}[{{k}}]" for k in {span}]'
    return json.dumps(paths)
