"""Which levels of a network are taken for equal."""

from dataclasses import replace

import pytest

from cortico.ir.network import Node, network
from cortico.ir.tensors import Input
from cortico.lowering import lower, lower_model
from cortico.pictures.repeats import runs
from cortico.spec import Layer, Residual
from tests.backends.networks.models import GROUPED, PLAIN, SPECS, attention, before


def found(of):
    """For each run: levels of its first group, and how many groups there are."""
    return [([level.path for level in run.groups[0].levels], len(run.groups)) for run in runs(of)]


def of_layers(*layers):
    spec = SPECS["gpt"]
    return lower_model(replace(spec, stack=replace(spec.stack, layers=layers)))


A = Layer((before(attention()), before(PLAIN)))
B = Layer((before(GROUPED), before(PLAIN)))
C = Layer((before(PLAIN),))


def paths(*numbers):
    return [f"layer[{k}]" for k in numbers]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([A], [(paths(0), 1)]),
        ([A] * 6, [(paths(0), 6)]),
        ([A, B], [(paths(0), 1), (paths(1), 1)]),
        ([A, A, B, B, B], [(paths(0), 2), (paths(2), 3)]),
        ([A, B, A, B], [(paths(0, 1), 2)]),
        ([A, A, B] * 3, [(paths(0, 1, 2), 3)]),
        ([A, A, A, B] * 2, [(paths(0, 1, 2, 3), 2)]),
        ([C, A, B, A, B, A], [(paths(0), 1), (paths(1, 2), 2), (paths(5), 1)]),
    ],
)
def test_levels_that_repeat(layers, expected):
    assert found(of_layers(*layers)) == expected


def test_the_levels_of_each_stack():
    assert found(lower_model(SPECS["translator"])) == [
        (["encoder.layer[0]"], 2),
        (["decoder.layer[0]"], 2),
    ]


def test_all_levels_are_in_one_run():
    of = of_layers(A, A, B, A, B, C)
    covered = [path for run in runs(of) for path in run.levels]
    assert covered == [level.path for level in of.levels]
    for run in runs(of):
        for path, first in run.drawn.items():
            assert of[path].circuit == of[first].circuit
            assert path.partition(".")[2] == first.partition(".")[2]


def chain(count, sources=None, outputs=()):
    """Levels of one residual that hears the level before, and `sources` by input and level in place of that."""
    block, given = lower(Residual(4)), dict(sources or {})
    joined = []
    for k in range(count):
        stream = f"layer[{k - 1}].r.y" if k else "x"
        joined.append((given.get((k, "x"), stream), f"layer[{k}].r.x"))
        joined.append((given.get((k, "branch"), "u"), f"layer[{k}].r.branch"))
    nodes = [Node(f"layer[{k}].r", block) for k in range(count)]
    inputs = [Input(name, ("n", 4)) for name in ("x", "u", "w")]
    extra = [Node("last", block)]
    joined += [(f"layer[{count - 1}].r.y", "last.x"), ("w", "last.branch")]
    given_out = {"y": "last.y"} | {f"y_{k}": f"layer[{k}].r.y" for k in outputs}
    return network("chain", inputs, [*nodes, *extra], joined, given_out)


def test_equal_levels_of_two_stacks_are_two_runs():
    names = ("lower.layer[0]", "lower.layer[1]", "upper.layer[0]", "upper.layer[1]")
    block, stream, joined = lower(Residual(4)), "x", []
    for name in names:
        joined += [(stream, f"{name}.r.x"), ("u", f"{name}.r.branch")]
        stream = f"{name}.r.y"
    inputs = [Input(name, ("n", 4)) for name in ("x", "u")]
    of = network("two", inputs, [Node(f"{name}.r", block) for name in names], joined, {"y": stream})
    assert found(of) == [([names[0]], 2), ([names[2]], 2)]


def test_what_levels_hear_counts():
    assert found(chain(4)) == [(paths(0), 4)]
    # one level hears another input than the others
    other = chain(4, {(2, "branch"): "w"})
    assert found(other) == [(paths(0), 2), (paths(2), 1), (paths(3), 1)]
    # from the second level on both inputs hear the level before; the first hears two inputs
    twice = {(k, "branch"): f"layer[{k - 1}].r.y" for k in range(1, 4)}
    assert found(chain(4, twice)) == [(paths(0), 4)]
    # the first hears one input twice, and the second what the level before gives, and that input
    once = {(0, "branch"): "x", **{(k, "branch"): "x" for k in range(1, 4)}}
    assert found(chain(4, once)) == [(paths(0), 1), (paths(1), 3)]


def test_what_is_read_of_a_level_counts():
    assert found(chain(4, outputs=[1])) == [(paths(0), 2), (paths(2), 2)]
    assert found(chain(4, outputs=[3])) == [(paths(0), 4)]
    # the last level hears the first one, too
    far = chain(4, {(3, "branch"): "layer[0].r.y"})
    assert found(far) == [(paths(0), 1), (paths(1), 2), (paths(3), 1)]
