"""Texts for compiled models: what a model is given for them, and what it writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from cortico.backends import run_network
from cortico.backends.arrays.backend import definitions
from cortico.backends.arrays.network.once import heard_once
from cortico.backends.arrays.network.running import argument_names
from cortico.backends.numpy import require_scipy
from cortico.backends.numpy.network import emit_network
from cortico.frontends.generation import UNKNOWN, Ends
from cortico.frontends.tokenizer import encode, read_tokenizer
from cortico.frontends.whole_models import WholeModel, read_model
from cortico.ir import InputKind
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, named
from cortico.ir.fields import MOST, number, whole
from cortico.ir.limits import SIZE
from cortico.ir.network import Network, Port, part_up_to
from cortico.ir.reading import AnyPath
from cortico.ir.text.networks import stored_arrays
from cortico.lowering import lower_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_Count = Annotated[int, whole(1, SIZE - 1, "a positive integer")]
_Temperature = Annotated[float, number(0.0, MOST, "zero or a positive number")]
_Seed = Annotated[int, whole(0, SIZE - 1, "an integer from 0 on")]


class Writer:
    """A network that gives logits for token ids, on its emitted NumPy code, and the tokenizer of its ids.

    Where it has an encoder, that hears the text, and `ends` says how what is written begins and ends.
    SpecError when a network cannot write: a token of it hears later ones, it gives no logits, or hears more than
    a text; and where it is not known with which tokens its decoder begins.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        dtype: Any = np.float32,
        ends: Ends = UNKNOWN,
    ) -> None:
        self.tokenizer, self.vocabulary = tokenizer, vocabulary_of(network)
        require_scipy(network.blocks)
        code = definitions(emit_network(network), "model.py")
        if "generate" not in code:
            raise SpecError(
                f"{named(network.name)} writes no text: expected logits for any number of token ids alone, and "
                "no token that hears later ones"
            )
        self._heard = _heard_of_texts(network)
        self.answers = bool(self._heard)  #: to a text, in place of going on from it
        self._ends = ends if self.answers else UNKNOWN
        if self.answers and not ends.begin:
            raise SpecError(
                f"{named(network.name)}: its decoder begins with a token that nothing here says: expected "
                "decoder_start_token_id"
            )
        _require_known(network, self._ends)
        self._generate, self._dtype = code["generate"], np.dtype(dtype).type
        self._weights = code["pack"](stored_arrays(network), self._dtype)
        self._name, self._room = named(network.name), _room(network)

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
        """Pieces of what follows `text`, or answers it: up to `count` tokens, until one would come that ends it.

        Each token is the likeliest at a temperature of 0, else drawn from softmax(logits / temperature), of
        the `top_k` likeliest where that is given. SpecError when there are more tokens than positions.
        """
        (prompt,), _ = encode(self.tokenizer, [text], self.vocabulary)
        first = np.array(self._ends.begin) if self.answers else prompt
        if max(len(prompt), len(first) + count - 1) > self._room:
            raise SpecError(
                f"{self._name} has positions for {self._room:,} tokens, found {len(prompt):,} of the text and "
                f"{count:,} to write"
            )
        drawn = self._generate(
            first,
            count,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            stop=(self.answers and self._ends.stop) or self._special(),
            never=self._ends.never,
            weights=self._weights,
            dtype=self._dtype,
            threads=threads,
            **dict.fromkeys(self._heard, prompt),
        )
        return self._pieces([int(token) for token in first], drawn)

    def _special(self) -> frozenset[int]:
        """Tokens that are no text, such as the end of one."""
        added = self.tokenizer.get_added_tokens_decoder()
        return frozenset(token for token, what in added.items() if what.special)

    def _pieces(self, ids: list[int], drawn: Iterator[int]) -> Iterator[str]:
        """What tokens add to the text of those before, as soon as it is known: a character may be several tokens."""
        told = self.tokenizer.decode(ids)
        for token in drawn:
            ids.append(token)
            text = self.tokenizer.decode(ids)
            if text.endswith("\ufffd"):
                continue
            yield text[len(told) :]
            told = text


def _heard_of_texts(network: Network) -> list[str]:
    """The argument of the ids that are heard once, if there is one. SpecError for others that must be given."""
    wanted = [t for t in heard_once(network).inputs if not t.optional]
    if [t.kind for t in wanted] not in ([], [InputKind.TOKEN]):
        raise _hears_more(network, [t.name for t in wanted])
    return [argument_names(network)[t.name] for t in wanted]


def _hears_more(network: Network, others: Sequence[str]) -> SpecError:
    return SpecError(
        f"{named(network.name)} also hears {', '.join(others)}, which a text does not give: give all in an .npz file"
    )


