"""What every circuit must satisfy: a list of rules, each a small generator of violations."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from cortico.ir.axes import Extent
from cortico.ir.circuit import Circuit
from cortico.ir.domain import Domain, coupled_axes, restrict
from cortico.ir.errors import CircuitError, bullet_list, named, near_name, shown
from cortico.ir.limits import AXES, COMPARTMENTS, LONGEST_DELAY, SIZE
from cortico.ir.paths import PATH, prefix
from cortico.ir.population import DelayUnit
from cortico.ir.regions import CellClass, Region
from cortico.ir.tensors import (
    FLOATS,
    FORMULA_SHAPES,
    FORMULAS,
    Gain,
    InputKind,
    Shape,
    Weight,
)
from cortico.ir.transfer import TRANSFERS

Violations = Iterator[str]
Rule = Callable[[Circuit], Violations]
Shapes = Mapping[str, Shape]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check(circuit: Circuit) -> None:
    """Raise one CircuitError that lists every violation of every rule; of very many, the first ones.

    Later rules rest on the names that earlier ones checked, so a group runs only when the groups
    before it found nothing.
    """
    for group in RULES:
        problems = chain.from_iterable(rule(circuit) for rule in group)
        for first in problems:
            listed = bullet_list(chain([first], problems))
            raise CircuitError(f"circuit {named(circuit.name)} is broken:{listed}")


# ---- names ---------------------------------------------------------------------------------------


def names_are_identifiers(circuit: Circuit) -> Violations:
    """Names go into code and text, so they are plain identifiers. The circuit's title is free."""
    for kind, names in _declared(circuit):
        for name in names:
            if not _NAME.match(name):
                yield f"{kind} name {name!r} is not a plain identifier"


def title_is_text(circuit: Circuit) -> Violations:
    """The title can be written to a file: half characters (lone surrogates) cannot."""
    try:
        circuit.name.encode()
    except UnicodeEncodeError:
        yield "the circuit's title has characters that no text can hold"


def names_are_unique(circuit: Circuit) -> Violations:
    """No two axes, tensors, populations, projections or outputs share a name."""
    for kind, names in _declared(circuit):
        for name, times in Counter(names).items():
            if times > 1:
                yield f"{kind} {name!r} is declared {times} times"


def names_carry_paths(circuit: Circuit) -> Violations:
    """The names of populations of a network's block begin with the path of the block."""
    for population in circuit.populations:
        name, path = population.name, population.path
        if path and not PATH.fullmatch(path):
            yield f"population {name!r} is at {shown(path)}, which is no path such as layer[3].attention"
        elif not name.startswith(prefix(path)) or name == prefix(path):
            yield f"population {name!r} is at {path}, so its name begins with {prefix(path)!r}"


def _declared(circuit: Circuit) -> Iterator[tuple[str, list[str]]]:
    yield "axis", [axis.name for axis in circuit.axes]
    yield "tensor", [tensor.name for tensor in circuit.inputs + circuit.parameters]
    yield "population", [population.name for population in circuit.populations]
    yield "projection", [projection.name for projection in circuit.projections]
    yield "output", [output.name for output in circuit.outputs]
    yield "size symbol", list(dict.fromkeys(_symbols(circuit)))
    for population in circuit.populations:
        names = [compartment.name for compartment in population.compartments]
        yield f"compartment of {population.name!r}", names


def _symbols(circuit: Circuit) -> Iterator[str]:
    extents = [axis.extent for axis in circuit.axes]
    extents += [side for tensor in circuit.inputs + circuit.parameters for side in tensor.shape]
    return (extent for extent in extents if isinstance(extent, str))


# ---- declarations --------------------------------------------------------------------------------


def extents_are_positive(circuit: Circuit) -> Violations:
    """Every axis and every side of a tensor has at least one index, and fewer than 2^62."""
    for axis in circuit.axes:
        if isinstance(axis.extent, int) and not 1 <= axis.extent < SIZE:
            expected = "at least 1" if axis.extent < 1 else "less than 2^62"
            yield f"axis {axis.name!r} has extent {shown(axis.extent)}, expected {expected}"
    for tensor in circuit.inputs + circuit.parameters:
        sides = [side for side in tensor.shape if isinstance(side, int)]
        if any(side < 1 for side in sides):
            yield f"tensor {tensor.name!r} has an empty side: {shown(tensor.shape)}"
        if any(side >= SIZE for side in sides):
            yield f"tensor {tensor.name!r} has a side of 2^62 or more: {shown(tensor.shape)}"


