"""Exact numbers: the laws that they have to obey, and NumPy on arrays of them."""

import random
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import sympy

from cortico.ir import Gain, UnsupportedError
from cortico.verify.exact.arithmetic import CHAIN, PrimeField, Rationals
from cortico.verify.exact.ring import LEAST

RINGS = [PrimeField(0), PrimeField(1), PrimeField(2), Rationals()]


@pytest.fixture(
    params=RINGS, ids=lambda ring: f"{type(ring).__name__}{len(getattr(ring, 'primes', ()))}"
)
def ring(request):
    return request.param


def draws(ring, count, seed=0):
    draw = random.Random(seed)
    return [ring.random(draw) for _ in range(count)]


def test_the_chain_is_one_of_primes_with_roots_of_small_numbers():
    for prime, following in pairwise(CHAIN):
        assert following == 2 * prime + 1
    for prime in CHAIN:
        assert sympy.isprime(prime)
        assert prime > 2**61
        for small in sympy.primerange(32):
            assert pow(small, (prime - 1) // 2, prime) == 1  # a square


def test_a_number_is_what_its_integer_arithmetic_says(ring):
    a, b, c = draws(ring, 3)
    assert (a + b) * c == a * c + b * c
    assert a - a == 0
    assert -a + a == 0
    assert a / b * b == a
    assert 1 / b == 1 / (b / 1)
    assert ring.number(Fraction(3, 8)) * 8 == 3
    assert 0.375 * a == a * Fraction(3, 8)
    assert a != b
    assert np.float32(0.1) * a == Fraction(float(np.float32(0.1))) * a
    assert True * a == a


def test_division_by_zero_is_an_error_and_strangers_are_too(ring):
    (a,) = draws(ring, 1)
    with pytest.raises(ZeroDivisionError):
        a / 0
    for stranger in ("1", None, 1j, [a]):
        with pytest.raises(TypeError):
            a + stranger


def test_the_order_is_total_and_relu_keeps_the_difference(ring):
    for a in draws(ring, 20):
        assert ring.apply("relu", a) - ring.apply("relu", -a) == a
        assert (a > 0) != (a <= 0)
        assert a > LEAST
        assert not a <= LEAST
        assert a != LEAST
        assert LEAST >= LEAST
        assert min([a, LEAST]) is LEAST
        assert max([LEAST, a]) is a


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_exponentials_are_homomorphisms(depth):
    ring = PrimeField(depth)
    a, b = draws(ring, 2)

    def exp(x):
        return ring.apply("exp", x)

    assert exp(a + b) == exp(a) * exp(b)
    assert exp(a - b) == exp(a) / exp(b)
    assert exp(3 * a) == exp(a) * exp(a) * exp(a)
    assert exp(0) == 1
    assert exp(LEAST) == 0
    assert exp(a * b) != exp(a) * exp(b)
    half = exp(Fraction(1, 2) * a)
    assert half * half == exp(a)


def test_exponentials_nest_as_deep_as_the_ring_was_made():
    ring = PrimeField(2)
    a, b = draws(ring, 2)
    inner = ring.apply("exp", a), ring.apply("exp", b)
    twice = [ring.apply("exp", x) for x in inner]
    assert ring.apply("exp", inner[0] + inner[1] * ring.apply("exp", -b)) == twice[0] * ring.apply(
        "exp", 1
    )
    with pytest.raises(UnsupportedError, match="exponential of an exponential"):
        ring.apply("exp", twice[0])
    with pytest.raises(UnsupportedError, match="nested 9 deep"):
        PrimeField(9)
    with pytest.raises(UnsupportedError, match="rational"):
        Rationals().apply("exp", 1)


@pytest.mark.parametrize("size", [2, 3, 12, 30, 64, 768])
def test_roots_multiply(size):
    ring = PrimeField(1)

    def root(number, exponent):
        return ring.root(number, Fraction(exponent))

    assert ring.multiply(root(size, "1/2"), root(size, "1/2")) == ring.rational(Fraction(size))
    assert ring.multiply(root(size, "-1/2"), root(size, "1/2")) == ring.rational(Fraction(1))
    assert ring.multiply(root(size, "1/2"), root(6, "1/2")) == root(6 * size, "1/2")
    cube = root(size, "1/3")
    assert ring.multiply(cube, ring.multiply(cube, cube)) == ring.rational(Fraction(size))
    assert root(size, "-2") == ring.rational(Fraction(1, size**2))
    assert root(37, "1/2") is None
    assert Rationals().root(49, Fraction(-1, 2)) == Fraction(1, 7)
    assert Rationals().root(2, Fraction(1, 2)) is None


def test_a_float_is_the_constant_that_it_rounds_or_else_itself():
    ring, gain = PrimeField(1), Gain(0.3, (("a", Fraction(-1, 2)),))
    unread = ring.number(gain.value({"a": 2})) * 1
    ring.learn([gain, gain], {"a": 2})
    rounded = gain.value({"a": 2}) ** 2
    assert ring.number(rounded) == Fraction(0.3) * Fraction(0.3) / ring.number(2)
    assert 0 < ring.largest_rounding < 1e-15
    assert ring.number(rounded * (1 + 1e-14)) != ring.number(rounded)
    assert unread == Fraction(gain.value({"a": 2}))  # it was not learned alone
    ring.learn([gain], {"a": 2})
    assert ring.number(gain.value({"a": 2})) * ring.number(gain.value({"a": 2})) == ring.number(
        rounded
    )
    assert Decimal(ring.largest_rounding) < Decimal("1e-15")


def test_a_gain_without_a_root_is_its_rounded_value():
    ring, gain = PrimeField(1), Gain(1.0, (("a", Fraction(-1, 2)),))
    assert ring.gain(gain, {"a": 37}) == ring.rational(Fraction(37**-0.5))


def test_opaque_functions_are_functions(ring):
    a, b = draws(ring, 2)
    assert ring.apply("cos", a + b) == ring.apply("cos", b + a)
    assert ring.apply("cos", a) != ring.apply("cos", b)
    assert ring.apply("cos", a) != ring.apply("sin", a)
    assert ring.apply("cos", 0) == 1
    assert ring.apply("tanh", a - a) == 0
    assert ring.apply("identity", a) == a
    with pytest.raises(ArithmeticError):
        ring.apply("tanh", LEAST)
    with pytest.raises(ArithmeticError):
        LEAST - LEAST


def test_numpy_on_arrays_of_numbers(ring):
    numbers = ring.array(np.arange(24.0).reshape(2, 3, 4) / 8)
    plain = np.arange(24.0).reshape(2, 3, 4) / 8
    for found, expected in [
        (np.einsum("hij,hkj->hki", numbers, numbers), np.einsum("hij,hkj->hki", plain, plain)),
        (numbers @ numbers.swapaxes(-1, -2), plain @ plain.swapaxes(-1, -2)),
        (
            np.tensordot(numbers, numbers, axes=[[0], [0]]),
            np.tensordot(plain, plain, axes=[[0], [0]]),
        ),
        (numbers.sum(axis=(0, 2)), plain.sum(axis=(0, 2))),
        (0.5 * numbers - plain, 0.5 * plain - plain),
    ]:
        assert found.shape == expected.shape
        assert all(f == Fraction(e) for f, e in zip(found.flat, expected.flat, strict=True))
    peak = np.where(plain > 1, numbers, LEAST).max(axis=-1)
    assert peak[0, 0] is LEAST
    assert peak[1, 2] in list(numbers[1, 2])


def test_a_number_stands_for_an_array_without_axes():
    ring = PrimeField(0)
    (a,) = draws(ring, 1)
    array = ring.array(np.ones((2, 3)))
    assert a[..., None].shape == (1,)
    assert a.shape == ()
    assert (a * array == array * a).all()
    assert (a - array + array == a).all()
    assert (a / array).shape == (2, 3)
    with pytest.raises(AttributeError, match="no dtype"):
        a.dtype  # noqa: B018
