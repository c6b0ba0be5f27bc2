"""SONATA folders as libsonata reads them: counts, ends, weights, index and positions of every neuron."""

import csv
import dataclasses
import importlib.util
import itertools
import json

import numpy as np
import pytest

from cortico import SpecError, UnsupportedError, compile_attention, load_circuit, lower
from cortico.backends import get_backend
from cortico.backends.sonata import SonataBackend
from cortico.backends.sonata.positions import BAND, GAP
from cortico.backends.sonata.reading import read_sonata
from cortico.backends.sonata.target_index import indexable
from cortico.ir import Unfold
from cortico.spec import AttentionSpec, Mask
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import first

libsonata = pytest.importorskip("libsonata")
h5py = pytest.importorskip("h5py")

HEAD = AttentionSpec(model=4, heads=1, tokens=64, name="a head of 64 tokens")
CASE = {case.name: case for case in CASES}
SIZES = {"n": 4, "n_context": 3}


def quiet(stage):
    """No progress."""


def export(circuit, folder, **options):
    folder.mkdir(exist_ok=True)
    backend = SonataBackend(**options)
    assert backend.unsupported(circuit) == []
    backend.write(circuit, folder, quiet)
    return opened(folder)


def opened(folder):
    config = libsonata.CircuitConfig.from_file(str(folder / "circuit_config.json"))
    return config.node_population("neurons"), config.edge_population("neurons_to_neurons")


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A compiled head of 64 tokens as `cortico compile --backend sonata` writes it."""
    folder = tmp_path_factory.mktemp("sonata") / "head"
    compilation = compile_attention(
        HEAD, random_weights(HEAD, 0), "none", SonataBackend(block=99_991)
    )
    names = compilation.write(folder)
    assert set(names) == {path.name for path in folder.iterdir()}
    return folder, compilation.circuit


def in_space(circuit):
    """With numbers for its sizes, and one neuron for every index."""
    circuit = circuit.bind(**{symbol: SIZES[symbol] for symbol in circuit.symbols})
    axes = tuple(dataclasses.replace(axis, unfold=Unfold.SPACE) for axis in circuit.axes)
    return dataclasses.replace(circuit, axes=axes)


def all_of(population, name):
    return population.get_attribute(name, population.select_all())


def test_every_synapse_is_that_of_the_view(head):
    folder, circuit = head
    _, edges = opened(folder)
    assert edges.size == circuit.counts().synapses
    blocks = list(circuit.neurons().synapses())
    everything = edges.select_all()
    pre, post, weight = (
        np.concatenate([getattr(b, k) for b in blocks]) for k in ("pre", "post", "weight")
    )
    assert np.array_equal(edges.source_nodes(everything), pre)
    assert np.array_equal(edges.target_nodes(everything), post)
    assert np.array_equal(all_of(edges, "syn_weight"), weight)
    assert len(np.unique(weight)) > 4 * 16 - 8  # real numbers, not one constant


def test_every_neuron_is_that_of_the_view(head):
    folder, circuit = head
    nodes, _ = opened(folder)
    assert nodes.size == circuit.counts().neurons
    population, layer = all_of(nodes, "population"), all_of(nodes, "layer")
    for block in circuit.neurons().neurons():
        assert set(population[block.ids]) == {block.population.name}
        assert set(layer[block.ids]) == {block.population.region.label}
        for axis in "hijacm":
            index = block.indices.get(axis, np.full(len(block.ids), -1))
            assert np.array_equal(all_of(nodes, f"index_{axis}")[block.ids], index)


def test_afferent_edges_are_the_incoming_synapses(head):
    folder, circuit = head
    _, edges = opened(folder)
    view = circuit.neurons()
    for neuron in np.random.default_rng(0).integers(0, view.size, 60).tolist():
        incoming = view.incoming(neuron)
        expected = np.concatenate([[], *(block.pre for block in incoming)])
        found = edges.source_nodes(edges.afferent_edges([neuron]))
        assert sorted(found) == sorted(expected)


@pytest.mark.slow
@pytest.mark.parametrize("block", first(1, [7, 1000]))
@pytest.mark.parametrize("name", first(2, ["everything", "memory_llama", "cross_padded", "bert"]))
def test_blocks_of_any_size(tmp_path, name, block):
    """Blocks that cut targets in two: the same files, and libsonata's own index where there is one."""
    case = CASE[name]
    circuit = in_space(lower(case.spec, case.weights))
    nodes, edges = export(circuit, tmp_path / "out", block=block)
    blocks = list(circuit.neurons().synapses())
    assert nodes.size == circuit.counts().neurons
    assert np.array_equal(all_of(edges, "syn_weight"), np.concatenate([b.weight for b in blocks]))
    assert np.array_equal(
        edges.target_nodes(edges.select_all()), np.concatenate([b.post for b in blocks])
    )
    if not indexable(circuit):
        with pytest.raises(libsonata.SonataError):
            edges.afferent_edges([0])
        return
    targets = np.concatenate([b.post for b in blocks])
    for k in range(nodes.size):
        assert edges.afferent_edges([k]).flatten().tolist() == np.flatnonzero(targets == k).tolist()


