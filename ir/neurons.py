"""The neuron-level view of a circuit: neurons and synapses, streamed in blocks, never listed whole."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate

import numpy as np

from cortico.ir.analysis.constants import array_of
from cortico.ir.circuit import Circuit
from cortico.ir.enumeration import enumeration
from cortico.ir.errors import CircuitError, near_name
from cortico.ir.index_space import IndexSpace, Indices, Terms
from cortico.ir.names import NameTemplate, name_template
from cortico.ir.paths import prefix
from cortico.ir.population import Population, Projection
from cortico.ir.tensors import Weight

#: Ids and positions are int64.
_MOST = 2**63 - 1


@dataclass(frozen=True)
class NeuronBlock:
    """Consecutive neurons of one population: `ids` (int64) and, per axis in space, their indices."""

    population: Population
    ids: np.ndarray
    indices: Indices


@dataclass(frozen=True)
class SynapseBlock:
    """Synapses of one projection: ids of both ends (int64) and weights with gains (float64).

    `weight` is None when the parameter has no values, and when the weight changes with the
    presentation step: then `varies_over` names the axes in time that it runs over.
    """

    projection: Projection
    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray | None
    varies_over: tuple[str, ...] = ()

    @property
    def compartment(self) -> str:
        """The compartment of the postsynaptic population on which all these synapses end."""
        return self.projection.compartment


class NeuronView:
    """The neurons and synapses of a circuit whose sizes are all numbers.

    Neuron ids are contiguous: populations in the circuit's order, index order within each. An axis
    in time costs no neurons. CircuitError when a size is a symbol or an id would not fit in int64.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.sizes = circuit.sizes()
        self._in_time = frozenset(axis.name for axis in circuit.axes if axis.in_time)
        self._spaces = {
            p.name: IndexSpace(p.axes, self.sizes, p.domain, self._in_time)
            for p in circuit.populations
        }
        bounds = [0, *accumulate(space.size for space in self._spaces.values())]
        #: The number of neurons.
        self.size: int = bounds[-1]
        #: Population name to the id of its first neuron.
        self.offset_of: dict[str, int] = dict(zip(self._spaces, bounds, strict=False))
        if self.size > _MOST:
            raise CircuitError(
                f"circuit {circuit.name!r} has {self.size} neurons: no int64 numbers them"
            )

    # ---- neurons -------------------------------------------------------------------------------

    def neurons(self, block: int = 65536) -> Iterator[NeuronBlock]:
        """All neurons in order of id, at most `block` at a time."""
        for population in self.circuit.populations:
            for start, stop in _blocks(self._spaces[population.name].size, block):
                yield self._neuron_block(population, np.arange(start, stop))

    def _neuron_block(self, population: Population, positions: np.ndarray) -> NeuronBlock:
        indices = self._spaces[population.name].unrank(positions)
        return NeuronBlock(population, positions + self.offset_of[population.name], indices)

    def neuron(self, neuron: int) -> NeuronBlock:
        """One neuron by its id, as a block of one. CircuitError when there is none."""
        if not 0 <= neuron < self.size:
            raise CircuitError(
                f"no neuron has id {neuron}: circuit {self.circuit.name!r} has ids 0 to {self.size - 1}"
            )
        # The last population that starts at or before the id; empty ones share their start with it.
        place = bisect_right(list(self.offset_of.values()), neuron) - 1
        population = self.circuit.populations[place]
        position = int(neuron) - self.offset_of[population.name]
        return self._neuron_block(population, np.array([position], dtype=np.int64))

    def select(self, population: Population, fixed: Mapping[str, int]) -> np.ndarray:
        """Ids of the neurons of a population whose axes in `fixed` have these values."""
        space = self._spaces[population.name]
        part = space.fix({axis: index for axis, index in fixed.items() if axis in space.axes})
        indices = part.unrank(np.arange(part.size))
        return self.ids(population, indices, part.size)

    def indices(self, population: Population, ids: np.ndarray) -> Indices:
        """The indices, per axis in space, of neurons of a population."""
        return self._spaces[population.name].unrank(ids - self.offset_of[population.name])

    def ids(self, population: Population, indices: Indices, count: int) -> np.ndarray:
        """Ids of `count` neurons at indices that exist (a population without axes has one for all of them)."""
        return self._ids(population.name, indices, count)

    def _ids(self, population: str, indices: Indices, count: int) -> np.ndarray:
        ranks = self._spaces[population].rank(indices) + self.offset_of[population]
        return np.array(np.broadcast_to(ranks, (count,)), dtype=np.int64)

    # ---- names ---------------------------------------------------------------------------------

    @cached_property
    def _templates(self) -> dict[str, NameTemplate]:
        return {p.name: name_template(self.circuit, p) for p in self.circuit.populations}

    def name_of(self, neuron: int) -> str:
        """The dotted name of the neuron with this id. CircuitError when there is none."""
        return self.names(self.neuron(neuron))[0]

    def names(self, block: NeuronBlock) -> list[str]:
        """The dotted names of all neurons of a block."""
        template = self._templates[block.population.name]
        if not template.axes:
            return [template.text] * len(block.ids)
        columns = [block.indices[axis].tolist() for axis in template.axes]
        return [template.text % row for row in zip(*columns, strict=True)]

    def id_of(self, name: str) -> int:
        """The id of the neuron with this dotted name. CircuitError when there is none."""
        last = re.search(r"(?:\A|\.)([A-Za-z_][A-Za-z0-9_]*)(\[[^\[\]]*\])?\Z", name)
        population = prefix(self._path_in(name)) + (last.group(1) if last else name)
        if population not in self._templates:
            near = near_name(population, self._templates)
            raise CircuitError(f"no neuron is called {name!r}: no population {population!r}{near}")
        template = self._templates[population]
        indices = template.match(name)
        if indices is None:
            raise CircuitError(
                f"no neuron is called {name!r}: those of {population!r} are {template}"
            )
        if not self._spaces[population].contains(indices):
            axes = zip(template.axes, template.own_axes, strict=True)
            sizes = ", ".join(f"{own} < {self.sizes[axis]}" for axis, own in axes)
            bounds = "".join(f", {bound}" for bound in self.circuit.population(population).domain)
            raise CircuitError(f"no neuron is called {name!r}: {template} needs {sizes}{bounds}")
        arrays = {axis: np.array([index]) for axis, index in indices.items()}
        return int(self._ids(population, arrays, 1)[0])

    def _path_in(self, name: str) -> str:
        """The path of the block with which a dotted name begins."""
        paths = (p.path for p in self.circuit.populations)  # none is below another
        return next((path for path in paths if name.startswith(f"{path}.")), "")

    # ---- synapses ------------------------------------------------------------------------------

    def synapses(
        self,
        block: int = 1 << 20,
        where: Callable[[Projection], bool] | None = None,
        limit: int | None = None,
        at: Mapping[str, int] | None = None,
    ) -> Iterator[SynapseBlock]:
        """All synapses, projection by projection, at most `block` at a time.

        `where` chooses projections, and `at` indices: `at={"h": 3}` leaves the synapses whose index
        on axis h is 3, none of projections without that axis. After `limit` synapses in all the
        stream ends. CircuitError when a projection has more synapses than int64 can number, and for
        an index that no neuron has.
        """
        left = _MOST if limit is None else limit
        for projection, space in self._synapse_spaces(where, at or {}):
            take = min(space.size, left)
            yield from self._synapse_blocks(projection, space, take, block)
            left -= take

    def count_synapses(
        self,
        where: Callable[[Projection], bool] | None = None,
        at: Mapping[str, int] | None = None,
    ) -> int:
        """How many synapses `synapses` streams without a limit, in closed form."""
        return sum(space.size for _, space in self._synapse_spaces(where, at or {}))

    def _synapse_spaces(
        self, where: Callable[[Projection], bool] | None, at: Mapping[str, int]
    ) -> Iterator[tuple[Projection, IndexSpace]]:
        self._require_indices(at)
        for projection in self.circuit.projections:
            if where is None or where(projection):
                space = self._synapse_space(projection)
                if set(at) <= set(space.axes):
                    yield projection, space.fix(at)

    def _require_indices(self, at: Mapping[str, int]) -> None:
        for axis, index in at.items():
            size = self.sizes[self.circuit.axis(axis).name]
            if axis in self._in_time:
                raise CircuitError(f"axis {axis!r} runs in time: neurons have no index on it")
            if not 0 <= index < size:
                raise CircuitError(f"axis {axis!r} has indices 0 to {size - 1}, found {index}")

    def incoming(self, neuron: int, limit: int = 1 << 24) -> list[SynapseBlock]:
        """The synapses onto one neuron: a block per projection that has some.

        Only these are enumerated. CircuitError when there are more than `limit`.
        """
        target = self.neuron(neuron)
        fixed = {axis: int(index[0]) for axis, index in target.indices.items()}
        projections = self.circuit.projections_onto(target.population.name)
        spaces = [(p, self._synapse_space(p).fix(fixed)) for p in projections]
        total = sum(space.size for _, space in spaces)
        if total > limit:
            raise CircuitError(f"neuron {neuron} has {total} incoming synapses, more than {limit}")
        return [
            block
            for projection, space in spaces
            for block in self._synapse_blocks(projection, space, space.size, max(space.size, 1))
        ]

    def _synapse_space(self, projection: Projection) -> IndexSpace:
        axes, domain = (
            self.circuit.synapse_axes(projection),
            self.circuit.synapse_domain(projection),
        )
        space = IndexSpace(axes, self.sizes, domain, self._in_time)
        if space.size > _MOST:
            raise CircuitError(
                f"projection {projection.name!r} has {space.size} synapses: no int64 numbers them"
            )
        return space

    def _synapse_blocks(
        self, projection: Projection, space: IndexSpace, count: int, block: int
    ) -> Iterator[SynapseBlock]:
        """The first `count` synapses of `space`, which are of `projection`."""
        if not count:  # evaluate no formula for nothing
            return
        ends = (projection.pre, projection.post)
        names, terms = self.circuit.read_as(projection), [self._spaces[end].terms() for end in ends]
        terms[0] = {names[axis]: term for axis, term in terms[0].items()}
        ids = enumeration(space, terms)
        first_ids = np.array([[self.offset_of[end]] for end in ends])
        reader = WeightReader(self.circuit, projection.weight)
        weights = reader.along(space)
        for start, stop in _blocks(count, block):
            pre, post = columns = ids.columns(start, stop)
            columns += first_ids
            yield SynapseBlock(projection, pre, post, weights(start, stop), reader.varies_over)


