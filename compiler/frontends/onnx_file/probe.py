"""What a part of a graph does, measured: linear maps by the vectors of a basis, masks by scores of zero.

How an exporter wrote a map (Reshape, Transpose, Split, Slice, Gather, Einsum, with shapes that are known or
not) does not matter then: what it gives for the basis are its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import onnx

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.inputs import Role
from cortico.frontends.onnx_file.measuring import TooLargeError, require_room
from cortico.frontends.onnx_file.sites import Site, is_map
from cortico.ir.errors import SpecError

#: Examples and tokens of a probe where the graph takes any number.
_EXAMPLES, _TOKENS = 8, 16
#: Products that shares may take: those of one head and 2048 tokens, a second or two.
_PRODUCTS = 2**33
#: A share of source tokens less than queries, where they are others, so that their axes differ.
_FEWER = 5


@dataclass(frozen=True)
class Stream:
    """Tokens that go into an attention: their value in the graph, and the shape of a probe."""

    name: str
    examples: int
    tokens: int
    width: int
    free_examples: bool = True  #: the graph takes any number of them
    free_tokens: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.examples, self.tokens, self.width

    def at(self, examples: int, tokens: int) -> Stream:
        """So many examples and tokens, where they are free."""
        return replace(
            self,
            examples=examples if self.free_examples else self.examples,
            tokens=tokens if self.free_tokens else self.tokens,
        )


@dataclass(frozen=True)
class Probe:
    """Feeds one site of a graph. `queries` and `sources` are the tokens it is a function of."""

    graph: OnnxGraph
    site: Site
    queries: Stream
    sources: Stream
    roles: Mapping[str, Role] = field(default_factory=dict)
    one_head: bool = (
        False  #: one example and head of queries, keys and values, where those have axes
    )

    def __post_init__(self) -> None:
        require_room(self.graph.source, "scores", (*self.queries.shape[:2], self.sources.tokens))

    def at(self, examples: int, tokens: int) -> Probe:
        """The same probe with other numbers of examples and tokens, where the graph takes them."""
        fewer = tokens // _FEWER if self.cross else 0
        return replace(
            self,
            queries=self.queries.at(examples, tokens),
            sources=self.sources.at(examples, tokens - fewer),
        )

    def with_roles(self, roles: Mapping[str, Role]) -> Probe:
        """The same probe, whose other inputs say these things."""
        return replace(self, roles=roles)

    @property
    def fixed(self) -> bool:
        """Whether the graph takes one number of tokens only."""
        return not (self.queries.free_tokens or self.sources.free_tokens)

    @property
    def cross(self) -> bool:
        return self.queries.name != self.sources.name

    @property
    def streams(self) -> frozenset[str]:
        """The names of the tokens."""
        return frozenset((self.queries.name, self.sources.name))

    # ---- maps in ---------------------------------------------------------------------------------

    def map_of(self, part: str) -> np.ndarray:
        """ "Q", "K" or "V" as a map of the tokens: (tokens, heads, features, width + 1), the last its bias.

        One token stands for all where the map is the same at every position.
        """
        stream = self.queries if part == "Q" else self.sources
        name = self._names[part]

        def rates(tokens: np.ndarray) -> np.ndarray:
            (found,) = self.graph.evaluate({**self.inputs(), stream.name: tokens}, [name])
            return self.split(found, part)

        zero = rates(np.zeros(stream.shape))[0]
        some = np.random.default_rng(0).standard_normal(stream.width)
        seen = rates(np.broadcast_to(some, stream.shape))[0]
        columns = list(_columns(rates, stream, zero, still=is_still(seen.swapaxes(0, 1))))
        tokens = columns[0].shape[2]
        maps = np.concatenate([*columns, zero[None, :, :tokens]])
        return np.asarray(maps.transpose(2, 1, 3, 0))

    @property
    def _names(self) -> dict[str, str]:
        site = self.site
        return {"Q": site.query, "K": site.key, "V": site.value, "": site.result}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        parts = [part for part in self._names if part]
        found = self.graph.evaluate(self.silence(), [self._names[part] for part in parts])
        return {part: array.shape for part, array in zip(parts, found, strict=True)}

    def _like(self, part: str) -> tuple[int, ...]:
        """The shape that queries, keys or values are given in."""
        shape = self._shapes[part]
        return (shape[0], 1, *shape[2:]) if self.one_head and len(shape) == 4 else shape

    def alone(self) -> Probe:
        """The same probe with one example and one head, where the graph takes them."""
        return replace(self.at(1, self.queries.tokens), one_head=True)

    def split(self, found: np.ndarray, part: str) -> np.ndarray:
        """What the graph has for queries, keys, values or (part "") the result: (examples, heads, tokens, features)."""
        stream = self.sources if part in ("K", "V") else self.queries
        if part == "K" and not self.site.is_operator:
            found = found.swapaxes(-1, -2)
        try:
            if self.site.is_operator and found.ndim == 3:
                heads = self.site.groups if part in ("K", "V") else self.site.heads
                apart = found.reshape(stream.examples, stream.tokens, heads, -1)
                return apart.transpose(0, 2, 1, 3)
            return found.reshape(stream.examples, -1, stream.tokens, found.shape[-1])
        except ValueError:
            raise SpecError(
                f"{self.graph.source}: expected {stream.examples} examples of {stream.tokens} tokens, "
                f"found shape {found.shape}"
            ) from None

    def join(self, array: np.ndarray, part: str) -> np.ndarray:
        """(examples, heads, tokens, features) in the axes that the graph has for queries, keys, values or result."""
        like = self._like(part or "Q")
        if self.site.is_operator and len(like) == 3:
            return array.transpose(0, 2, 1, 3).reshape(array.shape[0], array.shape[2], -1)
        if part == "K" and not self.site.is_operator:
            return array.swapaxes(-1, -2).reshape(*like[:-2], *array.shape[:1:-1])
        return array.reshape(*like[:-2], *array.shape[2:])

    def heads(self, part: str) -> int:
        """How many heads queries, keys or values have."""
        return int(self.split(np.zeros(self._like(part)), part).shape[1])

    def random(self, part: str) -> np.ndarray:
        """Random numbers for queries, keys or values by head, (examples, heads, tokens, features)."""
        shape = self.split(np.zeros(self._like(part)), part).shape
        return np.random.default_rng(ord(part)).standard_normal(shape)

    # ---- scores ------------------------------------------------------------------------------------

    def shares(
        self,
        query: np.ndarray | None = None,
        key: np.ndarray | None = None,
        keep: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray:
        """What each token gives each source token, (examples, heads, i, j), for queries and keys by head.

        Those are zeros where they are not given, and so is a bias (examples, i, j) that an input says. Values that
        name their tokens tell it.
        """
        tokens, examples = self.sources.tokens, self.sources.examples
        sides = (examples, self.heads("Q"), self.queries.tokens, tokens)
        require_room(self.graph.source, "shares", sides)
        products = math.prod(sides) * tokens
        if products > _PRODUCTS:
            raise TooLargeError(
                f"{self.graph.source}: shares would take {products:,} products, expected at most {_PRODUCTS:,}"
            )
        names = np.broadcast_to(np.eye(tokens), (examples, self.heads("V"), tokens, tokens))
        return self.weighed(query, key, names, keep, bias)

    def weighed(
        self,
        query: np.ndarray | None,
        key: np.ndarray | None,
        value: np.ndarray,
        keep: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray:
        """The result (examples, heads, tokens, features) for queries, keys and values by head."""
        given = self.silence(keep, bias)
        for part, array in (("Q", query), ("K", key), ("V", value)):
            name = self._names[part]
            given[name] = np.zeros(self._like(part)) if array is None else self.join(array, part)
        (found,) = self.graph.evaluate(given, [self.site.result])
        return self.split(found, "")

    # ---- the map out ---------------------------------------------------------------------------------

    def map_out(self, output: str, heads: int, features: int) -> np.ndarray:
        """The map from the summed values to `output`: (heads, out, features), and a last column: bias."""
        stream = replace(self.queries, width=heads * features)

        def rates(values: np.ndarray) -> np.ndarray:
            apart = values.reshape(*values.shape[:2], heads, features).transpose(0, 2, 1, 3)
            given = {**self.silence(), self.site.result: self.join(apart, "")}
            (found,) = self.graph.evaluate(given, [output])
            return found.reshape(self.queries.examples, 1, self.queries.tokens, -1)

        zero = rates(np.zeros(stream.shape))[0]
        columns = [part[:, 0, 0] for part in _columns(rates, stream, zero, still=True)]
        return np.concatenate([*columns, zero[:, 0]])

    # ---- what else the graph wants -----------------------------------------------------------------

    def silence(
        self, keep: np.ndarray | None = None, bias: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """All inputs, with tokens of zeros."""
        zeros = {s.name: np.zeros(s.shape) for s in (self.sources, self.queries)}
        return {**self.inputs(keep, bias=bias), **zeros}

    def inputs(
        self, keep: np.ndarray | None = None, shift: int = 0, bias: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The graph's own inputs, for tokens (examples, source tokens) that exist or not; all do by default.

        Scores get a bias (examples, queries, source tokens), zeros by default. Only the shapes of inputs without a
        role matter.
        """
        if keep is None:
            keep = np.ones(self.sources.shape[:2], bool)
        if bias is None:
            bias = np.zeros(self._pairs)
        return {value.name: self._input(value, keep, shift, bias) for value in self.graph.inputs}

    @property
    def _pairs(self) -> tuple[int, int, int]:
        return (*self.queries.shape[:2], self.sources.tokens)

    def _input(
        self, value: onnx.ValueInfoProto, keep: np.ndarray, shift: int, bias: np.ndarray
    ) -> np.ndarray:
        sizes = self._sizes(value)
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        kind = np.dtype(np.float64) if kind.kind == "f" or kind.name == "bfloat16" else kind
        role = self.roles.get(value.name)
        said = role.numbers(keep, sizes, shift, bias) if role else np.ones(sizes)
        return np.asarray(said, kind)

    def _sizes(self, value: onnx.ValueInfoProto) -> list[int]:
        for stream in (self.queries, self.sources):
            if value.name == stream.name:
                return list(stream.shape)
        dims = value.type.tensor_type.shape.dim
        role = self.roles.get(value.name)
        places = len(dims) == 1 and role is Role.POSITIONS
        sizes = [self._size(k + places, dim) for k, dim in enumerate(dims)]
        square = (
            len({dim.dim_param or k for k, dim in enumerate(dims)}) == 1
        )  # one symbol, one size
        of_pairs = square or (role is not None and role.of_pairs)
        pairs = len(dims) > 2 or (len(dims) == 2 and of_pairs)
        if pairs and not dims[-1].dim_value:  # else that side is one of features
            sizes[-2] = int(dims[-2].dim_value) or self.queries.tokens
        require_room(self.graph.source, f"input {value.name!r}", sizes)
        return sizes

    def _size(self, place: int, dim: onnx.TensorShapeProto.Dimension) -> int:
        if dim.dim_value:
            return int(dim.dim_value)
        return self.queries.examples if place == 0 else self.sources.tokens

    def some_exist(self, name: str) -> np.ndarray:
        """Tokens (examples, source tokens) of which, by the input of this name, some do not exist."""
        (value,) = (v for v in self.graph.inputs if v.name == name)
        examples, tokens = self.sources.shape[:2]
        role = self.roles[name]
        alike = role is not Role.LENGTHS and math.prod(self._sizes(value)) < examples * tokens
        return role.some(examples, tokens, alike)

    def some_bias(self, name: str) -> np.ndarray:
        """A bias (examples, queries, source tokens) that the input of this name can say."""
        (value,) = (v for v in self.graph.inputs if v.name == name)
        alike = math.prod(self._sizes(value)) < math.prod(self._pairs)
        return self.roles[name].some_bias(self._pairs, alike)


