"""`ModelSpec`: a whole transformer as a value: stacks of layers, what comes before and what is read out.

A layer is steps, each of which adds to the stream of tokens what its branches give:

    x <- norm(x + scale · Σ_b after_b(block_b(before_b(x))))

One branch a step with `norm` is the transformer of Vaswani et al. (arXiv 1706.03762) and BERT; with `before` it
is GPT-2 and Llama (pre-norm); two branches beside each other are GPT-J's. `cortico.spec.wiring` says at which
path each block stands and what feeds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from cortico.ir.errors import SpecError, bullet_list, named
from cortico.ir.fields import MOST, Record, number, settle
from cortico.spec.attention import AttentionSpec, Microcircuit, PositionBias, Size
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pooling, Way

#: Any block of a model that a layer can hold.
Core = AttentionSpec | FeedForward


@dataclass(frozen=True)
class Branch(Record):
    """An attention or a feed-forward block, with the norms around it."""

    attention: AttentionSpec | None = None
    feed_forward: FeedForward | None = None
    before: Norm | None = None  #: of what the block hears
    after: Norm | None = None  #: of what it gives, before that is added

    @property
    def block(self) -> Core:
        """The one that it has."""
        block = self.attention or self.feed_forward
        assert block is not None
        return block

    @property
    def name(self) -> str:
        """The field's word for it."""
        if self.attention is None:
            return "feed_forward"
        return "cross_attention" if self.attention.cross else "attention"


@dataclass(frozen=True)
class Step(Record):
    """What is added to the stream at once."""

    branches: tuple[Branch, ...]
    before: Norm | None = None  #: of what all branches hear, in place of one for each
    norm: Norm | None = None  #: of the sum
    scale: Annotated[float, number(-MOST, MOST, "a finite number")] = 1.0  #: of what is added
    way: Way = Way.DEEP  #: of the residual


@dataclass(frozen=True)
class Layer(Record):
    """Steps one after another; `times` layers of this kind follow each other, each with its own weights."""

    steps: tuple[Step, ...]
    times: Size = 1


@dataclass(frozen=True)
class Stack(Record):
    """Layers, and what makes their input: without `embedding` that is given, as vectors of `model` features."""

    model: Size
    layers: tuple[Layer, ...]
    embedding: Embedding | None = None
    embedding_norm: Norm | None = None
    embedding_dense: Dense | None = None  #: to the layers' width (ALBERT)
    norm: Norm | None = None  #: of what the last layer gives

    @property
    def levels(self) -> tuple[Layer, ...]:
        """The layers one by one."""
        return tuple(replace(layer, times=1) for layer in self.layers for _ in range(layer.times))

    @property
    def branches(self) -> Iterator[tuple[int, Branch]]:
        """Every branch and its level."""
        return (
            (k, b) for k, level in enumerate(self.levels) for s in level.steps for b in s.branches
        )


@dataclass(frozen=True)
class Readout(Record):
    """From states to logits; `dense` and `norm` come before, where there are any (BERT)."""

    logits: Dense
    dense: Dense | None = None
    norm: Norm | None = None
    tied: bool = False  #: the matrix of `logits` is that of the embedding of tokens


@dataclass(frozen=True)
class Sentence(Record):
    """From states to one vector, by a linear map after the pool where there is one (BERT's pooler)."""

    pooling: Pooling
    dense: Dense | None = None


@dataclass(frozen=True)
class ModelSpec(Record):
    """A transformer. Raises SpecError, listing every problem, when blocks do not fit together."""

    stack: Stack
    encoder: Stack | None = None  #: its states are the context of the stack's cross attention
    readout: Readout | None = None
    sentence: Sentence | None = None
    name: str = "model"

    def __post_init__(self) -> None:
        faults = settle(self)
        problems = [" ".join(fault) for fault in faults] or list(_wrong_combinations(self))
        if problems:
            raise SpecError(f"model spec {named(str(self.name))} is wrong:{bullet_list(problems)}")


