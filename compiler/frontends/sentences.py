"""Folders of sentence-transformers: a model, and how its states become one vector for a text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.json_text import read_json_object
from cortico.frontends.keys import Keys, words
from cortico.ir.errors import SpecError, shown
from cortico.ir.limits import JSON_BYTES
from cortico.ir.reading import read_bytes
from cortico.spec import Pool, Pooling, Sentence

_MODULES = "modules.json"
#: Ways to pool that a folder may name, and those that are read.
_MODES = {"pooling_mode_mean_tokens": Pool.MEAN, "pooling_mode_cls_token": Pool.FIRST}
_OTHER = words(
    "pooling_mode_max_tokens pooling_mode_mean_sqrt_len_tokens pooling_mode_weightedmean_tokens "
    "pooling_mode_lasttoken"
)
_KEYS = Keys(
    read={"word_embedding_dimension": None, **dict.fromkeys(_MODES, False)},
    fixed={**dict.fromkeys(_OTHER, False), "include_prompt": True},
)


@dataclass(frozen=True)
class Sentences:
    """How states become one vector. Tensors whose names begin with `ignored` do something else with them."""

    pool: Pool
    unit: bool
    source: str
    features: int
    ignored: tuple[str, ...] = ("pooler.",)

    def sentence(self, width: int) -> Sentence:
        """For states of so many features. SpecError where the folder says another number."""
        if width != self.features:
            raise SpecError(
                f"{self.source}: word_embedding_dimension must be {width}, found {self.features}"
            )
        return Sentence(Pooling(width, self.pool, self.unit))


def sentences_of(path: Path) -> tuple[Path, Sentences | None]:
    """Where the model is, and what its folder says of sentences; none without modules.json.

    SpecError for modules other than a model, a pooling and a normalisation, one after the other.
    """
    file = path / _MODULES
    if not file.is_file():
        return path, None
    modules = _modules(file)
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise SpecError(
            f"{str(file)!r} has the modules {', '.join(kinds)}, expected Transformer, Pooling and perhaps "
            "Normalize"
        )
    return modules[0][1], _pooling(modules[1][1] / "config.json", unit="Normalize" in kinds)


def _modules(file: Path) -> list[tuple[str, Path]]:
    """The kind of each module, and its folder."""
    try:
        listed = json.loads(read_bytes(file, JSON_BYTES).decode("utf-8-sig"))
        return [(m["type"].rpartition(".")[2], file.parent / _plain(m["path"])) for m in listed]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SpecError(
            f"{str(file)!r} is no list of modules with type and path: {shown(str(error))}"
        ) from None


def _plain(name: Any) -> str:
    """A folder beside the file, or its own."""
    if not isinstance(name, str) or name == ".." or set(name) & set("/\\:\0"):
        raise ValueError(f"{name!r} is no plain folder")
    return name


def _pooling(file: Path, unit: bool) -> Sentences:
    config = _KEYS.resolve(Config(str(file), read_json_object(file)))
    pools = [pool for key, pool in _MODES.items() if config.flag(key)]
    if len(pools) != 1:
        raise SpecError(f"{str(file)!r} must say true to one of {', '.join(_MODES)}")
    return Sentences(pools[0], unit, str(file), config.size("word_embedding_dimension"))
