"""What a part of a graph does, measured: linear maps by the vectors of a basis, masks by scores of zero.

How an exporter wrote a map (Reshape, Transpose, Split, Slice, Gather, Einsum, with shapes that are known or
not) does not matter then: what it gives for the basis are its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnx

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.masking import UNSEEN
from cortico.frontends.onnx_file.measuring import require_room
from cortico.frontends.onnx_file.sites import Site, is_map
from cortico.ir.errors import SpecError

#: Examples and tokens of a probe where the graph takes any number.
_EXAMPLES, _TOKENS = 8, 16


@dataclass(frozen=True)
class Stream:
    """Tokens that go into an attention: their value in the graph, and the shape of a probe."""

    name: str
    examples: int
    tokens: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.examples, self.tokens, self.width


class Probe:
    """Feeds one site of a graph. `queries` and `sources` are the tokens it is a function of."""

    def __init__(self, graph: OnnxGraph, site: Site, queries: str, sources: str) -> None:
        self.graph, self.site = graph, site
        self.queries, self.sources = (_stream(graph, name) for name in (queries, sources))
        pairs = (self.queries.examples, self.queries.tokens, self.sources.tokens)
        require_room(graph.source, "scores", pairs)

    @property
    def fixed(self) -> bool:
        """Whether the graph takes one number of tokens only."""
        streams = (self.queries.name, self.sources.name)
        return all(self.graph.shapes.get(name, (None, None))[1] is not None for name in streams)

    # ---- maps in ---------------------------------------------------------------------------------

    def map_of(self, name: str, stream: Stream, transposed: bool, heads: int) -> np.ndarray:
        """`name` as a map of the tokens: (tokens, heads, features, width + 1), the last its bias.

        One token stands for all where the map is the same at every position.
        """

        def rates(tokens: np.ndarray) -> np.ndarray:
            return self._at(name, stream, tokens, transposed, heads)

        zero = rates(np.zeros(stream.shape))[0]
        some = np.random.default_rng(0).standard_normal(stream.width)
        seen = rates(np.broadcast_to(some, stream.shape))[0]
        columns = list(_columns(rates, stream, zero, still=is_still(seen.swapaxes(0, 1))))
        tokens = columns[0].shape[2]
        maps = np.concatenate([*columns, zero[None, :, :tokens]])
        return np.asarray(maps.transpose(2, 1, 3, 0))

    def _at(
        self, name: str, stream: Stream, tokens: np.ndarray, transposed: bool, heads: int
    ) -> np.ndarray:
        """`name` at these tokens, (examples, heads, tokens, features)."""
        (found,) = self.graph.evaluate({**self.inputs, stream.name: tokens}, [name])
        return self._by_head(found, stream, transposed, heads)

    def _by_head(
        self, found: np.ndarray, stream: Stream, transposed: bool, heads: int
    ) -> np.ndarray:
        if transposed:
            found = found.swapaxes(-1, -2)
        try:
            if self.site.is_operator and found.ndim == 3:
                split = found.reshape(stream.examples, stream.tokens, heads, -1)
                return split.transpose(0, 2, 1, 3)
            return found.reshape(stream.examples, -1, stream.tokens, found.shape[-1])
        except ValueError:
            raise SpecError(
                f"{self.graph.source}: expected {stream.examples} examples of {stream.tokens} tokens, "
                f"found shape {found.shape}"
            ) from None

    # ---- scores ------------------------------------------------------------------------------------

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """What is added to the scores, (heads, i, j), and their factor where they are seen."""
        site = self.site
        assert site.scores is not None and site.logits is not None
        shape = self.graph.evaluate(self.silence, [site.scores])[0].shape
        added, double, thrice = (
            self._logits(site.scores, site.logits, np.full(shape, float(number)))
            for number in (0, 2, 3)
        )
        live = added > UNSEEN
        with np.errstate(invalid="ignore"):  # -inf less -inf, where nothing is seen
            factor = np.where(live, double - added, 0) / 2
            third = np.where(live, thrice - added, 0) / 3
        if not np.allclose(third, factor, rtol=1e-6, atol=1e-9):
            raise SpecError(f"{self.graph.source}: scores go through more than a factor and a mask")
        return added, factor

    def _logits(self, scores: str, logits: str, given: np.ndarray) -> np.ndarray:
        (found,) = self.graph.evaluate({**self.silence, scores: given}, [logits])
        queries, keys = found.shape[-2:]
        whole = found.reshape(-1, queries, keys)
        return whole[: len(whole) // self.queries.examples]

    # ---- the map out ---------------------------------------------------------------------------------

    def map_out(self, output: str, heads: int, features: int) -> np.ndarray:
        """The map from the summed values to `output`: (heads, out, features), and a last column: bias."""
        stream = replace(self.queries, width=heads * features)

        def rates(values: np.ndarray) -> np.ndarray:
            split = values.reshape(*values.shape[:2], heads, features).transpose(0, 2, 1, 3)
            return self._out(output, split)[:, None]

        zero = rates(np.zeros(stream.shape))[0]
        columns = [part[:, 0, 0] for part in _columns(rates, stream, zero, still=True)]
        return np.concatenate([*columns, zero[:, 0]])

    def _out(self, output: str, values: np.ndarray) -> np.ndarray:
        """The output (examples, tokens, out) for these summed values."""
        shaped = self.shaped(values)
        (found,) = self.graph.evaluate({**self.silence, self.site.result: shaped}, [output])
        return found.reshape(self.queries.examples, self.queries.tokens, -1)

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """Values (examples, heads, tokens, features) in the shape that the graph has them."""
        rank = len(self.graph.evaluate(self.silence, [self.site.query])[0].shape)
        if self.site.is_operator and rank == 3:
            return values.transpose(0, 2, 1, 3).reshape(*values.shape[:1], values.shape[2], -1)
        return values if rank == 4 else values.reshape(-1, *values.shape[2:])

    def with_input(self, name: str, array: np.ndarray) -> Probe:
        """The same probe, with another array for one of the graph's inputs."""
        other = Probe(self.graph, self.site, self.queries.name, self.sources.name)
        other.inputs = {**self.inputs, name: array}
        return other

    # ---- what else the graph wants -----------------------------------------------------------------

    @cached_property
    def silence(self) -> dict[str, np.ndarray]:
        """All inputs, with tokens of zeros."""
        zeros = {s.name: np.zeros(s.shape) for s in (self.sources, self.queries)}
        return {**self.inputs, **zeros}

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """The graph's own inputs: only their shapes matter, but for masks (ones) and positions."""
        return {value.name: self._input(value) for value in self.graph.inputs}

    def _input(self, value: onnx.ValueInfoProto) -> np.ndarray:
        tensor = value.type.tensor_type
        sizes = [self._size(k, dim) for k, dim in enumerate(tensor.shape.dim)]
        require_room(self.graph.source, f"input {value.name!r}", sizes)
        if "position" in value.name:
            return np.broadcast_to(np.arange(sizes[-1] if sizes else 1), sizes).copy()
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        return np.ones(sizes, np.float64 if dtype.kind == "f" else dtype)

    def _size(self, place: int, dim: onnx.TensorShapeProto.Dimension) -> int:
        if dim.dim_value:
            return int(dim.dim_value)
        return self.queries.examples if place == 0 else self.sources.tokens


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


def _stream(graph: OnnxGraph, name: str) -> Stream:
    """The tokens called `name`: three axes, their width that of the map that reads them."""
    shape = graph.shapes.get(name)
    if shape is not None and len(shape) != 3:
        raise SpecError(
            f"{graph.source}: tokens {name!r} have {len(shape)} axes, expected examples, tokens, features"
        )
    examples, tokens, width = shape or (None, None, None)
    stream = Stream(name, examples or _EXAMPLES, tokens or _TOKENS, width or _width(graph, name))
    require_room(graph.source, f"tokens {name!r}", stream.shape)
    return stream


def _width(graph: OnnxGraph, name: str) -> int:
    for node in graph.users.get(name, ()):
        if is_map(graph, node):
            (matrix,) = graph.evaluate({}, [node.input[1]])
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return int(matrix.shape[1 if transposed else 0])
    raise SpecError(f"{graph.source}: the width of tokens {name!r} is not known")
