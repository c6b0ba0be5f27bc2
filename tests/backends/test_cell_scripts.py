"""Emitted scripts of NEURON, NEST, ANNarchy and Nengo as files: text, names, options, what is said when one fails."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from cortico.backends import get_backend, get_runner
from cortico.backends.array_files import save_npz
from cortico.backends.cells.script import normalised_first
from cortico.backends.neuron import mechanisms
from cortico.backends.neuron.running import compiled
from cortico.backends.script_running import run_and_listen, run_command
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    SpecError,
    TensorRef,
    UnsupportedError,
    Weight,
)
from cortico.ir.rewrite import longest_chain
from cortico.lowering import lower
from tests.backends.simulators import CELL_BY_CELL, IN_PROCESS, NEURON
from tests.cases import CASES
from tests.covering import first

CASE = {case.name: case for case in CASES}

#: Those that run in this process, and the names of all.
ENGINES = IN_PROCESS
EMITTERS = [simulator.name for simulator in CELL_BY_CELL]


@pytest.mark.parametrize("engine", EMITTERS)
def test_golden_script(engine, golden):
    case = CASE["bert"]
    (text,) = (
        text
        for name, text in get_backend(engine).emit(lower(case.spec, case.weights)).items()
        if name.endswith(".py")
    )
    assert "import cortico" not in text
    golden(text, f"bert.{engine}.py.txt")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_emitted_folder_runs_alone(engine, tmp_path):
    """As the head of the script says, with Python's isolated mode: nothing of ours is found."""
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    for name, text in engine.backend(**engine.exactly).emit(circuit).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder = tmp_path
    if engine is NEURON:  # compiled once for all tests, where nrnivmodl was run
        folder = compiled(tuple(mechanisms().items()))
    weights = {p.name: p.values for p in circuit.parameters if p.values is not None}
    save_file(weights, tmp_path / "circuit.safetensors")
    np.savez(tmp_path / "inputs.npz", **case.inputs)
    command = [sys.executable, "-I", str(tmp_path / f"attention_{engine.name}.py")]
    files = [str(tmp_path / "inputs.npz"), "-o", str(tmp_path / "outputs.npz")]
    subprocess.run([*command, *files], cwd=folder, check=True, capture_output=True)
    with np.load(tmp_path / "outputs.npz") as found:
        expected = get_runner("reference").run(circuit, case.inputs)["y"]
        np.testing.assert_allclose(found["y"], expected, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "names", first(1, [["lambda", "np", "h", "nest"], ["network", "rates", "i", "None"]])
)
def test_any_name_runs(engine, names):
    first, second, axis, tensor = names
    builder = CircuitBuilder('späte Köpfe """ \\ \n {x} %s \'π\'')
    builder.axis(axis, Role.FEATURE, "n")
    source = builder.input(tensor, ("n",))
    drive = (Weight(TensorRef(source, (axis,))),)
    home = (Region.CORE, CellClass.RELAY)
    builder.population(first, (axis,), *home, [Compartment("a", drive=drive)])
    builder.population(
        second, (axis,), *home, [Compartment("a"), Compartment("tau", drive=drive)], "tanh"
    )
    builder.project("to", first, second, "a")
    builder.output("y", second, (axis,))
    circuit = builder.build()
    array = np.array([0.5, -2.0, 0.0])
    inputs = {argument_of(engine.source(circuit)): array}
    outputs = engine.settle(circuit, inputs)
    np.testing.assert_allclose(outputs["y"], np.tanh(array**2), rtol=1e-9, atol=1e-12)


def argument_of(text):
    """The first argument of the script's function, whose name may not be the input's."""
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    (function,) = (f for f in functions if f.name == "simulate")
    return function.args.args[0].arg


