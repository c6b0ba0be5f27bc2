import itertools

import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from cortico.ir.domain import (
    Bound,
    conjunction,
    count_pairs,
    count_shadow,
    coupled_axes,
    implies,
    mask,
    rename,
    restrict,
)
from cortico.ir.polynomial import symbol

bounds = st.builds(
    lambda pair, offset: Bound(*pair, offset), st.sampled_from(["ij", "ji"]), st.integers(-4, 4)
)
domains = st.lists(bounds, max_size=3).map(conjunction)
sides = st.integers(1, 6)


def pairs(domain, rows, columns):
    every = itertools.product(range(rows), range(columns))
    return [(i, j) for i, j in every if all(b.holds({"i": i, "j": j}) for b in domain)]


@given(domains, sides, sides)
def test_closed_forms_count_what_enumeration_counts(domain, rows, columns):
    found = pairs(domain, rows, columns)
    assert count_pairs(domain, "i", "j", rows, columns) == len(found)
    assert count_shadow(domain, "i", "j", rows, columns) == len({j for _, j in found})


@pytest.mark.parametrize("sizes", [("n", "n"), ("n", 3), (3, "n"), ("n", "k")])
@pytest.mark.parametrize(
    "offsets",
    [
        {"ji": 0},
        {"ji": -1},
        {"ji": 0, "ij": 2},
        {"ij": -3, "ji": 2},
        {"ij": -1, "ji": -1},
        {"ji": 3},
        {"ij": -2},
    ],
)
@pytest.mark.parametrize("count", [count_pairs, count_shadow])
@pytest.mark.parametrize("as_polynomial", [True, False])
def test_symbolic_counts_hold_for_every_size(as_polynomial, count, offsets, sizes):
    domain = conjunction([Bound(*pair, offset) for pair, offset in offsets.items()])
    symbols = {name: sympy.Symbol(name, integer=True, positive=True) for name in "nk"}
    given = {name: symbol(name) for name in "nk"} if as_polynomial else symbols
    formula = sympy.sympify(count(domain, "i", "j", *(given.get(s, s) for s in sizes)))
    for n, k in itertools.product((1, 2, 3, 6), (1, 4)):
        rows, columns = ({"n": n, "k": k}.get(side, side) for side in sizes)
        number = formula.subs({symbols["n"]: n, symbols["k"]: k})
        assert number == count(domain, "i", "j", rows, columns)


@given(domains, domains, sides, sides)
def test_conjunction_is_intersection(first, second, rows, columns):
    both = conjunction(first, second)
    expected = set(pairs(first, rows, columns)) & set(pairs(second, rows, columns))
    assert set(pairs(both, rows, columns)) == expected
    assert both == tuple(sorted(both))
    assert len({(b.left, b.right) for b in both}) == len(both)


@given(domains, bounds)
def test_an_implied_bound_changes_nothing(domain, bound):
    assume(implies(domain, bound))
    assert pairs(domain, 6, 6) == pairs((*domain, bound), 6, 6)


@given(domains, sides, sides)
def test_mask_is_true_where_bounds_hold(domain, rows, columns):
    inside = np.broadcast_to(mask(domain, "ij", {"i": rows, "j": columns}), (rows, columns))
    assert list(zip(*map(list, np.nonzero(inside)), strict=True)) == pairs(domain, rows, columns)


def test_coupled_axes_follow_chains():
    chain = (Bound("i", "j", 0), Bound("j", "k", 1))
    assert coupled_axes(chain, "aibjk") == [("a",), ("i", "j", "k"), ("b",)]


def test_restrict_and_rename():
    domain = conjunction([Bound("j", "i", 0), Bound("i", "t", 2)])
    assert restrict(domain, "ij") == (Bound("j", "i", 0),)
    assert rename(domain, {"t": "j"}) == conjunction([Bound("j", "i", 0), Bound("i", "j", 2)])
