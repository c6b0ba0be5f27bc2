"""Where each block of a model spec stands, and what feeds it: paths, blocks and wires, still without neurons."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cortico.spec.attention import AttentionSpec
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pooling, Residual
from cortico.spec.model import Branch, ModelSpec, Stack, Step

Block = AttentionSpec | Norm | FeedForward | Dense | Embedding | Residual | Pooling


@dataclass
class Wiring:
    """Path to block, in the order in which they run; `(from, to)` for every wire, and what is given outside.

    A wire begins at `path.y` or at an input of the model, and ends at `path.input`.
    """

    blocks: dict[str, Block] = field(default_factory=dict)
    wires: list[tuple[str, str]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)

    def name(self, level: str, name: str) -> str:
        """`name`, with a number where the level has one of that name already."""
        self._names[f"{level}.{name}"] += 1
        count = self._names[f"{level}.{name}"]
        return name if count == 1 else f"{name}_{count}"

    def add(self, path: str, block: Block, **sources: str) -> str:
        """Put a block at a path, and feed its inputs; what it gives."""
        self.blocks[path] = block
        self.wires += [(source, f"{path}.{name}") for name, source in sources.items()]
        return f"{path}.y"


def wiring(spec: ModelSpec) -> Wiring:
    """All blocks and wires of a model.

    Inputs of the model: `tokens`, `types`, `keep` (0/1: which tokens exist), of a decoder beside an encoder
    `decoder_tokens` and so on; `x` where a stack has no embedding; `context` and `context_keep` where cross
    attention has no encoder. Outputs: `states`, and `logits` and `sentence` where there are such.
    """
    made = Wiring()
    context, heard = "context", "context_keep"
    before = ""
    if spec.encoder is not None:
        context, heard = _stack(made, spec.encoder, "encoder.", "", "", ""), "keep"
        before = "decoder_"
    prefix = "decoder." if spec.encoder else ""
    states = _stack(made, spec.stack, prefix, before, context, heard)
    made.outputs["states"] = states
    _readout(made, spec, states)
    if spec.sentence is not None:
        pooling = spec.sentence.pooling
        keep = {"keep": f"{before}keep"} if pooling.takes_keep else {}
        y = made.add("pooling", pooling, x=states, **keep)
        if spec.sentence.dense is not None:
            y = made.add("pooler", spec.sentence.dense, x=y)
        made.outputs["sentence"] = y
    return made


def _stack(made: Wiring, stack: Stack, prefix: str, before: str, context: str, heard: str) -> str:
    """The blocks of a stack; what the last of them gives."""
    x = f"{before}x"
    if stack.embedding is not None:
        types = {"types": f"{before}types"} if stack.embedding.types else {}
        x = made.add(f"{prefix}embedding", stack.embedding, tokens=f"{before}tokens", **types)
    if stack.embedding_norm is not None:
        x = made.add(f"{prefix}embedding_norm", stack.embedding_norm, x=x)
    if stack.embedding_dense is not None:
        x = made.add(f"{prefix}embedding_dense", stack.embedding_dense, x=x)
    sources = _Sources(f"{before}keep", context, heard)
    for k, level in enumerate(stack.levels):
        for step in level.steps:
            x = _step(made, step, f"{prefix}layer[{k}]", x, sources)
    return x if stack.norm is None else made.add(f"{prefix}norm", stack.norm, x=x)


@dataclass(frozen=True)
class _Sources:
    """What the attentions of a stack hear beside the stream."""

    keep: str
    context: str
    context_keep: str


def _step(made: Wiring, step: Step, level: str, x: str, sources: _Sources) -> str:
    names = [made.name(level, branch.name) for branch in step.branches]
    whole = names[0] if len(names) == 1 else made.name(level, "parallel")
    heard = x if step.before is None else made.add(f"{level}.pre_{whole}_norm", step.before, x=x)
    given = [
        _branch(made, branch, level, name, heard, sources)
        for branch, name in zip(step.branches, names, strict=True)
    ]
    block = Residual(
        step.branches[0].block.model,
        len(given),
        step.scale,
        step.way,
        step.branches[0].block.tokens,
    )
    added = dict(zip(block.added, given, strict=True))
    x = made.add(f"{level}.{whole}_residual", block, x=x, **added)
    return x if step.norm is None else made.add(f"{level}.{whole}_norm", step.norm, x=x)


def _branch(made: Wiring, branch: Branch, level: str, name: str, x: str, sources: _Sources) -> str:
    if branch.before is not None:
        x = made.add(f"{level}.pre_{name}_norm", branch.before, x=x)
    block, others = branch.block, dict[str, str]()
    if isinstance(block, AttentionSpec):
        if block.cross:
            others["context"] = sources.context
        if block.key_padding:
            others["keep"] = sources.context_keep if block.cross else sources.keep
    y = made.add(f"{level}.{name}", block, x=x, **others)
    return y if branch.after is None else made.add(f"{level}.post_{name}_norm", branch.after, x=y)


def _readout(made: Wiring, spec: ModelSpec, states: str) -> None:
    readout = spec.readout
    if readout is None:
        return
    y = states
    if readout.dense is not None:
        y = made.add("readout_dense", readout.dense, x=y)
    if readout.norm is not None:
        y = made.add("readout_norm", readout.norm, x=y)
    made.outputs["logits"] = made.add("readout", readout.logits, x=y)
