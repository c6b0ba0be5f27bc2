"""Visiting and rewriting, held against walks over dataclasses, networkx, and what circuits compute."""

import random
import re
from dataclasses import replace
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest

from cortico.backends import get_runner
from cortico.ir import (
    Bound,
    Gain,
    Parameter,
    TensorRef,
    Weight,
    check,
)
from cortico.ir import rewrite as r
from cortico.ir.text import print_circuit
from tests.ir.circuits import attention, sampler
from tests.ir.many import CIRCUITS, SMALL, walk
from tests.random_circuits import numbers

# ---- visiting ----------------------------------------------------------------------------------------


def test_every_weight_is_visited():
    for circuit in CIRCUITS:
        drives = list(walk(circuit.populations, Weight))
        assert list(r.weights_of(circuit)) == drives + list(walk(circuit.projections, Weight))
        read = list(walk((circuit.populations, circuit.projections), TensorRef))
        assert list(r.readings(circuit)) == read


def test_every_weight_of_what_a_compartment_receives():
    for circuit in CIRCUITS:
        for p in circuit.populations:
            onto = [q for q in circuit.projections if q.post == p.name]
            every = [*walk(p, Weight), *(q.weight for q in onto)]
            assert list(r.weights_onto(circuit, p)) == every
            for c in p.compartments:
                own = [*c.drive, *(q.weight for q in onto if q.compartment == c.name)]
                assert list(r.weights_onto(circuit, p, c.name)) == own


def test_every_domain_is_visited():
    for circuit in CIRCUITS:
        bounds = [bound for domain in r.domains_of(circuit) for bound in domain]
        assert bounds == list(walk((circuit.populations, circuit.projections), Bound))


# ---- ways --------------------------------------------------------------------------------------------


def graph_of(circuit, through=lambda projection: True):
    graph = nx.DiGraph()
    graph.add_nodes_from(p.name for p in circuit.populations)
    graph.add_edges_from((p.pre, p.post) for p in circuit.projections if through(p))
    return graph


def some_ways(circuit):
    """Nothing in the way, and some projections that are not gone through."""
    closed = {p.name for p in circuit.projections[::3]}
    return (lambda p: True), (lambda p: p.name not in closed)


def test_what_leads_to_populations_and_what_they_lead_to():
    for number, circuit in enumerate(CIRCUITS):
        names = random.Random(number).sample([p.name for p in circuit.populations], 2)
        for through in some_ways(circuit):
            graph = graph_of(circuit, through)
            for found, expected, towards in (
                (r.leading_to(circuit, names, through), nx.ancestors, graph.reverse()),
                (r.reachable_from(circuit, names, through), nx.descendants, graph),
            ):
                assert set(found) == set(names).union(*(expected(graph, n) for n in names))
                assert len(found) == len(set(found))
                far = nx.multi_source_dijkstra_path_length(towards, set(names))
                assert [far[name] for name in found] == sorted(far.values())  # nearest first


def test_the_longest_chains():
    for circuit in CIRCUITS:
        length = {p.name: 1 + number % 3 for number, p in enumerate(circuit.populations)}
        for through in some_ways(circuit):
            graph = graph_of(circuit, through)
            for pre, post in graph.edges:
                graph.edges[pre, post]["weight"] = length[post]
            graph.add_weighted_edges_from(("the start", name, n) for name, n in length.items())
            found = r.longest_chains(circuit, lambda p, n=length: n[p.name], through)
            for name in length:
                before = graph.subgraph({name, *nx.ancestors(graph, name)})
                assert found[name] == nx.dag_longest_path_length(before)
        whole = r.longest_chain(circuit, lambda p: 1)
        assert whole == nx.dag_longest_path_length(graph_of(circuit)) + 1


# ---- names -------------------------------------------------------------------------------------------


def test_fresh_names():
    assert r.fresh("a", ()) == "a"
    assert r.fresh("a", {"a", "a_3"}) == "a_2"
    assert r.fresh("a", ["a", "a_2", "a_3"]) == "a_4"
    assert r.fresh("a", {"a"}, "_v") == "a_v2"
    circuit = sampler()
    for kind in ("inputs", "parameters", "populations", "projections"):
        name = getattr(circuit, kind)[0].name
        assert r.fresh_name(circuit, name) == f"{name}_2"
        assert name in r.names_in(circuit)
    assert r.fresh_name(circuit, circuit.axes[0].name) == circuit.axes[0].name


KINDS = ("populations", "compartments", "axes", "tensors")


