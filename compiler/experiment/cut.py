"""Lesions of circuits: rates or synapses times a factor. A lesioned circuit is a circuit again.

    rate' = s · rate     for the cells of a lesion, s = 0 when they are silenced
    w'    = s · w        for its synapses

This holds for every transfer function: a silenced cell with rate exp(I) has rate 0, not exp(0) = 1. What is
divided by silenced cells alone gives 0, as x/0 is 0 in a circuit (`docs/ir.md`); it is not released. Where a
constant divides too (`semi_saturation` of a spec), it is left: rates rise by (sigma + pool) / sigma.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from cortico.experiment.targets import Kind, Target, read_target
from cortico.ir import (
    TRANSFERS,
    Circuit,
    CircuitError,
    Compartment,
    Gain,
    Parameter,
    Population,
    Projection,
    SpecError,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.analysis.readers import is_output
from cortico.ir.errors import clipped, named
from cortico.ir.rewrite import (
    fresh,
    fresh_name,
    map_projections,
    replace_population,
    replace_projections,
)

#: Characters of a list of names in an error.
_LONGEST = 1000


def lesion(circuit: Circuit, target: Target | str, factor: float = 0.0) -> Circuit:
    """The circuit with the rates or synapses that `target` names times `factor`; 0 silences them.

    Targets are parts of the circuit given: passes may have merged or removed what a spec was lowered
    to. SpecError for targets that there are not, and for factors that are negative or not finite.
    """
    return lesions(circuit, [(target, factor)])


def lesions(circuit: Circuit, cuts: Iterable[tuple[Target | str, float]]) -> Circuit:
    """Several lesions at once. All targets are parts of `circuit`, not of what the first ones left."""
    result = circuit
    for text, factor in cuts:
        if not (math.isfinite(factor) and factor >= 0):
            raise SpecError(f"a lesion's factor must be finite and at least 0, found {factor!r}")
        target = read_target(text) if isinstance(text, str) else text
        if target.kind is Kind.PROJECTION:
            for projection in target.projections(circuit):
                result = _scaled_synapses(result, projection.name, target, factor)
        else:
            for population in target.populations(circuit):
                result = _scaled_rate(result, population.name, target, factor)
    check(result)
    return result


def divided_by(circuit: Circuit, target: Target) -> dict[str, bool]:
    """The populations that are divided by cells of `target`, and whether a constant divides them, too.

    Silencing the target releases those with a constant in every such compartment, and gives the others 0.
    """
    if target.kind is Kind.PROJECTION:
        own = target.projections(circuit)
    else:
        cells = {p.name for p in target.populations(circuit)}
        own = tuple(p for p in circuit.projections if p.pre in cells)
    found: dict[str, bool] = {}
    for projection in own:
        if circuit.divides(projection):
            name = projection.post
            drive = circuit.population(name).compartment(projection.compartment).drive
            found[name] = found.get(name, True) and bool(drive)
    return found


# ---- cells ---------------------------------------------------------------------------------------


def _scaled_rate(circuit: Circuit, name: str, target: Target, factor: float) -> Circuit:
    """The rate of a population times `factor`; outputs and synapses read it under its own name.

    Of a circuit that lives in time, where cells that follow others lag behind them, all synapses of the population.
    """
    population = circuit.population(name)
    scales = TRANSFERS[population.transfer].homogeneous and not population.integrates
    if circuit.lives_in_time and not scales:
        if is_output(circuit, name):
            raise _lagging(circuit, f"the output {name}")
        for projection in circuit.projections_from(name):
            circuit = _scaled_synapses(circuit, projection.name, target, factor)
        return circuit
    circuit, weight = _factor(circuit, population.name, population.axes, target, factor)
    if scales:
        free = fresh("lesion", {part.name for part in population.compartments})
        part = Compartment(free, drive=(weight,))
        scaled = replace(population, compartments=(*population.compartments, part))
        return replace_population(circuit, population.name, scaled)
    intact = replace(population, name=fresh_name(circuit, f"{population.name}_intact"))
    follower = _follower(population, population.name, population.axes, weight)
    circuit = map_projections(
        circuit, lambda p: replace(p, post=intact.name) if p.post == population.name else p
    )
    circuit = replace_population(circuit, population.name, intact, follower)
    return _with_link(circuit, intact.name, follower.name)


# ---- synapses ------------------------------------------------------------------------------------


def _scaled_synapses(circuit: Circuit, name: str, target: Target, factor: float) -> Circuit:
    """The synapses of a projection times `factor`; of some areas only, by way of cells that follow."""
    (projection,) = (p for p in circuit.projections if p.name == name)
    if target.areas is None:
        weight = replace(projection.weight, gain=Gain(factor) * projection.weight.gain)
        return replace_projections(circuit, [projection], [replace(projection, weight=weight)])
    if circuit.lives_in_time:
        raise _lagging(circuit, f"synapses {name} of some areas")
    axes = circuit.synapse_axes(projection)
    circuit, weight = _factor(circuit, projection.name, axes, target, factor)
    pre, heard = circuit.population(projection.pre), circuit.heard(projection)
    added = tuple(axis for axis in weight.axes if axis not in heard.axes)
    follower = _follower(heard, fresh_name(circuit, f"{name}_lesioned"), heard.axes + added, weight)
    circuit = replace_population(circuit, pre.name, pre, follower)
    moved = replace(projection, pre=follower.name, at=())
    circuit = replace_projections(circuit, [projection], [moved])
    return _with_link(circuit, pre.name, follower.name, projection.at)


def _lagging(circuit: Circuit, what: str) -> CircuitError:
    living = clipped(", ".join(circuit.living_in_time), _LONGEST)
    return CircuitError(
        f"a lesion of {what} needs cells that follow others, and would lag behind them in circuit "
        f"{named(circuit.name)}, which lives in time: {living}"
    )


# ---- parts ---------------------------------------------------------------------------------------


def _factor(
    circuit: Circuit, what: str, axes: tuple[str, ...], target: Target, factor: float
) -> tuple[Circuit, Weight]:
    """The circuit with a parameter that holds the factors of its areas, where these differ."""
    if target.areas is None:
        return circuit, Weight(gain=Gain(factor))
    kept, values = target.factors(circuit, what, axes, factor)
    name = fresh_name(circuit, f"lesion_{what}")
    parameters = (*circuit.parameters, Parameter(name, values.shape, values))
    return replace(circuit, parameters=parameters), Weight(TensorRef(name, kept))


def _follower(source: Population, name: str, axes: tuple[str, ...], weight: Weight) -> Population:
    """Cells like those of `source` that hear them one to one, and multiply with the factor."""
    parts = (Compartment("basal"), Compartment("lesion", drive=(weight,)))
    return replace(source, name=name, axes=axes, compartments=parts, transfer="identity")


def _with_link(circuit: Circuit, pre: str, post: str, at: tuple[str, ...] = ()) -> Circuit:
    """The circuit with synapses of weight 1 from cells to those that follow them."""
    name = fresh_name(circuit, f"{pre}_to_{post}")
    link = Projection(name, pre, post, "basal", at=at)
    return replace(circuit, projections=(*circuit.projections, link))