def _require_known(network: Network, ends: Ends) -> None:
    """SpecError for ids that no token has that a network writes."""
    once = heard_once(network).inputs
    written = [t for t in network.inputs if t.kind is InputKind.TOKEN and t not in once]
    size = int(written[0].shape[-1])
    wrong = sorted(token for token in (*ends.begin, *ends.stop, *ends.never) if token >= size)
    if wrong:
        raise SpecError(f"{named(network.name)} writes {size:,} tokens, found the token {wrong[0]}")


def _room(network: Network) -> int:
    """How many tokens a network has learned positions for."""
    sizes = (within_tables(c, dict.fromkeys(c.symbols, SIZE)).values() for c in network.blocks)
    return min(itertools.chain(*sizes), default=SIZE)


@dataclass(frozen=True, eq=False)
class Reading:
    """An attention of a model that reads texts. Arrays (text, token, …), in float64."""

    inputs: dict[str, np.ndarray]  #: what it hears, by name
    output: np.ndarray  #: what it gives
    pieces: tuple[tuple[str, ...], ...]  #: the words and pieces of words of each text


@kind
def read_at(
    path: AnyPath,
    texts: Sequence[str],
    layer: int = 0,
    part: str | None = None,
    prefix: str | None = None,
    ignore: str | Iterable[str] = (),
    tokens: int | None = None,
) -> Reading:
    """What the attention of one layer hears and gives while the model in a checkpoint reads texts.

    `part` is of a model with two stacks: encoder, decoder or cross. Raises SpecError as `read_model`,
    `read_tokenizer` and `text_inputs` do, and for a layer that is not there.
    """
    tokenizer = read_tokenizer(path)
    model = read_model(path, prefix=prefix, ignore=ignore, tokens=tokens)
    return read_in_model(model, tokenizer, texts, layer, part)


def read_in_model(
    model: WholeModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    layer: int = 0,
    part: str | None = None,
) -> Reading:
    """The same of a model that was read, spec and weights."""
    network = lower_model(*model).in_float64()
    at = _path_of(network, layer, part)
    before = part_up_to(network, at)
    given = text_inputs(before, texts, tokenizer)
    found = run_network(before, given)
    names = [tensor.name for tensor in network[at].circuit.inputs]
    heard = {
        n: found[n] if n in found else given[network.source_of[Port(n, at)].name] for n in names
    }
    pieces = (tuple(encoding.tokens) for encoding in tokenizer.encode_batch(list(texts)))
    return Reading(heard, found["y"], tuple(pieces))


def _path_of(network: Network, layer: int, part: str | None) -> str:
    """Where the attention of a layer stands. SpecError for a layer that is not there."""
    stacks = {
        path.partition("layer[")[0] for path in (n.path for n in network.nodes) if "[" in path
    }
    stack = "encoder." if part in (None, "encoder") else "decoder."
    name = "cross_attention" if part == "cross" else "attention"
    path = f"{stack if stack in stacks else ''}layer[{layer}].{name}"
    if path not in {node.path for node in network.nodes}:
        raise SpecError(f"{named(network.name)} has no attention at {path}")
    return path


def text_inputs(
    network: Network, texts: Sequence[str], tokenizer: Tokenizer
) -> dict[str, np.ndarray]:
    """What a network is given for texts: token ids, types of 0, and which tokens are no padding.

    SpecError for a network that hears no tokens, or more than those of one text.
    """
    ids = [tensor for tensor in network.inputs if tensor.kind is InputKind.TOKEN]
    tokens, keep = encode(tokenizer, texts, vocabulary_of(network))
    others = [t.name for t in network.inputs if not t.optional and t.shape[0] != ids[0].shape[0]]
    others += [t.name for t in network.inputs if t.kind is InputKind.RATE and t.name not in others]
    if others:
        raise _hears_more(network, others)
    masks = {t.name: keep for t in network.inputs if t.kind is InputKind.MASK}
    types = {tensor.name: np.zeros_like(tokens) for tensor in ids[1:]}
    return {ids[0].name: tokens} | types | masks


def likeliest(logits: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The tokens with the largest of `logits` [token], and softmax(logits) of each."""
    rates = np.exp(logits - logits.max())
    order = np.argsort(-rates)[:count]
    return [(int(token), float(rates[token] / rates.sum())) for token in order]


def vocabulary_of(network: Network) -> int:
    """How many tokens a network knows. SpecError for one that hears no tokens."""
    sizes = [t.shape[-1] for t in network.inputs if t.kind is InputKind.TOKEN]
    if not sizes:
        raise SpecError(f"{named(network.name)} hears no token ids, so it reads no text")
    return int(sizes[0])
