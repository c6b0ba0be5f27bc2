"""Neuron types: the equations of a population as ANNarchy reads them."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from cortico.backends.cells.script import normalised_first
from cortico.backends.cells.start import in_order
from cortico.ir import TRANSFERS, Circuit, Compartment, Effect, Population
from cortico.ir.rewrite import rename


def with_plain_names(circuit: Circuit) -> Circuit:
    """`circuit` without compartments called `if` and such, which no equation may sum."""
    names = {c.name for p in circuit.populations for c in p.compartments}
    return rename(circuit, compartments={name: _plain(name) for name in names})


def _plain(name: str) -> str:
    """`if` becomes `if_`, and `if_` becomes `if__`: two names never become one."""
    return f"{name}_" if keyword.iskeyword(name.rstrip("_")) else name


@dataclass(frozen=True)
class NeuronTypes:
    """The types of a circuit's neurons.

    In a network that runs in time (`in_time`) cells do not wait for others, and `prospective` ones hand on r + tau dr/dt.
    """

    circuit: Circuit
    in_time: bool = False
    prospective: bool = False

    @cached_property
    def names(self) -> dict[str, str]:
        """Equations to the name of their type, that of the first population that has them."""
        names: dict[str, str] = {}
        for population in self.circuit.order_in_time:
            names.setdefault(self.arguments(population), f"{population.name}_neuron")
        return names

    def name(self, population: Population) -> str:
        return self.names[self.arguments(population)]

    def definitions(self) -> str:
        """Code that defines the types."""
        found = self.names.items()
        return "\n\n".join(f"{name} = ann.Neuron(\n{given})" for given, name in found) + "\n"

    def arguments(self, population: Population) -> str:
        """Arguments of `ann.Neuron`: parameters, and equations to which the rate r is the answer."""
        driven = [f"{c.name}_drive = 0.0" for c in population.compartments if c.drive]
        waits = ["onset = 0.0"] * self.waits
        parameters = _block("parameters", ["tau = 10.0 : population", *waits, *driven])
        return parameters + _block("equations", self._equations(population))

    @property
    def waits(self) -> bool:
        return in_order(self.circuit) and not self.in_time

    def _equations(self, population: Population) -> Iterator[str]:
        """What is divided, the goal of the rate where that waits for others, and how the rate moves."""
        *ratios, goal = _goal(self.circuit, population)
        yield from ratios
        if self.waits:
            yield f"goal = if t < onset: 0.0 else: {goal}"
            goal = "goal"
        if population.integrates:
            pace = population.integrates
            yield f"dr/dt = {pace.rate!r} * {_factor(goal)} : explicit, init={pace.start!r}"
        elif self.prospective:
            yield f"r = {goal}"
        else:
            yield f"tau * dr/dt + r = {goal} : exponential"


def _block(name: str, lines: list[str] | Iterator[str]) -> str:
    text = textwrap.indent("\n".join(lines), " " * 8)
    return f'    {name}="""\n{text}\n    """,\n'


def _goal(circuit: Circuit, population: Population) -> Iterator[str]:
    """What the rate goes to, and before it what is divided: ANNarchy has no x / 0 that is 0."""
    compartments = normalised_first(circuit, population)
    factors = [_sum(circuit, population, c) for c in compartments if not _divides(c)]
    for number, compartment in enumerate(filter(_divides, compartments)):
        divisor, ratio = f"{compartment.name}_sum", f"ratio_{number}"
        numerator = factors.pop(0) if factors else "1.0"
        yield f"{divisor} = {_sum(circuit, population, compartment)}"
        yield f"{ratio} = if {divisor} == 0.0: 0.0 else: {_factor(numerator)} / {divisor}"
        factors.insert(0, ratio)
    product = factors[0] if len(factors) == 1 else " * ".join(map(_factor, factors))
    transfer = TRANSFERS[population.transfer].annarchy
    assert transfer is not None, "the backend refuses such a circuit"
    yield transfer.format(x=product)


def _divides(compartment: Compartment) -> bool:
    return compartment.effect is Effect.DIVIDES


def _sum(circuit: Circuit, population: Population, compartment: Compartment) -> str:
    """What a compartment sums: its synapses, and what drives it from outside."""
    name = compartment.name
    heard = any(circuit.projections_onto(population.name, name))
    return " + ".join([f"sum({name})"] * heard + [f"{name}_drive"] * bool(compartment.drive))


def _factor(text: str) -> str:
    return f"({text})" if "+" in text else text
