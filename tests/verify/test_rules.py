"""The rules of the normal form one by one: what they must prove, and what they must not."""

import decimal
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.language import (
    ONE,
    Apply,
    Definition,
    Equations,
    Index,
    Number,
    Read,
    Size,
    Within,
    exp,
    number,
    product,
    total,
)
from cortico.verify.known import Known
from cortico.verify.normal.algebra import Algebra, Assumptions
from cortico.verify.normal.equivalence import compare
from cortico.verify.normal.terms import Factor, Var, canonical_term
from tests.verify.random_equations import CONTEXT, GIVEN, MASKS
from tests.verify.test_algebra import value_moved

i, j, u, v, w = (Index(name, "s") for name in "ijuvw")
p = Index("p", "t")
x_i, x_j, t_i, z_p = Read("x", (i,)), Read("x", (j,)), Read("w", (i,)), Read("z", (p,))
e_i, e_j, keep_i, keep_j = exp(x_i), exp(x_j), Read("keep", (i,)), Read("keep", (j,))
A_ij, A_ji = Read("A", (i, j)), Read("A", (j, i))
S_i = total(w, exp(Read("A", (i, w))))
R_i, X, W = (total(w, exp(Read(*each))) for each in (("A", (w, i)), ("x", (w,)), ("w", (w,))))
ZERO = Number(Fraction(0))


def inverse(argument):
    return Apply("inverse", argument)


def relu(argument):
    return Apply("relu", argument)


def score(one, other, key="B"):
    """Σ_p B[one, p] B[other, p]: symmetric in its indices."""
    return total(p, Read(key, (one, p)) * Read(key, (other, p)))


def verdict_of(one, other, indices=(i, j)):
    systems = (
        Equations(GIVEN, (Definition("y", indices, body),), ("y",), MASKS) for body in (one, other)
    )
    return compare(*systems)[0].verdict


def after(definition, body):
    return Equations(GIVEN, (definition, Definition("y", (i, j), body)), ("y",), MASKS)


TRUE = {
    "a sum over nothing used is a size": (total(u, x_i), x_i * Size("s")),
    "a constant row cancels in a softmax": (
        exp(x_i + x_j) / total(u, exp(Read("x", (u,)) + x_i)),
        e_j / total(u, exp(Read("x", (u,)))),
    ),
    "softmax rows sum to one": (total(w, exp(Read("A", (i, w))) / S_i), ONE),
    "the terms of a sum over it": (e_i / (e_i + e_j), ONE - e_j / (e_i + e_j)),
    "the same with numbers": (
        e_i / (e_i + number(2.0) * e_j),
        ONE - number(2.0) * e_j / (e_i + number(2.0) * e_j),
    ),
    "the same with sizes": (e_i / (Size("t") + e_i), ONE - Size("t") / (Size("t") + e_i)),
    "two reciprocals at once": (
        (inverse(S_i + R_i) * inverse(X + W)) * (R_i * W),
        (ONE - S_i / (S_i + R_i)) * (ONE - X / (X + W)),
    ),
    "x/0 is 0": (ONE / ZERO, ZERO),
    "0/x is 0": (ZERO / x_i, ZERO),
    "1/(1/x) is x": (inverse(inverse(x_i)), x_i),
    "1/(x y)": (inverse(x_i * x_j), inverse(x_i) * inverse(x_j)),
    "1/x² is (1/x)²": (inverse(x_i * x_i), inverse(x_i) * inverse(x_i)),
    "1/keep is keep": (inverse(keep_i), keep_i),
    "exp of a mask": (exp(keep_i * x_j), ONE - keep_i + keep_i * e_j),
    "exp of two masks": (
        exp(keep_i * x_j + keep_j * x_i),
        (ONE - keep_i + keep_i * e_j) * (ONE - keep_j + keep_j * e_i),
    ),
    "exp(0) is 1": (exp(x_i - x_i), ONE),
    "exp of a half, twice": (exp(number(0.5) * x_i) * exp(number(0.5) * x_i), e_i),
    "relu of a negative": (relu(-x_i), relu(x_i) - x_i),
    "relu of a positive": (relu(e_i + relu(x_j)), e_i + relu(x_j)),
    "relu of a negative sum": (relu(-e_i - e_j), ZERO),
    "relu scaled": (relu(number(2.5) * x_i), number(2.5) * relu(x_i)),
    "relu of a square": (relu(x_i * x_i), x_i * x_i),
    "relu of a mask": (relu(keep_i * x_j), keep_i * relu(x_j)),
    "tanh is odd": (Apply("tanh", -x_i), -Apply("tanh", x_i)),
    "a mask twice": (keep_i * keep_i, keep_i),
    "tighter bounds": (Within(i, j, 1) * Within(i, j, -1), Within(i, j, -1)),
    "bounds that contradict": (Within(i, j, -1) * Within(j, i, 0), ZERO),
    "a bound on one index": (Within(i, i, 0), ONE),
    "an impossible bound on one index": (Within(i, i, -1), ZERO),
    "masked row, guard dropped": (
        total(w, Within(w, i, 0) * exp(Read("A", (i, w))))
        / total(w, Within(w, i, 0) * exp(Read("A", (i, w)))),
        ONE,
    ),
    "a product of sums": (
        total(u, Read("x", (u,))) * total(v, Read("x", (v,))),
        total((u, v), Read("x", (v,)) * Read("x", (u,))),
    ),
    "exp of a symmetric score": (exp(score(i, j)), exp(score(j, i))),
    "a symmetric function, summed": (
        total((u, v), exp(score(u, v)) * Read("x", (u,))),
        total((u, v), exp(score(v, u)) * Read("x", (u,))),
    ),
    "1/(x - y)": (inverse(x_i - x_j), -inverse(x_j - x_i)),
    "products that cancel": ((x_i + x_j) * (x_i - x_j), x_i * x_i - x_j * x_j),
}