def is_still(maps: np.ndarray) -> bool:
    """Whether something (tokens, …) is the same at every position."""
    return bool(np.allclose(maps, maps[:1], rtol=1e-6, atol=1e-9))


def _columns(
    rates: Callable[[np.ndarray], np.ndarray], stream: Stream, zero: np.ndarray, still: bool
) -> Iterator[np.ndarray]:
    """What each vector of the basis adds to `zero` (heads, tokens, features), block by block.

    Of a map that is still every token of a probe is another vector, else every example is.
    """
    slots = stream.tokens if still else 1
    for block in _blocks(stream.width, stream.examples * slots):
        example, token = np.divmod(np.arange(len(block)), slots)
        tokens = np.zeros(stream.shape)
        tokens[example, token if still else slice(None), block] = 1
        found = rates(tokens) - zero
        yield found[example, :, token][:, :, None] if still else found[: len(block)]


def _blocks(count: int, most: int) -> Iterator[range]:
    for start in range(0, count, most):
        yield range(start, min(start + most, count))


def stream_of(graph: OnnxGraph, name: str) -> Stream:
    """The tokens called `name`: three axes, their width that of the map that reads them."""
    shape = graph.shapes.get(name)
    if shape is not None and len(shape) != 3:
        raise SpecError(
            f"{graph.source}: tokens {name!r} have {len(shape)} axes, expected examples, tokens, features"
        )
    examples, tokens, width = shape or (None, None, None)
    stream = Stream(
        name,
        examples or _EXAMPLES,
        tokens or _TOKENS,
        width or _width(graph, name),
        free_examples=not examples,
        free_tokens=not tokens,
    )
    require_room(graph.source, f"tokens {name!r}", stream.shape)
    return stream


def _width(graph: OnnxGraph, name: str) -> int:
    for node in graph.users.get(name, ()):
        if is_map(graph, node):
            (matrix,) = graph.evaluate({}, [node.input[1]])
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return int(matrix.shape[1 if transposed else 0])
    raise SpecError(f"{graph.source}: the width of tokens {name!r} is not known")
