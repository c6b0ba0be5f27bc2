"""A stream that is narrower after a pass: proved block by block, by what stands at the ports.

Let L[m] be 1 where an index of the stream is kept. One of two lemmas must hold of every block of the part:

    silent     block(L x) = L cut(x)      what comes in is zero elsewhere, and so is what goes out
    unheard    L block(x) = L cut(x)      whatever comes in elsewhere does not matter for what goes out at L

From either it follows along the wires that at L all ports have what they had; no port that leads out of the part is
cut. Which indices are kept, and where weights are zero, is read off the arrays of the whole part, and checked on them.
"""

from __future__ import annotations

import time
from dataclasses import replace

from cortico.ir import Circuit, CircuitError
from cortico.ir.network import Network, part_of
from cortico.ir.network.sizes import shapes_of_ports
from cortico.ir.rewrite import joined_axes
from cortico.passes import named_apart
from cortico.verify.equations.language import Equations, Read, product
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.sorts import ExtentError, sort_of, unified
from cortico.verify.equations.substitute import with_tensor
from cortico.verify.normal.equivalence import Outcome, compare_matched
from cortico.verify.steps.axis_facts import Selected
from cortico.verify.steps.discovery import find_facts, named_constants
from cortico.verify.steps.facts import Fact, Pair, known_by
from cortico.verify.steps.validation import Stage, StepProof, judged, undecided


def is_cut(before: Network, after: Network) -> bool:
    """Whether ports of two networks of the same nodes have other sides."""
    old, new = shapes_of_ports(before), shapes_of_ports(after)
    return any(new.get(port, shape) != shape for port, shape in old.items())


def prove_cut(name: str, before: Network, after: Network) -> StepProof:
    """What is known of a part in which a stream has become narrower."""
    start = time.perf_counter()
    flats = before.flatten(), after.flatten()
    fact = _selected(*flats) if _same_wires(before, after) else None
    stage = Stage(flats[1], (), (undecided("arrays do not say which features are kept"),))
    if fact is not None:
        axes = _narrower(*flats)
        pairs = [
            [
                joined_axes(part_of(n, {node.path}).flatten(), axes, fact.axis)
                for n in (before, after)
            ]
            for node in before.nodes
        ]
        facts = [fact, *(c for old, new in pairs for c in named_constants(old, new))]
        for silent in (True, False):
            outcomes = [o for old, new in pairs for o in _lemma(old, new, fact, silent)]
            stage = Stage(flats[1], tuple(dict.fromkeys(facts)), tuple(outcomes))
            if stage.proved:
                break
    return judged(name, *flats, [stage], start)


def _same_wires(before: Network, after: Network) -> bool:
    """Whether two parts have the same blocks and wires."""
    paths = [[node.path for node in part.nodes] for part in (before, after)]
    return paths[0] == paths[1] and before.wires == after.wires


def _narrower(before: Circuit, after: Circuit) -> set[str]:
    """The axes that have fewer indices: those of the stream."""
    extents = {axis.name: axis.extent for axis in after.axes}
    return {a.name for a in before.axes if extents.get(a.name, a.extent) != a.extent}


def _selected(before: Circuit, after: Circuit) -> Selected | None:
    """Which indices of the stream are kept, and where its tensors are zero, by the arrays of the whole part."""
    axes = _narrower(before, after)
    name = next(iter(sorted(axes)))
    sizes = {(before.axis(axis).extent, after.axis(axis).extent) for axis in axes}
    if len(sizes) > 1:
        return None
    try:
        old, new = (joined_axes(c, axes, name) for c in (before, named_apart(before, after)))
    except CircuitError:
        return None
    found = (f for f in find_facts(old, new) if isinstance(f, Selected))
    return next((f for f in found if f.axis == name and not f.heads), None)


def _lemma(before: Circuit, after: Circuit, fact: Selected, silent: bool) -> list[Outcome]:
    """Whether one of the lemmas holds of a block, for all sizes."""
    after = named_apart(before, after)
    try:
        pair = _matched(before, after, fact.axis)
        facts: list[Fact] = [_of(after, fact), *named_constants(before, after)]
        for each in facts:
            pair = unified(*each.apply(*pair), again=True)
        names = [tensor.name for tensor in before.inputs]
        return compare_matched(*_at_ports(pair, names, fact, silent), known_by(facts), refute=False)
    except ExtentError as error:
        return [undecided(str(error))]


def _of(after: Circuit, fact: Selected) -> Selected:
    """What a fact about all blocks says of one."""
    names = {p.name for p in after.parameters}
    tensors = {new: old for new, old in fact.tensors.items() if new in names}
    olds = {ref.name for ref in tensors.values()}
    support = {old: live for old, live in fact.support.items() if old in olds}
    return replace(fact, tensors=tensors, support=support)


def _matched(before: Circuit, after: Circuit, axis: str) -> Pair:
    """The equations of both, where the side of an input that is narrower is the stream's all the same."""
    left, right = circuit_equations(before), circuit_equations(after)
    sort = sort_of(right).get(axis)
    right = replace(right, extents={s: n for s, n in right.extents.items() if s != sort})
    same = {a.name for a in before.axes if a in after.axes and a.name != axis}
    return unified(left, right, same)


def _at_ports(pair: Pair, inputs: list[str], fact: Selected, silent: bool) -> Pair:
    """Both with L at the ports, as the lemma has it."""
    left, right = pair
    sort = sort_of(right)[fact.axis]
    for name in inputs:
        if silent and sort in left.given[name]:
            left = with_tensor(left, name, left.given[name], fact.live_name, (sort,))
    right = _at_outputs(right, sort, fact.live_name)
    if not silent:
        left = _at_outputs(left, sort, fact.live_name)
    masks = left.masks | right.masks | {fact.live_name}
    return replace(left, masks=masks), replace(right, masks=masks)


def _at_outputs(side: Equations, sort: str, live: str) -> Equations:
    """The equations with L beside every output that has an index of the stream."""
    rows = []
    for row in side.definitions:
        here = [v for v in row.indices if v.sort == sort and row.tensor in side.outputs]
        rows.append(replace(row, body=product(row.body, *(Read(live, (v,)) for v in here))))
    return replace(side, definitions=tuple(rows), given={**side.given, live: (sort,)})
