"""The network in a folder beside that of the certificate, and the numbers of its nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from cortico.verify.recheck.arrays import Ball, Ledger, Wanted, apart, sizes_of
from cortico.verify.recheck.book import Book
from cortico.verify.recheck.chain import Chain, Given
from cortico.verify.recheck.forms import printable
from cortico.verify.recheck.networks import parse_network
from cortico.verify.recheck.placing import placed
from cortico.verify.recheck.text import UnableError, require

#: The type of numbers in the text of a circuit, which the text of a network has not.
_STORED = re.compile(r"^(parameter .*) stored float\d\d$", re.MULTILINE)


class Compiled(NamedTuple):
    """The network in a folder: the circuit of each node, what its tensors are called in the file, and these."""

    circuits: Mapping[str, Any]
    places: Mapping[str, Mapping[str, str]]
    wanted: Wanted


def bare(text: str) -> list[str]:
    """The lines of a circuit, without types of numbers and empty lines."""
    return [line for line in _STORED.sub(r"\1", text).split("\n") if line]


def compiled_network(text: str, before: Any, chains: Mapping[str, Chain]) -> Compiled:
    """The network that a text says. ValueError unless it is that before passes, with each block as these left it."""
    there, found = parse_network(text), Compiled({}, {}, {})
    for part in ("inputs", "shapes", "wires", "outputs"):
        same = getattr(there, part) == getattr(before, part)
        require(same, f"its {part} are others than before the passes")
    require(list(there.nodes) == list(before.nodes), "its nodes are others")
    circuits = {path: there.circuits[block] for path, (block, _) in there.nodes.items()}
    places, wanted = dict[str, dict[str, str]](), dict[str, tuple[tuple[int, ...], str | None]]()
    for path, circuit in circuits.items():
        chain = chains.get(path)
        places[path] = _places(path, there, before, chain)
        types = (chain.circuits[-1] if chain else circuit).stored
        for tensor, name in places[path].items():
            wanted[name] = sizes_of(circuit, tensor), types.get(tensor)
    return found._replace(circuits=circuits, places=places, wanted=wanted)


def _places(path: str, there: Any, before: Any, chain: Chain | None) -> dict[str, str]:
    """Where the numbers of a node are. ValueError when it is not what its passes left."""
    (block, stored), (old, was_stored) = there.nodes[path], before.nodes[path]
    last = chain.texts[-1] if chain else "\n".join(before.lines[old])
    require(bare("\n".join(there.lines[block])) == bare(last), f"{path} is another block")
    circuit = there.circuits[block]
    types = (chain.circuits[-1] if chain else before.circuits[old]).stored
    same = all(types.get(tensor) == kind for tensor, kind in circuit.stored.items())
    own = set(circuit.shapes) - {*circuit.inputs, *circuit.formulas, *circuit.stored}
    require(same and stored == (was_stored and bool(own)), f"{path} has its numbers elsewhere")
    shared = {tensor: f"{block}:{tensor}" for tensor in circuit.stored}
    return shared | {tensor: f"{path}.{tensor}" for tensor in own if stored}


class Numbers:
    """The numbers of nodes: `there` those in the folder by their names, `given` the model's own weights by path.

    Each is None where it is not here. What is found node by node is kept, and the arrays of none.
    """

    def __init__(
        self,
        books: Mapping[str, Book],
        table: str | None,
        compiled: Compiled | None,
        there: Mapping[str, np.ndarray] | None,
        given: Mapping[str, Mapping[str, np.ndarray]] | None,
    ) -> None:
        self.books, self.table, self.compiled = books, table, compiled
        self.there, self.given = there, given
        self.wrong, self.unable, self.rounding = list[str](), list[str](), 0.0
        self.tied: dict[str, Ball] = {}
        strange = set(given or ()) - set(books)
        self.wrong += [f"there is no block {printable(path)}" for path in strange]

    def of(self, path: str) -> Given:
        """The arrays of a node before the first pass, and after the last."""
        first, last = None, None
        if self.given is not None:
            first = placed(self.books[path], self.weights(path))
        if self.compiled is not None and self.there is not None:
            last = {t: self.there[name] for t, name in self.compiled.places[path].items()}
        return first, last

    def weights(self, path: str) -> Mapping[str, np.ndarray]:
        """The model's own weights of a block; a tied readout has the table of tokens."""
        assert self.given is not None
        own, table = self.given.get(path, {}), self.given.get(self.table or "", {})
        if path == "readout" and "W_token" in table:
            return {**own, "W": table["W_token"]}
        return own

    def enter(self, path: str, chain: Chain | None) -> None:
        """Note what is found of the numbers of a node, which went through passes or not."""
        try:
            ledger = chain.ledger if chain else self.alone(path)
        except UnableError as reason:
            self.unable.append(f"{path}: {reason}")
        except ValueError as error:
            self.wrong.append(f"{path}: {error}")
        else:
            self.wrong += [f"{path}: {each}" for each in ledger.wrong]
            self.unable += [] if ledger.complete else [f"{path} is not all made of them by facts"]
            self.rounding = max(self.rounding, ledger.rounding)
            for tensor in ("W", "W_token"):
                if path in ("readout", self.table) and tensor in ledger.at[0]:
                    self.tied[tensor] = ledger.at[0][tensor]
        if chain:
            chain.__dict__.pop("ledger", None)

    def alone(self, path: str) -> Ledger:
        """What is known of the numbers of a node that no pass changed."""
        first, last = self.of(path)
        circuit = self.books[path].circuit
        stored = dict.fromkeys([*(first or {}), *(last or {})], "float64")
        require(first is None or last is None or set(first) == set(last), "has other tensors")
        return Ledger([SimpleNamespace(**{**vars(circuit), "stored": stored})], [], first, last)

    # ---- what is found -------------------------------------------------------------------------

    def layout(self) -> str:
        """Every number of the model's weights stands at its block."""
        require(not self.wrong, "; ".join(self.wrong[:3]))
        if self.given is None:
            raise UnableError("the model's weights are not here")
        if self.there is None:
            raise UnableError("the numbers are not here")
        if self.unable:
            raise UnableError("; ".join(self.unable[:3]))
        return f"so of these weights, each to within {self.rounding:.1e}"

    def stored(self) -> str:
        """The numbers in the folder are made of the model's weights; those of a tied readout are the table's."""
        if self.table is not None and len(self.tied) == 2:
            tied = not apart(self.tied["W"], self.tied["W_token"])
            require(tied, "the readout is not tied to the table of tokens")
        if self.there is not None and self.given is None and not self.wrong:
            raise UnableError("that they are the model's is believed: its weights were not given")
        self.layout()
        return f"are made of the model's weights, each to within {self.rounding:.1e}"
