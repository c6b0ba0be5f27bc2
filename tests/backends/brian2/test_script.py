"""The emitted script as a file: text, names, inputs, what is refused, and what it says when it fails."""

import ast
import dataclasses
import importlib.util
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sympy

from cortico.backends import get_backend, require_support
from cortico.backends.brian2 import Options, emit_script
from cortico.ir import (
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
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.spec.weights import random_weights
from tests.backends.brian2.simulation import SYNCHRONOUS, relative_error, second_example, simulate
from tests.cases import CASES
from tests.covering import every_pair, first

CASE = {case.name: case for case in CASES}


@pytest.mark.parametrize("name", ["bert", "memory_llama"])
def test_golden_script(name, golden):
    case = CASE[name]
    golden(emit_script(lower(case.spec, case.weights), Options()), f"{name}.brian2.py.txt")


# ---- the equations say what the circuit says -------------------------------------------------------


@pytest.mark.parametrize("case", every_pair())
def test_fixed_point_of_the_equations(case):
    """Parsed back and solved for r, each group's equation is the rate of its populations."""
    circuit = lower(case.spec, case.weights)
    for text in group_equations(emit_script(circuit, Options())):
        lines = dict(
            line.strip().rsplit(" : ", 1)[0].split(" = ", 1) for line in text if " = " in line
        )
        r, tau = sympy.symbols("r tau")
        moves = lines["dr/dt"].replace("target", f"({lines.get('target')})")
        (fixed,) = sympy.solve(parsed(moves), r)
        currents = {
            name: sympy.Symbol(name, positive=True) for name in lines if name.startswith("I_")
        }
        fixed = fixed.subs({sympy.Symbol(name): symbol for name, symbol in currents.items()})
        matches = [p for p in circuit.populations if same(fixed, p, currents)]
        assert matches, text
        assert tau not in fixed.free_symbols


def group_equations(source):
    """The text of each NeuronGroup's equations, found in the script's syntax tree."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    groups = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "NeuronGroup"]
    assert groups
    return [ast.literal_eval(c.args[1]).strip().splitlines() for c in groups]


def parsed(text):
    """Brian2's right side as a SymPy expression; int(condition) is 1 where currents are not zero."""
    text = re.sub(r"int\(\w+ != 0\)", "1", re.sub(r"int\(\w+ == 0\)", "0", text))
    return sympy.sympify(
        text.replace("alive(t, i)", "1"), locals={"clip": lambda x, *_: sympy.Max(x, 0)}
    )


def same(fixed, population, currents):
    if {f"I_{c.name}" for c in population.compartments} != currents.keys():
        return False
    argument = sympy.Integer(1)
    for compartment in population.compartments:
        current = currents[f"I_{compartment.name}"]
        argument *= current if compartment.effect is Effect.MULTIPLIES else 1 / current
    functions = {"identity": lambda x: x, "exp": sympy.exp, "relu": lambda x: sympy.Max(x, 0)}
    functions |= {"tanh": sympy.tanh, "sqrt": lambda x: sympy.sqrt(sympy.Max(x, 0))}
    return sympy.simplify(fixed - functions[population.transfer](argument)) == 0


# ---- names --------------------------------------------------------------------------------------------


NAMES = [
    ["lambda", "np", "dt", "t", "N"],  # Python's keyword, the script's names, Brian2's variables
    ["volt", "exp", "xi", "i", "r"],
    ["x", "cells", "Synapses", "None", "tau"],
    ["timing", "class", "r_pre", "mV", "int"],
]


@pytest.mark.slow
@pytest.mark.parametrize("names", first(2, NAMES), ids=str)
@pytest.mark.parametrize("title", first(1, ['späte Köpfe """ \\ \n {x} %s \'π\'', "plain"]))
def test_any_name_runs(names, title):
    one, another, axis, tensor, compartment = names
    builder = CircuitBuilder(title)
    builder.axis(axis, Role.FEATURE, "n")
    source = builder.input(tensor, ("n",))
    builder.population(
        one,
        (axis,),
        Region.CORE,
        CellClass.RELAY,
        [Compartment(compartment, drive=(Weight(TensorRef(source, (axis,))),))],
    )
    builder.population(
        another,
        (axis,),
        Region.L5,
        CellClass.PT,
        [
            Compartment(compartment),
            Compartment("other", drive=(Weight(TensorRef(source, (axis,))),)),
        ],
    )
    builder.project("to", one, another, compartment)
    builder.output("y", another, (axis,))
    array = np.array([1.0, -2.0, 3.0])
    outputs, activity = simulate(
        builder.build(),
        {},
        **SYNCHRONOUS,
        monitor=[another],
        **script_arguments(builder, tensor, array),
    )
    assert np.allclose(outputs["y"], array**2, rtol=0, atol=1e-12)
    assert np.allclose(activity[another][-1], array**2, rtol=0, atol=1e-12)


def script_arguments(builder, tensor, array):
    """The input under the name that it has in the script, read off the signature."""
    source = emit_script(builder.build(), Options())
    function = next(n for n in ast.parse(source).body if getattr(n, "name", "") == "simulate")
    (name,) = [argument.arg for argument in function.args.args]
    assert name.startswith(tensor)
    return {name: array}


# ---- what is refused -----------------------------------------------------------------------------------


def test_weights_that_are_not_finite_are_refused():
    case = CASES[0]
    weights = {**case.weights, "W_Q": np.full_like(case.weights["W_Q"], np.nan)}
    circuit = lower(case.spec, case.weights)
    broken = dataclasses.replace(
        circuit,
        parameters=tuple(
            dataclasses.replace(p, values=weights[p.name]) for p in circuit.parameters
        ),
    )
    with pytest.raises(
        UnsupportedError, match="parameter 'W_Q' has numbers that are NaN or infinite"
    ):
        require_support(get_backend("brian2"), broken)
    with pytest.raises(ValueError, match="W_Q has numbers that are NaN or infinite"):
        simulate(lower(case.spec), second_example(case), weights)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"target": "cpp"}, r"option target .* numpy, cython, cpp_standalone, found 'cpp'"),
        ({"method": "exact"}, "option method"),
        ({"dt": 0}, "option dt of backend brian2 must be a positive number, found 0"),
        ({"tau": "slow"}, "option tau"),
        ({"duration": float("nan")}, "option duration"),
        ({"tolerance": None}, "option tolerance"),
        ({"metod": "euler"}, r"no option 'metod' \(did you mean 'method'\?\)"),
    ],
)
def test_wrong_options(option, message):
    with pytest.raises(SpecError, match=message):
        get_backend("brian2", **option)


