"""NIR graphs: what they compute, read back and evaluated by hand; what is refused; options."""

import dataclasses
import importlib.util

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico import AttentionSpec, SpecError, UnsupportedError, export_circuit, freeze, get_backend
from cortico.backends import get_runner, require_support
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.inputs import as_rates
from cortico.lowering import lower
from cortico.spec import Kernel, Microcircuit, Rotary
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.conformance.test_backends import relative_error
from tests.strategies import circuits, real_numbers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nir") is None, reason="nir is not installed"
)

CASE = {case.name: case for case in CASES}
REFERENCE = get_runner("reference")

SPEC = AttentionSpec(model=6, heads=2, key_features=3, kernel=Kernel.LINEAR, cross=True, context=5)


def written(circuit, folder, **options):
    """The graph that is written, as `nir.read` reads it."""
    import nir

    backend = get_backend("nir", **{"dtype": "float64", **options})
    require_support(backend, circuit)
    assert backend.write(circuit, folder, lambda stage: None) == ("attention.nir",)
    return nir.read(folder / "attention.nir")


def at_rest(graph, **inputs):
    """The outputs of a graph of Input, Affine, LI and Output nodes for one token, by their equations."""
    import nir

    def value(name):
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            return inputs[name].ravel()
        total = sum(value(pre) for pre, post in graph.edges if post == name)
        if isinstance(node, nir.Affine):
            return node.weight @ total + node.bias
        if isinstance(node, nir.LI):
            return node.v_leak + node.r * total
        assert isinstance(node, nir.Output)
        return total

    return {n: value(n) for n, node in graph.nodes.items() if isinstance(node, nir.Output)}


def frozen_case(name, context=7):
    """A case with keys and values of a fixed text, and its query tokens."""
    case = CASE[name]
    circuit = lower(case.spec, case.weights)
    rng = np.random.default_rng(5)
    held = (
        {"context": rng.standard_normal((context, case.spec.d_context))}
        if case.spec.cross
        else {"x[j, m]": rng.standard_normal((context, 8))}
    )
    if case.spec.key_padding:
        held["keep" if case.spec.cross else "keep[j]"] = np.arange(context) != 2
    return freeze(circuit, held), case.inputs["x"][0]


ALIKE = [c.name for c in CASES if c.name.startswith("linear-mask_none")]
ALIKE += ["cross_linear", "scaled_linear", "matrix_values", "memory"]
POSITIONS = ["linear-mask_causal-padded", "linear-mask_window-grouped", "alibi_linear_padded"]
POSITIONS += ["rotary_linear_causal"]


@pytest.mark.parametrize("cells", ["li", "none"])
@pytest.mark.parametrize("name", ALIKE)
def test_tokens_treated_alike_come_one_by_one(name, cells, tmp_path):
    circuit, x = frozen_case(name)
    graph = written(circuit, tmp_path, cells=cells)
    assert graph.nodes["x"].input_type["input"].tolist() == [8]
    expected = REFERENCE.run(circuit, {"x": x})["y"]
    found = np.stack([at_rest(graph, x=token)["y"] for token in x])
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("name", POSITIONS)
def test_tokens_told_apart_by_position_come_at_once(name, tmp_path):
    circuit, x = frozen_case(name)
    assert "axis 'i' has the size n, a symbol" in str(get_backend("nir").unsupported(circuit))
    bound = circuit.bind(n=len(x))
    found = at_rest(written(bound, tmp_path), x=x)["y"]
    expected = REFERENCE.run(bound, {"x": x})["y"]
    assert relative_error(found.reshape(expected.shape), expected) < 1e-12


def with_one_stream(circuit, inputs, weights, kept):
    """A circuit without transfer functions and tokens, all but one of its inputs held."""
    populations = (dataclasses.replace(p, transfer="identity") for p in circuit.populations)
    axes = (dataclasses.replace(a, role=Role.FEATURE) for a in circuit.axes)
    parameters = (
        dataclasses.replace(p, values=weights[p.name]) if p.name in weights else p
        for p in circuit.parameters
    )
    circuit = dataclasses.replace(
        circuit, populations=tuple(populations), axes=tuple(axes), parameters=tuple(parameters)
    )
    held = {n: 1.0 * a if a.dtype == bool else a for n, a in inputs.items() if n != kept}
    return freeze(circuit, held)


@pytest.mark.full
@settings(
    max_examples=12,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data(), circuit=circuits(symbolic=False, time=False), seed=st.integers(0, 9))