FALSE = {
    "an interval between two indices may be empty": (
        total(w, Within(w, i, 0) * Within(j, w, 0) * exp(Read("x", (w,))))
        / total(w, Within(w, i, 0) * Within(j, w, 0) * exp(Read("x", (w,)))),
        ONE,
    ),
    "x/x is not 1": (x_i / x_i, ONE),
    "S/S is not 1 where S may be 0": (total(u, Read("x", (u,))) / total(u, Read("x", (u,))), ONE),
    "keep/keep is not 1": (keep_i / keep_i, ONE),
    "a row that may be empty": (
        total(u, Read("keep", (u,)) * exp(Read("x", (u,))))
        / total(u, Read("keep", (u,)) * exp(Read("x", (u,)))),
        ONE,
    ),
    "strictly causal rows may be empty": (
        total(w, Within(w, i, -1) * e_j) / total(w, Within(w, i, -1) * e_j),
        ONE,
    ),
    "a window may exclude the index itself": (
        total(w, Within(w, i, 0) * Within(i, w, -1) * exp(Read("x", (w,))))
        / total(w, Within(w, i, 0) * Within(i, w, -1) * exp(Read("x", (w,)))),
        ONE,
    ),
    "another sort may have no equal index": (
        total(p, Within(i, p, 0) * exp(z_p)) / total(p, Within(i, p, 0) * exp(z_p)),
        ONE,
    ),
    "a number of the leading term": (
        e_i / (e_i + number(2.0) * e_j),
        number(0.5) - e_j / (e_i + number(2.0) * e_j),
    ),
    "a number of the other term": (
        e_j / (number(2.0) * e_i + e_j),
        ONE - e_i / (number(2.0) * e_i + e_j),
    ),
    "a size of the leading term": (
        e_i / (Size("t") + e_i),
        Size("t", Fraction(-1)) - inverse(Size("t") + e_i),
    ),
    "two reciprocals at once": (
        (
            inverse(S_i + total(w, exp(Read("A", (w, i)))))
            * inverse(total(w, exp(Read("x", (w,)))) + total(w, exp(Read("w", (w,)))))
        )
        * (total(w, exp(Read("A", (w, i)))) * total(w, exp(Read("w", (w,))))),
        ONE
        - S_i / (S_i + total(w, exp(Read("A", (w, i)))))
        - total(w, exp(Read("x", (w,))))
        / (total(w, exp(Read("x", (w,)))) + total(w, exp(Read("w", (w,)))))
        + total(w, exp(Read("A", (i, w))) * exp(Read("x", (w,))))
        * inverse(S_i + total(w, exp(Read("A", (w, i)))))
        * inverse(total(w, exp(Read("x", (w,)))) + total(w, exp(Read("w", (w,))))),
    ),
    "sums over one index are not one sum": (
        total(u, Read("x", (u,))) * total(u, Read("x", (u,))),
        total(u, Read("x", (u,)) * Read("x", (u,))),
    ),
    "transposed": (A_ij, A_ji),
    "exp of a transposed score": (exp(A_ij), exp(A_ji)),
    "exp of a score that is not symmetric": (
        exp(total(p, Read("B", (i, p)) * Read("z", (p,)) * x_j)),
        exp(total(p, Read("B", (j, p)) * Read("z", (p,)) * x_i)),
    ),
    "a function of another number of indices": (exp(score(i, i)), exp(score(i, j))),
    "sorts of one size": (Size("s"), Size("t")),
    "exp twice is not exp of a square": (e_i * e_i, exp(x_i * x_i)),
    "1/exp": (inverse(e_i), e_i),
    "relu twice": (relu(x_i) * relu(x_i), relu(x_i)),
    "relu of a reciprocal": (relu(inverse(x_i)), inverse(x_i)),
    "relu of a reciprocal of a sum": (relu(inverse(x_i + e_j)), inverse(x_i + e_j)),
    "relu is not the identity": (relu(x_i), x_i),
    "relu of a difference": (relu(e_i - e_j), e_i - e_j),
    "relu with a negative gain": (relu(number(-2.0) * x_i), number(-2.0) * relu(x_i)),
    "relu of an odd power": (relu(x_i * x_i * x_i), x_i * x_i * x_i),
    "relu of a masked sum": (relu(keep_i * x_j + x_i), keep_i * relu(x_j) + relu(x_i)),
    "tanh is not linear": (Apply("tanh", number(2.0) * x_i), number(2.0) * Apply("tanh", x_i)),
    "exp of a mask, summed": (
        exp(total(u, Read("keep", (u,)) * x_i)),
        ONE - total(u, Read("keep", (u,))) + total(u, Read("keep", (u,))) * e_i,
    ),
    "looser bounds": (Within(i, j, 1) * Within(i, j, -1), Within(i, j, 1)),
    "bounds the other way": (Within(i, j, 0), Within(j, i, 0)),
    "bounds that just fit": (Within(i, j, 0) * Within(j, i, 0), ZERO),
    "bounds with room": (Within(i, j, -1) * Within(j, i, 1), ZERO),
    "a root of a square": (Apply("sqrt", x_i * x_i), x_i),
    "step is 0 at 0": (Apply("step", x_i * x_i), ONE),
    "half a power": (exp(number(0.5) * x_i), e_i),
    "numbers that nearly agree": (number(0.333333) * x_i, Number(Fraction(1, 3)) * x_i),
    "a common factor that may be 0": (x_i / (x_i * e_i + x_i * e_j), inverse(e_i + e_j)),
}


