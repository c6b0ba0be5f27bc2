"""Arithmetic modulo primes, held against Python's integers and fractions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from cortico.verify.identity.finite_field import Draw, Factor, Field, add, chain_of_fields, contract

RNG = np.random.default_rng(0)
P, Q = chain_of_fields(2, RNG, squares=(2, 3), roots=(2,))


def integers(array):
    return np.vectorize(int, otypes=[object])(array)


def test_a_chain_is_of_primes_each_twice_the_next_plus_one():
    for length in (1, 2, 3):
        fields = chain_of_fields(length, np.random.default_rng(length))
        primes = [field.prime for field in fields]
        assert primes[0] < 2**22
        assert all(p == 2 * q + 1 for p, q in itertools.pairwise(primes))
        assert all(all(p % d for d in range(2, int(p**0.5) + 1)) for p in primes)


def test_there_are_no_long_chains():
    assert chain_of_fields(12, RNG) is None


def test_residues_are_balanced_and_congruent():
    numbers = np.concatenate([RNG.integers(-(2**52), 2**52, 1000), [0, P.prime, -P.prime]])
    found = P.reduce(numbers.astype(np.float64))
    assert np.abs(found).max() <= P.prime // 2 + 1
    assert np.array_equal(P.canonical(found), numbers % P.prime)


@pytest.mark.parametrize("value", [0.1, -3.0, 5e-324, 1.7e308, Fraction(22, 7)])
def test_numbers_are_exact(value):
    exact = Fraction(value)
    expected = exact.numerator * pow(exact.denominator, -1, P.prime) % P.prime
    assert int(P.number(value)) % P.prime == expected
    if isinstance(value, float):
        for shape in ((), (2, 1)):
            assert (P.canonical(P.floats(np.full(shape, value))) == expected).all()


def test_roots_multiply():
    half = Fraction(1, 2)
    for field in (P, Q):
        two, three, six = (int(field.power_of(n, half)) for n in (2, 3, 6))
        assert two * two % field.prime == 2
        assert two * three % field.prime == six % field.prime
        assert field.power_of(4, half) == 2
        assert field.power_of(9, -half) == field.number(Fraction(1, 3))


def test_exp_turns_sums_into_products():
    a, b = Q.random(RNG, (50,)), Q.random(RNG, (50,))
    one, two, both = (P.exp(Q.canonical(x)) for x in (a, b, Q.reduce(a + b)))
    assert np.array_equal(P.canonical(P.reduce(one * two)), P.canonical(both))


def test_inverse_is_zero_at_zero():
    x = np.concatenate([[0.0], P.random(RNG, (50,))])
    product = P.canonical(P.reduce(x * P.inverse(x)))
    assert np.array_equal(product, (P.canonical(x) != 0).astype(int))


def test_relu_has_two_halves():
    x = P.random(RNG, (1000,))
    assert np.array_equal(P.relu(x) - P.relu(-x), x)
    assert 300 < (P.relu(x) == 0).sum() < 700


def test_opaque_functions_are_functions():
    x = P.random(RNG, (100,))
    odd = [P.opaque(y, np.random.default_rng(3), odd=True) for y in (x, -x, x)]
    assert np.array_equal(odd[0], odd[2])
    assert np.array_equal(odd[0], -odd[1])
    assert P.opaque(np.zeros(1), np.random.default_rng(3), odd=False) == 0


def test_contractions_are_those_of_integers():
    sizes = {"h": 2, "i": 3, "j": 5000, "a": 4, "m": 3}
    factors = [Factor(P.random(RNG, [sizes[a] for a in axes]), tuple(axes)) for axes in
               ("hja", "hia", "ij", "hma", "h", "")]  # fmt: skip
    found = contract(P, factors, ("m", "i"))
    operands = [p for f in factors for p in (integers(f.array), ["hijam".index(a) for a in f.axes])]
    expected = np.einsum(*operands, ["hijam".index(a) for a in "mi"]) % P.prime
    assert found.axes == ("m", "i")
    assert np.array_equal(P.canonical(found.array), expected.astype(np.int64))


def test_a_factor_may_stand_twice():
    x = Factor(P.random(RNG, (3, 4)), ("i", "j"))
    y = Factor(P.random(RNG, (4,)), ("j",))
    found = contract(P, [x, y, x], ("i",))
    expected = (integers(x.array) ** 2 * integers(y.array)).sum(1) % P.prime
    assert np.array_equal(P.canonical(found.array), expected.astype(np.int64))


def test_degrees_of_products_and_sums():
    half = Factor(np.ones((3,)), ("i",), above=1, below=2)
    assert contract(P, [half, half], ("i",))[2:] == (2, 4)
    assert contract(P, [half], ())[2:] == (1 + 2 * 2, 6)
    assert add(P, [half, Factor(np.ones(3), ("i",), 5)], ("i",))[2:] == (7, 2)


def test_a_draw_depends_on_name_and_level_only():
    one, two = Draw((P, Q), 1), Draw((P, Q), 1)
    assert np.array_equal(one.tensor("W", (2, 3), 0), two.tensor("W", (2, 3), 0))
    assert not np.array_equal(one.tensor("W", (2, 3), 0), one.tensor("V", (2, 3), 0))
    assert not np.array_equal(one.tensor("W", (2, 3), 0), Draw((P, Q), 2).tensor("W", (2, 3), 0))
    assert all(set(Draw((P, Q), s).mask("keep", (2,))) == {0.0, 1.0} for s in range(20))


def test_turns_belong_to_frequencies():
    draw = Draw((P, Q), 1)
    cosine, sine = draw.turns(np.array([1.0, 0.0, 0.1, 1.0 + 1e-15]), 5, 0)
    assert np.array_equal(cosine[:, 0], cosine[:, 3])
    assert (cosine[:, 1] == 1).all()
    assert (sine[:, 1] == 0).all()
    again, _ = draw.turns(np.array([0.1]), 3, 0)
    assert not np.array_equal(cosine[:, 0], cosine[:, 2])
    assert again.shape == (3, 1)


def test_a_field_of_one_prime():
    assert Field(7).canonical(np.array([-3.0, 3.0])).tolist() == [4, 3]
