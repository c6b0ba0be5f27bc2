"""The table of transfer functions, column by column, against another source each."""

import functools
import math
import warnings
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy

from cortico.backends.transfers import brought, numpy_definition, scipy_import
from cortico.ir import TRANSFERS
from cortico.ir.text import parse_circuit, print_circuit
from cortico.ir.transfer import ExactRule, Parity, Relative, Sign
from cortico.learning.cells import slope
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.verify.exact.arithmetic import PrimeField
from cortico.verify.identity.finite_field import Draw, chain_of_fields
from cortico.verify.latex.notation import LatexWriter
from tests.ir.circuits import attention

#: What the functions are, by a library that has nothing to do with the table.
MPMATH = {
    "identity": lambda x: x,
    "exp": mpmath.exp,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "tanh": mpmath.tanh,
    "sqrt": mpmath.sqrt,
    "erf": mpmath.erf,
    "sigmoid": lambda x: mpmath.mpf(scipy.special.expit(float(x))),
    "gaussian": lambda x: mpmath.exp(-x * x),
    "log": lambda x: mpmath.log(x) if x > 0 else mpmath.mpf("-inf" if x == 0 else "nan"),
    "softplus": lambda x: -mpmath.mpf(scipy.special.log_expit(-float(x))),
}

#: Defined for positive arguments only.
HALF_LINE = {"sqrt", "log"}

#: Where 1000 is beyond what a float holds, or not in the domain.
LOUD = {"exp", *HALF_LINE}

every_function = pytest.mark.parametrize("name", TRANSFERS)


def points(name, largest=6.0, count=241):
    """Numbers of both signs, or positive ones."""
    return np.linspace(0.0 if name in HALF_LINE else -largest, largest, count)


def inside(name):
    """The same without zero, where some are not smooth."""
    return points(name)[points(name) != 0]


def expected(name, x):
    return np.array([float(MPMATH[name](mpmath.mpf(float(each)))) for each in x])


def agrees(found, name, x, rtol=1e-14, atol=1e-300):
    np.testing.assert_allclose(np.asarray(found), expected(name, x), rtol=rtol, atol=atol)


@pytest.fixture(autouse=True)
def _many_digits():
    with mpmath.workdps(40):
        yield


def text_of(name):
    """φ by the NumPy text of emitted files."""
    transfer, names = TRANSFERS[name], {"np": np}
    if transfer.scipy:
        exec(scipy_import([transfer]), names)
    if transfer.numpy_body:
        exec(numpy_definition(transfer), names)
    return lambda x: eval(transfer.numpy.format(x="x"), names, {"x": x})


def nengo(name):
    code = TRANSFERS[name].nengo
    return code and eval(code, {"np": np, "erf": scipy.special.erf})


# ---- what it is ------------------------------------------------------------------------------------


def test_the_oracle_knows_all():
    assert list(MPMATH) == [name for name in TRANSFERS if name in MPMATH] == list(TRANSFERS)
    assert all(name == transfer.name for name, transfer in TRANSFERS.items())


@every_function
@pytest.mark.parametrize("source", ["evaluate", "numpy", "nengo"])
def test_numpy_is_right(name, source):
    if name == "log" and source == "nengo":
        assert TRANSFERS[name].nengo is None
        return
    sources = {"evaluate": TRANSFERS[name].evaluate, "numpy": text_of(name), "nengo": nengo(name)}
    function = sources[source]
    with np.errstate(divide="ignore"):
        agrees(function(points(name)), name, points(name))
        agrees(function(np.array(points(name)[-1])), name, points(name)[-1:])


@every_function
def test_single_precision_stays(name):
    found = text_of(name)(inside(name).astype(np.float32))
    assert found.dtype == np.float32
    agrees(found, name, inside(name).astype(np.float32), rtol=1e-5)


@every_function
def test_sympy_is_right(name):
    found = [TRANSFERS[name].in_sympy(sympy.Float(x, 40)).evalf(30) for x in inside(name)]
    agrees(np.array(found, float), name, inside(name))


@every_function
def test_torch_is_right(name):
    torch = pytest.importorskip("torch")
    x = torch.tensor(points(name))
    found = eval(TRANSFERS[name].torch.format(x="x"), {"torch": torch, "x": x})
    agrees(found.numpy(), name, points(name), rtol=1e-13)


@every_function
def test_jax_is_right(name):
    jax = pytest.importorskip("jax")
    names = {"jax": jax, "jnp": jax.numpy, "lax": jax.lax}
    with jax.enable_x64(True):
        found = eval(TRANSFERS[name].jax.format(x="x"), names, {"x": jax.numpy.array(points(name))})
        agrees(found, name, points(name), rtol=1e-13)


