"""Text of the emitted file of a network: one function for each distinct block, and `model`, which calls them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.arrays.levels import Call, Run
from cortico.backends.arrays.network.file import (
    NETWORK_TEMPLATE,
    LevelCode,
    NetworkFile,
    paths_of,
)
from cortico.backends.linking import heading, link
from cortico.backends.names import settled
from cortico.backends.numpy.emitter import TEMPLATES, functions
from cortico.backends.numpy.past import can_go_on, counts_tokens, keeps_tokens
from cortico.backends.numpy.plan import Entry, Plan, plan
from cortico.backends.numpy.weights import packed_names
from cortico.backends.transfers import scipy_import
from cortico.ir import TRANSFERS, Circuit
from cortico.ir.network import Network
from cortico.ir.rewrite import symbolic

_TEMPLATE = "cortico.backends.numpy.template.network"


def emit_network(network: Network) -> str:
    """A standalone Python module with the function `model`, which runs a network.

    Where no token hears a later one it has `step` and, for a network of token ids and logits, `generate`.
    """
    return _File(network).text()


class _File(NetworkFile):
    """The emitted file of one network."""

    def __init__(self, network: Network) -> None:
        own = ("model", "pack", "stored", "step", "generate")
        super().__init__(network, (_TEMPLATE, NETWORK_TEMPLATE, *TEMPLATES), own)
        #: The plan of each distinct block; what numbers a circuit has are weights in the file.
        self.plans = self._plans(goes_on=True)
        moving = [self.plans[circuit] for circuit in self.once.blocks]
        self.goes_on = all(map(can_go_on, moving))
        if not self.goes_on:
            self.plans = self._plans(goes_on=False)

    def _plans(self, goes_on: bool) -> dict[Circuit, Plan]:
        blocks = self.once.blocks
        entries = {
            circuit: Entry(
                name, f"_{name}", goes_on and circuit in blocks, blocks.get(circuit, frozenset())
            )
            for circuit, name in self.functions.items()
        }
        return {c: plan(symbolic(c), on_ranks=False, entry=entry) for c, entry in entries.items()}

    def has_weights(self, circuit: Circuit) -> bool:
        return bool(packed_names(self.plans[circuit]))

    def text(self) -> str:
        used = {p.transfer for circuit in self.plans for p in circuit.populations}
        scipy = scipy_import(t for name, t in TRANSFERS.items() if name in used)
        head = heading(_TEMPLATE).format(
            title=json.dumps(self.network.name),
            tensors=self.tensors,
            needs=f"\nBesides numpy this needs scipy: {scipy}." if scipy else "",
        )
        blocks = ["\n".join(functions(file)) for file in self.plans.values()]
        listed = f"OUTPUTS = {json.dumps(self.outputs)}"
        tables = [*self.tables(), listed, *self.tables_of_tokens()]
        own = [head, scipy, *tables, *self._model(), *self._pack(), *blocks]
        offers = ["step", *["generate"] * self.writes] if self.goes_on else []
        return link(settled("\n".join(own)), _TEMPLATE, NETWORK_TEMPLATE, *TEMPLATES, offers=offers)

    def _pack(self) -> Iterator[str]:
        """The table of the functions that make weights ready."""
        named = {
            name: self.plans[circuit].entry.pack for circuit, name in self.with_weights.items()
        }
        listed = ", ".join(f"{json.dumps(name)}: {pack}" for name, pack in named.items())
        yield "def packs():"
        yield '    """What makes the weights of each block ready."""'
        yield f"    return {{{listed}}}"

    # ---- model -----------------------------------------------------------------------------------

    def _model(self) -> Iterator[str]:
        """The function `model`, and those of levels that are alike."""
        *body, result = (lines := self.program())[0]
        yield f"def model({', '.join(self._arguments())}):"
        whole = [*self._docstring(), *self._prologue(), *body, *self._epilogue(), result]
        yield textwrap.indent("\n".join(whole), "    ")
        for code in lines[1]:
            how = self._how(code.run)
            yield f"def {code.name}({', '.join(code.heard)}, *, level, {', '.join(how)}):"
            text = "\n".join([code.about, *code.lines, f"return {', '.join(code.given)}"])
            yield textwrap.indent(text, "    ")

    def _arguments(self) -> Iterator[str]:
        yield from self.arguments
        yield from ("weights=None", "dtype=np.float32")
        yield from ("past=None", "only_last=False") if self.goes_on else ()
        yield from ("threads=None", "work=None")

    def _how(self, run: Run) -> list[str]:
        """What the function of some levels passes on."""
        moves = self.moves(run.first.nodes[0])
        return ["weights", *["start", "past"] * moves, "threads", "work"]

    def _docstring(self) -> Iterator[str]:
        yield f'"""{", ".join(self.outputs)} of the network.'
        yield ""
        yield "`weights` maps `path.name` to arrays, or is what `pack` gives; by default they are read from the file"
        yield "beside this one, once for each `dtype`. `threads` share the work, by default one per core; `work` is a"
        yield "dictionary in which memory is kept for the next call, one call at a time."
        yield from self.about_past
        if self.is_masked:
            yield ALL_ONES
        yield '"""'

    def _prologue(self) -> Iterator[str]:
        yield "weights = stored(dtype) if weights is None else weights"
        yield "weights = weights if {*weights} == {*PATHS} else pack(weights, dtype)"
        yield "work = {} if work is None else work"
        if self.goes_on:
            yield 'start = past.get("tokens", 0) if past is not None else 0'
            yield f"stop = start + {self.number_of_tokens()}"

    def _epilogue(self) -> Iterator[str]:
        if self.goes_on:
            yield "if past is not None:"
            yield '    past["tokens"] = stop'

    def call(self, call: Call, path: str) -> str:
        circuit, file = call.node.circuit, self.plans[call.node.circuit]
        given = self.passed(call, file.names)
        given += [f"weights=weights[{path}]"] * self.has_weights(circuit)
        moves = self.moves(call.node)
        given += ["start=start"] * (moves and counts_tokens(file))
        given += [f"past=past_at(past, {path})"] * (moves and keeps_tokens(file))
        given += ["threads=threads", "work=work"] * file.has_threads
        return f"{', '.join(call.results.values())} = {self.functions[circuit]}({', '.join(given)})"

    def level_lines(self, code: LevelCode, results: str, arguments: str) -> Iterator[str]:
        how = ", ".join(f"{each}={each}" for each in self._how(code.run))
        yield f"for level in {paths_of(code.run)}:"
        yield f"    {results} = {code.name}({arguments}, level=level, {how})"
