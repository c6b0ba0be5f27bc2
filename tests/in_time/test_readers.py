"""Whoever reads a circuit heeds delays and integration, or refuses the circuit by name: never wrong in silence."""

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from pyarrow import parquet

from cortico import AttentionSpec, CorticoError, PassError, compile_attention, export_circuit
from cortico.anatomy import audit
from cortico.anatomy.suggestions import pass_alternatives
from cortico.backends import Runner, backend_names, get_backend, require_support
from cortico.backends.sonata.reading import read_sonata
from cortico.backends.trajectory import run_in_time
from cortico.experiment.activity import observe
from cortico.experiment.cut import lesion
from cortico.experiment.freezing import freeze
from cortico.files.synapse_table import write_synapses
from cortico.ir import (
    CircuitError,
    Delay,
    DelayUnit,
    Gain,
    Integration,
    Output,
    SpecError,
    TensorRef,
)
from cortico.ir.analysis.signs import Signs
from cortico.ir.network import Node, network
from cortico.learning import differentiate
from cortico.learning.online import presented
from cortico.learning.untied import untie
from cortico.passes import (
    PASSES,
    compare_meaning,
    parse_passes,
    run_across,
    run_on_blocks,
    run_passes,
)
from cortico.passes.registry import NETWORK_PASSES
from cortico.pictures import draw
from cortico.report.difference import circuit_differences
from cortico.report.networks import block_table
from cortico.report.summary import equation, pass_table, pathway_table
from tests.in_time.circuits import SETTLED, W, X, delayed, leaking, trn_loop

CIRCUITS = {name: make for name, (make, _) in SETTLED.items()}
living = pytest.mark.parametrize("name", CIRCUITS)

#: What computes a circuit where it rests takes those whose rest is known in closed form.
AT_REST = {"jax", "numpy", "onnx", "torch"}
#: Those that take all circuits in time; what simulators take is in their own tests.
IN_TIME = {"graphml", "reference", "sonata"}
#: Loading JAX or PyTorch takes longer than all else here.
BACKENDS = [
    pytest.param(name, marks=pytest.mark.full if name in ("jax", "torch") else ())
    for name in backend_names()
]
#: Of the passes those that keep the whole way of a circuit.
HOLD = {"restrict-domain", "prune-dead", "prune-small", "quantize"}


def named_in(error, circuit):
    """Whether an error says what lives in time, or which cells have no rest that is known."""
    told = str(error)
    unknown = "rest is not known in closed form" in told and circuit.populations[0].name in told
    return unknown or all(part in told for part in circuit.living_in_time)


# ---- backends and passes ---------------------------------------------------------------------------


@living
@pytest.mark.parametrize("backend", BACKENDS)
def test_each_backend_is_right_or_refuses(name, backend, tmp_path):
    make, expected = SETTLED[name]
    circuit, target = make(), get_backend(backend)
    try:
        require_support(target, circuit)
    except CorticoError as error:
        assert named_in(error, circuit) and repr(backend) in str(error)
        assert backend not in IN_TIME and (backend not in AT_REST or name != "delayed")
        return
    if backend in IN_TIME | AT_REST and isinstance(target, Runner):
        assert backend in IN_TIME or name == "delayed"
        options = {"dt": 0.5, "tau": 5.0} if backend in IN_TIME else {}
        found = get_backend(backend, **options).run(circuit, {"x": X})["y"]
        assert np.abs(found - expected).max() < 1e-7
    elif backend in IN_TIME:
        export_circuit(circuit, target, tmp_path / "out")  # what it says: the tests below


@living
def test_a_run_in_time_ends_there(name):
    make, expected = SETTLED[name]
    ran = run_in_time(make(), {"x": X}, duration=500.0, dt=0.5)
    assert np.abs(ran.outputs["y"][-1] - expected).max() < 1e-9


@living
@pytest.mark.parametrize("kind", PASSES, ids=lambda kind: kind.name)
def test_each_pass_keeps_the_way_or_refuses(name, kind):
    circuit = CIRCUITS[name]()
    assert kind.in_time == (kind.name in HOLD)
    if kind.in_time:
        after, _ = run_passes(circuit, [kind()], compare_meaning)
        assert [p.delay for p in after.projections] == [p.delay for p in circuit.projections]
        return
    with pytest.raises(PassError) as caught:
        run_passes(circuit, [kind()])
    assert f"pass {kind.name} does not hold for circuit {name!r}" in str(caught.value)
    assert named_in(caught.value, circuit)