def arrays_have_few_axes(circuit: Circuit) -> Violations:
    """No population, tensor or projection ranges over more axes than an array can have."""
    shapes: dict[str, Shape] = {f"population {p.name!r}": p.axes for p in circuit.populations}
    shapes |= {f"tensor {t.name!r}": t.shape for t in circuit.inputs + circuit.parameters}
    shapes |= {f"projection {p.name!r}": circuit.synapse_axes(p) for p in circuit.projections}
    for where, axes in shapes.items():
        if len(axes) > AXES:
            yield f"{where} has {len(axes)} axes, expected at most {AXES}"


def symbols_come_from_inputs(circuit: Circuit) -> Violations:
    """A symbolic size is read off an input when the circuit runs, so some input must carry it."""
    carried = {side for tensor in circuit.inputs for side in tensor.shape}
    for symbol in dict.fromkeys(_symbols(circuit)):
        if symbol not in carried:
            yield f"size symbol {symbol!r} is the side of no input, so no run can tell its value"


def tokens_have_numbers(circuit: Circuit) -> Violations:
    """How many tokens there are is known: the last side of an input of tokens is a number, no symbol."""
    for tensor in circuit.inputs:
        counted = any(isinstance(side, int) for side in tensor.shape[-1:])
        if tensor.kind is InputKind.TOKEN and not counted:
            yield f"input {tensor.name!r} of tokens has shape {shown(tensor.shape)}, expected a number as last side"


def values_fit_shapes(circuit: Circuit) -> Violations:
    """Values are floating-point arrays of the declared shape, and no formula computes them too."""
    for parameter in circuit.parameters:
        values = parameter.values
        if values is None:
            continue
        if parameter.formula is not None:
            yield f"parameter {parameter.name!r} has both values and a formula"
        if values.shape != parameter.shape:
            yield f"parameter {parameter.name!r} has values of shape {values.shape}, declared {parameter.shape}"
        if values.dtype.name not in FLOATS:
            yield f"parameter {parameter.name!r} has values of type {values.dtype}, expected {', '.join(FLOATS)}"


def formulas_are_known(circuit: Circuit) -> Violations:
    """Formulas are entries of `FORMULAS`, over plain parameters of fitting shapes."""
    known = {parameter.name: parameter for parameter in circuit.parameters}
    for parameter in circuit.parameters:
        if parameter.formula is None:
            continue
        kind, arguments = parameter.formula.kind, parameter.formula.arguments
        strange = [a for a in arguments if a not in known or known[a].formula is not None]
        for argument in strange:
            yield f"formula of {parameter.name!r} needs {argument!r}, which is no plain parameter"
        if kind not in FORMULAS:
            yield f"parameter {parameter.name!r} has unknown formula {kind!r}{near_name(kind, FORMULAS)}"
        elif not strange:
            shapes = [known[argument].shape for argument in arguments]
            if not FORMULA_SHAPES[kind](parameter.shape, shapes):
                found = ", ".join(map(str, shapes))
                yield f"formula {kind} cannot make {parameter.name!r} of shape {parameter.shape} from {found}"


def regions_fit_cells(circuit: Circuit) -> Violations:
    """Thalamic cells live in the thalamus, reticular ones in its reticular nucleus, others in cortex."""
    for population in circuit.populations:
        in_cortex, cell = population.region.in_cortex, population.cell_class
        reticular = population.region is Region.RETICULAR
        fits = not in_cortex if cell.in_thalamus else in_cortex
        if not fits or reticular != (cell is CellClass.RETICULAR):
            yield f"population {population.name!r}: no {cell} cells in {population.region}"


def transfers_are_known(circuit: Circuit) -> Violations:
    """Every transfer function is an entry of `TRANSFERS`."""
    for population in circuit.populations:
        if population.transfer not in TRANSFERS:
            near = near_name(population.transfer, TRANSFERS)
            yield f"population {population.name!r} has unknown transfer {population.transfer!r}{near}"


def populations_have_axes(circuit: Circuit) -> Violations:
    """Populations spread over declared axes, each once, and have a compartment, but not hundreds."""
    known = {axis.name for axis in circuit.axes}
    for population in circuit.populations:
        for axis in population.axes:
            if axis not in known:
                yield f"population {population.name!r} has unknown axis {axis!r}{near_name(axis, known)}"
        if len(set(population.axes)) < len(population.axes):
            yield f"population {population.name!r} names an axis twice: {shown(population.axes)}"
        if not population.compartments:
            yield f"population {population.name!r} has no compartment"
        if len(population.compartments) > COMPARTMENTS:
            found = len(population.compartments)
            yield f"population {population.name!r} has {found:,} compartments, expected at most {COMPARTMENTS}"


