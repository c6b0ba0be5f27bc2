"""A network beside its model: the term of each output, the node that stands for each block, and what numbers there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cortico.backends import Backend
from cortico.ir import Circuit
from cortico.ir.network import Network
from cortico.passes import NetworkStep, Pass, Step
from cortico.spec import AttentionSpec, ModelSpec
from cortico.spec.model_weights import GivenModel, given_model, random_model
from cortico.spec.wiring import Block
from cortico.verify.claims import approximations_of
from cortico.verify.composition.across import broken_chain
from cortico.verify.composition.numbers import Arrays, own_weights, with_numbers
from cortico.verify.composition.terms import Matching, Term, all_terms, matched, terms_of


@dataclass(frozen=True)
class Subject:
    """What is verified: a model, its weights by path, the network that lowering made, and what came of it.

    The network went through `across`, then each node through `passes`, by `steps`; `compiled` is the network after
    them. `flat` is what runs of the network before them. `target` wrote `files` of the network after them.
    """

    spec: ModelSpec
    given: GivenModel | None
    network: Network
    flat: Circuit
    compiled: Network
    passes: Sequence[Pass] = ()
    steps: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    target: Backend | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    across: Sequence[NetworkStep] = ()

    @property
    def whose(self) -> str:
        """Whose weights those are by which numbers are compared."""
        return "random weights" if self.given is None else "its weights"

    @cached_property
    def outputs(self) -> dict[str, Term]:
        return terms_of(self.spec)

    @cached_property
    def terms(self) -> dict[str, Term]:
        return all_terms(self.outputs.values())

    @cached_property
    def matching(self) -> Matching:
        return matched(self.outputs, self.network, by_name=self.given is None)

    @cached_property
    def nodes(self) -> Mapping[str, str]:
        """Block to the node that stands for it: as wires say; where these are wrong, as names do."""
        if not self.matching.faults:
            return self.matching.nodes
        there = {node.path for node in self.network.nodes}
        return {path: path for path in self.terms if path in there}

    @cached_property
    def weights(self) -> Mapping[str, Arrays]:
        """The tensors of each block by its path; random ones where the model has none."""
        given = self.given
        found = random_model(self.spec) if given is None else given_model(self.spec, given)
        return own_weights(self.spec, self.terms, found)

    @cached_property
    def pairs(self) -> dict[tuple[Block, Circuit], list[str]]:
        """Each distinct block with each distinct circuit that stands for it, and the nodes where it does."""
        found: dict[tuple[Block, Circuit], list[str]] = {}
        for path, node in self.nodes.items():
            block = self.terms[path].block
            if isinstance(block, AttentionSpec):
                block = replace(block, name="attention")
            found.setdefault((block, self.network[node].circuit), []).append(node)
        return found

    # ---- what runs -------------------------------------------------------------------------------

    @property
    def is_approximate(self) -> bool:
        """Whether a pass that keeps the output only nearly has changed something."""
        return any(any(approximations_of(self.passes, own)) for own in self.steps.values())

    @cached_property
    def filled(self) -> Network:
        """The same with numbers for all parameters."""
        if self.given is not None:
            return self.compiled
        return with_numbers(self.terms, self.nodes, self.weights, self.compiled)

    @property
    def joined(self) -> Network:
        """The network after passes across wires, before those of blocks."""
        return self.across[-1].after if self.across else self.network

    def remade(self) -> Iterator[str]:
        """A line for each node of the compiled network that is not what its passes left."""
        yield from broken_chain(self.network, self.across)
        same = (self.joined.inputs, self.joined.wires, self.joined.outputs)
        if (self.compiled.inputs, self.compiled.wires, self.compiled.outputs) != same:
            yield "inputs, wires or outputs are others than before the passes"
        after = {node.path: node for node in self.compiled.nodes}
        for node in self.joined.nodes:
            left = node.whole
            for step in (s for s in self.steps.get(node.path, ()) if s.changed):
                if step.before is not left and step.before != left:
                    yield f"{step.name} began at another circuit than that of {node.path}"
                left = step.after
            if node.path not in after or after[node.path].whole != left:
                yield f"{node.path} is not what its passes left"

    @cached_property
    def what_runs(self) -> Circuit:
        """The flat circuit after all passes, with numbers."""
        return self.flat if self.filled is self.network else self.filled.flatten()