def with_dead_parts():
    """A loop beside which cells are unheard, silent, or hear nothing; some integrate, and some start fires."""
    circuit = trn_loop()
    core, trn = circuit.populations
    silent = replace(
        trn, name="silent", compartments=(replace(trn.compartments[0], drive=(ZERO,)),)
    )
    begun = replace(silent, name="begun", integrates=Integration(1.0, 0.25))
    unheard = replace(trn, name="unheard")
    down, back = circuit.projections
    added = (
        replace(down, name="to_unheard", post="unheard", delay=Delay(1.0)),
        replace(back, name="from_silent", pre="silent"),
        replace(back, name="from_begun", pre="begun", delay=Delay(5.0)),
    )
    return replace(
        circuit,
        populations=(core, trn, silent, begun, unheard),
        projections=(*circuit.projections, *added),
    )


ZERO = replace(trn_loop().projections[1].weight, tensor=None, gain=Gain(0.0))


def test_dead_parts_of_a_loop_go_and_the_rest_moves_as_before():
    circuit = with_dead_parts()
    after, _ = run_passes(circuit, parse_passes("prune-dead"), compare_meaning)
    assert [p.name for p in after.populations] == ["core", "trn", "begun"]
    one, other = (run_in_time(c, {"x": X}, duration=20.0) for c in (circuit, after))
    assert np.array_equal(one.outputs["y"], other.outputs["y"])
    without = replace(
        after,
        populations=after.populations[:2],
        projections=tuple(p for p in after.projections if p.pre != "begun"),
    )
    assert not np.allclose(
        run_in_time(without, {"x": X}, duration=20.0).outputs["y"], one.outputs["y"]
    )


def test_a_pass_that_loses_a_delay_is_caught():
    circuit = trn_loop()
    lost = replace(circuit.projections[1], delay=Delay(2.5))
    with pytest.raises(PassError, match="changed its output"):
        compare_meaning(circuit, replace(circuit, projections=(circuit.projections[0], lost)))


def test_a_pipeline_leaves_out_what_does_not_hold_and_says_so():
    circuit = with_dead_parts()
    after, steps = run_passes(circuit, parse_passes("default"), compare_meaning)
    left = [step.name for step in steps if step.left_out]
    assert left == [
        "drop-softmax-shift", "move-value-bias", "share-relays", "merge-duplicates", "fold-constants",
    ]  # fmt: skip
    assert len(after.populations) == 3 and not any(s.changed for s in steps if s.left_out)
    text = pass_table(steps).markdown()
    assert "share-relays: left out, does not hold for circuits that live in time" in text
    with pytest.raises(PassError, match="pass fold-constants does not hold"):
        run_passes(circuit, parse_passes("default,fold-constants"))
    feed_forward = compile_attention(AttentionSpec(4))
    assert not any(step.left_out for step in feed_forward.steps)


def test_a_pipeline_leaves_out_what_does_not_hold_for_a_block_only():
    """The other block, which lives without time, goes through all of it."""
    plain = replace(delayed(), projections=(replace(delayed().projections[0], delay=None),))
    nodes = [Node("a", delayed()), Node("b", plain)]
    made = network("n", delayed().inputs, nodes, [("x", "a.x"), ("a.y", "b.x")], {"y": "b.y"})
    after, steps = run_on_blocks(made, parse_passes("default"))
    assert after["a"].circuit.lives_in_time and not any(step.left_out for step in steps["b"])
    assert sum(bool(step.left_out) for step in steps["a"]) == 5
    rows = block_table(after, steps).rows
    assert [("left out: drop-softmax-shift" in row[1]) for row in rows] == [True, False]


@pytest.mark.parametrize("kind", NETWORK_PASSES, ids=lambda kind: kind.name)
def test_passes_across_wires_refuse(kind):
    made = network("n", delayed().inputs, [Node("a", delayed())], [("x", "a.x")], {"y": "a.y"})
    with pytest.raises(PassError, match=f"pass {kind.name} does not hold for a, .* up has a delay"):
        run_across(made, [kind()])


# ---- files, tables, graphs -------------------------------------------------------------------------


