"""A whole model in a checkpoint on disk: its spec, and the weights of each of its blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cortico.frontends import onnx_file
from cortico.frontends.checkpoint import Checkpoint, open_checkpoint
from cortico.frontends.config import Config
from cortico.frontends.families import parts_of_model
from cortico.frontends.family import Attention, Family
from cortico.frontends.model import Head, Model, Names
from cortico.frontends.sentences import Sentences, sentences_of
from cortico.frontends.taking import Taker
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError
from cortico.ir.reading import AnyPath
from cortico.spec import AttentionSpec, ModelSpec, Sentence
from cortico.spec.attention import Size
from cortico.spec.model_weights import MATRIX, TABLE, given_model, model_shapes, table_path
from cortico.spec.wiring import wiring

#: A spec, and the weights of its blocks by path.
WholeModel = tuple[ModelSpec, dict[str, dict[str, np.ndarray]]]


@kind
def read_model(
    path: AnyPath,
    architecture: str | None = None,
    prefix: str | None = None,
    ignore: str | Iterable[str] = (),
    tokens: Size | None = None,
    decoder_tokens: Size | None = None,
) -> WholeModel:
    """Spec and weights of the whole model in a checkpoint.

    `path` is a folder or a file, as for `read_checkpoint`; a folder of sentence-transformers has a `sentence`,
    as its modules say. What else is made of the states follows `architectures` of config.json, or
    `architecture`, such as "BertForMaskedLM", in its place: logits (`*ForCausalLM`, `*ForMaskedLM`) or none
    (`*Model`). `ignore` may also name tensors that are left out, or how their names begin. `tokens` fixes the
    number of tokens, of a model with two stacks those of its encoder, and `decoder_tokens` the others (as many
    by default); `prefix` is as in `read_checkpoint`.

    The position of a token is its place, counted from the first: pad behind the others, not before.

    Raises SpecError for a family of which whole models are not read, and for every key and tensor that is
    missing, wrong or not understood. A readout that shares the table of tokens is not given it again.
    """
    if Path(path).suffix.lower() == onnx_file.SUFFIX:
        raise SpecError(
            f"{str(path)!r}: whole models are not read from ONNX files; --layer N reads an attention"
        )
    folder, sentences = sentences_of(Path(path))
    found = open_checkpoint(folder, ignore, prefix, None, whole=True)
    family, model = _model_of(found)
    assert found.config is not None
    config = model.keys(family.keys).resolve(found.config, found.ignore)
    head = model.head(config, architecture)
    decoded = decoder_tokens or tokens
    numbers: dict[str | None, int | None] = {"decoder": decoded, "cross": decoded}
    families = {part: f for part, f in parts_of_model(family, config).items() if model.has(part)}
    reader = _Reader(found, replace(config, tokens=tokens), model, head, families, numbers)
    spec, weights = reader.read(sentences)
    given_model(spec, weights)
    return spec, weights


def _model_of(found: Checkpoint) -> tuple[Family, Model]:
    source = found.tensors.source
    if found.family is None:
        raise SpecError(
            f"{source!r} has no config.json beside it: no whole model can be made of it"
        )
    if isinstance(found.family.model, Model):
        return found.family, found.family.model
    why = found.family.model or f"whole models of family {found.family.name} are not read yet"
    raise SpecError(f"{source!r}: {why}; --layer N reads its attention")


@dataclass(frozen=True)
class _Reader:
    """Reads an open checkpoint. `numbers`: of tokens of those parts that have others than the encoder."""

    found: Checkpoint
    config: Config
    model: Model
    head: Head
    families: Mapping[str | None, Family]
    numbers: Mapping[str | None, int | None]

    def read(self, sentences: Sentences | None) -> WholeModel:
        """SpecError for tensors that are missing, and for those that are left over."""
        taker = self.taker(sentences)
        attentions = {part: list(self.attentions(part, taker)) for part in self.families}
        specs = {part: [spec for spec, _ in read] for part, read in attentions.items()}
        spec = self.sized(self.spec(specs, sentences, taker))
        weights = dict(self.weights(spec, attentions, taker))
        if spec.readout is not None and spec.readout.tied:
            matrix, at = self.names("readout")[MATRIX], self.at("readout", taker)
            if taker.own_matrix(at, matrix, weights[table_path(spec)][TABLE]):
                spec = replace(spec, readout=replace(spec.readout, tied=False))
                weights = dict(self.weights(spec, attentions, taker))
        taker.refuse_rest(self.model.ignored)
        return spec, weights

    def spec(
        self,
        specs: Mapping[str | None, list[AttentionSpec]],
        sentences: Sentences | None,
        taker: Taker,
    ) -> ModelSpec:
        """The model with these attentions."""
        model, config, head = self.model, self.config, self.head
        stack = model.stack(config, *(specs[part] for part in model.parts))
        return ModelSpec(
            stack=stack,
            encoder=model.encoder(config, specs["encoder"]) if model.encoder else None,
            readout=head.readout(config) if head.readout else None,
            sentence=sentences.sentence(stack.model) if sentences else self.sentence(taker),
            name=self.found.name,
        )

    def sentence(self, taker: Taker) -> Sentence | None:
        """That of the head, where the file has its tensors."""
        if self.head.sentence is None:
            return None
        names = [taker.inner + name for name in self.names("pooler")[MATRIX].names]
        there = any(name in self.found.tensors for name in names)
        return self.head.sentence(self.config) if there else None

    def sized(self, spec: ModelSpec) -> ModelSpec:
        """The same for the numbers of tokens that are asked for."""
        tokens = self.config.tokens
        if tokens is None:
            return spec
        if spec.encoder is None:
            return replace(spec, stack=_sized(spec.stack, tokens), **_ends(spec, tokens))
        decoded = self.numbers["decoder"] or tokens
        stack = _sized(spec.stack, decoded, tokens)
        return replace(
            spec, stack=stack, encoder=_sized(spec.encoder, tokens), **_ends(spec, decoded)
        )

    def taker(self, sentences: Sentences | None) -> Taker:
        """All tensors of the file."""
        family = next(iter(self.families.values()))
        tensors, ignored = (
            self.found.tensors,
            (*self.head.ignored, *(sentences.ignored if sentences else ())),
        )
        inner, _ = family.placed(self.config, tensors, 0, self.found.prefix)
        known = sorted(family.prefixes, key=len, reverse=True)
        outer = inner.removesuffix(next(prefix for prefix in known if inner.endswith(prefix)))
        names = (f"{side}{name}" for side in {inner, outer} for name in ignored)
        return Taker(tensors, inner, outer, (*names, *self.found.ignore))

    def attentions(self, part: str | None, taker: Taker) -> Iterator[Attention]:
        """Those of all layers of a part."""
        family, given, tensors = self.families[part], self.found.config, self.found.tensors
        assert given is not None
        tokens = self.numbers.get(part, self.config.tokens)
        for layer in range(family.count(given, self.found.ignore)):
            where = _path(part if self.model.encoder else None, part, layer)
            yield family.read(
                given, tensors, layer, self.found.prefix, self.found.ignore, tokens, where
            )
            place = "".join(family.placed(self.config, tensors, layer, self.found.prefix))
            elsewhere = tuple(place + each for each in family.ignored)
            inside = {name for name in tensors if name.startswith(place)}
            taker.taken |= {name for name in inside if not name.startswith(elsewhere)}
            if family.distances is not None:
                taker.taken.add(taker.inner + family.distances(self.config).tensor)

    def weights(
        self, spec: ModelSpec, attentions: Mapping[str | None, list[Attention]], taker: Taker
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Path and weights of each block that has any."""
        blocks, family = wiring(spec).blocks, next(iter(self.families.values()))
        for path, shapes in model_shapes(spec).items():
            block, layer = _without_number(path)
            if isinstance(blocks[path], AttentionSpec):
                yield path, attentions[_part(path, self.families)][layer][1]
                continue
            numbers = family.numbers(self.config, layer)
            yield (
                path,
                taker.take(path, shapes, self.names(block), self.at(block, taker), numbers),
            )

    def names(self, block: str) -> Names:
        """Where the weights of a block are, in the head or in the model."""
        tables = {**self.model.table(self.config), **self.head.table(self.config)}
        return tables.get(block, {})

    def at(self, block: str, taker: Taker) -> str:
        """What stands before these names."""
        return taker.outer if block in self.head.table(self.config) else taker.inner


