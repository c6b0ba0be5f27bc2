"""A certificate of a whole model: each distinct block, the wires, the passes of each node, and the numbers.

The network before any pass is in the certificate. Its blocks are held against the textbook, its wires against the
model spec; from both follows that it computes the model. The network in the folder must be that with each block
as its passes left it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cortico.verify.recheck.arrays import read_tensors
from cortico.verify.recheck.blocks import BOOKS
from cortico.verify.recheck.chain import STEPS, Chain, Given, Once, computes
from cortico.verify.recheck.claims import CLAIMS, OfPass, check_claims
from cortico.verify.recheck.files import (
    NETWORK,
    NETWORK_NUMBERS,
    SPEC,
    check_files,
    is_spec,
    without_weights,
)
from cortico.verify.recheck.forms import EMITTED, Each, Table, fit, printable, read_text
from cortico.verify.recheck.model_spec import Model
from cortico.verify.recheck.networks import check_wires, parse_network
from cortico.verify.recheck.node_numbers import Compiled, Numbers, bare, compiled_network
from cortico.verify.recheck.report import Finding, Report, attempt
from cortico.verify.recheck.text import UnableError, require
from cortico.verify.recheck.world import ALL, Chance

VERSION = 2

FORM = Table(
    {
        "cortico_model_certificate": int,
        "spec": dict,
        "files": Each(str, dict),
        "lowered": str,
        "emitted": EMITTED,
        "across": Each(str),
        "passes": Each(Table({"nodes": Each(str), "before": str, "steps": STEPS})),
        "claims": CLAIMS,
    }
)

#: Most passes, claims and files; how much more is drawn than for one attention.
MOST, TIMES = 10**4, 10

#: Claims that every certificate has, and those that are believed, by patterns.
WIRES = "the wires spell the model spec, so the network computes it where its blocks do"
COMPILED = "the compiled network is what passes left of each block, joined as before"
LAYOUT = "every number of the model's weights stands at its block"
FLAT = "the flat circuit is the network: each part of a block, and each wire as synapses"


class ModelCertificate:
    """A certificate that could be read: the spec, the network before passes, and the chain of each node."""

    folder: Path | None = None
    given: Mapping[str, Any] | None = None

    def __init__(self, certificate: Any) -> None:
        version = certificate["cortico_model_certificate"]
        require(version == VERSION, f"its version is {printable(version)}, expected {VERSION}")
        fit(certificate, FORM, "it")
        for name in ("passes", "claims", "files"):
            require(len(certificate[name]) <= MOST, f"it has too many {name}")
        if certificate["across"]:
            wide = printable(", ".join(certificate["across"]))
            raise UnableError(f"passes across wires are not re-checked: {wide}")
        self.certificate, self.chance, self.once = certificate, Chance(TIMES * ALL), Once()
        self.model = Model(certificate["spec"])
        self.network = parse_network(certificate["lowered"])
        self.books = {
            path: BOOKS[block.kind](block.spec, self.network.circuits[self.network.nodes[path][0]])
            for path, block in self.model.blocks.items()
            if path in self.network.nodes
        }
        self.chains: dict[str, Chain] = {}
        for passes in certificate["passes"]:
            require(passes["nodes"] and passes["steps"], "passes of no node, or without steps")
            for path in passes["nodes"]:
                require(path not in self.chains, f"{printable(path)} has two chains of passes")
                self.chains[path] = self.chain(path, passes)

    def chain(self, path: str, passes: Any) -> Chain:
        """The chain of a node, which begins with its block."""
        require(path in self.books, f"no block of the model stands at {printable(path)}")
        block = self.network.lines[self.network.nodes[path][0]]
        begins = bare(passes["before"]) == bare("\n".join(block))
        require(begins, f"the passes of {path} do not begin with its block")
        arrays = partial(self.arrays, path)
        return Chain(passes["before"], passes["steps"], self.chance, arrays, self.once)

    def arrays(self, path: str) -> Given:
        """The numbers of a node before its passes, and after them."""
        return self.numbers.of(path)

    def report(self, folder: Path | None, weights: Mapping[str, Any] | None) -> Report:
        """All findings."""
        self.folder, self.given = folder, weights
        passes = self.passes()
        for path in self.books.keys() - self.chains.keys():
            self.numbers.enter(path, None)
        own = {**self.blocks(), WIRES: attempt(WIRES, self.wires)}
        own |= {COMPILED: attempt(COMPILED, self.left)} if self.chains else {}
        own[LAYOUT] = attempt(LAYOUT, self.numbers.layout)
        claims = self.certificate["claims"]
        found = check_claims(claims, own, passes, {FLAT: re.escape(FLAT)})
        found += self.files()
        if self.has_numbers:
            found.append(attempt("the stored numbers", self.numbers.stored))
        return Report(tuple(found))

    # ---- for all sizes -------------------------------------------------------------------------

    def blocks(self) -> dict[str, Finding]:
        """What is found of the claim about each distinct block with each distinct circuit."""
        alike: dict[tuple[str, str], list[str]] = {}
        for path in self.books:
            key = self.model.blocks[path].key, self.network.nodes[path][0]
            alike.setdefault(key, []).append(path)
        found: dict[str, Finding] = {}
        for paths in alike.values():
            book = self.books[paths[0]]
            claim = f"{some(sorted(paths))}: the circuit computes {book.called}"
            found[claim] = attempt(claim, computes, book, self.chance)
        return found

    def wires(self) -> str:
        check_wires(self.network, self.model)
        return f"so of all {len(self.network.wires)} wires and {len(self.network.nodes)} nodes"

    def passes(self) -> list[OfPass]:
        """What is found of each pass on each node."""
        found: list[OfPass] = []
        for passes in self.certificate["passes"]:
            chains = {path: self.chains[path] for path in passes["nodes"]}
            of = f" of {some(passes['nodes'])}"
            for name, steps in chains[passes["nodes"][0]].passes:
                found += [chain.of_pass(name, steps, of) for chain in chains.values()]
            for path, chain in chains.items():
                self.numbers.enter(path, chain)
        return found

    # ---- what is in the folder -----------------------------------------------------------------

    @property
    def has_numbers(self) -> bool:
        """Whether any node has numbers of its own."""
        return any(stored for _, stored in self.network.nodes.values())

    def compiled(self) -> Compiled:
        """The network in the folder. UnableError when there is none."""
        path = (self.folder or Path()) / NETWORK
        if self.folder is None or not path.is_file():
            raise UnableError(f"{NETWORK} is not here")
        lines = without_weights(read_text(path), NETWORK_NUMBERS)
        return compiled_network("\n".join(lines), self.network, self.chains)

    def left(self) -> str:
        """The network in the folder is what passes left, with the numbers that they made."""
        self.compiled()
        if self.has_numbers:
            self.numbers.layout()
        return "so of circuits and numbers of all nodes"

    @cached_property
    def numbers(self) -> Numbers:
        """The numbers in the folder, as far as they can be read, and those that are given."""
        compiled, there = None, None
        with suppress(UnableError, ValueError, LookupError, OSError):  # `files` says what is wrong
            compiled = self.compiled()
            path = (self.folder or Path()) / NETWORK_NUMBERS
            there = read_tensors(path, compiled.wanted) if self.has_numbers else None
        return Numbers(self.books, self.model.table, compiled, there, self.given)

    def files(self) -> list[Finding]:
        """What is found of the files in the folder."""
        if self.folder is None:
            return []

        def network(path: Path) -> str:
            self.compiled()
            return "is what the passes left of each block, joined as before"

        def tensors(path: Path) -> str:
            read_tensors(path, self.compiled().wanted)
            return "holds numbers for all stored tensors of the network, and no others"

        readers = {NETWORK: network, **is_spec(self.certificate["spec"]), NETWORK_NUMBERS: tensors}
        must = [NETWORK, SPEC, *([NETWORK_NUMBERS] if self.has_numbers else [])]
        return [*check_files(self.certificate["files"], self.folder, readers, must)]


def some(paths: Sequence[str]) -> str:
    """The first of several paths, and how many more there are, as claims name them."""
    more = len(paths) - 1
    return paths[0] + (f" and {more} more" if more else "")
