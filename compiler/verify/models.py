"""Claims about a whole network: that it computes its model, block by block and as one.

`verify_model` makes them. Each distinct circuit is proved to be the block that the model spec says stands there,
once for all nodes that share it; the wires are shown to spell the spec's own expression of blocks. From both
follows by substitution that the network computes the model, for every number of tokens. Then the numbers: each
stands at its block, and the outputs are what PyTorch makes of the spec and its weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cortico.ir import Circuit, PassError, SpecError, UnsupportedError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.network import Network, check_network
from cortico.ir.rewrite import with_values
from cortico.spec import AttentionSpec, ModelSpec
from cortico.spec.model_weights import GivenModel, given_model, random_model
from cortico.spec.wiring import Block
from cortico.verify import independent
from cortico.verify.claims import Claim, Claims, proved
from cortico.verify.composition.flat import flat_faults
from cortico.verify.composition.numbers import Arrays, misplaced, own_weights, with_numbers
from cortico.verify.composition.outputs import compared
from cortico.verify.composition.terms import all_terms, matched, terms_of
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.identity.testing import IdentityResult, check_spec
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare

#: What claims say, but for those of blocks.
WIRES = "the wires spell the model spec, so the network computes it where its blocks do"
NUMBERS = "every number of the model's weights stands at its block"
FLAT = "the flat circuit is the network: each part of a block, and each wire as synapses"
PRIMES = "again, modulo primes: each block computes what stands there by {weights}"
OUTPUTS = "the outputs of the flat circuit are the model's by {weights}, against PyTorch"

#: Most paths and faults that a claim names.
_NAMED = 3

#: Numbers of tokens modulo primes.
_TOKENS = 12


@dataclass(frozen=True)
class ModelVerification(Claims):
    """All claims about a network."""

    spec: ModelSpec
    network: Network = field(repr=False)
    claims: tuple[Claim, ...]


def verify_model(
    spec: ModelSpec,
    weights: GivenModel | None,
    network: Network,
    flat: Circuit | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> ModelVerification:
    """Every claim about the network of a model, with the weights of its blocks by path, or without.

    `flat` is what runs, by default `network.flatten()`.

    CircuitError for a network that is none, SpecError for weights that do not fit the spec. PassError when
    all of it is proved, and numbers say otherwise: then cortico is at fault.
    """
    check_network(network)
    subject = _Subject(spec, weights, network, flat or network.flatten())
    claims: list[Claim] = []
    for stage, make in _STAGES.items():
        progress(stage)
        claims += make(subject)
    _require_agreement(claims)
    return ModelVerification(spec, network, tuple(claims))


class _Subject:
    """A network beside the terms of its model, and the node that stands for each block."""

    def __init__(
        self, spec: ModelSpec, weights: GivenModel | None, network: Network, flat: Circuit
    ) -> None:
        self.spec, self.network, self.flat = spec, network, flat
        self.outputs = terms_of(spec)
        self.terms = all_terms(self.outputs.values())
        self.matching = matched(self.outputs, network, by_name=weights is None)
        self.has_weights = weights is not None
        given = random_model(spec) if weights is None else given_model(spec, weights)
        self.weights: Mapping[str, Arrays] = own_weights(spec, self.terms, given)

    @property
    def whose(self) -> str:
        return "its weights" if self.has_weights else "random weights"

    @property
    def nodes(self) -> Mapping[str, str]:
        """Block to the node that stands for it: as wires say; where these are wrong, as names do."""
        if not self.matching.faults:
            return self.matching.nodes
        there = {node.path for node in self.network.nodes}
        return {path: path for path in self.terms if path in there}

    def modulo_primes(self, path: str, node: str) -> IdentityResult:
        """A block by its weights beside its node with the numbers that this stores."""
        block, tensors = self.terms[path].block, self.weights[path]
        circuit = with_values(self.network[node].circuit, self.network[node].values)
        sizes = dict.fromkeys(circuit.symbols, _TOKENS)
        plain = {n: np.asarray(a, np.float64) for n, a in tensors.items()}
        own = plain if self.has_weights else None
        frequencies = tensors.get("rotary_frequencies")
        symbols = within_tables(circuit, sizes)
        return check_spec(block, circuit, symbols, tensors=own, frequencies=frequencies)

    def pairs(self) -> dict[tuple[Block, Circuit], list[str]]:
        """Each distinct block with each distinct circuit that stands for it, and the nodes where it does."""
        found: dict[tuple[Block, Circuit], list[str]] = {}
        for path, node in self.nodes.items():
            block = self.terms[path].block
            if isinstance(block, AttentionSpec):
                block = replace(block, name="attention")
            found.setdefault((block, self.network[node].circuit), []).append(node)
        return found


# ---- for all sizes -------------------------------------------------------------------------------


def _blocks(subject: _Subject) -> Iterator[Claim]:
    """One claim for each distinct pair of block and circuit."""
    for (block, circuit), nodes in subject.pairs().items():
        start = time.perf_counter()
        outcomes = compare(reference(block), circuit_equations(circuit))
        claim = f"{_some(sorted(nodes))}: the circuit computes {independent.called(block)}"
        yield proved(claim, outcomes, time.perf_counter() - start)


def _wires(subject: _Subject) -> Iterator[Claim]:
    start = time.perf_counter()
    faults = subject.matching.faults
    detail = f"equal terms of {len(subject.terms)} blocks"
    if faults:  # where names are the spec's, they say more clearly what is wrong
        named = matched(subject.outputs, subject.network, by_name=True).faults
        detail = "; ".join((named or faults)[:_NAMED])
    known = Known.REFUTED if faults else Known.PROVED
    yield Claim(WIRES, known, detail, seconds=time.perf_counter() - start)


def _flat(subject: _Subject) -> Iterator[Claim]:
    start = time.perf_counter()
    faults = flat_faults(subject.network, subject.flat)
    cells, wires = len(subject.flat.populations), len(subject.network.wires)
    detail = f"by structure: {cells} populations, {wires} wires"
    known = Known.REFUTED if faults else Known.PROVED
    detail = "; ".join(faults[:_NAMED]) or detail
    yield Claim(FLAT, known, detail, seconds=time.perf_counter() - start)


# ---- numbers -------------------------------------------------------------------------------------


def _numbers(subject: _Subject) -> Iterator[Claim]:
    if not subject.has_weights:
        yield Claim(NUMBERS, Known.SKIPPED, "the model has no weights")
        return
    start = time.perf_counter()
    nodes = subject.nodes
    faults = misplaced(subject.terms, nodes, subject.weights, subject.network)
    count = sum(array.size for path in nodes for array in subject.weights[path].values())
    detail = "; ".join(faults[:_NAMED]) if faults else f"all entries, {count:,}"
    known = Known.REFUTED if faults else Known.CHECKED
    yield Claim(NUMBERS, known, detail, seconds=time.perf_counter() - start)


def _outputs(subject: _Subject) -> Iterator[Claim]:
    start, claim = time.perf_counter(), OUTPUTS.format(weights=subject.whose)
    try:
        flat = subject.flat
        if not subject.has_weights:
            network, nodes = subject.network, subject.nodes
            flat = with_numbers(subject.terms, nodes, subject.weights, network).flatten()
        holds, detail = compared(subject.spec, subject.weights, flat)
    except (UnsupportedError, SpecError, ImportError) as error:
        yield Claim(claim, Known.SKIPPED, str(error).splitlines()[0])
        return
    known = Known.COMPARED if holds else Known.REFUTED
    yield Claim(claim, known, detail, seconds=time.perf_counter() - start)


def _primes(subject: _Subject) -> Iterator[Claim]:
    """One claim for all blocks with the numbers that their nodes store."""
    start, claim = time.perf_counter(), PRIMES.format(weights=subject.whose)
    skipped, count = list[str](), 0
    for path, node in subject.nodes.items():
        try:
            found = subject.modulo_primes(path, node)
        except (UnsupportedError, SpecError) as error:
            skipped.append(f"{node}: {str(error).splitlines()[0]}")
            continue
        count += 1
        if not found.equal:
            seconds = time.perf_counter() - start
            yield Claim(claim, Known.REFUTED, f"{node}: {found.text}", seconds=seconds)
            return
    tokens = f"{count} blocks, {_TOKENS} tokens or as many as a spec has"
    detail = "; ".join([tokens, *(f"not run: {each}" for each in skipped[:_NAMED])])
    known = Known.CHECKED if count else Known.SKIPPED
    yield Claim(claim, known, detail, seconds=time.perf_counter() - start)


_STAGES: Mapping[str, Callable[[_Subject], Iterator[Claim]]] = {
    "proving each distinct block": _blocks,
    "following the wires": _wires,
    "comparing the flat circuit": _flat,
    "looking at every number": _numbers,
    "comparing blocks modulo primes": _primes,
    "running PyTorch beside the network": _outputs,
}


# ---- their parts ---------------------------------------------------------------------------------


def _some(paths: list[str]) -> str:
    """The first of several paths, and how many more there are."""
    more = len(paths) - 1
    return paths[0] + (f" and {more} more" if more else "")


def _require_agreement(claims: list[Claim]) -> None:
    """PassError when numbers refute what follows from all other claims."""
    refuted = [c for c in claims if c.verdict in (Known.REFUTED, Known.UNDECIDED)]
    numeric = tuple(claim.partition("{")[0] for claim in (OUTPUTS, PRIMES))
    if refuted and all(c.claim.startswith(numeric) for c in refuted):
        raise PassError(
            "two checkers disagree, which is a bug of cortico. Every block is proved, with its wires and its "
            f"numbers. Refuted: {refuted[0].claim}: {refuted[0].detail}"
        )