def _without_number(path: str) -> tuple[str, int]:
    """A path as tables have it, and the number of its layer."""
    number = re.search(r"layer\[(\d+)\]", path)
    return re.sub(r"\[\d+\]", "", path), int(number[1]) if number else 0


def _part(path: str, families: Mapping[str | None, Family]) -> str | None:
    """Which part of the model an attention belongs to."""
    if None in families:
        return None
    if path.endswith("cross_attention"):
        return "cross"
    return "encoder" if path.startswith("encoder.") else "decoder"


def _path(stack: str | None, part: str | None, layer: int) -> str:
    """Where the attention of a layer stands, in a stack that has a name where there are two."""
    before = "" if stack is None else "encoder." if stack == "encoder" else "decoder."
    return f"{before}layer[{layer}].{'cross_attention' if part == 'cross' else 'attention'}"


def _ends(spec: ModelSpec, tokens: int) -> dict[str, Any]:
    """What is made of the states, for a number of them."""
    return {name: _sized(getattr(spec, name), tokens) for name in ("readout", "sentence")}


def _sized(value: Any, tokens: int, context: int | None = None) -> Any:
    """The same for a number of tokens, which all blocks in it then have; `context`: what they attend to."""
    if isinstance(value, tuple):
        return tuple(_sized(each, tokens, context) for each in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {f.name: _sized(getattr(value, f.name), tokens, context) for f in fields(value)}
    if "tokens" in changes:
        changes["tokens"] = tokens
    if isinstance(value, AttentionSpec) and value.cross:
        changes["context_tokens"] = context
    return replace(value, **changes)
