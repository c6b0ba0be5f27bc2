"""Each library's spelling of a transfer function computes it."""

import functools
import math
import warnings

import numpy as np
import pytest
import scipy.special
import sympy

from cortico.backends.transfers import numpy_definition, scipy_import
from cortico.ir import TRANSFERS
from cortico.verify.latex.notation import LatexWriter
from tests.ir.transfers.oracle import (
    LOUD,
    MPMATH,
    agrees,
    every_function,
    inside,
    points,
)


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
