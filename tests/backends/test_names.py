"""A circuit's names mean nothing else in emitted Python: whatever they are, it is the same program.

The oracle reads syntax trees only: the names of two programs, side by side, must be one-to-one.
"""

import ast
import builtins
import keyword
import random

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.arrays.backend import argument_names
from cortico.backends.names import MarkedNames, Names, settled
from cortico.backends.reference import ReferenceBackend
from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.ir.rewrite import rename
from cortico.lowering import lower
from tests.cases import CASES
from tests.covering import first
from tests.renaming import renamed

CASE = {case.name: case for case in CASES}
EMITTERS = ("numpy", "torch", "jax", "brian2", "neuron", "nest", "annarchy", "nengo")


def source(backend, circuit, **options):
    files = get_backend(backend, **options).emit(circuit)
    return next(text for name, text in files.items() if name.endswith(".py"))


def names(tree):
    """Everything that is bound or read, in the order of the program; attributes apart."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def words(text):
    """Names that trouble a program: its own, and Python's."""
    return sorted({*names(ast.parse(text)), *dir(builtins), *keyword.kwlist, *keyword.softkwlist})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["bert", "linear-mask_causal-padded", "llama"])
@pytest.mark.parametrize("backend", EMITTERS)
def test_any_names_give_the_same_program(backend, name, seed):
    case, rng = CASE[name], random.Random(seed)
    circuit = lower(case.spec, case.weights)
    plain = source(backend, circuit)
    # the order of axes, and which cells are of a kind, depend on their names
    other = renamed(rng, circuit, words(plain), 0.8, but=("axes", "compartments"))
    trees = (ast.parse(text).body for text in (plain, source(backend, other)))
    for one, two in zip(*trees, strict=True):
        pairs = set(zip(names(one), names(two), strict=True))
        assert len({a for a, _ in pairs}) == len(pairs), f"one name became two: {sorted(pairs)}"
        assert len({b for _, b in pairs}) == len(pairs), f"two names became one: {sorted(pairs)}"


#: Of which each broke a backend.
BROKEN = ("project", "set", "slice", "float", "self", "__init__", "__debug__", "_private", "total")


@pytest.mark.slow
@pytest.mark.parametrize("name", first(4, BROKEN))
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_circuit_of_one_troublesome_name(backend, name):
    case = CASE["linear-mask_causal-padded"]
    plain = lower(case.spec, case.weights)
    for kind in range(2):
        picked = random.Random(kind)
        circuit = renamed(picked, plain, [name], 0.3)
        given = dict(zip((t.name for t in circuit.inputs), case.inputs.values(), strict=True))
        found = get_backend(backend).run(circuit, given)
        expected = ReferenceBackend().run(circuit, given)
        for output, array in expected.items():
            np.testing.assert_allclose(found[output], array, rtol=1e-9, atol=1e-12)


def test_marks_are_settled_to_names_that_mean_nothing_else():
    marked = MarkedNames()
    first, second, third, fourth = map(marked.fresh, ("len", "x", "x", "__class"))
    text = f"""
def helper(x):
    return x


def attention({first}, {second}):
    {third} = len({first})
    {fourth} = {second}
    return {third} + {fourth}
"""
    assert settled(text).endswith(
        """
def attention(len_2, x):
    x_2 = len(len_2)
    class_2 = x
    return x_2 + class_2
"""
    )


def test_no_name_begins_with_an_underscore():
    assert [Names().fresh(n) for n in ("_x", "__init__", "_", "_1")] == [
        "x",
        "init__",
        "name",
        "name_1",
    ]


def test_arguments_are_read_off_the_text():
    b = CircuitBuilder("arguments")
    axis = b.axis("i", Role.COLUMN, "n")
    for name in ("self", "weights", "jnp"):
        b.input(name, ("n",))
    drive = tuple(Weight(TensorRef(name, (axis,))) for name in ("self", "weights", "jnp"))
    b.population("p", (axis,), Region.CORE, CellClass.RELAY, [Compartment("c", drive=drive)])
    b.output("y", "p", (axis,))
    circuit = b.build()
    found = {n: argument_names(circuit, source(n, circuit)) for n in ("numpy", "torch", "jax")}
    assert found["numpy"] == {"self": "self", "weights": "weights_2", "jnp": "jnp"}
    assert found["jax"] == {"self": "self", "weights": "weights_2", "jnp": "jnp_2"}
    assert found["torch"]["self"] == "self_2"


@pytest.mark.parametrize("backend", EMITTERS[:3])
def test_a_tensor_called_super(backend):
    """Python reads `__class__` in a function where that name is, which nothing defines there."""
    case = CASE["llama"]
    circuit = rename(lower(case.spec, case.weights), tensors={"W_Q": "super"})
    found = get_backend(backend).run(circuit, case.inputs)["y"]
    expected = ReferenceBackend().run(circuit, case.inputs)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
