"""The normal form never changes a value: random equations in 120 digits, and each rule by itself."""

import decimal
import itertools
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.gradients import gradients
from cortico.verify.normal import algebra as algebra_module
from cortico.verify.normal import terms as terms_module
from cortico.verify.normal.algebra import Algebra, Assumptions, TooLargeError
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.terms import Factor, TooSymmetricError, Var, canonical_term
from tests.verify.random_equations import (
    CONTEXT,
    FUNCTIONS,
    GIVEN,
    MASKS,
    SMOOTH,
    Drawing,
    OutOfRangeError,
    Values,
    draw_numbers,
    near,
)

SIZES = ({"s": 2, "t": 2}, {"s": 1, "t": 2}, {"s": 3, "t": 1})
UNDECIDED = (TooLargeError, TooSymmetricError, RecursionError)
randoms = st.randoms(use_true_random=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """120 digits; large terms are given up early."""
    monkeypatch.setattr(algebra_module, "_MOST_TERMS", 200)
    monkeypatch.setattr(terms_module, "_MOST_ORDERS", 24)
    with decimal.localcontext(CONTEXT):
        yield


def value_moved(random_, equations):
    """How many values of y were compared, and the first that the normal form has differently."""
    own, compared = Algebra(Assumptions(MASKS)), 0
    try:
        form = NormalForm(own, equations).of("y")
    except UNDECIDED:
        return 0, None
    indices = equations.definition("y").indices
    for sizes in SIZES:
        try:
            values = Values(equations, sizes, draw_numbers(random_, sizes))
            for at, expected in values.tensors["y"].items():
                formals = (formal(v, place) for place, v in enumerate(indices))
                found = values.polynomial(own, form, dict(zip(formals, at, strict=True)))
                compared += 1
                if not near(expected, found):
                    return compared, (sizes, at, expected, found)
        except OutOfRangeError:
            continue
    return compared, None


@settings(max_examples=25)
@given(random_=randoms)
def test_the_normal_form_has_the_same_values(random_):
    with decimal.localcontext(CONTEXT):
        equations = Drawing(random_, FUNCTIONS).equations()
        assert value_moved(random_, equations)[1] is None, equations


@pytest.mark.slow
@settings(max_examples=25)
@given(random_=randoms)
def test_sums_and_their_reciprocals_have_the_same_values(random_):
    with decimal.localcontext(CONTEXT):
        equations = Drawing(random_, FUNCTIONS).quotients()
        assert value_moved(random_, equations)[1] is None, equations


@settings(max_examples=25)
@given(random_=randoms)
def test_evaluate_agrees_with_the_definitions(random_):
    """`evaluate`, which refutations rest on, against one scalar after another."""
    with decimal.localcontext(CONTEXT):
        equations = Drawing(random_, ("exp", "relu", "tanh")).equations()
        compared = 0
        for sizes in SIZES:
            numbers = draw_numbers(random_, sizes)
            try:
                values = Values(equations, sizes, numbers).tensors["y"]
            except OutOfRangeError:
                continue
            compared += 1
            found = evaluate(equations, sizes, as_arrays(numbers, sizes))["y"]
            for at, expected in values.items():
                assert abs(found[at] - float(expected)) <= 1e-6 * max(1, abs(float(expected)))
        assume(compared)


def as_arrays(numbers, sizes):
    shapes = {name: tuple(sizes[s] for s in sides) for name, sides in GIVEN.items()}
    return {
        name: np.array([float(v) for v in table.values()]).reshape(shapes[name])
        for name, table in numbers.items()
    }


@settings(max_examples=25)
@given(random_=randoms)
def test_gradients_are_slopes(random_):
    """Of random smooth equations at random numbers: central differences in 120 digits."""
    with decimal.localcontext(CONTEXT):
        equations = Drawing(random_, SMOOTH).equations()
        wanted = ["x", "c", "A"]
        (output,) = equations.outputs
        sizes = {"s": 2, "t": 2}
        try:
            derived = gradients(equations, wanted)
        except NotImplementedError:  # a tensor read at the same index twice
            reject()
        numbers = draw_numbers(Random(random_.randrange(2**32)), sizes, generic=True)
        shape = [sizes[v.sort] for v in equations.definition(output).indices]
        numbers["error"] = {
            at: decimal.Decimal(random_.randrange(-9, 10)) / 4 for at in np.ndindex(*shape)
        }
        try:
            found = Values(derived, sizes, numbers).tensors
            for name, at in [("x", (0,)), ("c", ()), ("A", (0, 1))]:
                slope = _slope(equations, sizes, numbers, name, at)
                assert abs(found[f"d.{name}"][at] - slope) <= decimal.Decimal("1e-12") * max(
                    1, abs(slope)
                ), equations
        except OutOfRangeError:
            reject()


def _slope(equations, sizes, numbers, name, at):
    step = decimal.Decimal("1e-20")
    sides = []
    for sign in (1, -1):
        moved = {**numbers, name: {**numbers[name], at: numbers[name][at] + sign * step}}
        y = Values(equations, sizes, moved).tensors["y"]
        sides.append(sum(y[k] * e for k, e in numbers["error"].items()))
    return (sides[0] - sides[1]) / (2 * step)


# ---- one name for each term ----------------------------------------------------------------------


@settings(max_examples=25)
@given(random_=randoms)
def test_a_term_has_one_name_whatever_its_indices_are_called(random_):
    """Bound indices renamed, factors reordered, symmetric heads turned: the same object."""
    symmetries = {
        0: ((0,),),
        1: ((0, 1),),
        2: ((0, 1), (1, 0)),
        3: ((0, 1, 2), (1, 2, 0), (2, 0, 1)),
    }
    count = random_.randrange(1, 5)
    bound = [Var(1, random_.choice("sst"), k) for k in range(count)]
    pool = [*bound, Var(0, "s", "@00"), Var(0, "s", "@01")]
    factors = {}
    for _ in range(random_.randrange(1, 6)):
        head = random_.randrange(4)
        arity = len(symmetries[head][0])
        indices = tuple(random_.choice(pool) for _ in range(arity))
        least = min(tuple(indices[k] for k in order) for order in symmetries[head])
        factors[head, least] = Factor(head, indices, random_.choice([1, 1, 2, Fraction(1, 2)]))
    numbers = random_.sample(range(100), count)
    names = {var: Var(1, var.sort, n) for var, n in zip(bound, numbers, strict=True)}
    again = []
    for head, indices, power in random_.sample(list(factors.values()), len(factors)):
        order = random_.choice(symmetries[head])
        again.append(Factor(head, tuple(names.get(indices[k], indices[k]) for k in order), power))
    one = canonical_term({}, list(factors.values()), bound, symmetries.__getitem__)
    other = canonical_term(
        {}, again, random_.sample(list(names.values()), count), symmetries.__getitem__
    )
    assert one == other
    assert all(v.rank == 0 or v.name < count for f in one.factors for v in f.indices)


@settings(max_examples=25)
@given(random_=randoms)
def test_terms_of_one_name_are_equal(random_):
    """Two random terms with the same canonical form have the same value."""
    bound = [Var(1, "s", k) for k in range(3)]
    pool = [*bound, Var(0, "s", "@00")]
    tables = np.random.default_rng(5).integers(1, 10**6, (2, 3, 3)).astype(object)

    def draw():
        factors = {(h, random_.choice(pool), random_.choice(pool)) for h in (0, 1, 0)}
        return [Factor(h, (u, v), 1) for h, u, v in factors]

    def value(factors):
        rows = itertools.product(range(3), repeat=3)
        return sum(
            np.prod(
                [
                    tables[f.head][
                        tuple(
                            ({**dict(zip(bound, row, strict=True)), pool[3]: 1})[v]
                            for v in f.indices
                        )
                    ]
                    for f in factors
                ],
                dtype=object,
            )
            for row in rows
        )

    one, other = draw(), draw()
    symmetry = {0: ((0, 1),), 1: ((0, 1),)}.__getitem__
    same = canonical_term({}, one, bound, symmetry) == canonical_term({}, other, bound, symmetry)
    assert not same or value(one) == value(other)