def projections_have_ends(circuit: Circuit) -> Violations:
    """A projection joins populations that exist and ends on a compartment of the second."""
    compartments = {p.name: [c.name for c in p.compartments] for p in circuit.populations}
    for projection in circuit.projections:
        for end in (projection.pre, projection.post):
            if end not in compartments:
                near = near_name(end, compartments)
                yield f"projection {projection.name!r} names unknown population {end!r}{near}"
        targets = compartments.get(projection.post, [projection.compartment])
        if projection.compartment not in targets:
            near = near_name(projection.compartment, targets)
            yield (
                f"projection {projection.name!r} ends on {projection.post}.{projection.compartment}, "
                f"but {projection.post!r} has {', '.join(targets)}{near}"
            )


def sources_fit_axes(circuit: Circuit) -> Violations:
    """A population is read at as many axes as it has, each once, of the same sizes and unfolding."""
    axes = {axis.name: axis for axis in circuit.axes}
    for projection in circuit.projections:
        own, at = circuit.population(projection.pre).axes, projection.at
        where = f"projection {projection.name!r} reads {shown(projection.source)}"
        if at and (len(at) != len(own) or len(set(at)) < len(at) or not set(at) <= set(axes)):
            yield f"{where}, expected {len(own)} axes of the circuit, each once, for {', '.join(own)}"
            continue
        for mine, read in zip(own, at, strict=False):
            if (axes[mine].extent, axes[mine].unfold) != (axes[read].extent, axes[read].unfold):
                yield f"{where}: axis {read!r} is not as {mine!r} is, in its size and in space or in time"


# ---- references ----------------------------------------------------------------------------------


def weights_fit_axes(circuit: Circuit) -> Violations:
    """A weight or bias reads a known tensor, over axes at hand, with the tensor's own sizes."""
    extents = {axis.name: axis.extent for axis in circuit.axes}
    parameters: Shapes = {parameter.name: parameter.shape for parameter in circuit.parameters}
    tensors = {**{tensor.name: tensor.shape for tensor in circuit.inputs}, **parameters}
    for population in circuit.populations:
        for compartment in population.compartments:
            for drive in compartment.drive:
                where = f"drive of {population.name}.{compartment.name}"
                yield from _gain_problems(extents, where, drive.gain)
                yield from _tensor_problems(extents, tensors, where, drive, population.axes)
    for projection in circuit.projections:
        axes = circuit.synapse_axes(projection)
        where = f"weight of projection {projection.name!r}"
        yield from _gain_problems(extents, where, projection.weight.gain)
        yield from _tensor_problems(extents, parameters, where, projection.weight, axes)


def _gain_problems(extents: Mapping[str, Extent], where: str, gain: Gain) -> Violations:
    if not math.isfinite(gain.coefficient):
        yield f"{where}: gain {gain.coefficient} is no finite number"
        return
    unknown = [axis for axis, _ in gain.sizes if axis not in extents]
    for axis in unknown:
        yield f"{where}: gain uses unknown axis {axis!r}{near_name(axis, extents)}"
    sizes = {axis: extent for axis, _ in gain.sizes if isinstance(extent := extents.get(axis), int)}
    if all(axis in sizes for axis, _ in gain.sizes):
        try:
            gain.value(sizes)
        except CircuitError as error:
            yield f"{where}: {error}"


def _tensor_problems(
    extents: Mapping[str, Extent],
    tensors: Shapes,
    where: str,
    weight: Weight,
    axes: tuple[str, ...],
) -> Violations:
    if weight.tensor is None:
        return
    name = weight.tensor.name
    if name not in tensors:
        yield f"{where}: unknown tensor {name!r}{near_name(name, tensors)}"
        return
    stray = [axis for axis in weight.tensor.axes if axis not in axes]
    if stray or len(set(weight.tensor.axes)) < len(weight.tensor.axes):
        yield f"{where}: {weight.tensor} must use axes among {', '.join(axes)}, each once"
        return
    found = tuple(extents[axis] for axis in weight.tensor.axes)
    if found != tensors[name]:
        yield f"{where}: {weight.tensor} has sizes {found}, but {name!r} has shape {tensors[name]}"


