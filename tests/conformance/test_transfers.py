"""Every transfer function on every backend: it gives what the interpreter does, or is refused by name."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import extras, get_backend, get_runner, require_support, transfers
from cortico.backends.neuron import mechanisms
from cortico.backends.neuron.running import run_script
from cortico.ir import (
    TRANSFERS,
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Gain,
    Region,
    Role,
    TensorRef,
    UnsupportedError,
    Weight,
)
from cortico.ir.rewrite import rename
from cortico.verify.exact.emitted import check_emitted, check_emitted_symbolically
from tests.backends.brian2 import simulation as brian2
from tests.backends.simulators import ANNARCHY, CELL_BY_CELL, NENGO, NEST, NEURON, QUICK

#: Backend to what runs one example of an emitted script in this process.
IN_PROCESS = {
    "brian2": lambda *example: brian2.simulate(*example, **brian2.SYNCHRONOUS)[0],
    "nest": lambda *example: NEST.simulate(*example, **QUICK),
    "nengo": NENGO.settle,
}
MARKS = {s.name: s.needs for s in CELL_BY_CELL} | {"brian2": pytest.mark.slow}
COLUMNS = ("numpy", "torch", "jax", "onnx", "brian2", "annarchy", "neuron", "nest", "nengo")
POSITIVE = ("sqrt", "log")


def circuit_of(*names):
    """x[i], and for each function its rates of 0.8 x[i] + W[i], those later than 0 divided by 1.5."""
    builder = CircuitBuilder("functions")
    builder.axis("i", Role.COLUMN, "n")
    builder.axis("j", Role.COLUMN, "n")
    x = Weight(TensorRef(builder.input("x", ("n",)), ("j",)))
    builder.population("core", ("j",), Region.CORE, CellClass.RELAY, [Compartment("a", drive=(x,))])
    for name in names:
        parts = [
            Compartment("a", drive=(Weight(gain=Gain(0.25)),)),
            Compartment("b", Effect.DIVIDES, (Weight(gain=Gain(1.5)),)),
        ]
        domain = (Bound("j", "i", 0),)
        builder.population(f"p_{name}", ("i", "j"), Region.L5, CellClass.PT, parts, name, domain)
        builder.project(f"to_{name}", "core", f"p_{name}", "a", Weight(gain=Gain(0.8)))
        builder.output(name, f"p_{name}", ("i", "j"))
    return builder.build()


def example_of(*names):
    rng = np.random.default_rng(0)
    return {
        "x": np.abs(rng.normal(size=4) * 2) if set(names) & {*POSITIVE} else rng.normal(size=4) * 2
    }


def has(backend, name):
    return getattr(TRANSFERS[name], backend) is not None


def pairs(backends, there):
    return [
        pytest.param(backend, name, marks=MARKS.get(backend, ()) if there else ())
        for backend in backends
        for name in TRANSFERS
        if has(backend, name) == there
    ]


def agree(backend, circuit, found, example, tolerance=1e-12):
    wanted = get_runner("reference").run(circuit, example)
    assert found.keys() == wanted.keys()
    for name, rates in wanted.items():
        np.testing.assert_allclose(
            found[name], rates, rtol=tolerance, atol=tolerance, err_msg=f"{name} on {backend}"
        )


@pytest.mark.parametrize(("backend", "name"), pairs(("numpy", "torch", "jax", "onnx"), True))
def test_arrays(backend, name):
    """On a batch of two, in float64 and float32."""
    circuit, one = circuit_of(name), example_of(name)["x"]
    example = {"x": np.stack([one, one[::-1]])}
    runner = get_runner(backend)
    require_support(runner, circuit)
    if backend == "onnx" and "Erf" in TRANSFERS[name].onnx:
        with pytest.raises(UnsupportedError, match=rf"'p_{name}' \({name}\) in float64.*Erf"):
            runner.run(circuit, example)
    else:
        agree(backend, circuit, runner.run(circuit, example), example)
    small = {"x": example["x"].astype(np.float32)}
    found = runner.run(circuit, small)
    assert found[name].dtype == np.float32
    agree(backend, circuit, found, small, 1e-5)


@pytest.mark.parametrize(("backend", "name"), pairs(IN_PROCESS, True))
def test_simulators(backend, name):
    circuit, example = circuit_of(name), example_of(name)
    require_support(get_backend(backend), circuit)
    found = IN_PROCESS[backend](circuit, example)
    agree(backend, circuit, found, example, 1e-9 if backend == "nest" else 1e-12)


#: Simulators that compile each network: what runs one, and how close it comes.
COMPILING = {
    "neuron": (lambda *example: get_runner("neuron").run(*example), 1e-8),
    "annarchy": (ANNARCHY.settle, 1e-12),
}


@pytest.mark.full
@pytest.mark.parametrize("backend", [pytest.param(name, marks=MARKS[name]) for name in COMPILING])
def test_simulators_that_compile(backend):
    """All functions in one circuit, where x is positive."""
    names = [name for name in TRANSFERS if has(backend, name)]
    run_together(backend, names, example_of("sqrt"))


@pytest.mark.full
@pytest.mark.parametrize("backend", [pytest.param(name, marks=MARKS[name]) for name in COMPILING])
def test_simulators_that_compile_on_both_signs(backend):
    names = [name for name in TRANSFERS if has(backend, name) and name not in POSITIVE]
    run_together(backend, names, example_of())


def run_together(backend, names, example):
    circuit, (run, tolerance) = circuit_of(*names), COMPILING[backend]
    require_support(get_backend(backend), circuit)
    agree(backend, circuit, run(circuit, example), example, tolerance)


@pytest.mark.parametrize("backend", ["reference", "numpy", "torch", "jax", "onnx"])
def test_log_of_what_is_not_positive_is_numpys(backend):
    circuit = circuit_of("log")
    with np.errstate(divide="ignore", invalid="ignore"):
        found = get_runner(backend).run(circuit, {"x": np.array([-0.3125, -1.0])})["log"]
    np.testing.assert_equal(found[0, 0], -np.inf)
    np.testing.assert_equal(found[1], [-np.inf, np.nan])
    assert found[0, 1] == 0  # outside the domain


@pytest.mark.parametrize(("backend", "name"), pairs(COLUMNS, False))
def test_what_a_backend_lacks_is_refused_by_name(backend, name):
    refused = get_backend(backend)
    (line,) = refused.unsupported(circuit_of("exp", name, "relu"))
    assert line.startswith(f"population 'p_{name}' has the transfer function {name}, ")
    with pytest.raises(UnsupportedError, match=f"'p_{name}' has the transfer function {name}"):
        require_support(refused, circuit_of(name))


def test_a_backend_refuses_what_its_column_lacks(monkeypatch):
    """Whatever the backend, and whatever the function."""
    for backend in COLUMNS[1:]:  # all have NumPy's
        column = {"at_zero": np.inf} if backend == "nengo" else {backend: None}
        lacking = {**TRANSFERS, "tanh": replace(TRANSFERS["tanh"], **column)}
        monkeypatch.setattr(transfers, "TRANSFERS", lacking)
        assert any(
            "function tanh" in line for line in get_backend(backend).unsupported(circuit_of("tanh"))
        )
        assert get_backend(backend).unsupported(circuit_of("relu")) == []


@pytest.mark.parametrize("name", [name for name in TRANSFERS if name != "identity"])
def test_nir_refuses_all(name):
    if importlib.util.find_spec("nir") is None:
        pytest.skip("nir is not installed")
    lines = get_backend("nir").unsupported(circuit_of(name))
    assert any(f"'p_{name}'" in line and name in line for line in lines)


@pytest.mark.parametrize("name", TRANSFERS)
def test_emitted_numpy_is_exact(name):
    """The same function of the very same numbers; and not when it is another, or of others."""
    circuit = circuit_of(name)
    assert check_emitted(circuit).equal
    if name not in ("identity", "relu"):
        assert check_emitted_symbolically(circuit).equal


@pytest.mark.parametrize("name", ["erf", "sigmoid", "gaussian", "softplus", "gelu", "silu"])
def test_populations_may_have_the_names_of_functions(name):
    """Emitted files define or import functions of these names."""
    circuit = rename(circuit_of(name, "exp"), populations={"core": name, f"p_{name}": "np"})
    example = example_of()
    for backend in ("numpy", "torch", "jax"):
        agree(backend, circuit, get_runner(backend).run(circuit, example), example)
    assert NENGO.settle(circuit, example).keys() == {name, "exp"}


def test_erf_is_imported_from_scipy(monkeypatch):
    source = get_backend("numpy").emit(circuit_of("erf"))["attention.py"]
    assert "\nBesides numpy this needs scipy: from scipy.special import erf.\n" in source
    assert "\nimport numpy as np\nfrom scipy.special import erf\n" in source
    both = get_backend("numpy").emit(circuit_of("gelu", "erf"))["attention.py"]
    assert "\nfrom scipy.special import erf, ndtr\n" in both
    assert "scipy" not in get_backend("numpy").emit(circuit_of("sigmoid"))["attention.py"]
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "scipy")
    with pytest.raises(UnsupportedError, match=r"needs SciPy: pip install 'cortico\[erf\]'"):
        get_runner("numpy").run(circuit_of("erf"), example_of())


@pytest.mark.slow
@NEURON.needs
def test_a_function_that_the_mechanisms_of_another_circuit_lack_is_refused():
    """A script beside compiled mechanisms that know no sigmoid; those of its own do."""
    files = dict(get_backend("neuron").emit(circuit_of("tanh", "sigmoid")))
    inputs = example_of("tanh")
    own = run_script(files, "attention_neuron.py", inputs, {}, ranks=1)
    assert np.isfinite(own["sigmoid"]).all()
    with pytest.raises(UnsupportedError, match="a voltage is NaN"):
        run_script(
            {**files, **mechanisms(circuit_of("tanh"))}, "attention_neuron.py", inputs, {}, ranks=1
        )
