"""Circuits that no spec is lowered to, on every backend that computes at once; the interpreter says what they mean.

Each was compiled wrongly once, or to code that stopped.
"""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.numpy import compile_source, emit_source
from cortico.backends.reference import ReferenceBackend
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Gain,
    InputKind,
    Projection,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.invariants import check
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Bias, Kernel, Mask
from cortico.spec.weights import random_weights

TOKENS = 6
BACKENDS = ("numpy", "torch", "jax", "onnx")
SOFTMAX = AttentionSpec(model=4, heads=2)


def lowered(spec=SOFTMAX, passes=""):
    circuit = lower(spec, random_weights(spec, 0))
    return run_passes(circuit, parse_passes(passes))[0] if passes else circuit


def with_population(circuit, name, change):
    found = tuple(change(p) if p.name == name else p for p in circuit.populations)
    return replace(circuit, populations=found)


def with_projection(circuit, name, **changes):
    assert name in {p.name for p in circuit.projections}
    found = tuple(replace(p, **changes) if p.name == name else p for p in circuit.projections)
    return replace(circuit, projections=found)


def with_compartment(circuit, population, name, **changes):
    def changed(p):
        parts = (replace(c, **changes) if c.name == name else c for c in p.compartments)
        return replace(p, compartments=tuple(parts))

    return with_population(circuit, population, changed)


def agree(circuit, backend, shape=(2, TOKENS), tokens=TOKENS, **more):
    """Whether a backend gives what the circuit means, to rounding."""
    check(circuit)
    rng = np.random.default_rng(1)
    inputs = {}
    for tensor in circuit.inputs:
        sides = [tokens if isinstance(side, str) else side for side in tensor.shape]
        numbers = rng.uniform(0.2, 1.5, (*shape[:-1], *sides))
        inputs[tensor.name] = numbers > 0.6 if tensor.kind is InputKind.MASK else numbers
    inputs |= more
    expected = ReferenceBackend().run(circuit, inputs)
    found = get_backend(backend).run(circuit, inputs)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-11)


# ---- attention but for one thing ---------------------------------------------------------------------


def apical_divides():
    return with_compartment(lowered(), "deep", "apical", effect=Effect.DIVIDES)


def shunt_multiplies_and_gate_divides():
    circuit = with_compartment(apical_divides(), "deep", "shunt", effect=Effect.MULTIPLIES)
    return with_population(circuit, "deep", lambda p: replace(p, axes=p.axes[::-1]))


def some_synapses_of_the_shunt():
    return with_projection(lowered(), "shunt", domain=(Bound("h", "c", 0),))


def some_synapses_of_the_key():
    return with_projection(lowered(), "key", domain=(Bound("a", "m", 0),))


def a_key_for_earlier_queries():
    return with_projection(lowered(), "key", domain=(Bound("i", "j", 0),))


def a_query_for_later_keys():
    """A score of zero is not one of minus infinity: such columns count."""
    return with_projection(lowered(), "query", domain=(Bound("i", "j", 0),))


def two_windows():
    linear = AttentionSpec(model=8, heads=2, kernel=Kernel.LINEAR, mask=Mask.WINDOW, window=9)
    spec = replace(linear, bias=Bias(True, True, True, True))
    circuit = lowered(spec, "default")
    return with_projection(circuit, "gate_relay", domain=(Bound("i", "j", 2),))


def two_causal_bounds():
    circuit = lowered(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL))
    return with_projection(circuit, "score", domain=(Bound("j", "i", -1),))


def axes_in_another_order():
    circuit = lowered(AttentionSpec(model=4, heads=2, mask=Mask.WINDOW, window=3))
    for name in ("superficial", "mask", "deep"):
        circuit = with_population(circuit, name, lambda p: replace(p, axes=turned(p.axes)))
    return circuit


def turned(axes):
    """[h, j, i, …] for [h, i, j, …]."""
    first, query, key, *rest = axes
    return (first, key, query, *rest)


def declared_backwards():
    circuit = lowered(replace(SOFTMAX, key_padding=True, bias=Bias(True, True, True, True)))
    fields = ("axes", "inputs", "parameters", "populations", "projections")
    return replace(circuit, **{field: getattr(circuit, field)[::-1] for field in fields})


