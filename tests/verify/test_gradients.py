"""Gradients: circuits' are the closed forms for every size, the closed forms PyTorch's and SymPy's."""

import random

import numpy as np
import pytest
import sympy

from cortico.lowering import lower
from cortico.spec import AttentionSpec, Bias, Kernel, Mask
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.gradients import gradient_of, gradients
from cortico.verify.equations.language import (
    Apply,
    Definition,
    Equations,
    Index,
    Product,
    Read,
    Sum,
    Within,
    exp,
    total,
)
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.covering import every_case
from tests.verify.numbers import split, torch_gradients
from tests.verify.test_equivalence import numbers_of


@pytest.mark.parametrize("case", every_case())
def test_gradients_of_the_circuit_are_the_closed_forms(case):
    circuit = circuit_equations(lower(case.spec))
    outcomes = compare(closed_forms(case.spec), gradients(circuit, trained(case.spec)))
    assert {outcome.output for outcome in outcomes} >= {"d.W_Q", "d.W_K", "d.W_V", "d.W_O", "d.x"}
    for outcome in outcomes:
        assert outcome.verdict is Known.PROVED, (outcome.output, outcome.reason)


@pytest.mark.parametrize("case", every_case())
def test_closed_forms_are_autograd(case):
    """At the case's own sizes, in float64, with `error` as the cotangent of y."""
    for example in range(2):
        sizes, given, inputs = numbers_of(case, example)
        error = np.random.default_rng(case.seed).standard_normal(
            (len(inputs["x"]), case.spec.d_output)
        )
        forms = closed_forms(case.spec)
        found = evaluate(forms, sizes, {**given, "error": error})
        expected = torch_gradients(case.spec, case.weights, inputs, error)
        expected = split(case.spec, {**case.weights, **expected})
        assert set(forms.outputs) == {f"d.{name}" for name in trained(case.spec)}
        assert set(trained(case.spec)) == set(expected) - {"frequencies"}
        for name in trained(case.spec):
            scale = max(1.0, float(np.abs(expected[name]).max()))
            close = np.abs(found[f"d.{name}"] - expected[name]).max()
            assert close <= 1e-10 * scale, name


# ---- SymPy, entry by entry at tiny sizes ---------------------------------------------------------

_TINY = {
    "linear": AttentionSpec(model=2, heads=1, kernel=Kernel.LINEAR, mask=Mask.CAUSAL, tokens=2),
    "softmax": AttentionSpec(model=2, heads=1, bias=Bias(query=True), tokens=2),
}


@pytest.mark.parametrize("spec", _TINY.values(), ids=_TINY)
def test_gradients_are_those_of_sympy(spec):
    """The formula written out element by element, differentiated by SymPy, at random rationals."""
    rng = random.Random(5)
    names = {"W_Q": (1, 2, 2), "W_K": (1, 2, 2), "W_V": (1, 2, 2), "W_O": (1, 2, 2), "x": (2, 2)}
    names |= {"b_Q": (1, 2)} if spec.bias.query else {}
    symbols = {
        name: np.array(
            [sympy.Symbol(f"{name}{k}") for k in range(int(np.prod(shape)))], dtype=object
        ).reshape(shape)
        for name, shape in names.items()
    }
    numbers = {s: sympy.Rational(rng.randint(-8, 8), 8) for a in symbols.values() for s in a.flat}
    error = np.array([[1.0, -0.5], [0.25, 2.0]])
    loss = sum(
        sympy.Rational(e) * y
        for e, y in zip(error.flat, _element_by_element(spec, symbols).flat, strict=True)
    )
    given = {
        name: np.array([float(numbers[s]) for s in a.flat]).reshape(a.shape)
        for name, a in symbols.items()
    }
    sizes = dict.fromkeys(
        ("tokens", "key features", "value features", "model features", "output features"), 2
    )
    sizes["heads"] = 1
    at = {**given, "error": error}
    by_rules = evaluate(gradients(circuit_equations(lower(spec)), trained(spec)), _axes(sizes), at)
    found = evaluate(closed_forms(spec), sizes, at)
    every = [s for array in symbols.values() for s in array.flat]
    slope_of = sympy.lambdify(every, [loss.diff(s) for s in every], modules="math", cse=True)
    slope = dict(zip(every, slope_of(*(float(numbers[s]) for s in every)), strict=True))
    for name, array in symbols.items():
        slopes = [slope[s] for s in array.flat]
        for each in (found, by_rules):
            np.testing.assert_allclose(each[f"d.{name}"].ravel(), slopes, rtol=0, atol=1e-12)


def _axes(sizes):
    """The sizes of the circuit's own sorts, which are called by axes."""
    return {"h": sizes["heads"], "i": 2, "j": 2, "a": 2, "c": 2, "m": 2}