def _wrong_combinations(spec: ModelSpec) -> Iterator[str]:
    for stack, where in ((spec.encoder, "encoder"), (spec.stack, "stack")):
        if stack is not None:
            yield from _wrong_stack(stack, where)
    if spec.encoder is not None and any(
        b.name == "cross_attention" for _, b in spec.encoder.branches
    ):
        yield "encoder has cross attention, which only the stack may have"
    crossed = [
        (k, b.attention) for k, b in spec.stack.branches if b.attention and b.attention.cross
    ]
    if spec.encoder is not None and not crossed:
        yield "encoder is heard by nothing: no attention of the stack has cross = true"
    context = spec.encoder.model if spec.encoder else crossed[0][1].d_context if crossed else 0
    for level, attention in crossed:
        if attention.d_context != context:
            yield (
                f"stack.layer[{level}].cross_attention hears {attention.d_context} features of "
                f"context, which has {context}"
            )
    yield from _wrong_ends(spec)


def _wrong_stack(stack: Stack, where: str) -> Iterator[str]:
    """Widths that do not meet."""
    if not stack.layers:
        yield f"{where}.layers must hold a layer, found none"
    width = stack.embedding.model if stack.embedding else stack.model
    if stack.embedding_norm is not None:
        yield from _unequal(f"{where}.embedding_norm", stack.embedding_norm.model, width)
    if stack.embedding_dense is not None:
        yield from _unequal(f"{where}.embedding_dense", stack.embedding_dense.model, width)
        width = stack.embedding_dense.output
    if width != stack.model:
        yield f"{where}.embedding gives {width} features, its layers hear {stack.model}"
    for k, level in enumerate(stack.levels):
        yield from _wrong_layer(level, stack.model, f"{where}.layer[{k}]")
    if stack.norm is not None:
        yield from _unequal(f"{where}.norm", stack.norm.model, stack.model)


def _wrong_layer(layer: Layer, width: int, where: str) -> Iterator[str]:
    if not layer.steps:
        yield f"{where}.steps must hold a step, found none"
    for step in layer.steps:
        if not step.branches:
            yield f"{where}: a step has no branch"
        for norm in (step.before, step.norm):
            if norm is not None:
                yield from _unequal(f"{where}: a norm", norm.model, width)
        for branch in step.branches:
            yield from _wrong_branch(branch, step, width, where)


def _wrong_branch(branch: Branch, step: Step, width: int, where: str) -> Iterator[str]:
    if (branch.attention is None) == (branch.feed_forward is None):
        yield f"{where}: a branch has either attention or feed_forward, found both or none"
        return
    here = f"{where}.{branch.name}"
    if branch.before is not None and step.before is not None:
        yield f"{here}: before is given for the branch and for its step, expected one of them"
    yield from _unequal(here, branch.block.model, width)
    if branch.block.d_output != width:
        yield f"{here} gives {branch.block.d_output} features, the stream has {width}"
    for norm in (branch.before, branch.after):
        if norm is not None:
            yield from _unequal(f"{here}: a norm", norm.model, width)
    if branch.attention is not None and branch.attention.position_bias is PositionBias.INPUT:
        yield f"{here}: position_bias = input has no place in a model"
    if branch.attention is not None and branch.attention.microcircuit is Microcircuit.MEMORY:
        yield f"{here}: microcircuit = memory has no place in a model: its tokens are in time, the stream's in space"
    if branch.attention is not None and branch.attention.values:
        yield f"{here}: values has no place in a model"


def _wrong_ends(spec: ModelSpec) -> Iterator[str]:
    """Readout and sentence."""
    width, readout = spec.stack.model, spec.readout
    if readout is not None:
        for block, name in (
            (readout.dense, "dense"),
            (readout.norm, "norm"),
            (readout.logits, "logits"),
        ):
            if block is not None:
                yield from _unequal(f"readout.{name}", block.model, width)
                width = block.output if isinstance(block, Dense) else width
        embedding = spec.stack.embedding
        table = (embedding.vocabulary, embedding.model) if embedding else None
        if readout.tied and table != (readout.logits.output, readout.logits.model):
            yield (
                f"readout.tied: the table of tokens is {table}, the matrix of logits "
                f"{(readout.logits.output, readout.logits.model)}"
            )
    if spec.sentence is not None:
        yield from _unequal("sentence.pooling", spec.sentence.pooling.model, spec.stack.model)
        if spec.sentence.dense is not None:
            yield from _unequal("sentence.dense", spec.sentence.dense.model, spec.stack.model)
            if not spec.sentence.dense.pooled:
                yield "sentence.dense: expected pooled = true, it hears one vector"


def _unequal(where: str, found: int, expected: int) -> Iterator[str]:
    if found != expected:
        yield f"{where} hears {found} features, it is given {expected}"