def a_constant_bias_of_scores():
    return with_compartment(lowered(), "mask", "basal", drive=(Weight(),))


def padding_of_queries():
    """The 0/1 input at queries as well as at keys: two gates of one name."""
    circuit = lowered(replace(SOFTMAX, key_padding=True))
    keep = Compartment("keep", drive=(Weight(TensorRef("keep", ("i",))),))
    return with_population(
        circuit, "deep", lambda p: replace(p, compartments=(*p.compartments, keep))
    )


def a_window_that_is_empty():
    circuit = lowered(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL))
    return with_projection(circuit, "gate", domain=(Bound("i", "j", -1),))


def a_projection_twice():
    circuit = lowered()
    gate = next(p for p in circuit.projections if p.name == "gate")
    return replace(circuit, projections=(*circuit.projections, replace(gate, name="again")))


def a_weight_on_the_gate():
    circuit = lowered()
    slopes = random_weights(SOFTMAX, 3)["W_K"][:, :, 0]
    tensor = replace(circuit.parameters[0], name="slopes", shape=slopes.shape, values=slopes)
    circuit = replace(circuit, parameters=(*circuit.parameters, tensor))
    return with_projection(circuit, "gate", weight=Weight(TensorRef("slopes", ("h", "c"))))


def keys_drive_the_shunt():
    circuit = lowered()
    other = Projection("more", "mask", "deep", "shunt")
    return replace(circuit, projections=(*circuit.projections, other))


def a_bound_on_the_pool():
    """A sum over the past that divides is a sum, also where its bound is that of its cells."""
    circuit = lowered(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL))
    return with_projection(circuit, "pool_mask", domain=(Bound("j", "i", 0),))


VARIANTS = (
    a_bound_on_the_pool,
    apical_divides,
    shunt_multiplies_and_gate_divides,
    some_synapses_of_the_shunt,
    some_synapses_of_the_key,
    a_key_for_earlier_queries,
    a_query_for_later_keys,
    two_windows,
    two_causal_bounds,
    axes_in_another_order,
    declared_backwards,
    a_constant_bias_of_scores,
    padding_of_queries,
    a_window_that_is_empty,
    a_projection_twice,
    a_weight_on_the_gate,
    keys_drive_the_shunt,
)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_almost_attention(backend, variant):
    agree(variant(), backend)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_almost_attention_in_the_smallest_tiles(variant, monkeypatch):
    usual = compile_source

    def small(source, filename, entry):
        attention = usual(source)
        attention.__globals__.update(TILE=(2, 2), TOGETHER=1, SMALL=0, CHUNK=2)
        return attention

    monkeypatch.setattr("cortico.backends.arrays.backend.compiled", small)
    agree(variant(), "numpy")


# ---- small ones ----------------------------------------------------------------------------------------


def past_of_another_length():
    """Causal between five keys and n queries: a sum over the past has as many steps as there are keys."""
    b = CircuitBuilder("two lengths")
    b.axis("i", Role.COLUMN, "n")
    b.axis("j", Role.COLUMN, 5)
    b.input("x", (5,))
    b.input("z", ("n",))
    x, z = (Weight(TensorRef(name, (axis,))) for name, axis in (("x", "j"), ("z", "i")))
    cell = (Region.L5, CellClass.PT)
    b.population("key", ("j",), *cell, [Compartment("c", drive=(x,))])
    b.population("sum", ("i",), *cell, [Compartment("c"), Compartment("own", drive=(z,))])
    b.project("past", "key", "sum", "c", domain=(Bound("j", "i", 0),))
    b.output("y", "sum", ("i",))
    return b.build()


def an_output_that_hears_no_input():
    b = CircuitBuilder("constant")
    b.axis("i", Role.COLUMN, 3)
    b.input("x", (3,))
    b.population("p", ("i",), Region.L5, CellClass.PT, [Compartment("c", drive=(Weight(),))], "exp")
    b.output("y", "p", ("i",))
    return b.build()


