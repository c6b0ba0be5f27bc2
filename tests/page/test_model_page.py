"""The page of a whole model as text: all levels and blocks, one of each circuit, numbers right, nothing from outside."""

import re
from dataclasses import replace

import pytest

from cortico import compile_model
from cortico.demo.weights import model_folder
from cortico.frontends.whole_models import read_model
from cortico.ir import Role
from cortico.page.model import ModelPage, model_page_html, write_model_page
from cortico.report.words import quantity
from cortico.verify.claims import Claim
from cortico.verify.known import Known
from tests.needs import needs_weights
from tests.page.model_pages import html_of, page
from tests.page.pages import HOSTILE, Outline, data_of

NAMES = ("encoder", "translator", "vectors")


@pytest.mark.parametrize("name", NAMES)
def test_levels_blocks_and_wires(name):
    network, data = page(name).network, data_of(html_of(name))
    assert list(data["levels"]) == [level.path for level in network.levels]
    assert list(data["nodes"]) == [node.path for node in network.nodes]
    for level in network.levels:
        assert data["levels"][level.path]["nodes"] == [node.path for node in level.nodes]
        assert data["levels"][level.path]["neurons"] == quantity(level.neurons, "neuron")
        assert data["levels"][level.path]["synapses"] == quantity(level.synapses, "synapse")
    hears = {
        (path, name, target, given)
        for target, node in data["nodes"].items()
        for given, path, name in node["hears"]
    }
    feeds = {
        (source, name, path, given)
        for source, node in data["nodes"].items()
        for name, path, given in node["feeds"]
        if path
    }
    wires = {(w.source.path, w.source.name, w.target.path, w.target.name) for w in network.wires}
    assert hears == wires and feeds == {wire for wire in wires if wire[0]}
    given = {
        (source, name, output)
        for source, node in data["nodes"].items()
        for name, path, output in node["feeds"]
        if not path
    }
    assert given == {(o.source.path, o.source.name, o.name) for o in network.outputs}


@pytest.mark.parametrize("name", NAMES)
def test_each_circuit_is_there_once(name):
    network, outline = page(name).network, Outline(html_of(name))
    data = data_of(html_of(name))
    assert len(outline.ids) == len(set(outline.ids))
    assert set(data["blocks"]) == set(network.block_names.values())
    for circuit, block in network.block_names.items():
        for population in circuit.populations:
            assert f"{block}-laminar-population-{population.name}" in outline.ids
        assert set(data["blocks"][block]["projections"]) == {p.name for p in circuit.projections}
        heads = [axis.extent for axis in circuit.axes if axis.role is Role.AREA]
        assert len(data["blocks"][block]["areas"]) == (heads[0] if heads else 1)
    for node in network.nodes:
        assert data["nodes"][node.path]["block"] == network.block_names[node.circuit]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    outline, data = Outline(html_of(name)), data_of(html_of(name))
    for tag, attributes in outline.elements:
        target = attributes.get("href", "")
        if target.startswith("#/"):
            assert target[2:] in data["nodes"]
        elif tag == "a" and target.startswith("#"):
            assert target[1:] in outline.ids
        for attribute in ("aria-labelledby", "aria-controls"):
            assert attributes.get(attribute, outline.ids[0]) in outline.ids
    regions = [a["aria-label"] for _, a in outline.elements if a.get("role") == "region"]
    assert len(regions) == len(set(regions))


def test_nothing_is_fetched():
    for tag, attributes in Outline(html_of("encoder")).elements:
        assert tag not in ("iframe", "object", "embed", "img")
        assert not attributes.keys() & {"src", "srcset", "action"}
        if tag == "a":
            assert attributes["href"].startswith(("#", "https://doi.org/10."))
    html = html_of("encoder")
    assert "default-src 'none'" in html and "@import" not in html and "url(" not in html


def test_names_are_made_safe():
    html = html_of("vectors", HOSTILE)
    assert "<script>window.hacked" not in html and "<img" not in html
    scripts = [a for tag, a in Outline(html).elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert data_of(html)["name"] == HOSTILE


def test_neurons_of_one_area():
    """Of four: a mask cell for each pair of tokens, and four features of a query."""
    block = data_of(html_of("llama"))["blocks"]["attention"]
    layers = {layer: dict(cells) for layer, cells in block["layers"].items()}
    assert layers["L2/3"]["mask"] == "n^2/2 + n/2"
    counts = page("llama").network["layer[0].attention"].circuit.counts().neurons_of
    assert str(counts["mask"]) == "2*n**2 + 2*n"
    thalamic = dict(block["thalamus"])
    assert thalamic["relay"] == "16·n"


def test_sizes_of_what_stands_in_two_stacks():
    """Norms are in the encoder and in the decoder, which have numbers of tokens of their own."""
    nodes = data_of(html_of("translator"))["nodes"]
    assert nodes["decoder.norm"]["block"] == nodes["encoder.norm"]["block"]
    assert (nodes["encoder.norm"]["sizes"], nodes["decoder.norm"]["sizes"]) == (
        [],
        ["n = n_decoder"],
    )
    assert "n_decoder" in nodes["decoder.norm"]["neurons"]
    assert nodes["decoder.layer[0].cross_attention"]["sizes"] == []
    bound = data_of(html_of("translator", n=5, n_decoder=3))
    assert any("·n" in p["neurons"] for p in bound["blocks"]["norm"]["populations"].values())
    relay = dict(bound["blocks"]["cross_attention"]["thalamus"])
    assert (
        relay["relay"] == str(3 * 16) and "n" not in bound["nodes"]["decoder.norm"]["neurons"][:3]
    )


def test_passes_and_claims_and_spec():
    html = html_of("llama")
    assert "share-relays" in html and "Nothing was proved for this page" in html
    assert "&quot;rotary&quot;" in html
    of = page("llama")
    claim = Claim("layer[0].norm: a < b", Known.PROVED, "terms", ("W = 2",))
    read = model_page_html(ModelPage(of.network, claims=(claim,)))
    assert "a &lt; b" in read and "given W = 2" in read
    assert "share-relays" not in read and "does not say what its passes did" in read


def test_the_same_page_is_the_same_file(tmp_path):
    for name in ("a.html", "b.html"):
        write_model_page(page("vectors"), tmp_path / name)
    first, second = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert first == second


@pytest.mark.full
@needs_weights
def test_minilm():
    """Its 39 blocks are six circuits, and its page is small."""
    spec, weights = read_model(model_folder())
    made = compile_model(spec, weights)
    html = model_page_html(ModelPage(made.network, spec, made.steps))
    data = data_of(html)
    assert len(data["nodes"]) == 39 and len(data["blocks"]) == 6
    assert len(html.encode()) < 600_000
    assert set(re.findall(r'id="block-(\w+)"', html)) == set(data["blocks"])
    neurons = replace(made.network, name="x").counts().neurons
    assert quantity(neurons, "neuron") in html
