"""The nodes of a NIR graph: an Affine node per projection, and a leaky integrator per population.

    rate = scale · (Σ_projections W rate_pre + Σ W input + b),   scale = Π constant factors / Π constant divisors

Values of a node stand in the order of the population's neurons, as `circuit.neurons()` numbers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortico.backends.constants import constant_rates
from cortico.backends.names import Names
from cortico.backends.nir.affine import Streams, one_step, stream_compartment, streams_of
from cortico.backends.nir.options import Options
from cortico.backends.reference import currents
from cortico.ir import (
    Circuit,
    Compartment,
    Effect,
    Input,
    Output,
    Population,
    Projection,
    TensorRef,
)
from cortico.ir.analysis.constants import constant_populations
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.domain import mask
from cortico.ir.neurons import NeuronView
from cortico.ir.physiology import cell_type

#: A matrix (cells, what they hear), and the nodes whose sum they hear.
Term = tuple[str, np.ndarray, list[str]]


def nir_graph(circuit: Circuit, options: Options) -> Any:
    """A `nir.NIRGraph` for one token after another."""
    import nir

    graph = _Graph(one_step(circuit), options)
    return nir.NIRGraph(graph.nodes, graph.edges)


@dataclass
class _Graph:
    """Nodes and edges as they are made; `sources` are the nodes whose sum is a population's rate."""

    circuit: Circuit
    options: Options
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.view = NeuronView(self.circuit)
        self.streams: Streams = streams_of(self.circuit)
        self.names = Names()
        self.rates = _rates_at_zero(self.circuit)
        self._add_inputs()
        self.outputs = self.names.of(output.name for output in self.circuit.outputs)
        for population in self.circuit.order:
            if self.streams[population.name]:
                self._add(population)
        for output in self.circuit.outputs:
            self._add_output(output)

    # ---- ends

    def _add_inputs(self) -> None:
        import nir

        for tensor in self.circuit.inputs:
            name = self.names.fresh(tensor.name)
            self.nodes[name] = nir.Input(np.array([_size(tensor)]))
            self.sources[tensor.name] = [name]

    def _add_output(self, output: Output) -> None:
        """The rates of a population, their axes in the order asked for."""
        import nir

        population = self.circuit.population(output.source.name)
        sources = self.sources[population.name]
        matrix = self._gather(population, output)
        if len(sources) > 1 or not _is_identity(matrix):  # nirtorch adds up nothing at an Output
            sources = self._affine(f"{output.name}_order", matrix, None, sources)
        name = self.outputs[output.name]
        self.nodes[name] = nir.Output(np.array([len(matrix)]))
        self._join(sources, name)

    # ---- cells

    def _add(self, population: Population) -> None:
        bias, scale = self._constants(population)
        sources: list[str] = []
        for name, matrix, heard in self._terms(population):
            weight = scale[:, None] * matrix
            if _is_identity(weight) and not bias.any() and not set(heard) & set(sources):
                sources += heard
            else:
                sources += self._affine(name, weight, bias, heard)
                bias = np.zeros_like(bias)
        self.sources[population.name] = self._cells(population, sources)

    def _cells(self, population: Population, sources: list[str]) -> list[str]:
        """The node of a population, unless there are to be none."""
        import nir

        if self.options.cells == "none":
            return sources
        name = self.names.fresh(population.name)
        seconds = cell_type(population.region, population.cell_class).membrane_time.value / 1000
        ones = np.ones(int(self.circuit.counts().neurons_of[population.name]), self.options.dtype)
        self.nodes[name] = nir.LI(tau=seconds * ones, r=ones, v_leak=0 * ones)
        self._join(sources, name)
        return [name]

    def _affine(
        self, name: str, weight: np.ndarray, bias: np.ndarray | None, heard: list[str]
    ) -> list[str]:
        """A node; it has a bias, be it zero, because not all tools read Linear nodes."""
        import nir

        name = self.names.fresh(name)
        bias = np.zeros(len(weight)) if bias is None else bias
        self.nodes[name] = nir.Affine(
            weight=weight.astype(self.options.dtype), bias=bias.astype(self.options.dtype)
        )
        self._join(heard, name)
        return [name]

    def _join(self, sources: list[str], name: str) -> None:
        self.edges += [(source, name) for source in sources]

    # ---- numbers

    def _constants(self, population: Population) -> tuple[np.ndarray, np.ndarray]:
        """What cells fire when no stream arrives, and the constant factor of what does."""
        silence = {t.name: np.zeros([int(s) for s in t.shape]) for t in self.circuit.inputs}
        found = currents(self.circuit, self.rates, population, silence)
        reached = stream_compartment(self.circuit, population, self.streams)
        scale = np.ones(())
        for part in population.compartments:
            if part.name != reached:
                scale = scale * _factor(part, found[part.name])
        exists = self._exists(population)
        scale = np.broadcast_to(scale, exists.shape)[exists]
        return scale * found[str(reached)][exists], scale

    def _exists(self, population: Population) -> np.ndarray:
        """Which cells a population has, over its axes."""
        shape = [self.view.sizes[axis] for axis in population.axes]
        inside = mask(population.domain, population.axes, self.view.sizes)
        return np.array(np.broadcast_to(inside, shape))

    def _terms(self, population: Population) -> Iterator[Term]:
        """What a population hears of streams: projections, and inputs that drive it."""
        reached = str(stream_compartment(self.circuit, population, self.streams))
        for weight in population.compartment(reached).drive:
            if weight.tensor and weight.tensor.name in self.sources:
                gain = weight.gain.value(self.view.sizes)
                matrix = gain * self._read(population, weight.tensor)
                name = f"{weight.tensor.name}_to_{population.name}"
                yield name, matrix, self.sources[weight.tensor.name]
        for projection in self.circuit.projections_onto(population.name, reached):
            if self.streams[projection.pre]:
                yield projection.name, self._synapses(projection), self.sources[projection.pre]

    def _read(self, population: Population, reading: TensorRef) -> np.ndarray:
        """The matrix that gives each cell its entry of an input."""
        (tensor,) = (t for t in self.circuit.inputs if t.name == reading.name)
        cells = np.argwhere(self._exists(population))
        index = tuple(cells[:, population.axes.index(axis)] for axis in reading.axes)
        entries = np.arange(_size(tensor)).reshape([int(side) for side in tensor.shape])
        columns = np.broadcast_to(entries[index], len(cells))
        matrix = np.zeros((len(columns), _size(tensor)))
        matrix[np.arange(len(columns)), columns] = 1.0
        return matrix

    def _gather(self, population: Population, output: Output) -> np.ndarray:
        """The matrix from neurons to the entries of an output; those without a neuron are zero."""
        exists = self._exists(population)
        numbers = np.full(exists.shape, -1)
        numbers[exists] = np.arange(exists.sum())
        order = [population.axes.index(axis) for axis in output.source.axes]
        entries = numbers.transpose(order).ravel()
        matrix = np.zeros((entries.size, exists.sum()))
        matrix[np.flatnonzero(entries >= 0), entries[entries >= 0]] = 1.0
        return matrix

    def _synapses(self, projection: Projection) -> np.ndarray:
        """The matrix of a projection's synapses."""
        count, first = self.circuit.counts().neurons_of, self.view.offset_of
        matrix = np.zeros((int(count[projection.post]), int(count[projection.pre])))
        for block in self.view.synapses(where=lambda each: each.name == projection.name):
            rows, columns = block.post - first[projection.post], block.pre - first[projection.pre]
            matrix[rows, columns] = block.weight
        return matrix


def _rates_at_zero(circuit: Circuit) -> Arrays:
    """Rates of constant populations, and zeros for those that streams reach."""
    sizes = circuit.sizes()
    zeros = {p.name: np.zeros([sizes[axis] for axis in p.axes]) for p in circuit.populations}
    return {**zeros, **constant_rates(circuit, constant_populations(circuit))}


def _factor(part: Compartment, current: np.ndarray) -> np.ndarray:
    """What a constant compartment multiplies by; x / 0 is 0."""
    if part.effect is Effect.MULTIPLIES:
        return current
    inverse: np.ndarray = np.divide(1.0, current, out=np.zeros_like(current), where=current != 0)
    return inverse


def _is_identity(matrix: np.ndarray) -> bool:
    rows, columns = matrix.shape
    return rows == columns and np.array_equal(matrix, np.eye(rows))


def _size(tensor: Input) -> int:
    return int(np.prod([int(side) for side in tensor.shape], dtype=int))
