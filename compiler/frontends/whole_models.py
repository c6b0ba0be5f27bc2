"""A whole model in a checkpoint on disk: its spec, and the weights of each of its blocks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from cortico.frontends import onnx_file
from cortico.frontends.checkpoint import Checkpoint, open_checkpoint
from cortico.frontends.config import Config
from cortico.frontends.families import parts_of_model
from cortico.frontends.family import Family
from cortico.frontends.model import Head, Model, Names, Table
from cortico.frontends.sentences import Sentences, sentences_of
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, bullet_list
from cortico.ir.reading import AnyPath
from cortico.spec import AttentionSpec, ModelSpec, Sentence
from cortico.spec.attention import Size
from cortico.spec.model_weights import MATRIX, TABLE, given_model, model_shapes
from cortico.spec.weights import Shapes
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
) -> WholeModel:
    """Spec and weights of the whole model in a checkpoint.

    `path` is a folder or a file, as for `read_checkpoint`; a folder of sentence-transformers has a `sentence`,
    as its modules say. What else is made of the states follows `architectures` of config.json, or
    `architecture`, such as "BertForMaskedLM", in its place: logits (`*ForCausalLM`, `*ForMaskedLM`) or none
    (`*Model`). `ignore` may also name tensors that are left out, or how their names begin. `tokens` fixes the
    number of tokens; `prefix` is as in `read_checkpoint`.

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
    resolved = model.keys(family.keys).resolve(found.config, found.ignore)
    reader = _Reader(
        found, replace(resolved, tokens=tokens), model, parts_of_model(family, resolved)
    )
    spec, weights = reader.read(model.head(resolved, architecture), sentences)
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


