"""What the table says of its functions holds: ranges, parities, slopes and exact rules."""

import functools
import math

import mpmath
import numpy as np
import pytest
import sympy

from cortico.ir import TRANSFERS
from cortico.ir.transfer import ExactRule, Parity, Relative, Sign
from cortico.learning.cells import slope
from cortico.verify.exact.arithmetic import PrimeField
from cortico.verify.identity.finite_field import Draw, chain_of_fields
from tests.ir.transfers.oracle import (
    BENT,
    HALF_LINE,
    MPMATH,
    every_function,
    expected,
    inside,
    points,
)

# ---- what holds of it --------------------------------------------------------------------------------


@every_function
def test_value_at_zero(name):
    transfer = TRANSFERS[name]
    assert transfer.at_zero == pytest.approx(float(MPMATH[name](mpmath.mpf(0))), rel=1e-15)
    assert transfer.keeps_zero == (expected(name, [0.0])[0] == 0)


@every_function
def test_parity(name):
    x = points("identity")
    here, there = (
        expected(name, np.abs(x)),
        expected(name, -np.abs(x)) if name not in HALF_LINE else None,
    )
    is_odd = there is not None and np.array_equal(there, -here)
    is_even = there is not None and np.array_equal(there, here)
    assert TRANSFERS[name].parity is (
        Parity.ODD if is_odd else Parity.EVEN if is_even else Parity.NEITHER
    )


@every_function
def test_sign_and_range(name):
    transfer, x = TRANSFERS[name], points(name)
    found = expected(name, x)
    signs = Sign.ANY if found.min() < 0 else Sign.POSITIVE if found.min() > 0 else Sign.NONNEGATIVE
    assert transfer.sign is signs
    low, high = transfer.range
    far = [MPMATH[name](mpmath.mpf(each)) for each in (1e-300, 1e300) if name in HALF_LINE]
    far += [MPMATH[name](mpmath.mpf(each)) for each in (-700, 0, 700) if name not in HALF_LINE]
    far += [_where(name, 1, x[found.argmin()])[1] for each in (name,) if each in BENT]
    everything = [*found, *map(float, far)]
    assert low <= min(everything) and max(everything) <= high
    reached = [(low, min(everything)), (high, max(everything))]  # or nearly, or there is no end
    assert all(
        e == pytest.approx(end, abs=1e-9) if math.isfinite(end) else abs(e) > 25
        for end, e in reached
    )


def _where(name, order, near):
    """Where a derivative of this order is 0, and what the function and its slope are there."""
    phi = MPMATH[name]
    at = mpmath.findroot(lambda x: mpmath.diff(phi, x, order), near)
    return at, phi(at), mpmath.diff(phi, at)


@pytest.mark.parametrize("name", sorted(BENT))
def test_the_lowest_rate_and_the_steepest_slope_are_rounded_outward(name):
    """To the next float: a bound must hold of the function, not only to some digits."""
    (low, _), x, y = TRANSFERS[name].range, points(name), expected(name, points(name))
    _, lowest, flat = _where(name, 1, x[y.argmin()])
    assert abs(flat) < 1e-30
    assert mpmath.mpf(low) <= lowest < mpmath.mpf(math.nextafter(low, 0))
    _, _, slope_there = _where(name, 2, x[np.diff(y).argmax()])
    steepest = TRANSFERS[name].steepest
    assert mpmath.mpf(math.nextafter(steepest, 0)) < slope_there <= mpmath.mpf(steepest)


@every_function
def test_steepest_slope(name):
    count = 6001 if name in BENT else 24001  # of those the test above says more
    transfer, x = TRANSFERS[name], np.linspace(0.0 if name in HALF_LINE else -30.0, 30.0, count)
    y = expected(name, x[:: 1 if transfer.steepest else 200])
    if transfer.steepest is None:  # beyond all numbers for large x, of log for small ones
        assert name in ("exp", "log", "relu_squared")
        return
    ways = np.abs(np.diff(x))
    slopes = np.abs(np.diff(y)) / (np.sqrt(ways) if transfer.of_root else ways)
    assert slopes.max() <= transfer.steepest * (1 + 1e-12)
    assert slopes.max() >= transfer.steepest * (1 - 1e-5)
    unbounded = abs(expected(name, [1e-12])[0] - y[np.abs(x).argmin()]) / 1e-12 > 1e5
    assert transfer.of_root == unbounded


