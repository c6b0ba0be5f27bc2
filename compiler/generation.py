"""Text that a compiled model writes, token by token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from cortico.backends.arrays.backend import definitions
from cortico.backends.numpy.network import emit_network
from cortico.frontends.tokenizer import encode
from cortico.ir import InputKind
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, named
from cortico.ir.fields import MOST, number, whole
from cortico.ir.limits import SIZE
from cortico.ir.network import Network
from cortico.ir.text.networks import stored_arrays

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_Count = Annotated[int, whole(1, SIZE - 1, "a positive integer")]
_Temperature = Annotated[float, number(0.0, MOST, "zero or a positive number")]
_Seed = Annotated[int, whole(0, SIZE - 1, "an integer from 0 on")]


class Writer:
    """A network that gives logits for token ids, on its emitted NumPy code, and the tokenizer of its ids.

    SpecError when a network cannot write: a token of it hears later ones, or it gives no logits.
    """

    def __init__(self, network: Network, tokenizer: Tokenizer, dtype: Any = np.float32) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary_of(network)
        code = definitions(emit_network(network), "model.py")
        if "generate" not in code:
            raise SpecError(
                f"{named(network.name)} writes no text: expected logits for token ids alone, and no token "
                "that hears later ones"
            )
        self._generate, self._dtype = code["generate"], dtype
        self._weights = code["pack"](stored_arrays(network), dtype)

    @kind
    def write(
        self,
        text: str,
        count: _Count = 64,
        temperature: _Temperature = 0.0,
        top_k: _Count | None = None,
        seed: _Seed | None = None,
        threads: _Count | None = None,
    ) -> Iterator[str]:
        """Pieces of what follows `text`: up to `count` tokens, until a special token would come.

        Each token is the likeliest at a temperature of 0, else drawn from softmax(logits / temperature), of
        the `top_k` likeliest where that is given.
        """
        (prompt,), _ = encode(self.tokenizer, [text], self.vocabulary)
        drawn = self._generate(
            prompt,
            count,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            stop=self._special(),
            weights=self._weights,
            dtype=self._dtype,
            threads=threads,
        )
        return self._pieces(drawn)

    def _special(self) -> frozenset[int]:
        """Tokens that are no text, such as the end of one."""
        added = self.tokenizer.get_added_tokens_decoder()
        return frozenset(token for token, what in added.items() if what.special)

    def _pieces(self, drawn: Iterator[int]) -> Iterator[str]:
        """The text of tokens as soon as it is known: a character may be several tokens."""
        ids, told = list[int](), ""
        for token in drawn:
            ids.append(token)
            text = self.tokenizer.decode(ids)
            if text.endswith("\ufffd"):
                continue
            yield text[len(told) :]
            told = text


def vocabulary_of(network: Network) -> int:
    """How many tokens a network knows. SpecError for one that hears no tokens."""
    sizes = [t.shape[-1] for t in network.inputs if t.kind is InputKind.TOKEN]
    if not sizes:
        raise SpecError(f"{named(network.name)} hears no token ids, so it reads no text")
    return int(sizes[0])
