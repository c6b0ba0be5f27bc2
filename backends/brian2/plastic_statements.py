"""Statements for what learns: equations of plastic synapses and biases, and the partners that they hear."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from cortico.backends.brian2.cell_groups import CellGroup, Current, Pathway
from cortico.backends.brian2.coder import Coder
from cortico.backends.brian2.plasticity import Plasticity, PlasticTensor, Reading
from cortico.backends.brian2.statements import edges, namespace, quoted
from cortico.ir import Gain, Weight

#: A bias of a group that learns, with the name of its variable.
_Bias = tuple[PlasticTensor, Reading, str]

_COURSE = ('"gate": gate', '"tau_w": tau_w')


def comment_lines(plasticity: Plasticity) -> Iterator[str]:
    """Lines that say which tensors learn by what is there in the synapse, and which do not."""
    shared = [tensor.name for tensor in plasticity.tensors if tensor.shared]
    local = [tensor.name for tensor in plasticity.tensors if not tensor.shared]
    copied = [t.name for t in plasticity.tensors if any(not r.own for r in t.readings)]
    if local:
        yield from _wrapped(
            f"Local: {', '.join(local)}. Each synapse has a weight of its own, which changes by the two "
            "rates that meet there."
        )
    if shared:
        yield from _wrapped(
            f"Not local: {', '.join(shared)}. Several synapses share an entry. The change of each is "
            "local, but it takes a network operation to add them up and give the sum to all."
        )
    if copied:
        yield from _wrapped(
            f"Error neurons have synapses that carry the same numbers: {', '.join(copied)}. Where "
            "weights are local these start alike and change alike, by rates that meet there; that they "
            "start alike is assumed. Shared ones are given to them, which is weight transport."
        )


def _wrapped(text: str) -> list[str]:
    return [*textwrap.wrap(text, 104), ""]


# ---- biases ------------------------------------------------------------------------------------------


def with_biases(coder: Coder, plasticity: Plasticity, group: CellGroup) -> CellGroup:
    """The group with the rates of partners that its plasticity needs, and with biases that learn."""
    found = plasticity.readings(group.populations[0].name)
    heard = dict.fromkeys(r.compartment for tensor, r in found if tensor.changes(r))
    biases = tuple(_biases(plasticity, group))
    names = (entry for tensor, r, name in biases for entry in _bias_names(coder, tensor, r, name))
    return replace(
        group,
        currents=tuple(_with_terms(current, biases) for current in group.currents),
        own_lines=(
            *(f"partner_{compartment} : 1 (linked)" for compartment in heard),
            *(line for bias in biases for line in _bias_lines(*bias)),
        ),
        own_names=tuple(dict.fromkeys(names)),
    )


def _with_terms(current: Current, biases: tuple[_Bias, ...]) -> Current:
    terms = (
        f"{_times(reading.weight.gain, f'efficacy_of_{name}')}{_distance(reading, name)}{name}"
        for _, reading, name in biases
        if reading.compartment == current.compartment
    )
    return replace(current, own_terms=tuple(terms))


def _biases(plasticity: Plasticity, group: CellGroup) -> Iterator[_Bias]:
    """The biases of a group that learn."""
    drives = [(t, r) for t, r in plasticity.readings(group.populations[0].name) if not r.projection]
    seen: Counter[str] = Counter()
    for tensor, reading in drives:
        seen[reading.compartment] += 1
        number = seen[reading.compartment]
        yield tensor, reading, f"bias_{f'{number}_' * (number > 1)}{reading.compartment}"


def _bias_lines(tensor: PlasticTensor, reading: Reading, name: str) -> Iterator[str]:
    """The equation of a bias; that of a slope has a distance at each cell."""
    if reading.distance is not None:
        yield f"distance_{name} : 1 (constant)"
    if not tensor.changes(reading):
        yield f"{name} : 1"
        return
    factors = f"{_times(reading.gain, f'gain_of_{name}')}{_distance(reading, name)}"
    change = _change(f"{factors}partner_{reading.compartment}", tensor, name)
    yield f"d{name}/dt = -gate(t)*{change}/tau_w : 1"


def _distance(reading: Reading, name: str) -> str:
    return "" if reading.distance is None else f"distance_{name}*"


def _bias_names(coder: Coder, tensor: PlasticTensor, reading: Reading, name: str) -> Iterator[str]:
    """What the equations of a bias need in the namespace."""
    yield from _entry(coder, reading.weight.gain, f"efficacy_of_{name}")
    if tensor.changes(reading):
        yield from _entry(coder, reading.gain, f"gain_of_{name}")
        yield from _COURSE


def _change(product: str, tensor: PlasticTensor, name: str) -> str:
    """What a weight loses while the gate is open; the decay of shared entries is not each synapse's."""
    if tensor.shared or not tensor.decay:
        return product
    return f"({product} + {tensor.decay!r}*{name})"


def _times(gain: Gain, name: str) -> str:
    """A factor in an equation; nothing for one."""
    return "" if gain.is_one else f"{name}*"


def _entry(coder: Coder, gain: Gain, name: str) -> list[str]:
    """The entry of the namespace for a factor; none for one."""
    return [] if gain.is_one else [f'"{name}": {coder.gain(gain)}']


def bias_values(coder: Coder, plasticity: Plasticity, group: CellGroup) -> Iterator[str]:
    """Statements that give biases their first values."""
    for tensor, reading, name in _biases(plasticity, group):
        array = coder.tensors[tensor.name]
        places = coder.read(f"places({array})", reading.weight.axes)
        yield f"entries = {_at_cells(coder, group, places)}.astype(int)"
        yield f"{group.name}.{name} = {array}.flat[entries]"
        if reading.distance is not None:
            distance = coder.weight(Weight(reading.distance))
            yield f"{group.name}.distance_{name} = {_at_cells(coder, group, distance)}"
        yield _hold(tensor, group.name, name, tensor.changes(reading))


def _at_cells(coder: Coder, group: CellGroup, numbers: str) -> str:
    """Code for a number of each cell."""
    return f"over_cells(cells.size, ({coder.cells(group.populations[0])}, {numbers}))[0]"


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
    places = coder.read(f"places({array})", reading.weight.axes)
    arriving = f"{_times(reading.weight.gain, 'efficacy')}w*r_pre"
    changes = tensor.changes(reading)
    yield f"# {_why(tensor, reading)}"
    yield f"pre, post, entries = {edges(coder, projection, places)}"
    yield "entries = entries[0].astype(int)"
    yield f"{pathway.name} = Synapses("
    yield from (f"    {end}," for end in ends)
    yield from quoted(
        [_weight_line(tensor, reading), f"{pathway.variable}_post = {arriving} : 1 (summed)"]
    )
    yield from ['    method="euler",'] * changes
    yield f'    name="{pathway.name}",'
    yield from namespace(
        [
            *_entry(coder, reading.weight.gain, "efficacy"),
            *(_entry(coder, reading.gain, "gain") if changes else ()),
            *(_COURSE if changes else ()),
        ]
    )
    yield ")"
    yield f"connect({pathway.name}, pre, post, w={array}.flat[entries])"
    yield _hold(tensor, pathway.name, "w", changes)


def _weight_line(tensor: PlasticTensor, reading: Reading) -> str:
    """The equation of a weight."""
    if not tensor.changes(reading):
        return "w : 1"
    product = f"{_times(reading.gain, 'gain')}r_pre*partner_{reading.compartment}_post"
    return f"dw/dt = -gate(t)*{_change(product, tensor, 'w')}/tau_w : 1 (clock-driven)"


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
