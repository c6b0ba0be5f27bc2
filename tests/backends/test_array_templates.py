"""Helpers of emitted NumPy, PyTorch and JAX: each is in use, and a file has those that it uses."""

import ast

import numpy as np
import pytest
import torch

from cortico.backends import get_backend
from cortico.backends.arrays.backend import compiled
from cortico.backends.jax.emitter import emit_function
from cortico.backends.linking import link
from cortico.backends.numpy.emitter import emit_source
from cortico.backends.numpy.network import emit_network
from cortico.backends.numpy.running import script_for
from cortico.backends.templates import template
from cortico.backends.torch.emitter import emit_module
from cortico.backends.torch.recalling import emit_recalling_module
from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.learning.emission import training_circuit, training_source
from cortico.lowering import lower
from tests.backends.networks import models
from tests.cases import CASES
from tests.tokens.circuits import embedding

ARRAYS = "cortico.backends.arrays.template"
NUMPY = "cortico.backends.numpy.template"
CASE = {case.name: case for case in CASES}


def defined(text):
    """Names of functions and values on the top level of a program."""
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def numpy_files(circuit):
    yield emit_source(circuit)
    yield script_for(emit_source(circuit, on_ranks=True))


WRITERS = {
    "numpy": (
        numpy_files,
        [*(f"{NUMPY}.{n}" for n in ("whole", "tiles", "threads", "ranks", "on_ranks"))],
    ),
    "torch": (lambda circuit: [emit_module(circuit)], ["cortico.backends.torch.template", ARRAYS]),
    "jax": (lambda circuit: [emit_function(circuit)], ["cortico.backends.jax.template"]),
}


@pytest.mark.full
@pytest.mark.parametrize("backend", WRITERS)
def test_nothing_in_templates_is_without_use(backend):
    write, modules = WRITERS[backend]
    unused = {name for module in modules for name in template(module).definitions}
    gradients = training_circuit(CASE["softmax-mask_none"].spec)
    for circuit in (gradients, embedding(), *(lower(case.spec, case.weights) for case in CASES)):
        for text in write(circuit):
            unused -= {*defined(text)}
    if backend == "numpy":
        for name in ("llama", "linear"):  # they keep keys and values, and a memory
            unused -= {*defined(emit_network(models.case(name).network))}
    if backend == "torch":
        unused -= {*defined(emit_recalling_module(lower(CASE["llama"].spec)))}
        unused -= {*defined(emit_recalling_module(lower(CASE["bert"].spec)))}
    assert not unused


def test_training_adds_its_template():
    text = training_source(training_circuit(CASE["bert"].spec))
    names = [*defined(text)]
    assert len(names) == len({*names})
    assert {*template("cortico.learning.template").definitions} <= {*names}


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_file_defines_nothing_that_it_does_not_use(backend):
    """But for what it offers."""
    offered = {"attention", "Attention", "step", "shard", "load_weights", "main"}
    for name in ("bert", "memory_llama", "sink_window_grouped", "linear-mask_none"):
        for text in WRITERS[backend][0](lower(CASE[name].spec, CASE[name].weights)):
            tree = ast.parse(text)
            read = {
                n.id
                for n in ast.walk(tree)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
            }
            assert {*defined(text)} - read <= offered
            imported = [
                a.asname or a.name
                for n in tree.body
                if isinstance(n, ast.Import | ast.ImportFrom)
                for a in n.names
            ]
            assert {*imported} <= read


def called(backend, circuit, weights, x, keep):
    """What the emitted file itself gives, as NumPy's array."""
    text = next(iter(get_backend(backend).emit(circuit).values()))
    if backend == "numpy":
        return compiled(text, "attention.py", "attention")(x, keep=keep, weights=weights)
    if backend == "jax":
        return np.asarray(compiled(text, "attention_jax.py", "attention")(weights, x, keep=keep))
    module = compiled(text, "attention_torch.py", "Attention")(weights, dtype=torch.float64)
    return module(torch.tensor(x), keep=torch.tensor(keep)).detach().numpy()


@pytest.mark.parametrize("name", ["bert", "linear-mask_causal-padded"])
@pytest.mark.parametrize("backend", WRITERS)
def test_inputs_are_what_they_should_be(backend, name):
    """0/1 inputs hold zeros and ones of any type; shapes end in the right sides, none of them empty."""
    circuit = lower(CASE[name].spec, CASE[name].weights)
    weights = {p.name: p.values for p in circuit.parameters}
    x, keep = np.random.default_rng(0).standard_normal((3, 8)), np.array([1.0, 0, 1])
    found, exists = (called(backend, circuit, weights, x, gate) for gate in (keep, keep != 0))
    np.testing.assert_array_equal(found, exists)
    for other in (0.5, -1.0, 2.0, np.nan):
        with pytest.raises(ValueError, match=rf"keep must hold 0 or 1, found {other}$"):
            called(backend, circuit, weights, x, np.array([1.0, other, 0]))
    for shape, expected in (
        ((3, 9), r"x has shape \(3, 9\), expected \(..., n, 8\)"),
        ((8,), r"x has shape \(8,\), expected"),
        ((0, 3, 8), r"x has shape \(0, 3, 8\), expected .*, none empty"),
        ((0, 8), r"x has shape \(0, 8\), expected .*, none empty"),
        ((2, 8), r"keep has shape \(3,\), expected \(..., 2\)"),
    ):
        with pytest.raises(ValueError, match=expected):
            called(backend, circuit, weights, np.ones(shape), keep)


def weightless():
    """y = tanh(x) over tokens."""
    b = CircuitBuilder("weightless")
    i = b.axis("i", Role.COLUMN, "n")
    b.input("x", ("n",))
    drive = Compartment("driver", drive=(Weight(TensorRef("x", (i,))),))
    b.population("p", (i,), Region.CORE, CellClass.RELAY, [drive], "tanh")
    b.output("y", "p", (i,))
    return b.build()


def test_a_circuit_without_weights_reads_no_file():
    circuit, x = weightless(), np.array([0.5, -2.0])
    for backend, (write, _) in WRITERS.items():
        for text in write(circuit):
            assert "load_weights" not in text
        found = get_backend(backend).run(circuit, {"x": x})["y"]
        np.testing.assert_allclose(found, np.tanh(x), rtol=1e-14)
    module = compiled(emit_module(circuit), "attention_torch.py", "Attention")()
    assert not module.weights()


def test_what_a_file_offers_is_taken_though_nothing_reads_it():
    own = '"""Script."""\n\n\ndef main(array):\n    return merge_rows(array, 2)\n'
    assert [*defined(link(own, ARRAYS))] == ["main", "merge_rows"]
    assert [*defined(link(own, ARRAYS, offers=["split_heads"]))] == [
        "main",
        "merge_rows",
        "split_heads",
    ]
    with pytest.raises(LookupError, match="the script reads 'split_feet', which nothing defines"):
        link(own, ARRAYS, offers=["split_feet"])
