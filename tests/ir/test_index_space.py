import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.ir import index_space
from cortico.ir.domain import Bound, conjunction
from cortico.ir.index_space import IndexSpace
from tests.ir.circuits import tuples

bounds = st.builds(
    lambda pair, offset: Bound(*pair, offset), st.sampled_from(["ij", "ji"]), st.integers(-3, 3)
)


@st.composite
def spaces(draw):
    axes = draw(
        st.one_of(st.permutations("ij"), st.permutations("ijk"), st.sampled_from(["", "k"]))
    )
    axes = tuple(axes)
    sizes = {axis: draw(st.integers(1, 5)) for axis in axes}
    tied = {"i", "j"} <= set(axes)
    domain = conjunction(draw(st.lists(bounds, min_size=1, max_size=3))) if tied else ()
    dropped = draw(st.one_of(st.just(set()), st.sets(st.sampled_from(axes)))) if axes else set()
    return axes, sizes, domain, frozenset(dropped)


def brute(axes, sizes, domain, dropped):
    kept = [axis for axis in axes if axis not in dropped]
    return {tuple(at[axis] for axis in kept) for at in tuples(axes, sizes, domain)}


def rows(space):
    indices = space.unrank(np.arange(space.size))
    columns = [indices[axis].tolist() for axis in space.axes]
    return list(zip(*columns, strict=True)) if columns else [()] * space.size


@given(arguments=spaces())
@pytest.mark.parametrize("table_rows", [0, 1 << 20], ids=["bisection", "table"])
def test_unrank_enumerates_and_rank_inverts(arguments, table_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_space, "_TABLE_ROWS", table_rows)
        space = IndexSpace(*arguments)
        found = rows(space)
        assert len(found) == len(set(found)) == space.size
        # Bounds between two dropped axes are dropped with them.
        if not {"i", "j"} <= arguments[3]:
            assert set(found) == brute(*arguments)
        ranks = space.rank(space.unrank(np.arange(space.size)))
        assert np.array_equal(np.broadcast_to(ranks, (space.size,)), np.arange(space.size))


@settings(max_examples=60)
@given(spaces(), st.data())
def test_contains_and_fix_agree_with_enumeration(arguments, data):
    space = IndexSpace(*arguments)
    found = set(rows(space))
    at = {axis: data.draw(st.integers(0, 5)) for axis in space.axes}
    assert space.contains(at) == (tuple(at.values()) in found)
    chosen = data.draw(st.sets(st.sampled_from(space.axes))) if space.axes else set()
    fixed = {axis: at[axis] for axis in chosen}
    part = space.fix(fixed)
    agreeing = {
        row for row in found if all(row[space.axes.index(a)] == v for a, v in fixed.items())
    }
    assert len(rows(part)) == part.size
    assert set(rows(part)) == agreeing


@pytest.mark.parametrize(
    "domain", [(Bound("j", "i", 0),), (Bound("j", "i", 0), Bound("i", "j", 9))]
)
def test_huge_spaces_cost_no_memory(domain):
    n = 3_000_000_000  # n² / 2 still fits in int64
    space = IndexSpace("ij", {"i": n, "j": n}, domain)
    positions = np.array([0, 1, 2, 10**6, space.size - 1, space.size // 2])
    indices = space.unrank(positions)
    assert (indices["i"][4], indices["j"][4]) == (n - 1, n - 1)
    assert all(bound.holds(indices).all() for bound in domain)
    assert np.array_equal(space.rank(indices), positions)


def test_rows_keep_the_order_of_positions():
    space = IndexSpace("ij", {"i": 3, "j": 3}, (Bound("j", "i", 0),))
    assert rows(space) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
