"""Text of the emitted file of a network: one function for each distinct block, and `model`, which calls them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator

from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.arrays.levels import Call, Levels, Run, calls, letter
from cortico.backends.linking import heading, link
from cortico.backends.names import settled
from cortico.backends.numpy.emitter import TEMPLATES, functions
from cortico.backends.numpy.plan import Entry, plan
from cortico.backends.numpy.weights import packed_names
from cortico.backends.script_parts import port_lines
from cortico.backends.transfers import scipy_import
from cortico.ir import TRANSFERS, Circuit, InputKind
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import shapes_of_ports
from cortico.ir.rewrite import symbolic

_TEMPLATE = "cortico.backends.numpy.template.network"

#: What every function of a file passes on.
_HOW = ("weights", "threads", "work")


def emit_network(network: Network) -> str:
    """A standalone Python module with the function `model`, which runs a network."""
    return _File(network).text()


class _File:
    """The emitted file of one network."""

    def __init__(self, network: Network) -> None:
        self.network, self.levels = network, Levels(network)
        #: The plan of each distinct block; what numbers a circuit has are weights in the file.
        self.plans = {
            circuit: plan(symbolic(circuit), on_ranks=False, entry=Entry(name, f"_{name}"))
            for circuit, name in network.block_names.items()
        }
        self.names = {tensor.name: tensor.name for tensor in network.inputs}

    def text(self) -> str:
        used = {p.transfer for circuit in self.plans for p in circuit.populations}
        scipy = scipy_import(t for name, t in TRANSFERS.items() if name in used)
        head = heading(_TEMPLATE).format(
            title=json.dumps(self.network.name),
            tensors="\n".join(port_lines(self.network.inputs, self._outputs())),
            needs=f"\nBesides numpy this needs scipy: {scipy}." if scipy else "",
        )
        blocks = ["\n".join(functions(file)) for file in self.plans.values()]
        own = [head, scipy, *self._tables(), *self._model(), *self._pack(), *dict.fromkeys(blocks)]
        return link(settled("\n".join(own)), _TEMPLATE, *TEMPLATES)

    def _outputs(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        """Names and shapes of what comes out."""
        shapes = shapes_of_ports(self.network)
        return ((output.name, shapes[output.source]) for output in self.network.outputs)

    # ---- weights ---------------------------------------------------------------------------------

    def _tables(self) -> Iterator[str]:
        """Which block stands at each path, and the weights that it has there."""
        with_weights = [node for node in self.levels.order if self._has_weights(node)]
        yield "#: The block at each path."
        yield "PATHS = {"
        for run in self.levels.runs:
            nodes = [node for node in run.first.nodes if node in with_weights]
            rows = {run.first.name(node): self.network.block_names[node.circuit] for node in nodes}
            if len(run.groups) == 1:
                yield from (
                    f"    {json.dumps(n.path)}: {json.dumps(rows[run.first.name(n)])},"
                    for n in nodes
                )
            elif rows:
                yield '    **{f"{level}.{name}": block'
                yield f"       for level in {_levels(run)} for name, block in {json.dumps(rows)}.items()}},"
        yield "}"
        tensors = {name: list(circuit_open(c)) for c, name in self._blocks_with_weights()}
        constants = {name: list(circuit_constants(c)) for c, name in self._blocks_with_weights()}
        yield "#: Names of the weights of each block, and of those that all blocks of its kind share."
        yield f"TENSORS = {json.dumps(tensors)}"
        yield f"CONSTANTS = {json.dumps({k: v for k, v in constants.items() if v})}"

    def _blocks_with_weights(self) -> Iterator[tuple[Circuit, str]]:
        return (
            (circuit, name)
            for circuit, name in self.network.block_names.items()
            if packed_names(self.plans[circuit])
        )

    def _has_weights(self, node: Node) -> bool:
        return bool(packed_names(self.plans[node.circuit]))

    def _pack(self) -> Iterator[str]:
        """The functions that make the weights of all blocks ready."""
        packs = ", ".join(
            f"{json.dumps(name)}: {self.plans[circuit].entry.pack}"
            for circuit, name in self._blocks_with_weights()
        )
        yield f"""
def pack(weights, dtype):
    \"\"\"The weights as `model` reads them: of each path those that its block reads.\"\"\"
    expect_all(weights, dtype)
    packs = {{{packs}}}
    return {{path: packs[block](tensors_at(path, weights), dtype) for path, block in PATHS.items()}}

