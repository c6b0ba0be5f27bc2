"""What circuits that live in time are at rest, and which loops are refused."""

import re

import numpy as np
import pytest

from cortico import AttentionSpec, lower
from cortico.backends.reference import ReferenceBackend, interpret
from cortico.ir import CircuitError
from cortico.ir.analysis.rest import at_rest, feedback_loops, outputs_at_rest
from cortico.ir.text import parse_circuit
from cortico.spec.weights import random_weights

LOOP = """cortico circuit 1
name "loop"

axis i : column 3
axis j : column 4

input s (3, 4)
input keep (4) mask

population kept [j] thalamus.matrix relay
  driver multiplies keep[j]
population mask [i, j] cortex.L2/3 pyramidal_it exp where i - j <= 1
  basal multiplies s[i, j]
population gated [i, j] cortex.L2/3 pyramidal_it where i - j <= 1
  basal multiplies
  apical multiplies
population pool [i] cortex.L2/3 pv tanh integrates 1.0 per ms from 5.0
  soma multiplies -1.0
  live multiplies
  shunt divides

projection inhibition pool -> mask.basal weight -1.0
projection mask mask -> gated.basal weight 1.0
projection keep kept -> gated.apical weight 1.0
projection sum gated -> pool.soma weight 1.0
projection live kept -> pool.live weight 1.0 where i - j <= 1
projection live_shunt kept -> pool.shunt weight 1.0 where i - j <= 1

output y = gated[i, j]
"""


def softmax(s, keep):
    """By hand: each row over the live entries that it may see, 0 where there is none."""
    i, j = np.ogrid[:3, :4]
    terms = np.exp(s) * keep * (i - j <= 1)
    total = terms.sum(1, keepdims=True)
    return np.divide(terms, total, out=np.zeros_like(terms), where=total > 0)


