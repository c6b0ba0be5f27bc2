"""Lesioned circuits against their definition: an interpreter that scales rates or synapses itself."""

import numpy as np
import pytest

from cortico import AttentionSpec, CircuitError, SpecError, get_backend, get_runner, lower
from cortico.backends.reference import Interpreter, ReferenceBackend, interpret
from cortico.experiment import lesion, lesions
from cortico.experiment.cut import divided_by
from cortico.experiment.targets import read_target
from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.ir.analysis.inputs import all_live, bind_symbols, parameter_values
from cortico.ir.text import parse_circuit
from cortico.passes import parse_passes, run_passes
from tests.cases import CASES
from tests.covering import first

NAMES = (
    "softmax-mask_causal-padded-biased",
    "linear-mask_window-padded",
    "softmax-mask_none-padded-grouped-biased",
    "sink_causal_padded",
    "everything",
    "memory_causal_biased_padded",
    "memory_llama",
)
PICKED = [case for case in CASES if case.name in NAMES]


class Scaled(Interpreter):
    """The reference interpreter, with factors of rates and of synaptic currents."""

    rate_factors: dict = {}  # noqa: RUF012
    synapse_factors: dict = {}  # noqa: RUF012

    def rate(self, population):
        return super().rate(population) * self.rate_factors.get(population.name, 1.0)

    def synaptic(self, post, projection):
        factor = self.synapse_factors.get(projection.name, 1.0)
        return factor * super().synaptic(post, projection)


def defined(circuit, inputs, rates=(), synapses=()):
    """Outputs of a circuit with rates or synaptic currents times factors, for one example."""
    symbols = bind_symbols(circuit, inputs)
    tensors = {**parameter_values(circuit, symbols, None), **all_live(circuit, inputs, symbols)}
    tensors = {name: np.asarray(array, dtype=np.float64) for name, array in tensors.items()}
    run = Scaled(circuit, circuit.sizes(symbols), tensors)
    run.rate_factors, run.synapse_factors = dict(rates), dict(synapses)
    found = run.rates()
    return {o.name: found[o.source.name] for o in circuit.outputs}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def example(case):
    return {name: array[0] for name, array in case.inputs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", first(4, PICKED), ids=lambda case: case.name)
@pytest.mark.parametrize("factor", first(1, [0.5, 0.0]))
def test_every_population(case, factor):
    assert len(PICKED) == len(NAMES)
    circuit, inputs = lower(case.spec, case.weights), example(case)
    for population in circuit.populations:
        cut = lesion(circuit, f"population:{population.name}", factor)
        expected = defined(circuit, inputs, rates={population.name: factor})
        close(ReferenceBackend().run(cut, inputs)["y"], expected["y"])
        close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])


@pytest.mark.slow
@pytest.mark.parametrize("case", first(4, PICKED), ids=lambda case: case.name)
@pytest.mark.parametrize("factor", first(1, [0.5, 0.0]))
def test_every_projection(case, factor):
    circuit, inputs = lower(case.spec, case.weights), example(case)
    for projection in circuit.projections:
        cut = lesion(circuit, f"projection:{projection.name}", factor)
        expected = defined(circuit, inputs, synapses={projection.name: factor})
        close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])


def factors(circuit, axes, areas, factor):
    """An array over `axes` that is `factor` where the areas are; index products, by hand."""
    names = circuit.areas.axes
    sizes = [circuit.axis(axis).extent for axis in names]
    whole = np.ones(sizes)
    for area in areas:
        whole[np.unravel_index(area, sizes)] = factor
    shape = [circuit.axis(a).extent if a in names else 1 for a in axes]
    order = [names.index(a) for a in axes if a in names]
    return whole.transpose(order).reshape(shape) if len(order) == len(names) else None


@pytest.mark.slow
@pytest.mark.parametrize("case", PICKED, ids=lambda case: case.name)
def test_some_areas(case):
    """Every population that has areas, in two of them."""
    circuit, inputs = lower(case.spec, case.weights), example(case)
    areas = (0, len(circuit.areas) - 1)
    tried = 0
    for population in circuit.populations:
        scale = factors(circuit, population.axes, areas, 0.25)
        if scale is None:
            continue
        tried += 1
        cut = lesion(circuit, f"population:{population.name}@area={areas[0]},{areas[1]}", 0.25)
        expected = defined(circuit, inputs, rates={population.name: scale})
        close(ReferenceBackend().run(cut, inputs)["y"], expected["y"])
        close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])
    assert tried