@functools.cache
def stored(dtype):
    \"\"\"The weights in the file beside this one.\"\"\"
    return pack(load_weights(Path(__file__).with_name("network.safetensors")), dtype)"""
        yield "import functools\nfrom pathlib import Path"

    # ---- model -----------------------------------------------------------------------------------

    def _model(self) -> Iterator[str]:
        """The function `model`, and one for levels that are alike."""
        body, functions_ = list[str](), list[str]()
        variables = {Port(tensor.name): tensor.name for tensor in self.network.inputs}
        runs = self.levels.runs
        outputs = {output.source for output in self.network.outputs}
        for k, run in enumerate(runs):
            kept = {
                port for later in runs[k + 1 :] for g in later.groups for port in g.heard
            } | outputs
            if len(run.groups) == 1:
                body += map(self._call, calls(self.levels, run.first.nodes, variables, kept))
            else:
                name = self._level_name(run, functions_)
                functions_ += self._level(run, name)
                body += self._loop(run, name, variables, kept)
        given = ", ".join(variables[output.source] for output in self.network.outputs)
        yield f"def model({', '.join(self._arguments())}):"
        lines = [*self._docstring(), *self._prologue(), *body, f"return {given}"]
        yield textwrap.indent("\n".join(lines), "    ")
        yield from functions_

    def _arguments(self) -> Iterator[str]:
        given = [t for t in self.network.inputs if t.kind is not InputKind.MASK]
        yield from (t.name for t in given[:1])
        yield from (f"{t.name}=None" if t.kind is InputKind.TOKEN else t.name for t in given[1:])
        yield "*"
        gates = (t for t in self.network.inputs if t.kind is InputKind.MASK)
        yield from (f"{t.name}=None" for t in gates)
        yield from ("weights=None", "dtype=np.float32", "threads=None", "work=None")

    def _docstring(self) -> Iterator[str]:
        names = ", ".join(output.name for output in self.network.outputs)
        yield f'"""{names} of the network.'
        yield ""
        yield "`weights` maps the names above to arrays, or is what `pack` gives; by default they are read from the"
        yield "file beside this one, once for each `dtype`. `threads` and `work` as the blocks have them."
        if any(tensor.kind is InputKind.MASK for tensor in self.network.inputs):
            yield ALL_ONES
        yield '"""'

    def _prologue(self) -> Iterator[str]:
        yield "weights = stored(dtype) if weights is None else weights"
        yield "weights = weights if {*weights} == {*PATHS} else pack(weights, dtype)"
        yield "work = {} if work is None else work"

    def _call(self, call: Call, path: str = "") -> str:
        """`x = block(x, …)`; `path` is code for the path, where that is not known yet."""
        circuit, file = call.node.circuit, self.plans[call.node.circuit]
        rates = [call.arguments[t.name] for t in circuit.inputs if t.kind is not InputKind.MASK]
        gates = [
            f"{file.names[t.name]}={call.arguments[t.name]}"
            for t in circuit.inputs
            if t.kind is InputKind.MASK
        ]
        how = []
        if packed_names(file):
            how.append(f"weights=weights[{path or json.dumps(call.node.path)}]")
        if file.has_threads:
            how += ["threads=threads", "work=work"]
        return f"{', '.join(call.results.values())} = {call.function}({', '.join([*rates, *gates, *how])})"

    # ---- levels ----------------------------------------------------------------------------------

    def _level_name(self, run: Run, taken: Iterable[str]) -> str:
        """What the function of a level is called: as the levels are, `layer`."""
        return (
            run.first.path.rpartition("[")[0].replace(".", "_").replace("[", "_").replace("]", "")
        )

    def _level(self, run: Run, name: str) -> Iterator[str]:
        group = run.first
        variables: dict[Port, str] = {}
        for port in group.heard:
            variables[port] = port.name if not port.path else letter(set(variables.values()))
        heard = ", ".join(variables.values())
        body = [
            self._call(call, f'f"{{level}}.{group.name(call.node)}"')
            for call in calls(self.levels, group.nodes, variables, group.given)
        ]
        given = ", ".join(variables[port] for port in group.given)
        yield f"def {name}({heard}, *, level, {', '.join(_HOW)}):"
        yield f'    """One of {len(run.groups)} levels: {run.first.path} … {run.last.path}."""'
        yield textwrap.indent("\n".join([*body, f"return {given}"]), "    ")

    def _loop(
        self, run: Run, name: str, variables: dict[Port, str], kept: set[Port]
    ) -> Iterator[str]:
        """The lines that run levels one after another; what is carried keeps its name."""
        first, last = run.first, run.last
        carried = {given: heard for heard, given in run.carried.items()}
        for k, port in enumerate(last.given):
            at = carried.get(k)
            own = None if at is None else variables[first.heard[at]]
            if own is None or first.heard[at] in kept or not first.heard[at].path:  # type: ignore[index]
                fresh = letter(set(variables.values()))
                if own is not None:
                    yield f"{fresh} = {own}"
                own = fresh
            variables[port] = own
        arguments = [
            variables[last.given[run.carried[k]]] if k in run.carried else variables[port]
            for k, port in enumerate(first.heard)
        ]
        results = ", ".join(variables[port] for port in last.given)
        how = ", ".join(f"{each}={each}" for each in _HOW)
        yield f"for level in {_levels(run)}:"
        yield f"    {results} = {name}({', '.join(arguments)}, level=level, {how})"


def circuit_open(circuit: Circuit) -> Iterator[str]:
    """Names of parameters that each node has for itself."""
    return (p.name for p in circuit.parameters if p.formula is None and p.values is None)


def circuit_constants(circuit: Circuit) -> Iterator[str]:
    """Names of parameters that a circuit has numbers for."""
    return (p.name for p in circuit.parameters if p.values is not None)


def _levels(run: Run) -> str:
    """Code for the paths of levels in a row."""
    stem, _, number = run.first.path.rpartition("[")
    first, count = int(number.rstrip("]")), len(run.groups)
    paths = [group.path for group in run.groups]
    if paths == [f"{stem}[{first + k}]" for k in range(count)]:
        span = f"range({count})" if first == 0 else f"range({first}, {first + count})"
        return f'[f"{stem}[{{k}}]" for k in {span}]'
    return json.dumps(paths)
