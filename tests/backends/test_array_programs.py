"""Circuits by hand in which arrays over pairs of tokens are summed, bounded and read in more ways than attention does."""

import numpy as np
import pytest

from cortico.backends.numpy import compile_source, emit_source
from cortico.ir import (
    Bound,
    Formula,
    Role,
    TensorRef,
    Weight,
)
from tests.backends.meetings import (
    CAUSAL,
    EARLIER,
    PAIR,
    ROWS,
    TOKENS,
    X_KEY,
    X_QUERY,
    A,
    B,
    Meeting,
    close,
    emitted,
    numbers,
)


def test_two_products_of_tokens_in_one_tile():
    net = Meeting()
    net.cells("one", (*PAIR, "feature"), [X_QUERY], [X_KEY])
    net.cells("two", (*PAIR, "feature"), [X_QUERY], [X_QUERY], [X_KEY])
    net.pairs("weight", ["one", "two"], transfer="tanh")
    net.shown("y", "weight")
    *_, x, found = net.run(("y", ROWS))
    close(found, np.tanh(x @ x.T + x**2 @ x.T) @ x)


@pytest.mark.parametrize("size", [1.0, 500.0])
@pytest.mark.parametrize("domain", [(), CAUSAL], ids=["whole", "one causal"])
def test_one_softmax_over_two_kinds_of_pairs(size, domain):
    net = Meeting()
    net.pairs("first", [A, A], transfer="exp", domain=domain)
    net.pairs("second", [B, B], transfer="exp")
    net.cells("pool", ("query",), ["first", "second"])
    net.pairs("both", ["first", "second"])
    net.shown("y", "both", "pool")
    a, b, x, found = net.run(("y", ROWS), size=size)
    one, two = np.where(EARLIER > 0, 2 * a, -np.inf) if domain else 2 * a, 2 * b
    largest = np.maximum(one.max(-1), two.max(-1))[:, None]
    weight, other = np.exp(one - largest), np.exp(two - largest)
    weight += other
    close(found, weight @ x / weight.sum(-1, keepdims=True))


def test_a_score_that_more_than_softmax_reads():
    net = Meeting()
    net.pairs("score", [A, B])
    net.pairs("weight", ["score"], transfer="exp")
    net.pairs("gate", ["score"], transfer="tanh")
    net.cells("pool", ("query",), ["weight"])
    net.shown("y", "weight", "pool")
    net.shown("z", "gate")
    a, b, x, (y, z) = net.run(("y", ROWS), ("z", ROWS))
    weight = np.exp(a + b)
    close(y, weight @ x / weight.sum(-1, keepdims=True))
    close(z, np.tanh(a + b) @ x)


def test_a_sum_of_pairs_of_which_some_are_bounded():
    net = Meeting()
    net.pairs("past", [A], transfer="tanh", domain=CAUSAL)
    net.pairs("all", [B], transfer="tanh")
    net.pairs("weight", ["past", "all"])
    net.shown("y", "weight")
    a, b, x, found = net.run(("y", ROWS))
    close(found, (EARLIER * np.tanh(a) + np.tanh(b)) @ x)


def test_two_sums_of_which_one_is_bounded():
    net = Meeting()
    net.pairs("past", [A], transfer="tanh", domain=CAUSAL)
    net.pairs("all", [B], transfer="tanh")
    net.shown("y", "past")
    net.shown("z", "all")
    a, b, x, (y, z) = net.run(("y", ROWS), ("z", ROWS))
    close(y, (EARLIER * np.tanh(a)) @ x)
    close(z, np.tanh(b) @ x)


def test_a_bounded_sum_that_weighs_pairs_without_bounds():
    net = Meeting()
    net.pairs("past", [A], transfer="tanh", domain=CAUSAL)
    net.cells("total", ("query",), ["past"])
    net.pairs("all", [B], ["total"], transfer="tanh")
    net.pairs("weight", ["all"], ["total"])
    net.shown("y", "weight")
    a, b, x, found = net.run(("y", ROWS))
    total = (EARLIER * np.tanh(a)).sum(-1, keepdims=True)
    close(found, (np.tanh(b * total) * total) @ x)