@pytest.mark.slow
@pytest.mark.parametrize("case", PICKED, ids=lambda case: case.name)
def test_projections_of_some_areas(case):
    """Synapses onto cells of an area; where areas converge, synapses from its cells."""
    circuit, inputs = lower(case.spec, case.weights), example(case)
    tried = 0
    for projection in circuit.projections:
        target = f"projection:{projection.name}@area=1"
        post, pre = (circuit.population(n) for n in (projection.post, projection.pre))
        onto, out_of = (factors(circuit, p.axes, (1,), 0.0) for p in (post, pre))
        if onto is not None:
            expected = defined(circuit, inputs, synapses={projection.name: onto})
        elif out_of is not None and len(circuit.projections_from(pre.name)) == 1:
            expected = defined(circuit, inputs, rates={pre.name: out_of})
        else:
            continue
        tried += 1
        cut = lesion(circuit, target)
        close(ReferenceBackend().run(cut, inputs)["y"], expected["y"])
        close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])
    assert tried > 1


@pytest.mark.parametrize("transfer", ["identity", "relu", "tanh", "sqrt", "exp"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 3.0])
def test_every_transfer_function(transfer, factor):
    b = CircuitBuilder("one cell")
    b.axis("h", Role.AREA, 3)
    b.input("x", (3,))
    drive = (Weight(TensorRef("x", ("h",))),)
    parts = [Compartment("basal", drive=drive)]
    b.population("cell", "h", Region.L5, CellClass.PT, parts, transfer)
    b.output("y", "cell", "h")
    circuit, x = b.build(), np.array([0.3, 0.0, 2.0])
    whole = {
        "identity": x,
        "relu": np.maximum(x, 0),
        "tanh": np.tanh(x),
        "sqrt": np.sqrt(x),
        "exp": np.exp(x),
    }[transfer]
    everywhere, somewhere = (
        lesion(circuit, target, factor) for target in ("cell:pyramidal_pt", "layer:L5@area=2")
    )
    close(ReferenceBackend().run(everywhere, {"x": x})["y"], whole * factor)
    close(ReferenceBackend().run(somewhere, {"x": x})["y"], whole * [1, 1, factor])


def test_selectors_take_all_they_name():
    case = next(case for case in CASES if case.name == NAMES[0])
    circuit, inputs = lower(case.spec, case.weights), example(case)
    chosen = {
        "layer:L2/3": {"superficial", "mask", "gated_mask"},
        "cell:pv": {"pool"},
        "cell:relay": {"core_source", "matrix_query", "matrix_keep", "relay"},
        "nucleus:core": {"core_source"},
        "nucleus:higher_order": {"relay"},
    }
    for target, names in chosen.items():
        expected = defined(circuit, inputs, rates=dict.fromkeys(names, 0.5))
        found = get_backend("numpy").run(lesion(circuit, target, 0.5), inputs)
        close(found["y"], expected["y"])


def test_several_at_once_are_of_the_circuit_given():
    """The cells that a first lesion adds are no part of the layer that the second names."""
    case = next(case for case in CASES if case.name == NAMES[0])
    circuit, inputs = lower(case.spec, case.weights), example(case)
    cut = lesions(
        circuit, [("population:mask", 0.5), ("layer:L2/3", 0.5), ("projection:gate", 0.5)]
    )
    rates = {"superficial": 0.5, "mask": 0.25, "gated_mask": 0.5}
    expected = defined(circuit, inputs, rates=rates, synapses={"gate": 0.5})
    close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])


@pytest.mark.parametrize(
    ("target", "factor"),
    [("layer:L2/3@area=1", 0), ("projection:key@area=0", 0), ("cell:relay", 0.5)],
)
def test_a_lesioned_circuit_is_a_circuit(target, factor):
    """It prints and parses to itself, and passes run on it without changing what it computes."""
    case = next(case for case in CASES if case.name == "bert")
    cut, inputs = lesion(lower(case.spec, case.weights), target, factor), case.inputs
    values = {p.name: p.values for p in cut.parameters if p.values is not None}
    assert str(parse_circuit(str(cut), values)) == str(cut)
    smaller, _ = run_passes(cut, parse_passes("default"))
    numpy = get_backend("numpy")
    close(numpy.run(smaller, inputs)["y"], numpy.run(cut, inputs)["y"])


def test_precision_is_kept():
    case = next(case for case in CASES if case.name == "bert")
    weights = {name: array.astype(np.float32) for name, array in case.weights.items()}
    cut = lesion(lower(case.spec, weights), "layer:L2/3@area=1")
    inputs = {name: array.astype(np.float32) for name, array in case.inputs.items()}
    assert get_backend("numpy").run(cut, inputs)["y"].dtype == np.float32


def test_neurons_that_follow_are_counted():
    """Cells with exp need others that follow them; the rest keep their numbers."""
    circuit = lower(next(case for case in CASES if case.name == "bert").spec).bind(n=3)
    before = circuit.counts().neurons
    assert lesion(circuit, "population:superficial").counts().neurons == before
    mask = circuit.counts().neurons_of["mask"]
    assert lesion(circuit, "population:mask").counts().neurons == before + mask