@pytest.mark.parametrize("pair", TRUE.values(), ids=TRUE)
def test_equal(pair):
    assert verdict_of(*pair) is Known.PROVED
    assert verdict_of(*pair[::-1]) is Known.PROVED


#: Different at numbers that counterexamples are not drawn from: zero, no token at all, 1e-7 apart.
HARD = {
    "x/x is not 1",
    "S/S is not 1 where S may be 0",
    "a row that may be empty",
    "another sort may have no equal index",
    "step is 0 at 0",
    "a common factor that may be 0",
    "numbers that nearly agree",
}


@pytest.mark.parametrize("name", FALSE)
def test_not_equal(name):
    for pair in (FALSE[name], FALSE[name][::-1]):
        verdict = verdict_of(*pair)
        assert verdict is Known.REFUTED or (name in HARD and verdict is Known.UNDECIDED)


ALONE = (
    x_i / (x_i * x_i + x_j),
    x_i * x_i / (x_i + x_j),
    x_i * x_i * inverse(x_i + x_j) * inverse(x_i + x_j),
    x_i / (keep_i * x_i + x_j),
    total(u, keep_i * x_i) / (total(u, Read("keep", (u,))) + x_j),
    inverse(keep_i * x_j + keep_i * e_i),
)
SIDES = {
    **{
        f"{name}, {k}": side for name, pair in (TRUE | FALSE).items() for k, side in enumerate(pair)
    },
    **{str(side): side for side in ALONE},
}


@pytest.mark.parametrize("name", SIDES)
def test_each_side_keeps_its_value(name):
    """The normal form of every expression above, in 120 digits."""
    equations = Equations(GIVEN, (Definition("y", (i, j), SIDES[name]),), ("y",), MASKS)
    with decimal.localcontext(CONTEXT):
        for seed in range(6):
            compared, moved = value_moved(Random(seed), equations)
            assert moved is None
        assert compared or "root" in name


