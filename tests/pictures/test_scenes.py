"""Pictures of any circuit: everything is there, nothing overlaps, wires end where they should."""

import itertools

import pytest

from cortico import AttentionSpec, lower
from cortico.ir import Effect
from cortico.pictures import SCENES
from cortico.pictures.areas import MOST_AREAS
from cortico.pictures.ports import net_of
from cortico.pictures.scene import Disc, Shape
from cortico.pictures.style import LINES, PYRAMIDAL, Kind, kind_of, on_top
from tests.pictures.circuits import DRAWN, drawn, without
from tests.pictures.geometry import bounds, group, overlap, rectangle, segments, words_of

every_circuit = pytest.mark.parametrize("name", DRAWN)
every_kind = pytest.mark.parametrize("kind", SCENES)


@every_kind
@every_circuit
def test_everything_is_drawn_once(name, kind):
    circuit = drawn(name)
    scene = SCENES[kind](circuit)
    ids = [g.id for g in scene.groups]
    assert len(ids) == len(set(ids))
    for population in circuit.populations:
        assert group(scene, f"population-{population.name}").marks
    if kind == "areas":
        return  # draws what joins areas and thalamus
    for projection in circuit.projections:
        found = group(scene, f"projection-{projection.name}")
        assert segments(found)
        assert projection.pre in found.title
        assert f"{projection.post}.{projection.compartment}" in found.title


@every_kind
@every_circuit
def test_nothing_leaves_the_picture(name, kind):
    scene = SCENES[kind](drawn(name))
    for each in scene.groups:
        for mark in each.marks:
            left, top, right, bottom = bounds(mark)
            assert left >= 0 and top >= 0, (each.id, mark)
            assert right <= scene.width and bottom <= scene.height, (each.id, mark)


@every_kind
@every_circuit
def test_no_words_overlap(name, kind):
    scene = SCENES[kind](drawn(name))
    for one, other in itertools.combinations(words_of(scene), 2):
        assert not overlap(rectangle(one), rectangle(other)), (one.text, other.text)


@pytest.mark.parametrize("kind", ["laminar", "areas"])
@every_circuit
def test_no_wire_runs_through_words(name, kind):
    scene = SCENES[kind](drawn(name))
    boxes = [(words.text, rectangle(words)) for words in words_of(scene)]
    for wire in (g for g in scene.groups if g.id.startswith("projection-")):
        for (x, y), (u, v) in segments(wire):
            line = (min(x, u), min(y, v), max(x, u), max(y, v))
            assert not any(overlap(line, box) for _, box in boxes), wire.id


@every_circuit
def test_wires_of_different_axons_never_share_a_line(name):
    """They cross at right angles only."""
    circuit = drawn(name)
    scene = SCENES["laminar"](circuit)
    lines = [
        (net_of(circuit, p), s)
        for p in circuit.projections
        for s in segments(group(scene, f"projection-{p.name}"))
    ]
    for (net, one), (other_net, other) in itertools.combinations(lines, 2):
        assert net == other_net or not _same_line(one, other), (net, other_net, one, other)


def _same_line(one, other) -> bool:
    for axis in (0, 1):
        along = 1 - axis
        levels = {point[axis] for point in (*one, *other)}
        if max(levels) - min(levels) < 0.9:  # less than a line is wide
            (a, b), (c, d) = (sorted(p[along] for p in s) for s in (one, other))
            return min(b, d) - max(a, c) > 0.5
    return False


@every_circuit
def test_wires_lead_from_their_cell_to_their_compartment(name):
    circuit = drawn(name)
    scene = SCENES["laminar"](circuit)
    for projection in circuit.projections:
        wire = group(scene, f"projection-{projection.name}")
        line, *end = (m for m in wire.marks)
        pre, post = (circuit.population(n) for n in (projection.pre, projection.post))
        assert _near(line.points[0], _soma(scene, pre), across=10, along=11)
        (x, y), (tip_x, tip_y) = _soma(scene, post), _tip(end[0])
        assert abs(tip_x - x) <= 22 and abs(tip_y - y) <= 27
        compartment = post.compartment(projection.compartment)
        if compartment.effect is Effect.DIVIDES:
            assert tip_x < x - 9  # the left of the soma
        elif not post.region.in_cortex or on_top(projection.compartment):
            assert tip_y < y - 3
        else:
            assert tip_y > y + 20
        kind = kind_of(circuit, projection)
        assert (line.colour, line.dash) == (LINES[kind].colour, LINES[kind].dash)