def test_what_divides_is_told():
    circuit = lower(next(case for case in CASES if case.name == "bert").spec)
    assert divided_by(circuit, read_target("cell:pv")) == {"deep": False}
    assert divided_by(circuit, read_target("projection:shunt")) == {"deep": False}
    assert divided_by(circuit, read_target("layer:L2/3")) == {}
    circuit = lower(AttentionSpec(8, 2, semi_saturation=0.5, extra_source=True))
    assert divided_by(circuit, read_target("cell:pv")) == {"deep": True, "extra_deep": True}


@pytest.mark.parametrize("target", ["cell:pv", "population:pool"])
@pytest.mark.parametrize("case", [c for c in CASES if c.spec.semi_saturation], ids=lambda c: c.name)
def test_silencing_the_pool_releases_what_a_constant_divides(case, target):
    """Rates of deep cells rise by (sigma + pool) / sigma, in each head and for each query."""
    circuit, inputs = lower(case.spec, case.weights), example(case)
    before = interpret(circuit, inputs)
    after = interpret(lesion(circuit, target), inputs)
    sigma, pool = case.spec.semi_saturation, before["pool"]
    assert not after["pool"].any() and (pool > 0).any()
    released = before["deep"] * ((sigma + pool) / sigma)[..., None, None]
    np.testing.assert_allclose(after["deep"], released, rtol=1e-12, atol=1e-12)
    assert np.abs(after["deep"]).max() > np.abs(before["deep"]).max()


def test_silencing_the_pool_silences_what_it_alone_divides():
    case = next(c for c in CASES if c.name == "numbered_tokens")
    circuit = lower(case.spec, case.weights)
    assert interpret(circuit, example(case))["deep"].any()
    assert not interpret(lesion(circuit, "cell:pv"), example(case))["deep"].any()


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_released_circuit_runs_emitted(backend):
    """After silencing there is nothing to shift by: y = Σ_j exp(score) value / sigma."""
    case = next(c for c in CASES if c.name == "semi_saturated_padded")
    released = lesion(lower(case.spec, case.weights), "cell:pv")
    expected = interpret(released, example(case))["relay"]
    close(get_runner(backend).run(released, example(case))["y"], expected)


@pytest.mark.parametrize(
    ("target", "factor", "message"),
    [
        (
            "population:superfical",
            0,
            r"no population 'superfical' \(did you mean 'superficial'\?\)",
        ),
        ("projection:gat", 0, r"no projection 'gat' \(did you mean 'gate'\?\)"),
        ("layer:L6", 0, "no layer 'L6'.*; it has L2/3, L5"),
        ("layer:core", 0, "no layer 'core'"),
        ("nucleus:L5", 0, "no nucleus 'L5'; it has core, higher_order, matrix"),
        ("cell:sst", 0, "no cell 'sst'"),
        ("layr:L5", 0, r"no kind of target 'layr' \(did you mean 'layer'\?\)"),
        ("superficial", 0, "cannot read target 'superficial': write KIND:NAME"),
        ("layer:L5@area=x", 0, "cannot read target"),
        ("layer:L5@area=2", 0, "there is no area 2, the circuit has 2"),
        ("nucleus:core@area=0", 0, "core_source is shared by areas"),
        ("layer:L5", -1.0, "a lesion's factor must be finite and at least 0, found -1.0"),
        ("layer:L5", float("nan"), "must be finite"),
        ("layer:L5", float("inf"), "must be finite"),
    ],
)
def test_errors(target, factor, message):
    circuit = lower(next(case for case in CASES if case.name == "bert").spec)
    with pytest.raises(SpecError, match=message):
        lesion(circuit, target, factor)


def test_shared_cells_are_cut_in_all_that_share_them():
    """Grouped heads: keys of a group belong to both of its areas."""
    case = next(case for case in CASES if case.name == "memory_llama")
    circuit, inputs = lower(case.spec, case.weights), example(case)
    with pytest.raises(SpecError, match="memory is shared by areas"):
        lesion(circuit, "population:memory@area=0")
    cut = lesion(circuit, "population:memory@area=2,3")
    scale = np.array([1.0, 0.0]).reshape(2, *[1] * (len(circuit.population("memory").axes) - 1))
    assert circuit.population("memory").axes[0] == "g"
    expected = defined(circuit, inputs, rates={"memory": scale})
    close(get_backend("numpy").run(cut, inputs)["y"], expected["y"])


def test_symbolic_areas_need_numbers():
    b = CircuitBuilder("areas")
    b.axis("h", Role.AREA, "areas")
    b.input("x", ("areas",))
    drive = (Weight(TensorRef("x", ("h",))),)
    b.population("cell", "h", Region.L5, CellClass.PT, [Compartment("basal", drive=drive)])
    b.output("y", "cell", "h")
    with pytest.raises(CircuitError, match="symbolic sizes areas"):
        lesion(b.build(), "layer:L5@area=0")
    found = ReferenceBackend().run(lesion(b.build(), "layer:L5"), {"x": np.ones(2)})
    close(found["y"], np.zeros(2))
