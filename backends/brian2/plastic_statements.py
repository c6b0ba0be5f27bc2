"""Statements for what learns: equations of plastic synapses and biases, and the partners that they hear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortico.backends.brian2.cell_groups import CellGroup, Pathway
from cortico.backends.brian2.code import Coder
from cortico.backends.brian2.plasticity import Plasticity, PlasticTensor, Reading
from cortico.backends.brian2.statements import edges, namespace, quoted
from cortico.ir import Gain

_COURSE = ('"gate": gate', '"tau_w": tau_w')


def comment_lines(plasticity: Plasticity) -> Iterator[str]:
    """Which tensors learn by what is there in the synapse, and which do not."""
    shared = [tensor.name for tensor in plasticity.tensors if tensor.shared]
    local = [tensor.name for tensor in plasticity.tensors if not tensor.shared]
    if local:
        yield f"Local: {', '.join(local)}. Each synapse has a weight of its own, which changes by the"
        yield "two rates that meet there, and by nothing else."
    if shared:
        yield f"Not local: {', '.join(shared)}. Synapses share an entry of these. The change of each is"
        yield "local; that they are added up, and the sum given to all, is done by a network operation."
    for tensor in plasticity.tensors:
        if any(not reading.own for reading in tensor.readings):
            yield _copies(tensor)


def _copies(tensor: PlasticTensor) -> str:
    copies = sum(not reading.own for reading in tensor.readings)
    how = "are given it" if tensor.shared else "start with the same numbers and change alike"
    return f"{tensor.name}: {copies} other sets of synapses (of error neurons) read it; they {how}."


# ---- biases ------------------------------------------------------------------------------------------


def with_biases(coder: Coder, plasticity: Plasticity, group: CellGroup) -> CellGroup:
    """The group with the rates of partners that its plasticity needs, and with biases that learn."""
    (population,) = group.populations
    found = plasticity.readings(population.name)
    heard = dict.fromkeys(r.compartment for t, r in found if t.changes(r))
    lines = [f"partner_{compartment} : 1 (linked)" for compartment in heard]
    names: list[str] = []
    currents = []
    for current in group.currents:
        terms = []
        for tensor, reading, name in _biases(plasticity, group):
            if reading.compartment == current.compartment:
                factor, needs = _factor(coder, reading.weight.gain, f"efficacy_of_{name}")
                terms.append(f"{factor}{name}")
                line, more = _bias_line(coder, tensor, reading, name)
                lines.append(line)
                names += [*needs, *more]
        currents.append(replace(current, own_terms=tuple(terms)))
    return replace(
        group,
        currents=tuple(currents),
        own_lines=tuple(lines),
        own_names=tuple(dict.fromkeys(names)),
    )


def _biases(
    plasticity: Plasticity, group: CellGroup
) -> Iterator[tuple[PlasticTensor, Reading, str]]:
    """The biases of a group that learn, each with the name of its variable."""
    drives = [(t, r) for t, r in plasticity.readings(group.populations[0].name) if not r.projection]
    for number, (tensor, reading) in enumerate(drives):
        yield tensor, reading, f"bias_{number}_{reading.compartment}"


def _bias_line(
    coder: Coder, tensor: PlasticTensor, reading: Reading, name: str
) -> tuple[str, list[str]]:
    """The equation of a bias, and the entries of the namespace that it needs."""
    if not tensor.changes(reading):
        return f"{name} : 1", []
    factor, needs = _factor(coder, reading.gain, f"gain_of_{name}")
    change = _change(f"{factor}partner_{reading.compartment}", tensor, name)
    return f"d{name}/dt = -gate(t)*{change}/tau_w : 1", [*needs, *_COURSE]


def _change(product: str, tensor: PlasticTensor, name: str) -> str:
    """What a weight loses while the gate is open; the decay of shared entries is not each synapse's."""
    if tensor.shared or not tensor.decay:
        return product
    return f"({product} + {tensor.decay!r}*{name})"


def _factor(coder: Coder, gain: Gain, name: str) -> tuple[str, list[str]]:
    """`name*`, and its entry of the namespace; nothing for one."""
    return ("", []) if gain.is_one else (f"{name}*", [f'"{name}": {coder.gain(gain)}'])


