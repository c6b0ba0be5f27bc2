"""The hierarchy of whole models: what is there, what it says, and that nothing lies on anything else."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings

from cortico import SpecError
from cortico.ir.network import Network, Node, network
from cortico.ir.tensors import Input
from cortico.lowering import lower, lower_model
from cortico.pictures.hierarchy import hierarchy_scene
from cortico.pictures.scene import Disc, Shape
from cortico.report.words import quantity
from cortico.spec import Residual
from tests.backends.networks.models import SPECS
from tests.model_strategies import model_specs
from tests.pictures.geometry import bounds, group, overlap, rectangle, segments, words_of

SIZES = {"n": 7, "n_decoder": 5, "n_context": 3}
every_model = pytest.mark.parametrize("name", SPECS)


@cache
def made(name) -> Network:
    return lower_model(SPECS[name])


@cache
def scene_of(name):
    return scene(made(name))


def scene(of):
    return hierarchy_scene(of, {s: n for s, n in SIZES.items() if s in of.flatten().symbols})


def box_of(found):
    """Left, top, right, bottom of the frame around a block, an input or an output."""
    return bounds(found.marks[0])


def boxes(of):
    """Blocks by path, inputs and outputs by name."""
    kinds = ("block-", "input-", "output-")
    return {g.id.partition("-")[2]: box_of(g) for g in of.groups if g.id.startswith(kinds)}


def wires(of):
    """Each wire with what it begins at, ends at, and does."""
    for each in of.groups:
        if each.id.startswith("wire-"):
            ends, _, kind = each.title.rpartition(", ")
            yield each, *ends.split(" to "), kind


def check(of):
    """Nothing lies on anything else, and nothing leaves the picture."""
    everything = boxes(of)
    for (one, a), (other, b) in itertools.combinations(everything.items(), 2):
        assert not overlap(a, b), (one, other)
    for one, other in itertools.combinations(words_of(of), 2):
        assert not overlap(rectangle(one), rectangle(other)), (one.text, other.text)
    for mark in (mark for g in of.groups for mark in g.marks):
        left, top, right, bottom = bounds(mark)
        assert left >= 0 and top >= 0 and right <= of.width and bottom <= of.height, mark
    written = [(words.text, rectangle(words)) for words in words_of(of)]
    lines = []
    for each, source, target, kind in wires(of):
        for segment in segments(each):
            line = bounds(Shape(segment))
            assert not any(overlap(line, inner(place)) for place in everything.values()), each.title
            assert not any(overlap(line, place) for _, place in written), each.title
            lines.append(((source, kind), segment))
        first, *_, tip = [m for m in each.marks if isinstance(m, Shape | Disc)]
        assert on_edge(first.points[0], everything[source])
        assert on_edge(tip.points[0] if isinstance(tip, Shape) else tip.centre, everything[target])
    for (net, one), (other_net, other) in itertools.combinations(lines, 2):
        assert net == other_net or not _same_line(one, other), (net, other_net)


def inner(place):
    left, top, right, bottom = place
    return left + 1, top + 1, right - 1, bottom - 1


def on_edge(point, place):
    (x, y), (left, top, right, bottom) = point, place
    if not (left - 3 <= x <= right + 3 and top - 3 <= y <= bottom + 3):
        return False
    return min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) <= 3


def _same_line(one, other):
    for axis in (0, 1):
        along = 1 - axis
        levels = {point[axis] for point in (*one, *other)}
        if max(levels) - min(levels) < 1:
            (a, b), (c, d) = (sorted(p[along] for p in s) for s in (one, other))
            return min(b, d) - max(a, c) > 0.5
    return False


@every_model
def test_nothing_lies_on_anything_else(name):
    check(scene_of(name))


@settings(max_examples=8, deadline=None)
@given(model_specs())
def test_of_any_model(spec):
    check(scene(lower_model(spec)))


@pytest.mark.full
@settings(max_examples=100, deadline=None)
@given(model_specs())
def test_of_many_models(spec):
    check(scene(lower_model(spec)))


# ---- what is there -------------------------------------------------------------------------------


@every_model
def test_every_block_wire_and_cell_is_there(name):
    """Blocks of levels that are equal once; wires between those that are drawn."""
    of, found = made(name), scene_of(name)
    ids = [g.id for g in found.groups]
    assert len(ids) == len(set(ids))
    drawn = {g.id.removeprefix("block-") for g in found.groups if g.id.startswith("block-")}
    for path, node in ((node.path, node) for node in of.nodes):
        level, _, rest = path.rpartition("].")
        alike = [p for p in drawn if p == path or (level and p.endswith(f"].{rest}"))]
        assert any(of[p].circuit == node.circuit for p in alike), path
    ends = {(source, target) for _, source, target, _ in wires(found)}
    for wire in of.wires:
        if wire.target.path in drawn and wire.source.path in {*drawn, ""}:
            assert (wire.source.path or wire.source.name, wire.target.path) in ends
    for output in of.outputs:
        assert output.name in {target for _, target in ends}


@every_model
def test_it_says_how_large_each_block_is(name):
    of, found = made(name), scene_of(name)
    counts = of.flatten().bind(**{s: SIZES[s] for s in of.flatten().symbols}).counts()
    for each in found.groups:
        if each.id.startswith("block-"):
            path = each.id.removeprefix("block-")
            words = [w.text for w in each.marks if not isinstance(w, Shape | Disc)]
            own = {p.name for p in of.flatten().populations if p.path == path}
            neurons = sum(counts.neurons_of[n] for n in own)
            onto = [p.name for p in of.flatten().projections if p.post in own]
            synapses = sum(counts.synapses_of[n] for n in onto)
            assert {quantity(neurons, "neuron"), quantity(synapses, "synapse")} <= {*words}
            layers = {p.region.label for p in of[path].circuit.populations if p.region.in_cortex}
            assert layers <= {*words}
            heads = [a.extent for a in of[path].circuit.axes if a.role == "area"]
            assert ("4 areas" in words) == bool(heads)


@every_model
def test_frames_hold_the_blocks_of_their_levels(name):
    found = scene_of(name)
    places = {g.id.removeprefix("block-"): box_of(g) for g in found.groups if "block-" in g.id}
    for frame in (g for g in found.groups if g.id.startswith("level-")):
        left, top, right, bottom = bounds(
            frame.marks[-3] if "equal" in frame.marks[-1].text else frame.marks[0]
        )
        for path, (a, b, c, d) in places.items():
            within = left <= a and top <= b and c <= right and d <= bottom
            assert within == path.startswith(f"{frame.id.removeprefix('level-')}."), (
                frame.id,
                path,
            )


def test_equal_levels_are_drawn_once():
    words = {w.text for w in words_of(scene_of("translator"))}
    assert {"encoder.layer[0 … 1]", "decoder.layer[0 … 1]", "2 equal levels"} <= words
    ids = {g.id for g in scene_of("translator").groups}
    assert "block-decoder.layer[0].cross_attention" in ids
    assert "block-decoder.layer[1].cross_attention" not in ids
    assert ("encoder.norm", "decoder.layer[0].cross_attention") in {
        (source, target) for _, source, target, _ in wires(scene_of("translator"))
    }


def test_levels_that_take_turns_are_in_a_frame():
    spec = SPECS["parallel"]
    wide, near, _ = spec.stack.layers
    turns = replace(spec, stack=replace(spec.stack, layers=(wide, near) * 3))
    found = scene(lower_model(turns))
    check(found)
    assert {"layer[0 … 5]", "3 times", "layer[0]", "layer[1]"} <= {w.text for w in words_of(found)}
    outer, first, second = (
        bounds(group(found, name).marks[at])
        for name, at in (("levels-layer[0]", 2), ("level-layer[0]", 0), ("level-layer[1]", 0))
    )
    assert outer[1] < first[1] < first[3] < second[1] < second[3] < outer[3]
    for level, frame in (("layer[0]", first), ("layer[1]", second)):  # room for its name
        tops = [top for path, (_, top, *_) in boxes(found).items() if path.startswith(level)]
        assert frame[1] + 20 < min(tops)


def test_symbols_stay_without_sizes():
    words = {w.text for w in words_of(hierarchy_scene(made("gpt")))}
    assert "tokens (n)" in words and any("n^2" in text for text in words)
    assert "tokens (7)" in {w.text for w in words_of(scene_of("gpt"))}


def ring(count):
    """Residuals in a chain, of which each second is no level."""
    block = lower(Residual(4))
    paths = [f"layer[{k}].a" if k % 2 else f"between_{k}" for k in range(count)]
    joined, stream = [], "x"
    for path in paths:
        joined += [(stream, f"{path}.x"), ("x", f"{path}.branch")]
        stream = f"{path}.y"
    nodes = [Node(path, block) for path in paths]
    return network("ring", [Input("x", ("n", 4))], nodes, joined, {"y": stream})


def test_blocks_between_levels():
    found = scene(ring(6))
    check(found)
    tops = {path: place[1] for path, place in boxes(found).items()}
    order = sorted((p for p in tops if "x" not in p and p != "y"), key=tops.__getitem__)
    assert order == [
        "between_0",
        "layer[1].a",
        "between_2",
        "layer[3].a",
        "between_4",
        "layer[5].a",
    ]


def test_a_level_that_others_stand_in_has_no_frame():
    """`b` hears the first half of the level and feeds the second."""
    block = lower(Residual(4))
    paths = ["layer[0].a", "b", "layer[0].c"]
    joined = [(s, f"{p}.x") for s, p in zip(["x", "layer[0].a.y", "b.y"], paths, strict=True)]
    joined += [("x", f"{path}.branch") for path in paths]
    nodes = [Node(path, block) for path in paths]
    of = network("woven", [Input("x", ("n", 4))], nodes, joined, {"y": "layer[0].c.y"})
    found = scene(of)
    check(found)
    assert not any(g.id.startswith("level") for g in found.groups)


def test_more_blocks_than_there_is_room_for():
    with pytest.raises(SpecError, match="room for 300 blocks, this network has 302"):
        hierarchy_scene(ring(302))