def test_graphs_say_delays_and_integration():
    for level, edge in (("population", ("trn", "core")), ("neuron", (2, 0))):
        graph = trn_loop().to_networkx(level)
        assert [e["delay"] for e in graph.get_edge_data(*edge).values()] == ["2.0 ms"]
        down = graph.get_edge_data(*edge[::-1]).values()
        assert all("delay" not in each for each in down)
        first = next(iter(leaking().to_networkx(level).nodes.values()))
        assert first["integrates"] == "0.1 per ms from 0.5"
    (text,) = get_backend("graphml").emit(trn_loop()).values()
    assert "2.0 ms" in text


def test_tables_of_synapses_have_delays_where_there_are_some(tmp_path):
    write_synapses(trn_loop(), tmp_path / "s.parquet")
    table = parquet.read_table(tmp_path / "s.parquet").to_pydict()
    late = [2.0 if name == "back" else None for name in table["projection"]]
    assert table["delay"] == late and len(late) == 8
    write_synapses(trn_loop(), tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert np.array_equal(file["delay"][:], np.array(late, float), equal_nan=True)
    write_synapses(leaking(), tmp_path / "t.parquet")
    found = parquet.read_table(tmp_path / "t.parquet")
    assert "delay" not in found.column_names
    about = json.loads(found.schema.metadata[b"cortico"])["populations"]
    assert [p.get("integrates") for p in about] == ["0.1 per ms from 0.5", None]
    with pytest.raises(
        SpecError, match="'back' has a delay of 2 steps, which are no ms before a run"
    ):
        write_synapses(trn_loop(Delay(2.0, DelayUnit.STEPS)), tmp_path / "u.parquet")


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines(), delimiter=" "))


def test_sonata_has_delays_in_ms_and_reads_them_back(tmp_path):
    export_circuit(trn_loop(), "sonata", tmp_path / "a")
    rows = rows_of(tmp_path / "a" / "edge_types.csv")
    assert [row["delay"] for row in rows] == ["NULL", "2.0"]
    assert read_sonata(tmp_path / "a") == trn_loop()
    types = tmp_path / "a" / "edge_types.csv"
    types.write_text(types.read_text().replace(" 2.0\n", " 3.0\n"))
    with pytest.raises(SpecError, match=r"edge_types.csv has .* 3\.0.*change the circuit"):
        read_sonata(tmp_path / "a")
    export_circuit(leaking(), "sonata", tmp_path / "b")
    rows = rows_of(tmp_path / "b" / "node_types.csv")
    assert [row["integrates"] for row in rows] == ["0.1 per ms from 0.5", "NULL"]
    assert read_sonata(tmp_path / "b") == leaking()
    with pytest.raises(SpecError, match="no ms before a run"):
        export_circuit(trn_loop(Delay(2.0, DelayUnit.STEPS)), "sonata", tmp_path / "c")


def test_reports_and_differences_say_them():
    assert equation(leaking(), leaking().population("core")) == (
        "core[m] = 0.5 + 0.1 per ms · ∫ driver"
    )
    assert pathway_table(trn_loop()).header[-2:] == ("delay", "synapses")
    assert [row[-2] for row in pathway_table(trn_loop()).rows] == ["–", "2.0 ms"]
    assert "delay" not in pathway_table(leaking()).header
    (found,) = circuit_differences(trn_loop(), trn_loop(Delay(3.0)))
    assert (found.name, found.what, found.first, found.second) == (
        "back",
        "delay",
        "2.0 ms",
        "3.0 ms",
    )
    (found,) = circuit_differences(leaking(), leaking(0.0))
    assert (found.what, found.second) == ("integrates", "0.1 per ms")


@living
@pytest.mark.parametrize("kind", ["laminar", "areas", "microcolumn", "matrix", "counts"])
def test_pictures_are_drawn(name, kind, tmp_path):
    if (name, kind) != ("leaking", "matrix"):
        draw(CIRCUITS[name](), kind, tmp_path / "p.svg")


# ---- what is said of rates -------------------------------------------------------------------------


@living
@pytest.mark.parametrize(
    "ask",
    [
        lambda c: freeze(c, {"x": X}),
        differentiate,
        presented,
    ],
    ids=["freeze", "differentiate", "presented"],
)
def test_what_asks_for_rates_one_after_another_refuses(name, ask):
    circuit = CIRCUITS[name]()
    with pytest.raises(
        Exception, match=r"lives in time|neither integrate|cannot read|rest is not known"
    ):
        ask(circuit)


