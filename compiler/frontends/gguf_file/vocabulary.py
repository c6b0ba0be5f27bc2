"""The vocabulary in a GGUF file: its words and how they are joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cortico.backends.extras import require_library
from cortico.frontends.gguf_file.header import read_header
from cortico.ir.errors import SpecError

_PREFIX = "tokenizer.ggml."
_WANTED = ("model", "pre", "tokens", "token_type", "merges", "bos_token_id", "eos_token_id")


def read_vocabulary(file: Path) -> dict[str, Any]:
    """The keys of a file's tokenizer, without `tokenizer.ggml.`; SpecError when it lacks some.

    The file's sizes are checked before the gguf library, which believes them, reads it.
    """
    read_header(file)
    require_library("the vocabulary of a GGUF file", "gguf", "gguf")
    from gguf import GGUFReader

    fields = GGUFReader(file).fields
    found = {key: fields[_PREFIX + key].contents() for key in _WANTED if _PREFIX + key in fields}
    missing = [_PREFIX + key for key in _WANTED[2:5] if key not in found]
    if missing:
        raise SpecError(f"{str(file)!r} has no tokenizer: it lacks {', '.join(missing)}")
    return found