def test_columns_are_not_rows():
    """Σ_uv exp(A[u,v]) / Σ_w exp(A[w,u]) is no size, also when it is read inside another term."""
    value = total((u, v), exp(Read("A", (u, v))) / total(w, exp(Read("A", (w, u)))))
    row = total((u, v), exp(Read("A", (u, v))) / total(w, exp(Read("A", (u, w)))))
    b = Read("x", (i,))
    for other, verdict in ((value, Known.REFUTED), (row, Known.PROVED)):
        left = after(Definition("z", (), other), Read("z", ()) * b)
        right = after(Definition("z", (), Size("s")), Read("z", ()) * b)
        assert compare(left, right)[0].verdict is verdict


def test_a_function_read_at_equal_indices():
    """P[i, j] = 1/(e_i + 2 e_j), read at exchanged and at equal indices."""
    whole = Definition("P", (i, j), inverse(e_i + number(2.0) * e_j))
    swapped = Read("P", (j, i))
    (outcome,) = compare(
        after(whole, e_j * swapped), after(whole, ONE - number(2.0) * e_i * swapped)
    )
    assert outcome.verdict is Known.PROVED
    (outcome,) = compare(after(whole, number(3.0) * e_i * Read("P", (i, i))), after(whole, ONE))
    assert outcome.verdict is not Known.REFUTED


def test_masks_that_imply_each_other_do_not_both_vanish():
    """keep -> live and live -> keep: keep · live is keep or live, and not 1."""
    given = {"keep": ("s",), "live": ("s",)}
    keep, live = Read("keep", (i,)), Read("live", (i,))
    both = ((frozenset(["keep"]), "live"), (frozenset(["live"]), "keep"))
    for implications in (both, ((frozenset(["keep"]), "keep"),), both[:1]):
        known = Assumptions(implications=implications)
        bodies = (keep * live, ONE), (keep * live, keep)
        systems = [
            [
                Equations(given, (Definition("y", (i,), body),), ("y",), frozenset(given))
                for body in pair
            ]
            for pair in bodies
        ]
        assert compare(*systems[0], known)[0].verdict is not Known.PROVED
        proved = compare(*systems[1], known)[0].verdict is Known.PROVED
        assert proved is (implications == both[:1])


def test_what_numbers_say_at_zero():
    """1/0 is 0, and the step is 0 at 0; both decide counterexamples."""
    for function in ("inverse", "step", "relu"):
        system = Equations(
            {"x": ("s",)}, (Definition("y", (i,), Apply(function, x_i)),), ("y",), frozenset()
        )
        assert evaluate(system, {"s": 1}, {"x": np.zeros(1)})["y"] == 0.0


def test_a_function_symmetric_in_two_of_three_indices():
    """exp(x_i x_j w_u) is the same for i and j exchanged, and not for j and u."""
    x_u, w_j, w_u = Read("x", (u,)), Read("w", (j,)), Read("w", (u,))
    function = exp(x_i * x_j * w_u)
    assert verdict_of(function, exp(x_j * x_i * w_u), (i, j, u)) is Known.PROVED
    assert verdict_of(function, exp(x_i * x_u * w_j), (i, j, u)) is Known.REFUTED


def test_indices_that_meet_free_ones_in_a_symmetric_head():
    """Σ_uv S(u, i) S(v, j) has one name, whichever way round each S is written."""
    one, other = Var(1, "s", 0), Var(1, "s", 1)
    free, second = Var(0, "s", "@00"), Var(0, "s", "@01")
    names = set()
    for first in ((one, free), (free, one)):
        for then in ((other, second), (second, other)):
            factors = [Factor(0, first), Factor(0, then)]
            names.add(canonical_term({}, factors, [one, other], lambda head: ((0, 1), (1, 0))))
    assert len(names) == 1


def test_heads_of_equal_functions_are_one():
    own = Algebra(Assumptions())
    one, other = Var(0, "s", "@00"), Var(0, "s", "@01")
    a, b = (own.factor(own.heads.tensor("x", (var,))) for var in (one, other))
    f = own.heads.function("exp", own.add(a, own.scale(b, Fraction(2))))
    g = own.heads.function("exp", own.add(b, own.scale(a, Fraction(2))))
    assert f.head == g.head
    assert f.indices == g.indices[::-1]
    symmetric = own.heads.function("exp", own.multiply(a, b))
    assert len(own.heads.symmetries(symmetric.head)) == 2
    assert product() == ONE
