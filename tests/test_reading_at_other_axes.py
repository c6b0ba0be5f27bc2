"""What users see and do of circuits that read a population at other axes: tables, pictures, lesions, freezing."""

import numpy as np
import pytest

from cortico import freeze
from cortico.anatomy import audit
from cortico.backends import get_runner
from cortico.backends.nir.affine import presented_axes
from cortico.experiment import lesion, lesions
from cortico.files.synapse_table import write_synapses
from cortico.ir.rewrite import rename, with_values, without_unused
from cortico.ir.text import load_circuit, parse_circuit, save_circuit
from cortico.lowering import lower
from cortico.pictures import SCENES
from cortico.report.difference import circuit_differences
from cortico.report.summary import pathway_table
from tests.ir.test_reading_at_other_axes import SPECS, attention, by_hand, numbers, square


def run(circuit, **inputs):
    return get_runner("reference").run(circuit, inputs, numbers(2)[1])["y"]


def test_tables_name_what_is_read():
    circuit, apart = attention(SPECS[0]), lower(SPECS[0])
    assert ("key", "core[j, m]") in [row[:2] for row in pathway_table(circuit).rows]
    found = {(d.name, d.what): (d.first, d.second) for d in circuit_differences(apart, circuit)}
    assert found["key", "from"] == ("core_source", "core[j, m]")
    assert found["query", "from"] == ("matrix_query", "core")


@pytest.mark.parametrize("kind", SCENES)
def test_pictures_say_what_is_read(kind):
    titles = [group.title for group in SCENES[kind](attention(SPECS[0]).bind(n=3)).groups]
    assert any("core[j, m]" in (title or "") for title in titles)


def test_the_audit_judges_the_same_pathways():
    """A population of its own for queries, of the same class, is judged as the shared one."""
    text = str(lower(SPECS[0])).replace("thalamus.matrix", "thalamus.core")
    shared, apart = audit(attention(SPECS[0])), audit(parse_circuit(text))
    assert shared.verdicts == apart.verdicts


def test_files_keep_the_axes(tmp_path):
    for circuit in (attention(SPECS[1]), square()):
        save_circuit(circuit, tmp_path / "c.cortico", force=True)
        assert load_circuit(tmp_path / "c.cortico") == circuit
    small = attention(SPECS[1]).bind(n=3)
    assert write_synapses(small, tmp_path / "s.h5") == small.counts().synapses


def test_names_change_where_they_are_read():
    circuit = rename(square(), axes={"j": "key"}, populations={"pairs": "tokens"})
    assert "projection end tokens[key, k] -> paths.apical" in str(circuit)
    x = np.random.default_rng(0).normal(size=(4, 4))
    for name, array in get_runner("reference").run(square(), {"x": x}).items():
        assert np.array_equal(get_runner("reference").run(circuit, {"x": x})[name], array)


def test_an_axis_that_is_only_read_at_is_used():
    circuit = without_unused(square())
    assert circuit == square()


@pytest.mark.parametrize("target", ["projection:key", "projection:value", "population:core"])
def test_a_lesion_is_that_of_cells_for_each_role(target):
    x = numbers(2)[0]
    for spec in SPECS:
        apart = lower(spec)
        both = [f"population:{name}" for name in ("core_source", "matrix_query")]
        targets = both if target == "population:core" else [target]
        expected = run(lesions(apart, [(each, 0.5) for each in targets]), x=x)
        np.testing.assert_allclose(run(lesion(attention(spec), target, 0.5), x=x), expected)


def test_a_lesion_of_synapses_in_one_area():
    x = numbers(2)[0]
    for spec in SPECS:
        expected = run(lesion(lower(spec), "projection:key@area=1"), x=x)
        np.testing.assert_allclose(
            run(lesion(attention(spec), "projection:key@area=1"), x=x), expected
        )


def test_freezing_binds_all_that_is_read_alike():
    """One population for both roles is all of x: what is held is then every token, and rates are numbers."""
    x, weights = numbers(2)
    circuit = with_values(attention(SPECS[1]), weights)
    held = freeze(circuit, {"x[i, m]": x})
    found = get_runner("reference").run(held, {})["y"]
    np.testing.assert_allclose(found, by_hand(SPECS[1], x, weights))


