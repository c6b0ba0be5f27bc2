"""Delays and populations that integrate, as parts of circuits: text, rules, builder, rewrites, networks."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings

from cortico import CircuitBuilder, CircuitError, load_circuit, save_circuit
from cortico.ir import Axis, Delay, DelayUnit, Input, Integration, Role, Unfold, check
from cortico.ir.network import Node, network
from cortico.ir.rewrite import names_in, rename
from cortico.ir.text import parse_circuit, print_circuit
from cortico.ir.text.networks import parse_network
from tests.in_time.circuits import delayed, leaking, trn_loop
from tests.strategies import circuits


def with_delay(delay, circuit=None):
    circuit = circuit or trn_loop()
    late = (replace(p, delay=delay) if p.name == "back" else p for p in circuit.projections)
    return replace(circuit, projections=tuple(late))


def with_integration(integrates):
    circuit = leaking()
    own = (
        replace(p, integrates=integrates and p.integrates and integrates)
        for p in circuit.populations
    )
    return replace(circuit, populations=tuple(own))


# ---- text ------------------------------------------------------------------------------------------


def test_the_text_says_delays_and_integration():
    text = print_circuit(trn_loop(Delay(2.0, DelayUnit.STEPS)))
    assert "-> core.driver weight -1.0 * W[m, k] delay 2 steps\n" in text
    assert "weight -1.0 * W[m, k] delay 0.5 ms\n" in print_circuit(trn_loop(Delay(0.5)))
    assert "relay integrates 0.1 per ms from 0.5\n" in print_circuit(leaking())
    assert "relay integrates 0.1 per ms\n" in print_circuit(leaking(0.0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("delay 2.0 ms", "delay ms", "expected a delay such as 1.5 ms or 2 steps, found 'ms'"),
        ("delay 2.0 ms", "delay 2.0 sm", "expected the unit of a delay (ms, steps), found 'sm'"),
        ("delay 2.0 ms", "delay 2.0", "expected the unit of a delay"),
        ("delay 2.0 ms", "dleay 2.0 ms", "expected the end of the line, found 'dleay'"),
        ("per ms", "per s", "expected 'ms', found 's'"),
        ("per ms", "ms", "expected 'per', found 'ms'"),
        ("integrates 0.1", "integrates", "expected a number per ms, found 'per'"),
        ("from 0.5", "from", "expected the rate at the start"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(old, new, message):
    text = print_circuit(leaking() if old in print_circuit(leaking()) else trn_loop())
    values = {"W": leaking().parameters[0].values}
    with pytest.raises(CircuitError) as caught:
        parse_circuit(text.replace(old, new, 1), values)
    assert str(caught.value).startswith("line ") and message in str(caught.value)


def test_equal_where_delays_and_integration_are():
    assert trn_loop() == trn_loop() and hash(trn_loop()) == hash(trn_loop())
    assert len({trn_loop(), trn_loop(Delay(3.0)), trn_loop(Delay(2.0, DelayUnit.STEPS))}) == 3
    assert len({leaking(), leaking(0.0), with_integration(Integration(0.2, 0.5))}) == 3


# ---- rules -----------------------------------------------------------------------------------------

MESSAGES = {
    "has a cycle: core -> trn -> core, in which nothing has a delay or integrates": lambda: (
        with_delay(None)
    ),
    "projection 'back' has delay 0.0 ms, expected a number of ms above 0": lambda: with_delay(
        Delay(0.0)
    ),
    "projection 'back' has delay -1.0 ms": lambda: with_delay(Delay(-1.0)),
    "projection 'back' has delay nan ms": lambda: with_delay(Delay(math.nan)),
    "projection 'back' has delay inf ms": lambda: with_delay(Delay(math.inf)),
    "projection 'back' has delay 10001.0 ms, expected a number of ms above 0 and up to 10,000": (
        lambda: with_delay(Delay(10_001.0))
    ),
    "projection 'back' has delay 1.5 steps, expected a whole number of steps": lambda: with_delay(
        Delay(1.5, DelayUnit.STEPS)
    ),
    "population 'core' integrates 0.0 per ms from 0.0, expected a positive finite number": (
        lambda: with_integration(Integration(0.0))
    ),
    "population 'core' integrates nan per ms": lambda: with_integration(Integration(math.nan)),
    "population 'core' integrates 1.0 per ms from nan": lambda: with_integration(
        Integration(1.0, math.nan)
    ),
    "axes t unfold in time, where cells neither integrate nor hear with delays": lambda: replace(
        trn_loop(),
        axes=(*trn_loop().axes, Axis("t", Role.COLUMN, "n", Unfold.TIME)),
        inputs=(*trn_loop().inputs, Input("z", ("n",))),
    ),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_each_rule_is_told_once(message):
    with pytest.raises(CircuitError) as caught:
        check(MESSAGES[message]())
    assert message in str(caught.value)
    assert str(caught.value).count("\n  - ") == 1


def test_cells_that_integrate_may_hear_themselves():
    check(leaking())
    with pytest.raises(CircuitError, match="core -> core"):
        check(with_integration(None))


def test_what_computes_rates_one_after_another_is_told_what_lives_in_time():
    with pytest.raises(CircuitError, match="'trn loop' lives in time: back has a delay"):
        _ = trn_loop().order
    with pytest.raises(CircuitError, match="'leaking' lives in time: core integrates"):
        _ = leaking().order
    assert [p.name for p in trn_loop().order_in_time] == ["core", "trn"]


@settings(max_examples=50)
@given(circuits(living=True))
def test_a_random_living_circuit_is_whole_and_its_order_holds(circuit):
    check(circuit)
    places = {p.name: k for k, p in enumerate(circuit.order_in_time)}
    for projection in circuit.projections:
        if projection.delay is None and not circuit.population(projection.pre).integrates:
            assert places[projection.pre] < places[projection.post]


# ---- builder, rewrites, networks -------------------------------------------------------------------


def test_the_builder_takes_them_and_refuses_others():
    builder = CircuitBuilder("x")
    with pytest.raises(TypeError):
        builder.project("p", "a", "b", "c", delays=Delay(1.0))


@settings(max_examples=30)
@given(circuits(living=True))
def test_renaming_keeps_delays_and_integration(circuit):
    names = {p.name: f"{p.name}_new" for p in circuit.populations}
    axes = {axis.name: f"{axis.name}_new" for axis in circuit.axes}
    tensors = {t.name: f"{t.name}_t" for t in (*circuit.inputs, *circuit.parameters)}
    renamed = rename(circuit, populations=names, axes=axes, tensors=tensors)
    assert [p.delay for p in renamed.projections] == [p.delay for p in circuit.projections]
    assert [p.integrates for p in renamed.populations] == [
        p.integrates for p in circuit.populations
    ]
    assert not names_in(renamed) & set(names)


def two_loops():
    nodes = [Node("layer[0].loop", trn_loop()), Node("layer[1].loop", trn_loop())]
    nodes.append(Node("out", leaking()))
    wires = [("x", "layer[0].loop.x"), ("layer[0].loop.y", "layer[1].loop.x")]
    wires.append(("layer[1].loop.y", "out.x"))
    return network("two", [Input("x", (2,))], nodes, wires, {"y": "out.y"})


def test_a_network_keeps_them_in_text_and_laid_side_by_side():
    made = two_loops()
    flat = made.flatten()
    delays = {p.name: p.delay for p in flat.projections if p.delay}
    assert delays == {"layer_0_loop_back": Delay(2.0), "layer_1_loop_back": Delay(2.0)}
    assert flat.population("out_core").integrates == Integration(0.1, 0.5)
    assert flat.lives_in_time and len(flat.living_in_time) == 3
    values = {f"{made.block_names[c]}:W": c.parameters[0].values for c in made.blocks}
    assert parse_network(str(made), values) == made


def test_a_cycle_of_wires_is_refused_though_the_blocks_have_delays():
    """What nodes give each other has no delay of its own: a loop is made within a block."""
    nodes = [Node("one", trn_loop()), Node("two", trn_loop())]
    wires = [("one.y", "two.x"), ("two.y", "one.x")]
    with pytest.raises(CircuitError, match="has a cycle: "):
        network("circle", [], nodes, wires, {"y": "two.y"})


def test_saved_and_loaded(tmp_path):
    for circuit in (trn_loop(), delayed(), leaking()):
        save_circuit(circuit, tmp_path / "c.cortico", force=True)
        assert load_circuit(tmp_path / "c.cortico") == circuit
