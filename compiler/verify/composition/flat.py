"""Whether one flat circuit is a network: told by facts about both, without the code that flattens.

A fact is said in plain values: an axis, a population, what drives one of its compartments, synapses, a tensor, an
output. The facts of a network are those of its nodes, each name with the node's path in front, but that a drive
which reads what another node gives stands as synapses from the population that gives it: with the gain of the
drive, read at its axes. A circuit that has these facts and no others gives what the blocks give one after another,
at every size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cortico.ir import Circuit, Compartment, Gain, Parameter, Population, Weight
from cortico.ir.domain import Domain
from cortico.ir.network import Network, Node, Port
from cortico.ir.tensors import Shape

Fact = tuple[Any, ...]
Facts = Iterator[Fact]


def flat_faults(network: Network, flat: Circuit) -> list[str]:
    """A line for each fact that only one of both has, and for each tensor with other numbers."""
    expected = _OfNetwork(network)
    here, there = Counter(_of_circuit(flat)), Counter(expected.facts())
    faults = [f"the flat circuit lacks {_words(fact)}" for fact in there - here]
    faults += [f"the network has no {_words(fact)}" for fact in here - there]
    values = expected.values()
    for parameter in flat.parameters:
        if parameter.name in values and not _same(parameter.values, values[parameter.name]):
            faults.append(f"the flat circuit has other numbers for {parameter.name}")
    return faults


def _words(fact: Fact) -> str:
    kind, *parts = fact
    return f"{kind} {' '.join(str(part) for part in parts if part not in ((), '', None))}"


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True))


# ---- facts of a circuit --------------------------------------------------------------------------


class _Names:
    """What parts of a circuit are called in the flat one. Inputs of the network keep their names."""

    def __init__(self, mark: str = "", inputs: Mapping[str, str] | None = None) -> None:
        self.mark, self.inputs = mark, inputs or {}

    def of(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.mark + name for name in names)

    def tensor(self, name: str) -> str:
        return self.inputs.get(name, self.mark + name)

    def gain(self, gain: Gain) -> Fact:
        sizes = tuple(sorted((self.mark + axis, str(power)) for axis, power in gain.sizes))
        return (gain.coefficient, sizes)

    def weight(self, weight: Weight) -> Fact:
        tensor = None if weight.tensor is None else self.tensor(weight.tensor.name)
        return (tensor, self.of(weight.axes), self.gain(weight.gain))

    def domain(self, domain: Domain) -> Fact:
        bounds = ((self.mark + b.left, self.mark + b.right, b.offset) for b in domain)
        return tuple(sorted(bounds))


def _of_circuit(circuit: Circuit) -> Facts:
    """All facts of a circuit as it is."""
    names = _Names()
    for tensor in circuit.inputs:
        yield "input", tensor.name, tensor.shape, tensor.kind.value
    yield from _axes_and_tensors(circuit, names, {})
    for population in circuit.populations:
        yield _population(population, names, population.path)
        yield from _drives(population, names, frozenset())
    yield from _synapses(circuit, names)
    for output in circuit.outputs:
        yield "output", output.name, output.source.name, output.source.axes


def _axes_and_tensors(circuit: Circuit, names: _Names, sizes: Mapping[str, int | str]) -> Facts:
    for axis in circuit.axes:
        extent = _resolved((axis.extent,), sizes)[0]
        yield "axis", names.mark + axis.name, axis.role.value, extent, axis.unfold.value
    for parameter in circuit.parameters:
        formula = parameter.formula
        made = None if formula is None else (formula.kind, names.of(formula.arguments))
        shape = _resolved(parameter.shape, sizes)
        yield "parameter", names.mark + parameter.name, shape, made


def _population(population: Population, names: _Names, path: str) -> Fact:
    parts = tuple((part.name, part.effect.value) for part in population.compartments)
    place = (population.region.value, population.cell_class.value, population.transfer)
    domain = names.domain(population.domain)
    name, axes = names.mark + population.name, names.of(population.axes)
    return ("population", name, axes, *place, domain, parts, path)


def _drives(population: Population, names: _Names, without: frozenset[str]) -> Facts:
    """What drives a population, but for the tensors `without`."""
    for part in population.compartments:
        for weight in part.drive:
            if weight.tensor is None or weight.tensor.name not in without:
                yield "drive", names.mark + population.name, part.name, names.weight(weight)


def _synapses(circuit: Circuit, names: _Names) -> Facts:
    for projection in circuit.projections:
        ends = (names.mark + projection.pre, names.mark + projection.post, projection.compartment)
        at = names.of(projection.at or circuit.population(projection.pre).axes)
        weight = names.weight(projection.weight)
        yield ("synapses", *ends, at, weight, names.domain(projection.domain))


# ---- facts of a network --------------------------------------------------------------------------


class _OfNetwork:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes = {node.path: node for node in network.nodes}
        self.sources = {wire.target: wire.source for wire in network.wires}
        self.sizes: dict[str, dict[str, int | str]] = {}

    def facts(self) -> Facts:
        for tensor in self.network.inputs:
            yield "input", tensor.name, tensor.shape, tensor.kind.value
        for node in self.network.nodes:
            yield from self.of_node(node)
        for output in self.network.outputs:
            given, axes = self.given(output.source)
            yield "output", output.name, given, axes

    def values(self) -> dict[str, np.ndarray | None]:
        """The numbers of every parameter, by its name in the flat circuit."""
        return {
            _mark(node.path) + p.name: _numbers(node, p)
            for node in self.network.nodes
            for p in node.circuit.parameters
        }

    def of_node(self, node: Node) -> Facts:
        circuit = node.circuit
        sources = {t.name: self.sources[Port(t.name, node.path)] for t in circuit.inputs}
        outer = {name: port.name for name, port in sources.items() if not port.path}
        inner = {name: port for name, port in sources.items() if port.path}
        names = _Names(_mark(node.path), outer)
        yield from _axes_and_tensors(circuit, names, self.sizes_of(node.path))
        for population in circuit.populations:
            yield _population(population, names, node.path)
            yield from _drives(population, names, frozenset(inner))
            for part in population.compartments:
                yield from self.heard(population, part, inner, names)
        yield from _synapses(circuit, names)

    def heard(
        self, post: Population, part: Compartment, inner: Mapping[str, Port], names: _Names
    ) -> Facts:
        """Synapses in place of the drives that read what other nodes give."""
        for weight in part.drive:
            if weight.tensor is not None and weight.tensor.name in inner:
                pre, order = self.given(inner[weight.tensor.name])
                read = dict(zip(order, names.of(weight.axes), strict=True))
                at = tuple(read[axis] for axis in self.axes_of(inner[weight.tensor.name]))
                ends = (pre, names.mark + post.name, part.name)
                yield ("synapses", *ends, at, (None, (), names.gain(weight.gain)), ())

    def given(self, port: Port) -> tuple[str, tuple[str, ...]]:
        """The population that gives an output of a node, and the output's order of its axes."""
        (source,) = (o.source for o in self.nodes[port.path].circuit.outputs if o.name == port.name)
        mark = _mark(port.path)
        return mark + source.name, tuple(mark + axis for axis in source.axes)

    def axes_of(self, port: Port) -> tuple[str, ...]:
        """The axes of that population in its own order."""
        circuit, mark = self.nodes[port.path].circuit, _mark(port.path)
        (source,) = (o.source for o in circuit.outputs if o.name == port.name)
        return tuple(mark + axis for axis in circuit.population(source.name).axes)

    def sizes_of(self, path: str) -> dict[str, int | str]:
        """What each symbol of a node's circuit is in the network."""
        if path not in self.sizes:
            found: dict[str, int | str] = {}
            for tensor in self.nodes[path].circuit.inputs:
                given = self.shape_of(self.sources[Port(tensor.name, path)])
                pairs = zip(tensor.shape, given, strict=True)
                found.update((side, size) for side, size in pairs if isinstance(side, str))
            self.sizes[path] = found
        return self.sizes[path]

    def shape_of(self, port: Port) -> Shape:
        """The sides of what a port gives, in the network's symbols."""
        if not port.path:
            return next(t.shape for t in self.network.inputs if t.name == port.name)
        circuit, mark = self.nodes[port.path].circuit, _mark(port.path)
        extents = {mark + axis.name: axis.extent for axis in circuit.axes}
        _, order = self.given(port)
        return _resolved(tuple(extents[axis] for axis in order), self.sizes_of(port.path))


def _numbers(node: Node, parameter: Parameter) -> np.ndarray | None:
    return node.values.get(parameter.name, parameter.values)


def _resolved(shape: Shape, sizes: Mapping[str, int | str]) -> Shape:
    return tuple(sizes.get(side, side) if isinstance(side, str) else side for side in shape)


def _mark(path: str) -> str:
    """What stands before names: `layer_3_attention_` for `layer[3].attention`."""
    return "".join({"[": "_", ".": "_", "]": ""}.get(letter, letter) for letter in path) + "_"
