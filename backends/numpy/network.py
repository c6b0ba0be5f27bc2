"""Text of the emitted file of a network: one function for each distinct block, and `model`, which calls them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.arrays.levels import Call, Levels, Run, calls, letter
from cortico.backends.arrays.network_running import argument_names
from cortico.backends.linking import heading, link
from cortico.backends.names import Names, settled
from cortico.backends.numpy.emitter import TEMPLATES, functions
from cortico.backends.numpy.past import can_go_on, counts_tokens, keeps_tokens
from cortico.backends.numpy.plan import Entry, Plan, plan
from cortico.backends.numpy.weights import packed_names
from cortico.backends.script_parts import port_lines
from cortico.backends.templates import template
from cortico.backends.transfers import scipy_import
from cortico.ir import TRANSFERS, Circuit, InputKind
from cortico.ir.network import Network, Port
from cortico.ir.network.sizes import shapes_of_ports
from cortico.ir.rewrite import symbolic

_TEMPLATE = "cortico.backends.numpy.template.network"


def emit_network(network: Network) -> str:
    """A standalone Python module with the function `model`, which runs a network.

    Where no token hears a later one it has `step` and, for a network of token ids and logits, `generate`.
    """
    return _File(network).text()


class _File:
    """The emitted file of one network."""

    def __init__(self, network: Network) -> None:
        self.network, self.levels = network, Levels(network)
        names = Names(
            name for each in (_TEMPLATE, *TEMPLATES) for name in template(each).definitions
        )
        #: Inputs to what they are called as arguments.
        self.given = argument_names(network)
        names.take(self.given.values())
        names.take(["model", "pack", "stored", "step", "generate", "layer"])
        self.functions = {c: names.fresh(name) for c, name in network.block_names.items()}
        #: The plan of each distinct block; what numbers a circuit has are weights in the file.
        self.plans = self._plans(goes_on=True)
        self.goes_on = all(map(can_go_on, self.plans.values()))
        if not self.goes_on:
            self.plans = self._plans(goes_on=False)

    def _plans(self, goes_on: bool) -> dict[Circuit, Plan]:
        return {
            circuit: plan(symbolic(circuit), on_ranks=False, entry=Entry(name, f"_{name}", goes_on))
            for circuit, name in self.functions.items()
        }

    def text(self) -> str:
        used = {p.transfer for circuit in self.plans for p in circuit.populations}
        scipy = scipy_import(t for name, t in TRANSFERS.items() if name in used)
        shapes = shapes_of_ports(self.network)
        outputs = [(output.name, shapes[output.source]) for output in self.network.outputs]
        head = heading(_TEMPLATE).format(
            title=json.dumps(self.network.name),
            tensors="\n".join(port_lines(self.network.inputs, outputs)),
            needs=f"\nBesides numpy this needs scipy: {scipy}." if scipy else "",
        )
        blocks = ["\n".join(functions(file)) for file in self.plans.values()]
        own = [head, scipy, *self._tables(), *self._model(), *self._pack(), *blocks]
        offers = [*["step"] * self.goes_on, *["generate"] * self._writes]
        return link(settled("\n".join(own)), _TEMPLATE, *TEMPLATES, offers=offers)

    @property
    def _writes(self) -> bool:
        """Whether it gives logits for token ids, of which the next token can be drawn."""
        ids = [t for t in self.network.inputs if t.kind is not InputKind.MASK]
        return (
            self.goes_on
            and [t.kind for t in ids] == [InputKind.TOKEN]
            and "logits" in [output.name for output in self.network.outputs]
        )

    # ---- weights ---------------------------------------------------------------------------------

    def _tables(self) -> Iterator[str]:
        """Which block stands at each path, and the weights that it has there."""
        yield "#: The block at each path that has weights."
        yield "PATHS = {"
        for run in self.levels.runs:
            yield from self._rows(run)
        yield "}"
        tensors = {name: _names(c, stored=False) for c, name in self._with_weights.items()}
        constants = {name: _names(c, stored=True) for c, name in self._with_weights.items()}
        yield "#: Names of the weights of each block, and of those that are the same wherever it stands."
        yield f"TENSORS = {json.dumps(tensors)}"
        yield f"CONSTANTS = {json.dumps({k: v for k, v in constants.items() if v})}"
        names = [output.name for output in self.network.outputs]
        yield f"OUTPUTS = {json.dumps(names)}"

    def _rows(self, run: Run) -> Iterator[str]:
        """Lines of the table of paths."""
        nodes = [node for node in run.first.nodes if node.circuit in self._with_weights]
        blocks = {run.first.name(node): self.network.block_names[node.circuit] for node in nodes}
        if len(run.groups) == 1:
            yield from (
                f"    {json.dumps(n.path)}: {json.dumps(b)},"
                for n, b in zip(nodes, blocks.values(), strict=True)
            )
        elif blocks:
            yield "    **{"
            yield '        f"{level}.{name}": block'
            yield f"        for level in {_levels(run)}"
            yield f"        for name, block in {json.dumps(blocks)}.items()"
            yield "    },"

    @property
    def _with_weights(self) -> dict[Circuit, str]:
        """Blocks that have weights, and what these are called by in the file of weights."""
        names = self.network.block_names
        return {c: names[c] for c, file in self.plans.items() if packed_names(file)}

    def _pack(self) -> Iterator[str]:
        """The table of the functions that make weights ready."""
        named = {
            name: self.plans[circuit].entry.pack for circuit, name in self._with_weights.items()
        }
        listed = ", ".join(f"{json.dumps(name)}: {pack}" for name, pack in named.items())
        yield "def packs():"
        yield '    """What makes the weights of each block ready."""'
        yield f"    return {{{listed}}}"

    # ---- model -----------------------------------------------------------------------------------

    def _model(self) -> Iterator[str]:
        """The function `model`, and one for levels that are alike."""
        body, levels = list[str](), list[str]()
        variables = {Port(name): given for name, given in self.given.items()}
        runs = self.levels.runs
        outputs = {output.source for output in self.network.outputs}
        for k, run in enumerate(runs):
            later = {port for after in runs[k + 1 :] for g in after.groups for port in g.heard}
            if len(run.groups) == 1:
                body += self._last_token(run, variables) if k == len(runs) - 1 else []
                body += map(
                    self._call, calls(self.levels, run.first.nodes, variables, later | outputs)
                )
            else:
                name = _function(run)
                levels += self._level(run, name)
                body += self._loop(run, name, variables, later | outputs)
        given = ", ".join(variables[output.source] for output in self.network.outputs)
        yield f"def model({', '.join(self._arguments())}):"
        lines = [*self._docstring(), *self._prologue(), *body, *self._epilogue(), f"return {given}"]
        yield textwrap.indent("\n".join(lines), "    ")
        yield from levels

    def _arguments(self) -> Iterator[str]:
        yield from (self.given[t.name] for t in self.network.inputs if not t.optional)
        yield "*"
        yield from (f"{self.given[t.name]}=None" for t in self.network.inputs if t.optional)
        yield from ("weights=None", "dtype=np.float32")
        yield from ("past=None", "only_last=False") if self.goes_on else ()
        yield from ("threads=None", "work=None")

    @property
    def _how(self) -> list[str]:
        """What functions of levels pass on."""
        return ["weights", *["start", "past"] * self.goes_on, "threads", "work"]

    def _docstring(self) -> Iterator[str]:
        yield f'"""{", ".join(output.name for output in self.network.outputs)} of the network.'
        yield ""
        yield "`weights` maps `path.name` to arrays, or is what `pack` gives; by default they are read from the file"
        yield "beside this one, once for each `dtype`. `threads` share the work, by default one per core; `work` is a"
        yield "dictionary in which memory is kept for the next call, one call at a time."
        if self.goes_on:
            yield "`past` is a dictionary in which is kept what later tokens read of these: tokens come after those of"
            yield "earlier calls with it. `only_last` reads out the last token alone."
        if any(tensor.kind is InputKind.MASK for tensor in self.network.inputs):
            yield ALL_ONES
        yield '"""'

    def _prologue(self) -> Iterator[str]:
        yield "weights = stored(dtype) if weights is None else weights"
        yield "weights = weights if {*weights} == {*PATHS} else pack(weights, dtype)"
        yield "work = {} if work is None else work"
        if self.goes_on:
            yield 'start = past.get("tokens", 0) if past is not None else 0'

    def _epilogue(self) -> Iterator[str]:
        if self.goes_on:
            first = self.network.inputs[0]
            axis = -1 if first.kind is InputKind.TOKEN else -2
            yield "if past is not None:"
            yield f'    past["tokens"] = start + np.shape({self.given[first.name]})[{axis}]'

    def _last_token(self, run: Run, variables: dict[Port, str]) -> Iterator[str]:
        """Lines that leave only the last token, before what does with each token what it does."""
        heard = [port for port in run.first.heard if port.path]
        if self.goes_on and len(heard) == len(run.first.heard) == 1:
            name = variables[heard[0]]
            yield f"{name} = {name}[..., -1:, :] if only_last else {name}"

    def _call(self, call: Call, path: str = "") -> str:
        """`x = block(x, …)`; `path` is code for the path, where that is not known yet."""
        circuit, file = call.node.circuit, self.plans[call.node.circuit]
        path = path or json.dumps(call.node.path)
        given = [call.arguments[t.name] for t in circuit.inputs if t.kind is not InputKind.MASK]
        gates = (t.name for t in circuit.inputs if t.kind is InputKind.MASK)
        given += [f"{file.names[name]}={call.arguments[name]}" for name in gates]
        given += [f"weights=weights[{path}]"] * bool(packed_names(file))
        given += ["start=start"] * counts_tokens(file)
        given += [f"past=past_at(past, {path})"] * keeps_tokens(file)
        given += ["threads=threads", "work=work"] * file.has_threads
        function = self.functions[circuit]
        return f"{', '.join(call.results.values())} = {function}({', '.join(given)})"

    # ---- levels ----------------------------------------------------------------------------------

    def _level(self, run: Run, name: str) -> Iterator[str]:
        """The function of levels that are alike."""
        group = run.first
        variables: dict[Port, str] = {}
        for port in group.heard:
            variables[port] = (
                letter(set(variables.values())) if port.path else self.given[port.name]
            )
        heard = ", ".join(variables.values())
        body = [
            self._call(call, f'f"{{level}}.{group.name(call.node)}"')
            for call in calls(self.levels, group.nodes, variables, group.given)
        ]
        given = ", ".join(variables[port] for port in group.given)
        yield f"def {name}({heard}, *, level, {', '.join(self._how)}):"
        yield f'    """One of the levels {run.first.path} … {run.last.path}."""'
        yield textwrap.indent("\n".join([*body, f"return {given}"]), "    ")

    def _loop(
        self, run: Run, name: str, variables: dict[Port, str], kept: set[Port]
    ) -> Iterator[str]:
        """The lines that run levels one after another; what is carried on keeps its name."""
        first, last = run.first, run.last
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
        how = ", ".join(f"{each}={each}" for each in self._how)
        yield f"for level in {_levels(run)}:"
        yield f"    {results} = {name}({', '.join(arguments)}, level=level, {how})"


def _names(circuit: Circuit, stored: bool) -> list[str]:
    """Names of parameters that a circuit has numbers for, or that each node has for itself."""
    plain = (p for p in circuit.parameters if p.formula is None)
    return [p.name for p in plain if (p.values is not None) is stored]


def _function(run: Run) -> str:
    """What the function of levels is called: as the levels are, `layer`."""
    stem = run.first.path.rpartition("[")[0]
    return stem.replace(".", "_").replace("[", "_").replace("]", "")


def _levels(run: Run) -> str:
    """Code for the paths of levels in a row."""
    stem, _, number = run.first.path.rpartition("[")
    first, count = int(number.rstrip("]")), len(run.groups)
    paths = [group.path for group in run.groups]
    if paths == [f"{stem}[{first + k}]" for k in range(count)]:
        span = f"range({count})" if first == 0 else f"range({first}, {first + count})"
        return f'[f"{stem}[{{k}}]" for k in {span}]'
    return json.dumps(paths)