@every_function
def test_relative_slope(name):
    x, s = inside(name)[:, None], np.geomspace(1e-3, 0.5, 9)
    at = lambda z: expected(name, z.ravel()).reshape(z.shape)  # noqa: E731
    positive = x[x[:, 0] > 0]
    some = 1 + 1e-12
    kept = at(positive).min() >= 0 and all(
        (np.abs(at(positive * (1 + t)) - at(positive)) <= s * some * at(positive)).all()
        for t in (s, -s)
    )
    grown = at(x).min() >= 0 and all(
        (np.abs(at(x + t) - at(x)) <= np.expm1(s) * some * at(x)).all()
        for t in ((s, -s) if name not in HALF_LINE else (s,))
    )
    holds = {Relative.KEPT: kept, Relative.GROWN: grown, Relative.UNKNOWN: not (kept or grown)}
    assert holds[TRANSFERS[name].relative]


@every_function
def test_homogeneous(name):
    found = all(
        np.allclose(expected(name, t * inside(name)), t * expected(name, inside(name)), 1e-12)
        for t in (0.5, 3.0)
    )
    assert TRANSFERS[name].homogeneous == found


@every_function
def test_the_rule_of_exact_numbers_is_a_law_of_the_function(name):
    """And none that has a rule of its own is called opaque."""
    x = inside(name)
    at = functools.partial(expected, name)
    if name in HALF_LINE:
        assert TRANSFERS[name].exact is ExactRule.OPAQUE
        return
    laws = {
        ExactRule.ITSELF: np.allclose(at(x), x),
        ExactRule.POWER: np.allclose(at(x + 0.75), at(x) * at([0.75])) and at([1.0])[0] > 2,
        ExactRule.HALF: np.allclose(at(x) - at(-x), x) and at(x).min() == 0,
    }
    true = [rule for rule, holds in laws.items() if holds]
    assert [TRANSFERS[name].exact] == (true or [ExactRule.OPAQUE])


@every_function
def test_exact_numbers_use_no_other_law(name):
    ring, transfer = PrimeField(1), TRANSFERS[name]
    if transfer.exact is not ExactRule.OPAQUE:
        return
    a, b = ring.number(12345), ring.number(777)
    at = functools.partial(ring.apply, name)
    assert at(a) == at(a) and at(a) != at(b) and at(a + b) != at(a) * at(b)
    assert (at(ring.number(0)) == 0) == transfer.keeps_zero
    fields = chain_of_fields(2, np.random.default_rng(0))
    draw, x = Draw(fields, (0,)), np.arange(-50.0, 51.0)
    found = draw.transferred(name, x, 0)
    assert np.array_equal(found, -found[::-1]) == (transfer.parity is Parity.ODD)
    assert (found[50] == 0) == transfer.keeps_zero
    assert not np.array_equal(found, draw.transferred("tanh" if name != "tanh" else "erf", x, 0))


# ---- slopes ------------------------------------------------------------------------------------------


def slope_of(name, x):
    """φ' by SymPy."""
    symbol = sympy.Symbol("x", real=True)
    derivative = sympy.diff(TRANSFERS[name].in_sympy(symbol), symbol)
    return np.array([float(derivative.subs(symbol, each)) for each in x])


@every_function
def test_slope_by_the_argument(name):
    transfer, x = TRANSFERS[name], inside(name)[::9]
    names = {other: TRANSFERS[other].evaluate for other in TRANSFERS}
    names |= {"step": lambda z: (z > 0) * 1.0, "pi": np.pi, "x": x, "r": transfer.evaluate(x)}
    found = eval(transfer.slope, {}, names) + 0 * x
    np.testing.assert_allclose(found, slope_of(name, x), rtol=1e-9, atol=1e-14)


@every_function
def test_slope_by_the_rate(name):
    transfer, x = TRANSFERS[name], inside(name)[::9]
    factors = {"exp": 1, "relu": 2, "tanh": 2, "sqrt": 1, "sigmoid": 2, "identity": 0}
    assert (transfer.rate_slope is None) == (name not in factors)
    if transfer.rate_slope is None:
        return
    assert len(transfer.rate_slope) == len(slope(name)) == factors[name]
    rate, found = transfer.evaluate(x), np.ones(len(x))
    for factor in slope(name):
        current = factor.weight.gain.coefficient * rate
        current = current + sum(drive.gain.coefficient for drive in factor.compartment.drive)
        divides = factor.compartment.effect.value == "divides"
        one = np.divide(1.0, current, out=np.zeros(len(x)), where=current != 0)
        found = found * (one if divides else current)
    np.testing.assert_allclose(found, slope_of(name, x), rtol=1e-9, atol=1e-14)
