"""One population read at several axes: relay cells of tokens, as queries over i and as keys and values over j.

What one such circuit means is written in NumPy, its neurons and synapses are listed by loops, and it is
proved equal to the circuit that attention is lowered to, which has cells of their own for queries.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_runner
from cortico.backends.reference import interpret
from cortico.ir import (
    Bound,
    CellClass,
    Circuit,
    CircuitBuilder,
    CircuitError,
    Compartment,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.verify.equations.language import Equations
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare

TOKENS, HEADS, WIDTH, MODEL = 5, 2, 2, 4

HEAD = """cortico circuit 1
name "one population of relay cells"
axis h : area 2
axis i : column n
axis j : column n
axis a : feature 2
axis c : feature 2
axis m : model 4
input x (n, 4)
parameter W_Q (2, 2, 4)
parameter W_K (2, 2, 4)
parameter W_V (2, 2, 4)
parameter W_O (2, 4, 2)
population core [i, m] thalamus.core relay
  driver multiplies x[i, m]
population superficial [h, i, j, a] cortex.L2/3 pyramidal_it WHERE
  apical multiplies
  basal multiplies
population relay [i, m] thalamus.higher_order relay
  driver multiplies
projection key core[j, m] -> superficial.apical weight W_K[h, a, m]
projection query core -> superficial.basal weight W_Q[h, a, m]
projection value core[j, m] -> deep.basal weight W_V[h, c, m]
projection output deep -> relay.driver weight W_O[h, m, c]
output y = relay[i, m]
"""
SOFTMAX = """population mask [h, i, j] cortex.L2/3 pyramidal_it exp WHERE
  basal multiplies
population pool [h, i] cortex.L5 pv
  soma multiplies
population deep [h, i, j, c] cortex.L5 pyramidal_pt WHERE
  basal multiplies
  apical multiplies
  shunt divides
projection score superficial -> mask.basal weight size(a)^-1/2
projection pool_mask mask -> pool.soma
projection gate mask -> deep.apical
projection shunt pool -> deep.shunt
"""
LINEAR = """population deep [h, i, j, c] cortex.L5 pyramidal_pt WHERE
  basal multiplies
  apical multiplies
projection gate superficial -> deep.apical
"""
SPECS = [
    AttentionSpec(model=MODEL, heads=HEADS, kernel=kernel, mask=rule)
    for kernel in (Kernel.SOFTMAX, Kernel.LINEAR)
    for rule in (Mask.NONE, Mask.CAUSAL)
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kernel}-{s.mask}")


def attention(spec: AttentionSpec) -> Circuit:
    """Self-attention whose keys and values read the cells that queries read."""
    where = "where j - i <= 0" if spec.mask is Mask.CAUSAL else ""
    rest = SOFTMAX if spec.kernel is Kernel.SOFTMAX else LINEAR
    return parse_circuit((HEAD + rest).replace("WHERE", where))


def changed(circuit: Circuit, name: str, **changes: object) -> Circuit:
    """The circuit with one projection changed."""
    parts = (replace(p, **changes) if p.name == name else p for p in circuit.projections)
    return replace(circuit, projections=tuple(parts))


def numbers(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shapes = dict.fromkeys(["W_Q", "W_K", "W_V"], (HEADS, WIDTH, MODEL)) | {
        "W_O": (HEADS, MODEL, WIDTH)
    }
    return rng.normal(size=(TOKENS, MODEL)), {n: rng.normal(size=s) for n, s in shapes.items()}


def by_hand(spec: AttentionSpec, x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    q, k, v = (np.einsum("ham,im->hia", w[name], x) for name in ("W_Q", "W_K", "W_V"))
    scores = np.einsum("hia,hja->hij", q, k)
    seen = np.tri(len(x)) if spec.mask is Mask.CAUSAL else np.ones((len(x), len(x)))
    if spec.kernel is Kernel.SOFTMAX:
        scores = np.exp(scores / np.sqrt(WIDTH)) * seen
        scores /= scores.sum(-1, keepdims=True)
    return np.einsum("hmc,hij,hjc->im", w["W_O"], scores * seen, v)


@each_spec
def test_it_is_attention(spec):
    x, weights = numbers()
    found = get_runner("reference").run(attention(spec), {"x": x}, weights)["y"]
    np.testing.assert_allclose(found, by_hand(spec, x, weights), atol=1e-12)


@each_spec
@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "onnx"])
def test_array_backends_agree(spec, name):
    x, weights = numbers(1)
    found = get_runner(name).run(attention(spec), {"x": x}, weights)["y"]
    np.testing.assert_allclose(found, by_hand(spec, x, weights), rtol=1e-5, atol=1e-5)


def verdicts(equations: Equations, circuit: Circuit) -> list[Known]:
    return [outcome.verdict for outcome in compare(equations, circuit_equations(circuit))]


@each_spec
def test_it_is_proved_to_be_attention_for_all_sizes(spec):
    for other in (reference(spec), circuit_equations(lower(spec))):
        assert verdicts(other, attention(spec)) == [Known.PROVED]


@each_spec
@pytest.mark.parametrize(
    ("name", "at"), [("key", ()), ("value", ()), ("query", ("j", "m"))], ids=str
)
def test_a_source_read_at_another_axis_is_refuted(spec, name, at):
    wrong = changed(attention(spec), name, at=at)
    assert verdicts(reference(spec), wrong) == [Known.REFUTED]


def square() -> Circuit:
    """Pairs of tokens read as they are, and with i and j exchanged, within bounds; and paths of two pairs."""
    return parse_circuit("""cortico circuit 1
