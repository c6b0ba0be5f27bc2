"""How a decoder that hears an encoder begins and ends a text: the token ids that a folder of a checkpoint names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortico.frontends.json_text import read_json_object
from cortico.ir.errors import SpecError, shown
from cortico.ir.reading import AnyPath

#: As transformers writes it, and we do.
GENERATION = "generation_config.json"
_KEYS = ("decoder_start_token_id", "forced_bos_token_id", "eos_token_id", "bad_words_ids")


@dataclass(frozen=True)
class Ends:
    """Tokens that a decoder is given first, that end a text, and that it never writes."""

    begin: tuple[int, ...] = ()
    stop: frozenset[int] = frozenset()
    never: tuple[int, ...] = ()


#: Where a folder says nothing of them.
UNKNOWN = Ends()


def read_ends(path: AnyPath) -> Ends:
    """What a folder says of them; nothing where it says nothing. SpecError for what are no token ids."""
    given = _given(Path(path))
    begin = [_ids(given, key) for key in _KEYS[:2]]
    if not begin[0]:
        return UNKNOWN
    words = given.get(_KEYS[3]) or []
    if not isinstance(words, list) or any(not isinstance(w, list) or len(w) != 1 for w in words):
        raise SpecError(f"{_KEYS[3]} must list words of one token each, found {shown(words)}")
    never = tuple(token for word in words for token in _ids({_KEYS[3]: word}, _KEYS[3]))
    return Ends((*begin[0], *begin[1]), frozenset(_ids(given, _KEYS[2])), never)


def ends_file(path: AnyPath) -> dict[str, str]:
    """The same as the file that it becomes in a compiled folder; none where nothing is said."""
    given = _given(Path(path))
    said = {key: given[key] for key in _KEYS if given.get(key) is not None}
    return {GENERATION: f"{json.dumps(said, indent=2)}\n"} if read_ends(path).begin else {}


def _given(folder: Path) -> dict[str, Any]:
    """What the files of a folder say: the later ones where both do."""
    files = (folder / "config.json", folder / GENERATION)
    found: dict[str, Any] = {}
    for file in files:
        said = read_json_object(file) if file.is_file() else {}
        found |= {key: said[key] for key in _KEYS if said.get(key) is not None}
    return found


def _ids(given: dict[str, Any], key: str) -> tuple[int, ...]:
    """The token ids under a key: a number or a list of them."""
    value = given.get(key)
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if any(isinstance(token, bool) or not isinstance(token, int) or token < 0 for token in ids):
        raise SpecError(f"{key} must be a token id, found {shown(value)}")
    return tuple(ids)
