"""The gradients of all parameters as outputs of an ordinary circuit, which every backend can run.

Each synapse of a rule becomes a cell that multiplies its presynaptic rate with the error behind it, and
one cell per entry of the parameter sums them. No backend needs to make all these cells: the NumPy code
contracts them to matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cortico.ir import (
    Circuit,
    Compartment,
    Output,
    Population,
    Projection,
    UnsupportedError,
    Weight,
    check,
)
from cortico.ir.domain import conjunction
from cortico.learning.cells import excitatory
from cortico.learning.rules import Learning, Rule, Term


def gradient_name(parameter: str) -> str:
    """The output that is the gradient of a parameter."""
    return f"d_{parameter}"


def gradient_circuit(learning: Learning, parameters: Sequence[str] | None = None) -> Circuit:
    """The circuit of `learning` with a further output `d_W` for each parameter W.

    UnsupportedError for a parameter that synapses read at different axes.
    """
    result = learning.circuit
    for rule in learning.rules:
        if parameters is None or rule.parameter in parameters:
            result = _with_gradient(result, rule)
    check(result)
    return result


def _with_gradient(circuit: Circuit, rule: Rule) -> Circuit:
    axes = rule.terms[0].at.axes
    if any(term.at.axes != axes for term in rule.terms):
        raise UnsupportedError(f"{rule.parameter} is read at different axes by different synapses")
    error = circuit.population(rule.terms[0].error)
    name = gradient_name(rule.parameter)
    sums = Population(name, axes, error.region, excitatory(error), (Compartment("basal"),))
    result = replace(circuit, populations=(*circuit.populations, sums))
    for number, term in enumerate(rule.terms):
        result = _with_term(result, term, name, f"{name}_synapse_{number}")
    return replace(
        result, outputs=(*result.outputs, Output(name, replace(rule.terms[0].at, name=name)))
    )


def _read(term: Term, name: str) -> Projection | None:
    """The synapses from the presynaptic cells of a term onto the cells of its products."""
    if term.pre is None:
        return None
    return Projection(f"{name}_pre", term.pre, name, "pre", at=term.pre_at)


def _with_term(circuit: Circuit, term: Term, onto: str, name: str) -> Circuit:
    """The circuit with the products of one term, summed by the cells `onto`."""
    error = circuit.population(term.error)
    if term.pre is None and term.weight.tensor is None:
        link = Projection(name, term.error, onto, "basal", term.weight, term.domain)
        return replace(circuit, projections=(*circuit.projections, link))
    pre = circuit.heard(synapses) if (synapses := _read(term, name)) else None
    axes = error.axes + tuple(a for a in (pre.axes if pre else ()) if a not in error.axes)
    domain = conjunction(error.domain, pre.domain if pre else (), term.domain)
    drive = (Weight(term.weight.tensor),) if term.weight.tensor else ()
    cells = Population(
        name,
        axes,
        error.region,
        excitatory(error),
        (Compartment("post"), Compartment("pre", drive=drive)),
        domain=domain,
    )
    links = [Projection(f"{name}_post", term.error, name, "post")]
    links += [synapses] if synapses else []
    gain = Weight(gain=term.weight.gain)
    links.append(Projection(name, name, onto, "basal", gain))
    return replace(
        circuit,
        populations=(*circuit.populations, cells),
        projections=(*circuit.projections, *links),
    )
