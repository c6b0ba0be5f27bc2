"""A model spec as an expression of blocks, and whether the wires of a network spell it.

    x ← norm(x + scale · Σ_b after_b(block_b(before_b(x))))

is a term such as `layer[0].attention_norm(layer[0].attention_residual(x, layer[0].attention(x)))`. The terms of a
model are written here from its equations; which block a path of the weights means is said again, too. The
wires of a network spell terms, from its outputs back to its inputs. Both are the same when blocks of one and of the
other can be paired, one to one, so that what feeds them is paired, too. What nodes are called does not matter
for that: which circuits and numbers stand in the pairs is what other claims look at. Branches of a residual
are taken in their order: another one is refused, though a sum has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cortico.ir.network import Network, Port
from cortico.spec import AttentionSpec, ModelSpec, Norm, Pool, Residual, Stack
from cortico.spec.model import Branch, Step
from cortico.spec.weights import required_shapes
from cortico.spec.wiring import Block

#: What every block gives.
Y = "y"


@dataclass(frozen=True, eq=False)
class Term:
    """What the block at a path gives for what is given to it; an input of the model is its name."""

    path: str
    block: Block
    given: Mapping[str, Term | str] = field(repr=False)

    def __str__(self) -> str:
        return self.path


Terms = dict[str, Term | str]


def terms_of(spec: ModelSpec) -> dict[str, Term]:
    """The outputs of a model as terms."""
    own, context, keep = "", "context", "context_keep"
    within = ""
    stream: Term | str
    if spec.encoder is not None:
        context_stack = _Stack(spec.encoder, "encoder.", "", "", "")
        stream, keep = context_stack.states(), "keep"
        own, within = "decoder_", "decoder."
        stack = _Stack(spec.stack, within, own, stream, keep)
    else:
        stack = _Stack(spec.stack, within, own, context, keep)
    states = stack.states()
    outputs = {"states": states}
    if spec.readout is not None:
        y = states
        if spec.readout.dense is not None:
            y = Term("readout_dense", spec.readout.dense, {"x": y})
        if spec.readout.norm is not None:
            y = Term("readout_norm", spec.readout.norm, {"x": y})
        outputs["logits"] = Term("readout", spec.readout.logits, {"x": y})
    if spec.sentence is not None:
        outputs["sentence"] = _sentence(spec, states, f"{own}keep")
    return outputs


def _sentence(spec: ModelSpec, states: Term, keep: str) -> Term:
    assert spec.sentence is not None
    pooling, dense = spec.sentence.pooling, spec.sentence.dense
    heard: Terms = {"x": states}
    if pooling.pool is Pool.MEAN and pooling.padded:
        heard["keep"] = keep
    pooled = Term("pooling", pooling, heard)
    return pooled if dense is None else Term("pooler", dense, {"x": pooled})


class _Stack:
    """The terms of one stack. Its paths begin with `within`, its inputs with `own`."""

    def __init__(
        self, stack: Stack, within: str, own: str, context: Term | str, context_keep: str
    ) -> None:
        self.stack, self.within, self.own = stack, within, own
        self.context, self.context_keep = context, context_keep

    def states(self) -> Term:
        """What the stack gives."""
        x = self.embedded()
        for k, level in enumerate(self.stack.levels):
            named = _Names(f"{self.within}layer[{k}].")
            for step in level.steps:
                x = self.after_step(step, named, x)
        x = self.normed(self.stack.norm, f"{self.within}norm", x)
        assert isinstance(x, Term)  # there is a layer, which has a step
        return x

    def embedded(self) -> Term | str:
        """Tokens as vectors."""
        stack, x = self.stack, f"{self.own}x"
        found: Term | str = x
        if stack.embedding is not None:
            heard: Terms = {"tokens": f"{self.own}tokens"}
            if stack.embedding.types is not None:
                heard["types"] = f"{self.own}types"
            found = Term(f"{self.within}embedding", stack.embedding, heard)
        found = self.normed(stack.embedding_norm, f"{self.within}embedding_norm", found)
        if stack.embedding_dense is not None:
            found = Term(f"{self.within}embedding_dense", stack.embedding_dense, {"x": found})
        return found

    def normed(self, norm: Norm | None, path: str, x: Term | str) -> Term | str:
        """`norm(x)`, or x where there is none."""
        return x if norm is None else Term(path, norm, {"x": x})

    def after_step(self, step: Step, named: _Names, x: Term | str) -> Term | str:
        """`norm(x + scale · Σ after(block(before(x))))`."""
        names = [named.next(branch.name) for branch in step.branches]
        whole = names[0] if len(names) == 1 else named.next("parallel")
        heard = self.normed(step.before, f"{named.level}pre_{whole}_norm", x)
        added = [
            self.branch(branch, name, named.level, heard)
            for branch, name in zip(step.branches, names, strict=True)
        ]
        keys = ["branch"] if len(added) == 1 else [f"branch_{k}" for k in range(len(added))]
        tokens = step.branches[0].block.tokens
        block = Residual(self.stack.model, len(added), step.scale, step.way, tokens)
        path = f"{named.level}{whole}_residual"
        y = Term(path, block, {"x": x, **dict(zip(keys, added, strict=True))})
        return self.normed(step.norm, f"{named.level}{whole}_norm", y)

    def branch(self, branch: Branch, name: str, level: str, x: Term | str) -> Term | str:
        """`after(block(before(x)))`."""
        block = branch.block
        heard: Terms = {"x": self.normed(branch.before, f"{level}pre_{name}_norm", x)}
        if isinstance(block, AttentionSpec) and block.cross:
            heard["context"] = self.context
        if isinstance(block, AttentionSpec) and block.key_padding:
            heard["keep"] = self.context_keep if block.cross else f"{self.own}keep"
        y = Term(f"{level}{name}", block, heard)
        return self.normed(branch.after, f"{level}post_{name}_norm", y)


class _Names:
    """Names of the blocks of a level: the second attention of one is `attention_2`."""

    def __init__(self, level: str) -> None:
        self.level, self._met = level, Counter[str]()

    def next(self, name: str) -> str:
        self._met[name] += 1
        return name if self._met[name] == 1 else f"{name}_{self._met[name]}"


def all_terms(outputs: Iterable[Term]) -> dict[str, Term]:
    """Every term inside of others, by its path."""
    found: dict[str, Term] = {}
    waiting = list(outputs)
    while waiting:
        term = waiting.pop()
        if term.path not in found:
            found[term.path] = term
            waiting += [each for each in term.given.values() if isinstance(each, Term)]
    return found


# ---- beside the wires ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Matching:
    """Which node stands for which block of the spec, by paths, and the first faults of the wires."""

    nodes: Mapping[str, str]
    faults: tuple[str, ...]


def matched(outputs: Mapping[str, Term], network: Network, by_name: bool = False) -> Matching:
    """The blocks of a model paired with the nodes of a network, from the outputs back.

    `by_name` pairs nodes only with blocks of the same path: without numbers these say which will stand there.
    """
    return _Walk(network, by_name).walk(outputs)


class _Walk:
    def __init__(self, network: Network, by_name: bool) -> None:
        self.network, self.by_name = network, by_name
        self.nodes: dict[str, str] = {}
        self.blocks: dict[str, str] = {}
        self.waiting: list[tuple[str, Term | str, Port]] = []

    def walk(self, outputs: Mapping[str, Term]) -> Matching:
        given = {output.name: output.source for output in self.network.outputs}
        faults = list(_apart("outputs of the network", given, outputs))
        shared = [(f"output {n}", t, given[n]) for n, t in outputs.items() if n in given]
        self.waiting = list(reversed(shared))
        while self.waiting:
            faults += self.fault(*self.waiting.pop())
        idle = [node.path for node in self.network.nodes if node.path not in self.blocks]
        if idle and not faults:
            faults.append(f"nothing of the model stands at {', '.join(idle)}")
        return Matching(self.nodes, tuple(faults))

    def fault(self, where: str, term: Term | str, source: Port) -> Iterator[str]:
        """What is wrong where `term` should be given by `source`; what feeds both is looked at next."""
        wrong = f"{where} hears {source}, the model spec says {term}"
        if isinstance(term, str) or not source.path:
            if source.path or not isinstance(term, str) or source.name != term:
                yield wrong
            return
        if term.path in self.nodes or source.path in self.blocks:
            if self.nodes.get(term.path) != source.path:
                yield wrong
            return
        fits = term.path == source.path or not (self.by_name or self._differ(term, source.path))
        if source.name != Y or not fits:
            yield wrong
            return
        self.nodes[term.path], self.blocks[source.path] = source.path, term.path
        yield from self.next(term, source.path)

    def _differ(self, term: Term, path: str) -> bool:
        """Whether a node of another name has not even the tensors of a block."""
        plain = {p.name for p in self.network[path].circuit.parameters if p.formula is None}
        return plain - {"frequencies"} != required_shapes(term.block).keys()

    def next(self, term: Term, path: str) -> Iterator[str]:
        """Look at what feeds a pair."""
        names = {tensor.name: tensor for tensor in self.network[path].circuit.inputs}
        yield from _apart(f"inputs of {path}, for {term},", names, term.given)
        for name, each in reversed(list(term.given.items())):
            if name in names:
                source = self.network.source_of[Port(name, path)]
                self.waiting.append((f"{path}.{name}", each, source))


def _apart(what: str, found: Iterable[str], expected: Iterable[str]) -> Iterator[str]:
    """A line where names are not the same."""
    if set(found) != set(expected):
        yield (
            f"{what} are {', '.join(sorted(found))}, the model spec says {', '.join(sorted(expected))}"
        )