@pytest.mark.parametrize("engine", ENGINES)
def test_products_and_quotients_by_hand(engine):
    """Three factors, two divisors, one of them negative or zero: x / 0 is 0."""
    builder = CircuitBuilder("by hand")
    builder.axis("a", Role.FEATURE, "n")
    names = ["p", "q", "r", "s", "t"]
    compartments = [
        Compartment(
            name,
            Effect.DIVIDES if name in "st" else Effect.MULTIPLIES,
            (Weight(TensorRef(builder.input(f"x_{name}", ("n",)), ("a",))),),
        )
        for name in names
    ]
    builder.population("cell", ("a",), Region.L5, CellClass.PT, compartments)
    builder.output("y", "cell", ("a",))
    p, q, r = np.array([[1.0, -2, 3, 4], [5, 0, 7, 8], [0.1, 1, -2, 3]])
    s, t = np.array([[2.0, -3, 0, 0.5], [1, 1, 2, -8]])
    inputs = {f"x_{name}": array for name, array in zip(names, (p, q, r, s, t), strict=True)}
    found = engine.settle(builder.build(), inputs)["y"]
    np.testing.assert_allclose(found, [0.25, 0, 0, -24], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_cells_that_do_not_exist_read_zero(engine):
    """The output is exp(x_i) where j <= i; elsewhere there is no cell, and exp(0) is not its rate."""
    builder = CircuitBuilder("triangle")
    for axis in "ij":
        builder.axis(axis, Role.COLUMN, 2)
    drive = (Weight(TensorRef(builder.input("x", (2,)), ("i",))),)
    builder.population(
        "cell",
        ("i", "j"),
        Region.L5,
        CellClass.PT,
        [Compartment("a", drive=drive)],
        "exp",
        (Bound("j", "i", 0),),
    )
    builder.output("y", "cell", ("i", "j"))
    found = engine.settle(builder.build(), {"x": np.log([2.0, 3.0])})["y"]
    np.testing.assert_allclose(found, [[2, 0], [3, 3]], rtol=1e-9, atol=0)


def divided():
    """A circuit of cells x / d."""
    builder = CircuitBuilder("small")
    builder.axis("a", Role.FEATURE, "n")
    compartments = [
        Compartment(name, effect, (Weight(TensorRef(builder.input(name, ("n",)), ("a",))),))
        for name, effect in (("x", Effect.MULTIPLIES), ("d", Effect.DIVIDES))
    ]
    builder.population("cell", ("a",), Region.L5, CellClass.PT, compartments)
    builder.output("y", "cell", ("a",))
    return builder.build()


@pytest.mark.parametrize("engine", ENGINES)
def test_divisors_of_all_sizes_in_one_population(engine):
    """The sums of softmax over a row span eleven orders of magnitude in a layer of MiniLM."""
    d = np.array([1e-9, 1.0, -1e-6, 1e9])
    found = engine.settle(divided(), {"x": 3 * d, "d": d})["y"]
    np.testing.assert_allclose(found, 3.0, rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_roots_of_all_sizes_in_one_population(engine):
    """Of 0, too, which in NEST is not let go."""
    builder = CircuitBuilder("roots")
    builder.axis("a", Role.FEATURE, "n")
    drive = (Weight(TensorRef(builder.input("x", ("n",)), ("a",))),)
    parts = [Compartment("x", drive=drive)]
    builder.population("cell", ("a",), Region.L5, CellClass.PV, parts, "sqrt")
    builder.output("y", "cell", ("a",))
    x = np.array([0.0, 1e-12, 2.0, 1e9])
    found = engine.settle(builder.build(), {"x": x})["y"]
    np.testing.assert_allclose(found, np.sqrt(x), rtol=1e-12)


@NEURON.needs
def test_a_small_divisor_does_not_slow_a_cell():
    """In steps of 0.5 ms, within the time that a chain of its length may take."""
    inputs = {"x": np.array([2.0, -3.0]), "d": np.array([1e-4, 100.0])}
    found = NEURON.simulate(divided(), inputs)["y"]
    np.testing.assert_allclose(found, [2e4, -0.03], rtol=1e-8)


@NEURON.needs
def test_areas_are_spread_over_processes():
    """Two axes of areas, three processes: area 2 g + r is made by process (2 g + r) % 3."""
    circuit = lower(CASE["everything"].spec, CASE["everything"].weights)
    script = NEURON.load(circuit)
    made = {}
    for rank in range(3):
        script["pc"] = SimpleNamespace(
            id=lambda rank=rank: rank,
            nhost=lambda: 3,
            gid_clear=lambda: None,
            set_maxstep=lambda step: None,
            source_var=lambda *_, **__: None,
        )
        network = script["Network"](0.5, None, 1e-9)
        g, r, i = np.ogrid[:2, :2, :4]
        numbers = network.population("pool", g, r, i, area=[g, r], tau=10, multiply={"soma": 0.0})
        made |= dict.fromkeys(network.cells, rank)
    owners = np.vectorize(made.get)(numbers)
    assert owners[:, :, 0].tolist() == [[0, 1], [2, 0]]
    assert (owners == owners[:, :, :1]).all()


def test_the_numerator_of_softmax_is_divided_first():
    circuit = lower(CASE["bert"].spec)
    names = [c.name for c in normalised_first(circuit, circuit.population("deep"))]
    assert names == ["apical", "basal", "shunt"]


def test_the_longest_chain_by_hand():
    """core, superficial, mask, gated mask, pool, deep, relay: one unit each."""
    circuit = lower(CASE["bert"].spec)
    assert longest_chain(circuit, lambda population: 1) == 7


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [
        ("neuron", {"rank": 2}, "backend neuron has no option 'rank' (did you mean 'ranks'?)"),
        ("neuron", {"ranks": 0}, "option ranks of backend neuron must be a whole number from 1"),
        ("neuron", {"dt": "fast"}, "option dt of backend neuron must be a number"),
        ("neuron", {"tau": -1}, "option tau of backend neuron"),
        ("nest", {"threads": 1.5}, "option threads of backend nest must be a whole number"),
        ("nest", {"tolerance": 2}, "option tolerance of backend nest"),
        ("nengo", {"neuron": "lif"}, "has no option 'neuron' (did you mean 'neurons'?)"),
        ("nengo", {"neurons": "lfi"}, "must be direct or lif, found 'lfi' (did you mean 'lif'?)"),
        ("nengo", {"time": 0}, "option time of backend nengo must be a number from 0.001"),
        ("nengo", {"neurons_per_dimension": 0}, "must be a whole number from 1"),
        (
            "annarchy",
            {"thread": 2},
            "backend annarchy has no option 'thread' (did you mean 'threads'",
        ),
        ("annarchy", {"folder": "x"}, "backend annarchy has no option 'folder'"),
        ("annarchy", {"threads": 0}, "option threads of backend annarchy must be a whole number"),
        ("annarchy", {"dt": 0}, "option dt of backend annarchy must be a number from 1e-06"),
        ("annarchy", {"tau": "slow"}, "option tau of backend annarchy"),
        ("annarchy", {"tolerance": 1e-20}, "option tolerance of backend annarchy"),
    ],
)
def test_options_are_checked(engine, options, message):
    with pytest.raises(SpecError) as caught:
        get_backend(engine, **options)
    assert message in str(caught.value)


def test_a_command_that_fails_is_quoted(tmp_path):
    command = [sys.executable, "-c", "raise ValueError('too hot')"]
    with pytest.raises(UnsupportedError, match="the network failed: ValueError: too hot"):
        run_command(command, tmp_path, "the network")


def test_progress_is_passed_on_and_what_is_printed_returned(capsys):
    """Nothing stays of what a library keeps in the temporary folder."""
    source = """
import pathlib, sys, tempfile
import numpy as np
print("5 % complete", "a warning", sep="\\n", file=sys.stderr)
pathlib.Path(tempfile.gettempdir(), "log").touch()
print(tempfile.gettempdir())
np.savez(sys.argv[3], y=np.load(sys.argv[1])["x"] * np.load(sys.argv[5])["w"])
"""
    x, w = {"x": np.arange(3.0)}, {"w": np.full(3, 2.0)}
    found, said = run_and_listen(source, x, w, "it", progress="% complete")
    assert found["y"].tolist() == [0, 2, 4]
    assert capsys.readouterr().err == "5 % complete\n"
    assert said and not Path(said.strip()).exists()


@pytest.mark.parametrize("engine", EMITTERS)
def test_a_missing_engine_is_one_line(engine, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    case = CASE["one_head"]
    with pytest.raises(UnsupportedError, match=rf"pip install 'cortico\[{engine}\]'"):
        get_runner(engine).run(lower(case.spec, case.weights), case.inputs)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_input_that_is_infinite_is_refused(engine):
    case = CASE["one_head"]
    x = np.full((2, 8), np.inf)
    with pytest.raises(ValueError, match="NaN or infinite"):
        engine.settle(lower(case.spec, case.weights), {"x": x})


@pytest.mark.parametrize("engine", [*EMITTERS, "brian2"])
@pytest.mark.parametrize("name", ["file", "allow_pickle"])
def test_an_output_is_not_called_as_a_parameter_of_savez(engine, name):
    """`np.savez(path, file=…)` is a TypeError, and `allow_pickle=…` is written nowhere."""
    circuit = lower(CASES[0].spec)
    (output,) = circuit.outputs
    renamed = replace(circuit, outputs=(replace(output, name=name),))
    assert get_backend(engine).unsupported(circuit) == []
    (line,) = get_backend(engine).unsupported(renamed)
    assert repr(name) in line


def test_arrays_of_any_name_are_written(tmp_path):
    arrays = {"file": np.arange(3.0), "allow_pickle": np.ones(()), "a/b c": np.zeros((2, 0))}
    save_npz(tmp_path / "arrays.npz", arrays)
    with np.load(tmp_path / "arrays.npz") as found:
        assert {name: found[name].tolist() for name in found} == {
            name: array.tolist() for name, array in arrays.items()
        }