def outputs_read_populations(circuit: Circuit) -> Violations:
    """There is an output, and each lists all axes of a population."""
    known = {population.name: population for population in circuit.populations}
    if not circuit.outputs:
        yield "the circuit has no output"
    for output in circuit.outputs:
        if output.source.name not in known:
            near = near_name(output.source.name, known)
            yield f"output {output.name!r} reads unknown population {output.source.name!r}{near}"
        elif sorted(output.source.axes) != sorted(known[output.source.name].axes):
            yield f"output {output.name!r} must list the axes {known[output.source.name].axes} in some order"


def domains_fit_axes(circuit: Circuit) -> Violations:
    """Bounds are on axes at hand, and tie at most two axes together (counts stay closed forms)."""
    for population in circuit.populations:
        where = f"population {population.name!r}"
        yield from _domain_problems(where, population.domain, population.axes)
        yield from _tie_problems(where, population.domain, population.axes)
    for projection in circuit.projections:
        axes = circuit.synapse_axes(projection)
        where = f"projection {projection.name!r}"
        yield from _domain_problems(where, projection.domain, axes)
        yield from _tie_problems(where, circuit.synapse_domain(projection), axes)


def _domain_problems(where: str, domain: Domain, axes: tuple[str, ...]) -> Violations:
    for bound in domain:
        if bound.left not in axes or bound.right not in axes or bound.left == bound.right:
            yield f"{where}: bound '{bound}' must tie two axes among {', '.join(axes)}"


def _tie_problems(where: str, domain: Domain, axes: tuple[str, ...]) -> Violations:
    for group in coupled_axes(restrict(domain, axes), axes):
        if len(group) > 2:
            yield f"{where}: bounds tie {', '.join(group)} together, expected at most two axes"


def compartments_receive_something(circuit: Circuit) -> Violations:
    """A compartment without drive and synapses is a mistake."""
    for population in circuit.populations:
        for compartment in population.compartments:
            synapses = circuit.projections_onto(population.name, compartment.name)
            if not compartment.drive and not synapses:
                yield f"compartment {population.name}.{compartment.name} receives nothing"


def cycles_have_delays(circuit: Circuit) -> Violations:
    """Each population can be computed from those before it, and from what was before."""
    try:
        _ = circuit.order_in_time
    except CircuitError as error:
        yield str(error)


def times_are_positive(circuit: Circuit) -> Violations:
    """Delays and paces of integration are positive numbers, steps whole ones, and starts finite."""
    for projection in circuit.projections:
        delay = projection.delay
        if delay is None:
            continue
        whole = delay.unit is not DelayUnit.STEPS or delay.amount == math.floor(delay.amount)
        if not 0 < delay.amount <= LONGEST_DELAY or not whole:
            kind = "a whole number of steps" if delay.unit is DelayUnit.STEPS else "a number of ms"
            yield (
                f"projection {projection.name!r} has delay {delay.amount} {delay.unit}, expected {kind} "
                f"above 0 and up to {LONGEST_DELAY:,}"
            )
    for population in circuit.populations:
        own = population.integrates
        if own and not (0 < own.rate < math.inf and math.isfinite(own.start)):
            yield (
                f"population {population.name!r} integrates {own.rate} per ms from {own.start}, expected a "
                "positive finite number, and a finite one"
            )


def time_is_of_one_kind(circuit: Circuit) -> Violations:
    """Tokens one after another are presented until all is at rest: no delays and no integrating cells meet them."""
    clock = [axis.name for axis in circuit.axes if axis.in_time]
    if clock and circuit.lives_in_time:
        yield f"axes {', '.join(clock)} unfold in time, where cells neither integrate nor hear with delays"


#: Rules in groups; each group may rely on the groups before it.
RULES: tuple[tuple[Rule, ...], ...] = (
    (title_is_text, names_are_identifiers, names_are_unique, names_carry_paths),
    (
        extents_are_positive,
        symbols_come_from_inputs,
        tokens_have_numbers,
        values_fit_shapes,
        formulas_are_known,
        regions_fit_cells,
        transfers_are_known,
        populations_have_axes,
        projections_have_ends,
    ),
    (sources_fit_axes,),
    (arrays_have_few_axes,),
    (
        weights_fit_axes,
        outputs_read_populations,
        domains_fit_axes,
        compartments_receive_something,
        times_are_positive,
        time_is_of_one_kind,
        cycles_have_delays,
    ),
)