def _soma(scene, population):
    """The middle of the body of a cell."""
    marks = group(scene, f"population-{population.name}").marks
    bodies = [m for m in marks if isinstance(m, Disc) or (isinstance(m, Shape) and m.fill)]
    left, top, right, bottom = bounds(bodies[0])
    middle = bottom - 7 if population.cell_class in PYRAMIDAL else (top + bottom) / 2
    return (left + right) / 2, middle


def _tip(mark):
    return mark.points[0] if isinstance(mark, Shape) else mark.centre


def _near(point, centre, across, along):
    return abs(point[0] - centre[0]) <= across and abs(point[1] - centre[1]) <= along


@pytest.mark.parametrize("kind", ["laminar", "microcolumn"])
@every_circuit
def test_a_pathway_that_is_missing_is_missed(name, kind):
    """What `test_everything_is_drawn_once` would see."""
    circuit = drawn(name)
    lost = circuit.projections[-1].name
    scene = SCENES[kind](without(circuit, lost))
    assert f"projection-{lost}" not in {g.id for g in scene.groups}


# ---- kinds of pathways ---------------------------------------------------------------------------


def test_kinds_of_pathways():
    circuit = drawn("bert")
    kinds = {p.name: kind_of(circuit, p) for p in circuit.projections}
    assert kinds["shunt"] is Kind.INHIBITION
    assert kinds["key"] is kinds["gate"] is kinds["keep"] is Kind.GAIN
    assert kinds["query"] is kinds["value"] is kinds["output"] is Kind.DRIVER
    excitatory = drawn("all cells")
    onto = {p.name: kind_of(excitatory, p) for p in excitatory.projections}
    assert onto["onto_veto"] is Kind.INHIBITION  # divides, though relay cells excite
    assert onto["onto_tuft"] is Kind.GAIN and onto["gating"] is Kind.INHIBITION
    feedback = lower(AttentionSpec(model=4, normalisation="feedback"))
    onto = {(p.pre, p.post): kind_of(feedback, p) for p in feedback.projections}
    assert onto["pool", "mask"] is Kind.SUBTRACTION and onto["mask", "pool"] is Kind.DRIVER


# ---- areas ---------------------------------------------------------------------------------------


def test_every_area_has_the_wires_of_its_own():
    scene = SCENES["areas"](drawn("bert"))
    assert len(_heads(group(scene, "projection-key"))) == 2
    assert {"area-0", "area-1"} <= {g.id for g in scene.groups}


def test_areas_of_a_group_share_the_wires_of_what_they_share():
    """Two groups of two areas: a key cell for each group, a query cell for each area."""
    scene = SCENES["areas"](drawn("everything"))
    assert len(_heads(group(scene, "projection-key"))) == 2
    assert len(_heads(group(scene, "projection-query"))) == 4
    assert len(_heads(group(scene, "projection-rotate_key"))) == 4


def test_areas_beyond_those_drawn_are_counted():
    circuit = drawn("all cells")
    scene = SCENES["areas"](circuit)
    drawn_areas = [g for g in scene.groups if g.id.startswith("area-")]
    assert len(drawn_areas) == MOST_AREAS
    assert any(words.text == "… 8 more" for words in words_of(scene))


def _heads(wire):
    return [m for m in wire.marks if isinstance(m, Shape) and m.fill is not None]


# ---- microcolumns --------------------------------------------------------------------------------


def test_a_microcolumn_has_its_cells():
    """Four superficial cells (key features), one mask cell; eight relay cells, of which six drawn."""
    scene = SCENES["microcolumn"](drawn("bert"))
    bodies = {
        name: sum(
            isinstance(m, Shape) and m.fill is not None and m.width == 1.3
            for m in group(scene, f"population-{name}").marks
        )
        for name in ("superficial", "mask")
    }
    assert bodies == {"superficial": 4, "mask": 1}
    relays = group(scene, "population-core_source").marks
    assert sum(isinstance(m, Disc) for m in relays) == 6
    texts = [words.text for words in words_of(scene)]
    assert "…" in texts and "cell, for all j" in texts


def test_cells_with_a_common_index_have_synapses_of_their_own():
    circuit = drawn("bert default")
    scene = SCENES["microcolumn"](circuit)
    (onto_superficial,) = (p for p in circuit.projections if p.pre == "key_relay")
    assert len(segments(group(scene, f"projection-{onto_superficial.name}"))) == 4