def test_which_circuits_are_indexed():
    """A causal bound ties i and j, so the synapses of relay[i, m] from deep[h, i, j, c] are not sorted."""
    causal = AttentionSpec(model=6, heads=2, tokens=5, mask=Mask.CAUSAL)
    assert not indexable(lower(causal))
    assert indexable(lower(AttentionSpec(model=6, heads=2, tokens=5)))


def test_tables_and_configuration(head):
    folder, circuit = head
    nodes = rows(folder / "node_types.csv")
    assert [row["pop_name"] for row in nodes] == [p.name for p in circuit.populations]
    deep = next(row for row in nodes if row["pop_name"] == "deep")
    assert (deep["region"], deep["layer"], deep["cell_class"]) == (
        "cortex.L5",
        "L5",
        "pyramidal_pt",
    )
    assert deep["compartments"] == "basal multiplies; apical multiplies; shunt divides"
    edges = rows(folder / "edge_types.csv")
    shunt = next(row for row in edges if row["projection"] == "shunt")
    assert shunt["pathway"] == "pool -> deep.shunt" and shunt["effect"] == "divides"
    with h5py.File(folder / "edges.h5") as file:
        types = file["edges/neurons_to_neurons/edge_type_id"][:]
        assert (file.attrs["magic"], file.attrs["version"].tolist()) == (0x0A7A, [0, 1])
        compressed = []
        file.visititems(lambda _, item: compressed.append(getattr(item, "compression", None)))
    assert not any(compressed)
    counts = circuit.counts().synapses_of
    assert {edges[k]["projection"]: int(n) for k, n in enumerate(np.bincount(types))} == counts
    config = json.loads((folder / "circuit_config.json").read_text())
    assert config["manifest"] == {"$NETWORK_DIR": "."}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=" "))


@pytest.mark.parametrize("name", ["everything", "memory_llama", "cross_grouped_table"])
def test_positions(tmp_path, name):
    """All different; layers in order; thalamus below; areas apart."""
    case = CASE[name]
    circuit = in_space(lower(case.spec, case.weights))
    nodes, _ = export(circuit, tmp_path / "out")
    places = np.stack([all_of(nodes, k) for k in "xyz"], 1)
    assert np.isfinite(places).all()
    assert len(np.unique(places.round(6), axis=0)) == nodes.size
    region, height = all_of(nodes, "region"), places[:, 1]
    depth = {r: (height[region == r].min(), height[region == r].max()) for r in set(region)}
    order = sorted(depth, key=lambda r: -depth[r][0])
    assert order == [
        r
        for r in (
            "cortex.L1",
            "cortex.L2/3",
            "cortex.L4",
            "cortex.L5",
            "cortex.L6",
            "thalamus.core",
            "thalamus.matrix",
            "thalamus.higher_order",
        )
        if r in depth
    ]
    for upper, lower_ in itertools.pairwise(order):
        assert depth[upper][0] > depth[lower_][1]
    assert max(height[np.char.startswith(region.astype(str), "thalamus")]) < -5 * BAND - GAP


# ---- back in ---------------------------------------------------------------------------------------


def test_round_trip(head):
    folder, circuit = head
    assert read_sonata(folder) == circuit


