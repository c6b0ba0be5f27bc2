"""The one mutable thing: a builder that collects the parts of a circuit and freezes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortico.ir.arguments import kind
from cortico.ir.arrays import as_array
from cortico.ir.axes import Axis, Extent, Role, Unfold
from cortico.ir.circuit import Circuit, Output
from cortico.ir.domain import EVERYWHERE, Domain
from cortico.ir.invariants import check
from cortico.ir.population import Compartment, Delay, Integration, Population, Projection
from cortico.ir.regions import CellClass, Region
from cortico.ir.tensors import Formula, Input, InputKind, Parameter, TensorRef, Weight


class CircuitBuilder:
    """Collects axes, tensors, populations and projections; `build` checks and freezes them.

    Each method returns what later calls refer to; nothing is inferred.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._axes: list[Axis] = []
        self._inputs: list[Input] = []
        self._parameters: list[Parameter] = []
        self._populations: list[Population] = []
        self._projections: list[Projection] = []
        self._outputs: list[Output] = []

    @kind
    def axis(self, name: str, role: Role, extent: Extent, unfold: Unfold = Unfold.SPACE) -> str:
        """Declare an axis; returns its name."""
        self._axes.append(Axis(name, role, extent, unfold))
        return name

    @kind
    def input(self, name: str, shape: Sequence[Extent], kind: InputKind = InputKind.RATE) -> str:
        """Declare an external input; returns its name."""
        self._inputs.append(Input(name, tuple(shape), kind))
        return name

    @kind
    def parameter(
        self,
        name: str,
        shape: Sequence[Extent],
        values: Any = None,
        formula: Formula | None = None,
    ) -> str:
        """Declare a parameter tensor, with an array or a list as its values; returns its name."""
        if values is not None:
            values = as_array(values, f"parameter {name!r}")
        self._parameters.append(Parameter(name, tuple(shape), values, formula))
        return name

    @kind
    def population(
        self,
        name: str,
        axes: Sequence[str],
        region: Region,
        cell_class: CellClass,
        compartments: Sequence[Compartment],
        transfer: str = "identity",
        domain: Domain = EVERYWHERE,
        integrates: Integration | None = None,
    ) -> str:
        """Add a population; returns its name."""
        self._populations.append(
            Population(
                name,
                tuple(axes),
                region,
                cell_class,
                tuple(compartments),
                transfer,
                domain,
                integrates=integrates,
            )
        )
        return name

    @kind
    def project(
        self,
        name: str,
        pre: str | TensorRef,
        post: str,
        compartment: str,
        weight: Weight = Weight(),
        domain: Domain = EVERYWHERE,
        delay: Delay | None = None,
    ) -> str:
        """Add a projection, from a population or from one read at other axes; returns its name."""
        source = TensorRef(pre, ()) if isinstance(pre, str) else pre
        ends = (source.name, post, compartment)
        self._projections.append(Projection(name, *ends, weight, domain, source.axes, delay))
        return name

    @kind
    def output(self, name: str, population: str, axes: Sequence[str]) -> str:
        """Give a population's rates to the outside, with axes in this order."""
        self._outputs.append(Output(name, TensorRef(population, tuple(axes))))
        return name

    def build(self) -> Circuit:
        """The frozen circuit. CircuitError lists every broken invariant."""
        known = {population.name: population for population in self._populations}
        read = (p.plain(known[p.pre]) if p.pre in known else p for p in self._projections)
        circuit = Circuit(
            self.name,
            tuple(self._axes),
            tuple(self._inputs),
            tuple(self._parameters),
            tuple(self._populations),
            tuple(read),
            tuple(self._outputs),
        )
        check(circuit)
        return circuit