def test_any_circuit_that_is_expressed(data, circuit, seed, tmp_path_factory):
    """Domains, constant cells, several readings, orders of axes."""
    inputs, weights, _ = real_numbers(circuit, seed, 1)
    assume(inputs)
    kept = data.draw(st.sampled_from(sorted(inputs)))
    circuit = with_one_stream(circuit, inputs, weights, kept)
    assume(get_backend("nir").unsupported(circuit) == [])
    cells = data.draw(st.sampled_from(["li", "none"]))
    graph = written(circuit, tmp_path_factory.mktemp("nir"), cells=cells)
    rates = as_rates(circuit, {kept: inputs[kept]})
    found = at_rest(graph, **{kept: rates[kept].astype(float)})["y"]
    expected = REFERENCE.run(circuit, {kept: inputs[kept]})["y"].ravel()
    largest = max(float(np.abs(expected).max(initial=1.0)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * largest)


def test_nodes_are_the_circuit_s(tmp_path):
    """A leaky integrator per population with its own time constant; an Affine node per projection."""
    import nir

    circuit, _ = frozen_case("cross_linear")
    graph = written(circuit, tmp_path)
    cells = {n: node for n, node in graph.nodes.items() if isinstance(node, nir.LI)}
    assert cells.keys() == {p.name for p in circuit.populations}
    assert {n: float(node.tau[0]) for n, node in cells.items()} == {
        "matrix_query": 0.02, "superficial": 0.012, "deep": 0.012, "relay": 0.02
    }  # fmt: skip
    affine = [n for n, node in graph.nodes.items() if type(node) is nir.Affine]
    assert sorted(affine) == ["gate", "output", "query"]
    assert cells["superficial"].tau.size == circuit.bind(n=1).counts().neurons_of["superficial"]


def test_leaky_integrators_come_to_rest(tmp_path):
    """Integrated in small steps for a while with the token held, as a simulator does."""
    import nir

    circuit, x = frozen_case("cross_linear")
    graph = written(circuit, tmp_path)
    state = {
        n: np.zeros(node.tau.shape) for n, node in graph.nodes.items() if isinstance(node, nir.LI)
    }

    def current(name):
        total = 0
        for pre in (pre for pre, post in graph.edges if post == name):
            node = graph.nodes[pre]
            if isinstance(node, nir.Affine):
                total = total + node.weight @ current(pre) + node.bias
            else:
                total = total + (x[0] if isinstance(node, nir.Input) else state[pre])
        return total

    for _ in range(1400):
        slopes = {n: (current(n) - v) / graph.nodes[n].tau for n, v in state.items()}
        state = {n: v + 5e-4 * slopes[n] for n, v in state.items()}
    assert relative_error(state["relay"], REFERENCE.run(circuit, {"x": x[:1]})["y"][0]) < 1e-9


def test_float32_by_default(tmp_path):
    circuit, _ = frozen_case("cross_linear")
    graph = written(circuit, tmp_path, dtype="float32")
    assert {node.weight.dtype for node in graph.nodes.values() if hasattr(node, "weight")} == {
        np.dtype("float32")
    }


def test_the_graph_lies_beside_the_circuit(tmp_path):
    circuit, _ = frozen_case("cross_linear")
    assert "attention.nir" in export_circuit(circuit, "nir", tmp_path)


# ---- what is refused -------------------------------------------------------------------------------


def test_everything_is_refused_at_once():
    circuit = lower(CASE["cross"].spec)
    assert get_backend("nir").unsupported(circuit)[:6] == [
        "population 'superficial' multiplies streams: context[j, l] by x[i, m]; freeze context[j, l]",
        "population 'mask' has the transfer function exp of a stream: context[j, l] and x[i, m]",
        "population 'deep' multiplies streams: context[j, l] by context[j, l] and x[i, m]; "
        "freeze context[j, l]",
        "population 'deep' divides by a stream: context[j, l] and x[i, m]",
        "parameter 'W_Q' has no numbers (compile with --weights)",
        "parameter 'W_K' has no numbers (compile with --weights)",
    ]


def test_one_line_for_each_product_where_all_else_is_well():
    lines = get_backend("nir").unsupported(lower(SPEC, random_weights(SPEC, 0)))
    assert [line.partition(" multiplies")[0] for line in lines] == [
        "population 'superficial'",
        "population 'deep'",
    ]


def test_advice_names_the_reading():
    (line,) = (
        t
        for t in get_backend("nir").unsupported(lower(CASE["matrix_values"].spec))
        if "freeze" in t and "superficial" in t
    )
    assert line.endswith("multiplies streams: x[j, m] by x[i, m]; freeze x[j, m]")


def test_softmax_stays_refused_when_frozen(tmp_path):
    circuit, _ = frozen_case("cross")
    assert get_backend("nir").unsupported(circuit) == [
        "population 'mask' has the transfer function exp of a stream: x[i, m]",
        "population 'deep' divides by a stream: x[i, m]",
    ]
    with pytest.raises(UnsupportedError, match="transfer function exp of a stream"):
        export_circuit(circuit, "nir", tmp_path)


def test_a_memory_that_is_written_while_it_is_read_is_in_time():
    lines = get_backend("nir").unsupported(
        lower(CASE["memory_causal"].spec, CASE["memory_causal"].weights)
    )
    assert any("axis 'j' is in time, and" in line for line in lines)


def test_matrices_too_large():
    circuit, _ = frozen_case("cross_linear")
    assert get_backend("nir", limit=1000).unsupported(circuit) == [
        "its matrices would have 4,032 numbers, more than the option limit, 1,000"
    ]


def test_no_input_is_left():
    circuit, x = frozen_case("cross_linear")
    lines = get_backend("nir").unsupported(freeze(circuit, {"x": x}))
    assert "output 'y' depends on no input" in lines


def test_constant_factors_and_divisors(tmp_path):
    """x / 0 is 0, for constants too: cells x · p / d."""
    builder = CircuitBuilder("by hand")
    builder.axis("a", Role.FEATURE, 3)
    values = {"p": [2.0, 3.0, 5.0], "d": [4.0, 0.0, -1.0], "b": [1.0, 1.0, 1.0]}
    parts = []
    for name, array in values.items():
        builder.parameter(name, (3,), np.array(array))
    builder.input("x", (3,))
    for name, effect in (("x", Effect.MULTIPLIES), ("p", Effect.MULTIPLIES), ("d", Effect.DIVIDES)):
        drive = [Weight(TensorRef(n, ("a",))) for n in ([name, "b"] if name == "x" else [name])]
        parts.append(Compartment(f"c_{name}", effect, tuple(drive)))
    builder.population("cell", ("a",), Region.L5, CellClass.PT, parts)
    builder.output("y", "cell", ("a",))
    graph = written(builder.build(), tmp_path)
    assert at_rest(graph, x=np.array([1.0, 7.0, 3.0]))["y"].tolist() == [1.0, 0.0, -20.0]


def cells(drives, projections, extent=3):
    """Populations by hand: name to axes and drives; projections by (pre, post) pairs; the last is y."""
    builder = CircuitBuilder("by hand")
    builder.axis("i", Role.COLUMN, extent)
    builder.axis("j", Role.COLUMN, extent)
    builder.input("x", (extent,))
    home = (Region.L5, CellClass.PT)
    for name, (axes, read) in drives.items():
        drive = tuple(Weight(TensorRef("x", (a,)) if a in "ij" else None) for a in read)
        builder.population(name, tuple(axes), *home, [Compartment("a", drive=drive)])
    for number, (pre, post) in enumerate(projections):
        builder.project(f"p{number}", pre, post, "a")
    builder.output("y", name, tuple(axes))
    return builder.build()


@pytest.mark.parametrize("kind", ["li", "none"])
@pytest.mark.parametrize(
    ("circuit", "expected"),
    [
        # the same cells twice; an edge of a graph stands once
        (cells({"p": ("i", "i"), "y": ("i", "")}, [("p", "y"), ("p", "y")], 1), [2.0]),
        # constant cells, one for each token, which are summed over all
        (
            cells({"p": ("i", "1"), "s": ("", ""), "y": ("i", "i")}, [("p", "s"), ("s", "y")]),
            [4, 8, -2],
        ),
        # each pair of tokens
        (cells({"y": ("ij", "ij")}, []), [2, 6, -4, 6, 10, 0, -4, 0, -10]),
    ],
    ids=["twice", "summed", "pairs"],
)
def test_by_hand(circuit, expected, kind, tmp_path):
    x = np.array([1.0, 5.0, -5.0])[: circuit.axes[0].extent]
    found = at_rest(written(circuit, tmp_path, cells=kind), x=x)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_rotation_tells_tokens_apart(tmp_path):
    spec = AttentionSpec(model=8, heads=2, kernel=Kernel.LINEAR, rotary=Rotary())
    circuit = lower(spec, random_weights(spec, 0))
    x = np.random.default_rng(0).standard_normal((5, 8))
    frozen = freeze(circuit, {"x[j, m]": x}).bind(n=5)
    found = at_rest(written(frozen, tmp_path), x=x)["y"]
    assert relative_error(found, REFERENCE.run(circuit, {"x": x})["y"].ravel()) < 1e-12


# ---- options and errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "li"}, "backend nir has no option 'cell' (did you mean 'cells'?)"),
        ({"cells": "lif"}, "option cells of backend nir must be li or none, found 'lif'"),
        ({"dtype": "int8"}, "option dtype of backend nir must be float32 or float64"),
        ({"limit": 0}, "option limit of backend nir must be a whole number from 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(SpecError) as caught:
        get_backend("nir", **options)
    assert message in str(caught.value)


def test_a_missing_extra_is_one_line(monkeypatch, tmp_path):
    circuit, _ = frozen_case("cross_linear")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"needs nir: pip install 'cortico\[nir\]'"):
        export_circuit(circuit, "nir", tmp_path)


def test_the_spec_of_the_docs():
    for microcircuit in Microcircuit:
        spec = dataclasses.replace(SPEC, microcircuit=microcircuit)
        frozen = freeze(lower(spec, random_weights(spec, 0)), {"context": np.ones((3, 5))})
        assert get_backend("nir").unsupported(frozen) == []