def test_pairs_that_are_read_twice():
    net = Meeting()
    net.pairs("one", [A], transfer="tanh")
    net.pairs("two", ["one", B], transfer="tanh")
    net.pairs("weight", ["one"], ["two"])
    net.shown("y", "weight")
    net.shown("z", "one")
    net.cells("total", ("query",), ["one"])
    a, b, x, (y, z, total) = net.run(("y", ROWS), ("z", ROWS), ("total", ("query",)))
    one = np.tanh(a)
    close(y, (one * np.tanh(one + b)) @ x)
    close(z, one @ x)
    close(total, one.sum(-1))


def test_pairs_that_are_summed_along_both_tokens():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh")
    net.shown("y", "weight")
    net.cells("back", ("key",), ["weight"])
    for name, axes in (("y", ROWS), ("back", ("key",))):
        net.builder.output(f"{name}_out", name, axes)
    attention = compile_source(emit_source(net.builder.build()))
    attention.__globals__["TILE"] = (2, 2)
    rng = np.random.default_rng(0)
    a, x = rng.standard_normal((TOKENS, TOKENS)), rng.standard_normal((TOKENS, 3))
    y, back = attention(a, a, x)
    close(y, np.tanh(a) @ x)
    close(back, np.tanh(a).sum(0))


def test_pairs_that_are_summed_over_queries():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh", domain=CAUSAL)
    net.cells("wx", (*PAIR, "feature"), ["weight"], [X_QUERY])
    net.cells("y", ("key", "feature"), ["wx"])
    net.cells("total", ("key",), ["weight"], transfer="tanh")
    a, _, x, (y, total) = net.run(("y", ("key", "feature")), ("total", ("key",)))
    weight = EARLIER * np.tanh(a)
    close(y, weight.T @ x)
    close(total, np.tanh(weight.sum(0)))


def test_a_row_sum_that_is_read_inside_and_outside():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh")
    net.cells("total", ("query",), ["weight"], transfer="tanh")
    net.pairs("next", [B], ["total"], transfer="tanh")
    net.shown("y", "next")
    a, b, x, (y, total) = net.run(("y", ROWS), ("total", ("query",)))
    expected = np.tanh(np.tanh(a).sum(-1))
    close(total, expected)
    close(y, np.tanh(b * expected[:, None]) @ x)


def test_bounds_without_an_array_of_pairs():
    net = Meeting()
    window = (Bound("key", "query", 1), Bound("query", "key", 2))
    net.cells("match", (*PAIR, "feature"), [X_KEY], [X_QUERY])
    net.pairs("weight", ["match"], transfer="tanh", domain=window)
    net.shown("y", "weight")
    *_, x, found = net.run(("y", ROWS))
    close(found, (np.tanh(x @ x.T) * np.tri(TOKENS, k=1) * np.tri(TOKENS, k=2).T) @ x)


def test_features_at_every_pair():
    net = Meeting()
    net.pairs("weight", [A, B])
    net.cells("wide", (*PAIR, "feature"), ["weight"], [X_KEY], transfer="tanh")
    net.cells("y", ROWS, ["wide"])
    a, b, x, found = net.run(("y", ROWS))
    close(found, np.tanh((a + b)[:, :, None] * x).sum(1))


def test_a_bound_on_pairs_that_are_made_and_on_pairs_that_are_given():
    net = Meeting()
    net.pairs("made", [A], transfer="tanh", domain=CAUSAL)
    net.pairs("given", [B], domain=CAUSAL)
    net.shown("y", "made")
    net.pairs("next", ["given"], transfer="tanh")
    net.shown("z", "next")
    a, b, x, (y, z) = net.run(("y", ROWS), ("z", ROWS))
    close(y, (EARLIER * np.tanh(a)) @ x)
    close(z, np.tanh(EARLIER * b) @ x)


def test_synapses_of_earlier_tokens_on_pairs():
    """The bound is one of the synapses, so that elsewhere the pair has a current of zero."""
    net = Meeting()
    net.builder.input("s", ("n",))
    net.cells("sender", ("key",), [("s", ("key",))])
    net.pairs("weight", [], transfer="exp")
    net.builder.project("early", "sender", "weight", "c0", domain=CAUSAL)
    net.shown("y", "weight")
    net.builder.output("y_out", "y", ROWS)
    attention = compile_source(emit_source(net.builder.build()))
    rng = np.random.default_rng(0)
    a, x, s = (rng.standard_normal(shape) for shape in ((TOKENS, TOKENS), (TOKENS, 3), TOKENS))
    close(attention(a, a, x, s, threads=1), np.exp(EARLIER * s) @ x)