name "square"
axis i : column n
axis j : column n
axis k : column n
input x (n, n)
population pairs [i, j] cortex.L2/3 pyramidal_it relu where j - i <= 1
  basal multiplies x[i, j]
population turned [j, i] cortex.L2/3 pyramidal_it
  basal multiplies 1.0
  apical multiplies
population squared [i, j] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
population paths [i, k] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection turn pairs -> turned.apical
projection straight pairs -> squared.basal
projection across turned[i, j] -> squared.apical
projection start pairs -> paths.basal weight 0.5
projection end pairs[j, k] -> paths.apical where k - j <= 0
projection sum paths[j, i] -> last.basal
output y = squared[i, j]
output z = paths[i, k]
output s = last[i]
""")


def squared_by_hand(x: np.ndarray, transfer: str = "relu") -> dict[str, np.ndarray]:
    n = len(x)
    rates = np.maximum(x, 0) if transfer == "relu" else x
    pairs = rates * (np.subtract.outer(np.arange(n), np.arange(n)) >= -1)
    ends = np.tril(pairs).sum(0)
    paths = 0.5 * pairs.sum(1)[:, None] * ends
    return {"y": pairs * pairs.T, "z": paths, "s": paths.sum(0)}


@pytest.mark.parametrize("tokens", [TOKENS, 150])  # of more, arrays of pairs are made in tiles
@pytest.mark.parametrize("transfer", ["relu", "identity"])
@pytest.mark.parametrize("name", ["reference", "numpy", "torch", "jax", "onnx"])
def test_pairs_of_tokens_can_be_read_the_other_way_round(name, transfer, tokens):
    x = np.random.default_rng(3).normal(size=(2, tokens, tokens))
    circuit = parse_circuit(str(square()).replace(" relu", f" {transfer}"))
    found = get_runner(name).run(circuit, {"x": x})
    for k, each in enumerate(x):
        for output, expected in squared_by_hand(each, transfer).items():
            np.testing.assert_allclose(found[output][k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_tiles_hold_no_pairs_that_are_read_the_other_way_round(name):
    """Rows of such pairs are columns of what is read: a tile of rows does not have them."""
    text = (
        str(square()).split("population paths")[0]
        + """population last [i] cortex.L5 pyramidal_pt
  basal multiplies
projection turn pairs -> turned.apical
projection straight pairs -> squared.basal
projection across turned[i, j] -> squared.apical
projection sum squared -> last.basal
output s = last[i]
"""
    )
    circuit = parse_circuit(text.replace("axis k : column n\n", ""))
    x = np.random.default_rng(5).normal(size=(150, 150))
    found = get_runner(name).run(circuit, {"x": x})["s"]
    np.testing.assert_allclose(found, squared_by_hand(x)["y"].sum(1), rtol=1e-4)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "onnx"])
def test_exponentials_that_others_read_are_not_shifted(name):
    """A shift of each query cancels only where cells of the same query are divided."""
    circuit = parse_circuit("""cortico circuit 1
name "turned"
axis i : column n
axis j : column n
input x (n, n)
population mask [i, j] cortex.L2/3 pyramidal_it exp
  basal multiplies x[i, j]
population pool [i] cortex.L5 pv
  soma multiplies
population deep [i, j] cortex.L5 pyramidal_pt
  apical multiplies
  shunt divides
projection pool mask -> pool.soma
projection gate mask[j, i] -> deep.apical
projection shunt pool -> deep.shunt
output y = deep[i, j]
""")
    x = np.random.default_rng(6).normal(size=(4, 4))
    found = get_runner(name).run(circuit, {"x": x})["y"]
    np.testing.assert_allclose(found, np.exp(x.T) / np.exp(x).sum(1)[:, None], rtol=1e-5)


PADDED = """cortico circuit 1
name "padded"
axis i : column n
axis j : column n
input x (n, n)
input v (n)
input keep (n) mask
population padding [i] thalamus.core relay
  driver multiplies keep[i]
population mask [i, j] cortex.L2/3 pyramidal_it exp
  basal multiplies x[i, j]
population gate [i, j] cortex.L2/3 pyramidal_it
  basal multiplies
  apical multiplies
population pool [i] cortex.L5 pv
  soma multiplies
population deep [i, j] cortex.L5 pyramidal_pt
  basal multiplies v[j]
  apical multiplies
  shunt divides
population relay [i] thalamus.higher_order relay
  driver multiplies
