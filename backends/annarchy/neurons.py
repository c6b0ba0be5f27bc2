"""Neuron types: the equations of a population as ANNarchy reads them."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterator

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


def neuron_types(circuit: Circuit) -> dict[str, str]:
    """Equations to the name of their type, that of the first population that has them."""
    names: dict[str, str] = {}
    for population in circuit.order:
        names.setdefault(arguments(circuit, population), f"{population.name}_neuron")
    return names


def definitions(circuit: Circuit) -> str:
    """Code that defines the types."""
    found = neuron_types(circuit).items()
    return "\n\n".join(f"{name} = ann.Neuron(\n{given})" for given, name in found) + "\n"


def arguments(circuit: Circuit, population: Population) -> str:
    """Arguments of `ann.Neuron`: parameters, and equations to which the rate r is the answer."""
    driven = [f"{c.name}_drive = 0.0" for c in population.compartments if c.drive]
    waits = ["onset = 0.0"] * in_order(circuit)
    parameters = _block("parameters", ["tau = 10.0 : population", *waits, *driven])
    return parameters + _block("equations", _equations(circuit, population))


def _block(name: str, lines: list[str] | Iterator[str]) -> str:
    text = textwrap.indent("\n".join(lines), " " * 8)
    return f'    {name}="""\n{text}\n    """,\n'


def _equations(circuit: Circuit, population: Population) -> Iterator[str]:
    """`tau * dr/dt + r = …`, and before it what is divided: ANNarchy has no x / 0 that is 0."""
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
    goal = transfer.format(x=product)
    if in_order(circuit):
        yield f"goal = if t < onset: 0.0 else: {goal}"
        goal = "goal"
    yield f"tau * dr/dt + r = {goal} : exponential"


def _divides(compartment: Compartment) -> bool:
    return compartment.effect is Effect.DIVIDES


def _sum(circuit: Circuit, population: Population, compartment: Compartment) -> str:
    """What a compartment sums: its synapses, and what drives it from outside."""
    name = compartment.name
    heard = any(circuit.projections_onto(population.name, name))
    return " + ".join([f"sum({name})"] * heard + [f"{name}_drive"] * bool(compartment.drive))


def _factor(text: str) -> str:
    return f"({text})" if "+" in text else text