class WeightReader:
    """Reads the numbers of a weight at index arrays. A formula is evaluated once, when first read."""

    def __init__(self, circuit: Circuit, weight: Weight) -> None:
        self._circuit = circuit
        self._weight = weight
        self._gain = weight.gain.value(circuit.sizes())
        #: The axes in time that the weight runs over; it has no single number then.
        self.varies_over = tuple(axis for axis in weight.axes if circuit.axis(axis).in_time)

    @cached_property
    def _tensor(self) -> np.ndarray | None:
        assert self._weight.tensor is not None
        return array_of(self._circuit, self._weight.tensor.name)

    def along(self, space: IndexSpace) -> Callable[[int, int], np.ndarray | None]:
        """Reads the weights (float64, gain applied) at positions `start … stop - 1` of a space.

        It gives None when they are not known numbers.
        """
        if self._weight.tensor is None:
            return lambda start, stop: np.full(stop - start, self._gain)
        if self.varies_over or self._tensor is None:
            return lambda start, stop: None
        entries = self._tensor.reshape(-1)
        places = enumeration(space, [_place_terms(self._weight.axes, self._tensor.shape)])

        def read(start: int, stop: int) -> np.ndarray:
            weights: np.ndarray = entries.take(places.columns(start, stop)[0]).astype(np.float64)
            weights *= self._gain
            return weights

        return read

    def values(self, indices: Mapping[str, np.ndarray], count: int) -> np.ndarray | None:
        """`count` weights (float64), gain applied; None when they are not known numbers."""
        if self._weight.tensor is None:
            return np.full(count, self._gain)
        if self.varies_over or self._tensor is None:
            return None
        entries = self._tensor[tuple(indices[axis] for axis in self._weight.axes)]
        return np.array(np.broadcast_to(entries.astype(np.float64) * self._gain, (count,)))


def _place_terms(axes: Sequence[str], shape: Sequence[int]) -> Terms:
    """What each axis adds to the place of an entry in a tensor, counted in index order."""
    strides: dict[str, int] = dict.fromkeys(axes, 0)
    for place, axis in enumerate(axes):
        strides[axis] += math.prod(shape[place + 1 :])
    return {axis: partial(np.multiply, stride) for axis, stride in strides.items()}


def require_small(circuit: Circuit, limit: int) -> None:
    """CircuitError, with exact counts, when the circuit has more than `limit` neurons or synapses.

    Counts are closed forms: this takes no longer for a circuit of any size.
    """
    circuit.sizes()  # an error that tells how to bind symbols
    counts = circuit.counts()
    for count, noun in ((counts.synapses, "synapses"), (counts.neurons, "neurons")):
        if count > limit:
            raise CircuitError(
                f"circuit {circuit.name!r} has {count} {noun}, more than the limit of {limit}: "
                "stream them with circuit.neurons() instead"
            )


def _blocks(size: int, block: int) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of at most `block` that make `0 … size - 1`."""
    if block < 1:
        raise CircuitError(f"block must be at least 1, found {block}")
    return ((start, min(start + block, size)) for start in range(0, size, block))
