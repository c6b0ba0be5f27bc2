"""Texts to token ids and back: the tokenizer beside a model, as the library `tokenizers` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.backends.extras import is_installed, require_library
from cortico.frontends import gguf_file
from cortico.ir.errors import SpecError, clipped, shown
from cortico.ir.limits import TOKENIZER_BYTES
from cortico.ir.reading import AnyPath, read_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The tokenizer in a folder, as transformers and sentence-transformers write it, and we do.
TOKENIZER = "tokenizer.json"

#: `tokenizer.ggml.token_type` of tokens that no text is split into.
_CONTROL = 3


def has_tokenizer(path: AnyPath) -> bool:
    """Whether there is one: in a folder a tokenizer.json, in a GGUF file the file itself."""
    place = Path(path)
    return place.suffix.lower() == gguf_file.SUFFIX or (place / TOKENIZER).is_file()


def read_tokenizer(path: AnyPath) -> Tokenizer:
    """The tokenizer of a model: in a folder, or in a GGUF file.

    It pads nothing and cuts nothing. SpecError when there is none, when it is broken, or of a GGUF file
    that splits texts in a way that is not read here; UnsupportedError without the library.
    """
    require_library("a text", "tokenizers", "text")
    place = Path(path)
    if place.suffix.lower() == gguf_file.SUFFIX:
        return _of_gguf(place)
    file = place / TOKENIZER
    if not file.is_file():
        raise SpecError(f"{str(place)!r} has no {TOKENIZER}, so texts have no token ids there")
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_str(read_bytes(file, TOKENIZER_BYTES).decode())
    except SpecError:
        raise
    except Exception as error:  # tokenizers raises nothing narrower
        raise SpecError(f"cannot read {str(file)!r}: {clipped(str(error), 200)}") from None
    found.no_padding()
    found.no_truncation()
    return found


def tokenizer_file(path: AnyPath) -> dict[str, str]:
    """The tokenizer beside a model, as the file that it becomes in a compiled folder; none where there is none."""
    if not has_tokenizer(path) or not is_installed("tokenizers"):
        return {}
    return {TOKENIZER: read_tokenizer(path).to_str()}


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], vocabulary: int
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and which are no padding, both (text, n): n is that of the longest text.

    Padding stands behind a text, and is token 0. SpecError for no text, for one without a token, and for a
    token that a vocabulary of so many lacks.
    """
    if not texts:
        raise SpecError("no text: give at least one")
    found = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    for text, ids in zip(texts, found, strict=True):
        if not ids:
            raise SpecError(f"text {shown(text)} has no token")
        if max(ids) >= vocabulary:
            raise SpecError(
                f"text {shown(text)} has the token {max(ids)}, the model has {vocabulary:,} tokens"
            )
    longest = max(map(len, found))
    tokens = np.array([ids + [0] * (longest - len(ids)) for ids in found], dtype=np.int64)
    keep = np.array([[1] * len(ids) + [0] * (longest - len(ids)) for ids in found], dtype=bool)
    return tokens, keep


def _of_gguf(file: Path) -> Tokenizer:
    """The tokenizer of a GGUF file: byte-level BPE."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    keys = gguf_file.read_vocabulary(file)
    kind, split = keys.get("model"), keys.get("pre")
    splits: dict[Any, list[Any]] = {
        "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "smollm": [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ],
    }
    if kind != "gpt2" or split not in splits:
        raise SpecError(
            f"{str(file)!r}: its tokenizer is {shown(kind)}, split as {shown(split)}; read is 'gpt2', split as "
            f"{' or '.join(map(repr, splits))}"
        )
    tokens, types = keys["tokens"], keys["token_type"]
    merges = [tuple(merge.split(" ")) for merge in keys["merges"]]
    try:
        model: Any = models.BPE({token: k for k, token in enumerate(tokens)}, merges)
    except Exception as error:  # tokenizers raises nothing narrower
        raise SpecError(f"{str(file)!r}: {clipped(str(error), 200)}") from None
    found = Tokenizer(model)
    found.pre_tokenizer = pre_tokenizers.Sequence(splits[split])
    found.decoder = decoders.ByteLevel()
    control = (t for t, kind in zip(tokens, types, strict=True) if kind == _CONTROL)
    found.add_special_tokens([AddedToken(token, special=True) for token in control])
    return found