@pytest.mark.parametrize("circuit", [past_of_another_length(), an_output_that_hears_no_input()])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tokens", [3, 5, 7])
def test_small_circuits(backend, circuit, tokens):
    agree(circuit, backend, tokens=tokens)


def test_a_divisor_with_axes_of_its_own_does_not_lose_them():
    """Σ_j pool[r] v[j] / mask[r, j]: dividing brings r before j is summed."""
    b = CircuitBuilder("divisor")
    for name, extent in (("r", 2), ("j", 3)):
        b.axis(name, Role.FEATURE, extent)
    b.input("v", (3,))
    b.input("mask", (2, 3))
    b.input("pool", (2,))
    ref = {n: Weight(TensorRef(n, a)) for n, a in (("v", "j"), ("mask", "rj"), ("pool", "r"))}
    ref = {
        n: replace(w, tensor=replace(w.tensor, axes=tuple(w.tensor.axes))) for n, w in ref.items()
    }
    parts = [
        Compartment("v", drive=(ref["v"],)),
        Compartment("mask", Effect.DIVIDES, (ref["mask"],)),
        Compartment("pool", drive=(ref["pool"],)),
    ]
    b.population("deep", ("r", "j"), Region.L5, CellClass.PT, parts)
    b.population("sum", (), Region.L5, CellClass.PT, [Compartment("c")])
    b.project("all", "deep", "sum", "c")
    b.output("y", "sum", ())
    v, mask, pool = np.arange(1.0, 4), np.arange(1.0, 7).reshape(2, 3), np.array([2.0, 5.0])
    found = compile_source(emit_source(b.build()))(v, mask, pool)
    np.testing.assert_allclose(found, (pool[:, None] * v / mask).sum())


def test_a_product_of_many_factors_is_planned_at_once():
    """All orders of twelve factors would take years."""
    b = CircuitBuilder("many")
    for name in "ij":
        b.axis(name, Role.FEATURE, 2)
    names = [b.input(f"x{k}", (2,)) for k in range(12)]
    parts = [
        Compartment(f"c{k}", drive=(Weight(TensorRef(name, ("ij"[k % 2],))),))
        for k, name in enumerate(names)
    ]
    b.population("all", ("i", "j"), Region.L5, CellClass.PT, parts)
    b.population("sum", ("i",), Region.L5, CellClass.PT, [Compartment("c")])
    b.project("over", "all", "sum", "c")
    b.output("y", "sum", ("i",))
    agree(b.build(), "numpy")


def counted(effect, transfer="identity"):
    """Cells that count: what is summed, added and scaled are bounds and nothing else."""
    b = CircuitBuilder("bounds")
    for name in "ijk":
        b.axis(name, Role.COLUMN, 4)
    b.input("x", (4,))
    cell, one = (Region.L5, CellClass.PT), Compartment("c", drive=(Weight(),))
    past, near = (Bound("j", "i", 0),), (Bound("i", "j", 1), Bound("j", "i", 1))
    b.population("past", ("i", "j"), *cell, [one], domain=past)
    b.population("near", ("i", "j"), *cell, [one], domain=near)
    b.population("later", ("j", "k"), *cell, [one], domain=(Bound("j", "k", 0),))
    parts = [Compartment("c"), Compartment("d", effect), Compartment("x", drive=(Weight(),))]
    b.population("both", ("i", "j"), *cell, parts, transfer)
    b.population("pairs", ("i", "j", "k"), *cell, [Compartment("c"), Compartment("d")])
    b.population("sum", ("i", "k"), *cell, [Compartment("c"), Compartment("x")])
    b.project("one", "past", "both", "c")
    b.project("two", "near", "both", "c")
    b.project("three", "near", "both", "d", Weight(None, Gain(2.0)))
    b.project("four", "past", "pairs", "c")
    b.project("five", "later", "pairs", "d")
    b.project("six", "pairs", "sum", "c")
    b.project("seven", "past", "sum", "x", domain=())
    b.output("y", "both", ("j", "i"))
    b.output("z", "sum", ("k", "i"))
    return b.build()


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("transfer", ["identity", "exp"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_bounds_are_counted_as_numbers(backend, effect, transfer):
    agree(counted(effect, transfer), backend)