def test_observed_rates_of_a_delayed_circuit_are_those_at_rest():
    seen = observe(delayed(), {"x": X})
    assert np.allclose(seen.rates["relay"], W @ X)
    with pytest.raises(CircuitError, match="rest is not known in closed form: core, trn"):
        observe(trn_loop(), {"x": X})


def test_untied_parameters_keep_delays():
    assert [p.delay for p in untie(trn_loop()).projections] == [None, Delay(2.0)]


def test_signs_hold_on_the_way_round_a_loop():
    """An excitatory loop never falls below zero, one with inhibition may; twins that hear at two times are no square."""
    circuit = trn_loop()
    assert Signs(circuit).positive == frozenset()  # x may be negative
    core, trn = circuit.populations
    one = replace(core.compartments[0], drive=(replace(ZERO, gain=Gain(1.0)),))
    down, back = circuit.projections
    excited = replace(back, weight=replace(back.weight, gain=Gain(1.0)))
    driven = replace(circuit, populations=(replace(core, compartments=(one,)), trn))
    assert Signs(replace(driven, projections=(down, excited))).positive == {"core", "trn"}
    assert Signs(driven).positive == frozenset()
    below = replace(trn.compartments[0], drive=(replace(ZERO, gain=Gain(-1.0)),))
    falling = replace(
        driven, populations=(driven.populations[0], replace(trn, compartments=(below,)))
    )
    assert Signs(replace(falling, projections=(down, excited))).positive == frozenset()
    twins = (core.compartments[0], replace(core.compartments[0], name="twin", drive=()))
    heard = tuple(
        replace(down, name=part, post="square", compartment=part, delay=Delay(late))
        for part, late in (("a", 1.0), ("b", 2.0))
    )
    parts = tuple(replace(twins[1], name=part) for part in "ab")
    square = replace(trn, name="square", compartments=parts)
    both = replace(
        circuit,
        populations=(core, trn, square),
        projections=(down, back, *heard),
        outputs=(Output("y", TensorRef("square", ("k",))),),
    )
    assert "square" not in Signs(both).positive
    same = replace(both, projections=(down, back, heard[0], replace(heard[1], delay=Delay(1.0))))
    assert "square" in Signs(same).positive
    assert "square" not in Signs(with_begun(same, -1.0)).positive


def with_begun(circuit, start):
    """The circuit whose squares integrate, from a rate on."""
    own = tuple(
        replace(p, integrates=Integration(1.0, start)) if p.name == "square" else p
        for p in circuit.populations
    )
    return replace(circuit, populations=own)


@living
def test_the_audit_takes_loops_and_suggests_what_holds_for_them(name):
    circuit = CIRCUITS[name]()
    assert audit(circuit).measures
    assert {a.change[:20] for a in pass_alternatives(circuit)} == {"--passes 'prune-small"[:20]}


# ---- lesions ---------------------------------------------------------------------------------------


def test_a_lesion_of_cells_that_integrate_takes_what_they_started_from_too():
    """Not what they integrate, which would leave them at their start."""
    silenced = lesion(leaking(), "population:core")
    ran = run_in_time(silenced, {"x": X}, duration=50.0)
    assert not ran.outputs["y"].any()
    half = run_in_time(lesion(leaking(), "projection:up", 0.5), {"x": X}, duration=500.0, dt=0.5)
    assert np.allclose(half.outputs["y"][-1], 0.5 * W @ X)


def test_a_lesion_that_needs_cells_that_follow_is_refused_in_time():
    bent = replace(
        trn_loop(), populations=tuple(replace(p, transfer="tanh") for p in trn_loop().populations)
    )
    with pytest.raises(
        CircuitError, match=r"the output core needs cells that follow others.*back has a delay"
    ):
        lesion(bent, "population:core")
    down = [p for p in lesion(bent, "population:trn").projections if p.name == "back"]
    assert down[0].weight.gain.coefficient == 0 and down[0].delay == Delay(2.0)


def test_a_lesion_scales_the_whole_way_of_rates():
    halved = lesion(trn_loop(), "population:trn", 0.5)
    direct = trn_loop()
    down, back = direct.projections
    half = replace(back, weight=replace(back.weight, gain=Gain(-0.5)))
    direct = replace(direct, projections=(down, half))
    one, other = (run_in_time(c, {"x": X}, duration=50.0).outputs["y"] for c in (halved, direct))
    assert np.allclose(one, other, rtol=1e-12)