def names_of(circuit):
    """The names of each kind that `rename` knows."""
    return {
        "populations": {p.name for p in circuit.populations},
        "compartments": {c.name for p in circuit.populations for c in p.compartments},
        "axes": {a.name for a in circuit.axes},
        "tensors": {t.name for t in circuit.inputs + circuit.parameters},
    }


def others(circuit, kinds=KINDS):
    """Another name for each name of these kinds."""
    known = names_of(circuit)
    return {kind: {name: f"z{name}" for name in known[kind]} for kind in kinds}


@pytest.mark.parametrize("kinds", [KINDS, *((kind,) for kind in KINDS)], ids="-".join)
def test_a_renamed_circuit_has_the_new_names_and_none_of_the_old(kinds):
    for circuit in CIRCUITS:
        names = others(circuit, kinds)
        new = r.rename(circuit, **names)
        check(new)
        for kind, old in names_of(circuit).items():
            assert names_of(new)[kind] == {names.get(kind, {}).get(n, n) for n in old}
        back = {kind: {new: old for old, new in m.items()} for kind, m in names.items()}
        assert r.rename(new, **back) == circuit


@pytest.mark.slow
def test_a_renamed_circuit_computes_the_same():
    for number, circuit in enumerate(SMALL):
        names = others(circuit)
        inputs, weights = numbers(number, circuit, 3)
        given = [
            {names["tensors"][name]: array for name, array in arrays.items()}
            for arrays in (inputs, weights)
        ]
        run = get_runner("reference").run
        with np.errstate(all="ignore"):
            old, new = run(circuit, inputs, weights), run(r.rename(circuit, **names), *given)
        for name, array in old.items():
            np.testing.assert_allclose(new[name], array, rtol=1e-12)


def test_names_in_no_mapping_stay():
    for circuit in CIRCUITS:
        assert r.rename(circuit) == circuit
        assert r.rename(circuit, axes={"no such axis": "x"}, tensors={"y": "z"}) == circuit


def test_two_populations_become_one():
    circuit = attention()
    first, second = circuit.populations[:2]
    one = r.rename(r.replace_population(circuit, first.name), populations={first.name: second.name})
    assert all(p.pre != first.name for p in one.projections)
    assert len(one.projections_from(second.name)) == sum(
        len(circuit.projections_from(p.name)) for p in (first, second)
    )


# ---- one change for all parts of a kind ----------------------------------------------------------------


def test_mapping_changes_every_part_of_a_kind_and_nothing_else():
    for circuit in CIRCUITS:
        for change, kind in (
            (r.map_axes, "axes"),
            (r.map_parameters, "parameters"),
            (r.map_populations, "populations"),
            (r.map_projections, "projections"),
        ):
            changed = change(circuit, lambda part: replace(part, name=f"{part.name}!"))
            names = [part.name for part in getattr(circuit, kind)]
            assert [part.name for part in getattr(changed, kind)] == [f"{n}!" for n in names]
            assert replace(changed, **{kind: getattr(circuit, kind)}) == circuit


def doubled(weight):
    return replace(weight, gain=Gain(2.0) * weight.gain)


def test_mapping_weights():
    for circuit in CIRCUITS:
        parts = (circuit.populations, circuit.projections)
        changed = r.map_weights(circuit, doubled)
        after = list(walk((changed.populations, changed.projections), Weight))
        assert after == [doubled(w) for w in walk(parts, Weight)]
        assert r.map_weights(circuit, lambda w: w) == circuit
        population = r.map_drives(circuit.populations[0], doubled)
        before = circuit.populations[0]
        assert list(walk(population, Weight)) == [doubled(w) for w in walk(before, Weight)]


def test_mapping_one_compartment():
    circuit = attention()
    population = next(p for p in circuit.populations if len(p.compartments) > 1)
    name = population.compartments[1].name
    changed = r.map_compartment(
        circuit, population.name, name, lambda c: replace(c, drive=(Weight(),))
    )
    now = changed.population(population.name)
    assert now.compartment(name).drive == (Weight(),)
    assert now.compartments[0] == population.compartments[0]
    assert r.replace_population(changed, population.name, population) == circuit


# ---- some parts for others -----------------------------------------------------------------------------


def test_other_populations_stand_where_one_stood():
    circuit = attention()
    names = [p.name for p in circuit.populations]
    for new in ((), ("one",), ("one", "other")):
        cells = [replace(circuit.populations[1], name=name) for name in new]
        changed = r.replace_population(circuit, names[1], *cells)
        assert [p.name for p in changed.populations] == [names[0], *new, *names[2:]]


