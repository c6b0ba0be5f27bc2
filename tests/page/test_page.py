"""The page as text: all parts, one of each id, nothing from outside, names made safe, numbers right."""

import base64
import re

import numpy as np
import pytest

from cortico.anatomy import audit
from cortico.page import Page, page_html, write_page
from cortico.page import data as page_numbers
from cortico.page.data import json_text
from cortico.verify.claims import Claim
from cortico.verify.known import Known
from tests.page.pages import HOSTILE, TOKENS, data_of, outline, page
from tests.pictures.circuits import drawn

NAMES = ("bert", "gpt2", "everything", "cross_padded", "memory_causal", "one_head")


@pytest.mark.parametrize("name", NAMES)
def test_every_population_and_pathway_is_there(name):
    found, circuit = outline(name), page(name).circuit
    assert len(found.ids) == len(set(found.ids))
    for population in circuit.populations:
        for view in ("laminar", "areas", "microcolumn"):
            assert f"{view}-population-{population.name}" in found.ids
    data = data_of(page_html(page(name)))
    assert set(data["populations"]) == {p.name for p in circuit.populations}
    assert set(data["projections"]) == {p.name for p in circuit.projections}
    texts = " ".join(found.text)
    for projection in circuit.projections:
        assert f"laminar-projection-{projection.name}" in found.ids
        assert f"{projection.post}.{projection.compartment}" in texts


def test_a_circuit_that_learns_has_a_page():
    circuit = drawn("bert learning")
    data = data_of(page_html(Page(circuit, audit(circuit))))
    assert "deep_shunt_error" in data["populations"]


def test_nothing_is_fetched():
    found = outline("bert")
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "img")
        assert not attributes.keys() & {"src", "srcset", "action"}
        if tag == "link":
            assert attributes["href"] == "data:,"
        if tag == "a":
            assert attributes["href"].startswith(("#", "https://doi.org/10."))
        assert not any(key.startswith("on") for key in attributes)
    html = page_html(page("bert"))
    assert "default-src 'none'" in html and "@import" not in html and "url(" not in html


def test_links_lead_somewhere():
    found = outline("bert")
    for tag, attributes in found.elements:
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in found.ids
        for name in ("aria-labelledby", "aria-controls"):
            assert attributes.get(name, found.ids[0]) in found.ids


def test_regions_have_names_of_their_own():
    found = outline("bert")
    names = [a["aria-label"] for _, a in found.elements if a.get("role") == "region"]
    names += re.findall(r"<h2[^>]*>(.*?)</h2>", page_html(page("bert")))
    assert len(names) == len(set(names)) > 8


def test_names_and_tokens_are_made_safe():
    html = page_html(page("bert", title=HOSTILE))
    assert "<script>window.hacked" not in html and "<img" not in html
    found = outline("bert", title=HOSTILE)
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    data = data_of(html)
    assert data["name"] == HOSTILE
    assert data["activity"]["queries"] == list(TOKENS)


def test_json_has_no_markup():
    text = json_text({"a": "</script> <!-- & \u2028\u2029"})
    assert not re.search("[<>&\u2028\u2029]", text)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"a": float("nan")})


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", "gpt2", "everything", "linear-mask_causal"])
def test_attention_and_rates(name):
    of = page(name)
    data = data_of(page_html(of))["activity"]
    gate = of.activity.attention.gate
    expected = gate.reshape(-1, *gate.shape[-2:])
    np.testing.assert_allclose(data["attention"]["values"], expected, rtol=1e-8)
    assert data["attention"]["isShare"] == (name in ("bert", "gpt2"))
    for cells in data["cells"]:
        rates = np.frombuffer(base64.b64decode(cells["rates"]), "<f4").reshape(cells["shape"])
        np.testing.assert_allclose(rates, of.activity.rates[cells["population"]], rtol=1e-6)
        population = of.circuit.population(cells["population"])
        places = {"i": "query", "j": "source", "h": "area 0", "g": "area 0", "r": "area 1"}
        assert cells["axes"] == [places.get(axis, axis) for axis in population.axes]


def test_many_rates_are_summed_over_cells(monkeypatch):
    monkeypatch.setattr(page_numbers, "MOST_RATES", 60)
    data = data_of(page_html(page("bert")))["activity"]
    cells = {each["population"]: each for each in data["cells"]}
    assert cells["superficial"]["axes"] == ["area 0", "query", "source"]
    assert cells["superficial"]["summed"] == "200"
    rates = np.frombuffer(base64.b64decode(cells["superficial"]["rates"]), "<f4")
    expected = page("bert").activity.rates["superficial"].sum(axis=-1)
    np.testing.assert_allclose(rates.reshape(expected.shape), expected, rtol=1e-5)


def test_long_inputs_are_cut(monkeypatch):
    monkeypatch.setattr(page_numbers, "MOST_TOKENS", 3)
    data = data_of(page_html(page("bert")))["activity"]
    assert (len(data["queries"]), data["leftOut"]) == (3, 2)
    assert np.shape(data["attention"]["values"]) == (2, 3, 3)


def test_without_an_input():
    html = page_html(page("bert", activity=False))
    assert data_of(html)["activity"] is None
    assert "20·n^2 + 27·n neurons" in html


# ---- the other parts -----------------------------------------------------------------------------


def test_audit_and_passes_and_spec():
    texts = " ".join(outline("bert", passes="default").text)
    of = page("bert", passes="default")
    for finding in of.audit.findings:
        assert finding.statement in texts
    for reference in of.audit.references:
        assert reference.doi is None or reference.doi in texts
    changed = {step.name for step in of.steps if step.changed}
    for step in of.steps:
        assert (step.name in texts) == (step.name in changed)
    assert "key_padding" in texts and "bias.query" in texts


def test_claims():
    of = page("bert")
    none = page_html(of)
    assert "Nothing was proved for this page" in none
    claim = Claim("a < b", Known.PROVED, "terms", ("W = 2",))
    html = page_html(Page(of.circuit, of.audit, claims=(claim,)))
    assert "a &lt; b" in html and "proved for all sizes" in html and "given W = 2" in html


def test_the_same_page_is_the_same_file(tmp_path):
    for name in ("a.html", "b.html"):
        write_page(page("bert"), tmp_path / name)
    first, second = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert first == second
