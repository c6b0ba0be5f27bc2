"""SymPy expressions of rates have the values that the reference interpreter computes."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy

from cortico.backends.reference import interpret
from cortico.ir import CircuitError, Formula
from cortico.ir.analysis.inputs import bind_symbols, parameter_values
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.verify.equations.language import OFFSET, Apply, Index, Product, Read, Within, total
from cortico.verify.equations.sympy_form import (
    Reciprocal,
    index_symbol,
    output_expression,
    rate_expression,
    size_symbol,
    size_symbols,
    to_sympy,
)
from cortico.weights import random_weights
from tests.cases import CASES

QUERY, SOURCE, A = Index("i", "tokens"), Index("j", "tokens"), Index("a", "key features")
X = Read("x", (QUERY,))

COVERING = (
    "linear-mask_none",
    "softmax-mask_causal-biased",
    "softmax-mask_window-padded-grouped-biased",
    "sink_causal_padded",
    "alibi",
    "table",
    "rotary_partial",
    "cross_padded_residual",
    "everything",
    "memory_causal_biased_padded",
    "memory_llama",
    "scaled_linear",
)
BY_NAME = {case.name: case for case in CASES}


def evaluated(expression, tensors, sizes, at):
    """The value of an expression as Python code that SymPy writes: loops over plain arrays."""
    names = sorted(tensors)
    arguments = [*map(sympy.IndexedBase, names), *sizes, *at]
    code = sympy.lambdify(
        arguments, expression, [{"Reciprocal": lambda x: 1 / x if x else 0.0}, "math"]
    )
    return code(*(tensors[name] for name in names), *sizes.values(), *at.values())


@pytest.mark.parametrize("name", COVERING)
def test_every_population_has_the_value_that_the_interpreter_computes(name):
    case = BY_NAME[name]
    circuit = lower(case.spec, case.weights)
    inputs = {key: array[0] for key, array in case.inputs.items()}  # padded in front
    rates = interpret(circuit, inputs)
    symbols = bind_symbols(circuit, inputs)
    tensors = {**parameter_values(circuit, symbols), **inputs}
    extents = circuit.sizes(symbols)
    sizes = {symbol: extents[axis] for axis, symbol in size_symbols(circuit).items()}
    rng = np.random.default_rng(0)
    for population in circuit.populations:
        expression = rate_expression(circuit, population.name, guarded=True)
        rate = rates[population.name]
        for _ in range(4):
            index = tuple(int(rng.integers(side)) for side in rate.shape)
            at = {index_symbol(axis): k for axis, k in zip(population.axes, index, strict=True)}
            value = evaluated(expression, tensors, sizes, at)
            assert value == pytest.approx(rate[index], rel=1e-9, abs=1e-11), population.name


SMALL = AttentionSpec(model=2, heads=1, key_features=1, value_features=1, mask=Mask.CAUSAL)


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        replace(SMALL, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY),
        replace(SMALL, sink=True, key_padding=True),
    ],
    ids=["softmax", "memory", "sink"],
)
def test_doit_at_two_tokens_gives_the_output(spec):
    circuit = lower(spec, random_weights(spec, 1))
    inputs = {"x": np.array([[0.5, -1.0], [2.0, 0.25]])}
    inputs |= {"keep": np.array([True, False])} if spec.key_padding else {}
    y = interpret(circuit, inputs)["relay"]
    tensors = {**parameter_values(circuit, {"n": 2}), **inputs}
    extents = circuit.sizes({"n": 2})
    sizes = {symbol: extents[axis] for axis, symbol in size_symbols(circuit).items()}
    small = output_expression(circuit).subs(sizes).doit()
    for i, m in np.ndindex(2, 2):
        entry = small.subs({index_symbol("i"): i, index_symbol("m"): m})
        entries = {e: float(tensors[str(e.base)][e.indices]) for e in entry.atoms(sympy.Indexed)}
        assert float(entry.subs(entries)) == pytest.approx(y[i, m])


def test_text_and_latex():
    circuit = lower(replace(SMALL, name="small"))
    assert str(rate_expression(circuit, "superficial")) == (
        "Heaviside(i - j, 1)*Sum(W_K[h, a, m]*x[j, m], (m, 0, N_m - 1))"
        "*Sum(W_Q[h, a, m_1]*x[i, m_1], (m_1, 0, N_m - 1))"
    )
    pool = rate_expression(circuit, "pool", inline=False)
    assert str(pool) == "Sum(mask.rate[h, i, j], (j, 0, n - 1))"
    assert sympy.latex(pool) == r"\sum_{j=0}^{n - 1} {mask.rate}_{h,i,j}"


def test_sizes_are_symbols_shared_by_axes_that_run_through_the_same_set():
    symbols = size_symbols(lower(replace(SMALL, tokens=3)))
    assert symbols["i"] == symbols["j"] == sympy.Symbol("N_i", positive=True, integer=True)
    assert size_symbols(lower(SMALL))["j"].name == "n"
    assert size_symbols(lower(replace(SMALL, tokens="N_m")))["m"].name == "N_m_"
    assert size_symbol("key features").name == "N_key_features"


def test_bound_indices_are_renamed_apart():
    circuit = lower(replace(SMALL, sink=True))
    sums = output_expression(circuit).atoms(sympy.Sum)
    bound = [variable for each in sums for variable in each.variables]
    assert len(set(bound)) == len(bound)
    assert not set(bound) & {index_symbol("i"), index_symbol("m")}
    squared = total(QUERY, X * total(QUERY, X))
    assert str(to_sympy(squared * X)) == (
        "x[i]*Sum(x[i_1]*Sum(x[i_2], (i_2, 0, N_tokens - 1)), (i_1, 0, N_tokens - 1))"
    )


def test_functions_and_comparisons():
    i, j, x = index_symbol("i"), index_symbol("j"), sympy.IndexedBase("x")[index_symbol("i")]
    assert to_sympy(Apply("inverse", X)) == 1 / x
    assert to_sympy(Apply("inverse", X), guarded=True) == Reciprocal(x)
    assert [Reciprocal(k) for k in (0, 2)] == [0, sympy.Rational(1, 2)]
    assert to_sympy(Apply("relu", X)) == sympy.Max(x, 0)
    assert to_sympy(Apply("step", X)).subs(x, 0) == 0
    assert [to_sympy(Apply("nonzero", X)).subs(x, k) for k in (0, 3)] == [0, 1]
    assert to_sympy(Apply("tanh", X)) == sympy.tanh(x)
    window = to_sympy(Within(QUERY, SOURCE, 2))
    assert [window.subs({i: k, j: 0}) for k in (1, 2, 3)] == [1, 1, 0]
    own = Product((Within(QUERY, SOURCE, 0), X, Within(SOURCE, QUERY, 0)))
    assert to_sympy(own) == sympy.KroneckerDelta(i, j) * x
    with pytest.raises(NotImplementedError, match="sinc"):
        to_sympy(Apply("sinc", X))


def test_formulas_are_written_out():
    at = tuple(Index(name, name) for name in ("t", "p", "s", "u"))
    formulas = {
        "turn": Formula("rotation", ("frequencies",)),
    }
    t, p, s, u = (index_symbol(v.name) for v in at)
    turn = to_sympy(Read("turn", at), formulas=formulas)
    angle = 3 * sympy.IndexedBase("frequencies")[0]
    for row, column in np.ndindex(2, 2):
        entry = turn.subs({t: 3, p: 0, s: row, u: column})
        table = [[sympy.cos(angle), -sympy.sin(angle)], [sympy.sin(angle), sympy.cos(angle)]]
        assert entry == table[row][column]
    offset = to_sympy(Read(OFFSET, (QUERY, SOURCE)), formulas=formulas)
    assert offset == index_symbol("j") - index_symbol("i")


def test_numbers_are_exact():
    third = Product((total(A, Read("w", (A,))), Apply("inverse", X)))
    assert to_sympy(third, sizes={"key features": sympy.Integer(3)}).has(sympy.Sum)
    assert to_sympy(Apply("identity", Product(()))) == 1
    from cortico.verify.equations.language import Number, Size

    scaled = Product((Number(Fraction(7, 10)), Size("key features", Fraction(-1, 2))))
    assert to_sympy(scaled) == sympy.Rational(7, 10) / sympy.sqrt(size_symbol("key features"))


def test_names_that_do_not_exist():
    circuit = lower(SMALL)
    with pytest.raises(CircuitError, match="nobody"):
        rate_expression(circuit, "nobody")
    with pytest.raises(CircuitError, match="'z': the circuit has y"):
        output_expression(circuit, "z")


def test_what_sympy_gets_wrong():
    """The two errors that the module works around: when this fails, it may use what it avoids."""
    n, x = sympy.Symbol("n", positive=True, integer=True), sympy.IndexedBase("x")
    i, j = sympy.symbols("i j", cls=sympy.Idx)
    seen = sympy.Piecewise((x[j], sympy.Le(j, i)), (0, True))
    moved = sympy.Sum(x[i] / (1 + sympy.Sum(seen, (j, 0, n - 1))), (i, 0, n - 1))
    assert j in moved.function.free_symbols  # its condition stands outside of the sum over j
    ranged = sympy.Idx("k", n)
    assert sympy.Sum(x[ranged], (ranged, 0, n - 1)).subs(n, 2).doit() != x[0] + x[1]
    assert math.isclose(
        float(sympy.Sum(x[i], (i, 0, n - 1)).subs(n, 2).doit().subs({x[0]: 1, x[1]: 2})), 3
    )
