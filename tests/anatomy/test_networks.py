"""The audit of whole models: told block by block, it says of every projection what the flat circuit's audit says."""

from collections import Counter
from dataclasses import replace

import pytest

from cortico.anatomy import Verdict, audit, audit_network
from cortico.anatomy.markdown import audit_markdown, finding_table, measure_table, summary
from cortico.ir.network import Node, circuit_at
from cortico.ir.network import network as join
from cortico.ir.paths import prefix
from cortico.ir.text import parse_circuit
from cortico.lowering import lower_model
from cortico.spec import AttentionSpec, Branch, Layer, ModelSpec, Norm, Stack, Step, Way
from tests.backends.networks.models import network as of_any_size

TOKENS = 5
NAMES = ["llama", "encoder", "translator", "parallel"]


def sized(name):
    made = of_any_size(name)
    return made.bind(**dict.fromkeys(made.symbols, TOKENS))


@pytest.fixture(scope="module", params=NAMES)
def made(request):
    """A network and its audit."""
    return sized(request.param), audit_network(sized(request.param))


def test_it_says_of_every_projection_what_the_flat_audit_says(made):
    network, found = made
    flat = network.flatten()
    alone = audit(flat)
    told = {name: each for each in found.findings for name in each.projections}
    assert Counter(name for each in found.findings for name in each.projections) == Counter(
        p.name for p in flat.projections
    )
    for name, verdict in alone.verdicts.items():
        assert told[name].verdict is verdict
        rules = [(f.verdict, f.rule, f.pathways) for f in alone.of(name)]
        assert [(f.verdict, f.rule, f.pathways) for f in told[name].findings] == rules
    for p in flat.projections:
        node = network[flat.population(p.post).path]
        assert told[p.name].block == network.block_names[node.circuit]
        assert told[p.name].source == heard(network, flat.population(p.pre), node)


def heard(network, population, node):
    """What is heard: a population of the block itself, or of another block."""
    name = population.name.removeprefix(prefix(population.path))
    block = network.block_names[network[population.path].circuit]
    return name if population.path == node.path else f"{block}.{name}"


def test_synapses_are_those_of_all_nodes(made):
    network, found = made
    counts = network.counts()
    for each in found.findings:
        assert each.synapses == sum(counts.synapses_of[name] for name in each.projections)
    assert sum(each.synapses for each in found.findings) == counts.synapses
    assert sum(found.share(verdict) for verdict in Verdict) == pytest.approx(1)


def test_blocks_are_told_once(made):
    """What is within a block is one row, whatever is around it: only wires differ by what they come from."""
    network, found = made
    rows = Counter((each.block, each.name) for each in found.findings if "." not in each.source)
    assert set(rows.values()) == {1}
    for circuit, nodes in network.blocks.items():
        block = network.block_names[circuit]
        own = [each for each in found.findings if each.block == block and "." not in each.source]
        assert {each.name for each in own} == {p.name for p in circuit.projections}
        assert all(each.paths == tuple(node.path for node in nodes) for each in own)


BY_BLOCK = ("neurons_per_microcolumn", "neurons_per_column", "neurons_per_area")


def test_numbers_of_cells_are_those_of_each_block(made):
    network, found = made
    for node in network.nodes:
        alone = {m.rule: m.found for m in audit(circuit_at(network, node.path)).measures}
        told = {
            each.measure.rule: each.measure.found
            for each in found.measures
            if node.path in each.paths and each.measure.rule in BY_BLOCK
        }
        assert told == {rule: alone[rule] for rule in BY_BLOCK if rule in alone}


def test_a_residual_by_way_of_relay_cells_is_contradicted():
    for way, expected in ((Way.RELAY, {"stream"}), (Way.DEEP, set())):
        step = Step((Branch(attention=AttentionSpec(8, heads=2)),), norm=Norm(8), way=way)
        made = lower_model(ModelSpec(Stack(8, (Layer((step,), 3),))))
        bad = [
            each
            for each in audit_network(made).findings
            if each.verdict is Verdict.CONTRADICTED and each.source == "attention.relay"
        ]
        assert {each.target.partition(".")[0] for each in bad} == expected
        assert all(len(each.paths) == 3 for each in bad)