def bias_values(coder: Coder, plasticity: Plasticity, group: CellGroup) -> Iterator[str]:
    """Statements that give biases their first values."""
    (population,) = group.populations
    for tensor, reading, name in _biases(plasticity, group):
        index = ", ".join(coder.axes[axis] for axis in reading.weight.axes)
        array = coder.tensors[tensor.name]
        numbers = f"({coder.cells(population)}, places({array})[{index}])"
        yield f"entries = over_cells(cells.size, {numbers})[0].astype(int)"
        yield f"{group.name}.{name} = {array}.flat[entries]"
        yield _hold(tensor, group.name, name, tensor.changes(reading))


def _hold(tensor: PlasticTensor, owner: str, variable: str, changes: bool) -> str:
    return f'tensors["{tensor.name}"].hold({owner}, "{variable}", entries, {changes})'


# ---- synapses ----------------------------------------------------------------------------------------


def partners(plasticity: Plasticity, groups: tuple[CellGroup, ...]) -> Iterator[str]:
    """Statements that bring the rates of partners to cells, one to one."""
    group_of = {group.populations[0].name: group.name for group in groups}
    found = dict.fromkeys(
        (group_of[r.population], r.compartment, group_of[r.partner])
        for tensor in plasticity.tensors
        for r in tensor.readings
        if tensor.changes(r) and r.partner is not None
    )
    yield "# One to one: each cell has the rate of its partner, which plastic synapses multiply with."
    for cells, compartment, partner in found:
        yield f'{cells}.partner_{compartment} = linked_var({partner}, "r")'


def plastic_synapses(
    coder: Coder,
    groups: tuple[CellGroup, ...],
    group: CellGroup,
    pathway: Pathway,
    plasticity: Plasticity,
) -> list[str]:
    """Statements that make the Synapses of a pathway that is plastic; none for one that is not."""
    projection = pathway.projections[0]
    for tensor, reading in plasticity.readings(group.populations[0].name):
        if reading.projection == projection.name:
            pre = next(g.name for g in groups if g.stem == pathway.pre)
            return list(_synapses(coder, (pre, group.name), pathway, tensor, reading))
    return []


def _synapses(
    coder: Coder, ends: tuple[str, str], pathway: Pathway, tensor: PlasticTensor, reading: Reading
) -> Iterator[str]:
    projection, array = pathway.projections[0], coder.tensors[tensor.name]
    index = ", ".join(coder.axes[axis] for axis in reading.weight.axes)
    weight, needs = _weight_line(coder, tensor, reading)
    factor, efficacy = _factor(coder, reading.weight.gain, "efficacy")
    arriving = f"{pathway.variable}_post = {factor}w*r_pre : 1 (summed)"
    yield f"# {_why(tensor, reading)}"
    yield f"pre, post, entries = {edges(coder, projection, f'places({array})[{index}]')}"
    yield "entries = entries[0].astype(int)"
    yield f"{pathway.name} = Synapses("
    yield from (f"    {end}," for end in ends)
    yield from quoted([weight, arriving])
    if tensor.changes(reading):
        yield '    method="euler",'
    yield f'    name="{pathway.name}",'
    yield from namespace([*efficacy, *needs])
    yield ")"
    yield f"connect({pathway.name}, pre, post, w={array}.flat[entries])"
    yield _hold(tensor, pathway.name, "w", tensor.changes(reading))


def _weight_line(coder: Coder, tensor: PlasticTensor, reading: Reading) -> tuple[str, list[str]]:
    """The equation of a weight, and the entries of the namespace that it needs."""
    if not tensor.changes(reading):
        return "w : 1", []
    factor, needs = _factor(coder, reading.gain, "gain")
    change = _change(f"{factor}r_pre*partner_{reading.compartment}_post", tensor, "w")
    return f"dw/dt = -gate(t)*{change}/tau_w : 1 (clock-driven)", [*needs, *_COURSE]


def _why(tensor: PlasticTensor, reading: Reading) -> str:
    if not reading.own:
        return (
            f"Not local: after each step these synapses are given what {tensor.name} is then."
            if tensor.shared
            else f"Local: the same change as that of the other synapses of {tensor.name}."
        )
    if tensor.shared:
        return (
            f"Each synapse changes by its own two rates; {tensor.name} adds up those that share it."
        )
    return f"Local: each synapse of {tensor.name} changes by its own two rates."
