"""Each library's spelling of a transfer function computes it."""

import functools
import math
import warnings

import numpy as np
import pytest
import sympy

from cortico.backends.transfers import numpy_definition, scipy_import
from cortico.ir import TRANSFERS
from cortico.verify.latex.notation import LatexWriter
from tests.ir.transfers.oracle import (
    CANCELLING,
    LOUD,
    MPMATH,
    agrees,
    every_function,
    expected,
    inside,
    points,
)


def _names(name):
    """What emitted files have for φ: NumPy, what they import from SciPy, and what they define."""
    transfer, names = TRANSFERS[name], {"np": np}
    exec(scipy_import([transfer]), names)
    if transfer.numpy_body:
        exec(numpy_definition(transfer), names)
    return names


def text_of(name):
    """φ by the NumPy text of emitted files."""
    names = _names(name)
    return lambda x: eval(TRANSFERS[name].numpy.format(x="x"), names, {"x": x})


def nengo(name):
    code = TRANSFERS[name].nengo
    return code and eval(code, _names(name))


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
    rtol = 2e-14 if name == "gelu_tanh" else 1e-14  # of e^-25, whose exponent is rounded
    with np.errstate(divide="ignore"):
        agrees(function(points(name)), name, points(name), rtol)
        agrees(function(np.array(points(name)[-1])), name, points(name)[-1:])


@every_function
def test_single_precision_stays(name):
    found = text_of(name)(inside(name).astype(np.float32))
    assert found.dtype == np.float32
    polynomial = name == "gelu"  # whose digits are those of 1
    atol = 1e-7 if polynomial else 1e-300
    agrees(found, name, inside(name).astype(np.float32), rtol=1e-5, atol=atol)


NEW = ("gelu", "gelu_tanh", "silu", "relu_squared")


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 1.3e-7), (np.float64, 1e-15)])
def test_emitted_numpy_errs_by_a_rounding(name, dtype, most):
    """Relative to the largest of 1, the argument and the rate, near 0 and far from it."""
    x = np.concatenate([np.linspace(-12, 12, 2401), [-1000, -88.5, -30, 30, 88.5, 1000]])
    x = x.astype(dtype)
    true = expected(name, x)
    errors = np.abs(text_of(name)(x) - true) / np.maximum(np.maximum(np.abs(x), 1), np.abs(true))
    assert errors.max() < most


def test_the_polynomial_of_gelu_is_good_to_single_precision():
    """In float64, where its own error is not hidden by rounding: 2.4e-8 as said beside it."""
    text = numpy_definition(TRANSFERS["gelu"])
    assert text.count("np.float32") == 1
    names, x = {"np": np}, np.linspace(-12, 12, 2401)
    exec(text.replace("np.float32", "np.float64"), names)
    errors = np.abs(names["gelu"](x) - expected("gelu", x)) / np.maximum(np.abs(x), 1)
    assert 2.3e-8 < errors.max() < 2.4e-8


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_emitted_files_take_any_shape_and_leave_it_alone(name, dtype):
    function, x = text_of(name), np.random.default_rng(0).normal(size=(2, 70_001)).astype(dtype)
    kept, whole = x.copy(), function(x)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_allclose(whole, TRANSFERS[name].evaluate(x), rtol=1e-5, atol=1e-7)
    assert whole.dtype == dtype and whole.shape == x.shape
    for part in (np.s_[:, ::7000], np.s_[:0], np.s_[1, 3], np.s_[1, 3, ...]):
        found = function(x[part].T)
        assert np.shape(found) == np.shape(x[part].T) and found.dtype == dtype
        np.testing.assert_allclose(found, whole[part].T, rtol=1e-6, atol=1e-7)


@every_function
def test_sympy_is_right(name):
    some = inside(name)[::4]
    found = [TRANSFERS[name].in_sympy(sympy.Float(x, 40)).evalf(30) for x in some]
    agrees(np.array(found, float), name, some)


@every_function
def test_torch_is_right(name):
    torch = pytest.importorskip("torch")
    x = torch.tensor(points(name))
    found = eval(TRANSFERS[name].torch.format(x="x"), {"torch": torch, "x": x})
    atol = 1e-15 if name in CANCELLING else 1e-300
    agrees(found.numpy(), name, points(name), rtol=1e-13, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_it_is_what_models_of_transformers_have(name):
    theirs = {"gelu_tanh": "gelu_pytorch_tanh", "relu_squared": "relu2"}.get(name, name)
    torch = pytest.importorskip("torch")
    activations = pytest.importorskip("transformers.activations")
    found = activations.ACT2FN[theirs](torch.tensor(points(name)))
    np.testing.assert_allclose(found.numpy(), TRANSFERS[name].evaluate(points(name)), 1e-13, 1e-15)


@every_function
def test_jax_is_right(name):
    jax = pytest.importorskip("jax")
    names = {"jax": jax, "jnp": jax.numpy, "lax": jax.lax}
    with jax.enable_x64(True):
        found = eval(TRANSFERS[name].jax.format(x="x"), names, {"x": jax.numpy.array(points(name))})
        agrees(found, name, points(name), 1e-13, 2e-15 if name in CANCELLING else 1e-300)


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
    single = "Erf" in TRANSFERS[name].onnx  # also in that reference
    agrees(y, name, inside(name), *((1e-6, 1e-6) if single else (1e-13, 1e-15)))


OPERATORS = {
    *("Identity", "Exp", "Max", "Tanh", "Sqrt", "Erf", "Sigmoid", "Neg", "Mul", "Log", "Add"),
    *("Abs", "Div", "Pow"),
}

#: What words of other languages mean, of functions that these have.
WORDS = {
    "brian2": {
        **{word: getattr(np, word) for word in ("exp", "tanh", "sqrt", "clip", "abs", "log1p")},
        "erf": np.vectorize(math.erf),
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
    made = eval(TRANSFERS[name].nest, {"np": np, "EXPONENT": bend})
    if isinstance(made, str):  # a circuit of units, which tests/conformance/test_transfers.py runs
        assert (name, made) in {("sqrt", "root"), ("silu", "gated")}
        return
    model, given = made
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
    operator = {
        "identity": "(x)",
        "sqrt": "(x)^{1/2}",
        "gelu_tanh": r"\operatorname{gelu}_{\tanh}(x)",
        "relu_squared": r"\operatorname{relu}^2(x)",
    }
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