def test_a_changed_weight_is_noticed(head, tmp_path):
    copy = small(tmp_path)
    with h5py.File(copy / "edges.h5", "a") as file:
        file["edges/neurons_to_neurons/0/syn_weight"][5] += 1
    with pytest.raises(SpecError, match=r"0/syn_weight\[5\] is .* but circuit.cortico has .*'key'"):
        read_sonata(copy)


def small(tmp_path):
    spec = AttentionSpec(model=2, heads=1, tokens=3)
    compile_attention(spec, random_weights(spec, 0), "none", "sonata").write(tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("name", ["source_node_id", "target_node_id", "edge_type_id"])
def test_a_changed_edge_is_noticed(tmp_path, name):
    copy = small(tmp_path)
    with h5py.File(copy / "edges.h5", "a") as file:
        file[f"edges/neurons_to_neurons/{name}"][-1] += 1
    with pytest.raises(SpecError, match=rf"{name}\["):
        read_sonata(copy)


def truncated(folder):
    path = folder / "edges.h5"
    path.write_bytes(path.read_bytes()[:3000])


def shorter(folder):
    with h5py.File(folder / "edges.h5", "a") as file:
        group = file["edges/neurons_to_neurons"]
        kept = group["source_node_id"][:-3]
        del group["source_node_id"]
        group["source_node_id"] = kept


def longer(folder):
    with h5py.File(folder / "nodes.h5", "a") as file:
        group = file["nodes/neurons"]
        kept = group["node_type_id"][:]
        del group["node_type_id"]
        group["node_type_id"] = np.append(kept, kept)


def words(folder):
    with h5py.File(folder / "nodes.h5", "a") as file:
        group = file["nodes/neurons"]
        del group["node_type_id"]
        group["node_type_id"] = "words"


BROKEN = {
    "no text": (lambda f: (f / "circuit.cortico").unlink(), "has no circuit.cortico"),
    "bad text": (lambda f: (f / "circuit.cortico").write_text("hello"), "circuit.cortico"),
    "no nodes": (lambda f: (f / "nodes.h5").unlink(), "nodes.h5"),
    "no hdf5": (lambda f: (f / "edges.h5").write_bytes(b"\0" * 99), "edges.h5"),
    "truncated": (truncated, "edges.h5"),
    "shorter": (shorter, "rows, the circuit's text has"),
    "longer": (longer, "rows, the circuit's text has"),
    "words": (words, "nodes.h5"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folders(tmp_path, name):
    change, message = BROKEN[name]
    copy = small(tmp_path)
    change(copy)
    with pytest.raises(SpecError, match=message):
        read_sonata(copy)


# ---- what is refused -------------------------------------------------------------------------------


def test_what_has_no_numbers_is_refused_by_name():
    spec = AttentionSpec(model=4, heads=2)
    problems = SonataBackend().unsupported(lower(spec))
    assert set(problems) == {
        "size 'n' has no number: every neuron is written (compile with --tokens)",
        *(
            f"weight {w!r} has no numbers (compile with --weights)"
            for w in ("W_K", "W_Q", "W_V", "W_O")
        ),
    }
    assert SonataBackend().unsupported(lower(HEAD, random_weights(HEAD, 0))) == []


def test_weights_that_change_in_time_are_refused():
    case = CASE["memory_rotary"]
    circuit = lower(case.spec, case.weights).bind(n=3)
    clocks = {axis.name for axis in circuit.axes if axis.in_time}
    assert clocks
    problems = SonataBackend().unsupported(circuit)
    assert problems and all("which is in time" in problem for problem in problems)


def test_options_and_missing_library(monkeypatch, tmp_path):
    with pytest.raises(
        SpecError, match="option block of backend sonata must be a positive integer, found 0"
    ):
        get_backend("sonata", block=0)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "h5py" else found(name)
    )
    with pytest.raises(UnsupportedError) as caught:
        compile_attention(
            AttentionSpec(4, tokens=3), random_weights(AttentionSpec(4, tokens=3)), backend="sonata"
        ).write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert str(caught.value) == "backend 'sonata' needs h5py: pip install 'cortico[sonata]'"


def test_text_of_the_folder_is_the_circuit(head):
    folder, circuit = head
    assert load_circuit(folder / "circuit.cortico") == circuit