@dataclass
class _Reader:
    """Reads a checkpoint, and knows which of its tensors were taken."""

    found: Checkpoint
    config: Config
    model: Model
    families: Mapping[str | None, Family]
    taken: set[str] = field(default_factory=set)

    def read(self, head: Head, sentences: Sentences | None) -> WholeModel:
        """SpecError for tensors that are missing, and for those that are left over."""
        attentions = {part: list(self.attentions(family)) for part, family in self.families.items()}
        specs = {part: [spec for spec, _ in read] for part, read in attentions.items()}
        model, config, parts = self.model, self.config, self.model.parts
        spec = ModelSpec(
            stack=model.stack(config, *(specs[part] for part in parts)),
            encoder=model.encoder(config, specs["encoder"]) if model.encoder else None,
            readout=head.readout(config) if head.readout else None,
            sentence=sentences.sentence(self.width(specs)) if sentences else self.sentence(head),
            name=self.found.name,
        )
        spec = spec if config.tokens is None else _sized(spec, config.tokens)
        weights = dict(self.weights(spec, head, attentions))
        self.refuse_rest([*head.ignored, *(sentences.ignored if sentences else ())])
        return spec, weights

    def width(self, specs: Mapping[str | None, list[AttentionSpec]]) -> int:
        """Features of a state."""
        return next(iter(specs.values()))[0].model

    def attentions(self, family: Family) -> Iterator[tuple[AttentionSpec, dict[str, np.ndarray]]]:
        """Those of all layers."""
        found, given, tokens = self.found, self.found.config, self.config.tokens
        assert given is not None
        for layer in range(family.count(given, found.ignore)):
            yield family.read(given, found.tensors, layer, found.prefix, found.ignore, tokens)
            inner, place = family.placed(self.config, found.tensors, layer, found.prefix)
            ignored = tuple(f"{inner}{place}{each}" for each in family.ignored)
            inside = {name for name in found.tensors if name.startswith(inner + place)}
            self.taken |= {name for name in inside if not name.startswith(ignored)}
            if family.distances is not None:
                self.taken.add(inner + family.distances(self.config).tensor)

    @property
    def inner(self) -> str:
        """What stands before the names of the model in the file."""
        family = next(iter(self.families.values()))
        return family.placed(self.config, self.found.tensors, 0, self.found.prefix)[0]

    @property
    def outer(self) -> str:
        """What stands before the names of its head: less than before those of the model."""
        family = next(iter(self.families.values()))
        known = sorted(family.prefixes, key=len, reverse=True)
        return self.inner.removesuffix(next(p for p in known if self.inner.endswith(p)))

    def sentence(self, head: Head) -> Sentence | None:
        """That of the head, where the file has its tensors."""
        pooler = self.model.table(self.config).get("pooler", {}).get(MATRIX)
        if head.sentence is None or pooler is None:
            return None
        there = any(self.inner + name in self.found.tensors for name in pooler.names)
        return head.sentence(self.config) if there else None

    def weights(
        self, spec: ModelSpec, head: Head, attentions: Mapping[str | None, list[Any]]
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Path and weights of each block that has any."""
        blocks, table, stored = wiring(spec).blocks, self.model.table(self.config), {}
        for path, shapes in model_shapes(spec).items():
            block, layer = _without_number(path)
            if isinstance(blocks[path], AttentionSpec):
                stored[path] = attentions[_part(path, self.families)][layer][1]
            elif block in head.tensors:
                stored[path] = self.take(path, shapes, head.tensors[block], self.outer, layer)
            else:
                stored[path] = self.take(path, shapes, table[block], self.inner, layer)
            yield path, stored[path]
        if spec.readout is not None and spec.readout.tied:
            embedding = next(path for path in stored if path.endswith("embedding"))
            self.require_tied(stored[embedding][TABLE], {**table, **head.tensors}, head)

    def take(
        self, path: str, shapes: Shapes, names: Names, prefix: str, layer: int
    ) -> dict[str, np.ndarray]:
        """The weights of a block. SpecError, by its path, for what is missing or has another shape."""
        numbers = next(iter(self.families.values())).numbers(self.config, layer)
        found = {}
        for weight, sides in shapes.items():
            shape, how = tuple(map(int, sides)), names[weight]
            named = [prefix + name.format_map(numbers) for name in how.names]
            name = next((name for name in named if name in self.found.tensors), named[0])
            tensors = self.found.tensors.scoped("", path)
            array = tensors.take({name: how.shape(shape)}, ignored=("",))[name]
            self.taken.add(name)
            found[weight] = how.weight(array, shape[0])
        return found

    def require_tied(self, table: np.ndarray, tables: Table, head: Head) -> None:
        """SpecError for a matrix of the readout in the file that is not the table of tokens."""
        prefix = self.outer if "readout" in head.tensors else self.inner
        names = [prefix + name for name in tables["readout"][MATRIX].names]
        for name in names:
            if name in self.found.tensors:
                self.taken.add(name)
                if not np.array_equal(self.found.tensors[name], table):
                    raise SpecError(
                        f"{self.found.tensors.source!r}: {name!r} is not the table of tokens, and config.json "
                        "says tie_word_embeddings: which of them is meant? Say tie_word_embeddings: false "
                        "there if both are"
                    )

    def refuse_rest(self, beginnings: Collection[str]) -> None:
        """SpecError for tensors that were not taken and may matter."""
        sides = {self.outer, self.inner}
        left_out = (*(side + each for side in sides for each in beginnings), *self.found.ignore)
        patterns = [self.inner + pattern for pattern in self.model.ignored]
        rest = [
            name
            for name in self.found.tensors
            if name.startswith(self.outer) and name not in self.taken
            if not name.startswith(left_out) and not _matches(name, patterns)
        ]
        if rest:
            known = ", --ignore NAME leaves out those whose names begin so"
            raise SpecError(
                f"{self.found.tensors.source!r} has tensors that are no part of the model as it is read"
                f"{known}:{bullet_list(rest)}"
            )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _without_number(path: str) -> tuple[str, int]:
    """A path as tables have it, and the number of its layer."""
    number = re.search(r"layer\[(\d+)\]", path)
    return re.sub(r"\[\d+\]", "", path), int(number[1]) if number else 0


def _part(path: str, families: Mapping[str | None, Family]) -> str | None:
    """Which part of the model an attention belongs to."""
    if None in families:
        return None
    return "cross" if path.endswith("cross_attention") else path.split(".")[0]


def _sized(value: Any, tokens: int) -> Any:
    """The same spec for a number of tokens, of which all its blocks have as many."""
    if isinstance(value, tuple):
        return tuple(_sized(each, tokens) for each in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {f.name: _sized(getattr(value, f.name), tokens) for f in fields(value)}
    return replace(value, **changes | ({"tokens": tokens} if "tokens" in changes else {}))