def _element_by_element(spec, t):
    """y of one head of two features over two tokens, from the formula."""
    q, k, v = (t["x"] @ t[name][0].T for name in ("W_Q", "W_K", "W_V"))
    if spec.bias.query:
        q = q + t["b_Q"][0]
    head = np.zeros((2, 2), dtype=object)
    for i in range(2):
        if spec.kernel is Kernel.LINEAR:
            p = [q[i] @ k[j] if j <= i else 0 for j in range(2)]
        else:
            e = [sympy.exp((q[i] @ k[j]) / sympy.sqrt(2)) for j in range(2)]
            p = [each / sum(e) for each in e]
        head[i] = p[0] * v[0] + p[1] * v[1]
    return head @ t["W_O"][0].T


# ---- names that might be captured ----------------------------------------------------------------

i, j, k, prime = (Index(name, "s") for name in ("i", "j", "k", "i'"))


def system(*definitions):
    return Equations({"x": ("s",), "A": ("s", "s"), "w": ("s",)}, definitions, ("y",))


CAPTURES = {
    "the same index bound twice": system(
        Definition("P", (), total(i, Read("x", (i,)) * total(j, Read("A", (i, j))))),
        Definition("y", (i,), Read("P", ()) * total(i, Read("x", (i,))) * Read("w", (i,))),
    ),
    "an inner sum over the name of the outer index": system(
        Definition("y", (i,), Read("x", (i,)) * total(i, Read("x", (i,)) * Read("w", (i,))))
    ),
    "read at exchanged indices": system(
        Definition("P", (i, j), Read("x", (i,)) * Read("A", (j, i))),
        Definition("y", (i,), total(j, Read("P", (j, i)) * Read("P", (i, j)) * Read("w", (j,)))),
    ),
    "two primed names": system(
        Definition(
            "P",
            (i, prime),
            Sum((j, k), Read("A", (j, k)) * Read("A", (i, prime)) * Read("x", (j,))),
        ),
        Definition("y", (j,), Sum((i, prime), Read("P", (i, prime)) * Read("P", (prime, j)))),
    ),
    "a softmax inside a function": system(
        Definition("P", (i, j), exp(Read("A", (i, j))) * Within(j, i, 0)),
        Definition(
            "y",
            (i,),
            Apply("tanh", total(j, Read("P", (i, j)) * Read("x", (j,))))
            / total(j, Read("P", (i, j))),
        ),
    ),
    "every function": system(
        Definition("P", (i,), Apply("relu", Read("x", (i,))) * Apply("tanh", Read("w", (i,)))),
        Definition(
            "y", (i,), Apply("sqrt", exp(Read("x", (i,)) * Read("w", (i,)))) / exp(Read("P", (i,)))
        ),
    ),
    "one of three factors": system(
        Definition("P", (i,), Product((Read("x", (i,)), Read("x", (i,)), Read("w", (i,))))),
        Definition("y", (j,), Read("P", (j,)) / (exp(Read("x", (j,))) + exp(Read("w", (j,))))),
    ),
}


@pytest.mark.parametrize("equations", CAPTURES.values(), ids=CAPTURES)
def test_no_name_is_captured(equations):
    """Gradients are slopes: central differences at a step of 1e-5."""
    assert_slopes(equations, ("x", "A", "w"), {"s": 3})


def assert_slopes(equations, wanted, sizes):
    rng = np.random.default_rng(3)
    given = {
        name: rng.uniform(-1, 1, [sizes[s] for s in sides])
        for name, sides in equations.given.items()
    }
    shape = [sizes[v.sort] for v in equations.definition("y").indices]
    error = rng.uniform(-1, 1, shape)
    found = evaluate(gradients(equations, wanted), sizes, {**given, "error": error})

    def loss(name, index, step):
        moved = {**given, name: given[name].copy()}
        moved[name][index] += step
        return float((evaluate(equations, sizes, moved)["y"] * error).sum())

    for name in wanted:
        for index in np.ndindex(given[name].shape):
            slope = (loss(name, index, 1e-5) - loss(name, index, -1e-5)) / 2e-5
            assert abs(found[f"d.{name}"][index] - slope) <= 1e-7 * max(1.0, abs(slope)), name


def test_a_tensor_that_nothing_reads_has_gradient_zero():
    equations = system(Definition("y", (i,), Read("x", (i,))))
    found = evaluate(
        gradients(equations, ["A"]),
        {"s": 2},
        {"x": np.ones(2), "A": np.ones((2, 2)), "w": np.ones(2), "error": np.ones(2)},
    )
    assert not found["d.A"].any() and found["d.A"].shape == (2, 2)


def test_names_of_derivatives_are_refused():
    for name in ("error", gradient_of("x")):
        equations = Equations(
            {"x": ("s",), name: ("s",)},
            (Definition("y", (i,), Read("x", (i,)) * Read(name, (i,))),),
            ("y",),
        )
        with pytest.raises(ValueError, match="is the name of a derivative"):
            gradients(equations, ["x"])


def test_a_tensor_read_at_one_index_twice_is_refused():
    with pytest.raises(NotImplementedError, match="same index twice"):
        gradients(system(Definition("y", (i,), Read("A", (i, i)))), ["A"])


def test_unknown_functions_have_no_derivative():
    with pytest.raises(NotImplementedError, match="the derivative of step"):
        gradients(system(Definition("y", (i,), Apply("step", Read("x", (i,))))), ["x"])