@every_function
def test_onnx_is_right(name):
    """The operators as ONNX's own reference has them."""
    helper = pytest.importorskip("onnx").helper
    from onnx.reference import ReferenceEvaluator

    from cortico.backends.onnx.array import Array
    from cortico.backends.onnx.graph import Graph
    from cortico.backends.onnx.numpy_on_onnx import NumpyOnOnnx
    from cortico.backends.onnx.recording import OnnxWriter

    graph, kind = Graph(["x", "y"]), np.dtype(np.float64)
    x = Array(graph, graph.input("x", kind, ["n"]), kind, 1)
    code = OnnxWriter({}).transfer(name, "x")
    found = eval(code, {"np": NumpyOnOnnx(graph), "x": x})
    graph.output("y", found.name, kind, ["n"])
    assert {node.op_type for node in graph.nodes} <= {*vars(helper), *OPERATORS}
    (y,) = ReferenceEvaluator(graph.model(name)).run(None, {"x": inside(name)})
    single = name == "erf"  # also in that reference
    agrees(y, name, inside(name), rtol=1e-6 if single else 1e-13, atol=1e-15)


OPERATORS = {
    *("Identity", "Exp", "Max", "Tanh", "Sqrt", "Erf", "Sigmoid", "Neg", "Mul", "Log", "Add"),
    *("Abs",),
}

#: What words of other languages mean, of functions that these have.
WORDS = {
    "brian2": {
        **{word: getattr(np, word) for word in ("exp", "tanh", "sqrt", "clip", "abs", "log1p")},
        "inf": np.inf,
    },
    "annarchy": {
        **{word: getattr(np, word) for word in ("exp", "tanh", "sqrt", "log")},
        "pos": lambda x: np.maximum(x, 0),
    },
}


@every_function
@pytest.mark.parametrize("language", WORDS)
def test_equations_of_simulators_are_right(name, language):
    """In Brian2 as a factor, of an argument that is a product; in ANNarchy as a term, of one that is a sum."""
    text = getattr(TRANSFERS[name], language)
    if text is None:
        return
    before, argument = {"brian2": ("2*", "b*a"), "annarchy": ("c + ", "a + 0 * b")}[language]
    given = {"a": points(name), "b": np.ones(241), "c": 0.0, **WORDS[language]}
    found = eval(before + text.format(x=argument), {}, given) / (2 if language == "brian2" else 1)
    agrees(found, name, points(name), rtol=1e-13, atol=1e-15)


@every_function
def test_nmodl_is_right(name):
    """Statements of NMODL, read as Python: they have `if`, `else` and assignments."""
    if TRANSFERS[name].neuron is None:
        return
    lines = [
        line.replace("} else", "else").replace(" {", ":").replace("}", "")
        for line in TRANSFERS[name].neuron.splitlines()
    ]
    functions = {
        word: getattr(math, word) for word in ("exp", "tanh", "sqrt", "erf", "fabs", "log")
    }
    found = []
    for x in points(name):
        scope = {"x": x, "f": x, **functions}
        exec("\n".join(lines), scope)
        found.append(scope["f"])
    agrees(found, name, points(name), rtol=1e-13, atol=1e-15)


@every_function
def test_models_of_nest_are_right(name):
    """The formulas of NEST's manual for its rate neurons, with threshold zero."""
    if TRANSFERS[name].nest is None:
        return
    bend = 60.0 if name == "exp" else 0.0
    model, given = eval(TRANSFERS[name].nest, {"np": np, "EXPONENT": bend})
    formulas = {
        "lin_rate_ipn": lambda h: h,
        "threshold_lin_rate_ipn": lambda h: np.minimum(np.maximum(h, 0), np.inf),
        "tanh_rate_ipn": lambda h: np.tanh(h),
        "sigmoid_rate_ipn": lambda h: given["g"] / (1 + np.exp(-given["beta"] * (h - bend))),
    }
    agrees(formulas[model](points(name)), name, points(name), rtol=1e-12)


@every_function
def test_latex(name):
    text = LatexWriter().function(name, "x")
    operator = {"identity": "(x)", "sqrt": "(x)^{1/2}"}
    named = {rf"\{name}(x)", rf"\operatorname{{{name}}}(x)"}
    assert text == operator.get(name) or text in named
    assert (text in named) == (name not in operator)
    assert (rf"\{name}(x)" == text) == (name in ("exp", "tanh", "log"))


@every_function
def test_no_overflow_far_out(name):
    """At ±1000, without warnings, in every language that computes here."""
    if name in LOUD:
        return
    x = np.array([-1000.0, -745.2, -40.0, 40.0, 1000.0])
    ours = [TRANSFERS[name].evaluate, text_of(name), nengo(name)]
    for language in WORDS:
        text = getattr(TRANSFERS[name], language)
        if text:
            ours.append(functools.partial(_evaluated, text, WORDS[language]))
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        for function in ours:
            agrees(function(x), name, x, rtol=1e-12, atol=1e-16)
            agrees(function(x.astype(np.float32)), name, x.astype(np.float32), 1e-5, 1e-7)
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    there = eval(TRANSFERS[name].torch.format(x="x"), {"torch": torch, "x": torch.tensor(x)})
    agrees(there.numpy(), name, x, rtol=1e-12)
    with jax.enable_x64(True):
        names = {"jax": jax, "jnp": jax.numpy, "lax": jax.lax, "x": jax.numpy.array(x)}
        agrees(eval(TRANSFERS[name].jax.format(x="x"), names), name, x, rtol=1e-12)


