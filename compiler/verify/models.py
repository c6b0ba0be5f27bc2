"""Claims about a whole network: that it computes its model, block by block and as one.

`verify_model` makes them. Each distinct circuit is proved to be the block that the model spec says stands there,
once for all nodes that share it; the wires are shown to spell the spec's own expression of blocks. From both
follows by substitution that the network computes the model, for every number of tokens. Then the numbers: each
stands at its block, and the outputs are what PyTorch makes of the spec and its weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cortico.backends import Backend
from cortico.ir import Circuit, PassError, SpecError, UnsupportedError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.network import Network, check_network
from cortico.passes import NetworkStep, Pass, Step
from cortico.spec import ModelSpec
from cortico.spec.model_weights import GivenModel
from cortico.verify import independent
from cortico.verify.claims import (
    Claim,
    Claims,
    approximate_claim,
    approximations_of,
    proved,
    step_claim,
)
from cortico.verify.composition import outputs
from cortico.verify.composition.across import prove_across
from cortico.verify.composition.flat import flat_faults
from cortico.verify.composition.numbers import misplaced
from cortico.verify.composition.subject import Subject
from cortico.verify.composition.terms import matched
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.identity.testing import IdentityResult, check_spec
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from cortico.verify.steps.validation import StepProof, prove_steps

Progress = Callable[[str], None]

#: What claims say, but for those of blocks and passes.
WIRES = "the wires spell the model spec, so the network computes it where its blocks do"
FLAT = "the flat circuit is the network: each part of a block, and each wire as synapses"
COMPILED = "the compiled network is what passes left of each block, joined as before"
NUMBERS = "every number of the model's weights stands at its block"
PRIMES = "again, modulo primes: each block computes what stands there by {weights}"
OUTPUTS = "the network's outputs are the model's by {weights}, against PyTorch"

#: Most paths and faults that a claim names.
_NAMED = 3

#: Numbers of tokens modulo primes.
_TOKENS = 12


@dataclass(frozen=True)
class Passed:
    """The passes of a node, or of nodes that share them, and their proofs."""

    nodes: tuple[str, ...]
    steps: Sequence[Step] = field(repr=False)
    proofs: tuple[StepProof, ...] = field(repr=False)


@dataclass(frozen=True)
class ModelVerification(Claims):
    """All claims about a network, the proofs of its passes where these changed anything, and what wrote it, if any did."""

    spec: ModelSpec
    network: Network = field(repr=False)
    claims: tuple[Claim, ...]
    passed: tuple[Passed, ...] = field(default=(), repr=False)
    across: tuple[str, ...] = ()  #: passes across wires that changed anything, which come before
    target: Backend | None = field(default=None, repr=False)


def verify_model(
    spec: ModelSpec,
    weights: GivenModel | None,
    network: Network,
    passes: Sequence[Pass] = (),
    steps: Mapping[str, Sequence[Step]] | None = None,
    target: Backend | None = None,
    files: Mapping[str, str] | None = None,
    progress: Progress = lambda stage: None,
    *,
    compiled: Network | None = None,
    flat: Circuit | None = None,
    across: Sequence[NetworkStep] = (),
) -> ModelVerification:
    """Every claim about the network of a model, with the weights of its blocks by path, or without.

    `across` are the steps of passes across wires, which come first; `steps` those by which `passes` went through each
    node, by its path, to the network `compiled`, by default the same; `target` wrote `files` of that. `flat` is what runs of `network`, by default `network.flatten()`.

    CircuitError for a network that is none, SpecError for weights that do not fit the spec. PassError when
    a pass is refuted, and when all is proved, and numbers say otherwise: then cortico is at fault.
    """
    check_network(network)
    flat, compiled = flat or network.flatten(), compiled or network
    more = (passes, steps or {}, target, files or {}, across)
    subject = _Subject(spec, weights, network, flat, compiled, *more)
    claims: list[Claim] = []
    for stage, make in _STAGES.items():
        progress(stage)
        claims += make(subject)
    _require_agreement(claims)
    wide = tuple(step.name for step in across if step.changed)
    return ModelVerification(spec, network, tuple(claims), subject.passed, wide, target)


class _Subject(Subject):
    """What is verified, and the proofs of passes, which are made once."""

    @cached_property
    def passed(self) -> tuple[Passed, ...]:
        """Of each node that passes changed, those of nodes that share their steps once."""
        shared: dict[int, list[str]] = {}
        for path, steps in self.steps.items():
            if any(step.changed for step in steps):
                shared.setdefault(id(steps), []).append(path)
        return tuple(self._passed(tuple(paths)) for paths in shared.values())

    def _passed(self, paths: tuple[str, ...]) -> Passed:
        steps = self.steps[paths[0]]
        return Passed(paths, steps, tuple(prove_steps(self.passes, steps, lambda stage: None)))


# ---- for all sizes -------------------------------------------------------------------------------


def _blocks(subject: Subject) -> Iterator[Claim]:
    """One claim for each distinct pair of block and circuit."""
    for (block, circuit), nodes in subject.pairs.items():
        start = time.perf_counter()
        outcomes = compare(reference(block), circuit_equations(circuit))
        claim = f"{_some(sorted(nodes))}: the circuit computes {independent.called(block)}"
        yield proved(claim, outcomes, time.perf_counter() - start)


def _wires(subject: Subject) -> Iterator[Claim]:
    start = time.perf_counter()
    faults = subject.matching.faults
    detail = f"equal terms of {len(subject.terms)} blocks"
    if faults:  # where names are the spec's, they say more clearly what is wrong
        named = matched(subject.outputs, subject.network, by_name=True).faults
        detail = "; ".join((named or faults)[:_NAMED])
    yield _held(WIRES, not faults, Known.PROVED, detail, start)


def _flat(subject: Subject) -> Iterator[Claim]:
    start = time.perf_counter()
    faults = flat_faults(subject.network, subject.flat)
    cells, wires = len(subject.flat.populations), len(subject.network.wires)
    detail = "; ".join(faults[:_NAMED]) or f"by structure: {cells} populations, {wires} wires"
    yield _held(FLAT, not faults, Known.PROVED, detail, start)


def _across(subject: Subject) -> Iterator[Claim]:
    """One claim for each part that a pass across wires has changed."""
    for step in subject.across:
        for paths, proof in prove_across(step):
            yield step_claim(proof, _some(paths))


def _passes(subject: _Subject) -> Iterator[Claim]:
    """One claim for each step of each node, those of nodes that share it once."""
    for passed in subject.passed:
        of = _some(passed.nodes)
        for proof in passed.proofs:
            yield step_claim(proof, of)
        for step in approximations_of(subject.passes, passed.steps):
            yield approximate_claim(step, of)
    if subject.compiled is not subject.network:
        start, faults = time.perf_counter(), list(subject.remade())
        detail = "; ".join(faults[:_NAMED]) or "circuits and numbers of all nodes"
        yield _held(COMPILED, not faults, Known.CHECKED, detail, start)


# ---- numbers -------------------------------------------------------------------------------------


def _numbers(subject: Subject) -> Iterator[Claim]:
    if subject.given is None:
        yield Claim(NUMBERS, Known.SKIPPED, "the model has no weights")
        return
    start = time.perf_counter()
    faults = misplaced(subject.terms, subject.nodes, subject.weights, subject.network)
    count = sum(a.size for path in subject.nodes for a in subject.weights[path].values())
    detail = "; ".join(faults[:_NAMED]) or f"all entries, {count:,}"
    yield _held(NUMBERS, not faults, Known.CHECKED, detail, start)


def _primes(subject: Subject) -> Iterator[Claim]:
    """One claim for all blocks with the numbers that their nodes store."""
    start, claim = time.perf_counter(), PRIMES.format(weights=subject.whose)
    skipped, count = list[str](), 0
    for path, node in subject.nodes.items():
        try:
            found = _modulo_primes(subject, path, node)
        except (UnsupportedError, SpecError) as error:
            skipped.append(f"not run: {node}, {_first_line(error)}")
            continue
        count += 1
        if not found.equal:
            yield _held(claim, False, Known.CHECKED, f"{node}: {found.text}", start)
            return
    blocks = f"{count} blocks, {_TOKENS} tokens where a spec leaves them open"
    detail = "; ".join([blocks, *skipped[:_NAMED]])
    yield _held(claim, True, Known.CHECKED if count else Known.SKIPPED, detail, start)


def _modulo_primes(subject: Subject, path: str, node: str) -> IdentityResult:
    """A block by its weights beside its node with the numbers that this stores."""
    block, tensors = subject.terms[path].block, subject.weights[path]
    circuit = subject.network[node].whole
    symbols = within_tables(circuit, dict.fromkeys(circuit.symbols, _TOKENS))
    plain = {n: np.asarray(a, np.float64) for n, a in tensors.items()}
    own = None if subject.given is None else plain
    frequencies = tensors.get("rotary_frequencies")
    return check_spec(block, circuit, symbols, tensors=own, frequencies=frequencies)


def _outputs(subject: Subject) -> Iterator[Claim]:
    start, claim = time.perf_counter(), OUTPUTS.format(weights=subject.whose)
    try:
        holds, detail = outputs.beside_pytorch(subject)
    except (UnsupportedError, SpecError, ImportError) as error:
        yield Claim(claim, Known.SKIPPED, _first_line(error))
        return
    yield _held(claim, holds, Known.COMPARED, detail, start)


def _files(subject: Subject) -> Iterator[Claim]:
    if subject.target is None:
        return
    what = ", ".join(subject.files) or f"what backend {subject.target.name} writes"
    start, claim = time.perf_counter(), f"{what}, as emitted, gives what the network gives"
    try:
        holds, detail = outputs.beside_files(subject, subject.target)
    except (UnsupportedError, SpecError, ImportError) as error:
        yield Claim(claim, Known.SKIPPED, _first_line(error))
        return
    yield _held(claim, holds, Known.COMPARED, detail, start)


_STAGES: Mapping[str, Callable[[_Subject], Iterator[Claim]]] = {
    "proving each distinct block": _blocks,
    "following the wires": _wires,
    "comparing the flat circuit": _flat,
    "proving passes across wires": _across,
    "proving passes": _passes,
    "looking at every number": _numbers,
    "comparing blocks modulo primes": _primes,
    "running PyTorch beside the network": _outputs,
    "running what was written": _files,
}


# ---- their parts ---------------------------------------------------------------------------------


def _held(claim: str, holds: bool, known: Known, detail: str, start: float) -> Claim:
    verdict = known if holds else Known.REFUTED
    return Claim(claim, verdict, detail, seconds=time.perf_counter() - start)


def _some(paths: Sequence[str]) -> str:
    """The first of several paths, and how many more there are."""
    more = len(paths) - 1
    return paths[0] + (f" and {more} more" if more else "")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _require_agreement(claims: list[Claim]) -> None:
    """PassError when numbers refute what follows from all other claims."""
    refuted = [c for c in claims if c.verdict in (Known.REFUTED, Known.UNDECIDED)]
    numeric = tuple(claim.partition("{")[0] for claim in (OUTPUTS, PRIMES))
    if refuted and all(c.claim.startswith(numeric) for c in refuted):
        raise PassError(
            "two checkers disagree, which is a bug of cortico. Every block is proved, with its wires and its "
            f"numbers. Refuted: {refuted[0].claim}: {refuted[0].detail}"
        )