# ---- what a tile can do alone ----------------------------------------------------------------------


def test_pairs_that_their_total_multiplies():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh")
    net.cells("total", (), ["weight"])
    net.pairs("next", ["weight"], ["total"], transfer="tanh")
    net.shown("y", "next")
    a, b, x = numbers()
    weight = np.tanh(a)
    close(emitted(net, ("y", ROWS))(a, b, x), np.tanh(weight * weight.sum()) @ x)


def test_pairs_that_are_an_output():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh", domain=CAUSAL)
    net.shown("y", "weight")
    a, b, x = numbers()
    weight, y = emitted(net, ("weight", PAIR), ("y", ROWS))(a, b, x)
    close(weight, EARLIER * np.tanh(a))
    close(y, EARLIER * np.tanh(a) @ x)


def test_pairs_that_depend_on_no_input():
    net = Meeting()
    net.builder.parameter("slope", (), np.asarray(0.3))
    net.builder.parameter("far", ("n", "n"), formula=Formula("distance", ("slope",)))
    net.pairs("weight", [("far", PAIR)], transfer="tanh")
    net.cells("total", ("query",), ["weight"], transfer="relu")
    net.cells("y", ROWS, ["total"], [X_QUERY])
    a, b, x = numbers(2)
    far = 0.3 * np.subtract.outer(np.arange(TOKENS), np.arange(TOKENS)).T
    total = np.maximum(np.tanh(far).sum(-1), 0)
    found = emitted(net, ("y", ROWS))(a, b, x, weights={"slope": 0.3})
    close(found, total[:, None] * x)


def test_a_sum_over_areas_amid_pairs():
    net = Meeting()
    net.builder.axis("area", Role.AREA, 2)
    net.builder.input("c", (2, "n"))
    axes, out = ("area", *PAIR), ("area", "query", "feature")
    net.cells("weight", axes, [A], [("c", ("area", "key"))], transfer="tanh")
    net.cells("total", ("query",), ["weight"])
    net.cells("next", axes, ["weight"], ["total"], transfer="tanh")
    net.cells("met", ("area", *PAIR, "feature"), ["next"], [X_KEY])
    net.cells("y", out, ["met"])
    (a, b, x), c = numbers(), np.random.default_rng(1).standard_normal((2, TOKENS))
    weight = np.tanh(a * c[:, None])
    close(emitted(net, ("y", out))(a, b, x, c), np.tanh(weight * weight.sum((0, 2))[:, None]) @ x)


def test_pairs_after_a_sum_over_features_after_pairs():
    net = Meeting()
    net.pairs("weight", [A], transfer="tanh")
    net.shown("first", "weight")
    net.cells("tanh", ROWS, ["first"], transfer="tanh")
    net.cells("level", ("query",), ["tanh"])
    net.pairs("next", [B], ["level"], transfer="tanh")
    net.shown("y", "next")
    a, b, x = numbers()
    level = np.tanh(np.tanh(a) @ x).sum(-1, keepdims=True)
    close(emitted(net, ("y", ROWS))(a, b, x), np.tanh(b * level) @ x)


def test_rows_that_meet_what_is_made_of_them_later():
    net = Meeting()
    net.builder.axis("mixed", Role.MODEL, 2)
    mix = np.random.default_rng(1).standard_normal((3, 2))
    net.builder.parameter("mix", (3, 2), mix)
    net.pairs("weight", [A], transfer="tanh")
    net.shown("first", "weight")
    net.cells("rate", ROWS, ["first"], transfer="tanh")
    net.cells("later", ("query", "mixed"), [], transfer="tanh")
    mixing = Weight(TensorRef("mix", ("feature", "mixed")))
    net.builder.project("mixing", "rate", "later", "c0", mixing)
    net.cells("y", (*ROWS, "mixed"), ["rate"], ["later"], transfer="relu")
    a, b, x = numbers()
    rate = np.tanh(np.tanh(a) @ x)
    found = emitted(net, ("y", (*ROWS, "mixed")))(a, b, x, weights={"mix": mix})
    close(found, np.maximum(rate[:, :, None] * np.tanh(rate @ mix)[:, None], 0))
