"""The symbolic meaning of a circuit: one equation per population, for symbolic sizes.

    mask.rate[h, i, j] = exp(Σ_a size(a)^(-1/2) · superficial.rate[h, i, j, a]) · [j - i <= 0]

It restates `cortico.backends.reference` in symbols, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortico.ir import (
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Formula,
    Gain,
    Input,
    InputKind,
    Parameter,
    Population,
    Projection,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.rest import at_rest
from cortico.ir.domain import Domain
from cortico.ir.rewrite import readings
from cortico.verify.equations.language import (
    OFFSET,
    ONE,
    POSITIONS,
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Index,
    Read,
    Size,
    Within,
    number,
    offset,
    product,
    total,
)
from cortico.verify.equations.sorts import Classes


def rate_of(population: str) -> str:
    """The name of the tensor of a population's rates. No tensor of a circuit has a dot."""
    return f"{population}.rate"


def circuit_equations(circuit: Circuit) -> Equations:
    """The rates of all populations, and the outputs, in terms of inputs and parameters.

    Those at rest, of a circuit that lives in time. CircuitError when an output has the name of an input or a
    parameter, and where a rest is not known.
    """
    return _Meaning(at_rest(circuit)).equations()


class _Meaning:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.formulas: dict[str, Formula] = {}
        self.sides: dict[str, tuple[str, ...]] = {}
        self.sorts = self._sorts()

    # ---- sorts -----------------------------------------------------------------------------------

    def _sorts(self) -> Mapping[str, str]:
        """Axis to sort: axes of the same symbolic size, or at which the same side of a tensor or of a
        population is read.

        Numbers that happen to be equal say nothing. All axes of a sort have the same size: tensors do
        not fit elsewhere, and the side of a formula that counts positions ties no axes together.
        """
        classes = Classes()
        for axis in self.circuit.axes:
            classes.find(("axis", axis.name))
            if isinstance(axis.extent, str):
                classes.join(("axis", axis.name), ("extent", axis.extent))
        for reading in readings(self.circuit):
            for tensor, axes in self._stored(reading):
                for side, name in self._tied(tensor, axes):
                    classes.join(("axis", name), side)
        for projection in self.circuit.projections:
            for own, read in self.circuit.read_as(projection).items():
                classes.join(("axis", own), ("axis", read))
        return {axis.name: classes.find(("axis", axis.name))[1] for axis in self.circuit.axes}

    def _stored(self, reading: TensorRef) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The tensors that are read once formulas are written out, and at which axes."""
        name, axes = reading.name, reading.axes
        formula = self.circuit.formula(name)
        if formula is None:
            yield name, axes
        elif formula.kind == "distance":
            yield formula.arguments[0], axes[:-2]
            yield OFFSET, axes[-2:]
        elif formula.kind == "rotation":
            yield str(formula), axes
        else:  # whatever its numbers are: of each number of tokens a tensor of its own
            tokens = str(self.circuit.tensor(name).shape[0])
            yield f"{formula.kind}({', '.join([*formula.arguments, tokens])})", axes

    def _tied(self, tensor: str, axes: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
        """The sides of a tensor that run through one set wherever it is read, each with its axis."""
        formula = self._formula(tensor)
        for side, axis in enumerate(axes if tensor != OFFSET else ()):
            if formula is None or side > 0:
                yield ("side", tensor, side), axis
        if formula is not None:
            yield ("side", formula.arguments[0], 0), axes[1]

    def _formula(self, tensor: str) -> Formula | None:
        """The formula whose text `tensor` is, if it is one."""
        formulas = (p.formula for p in self.circuit.parameters if p.formula)
        return next((formula for formula in formulas if str(formula) == tensor), None)

    # ---- equations -------------------------------------------------------------------------------

    def equations(self) -> Equations:
        definitions = [self.rate(population) for population in self.circuit.order]
        given = {t.name for t in self.circuit.inputs} | {p.name for p in self.circuit.parameters}
        for name, source in ((o.name, o.source) for o in self.circuit.outputs):
            if name in given:
                raise CircuitError(f"output {name!r} has the name of a tensor: rename it")
            axes = self.circuit.population(source.name).axes
            read = Read(rate_of(source.name), self.indices(axes))
            definitions.append(Definition(name, self.indices(source.axes), read))
        return Equations(
            self.sides | self.unread(),
            tuple(definitions),
            tuple(output.name for output in self.circuit.outputs),
            frozenset(t.name for t in self.circuit.inputs if t.kind is InputKind.MASK),
            self.formulas,
            self.extents(),
        )

    def unread(self) -> dict[str, tuple[str, ...]]:
        """Inputs and parameters that nothing reads: each side a sort of its own."""
        plain = (p for p in self.circuit.parameters if p.formula is None)
        tensors: list[Input | Parameter] = [*self.circuit.inputs, *plain]
        idle = [t for t in tensors if t.name not in self.sides]
        return {t.name: tuple(f"{t.name}.{side}" for side in range(len(t.shape))) for t in idle}

    def extents(self) -> dict[str, int | str]:
        """How many indices each sort has."""
        found = {self.sorts[axis.name]: axis.extent for axis in self.circuit.axes}
        for name, sides in self.unread().items():
            found.update(zip(sides, self.circuit.tensor(name).shape, strict=True))
        return found

    def indices(self, axes: tuple[str, ...]) -> tuple[Index, ...]:
        return tuple(Index(axis, self.sorts[axis]) for axis in axes)

    def rate(self, population: Population) -> Definition:
        """`φ(Π multiplying currents / Π dividing currents) · [domain]`."""
        factors = [self.factor(population, c) for c in population.compartments]
        rate: Expression = product(*factors)
        if population.transfer != "identity":
            rate = Apply(population.transfer, rate)
        rate = product(rate, *self.domain(population.domain))
        return Definition(rate_of(population.name), self.indices(population.axes), rate)

    def factor(self, population: Population, compartment: Compartment) -> Expression:
        terms = [self.weight(weight) for weight in compartment.drive]
        heard = self.circuit.projections_onto(population.name, compartment.name)
        terms += [self.synaptic(projection) for projection in heard]
        current: Expression = terms[0] if len(terms) == 1 else Add(tuple(terms))
        divides = compartment.effect is Effect.DIVIDES
        return Apply("inverse", current) if divides else current

    def synaptic(self, projection: Projection) -> Expression:
        """`Σ_(axes only in pre) weight · rate_pre · [domain]`."""
        pre = self.circuit.heard(projection)
        rate = Read(rate_of(pre.name), self.indices(pre.axes))
        summed = self.circuit.summed_axes(projection)
        parts = (self.weight(projection.weight), rate, *self.domain(projection.domain))
        return total(self.indices(summed), product(*(p for p in parts if p != ONE)))

    def domain(self, domain: Domain) -> Iterator[Expression]:
        for bound in domain:
            left, right = self.indices((bound.left, bound.right))
            yield Within(left, right, bound.offset)

    def weight(self, weight: Weight) -> Expression:
        factors = list(self.gain(weight.gain))
        if weight.tensor:
            for name, axes in self._stored(weight.tensor):
                factors.append(self.tensor(name, axes))
        return factors[0] if len(factors) == 1 else product(*factors)

    def gain(self, gain: Gain) -> Iterator[Expression]:
        if gain.coefficient != 1.0:
            yield number(gain.coefficient)
        for axis, exponent in gain.sizes:
            yield Size(self.sorts[axis], exponent)

    def tensor(self, name: str, axes: tuple[str, ...]) -> Expression:
        indices = self.indices(axes)
        if name == OFFSET:
            return offset(*indices)
        self.sides[name] = tuple(index.sort for index in indices)
        formula = self._formula(name)
        if formula is not None:
            self.formulas[name] = formula
            self.sides[name] = (POSITIONS, *self.sides[name][1:])
            self.sides[formula.arguments[0]] = (indices[1].sort,)
        return Read(name, indices)