def test_a_size_of_its_own_is_that_of_all_axes_read_alike():
    """x is also read at k: that input stays, and its tokens are others than those that are held."""
    text = str(square()).replace("basal multiplies x[i, j]", "basal multiplies x[i, j] + w[i]")
    text = text.replace("input x (n, n)", "input x (n, n)\ninput w (n)").replace(
        "1.0\n", "w[j]\n", 1
    )
    x, w = np.random.default_rng(5).normal(size=(4, 4)), np.arange(4.0)
    circuit = parse_circuit(text)
    held = freeze(circuit, {"w[i]": w})
    assert [a.extent for a in held.axes] == [4, 4, 4] and len(held.inputs) == 2
    expected = get_runner("reference").run(circuit, {"x": x, "w": w})
    found = get_runner("reference").run(held, {"x": x, "w": w})
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array)


def test_axes_read_alike_get_a_size_of_their_own_together():
    """x is held where cells read it over i, also read as j; x over l has as many tokens as it likes."""
    circuit = parse_circuit("""cortico circuit 1
name "apart"
axis i : column n
axis j : column n
axis l : column n
input x (n)
population held [i] thalamus.core relay
  driver multiplies x[i]
population free [l] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies x[l]
projection sum held[j] -> free.basal
output y = free[l]
""")
    frozen = freeze(circuit, {"x[i]": np.arange(4.0)})
    x = np.random.default_rng(6).normal(size=7)
    found = get_runner("reference").run(frozen, {"x": x})["y"]
    np.testing.assert_allclose(found, x * 6)


FEATURES = """cortico circuit 1
name "features"
axis a : feature 3
axis b : feature 3
axis i : column n
axis j : column n
input x (n)
population cells [i, a] cortex.L5 pyramidal_pt
  basal multiplies x[i]
population last [j, b] cortex.L5 pyramidal_pt
  basal multiplies
projection copy cells[j, b] -> last.basal
output y = last[j, b]
"""


def test_a_microcolumn_joins_the_cells_that_are_read():
    """Cell by cell, as where both populations have the axis that is read."""
    own = FEATURES.replace("cells[j, b]", "cells").replace("last [j, b]", "last [i, a]")
    texts = (FEATURES, own.replace("last[j, b]", "last[i, a]"))
    scenes = [SCENES["microcolumn"](parse_circuit(text)) for text in texts]
    counts = [[len(g.marks) for g in scene.groups if g.id == "projection-copy"] for scene in scenes]
    assert counts[0] == counts[1] == [6]


def test_no_token_comes_by_itself_in_nir_where_tokens_are_read_as_others():
    circuit = parse_circuit(
        FEATURES.replace("last [j, b]", "last [i, j, b]").replace("last[j", "last[i, j")
    )
    assert presented_axes(circuit) == frozenset()
    plain = FEATURES.replace("cells[j, b]", "cells").replace("[j, b]", "[i, a]")
    assert presented_axes(parse_circuit(plain)) == {"i"}


def test_constant_cells_are_folded_where_they_are_read():
    """Keys from cells that only weights drive, read at another axis than their own."""
    circuit = parse_circuit("""cortico circuit 1
name "constant"
axis a : feature 3
axis b : feature 3
axis i : column n
input x (n)
parameter w (3)
parameter v (3, 3)
population cells [a] cortex.L5 pyramidal_pt
  basal multiplies w[a]
population sum [b, i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies x[i]
population all [a, i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
projection one cells[b] -> sum.basal
projection two cells[b] -> all.basal weight v[a, b]
projection three sum[a, i] -> all.apical
output y = all[a, i]
""")
    rng = np.random.default_rng(4)
    w, v, x = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=5)
    circuit = with_values(circuit, {"w": w, "v": v})
    frozen = freeze(circuit, {})
    assert [p.name for p in frozen.populations] == ["sum", "all"]
    for each in (circuit, frozen):
        found = get_runner("reference").run(each, {"x": x})["y"]
        np.testing.assert_allclose(found, np.outer(v @ w * w, x))
