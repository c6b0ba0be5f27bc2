"""Picture files: what they hold, that the same picture is the same file, and what is refused."""

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from cortico import SpecError, UnsupportedError, compile_attention
from cortico.experiment.activity import observe
from cortico.ir import Role
from cortico.pictures import KINDS, draw
from cortico.pictures import activity as activity_picture
from cortico.pictures.matrix import short
from cortico.pictures.paint import new_figure
from tests.covering import first
from tests.pictures.circuits import CASE, drawn, without

SVG = "{http://www.w3.org/2000/svg}"


@cache
def example(name):
    """A circuit, what it does on the first example of its case, and the steps of the passes."""
    case = CASE[name]
    compilation = compile_attention(case.spec, case.weights)
    inputs = {key: array[0] for key, array in case.inputs.items()}
    return compilation.circuit, observe(compilation.circuit, inputs), compilation.steps


def ids(path):
    return {e.get("id") for e in ElementTree.parse(path).iter() if e.get("id")}


def texts(path):
    return ["".join(e.itertext()) for e in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_is_the_same_file(kind, tmp_path):
    circuit, activity, steps = example("bert")
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in files:
        draw(circuit, kind, path, activity=activity, steps=steps)
    first, second = (path.read_bytes() for path in files)
    assert first == second
    assert b"<dc:date>" not in first
    assert ElementTree.fromstring(first).tag == f"{SVG}svg"


@pytest.mark.slow
@pytest.mark.parametrize("kind", first(1, ["laminar", "matrix", "activity"]))
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(kind, suffix, start, tmp_path):
    circuit, activity, steps = example("memory")
    draw(circuit, kind, tmp_path / f"a.{suffix}", activity=activity, steps=steps)
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(start)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["laminar", "microcolumn", "matrix"])
@pytest.mark.parametrize("name", first(1, ["memory_llama", "bert", "bert learning"]))
def test_a_file_has_an_element_for_every_pathway(kind, name, tmp_path):
    circuit = drawn(name)
    draw(circuit, kind, tmp_path / "a.svg")
    found = ids(tmp_path / "a.svg")
    assert {f"projection-{p.name}" for p in circuit.projections} <= found
    lost = circuit.projections[0].name
    draw(without(circuit, lost), kind, tmp_path / "b.svg")
    assert found - ids(tmp_path / "b.svg") >= {f"projection-{lost}"}


def test_the_matrix_has_the_counts_of_synapses(tmp_path):
    circuit = drawn("bert")
    draw(circuit, "matrix", tmp_path / "a.svg")
    counts = circuit.bind(n=16).counts().synapses_of.values()
    words = texts(tmp_path / "a.svg")
    for count in {*counts}:
        assert words.count(short(count)) == list(map(short, counts)).count(short(count))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (57_802_752, "57.8M"), (5_243_541_504, "5.2G")],
)
def test_short_counts(count, text):
    assert short(count) == text


def test_counts_before_and_after_each_pass(tmp_path):
    circuit, _, steps = example("bert")
    draw(circuit, "counts", tmp_path / "a.svg", steps=steps)
    changed = [step for step in steps if step.changed]
    assert {f"neurons-{k}" for k in range(len(changed) + 1)} <= ids(tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert {"lowered", *(step.name for step in changed)} <= {*words}
    for each in (changed[0].before, *(step.after for step in changed)):
        assert short(each.bind(n=16).counts().synapses) in words


def test_the_activity_has_the_rates(tmp_path, monkeypatch):
    """Each picture shows an area's rates, summed over what is neither token nor kept feature."""
    _, activity, _ = example("gpt2")
    figures = []
    monkeypatch.setattr(activity_picture, "save", lambda figure, path: figures.append(figure))
    draw(activity.circuit, "activity", tmp_path / "a.svg", activity=activity)
    images = {axes.get_gid(): axes.images[0].get_array().data for axes in figures[0].axes}
    np.testing.assert_array_equal(images["attention-1"], activity.attention.gate[1])
    rates = activity.rates["superficial"]
    np.testing.assert_allclose(images["population-superficial"], rates[0].sum(axis=-1))
    np.testing.assert_array_equal(images["population-pool-1"], activity.rates["pool"][1][:, None])
    areas = sum(axis.extent for axis in activity.circuit.axes if axis.role is Role.AREA)
    assert len([g for g in images if g.startswith("attention")]) == areas


def test_names_of_tokens_are_drawn_as_they_are(tmp_path):
    _, activity, _ = example("bert")
    tokens = ["<b>", "$x^2$", "&amp;", "a" * 50, "two\nlines"]
    draw(activity.circuit, "activity", tmp_path / "a.svg", activity=activity, tokens=tokens)
    words = texts(tmp_path / "a.svg")
    assert {"<b>", "$x^2$", "&amp;", "two lines"} <= {*words} and "a" * 50 not in words


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), [*((kind, "svg") for kind in KINDS), ("areas", "png")])
def test_titles_in_any_writing(kind, suffix, tmp_path):
    circuit, activity, steps = example("bert")
    named = [replace(c, name="脳 🧠 $x^2$ <b> \n\x07") for c in (circuit, activity.circuit)]
    steps = [replace(s, before=replace(s.before, name=named[0].name)) for s in steps]
    seen = replace(activity, circuit=named[1])
    path = tmp_path / f"a.{suffix}"
    draw(named[0], kind, path, activity=seen, steps=steps)
    if suffix == "svg":
        assert any("脳 🧠 $x^2$ <b>" in text for text in texts(path))


# ---- what is refused -----------------------------------------------------------------------------


def test_unknown_kinds_and_formats(tmp_path):
    circuit = drawn("three")
    with pytest.raises(SpecError, match=r"no kind of picture 'lamina' \(did you mean 'laminar'"):
        draw(circuit, "lamina", tmp_path / "a.svg")
    for name in ("a.jpg", "a", "svg"):
        with pytest.raises(SpecError, match=r"must end in \.svg, \.png, \.pdf"):
            draw(circuit, "laminar", tmp_path / name)
    with pytest.raises(SpecError, match="needs an input"):
        draw(circuit, "activity", tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'cortico\[plots\]'"), new_figure(1, 1):
        pass


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_text("old")

    def fail(self, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        draw(drawn("three"), "laminar", path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