def test_backends_without_options():
    with pytest.raises(SpecError, match="backend 'torch' has no options, found dt"):
        get_backend("torch", dt=1.0)


def refusals(spec, passes):
    circuit, _ = run_passes(lower(spec, random_weights(spec, 0)), parse_passes(passes))
    return get_backend("brian2").unsupported(circuit)


def test_two_axes_in_time_in_one_population_are_refused():
    reasons = refusals(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL), "serialize(axis=tokens)")
    assert "population 'superficial' has two axes in time, i and j, on one clock" in reasons
    assert len(reasons) == 4  # superficial, mask, deep, and nothing twice


def test_a_running_memory_that_forgets_is_refused():
    spec = AttentionSpec(
        model=4, heads=2, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY, mask=Mask.CAUSAL
    )
    circuit = lower(spec, random_weights(spec, 0))
    (store,) = [p for p in circuit.projections if p.name == "store"]
    forgets = dataclasses.replace(store, domain=())
    circuit = dataclasses.replace(
        circuit,
        projections=tuple(forgets if p is store else p for p in circuit.projections),
    )
    (reason,) = get_backend("brian2").unsupported(circuit)
    assert reason.startswith("projection 'store' sums j for each i (all of them)")


# ---- running --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_file_runs_by_itself(tmp_path):
    """No import of ours; a batch is simulated example by example; activity of the first is recorded."""
    case = CASE["bert"]
    compiled = compile_attention(case.spec, case.weights, backend="brian2")
    compiled.write(tmp_path / "out")
    source = (tmp_path / "out" / "attention_brian2.py").read_text()
    assert "import cortico" not in source and "from cortico" not in source
    np.savez(tmp_path / "in.npz", **case.inputs)
    command = [sys.executable, "-I", "attention_brian2.py", str(tmp_path / "in.npz"), "-o", "y.npz"]
    command += ["--monitor", "mask", "relay", "--method", "euler", "--dt", "10", "--tau", "10"]
    subprocess.run(command, cwd=tmp_path / "out", check=True, capture_output=True)
    found = np.load(tmp_path / "out" / "y.npz")["y"]
    expected = get_backend("reference").run(compiled.circuit, case.inputs)["y"]
    assert relative_error(found, expected) < 1e-12
    activity = np.load(tmp_path / "out" / "activity.npz")
    assert activity["mask"].shape[1:] == (2, 5, 5)
    assert np.allclose(activity["relay"][-1], found[0], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_backend_runs_in_its_own_process():
    case = CASE["memory"]
    backend = get_backend("brian2", method="euler", dt=5.0, tau=5.0)
    circuit = lower(case.spec)
    found = backend.run(circuit, case.inputs, case.weights)["y"]
    expected = get_backend("reference").run(circuit, case.inputs, case.weights)["y"]
    assert relative_error(found, expected) < 1e-12


@pytest.mark.slow
def test_a_step_that_is_too_long_says_so():
    case = CASE["gpt2"]
    with pytest.raises(UnsupportedError, match="is dt too long for tau"):
        get_backend("brian2", method="euler", dt=90.0).run(
            lower(case.spec, case.weights), second_example(case)
        )


@pytest.mark.slow
def test_a_duration_ends_before_it_has_settled():
    case = CASE["gpt2"]
    circuit, example = lower(case.spec, case.weights), second_example(case)
    short, _ = simulate(circuit, example, duration=40.0)
    settled, activity = simulate(circuit, example, monitor=["relay"])
    assert relative_error(short["y"], settled["y"]) > 0.01
    assert activity["t_ms"][-1] > 200


def test_unknown_population_to_monitor():
    case = CASES[0]
    with pytest.raises(
        ValueError, match="no population is called 'deeep'; there are: matrix_query"
    ):
        simulate(lower(case.spec, case.weights), second_example(case), monitor=["deeep"])


def test_without_brian2(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    case = CASES[0]
    with pytest.raises(UnsupportedError, match=r"pip install 'cortico\[brian2\]'"):
        get_backend("brian2").run(lower(case.spec, case.weights), case.inputs)


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    case = CASES[0]
    with pytest.raises(UnsupportedError, match=r"target 'cython' .* needs a C\+\+ compiler"):
        get_backend("brian2", target="cython").run(lower(case.spec, case.weights), case.inputs)