def _evaluated(text, words, x):
    return eval(text.format(x="x"), {}, {**words, "x": x})


def test_log_of_what_is_not_positive():
    with np.errstate(divide="ignore", invalid="ignore"):
        for function in (TRANSFERS["log"].evaluate, text_of("log")):
            np.testing.assert_equal(function(np.array([0.0, -1.0])), [-np.inf, np.nan])
    with (
        np.errstate(all="raise"),
        pytest.raises(FloatingPointError),
    ):  # or refutations would take NaN
        TRANSFERS["log"].evaluate(np.array([0.0]))


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
    everything = [*found, *map(float, far)]
    assert low <= min(everything) and max(everything) <= high
    reached = [(low, min(everything)), (high, max(everything))]  # or nearly, or there is no end
    assert all(
        e == pytest.approx(end, abs=1e-9) if math.isfinite(end) else abs(e) > 25
        for end, e in reached
    )


@every_function
def test_steepest_slope(name):
    transfer, x = TRANSFERS[name], np.linspace(0.0 if name in HALF_LINE else -30.0, 30.0, 24001)
    y = expected(name, x[:: 1 if transfer.steepest else 200])
    if transfer.steepest is None:  # of exp beyond all numbers for large x, of log for small ones
        assert name in ("exp", "log")
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


# ---- where it is read --------------------------------------------------------------------------------


@every_function
def test_the_text_form_has_it(name):
    circuit = lower(AttentionSpec(4))
    first, *others = circuit.populations
    circuit = replace(circuit, populations=(replace(first, transfer=name), *others))
    assert parse_circuit(print_circuit(circuit)) == circuit
    start = f"population {first.name} "
    line = next(t for t in print_circuit(circuit).splitlines() if t.startswith(start))
    assert line.endswith(" relay" if name == "identity" else f" relay {name}")


def test_scripts_of_circuits_without_a_function_bring_the_usual_ones():
    usual = ["identity", "exp", "relu", "tanh", "sqrt"]
    assert [t.name for t in brought(None, "nengo")] == usual
    assert [t.name for t in brought(None, "nest")] == usual[:-1]


def test_the_documentation_lists_them(request):
    page = Path(__file__).parents[2] / "docs" / "ir.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}{documented()}{END}{after}"
    if request.config.getoption("--update-golden"):
        page.write_text(wanted, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == wanted, "run `make golden`"


BEGIN, END = "| φ | is |", "\n\nφ' is by"

#: A column of the table to the backend that it is for.
BACKENDS = ("numpy", "torch", "jax", "onnx", "brian2", "annarchy", "neuron", "nest", "nengo")


def documented():
    heads = ["at 0", "parity", "sign", "range", "steepest", "φ' by x and r", "φ' by r", "not in"]
    lines = [f" {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    return "\n".join([*lines, *map(_row, TRANSFERS.values())])


def _row(transfer):
    low, high = (_number(end) for end in transfer.range)
    steepest = "no bound" if transfer.steepest is None else f"{transfer.steepest:.4g}"
    missing = [backend for backend in BACKENDS if getattr(transfer, backend) is None]
    cells = [
        *(f"`{transfer.name}`", transfer.formula, _number(transfer.at_zero), transfer.parity),
        *(transfer.sign, f"{low} … {high}", steepest + " of √" * transfer.of_root),
        *(f"`{transfer.slope}`", _by_rate(transfer), ", ".join(missing)),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value):
    return f"{value:.4g}".replace("inf", "∞").replace("-", "−")


def _by_rate(transfer):
    if transfer.rate_slope is None:
        return "none"
    sides: dict[bool, list[str]] = {False: [], True: []}
    for _, constant, per_rate, divides in transfer.rate_slope:
        size = "r" if abs(per_rate) == 1 else f"({abs(per_rate):g} r)"
        sign = "-" if per_rate < 0 else "+"
        sides[divides].append(f"({constant:g} {sign} {size})" if constant else size)
    above, below = (" ".join(sides[divides]) for divides in (False, True))
    return f"`{above or 1}{' / ' * bool(below)}{below}`"


def test_the_numbers_of_neuron_and_its_mechanism_are_the_same():
    from cortico.backends.neuron import mechanisms
    from cortico.backends.neuron.mechanisms import function_numbers

    circuit = attention()
    first, *others = circuit.populations
    for name in ("sigmoid", "erf", "relu"):
        used = replace(circuit, populations=(replace(first, transfer=name), *others))
        numbers = function_numbers(used)
        text = mechanisms(used)["dendritic_product.mod"]
        assert f": f is {', '.join(f'{number} {of}' for of, number in numbers.items())}\n" in text
        body = TRANSFERS[name].neuron.splitlines()[0]
        assert f"(transfer == {numbers[name]}) {{\n        {body}" in text
        assert text.count("{") == text.count("}") and "@" not in text
