"""Transfer functions where circuits are compared: what is proved of them, and what never is."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import sympy

from cortico.backends.reference import ReferenceBackend
from cortico.ir import TRANSFERS, Effect, SpecError
from cortico.ir.rewrite import map_populations, with_values
from cortico.ir.text import parse_circuit
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.gradients import derivative, gradients
from cortico.verify.equations.language import (
    Apply,
    Definition,
    Equations,
    Index,
    Read,
    Within,
    number,
    product,
    total,
)
from cortico.verify.identity.testing import check_equal
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from cortico.verify.recheck.run import transferred
from cortico.verify.recheck.world import Chance
from cortico.verify.steps.output_bound import output_bound
from tests.verify.test_identity import small

i, j = Index("i", "s"), Index("j", "s")
X, Y, KEEP = Read("x", (i,)), Read("w", (i,)), Read("keep", (i,))
GIVEN = {"x": ("s",), "w": ("s",), "keep": ("s",)}
ZERO, MINUS = number(0.0), number(-1.0)

OPAQUE = [name for name, t in TRANSFERS.items() if t.exact == "opaque"]
#: Those that are 0 at 0, odd, never negative, and with π in their slopes.
KEEP_ZERO = {"tanh", "sqrt", "erf", "gelu", "gelu_tanh", "silu", "relu_squared"}
ODD = {"tanh", "erf"}
POSITIVE = {"sigmoid", "gaussian", "softplus"}
IRRATIONAL = {"erf", "gelu", "gelu_tanh"}
every_opaque = pytest.mark.parametrize("name", OPAQUE)


def verdict(one, other, indices=(i,)):
    systems = (
        Equations(GIVEN, (Definition("y", indices, body),), ("y",), frozenset(["keep"]))
        for body in (one, other)
    )
    return compare(*systems)[0].verdict


def of(name, argument):
    return Apply(name, argument)


# ---- the prover --------------------------------------------------------------------------------------


@every_opaque
def test_equal_arguments_give_equal_values(name):
    assert verdict(of(name, X * Y + Y), of(name, (ONE + X) * Y)) is Known.PROVED
    assert verdict(of(name, X), of(name, Y)) is not Known.PROVED


ONE = number(1.0)


@every_opaque
def test_no_two_functions_are_equal(name):
    for other in TRANSFERS:
        if other != name:
            assert verdict(of(name, X), of(other, X)) is not Known.PROVED
    assert verdict(of(name, X), ZERO) is not Known.PROVED


@every_opaque
def test_signs_leave_odd_functions_only(name):
    opposite = of(name, MINUS * X)
    is_odd = verdict(opposite, MINUS * of(name, X)) is Known.PROVED
    assert is_odd == (name in ODD)
    assert verdict(opposite, of(name, X)) is not Known.PROVED
    assert verdict(of(name, X) * of(name, X), opposite * opposite) is (
        Known.PROVED if is_odd else verdict(of(name, X) * of(name, X), opposite * opposite)
    )


@pytest.mark.parametrize("name", ["sigmoid", "erf", "tanh", "softplus", "gelu", "silu"])
def test_a_sign_is_refuted(name):
    assert verdict(of(name, MINUS * X), of(name, X)) is Known.REFUTED
    if name == "sigmoid":
        assert verdict(of(name, MINUS * X), MINUS * of(name, X)) is Known.REFUTED


def test_an_even_function_is_undecided():
    """It is true, but no rule says so."""
    assert verdict(of("gaussian", MINUS * X), of("gaussian", X)) is Known.UNDECIDED


def test_other_laws_are_undecided():
    """They are true, so they must not be refuted; no rule says so."""
    laws = (
        (of("gelu", X) - of("gelu", MINUS * X), X),
        (of("gelu_tanh", X) - of("gelu_tanh", MINUS * X), X),
        (of("silu", X), X * of("sigmoid", X)),
        (of("relu_squared", X), of("relu", X) * X),
    )
    assert {verdict(*law) for law in laws} == {Known.UNDECIDED}
    assert verdict(of("silu", X), X * of("sigmoid", MINUS * X)) is Known.REFUTED
    assert verdict(of("gelu", X), of("gelu_tanh", X)) is Known.REFUTED


def test_logarithms_are_not_split():
    log = lambda argument: of("log", argument)  # noqa: E731
    assert verdict(log(X * Y), log(Y * X)) is Known.PROVED
    assert verdict(log(X * Y), log(X) + log(Y)) is not Known.PROVED
    assert verdict(log(of("exp", X)), X) is not Known.PROVED
    assert verdict(of("exp", log(X)), X) is not Known.PROVED
    # x/0 = 0 and -inf - -inf is NaN: what is no number is not refuted either
    assert verdict(log(X * X), number(2.0) * log(X)) is Known.UNDECIDED


@every_opaque
def test_zero_is_kept_by_some(name):
    """φ(0) = 0, and φ(P x) = P φ(x) for P that is 0 or 1, where the table says that zero is kept."""
    inside = Within(i, j, 0)
    keeps = name in KEEP_ZERO
    assert (verdict(of(name, ZERO), ZERO) is Known.PROVED) == keeps
    for guard, indices in ((inside, (i, j)), (KEEP, (i,))):
        found = verdict(of(name, product(guard, X)), product(guard, of(name, X)), indices)
        assert (found is Known.PROVED) == keeps
    assert verdict(of(name, ZERO), of(name, X - X)) is Known.PROVED


@every_opaque
def test_signs_of_rates(name):
    """relu(φ) = φ where φ is never negative, and φ/φ = 1 where it is positive."""
    kept = verdict(of("relu", of(name, X)), of(name, X)) is Known.PROVED
    assert kept == (name in POSITIVE | {"sqrt", "relu_squared"})
    value = of(name, X)
    is_one = verdict(value / value, ONE) is Known.PROVED
    assert is_one == (name in POSITIVE)


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_a_sum_of_positive_rates_is_not_zero(name):
    """So that it cancels as a pool of exponentials does; of others it may be zero."""
    v = Index("v", "s")
    others = ("tanh", "sqrt", "log", "gelu", "relu_squared")
    for each, cancels in ((name, True), *((other, False) for other in others)):
        pool = total(v, of(each, Read("x", (v,))))
        assert (verdict(pool / pool, ONE) is Known.PROVED) == cancels


# ---- numbers, gradients and other checkers -----------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFERS)
def test_equations_and_sympy_compute_it(name):
    body = of(name, X)
    values = np.array([0.25, 1.0, 2.5])
    system = Equations({"x": ("s",)}, (Definition("y", (i,), body),), ("y",))
    found = evaluate(system, {"s": 3}, {"x": values})["y"]
    written = [float(TRANSFERS[name].in_sympy(sympy.Float(value))) for value in values]
    np.testing.assert_allclose(found, written, rtol=1e-14)


@pytest.mark.parametrize("name", TRANSFERS)
def test_gradients_are_slopes(name):
    system = Equations({"x": ("s",)}, (Definition("y", (i,), of(name, X)),), ("y",))
    values, step = np.array([0.25, 1.0, 2.5]), 1e-6
    given = {"x": values, "error": np.ones(3)}
    found = evaluate(gradients(system, ["x"]), {"s": 3}, given)["d.x"]
    both = (evaluate(system, {"s": 3}, {"x": values + s})["y"] for s in (step, -step))
    np.testing.assert_allclose(found, np.subtract(*both) / (2 * step), rtol=1e-8)


@pytest.mark.parametrize("name", sorted(IRRATIONAL))
def test_slopes_with_irrational_numbers_are_functions_of_which_nothing_is_known(name):
    slope = derivative(name, X)
    assert str(slope) == f"{name}'(x[i])"
    assert verdict(slope, derivative(name, X * Y / Y + X * (ONE - Y / Y))) is Known.PROVED
    assert verdict(slope, derivative(name, MINUS * X)) is not Known.PROVED
    assert verdict(derivative(name, X - X), ZERO) is Known.REFUTED
    assert verdict(derivative(name, KEEP * X), KEEP * slope) is Known.REFUTED


@every_opaque
def test_identity_testing(name):
    one = small(Effect.MULTIPLIES, name)
    assert check_equal(one, one, {"n": 30}).equal
    assert not check_equal(one, small(Effect.DIVIDES, name), {"n": 30}).equal
    for other in ("identity", "exp", *OPAQUE[: OPAQUE.index(name)]):
        assert not check_equal(one, small(Effect.MULTIPLIES, other), {"n": 30}).equal


@every_opaque
def test_identity_testing_knows_signs_and_zero(name):
    """The circuits of f(-x) and -f(x), and of f(0) and 0."""
    text = str(small(Effect.MULTIPLIES, name))
    inner = text.replace("p0 -> p1.a weight 1.0", "p0 -> p1.a weight -1.0")
    outer = text.replace(
        "output y = p1[i]",
        "population q [i] cortex.L2/3 pyramidal_it\n  a multiplies\n"
        "projection t p1 -> q.a weight -1.0\noutput y = q[i]",
    )
    assert inner != text != outer
    same = check_equal(parse_circuit(inner), parse_circuit(outer), {"n": 30}).equal
    assert same == (name in ODD)
    assert not check_equal(parse_circuit(inner), parse_circuit(text), {"n": 30}).equal
    silent, zero = (
        t.replace("a multiplies x[i]", "a multiplies 0.0 * x[i]") for t in (text, outer)
    )
    silent, zero = (parse_circuit(t) for t in (silent, zero))
    assert check_equal(silent, zero, {"n": 5}).equal == (name in KEEP_ZERO)


@every_opaque
def test_the_recheck_has_laws_of_its_own(name):
    """Its list is apart from the table, and must not know more than is true."""

    class _World:
        chance = Chance()
        primes, base = chance.primes, chance.base

        def hashed(self, level, *key):
            return Random(f"{level} {key}").randrange(self.primes[level])

    world, p = _World(), _World.primes[0]
    at = lambda a: int(transferred(world, name, np.array([a % p], object), 0)[0]) % p  # noqa: E731
    assert at(5) == at(5) != at(6)
    assert ((at(5) + at(-5)) % p == 0) == (name in ODD)
    assert (at(0) == 0) == (name in KEEP_ZERO)
    assert at(5) not in {
        int(transferred(world, o, np.array([5], object), 0)[0]) for o in OPAQUE if o != name
    }


# ---- bounds ------------------------------------------------------------------------------------------


def weighted(name, effect=Effect.MULTIPLIES):
    """y[i] = φ(W[i] x[i]), with numbers for W."""
    circuit = small(effect, name).bind(n=64)
    rng = np.random.default_rng(0)
    low = 0.0 if name in ("sqrt", "log") else -1.0
    values = rng.uniform(low, 3.0, 64)
    values[0] = low
    return with_values(circuit, {"W": values})


@pytest.mark.parametrize("size", [1e-6, 0.1])
@pytest.mark.parametrize("name", TRANSFERS)
def test_rates_move_no_further_than_the_bound(name, size):
    """The largest move is near the bound where the slope is steepest for inputs up to one."""
    circuit = weighted(name)
    bound = output_bound(circuit, {"W": size}, {})
    if name in ("log", "relu_squared"):
        assert bound == np.inf
        return
    (weights,) = (p.values for p in circuit.parameters)
    found = 0.0
    for x in np.linspace(0.0 if name == "sqrt" else -1.0, 1.0, 41):
        moved = [np.maximum(weights + way, 0 if name == "sqrt" else -9) for way in (0, size, -size)]
        here, *there = (
            ReferenceBackend().run(with_values(circuit, {"W": w}), {"x": np.full(64, x)})["y"]
            for w in moved
        )
        found = max(found, *(np.abs(here - rates).max() for rates in there))
    assert 0.8 * bound <= found <= bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("name", "largest"), [("tanh", 2.0), ("erf", 2.0), ("sigmoid", 1.0), ("gaussian", 1.0)]
)
def test_no_rate_moves_further_than_its_range(name, largest):
    assert output_bound(weighted(name), {"W": 1e6}, {}) == pytest.approx(largest, rel=1e-8)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "tanh", "gaussian", "log"])
def test_shares_of_a_pool_have_bounds_where_rates_are_positive_and_smooth(name):
    """Masks over their sum: relative moves are known of exp and sigmoid."""
    spec = AttentionSpec(model=3, heads=1)
    circuit = map_populations(
        lower(spec, random_weights(spec, 0)),
        lambda p: replace(p, transfer=name) if p.name == "mask" else p,
    )
    assert np.isfinite(output_bound(circuit, {"W_K": 1e-9}, {}, tokens=4)) == (
        name in ("exp", "sigmoid", "softplus")
    )


# ---- learning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFERS)
def test_error_neurons_have_the_slope_of_each_function(name):
    """Against differences of the loss; functions whose slope is not by the rate are refused."""
    circuit = small(Effect.MULTIPLIES, name).bind(n=3)
    if TRANSFERS[name].rate_slope is None:
        with pytest.raises(SpecError, match=f"no derivative of the transfer function '{name}'"):
            differentiate(circuit)
        return
    values, x, target = np.array([0.5, 1.5, 2.0]), np.array([1.0, 0.25, 0.5]), np.zeros(3)
    given = {"x": x, "target": target}
    found = ReferenceBackend().run(gradient_circuit(differentiate(circuit)), given, {"W": values})[
        "d_W"
    ]
    rate = lambda w: TRANSFERS[name].evaluate(w * x)  # noqa: E731
    step = 1e-6
    slopes = (rate(values + step) - rate(values - step)) / (2 * step)
    np.testing.assert_allclose(found, (rate(values) - target) * slopes, rtol=1e-7)