projection padded padding[j] -> gate.apical
projection score mask -> gate.basal
projection pool gate -> pool.soma
projection gate gate -> deep.apical
projection shunt pool -> deep.shunt
projection output deep -> relay.driver
output y = relay[i]
"""


@pytest.mark.parametrize("name", ["reference", "numpy", "torch", "jax", "onnx"])
def test_padding_is_that_of_the_tokens_that_are_read(name):
    rng = np.random.default_rng(4)
    x, v, keep = rng.normal(size=(5, 5)) * 300, rng.normal(size=5), np.array([1, 0, 1, 0, 1], bool)
    found = get_runner(name).run(parse_circuit(PADDED), {"x": x, "v": v, "keep": keep})["y"]
    weights = np.exp(x - np.where(keep, x, -np.inf).max(1, keepdims=True)) * keep
    expected = (weights / weights.sum(1, keepdims=True)) @ v
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_neurons_and_synapses_are_those_that_loops_find():
    circuits = [attention(spec).bind(n=3) for spec in SPECS] + [square().bind(n=4)]
    for circuit in circuits:
        view, counts = circuit.neurons(), circuit.counts()
        names = {view.name_of(k): k for k in range(view.size)}
        assert counts.neurons == view.size == len(names)
        for block in view.synapses():
            p = block.projection
            pairs = set(zip(block.pre.tolist(), block.post.tolist(), strict=True))
            expected = {(of(view, *pre), of(view, *post)) for pre, post in listed(circuit, p)}
            assert pairs == expected and len(block.pre) == counts.synapses_of[p.name]


def listed(circuit, p):
    """Both ends of every synapse, an index per own axis, found by trying all indices of all axes."""
    pre, post = circuit.population(p.pre), circuit.population(p.post)
    at = p.at or pre.axes
    axes = sorted({*at, *post.axes})
    for index in itertools.product(*(range(circuit.sizes()[axis]) for axis in axes)):
        here = dict(zip(axes, index, strict=True))
        there = {own: here[read] for own, read in zip(pre.axes, at, strict=True)}
        inside = [(pre.domain, there), (post.domain, here), (p.domain, here)]
        if all(bound.holds(known) for domain, known in inside for bound in domain):
            yield (p.pre, there), (p.post, {axis: here[axis] for axis in post.axes})


def of(view, population, index):
    """The id of the neuron at an index."""
    (found,) = view.select(view.circuit.population(population), index)
    return int(found)


def test_a_population_as_it_is_read():
    circuit = square()
    end = next(p for p in circuit.projections if p.name == "end")
    assert circuit.heard(end).axes == ("j", "k")
    assert [str(bound) for bound in circuit.heard(end).domain] == ["k - j <= 1"]
    assert circuit.summed_axes(end) == ("j",) and circuit.synapse_axes(end) == ("i", "k", "j")
    assert [str(bound) for bound in circuit.synapse_domain(end)] == ["k - j <= 0"]
    assert circuit.heard(replace(end, at=())) is circuit.population("pairs")


def test_the_text_names_the_axes_only_where_they_are_others():
    text = str(square())
    assert "projection end pairs[j, k] -> paths.apical weight 1.0 where k - j <= 0" in text
    assert "projection straight pairs -> squared.basal" in text
    assert parse_circuit(text) == square()
    own = text.replace("straight pairs ->", "straight pairs[i, j] ->")
    assert own != text and parse_circuit(own) == square()


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (("j",), "reads 'core[j]', expected 2 axes of the circuit, each once, for i, m"),
        (("j", "j"), "reads 'core[j, j]', expected 2 axes of the circuit, each once"),
        (("j", "q"), "reads 'core[j, q]', expected 2 axes of the circuit, each once"),
        (("j", "a"), "axis 'a' is not as 'm' is, in its size and in space or in time"),
        (("m", "i"), "axis 'm' is not as 'i' is"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused(at, words):
    broken = changed(attention(SPECS[0]), "key", at=at)
    with pytest.raises(CircuitError, match="is broken") as caught:
        parse_circuit(str(broken))
    assert words in str(caught.value)


def test_an_axis_in_time_is_not_read_as_one_in_space():
    axes = (replace(a, unfold="time") if a.name == "j" else a for a in attention(SPECS[0]).axes)
    broken = replace(attention(SPECS[0]), axes=tuple(axes))
    with pytest.raises(CircuitError, match="axis 'j' is not as 'i' is"):
        check(broken)


def test_three_axes_are_not_tied_by_reading():
    broken = changed(square(), "end", domain=(Bound("k", "i", 0),))
    with pytest.raises(CircuitError, match="bounds tie i, k, j together"):
        check(broken)


def test_a_builder_takes_a_source_at_other_axes():
    b = CircuitBuilder("copy")
    for name in "ij":
        b.axis(name, Role.COLUMN, "n")
    b.input("x", ("n",))
    driver = Compartment("driver", drive=(Weight(TensorRef("x", ("i",))),))
    b.population("core", "i", Region.CORE, CellClass.RELAY, [driver])
    b.population("sum", "j", Region.CORE, CellClass.RELAY, [Compartment("driver")])
    b.project("copy", TensorRef("core", ("j",)), "sum", "driver")
    b.project("total", "core", "sum", "driver")
    b.output("y", "sum", "j")
    x = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(interpret(b.build(), {"x": x})["sum"], x + 7)