def test_other_projections_stand_where_the_first_one_stood():
    circuit = attention()
    old = list(circuit.projections)
    new = [replace(old[0], name=name) for name in ("one", "other")]
    changed = r.replace_projections(circuit, [old[3], old[1]], new).projections
    assert list(changed) == [old[0], *new, old[2], *old[4:]]
    assert list(r.replace_projections(circuit, [old[1]], []).projections) == [old[0], *old[2:]]
    assert list(r.replace_projections(circuit, [], new).projections) == [*old, *new]


def test_other_drives_stand_in_one_place():
    circuit = sampler()
    ends = [(p, c) for p in circuit.populations for c in p.compartments if c.drive]
    for population, part in ends:
        for place in range(len(part.drive)):
            for new in ((), (Weight(),), (Weight(), Weight(gain=Gain(2.0)))):
                changed = r.replace_drive(circuit, population.name, part.name, place, *new)
                drive = changed.population(population.name).compartment(part.name).drive
                assert drive == (*part.drive[:place], *new, *part.drive[place + 1 :])
                old = replace(changed, populations=circuit.populations)
                assert old == circuit


def test_drives_are_replaced_one_after_another():
    """A rewrite goes by the circuit that it is given, not by parts of an earlier one."""
    circuit = attention()
    name, part = circuit.populations[0].name, circuit.populations[0].compartments[0]
    first, second = Weight(gain=Gain(2.0)), Weight(gain=Gain(3.0))
    circuit = r.replace_drive(circuit, name, part.name, 0, *part.drive, *part.drive)
    for place, new in enumerate((first, second)):
        circuit = r.replace_drive(circuit, name, part.name, place, new)
    assert circuit.populations[0].compartments[0].drive == (first, second)


def test_numbers_of_some_parameters():
    circuit = attention()
    first, second = circuit.parameters[:2]
    changed = r.with_values(circuit, {first.name: first.values + 1})
    assert np.array_equal(changed.parameters[0].values, first.values + 1)
    assert changed.parameters[1] == second
    assert r.with_values(circuit, {}) == circuit


def test_a_bias_drives_a_compartment():
    circuit = attention()
    output = circuit.outputs[0].source
    axis = output.axes[-1]
    part = circuit.population(output.name).compartments[0].name
    values = np.arange(float(circuit.axis(axis).extent))
    changed = circuit
    for _ in range(2):  # the second gets a name of its own
        changed = r.with_bias(changed, (output.name, part), "b", (axis,), values)
    check(changed)
    assert [p.name for p in changed.parameters[-2:]] == ["b", "b_2"]
    inputs, weights = numbers(0, circuit, 3)
    (old,), (new,) = (
        get_runner("reference").run(c, inputs, weights).values() for c in (circuit, changed)
    )
    np.testing.assert_allclose(new, old + 2 * values)


def test_a_smaller_axis_leaves_gains_as_they_were():
    powers = (("a", Fraction(-1, 2)), ("n", Fraction(1)), ("a", Fraction(2)))
    circuit = r.map_weights(attention(keys=4), lambda w: replace(w, gain=Gain(3.0, powers)))
    changed = r.with_extent(circuit, "a", 2)
    assert changed.axis("a").extent == 2
    assert changed.axis("c") == circuit.axis("c")
    for weight in r.weights_of(changed):
        assert weight.gain == Gain(3.0 * 4**1.5, (("n", Fraction(1)),))


def test_unused_tensors_and_axes_go():
    for circuit in CIRCUITS:
        text = print_circuit(circuit)
        extra = (Parameter("unread", ("n",)), *circuit.parameters, Parameter("unread_2", ()))
        kept = r.without_unused_tensors(replace(circuit, parameters=extra))
        used = [p for p in circuit.parameters if is_used(text, p.name)]
        assert list(kept.parameters) == used
        assert r.without_unused_tensors(kept) is kept
        axes = {axis for p in circuit.populations for axis in p.axes}
        axes |= {axis for p in circuit.projections for axis in p.at}
        axes |= {axis for gain in walk(circuit, Gain) for axis, _ in gain.sizes}
        wide = replace(circuit, axes=(*circuit.axes, replace(circuit.axes[0], name="unread")))
        found = [axis.name for axis in r.without_unused(wide).axes]
        assert found == [axis.name for axis in circuit.axes if axis.name in axes]


def is_used(text, name):
    """Whether the text form has a tensor elsewhere than where it is declared."""
    lines = [line for line in text.splitlines() if not line.startswith(f"parameter {name} ")]
    return any(name in re.findall(r"\w+", line) for line in lines)