@pytest.mark.parametrize("keep", [[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
def test_a_loop_is_a_softmax(keep):
    circuit, s = parse_circuit(LOOP), np.random.default_rng(1).normal(size=(3, 4)) * 3
    inputs = {"s": s, "keep": np.array(keep, float)}
    found = interpret(circuit, inputs)
    np.testing.assert_allclose(found["gated"], softmax(s, keep), atol=1e-15)
    np.testing.assert_array_equal(found["gated"], ReferenceBackend().run(circuit, inputs)["y"])


def test_what_is_left_out():
    """The pool is only a number that members hear; what outputs do not hear is for others to see."""
    resting = at_rest(parse_circuit(LOOP))
    names = [p.name for p in resting.populations]
    assert names == ["kept", "mask_free", "mask", "gated_free", "gated", "pool_total"]
    assert [p.name for p in outputs_at_rest(parse_circuit(LOOP)).populations] == [
        *("kept", "mask_free", "gated_free", "gated", "pool_total"),
    ]
    assert not resting.lives_in_time
    assert at_rest(resting) is resting


def test_a_pool_that_is_an_output_is_a_logarithm():
    s = np.random.default_rng(1).normal(size=(3, 4))
    circuit = parse_circuit(LOOP + "output m = pool[i]\n")
    i, j = np.ogrid[:3, :4]
    expected = np.log((np.exp(s) * (i - j <= 1)).sum(1))
    found = ReferenceBackend().run(circuit, {"s": s})["m"]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_delays_do_not_matter_at_rest():
    """Of a circuit without loops, and of a loop whose rest is known."""
    inputs = {"s": np.random.default_rng(1).normal(size=(3, 4))}
    delayed = LOOP.replace("-> mask.basal weight -1.0", "-> mask.basal weight -1.0 delay 1.0 ms")
    plain, slow = (ReferenceBackend().run(parse_circuit(t), inputs)["y"] for t in (LOOP, delayed))
    np.testing.assert_array_equal(plain, slow)


#: What is changed, what it is changed to, and a word of the reason.
WRONG = {
    "sums to two": ("soma multiplies -1.0", "soma multiplies -2.0", "driven by -1"),
    "driven more": ("soma multiplies -1.0", "soma multiplies -1.0 + -1.0", "driven by -1"),
    "half inhibition": ("mask.basal weight -1.0", "mask.basal weight -0.5", "weight -1"),
    "excitation": ("mask.basal weight -1.0", "mask.basal weight 1.0", "weight -1"),
    "some are inhibited": (
        "mask.basal weight -1.0",
        "mask.basal weight -1.0 where j - i <= 0",
        "weight -1",
    ),
    "flat below": ("pv tanh integrates", "pv relu integrates", "relu is 0 elsewhere"),
    "never zero": ("pv tanh integrates", "pv sigmoid integrates", "sigmoid is 0 elsewhere"),
    "members are no exponentials": ("pyramidal_it exp where", "pyramidal_it softplus where", "weight -1"),
    "cells for some": (
        "population pool [i] cortex.L2/3 pv tanh integrates 1.0 per ms from 5.0",
        "population pool [i, j] cortex.L2/3 pv tanh integrates 1.0 per ms from 5.0 where i - j <= 1",
        "some indices only",
    ),
    "negative gates": ("weight 1.0\nprojection sum", "weight -1.0\nprojection sum", "negative"),
    "a square of members": ("  apical multiplies\n", "  apical multiplies\n  twice multiplies\n", "sum"),
    "counts others": ("pool.live weight 1.0 where i - j <= 1", "pool.live weight 1.0", "whether"),
    "counts twice": ("pool.shunt weight 1.0", "pool.shunt weight 2.0", "whether"),
    "hears no member": ("projection sum gated", "projection sum kept", "does not hear all"),
    "hears the gated ones and more": (
        "projection live kept",
        "projection more mask -> pool.soma weight 1.0\nprojection live kept",
        "whether",
    ),
}  # fmt: skip


WRONG |= {
    "inhibited and excited": (
        "projection mask mask",
        "projection more pool -> mask.basal weight 1.0\nprojection mask mask",
        "once each",
    ),
    "hears nothing": ("gated -> pool.soma weight 1.0", "gated -> pool.soma weight 0.0", "whether"),
    "counts where nothing is gated": (
        "kept -> gated.apical weight 1.0",
        "kept -> gated.apical weight 1.0 where i - j <= 0",
        "whether",
    ),
    "counts cells that do not fire": (
        "mask mask -> gated.basal weight 1.0",
        "mask mask -> gated.basal weight 1.0 where i - j <= 0",
        "whether",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_loops_are_refused(name):
    old, new, word = WRONG[name]
    assert old in LOOP
    text = LOOP.replace(old, new)
    if name == "a square of members":
        text += "\nprojection square mask -> gated.twice weight 1.0\n"
        text = text.replace("output y = gated[i, j]\n", "") + "output y = gated[i, j]\n"
    with pytest.raises(CircuitError, match=f"'pool' integrates.*{re.escape(word)}"):
        at_rest(parse_circuit(text))


def test_a_loop_of_delays_is_refused():
    text = LOOP.replace(
        "projection live kept",
        "projection back gated -> mask.basal weight 0.1 delay 2.0 ms\nprojection live kept",
    )
    with pytest.raises(CircuitError, match="loop whose rest is not known in closed form"):
        at_rest(parse_circuit(text))


def test_loops_of_a_stack():
    """The rest of a loop behind another is found, too."""
    spec = AttentionSpec(model=4, heads=2, tokens=3, normalisation="feedback")
    circuit = lower(spec, random_weights(spec, 0))
    (loop,) = feedback_loops(circuit)
    assert (loop.pool, loop.members, loop.between) == ("pool", ("mask",), ("mask",))


# ---- pools that always hear something ------------------------------------------------------------

SUM = """cortico circuit 1
name "sums"

axis i : column {0}
axis j : column {1}

input s ({0}, {1})

population mask [i, j] cortex.L2/3 pyramidal_it exp{2}
  basal multiplies s[i, j]
population pool [i] cortex.L2/3 pv tanh integrates 1.0 per ms from 5.0
  soma multiplies -1.0

projection inhibition pool -> mask.basal weight -1.0
projection sum mask -> pool.soma weight 1.0{3}

output y = mask[i, j]
"""


@pytest.mark.parametrize(("rows", "columns", "where", "heard"), [
    ("n", "n", "", True), ("n", "k", "", True), ("n", "n", "j - i <= 0", True),
    ("n", "n", "i - j <= 2 and j - i <= 0", True), ("n", "n", "j - i <= -1", False),
    ("n", "k", "j - i <= 0", False), ("n", "k", "i - j <= 3", False),
    ("3", "4", "i - j <= -1", True), ("3", "4", "i - j <= -2", False), ("4", "3", "i - j <= 0", False),
    ("4", "3", "i - j <= 1", True), ("4", "3", "j - i <= 0", True), ("3", "3", "j - i <= -1", False),
])  # fmt: skip
def test_a_pool_must_hear_something_at_all_sizes(rows, columns, where, heard):
    """Whether each row has a column, by counting at small sizes; cells that are not there, or synapses."""
    small = [
        [{"n": n, "k": k}.get(e) or int(e) for e in (rows, columns)]
        for n in (1, 3, 6)
        for k in (1, 2, 8)
    ]
    bound = where.replace("and", ") & (") or "i == i"
    for n, k in small:
        i, j = np.indices((n, k))
        if heard:
            assert eval(f"({bound})", {"i": i, "j": j}).any(1).all()
    texts = [SUM.format(rows, columns, f" where {where}" if where and cells else "",
             f" where {where}" if where and not cells else "") for cells in (True, False)]  # fmt: skip
    for text in texts:
        try:
            at_rest(parse_circuit(text))
            assert heard
        except CircuitError as error:
            assert not heard and "may hear nothing" in str(error)


def test_loops_that_share_cells_are_refused():
    """Rows and columns that both sum to 1: Sinkhorn's matrix, which is no softmax."""
    other = """population other [j] cortex.L2/3 pv tanh integrates 1.0 per ms from 5.0
  soma multiplies -1.0

projection more other -> mask.basal weight -1.0
projection columns mask -> other.soma weight 1.0
projection inhibition"""
    text = SUM.format(3, 3, "", "").replace("\nprojection inhibition", other)
    with pytest.raises(
        CircuitError, match=r"'other' integrates.*mask is in its loop, and in that of"
    ):
        at_rest(parse_circuit(text))