def test_what_differs_between_nodes_is_apart():
    """Weights of one sign in one level: its number has another verdict, and the others have a range."""
    made = sized("llama")
    node = made["layer[0].attention"]
    values = {**node.values, "W_V": abs(node.values["W_V"])}
    nodes = tuple(replace(n, values=values) if n is node else n for n in made.nodes)
    found = audit_network(replace(made, nodes=nodes))
    signs = [
        (m.measure.verdict, m.paths)
        for m in found.measures
        if (m.block, m.measure.subject, m.measure.rule)
        == ("attention", "value", "cells_have_one_sign")
    ]
    assert signs == [
        (Verdict.SUPPORTED, ("layer[0].attention",)),
        (Verdict.CONTRADICTED, ("layer[1].attention",)),
    ]
    query = next(m.measure.found for m in found.measures if m.measure.subject == "query")
    assert query.count("inhibit") in (1, 2)


#: Deep cells of two areas that reach cells of both, and are given to the outside.
DEEP = """cortico circuit 1
name "deep"
axis h : area 2
axis i : column n
input x (2, n)
population deep [h, i] cortex.L5 pyramidal_pt
  basal multiplies x[h, i]
population cell [i] cortex.L5 pyramidal_pt
  basal multiplies
projection across deep -> cell.basal weight 1.0
output y = deep[h, i]
output z = cell[i]
"""

RELAY = """cortico circuit 1
name "relay"
axis h : feature 2
axis i : column n
input x (2, n)
population relay [h, i] thalamus.higher_order relay
  driver multiplies x[h, i]
output y = relay[h, i]
"""


def test_what_is_around_a_block_may_change_the_verdict_within():
    """Cells of two nodes reach another area; those of one are wired to the thalamus, too."""
    deep, relay = parse_circuit(DEEP), parse_circuit(RELAY)
    nodes = [Node(f"layer[{k}].deep", deep) for k in (0, 1, 2)] + [Node("relay", relay)]
    wires = [("x", f"layer[{k}].deep.x") for k in (0, 1, 2)] + [("layer[1].deep.y", "relay.x")]
    outputs = {f"z{k}": f"layer[{k}].deep.z" for k in (0, 1, 2)} | {"y": "relay.y"}
    found = audit_network(join("around", deep.inputs, nodes, wires, outputs))
    alone, wired, wire = found.findings
    assert (alone.verdict, alone.paths) == (Verdict.CONTESTED, ("layer[0].deep", "layer[2].deep"))
    assert (wired.verdict, wired.paths) == (Verdict.CONTRADICTED, ("layer[1].deep",))
    assert (wire.block, wire.source, wire.verdict) == ("relay", "deep.deep", Verdict.CONTRADICTED)
    assert wired.findings[0].statement.startswith("deep feeds the thalamus and another area")
    assert "(see relay_x)" in wired.findings[0].statement


def test_tables_and_documents(made):
    network, found = made
    header, *rows = finding_table(found)
    assert len(rows) == sum(len(each.findings) for each in found.findings)
    assert all(len(row) == len(header) for row in rows)
    assert "layer_" not in "".join(map(" ".join, rows))
    header, *rows = measure_table(found)
    assert all(len(row) == len(header) for row in rows)
    flat = [row[0] for row in measure_table(found.flat)]
    assert len(flat) == len(set(flat))  # each says of which block it is
    text = audit_markdown(found)
    assert text.startswith(f"# Anatomy of {network.name}\n") and "the whole model" in text
    total = len(found.flat.circuit.projections)
    assert summary(found).startswith(f"{total} projections: ") and "% of synapses)" in summary(
        found
    )
    assert "of synapses" not in summary(audit_network(of_any_size("llama")))
