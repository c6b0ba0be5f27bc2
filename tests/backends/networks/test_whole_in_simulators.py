"""Tiny whole models settle in every simulator to the reference's logits, or are refused by name.

Two levels, width 16, two heads, five tokens; a norm's eps is MiniLM's, 1e-12, of which √ is a millionth: BERT's
kind (LayerNorm, GELU), Llama's (RMSNorm, SwiGLU) and an encoder-decoder (T5's relu). `python -m
tests.backends.networks.test_whole_in_simulators` prints what docs/models.md says of them.
"""

import dataclasses
import functools
import sys
import time
import warnings

import numpy as np
import pytest

from cortico.backends import get_backend, get_runner
from cortico.backends.annarchy import neurons
from cortico.backends.cells import start
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule
from cortico.backends.cells.template import settling_steps
from cortico.ir import InputKind
from cortico.lowering import lower_model
from cortico.spec import (
    AttentionSpec,
    Embedding,
    FeedForward,
    Layer,
    ModelSpec,
    Norm,
    Readout,
    Stack,
)
from cortico.spec.model_weights import random_model
from tests.backends.annarchy import stand_in
from tests.backends.brian2.simulation import SYNCHRONOUS, simulate
from tests.backends.networks.models import LOGITS, VOCABULARY, after, before
from tests.backends.simulators import ANNARCHY, NENGO, NEST, NEURON, values_of
from tests.conformance.test_backends import relative_error

WIDTH, TOKENS, EPS = 16, 5, 1e-12
LAYER, RMS = Norm(WIDTH, shift=True, eps=EPS), Norm(WIDTH, kind="rms", eps=EPS)


def attention(**options):
    return AttentionSpec(WIDTH, 2, **options)


def table(**options):
    return Embedding(VOCABULARY, WIDTH, **options)


def bert():
    block = FeedForward(WIDTH, 24, transfer="gelu", bias_in=True, bias_out=True)
    steps = (after(attention(bias=True, key_padding=True), LAYER), after(block, LAYER))
    embedding = table(types=2, positions=12)
    stack = Stack(WIDTH, (Layer(steps, 2),), embedding=embedding, embedding_norm=LAYER)
    return ModelSpec(stack, readout=Readout(LOGITS, tied=True), name="bert")


def llama():
    block = FeedForward(WIDTH, 40, transfer="silu", gated=True)
    steps = (before(attention(mask="causal", rotary=True), RMS), before(block, RMS))
    stack = Stack(WIDTH, (Layer(steps, 2),), embedding=table(), norm=RMS)
    return ModelSpec(stack, readout=Readout(LOGITS, tied=True), name="llama")


def t5():
    """The decoder's second attention hears the encoder."""
    block = before(FeedForward(WIDTH, 24, transfer="relu"), RMS)
    inner = Layer((before(attention(key_padding=True), RMS), block), 2)
    own, cross = attention(mask="causal"), attention(cross=True, key_padding=True)
    outer = Layer((before(own, RMS), before(cross, RMS), block), 2)
    words = table(positions=12)
    return ModelSpec(
        Stack(WIDTH, (outer,), embedding=words, norm=RMS),
        encoder=Stack(WIDTH, (inner,), embedding=words, norm=RMS),
        readout=Readout(LOGITS),
        name="t5",
    )


MODELS = {make.__name__: make for make in (bert, llama, t5)}
ALL = [pytest.param(name, marks=() if name == "llama" else pytest.mark.full) for name in MODELS]


@functools.cache
def example(name):
    """The flat circuit, inputs, and the logits of the interpreter."""
    spec = MODELS[name]()
    network, rng = lower_model(spec, random_model(spec, 1)), np.random.default_rng(0)
    circuit, inputs = network.flatten(), {}
    for tensor in network.inputs:
        shape = [side if isinstance(side, int) else TOKENS for side in tensor.given]
        most = tensor.shape[-1] if tensor.kind is InputKind.TOKEN else 2
        inputs[tensor.name] = rng.integers(0, most, shape)
        if tensor.kind is InputKind.MASK:
            inputs[tensor.name] = np.arange(TOKENS) < TOKENS - 1
    return circuit, inputs, get_runner("reference").run(circuit, inputs)


def worst(found, name):
    expected = example(name)[2]
    assert found.keys() == expected.keys() >= {"logits"}
    return max(relative_error(found[each], expected[each]) for each in expected)


def in_brian2(name, backend_options=None, **options):
    """The error, of steps that each bring all cells to rest unless `options` say otherwise."""
    given = options or SYNCHRONOUS
    outputs, _ = simulate(*example(name)[:2], backend_options=backend_options, **given)
    return worst(outputs, name)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("form", ["fast", pytest.param("synapses", marks=pytest.mark.full)])
def test_brian2(name, form):
    assert in_brian2(name, {"form": form}) < 1e-13


@pytest.mark.full
def test_weights_of_four_bytes_lose_what_they_say():
    """Of these weights, which are stored in eight; none of those that are stored in four."""
    circuit, inputs, _ = example("llama")
    assert 1e-9 < in_brian2("llama", {"precision": "float32"}) < 1e-6
    parameters = [
        p if p.values is None else dataclasses.replace(p, values=p.values.astype(np.float32))
        for p in circuit.parameters
    ]
    rounded = dataclasses.replace(circuit, parameters=tuple(parameters))
    expected = get_runner("reference").run(rounded, inputs)["logits"]
    found, _ = simulate(rounded, inputs, backend_options={"precision": "float32"}, **SYNCHRONOUS)
    assert relative_error(found["logits"], expected) < 1e-13


@pytest.mark.cross
def test_brian2_in_time():
    """With the time constants of all classes of cells, in steps of 0.5 ms."""
    assert 1e-13 < in_brian2("llama", {"form": "fast"}, dt=0.5) < 1e-8


@NENGO.needs
@pytest.mark.parametrize("name", ALL)
def test_nengo(name):
    assert worst(NENGO.settle(*example(name)[:2]), name) < 1e-13


@NEURON.needs
@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_neuron(name):
    assert worst(NEURON.settle(*example(name)[:2]), name) < 1e-12


@NEURON.needs
@pytest.mark.cross
def test_neuron_in_time():
    found = NEURON.simulate(*example("llama")[:2], dt=5.0)
    assert 1e-13 < worst(found, "llama") < 1e-8


@NEST.needs
@pytest.mark.parametrize(
    "name",
    [pytest.param("llama", marks=pytest.mark.cross), pytest.param("t5", marks=pytest.mark.full)],
)
def test_nest(name):
    """Roots are units that hear themselves, silu a product with a sigmoid. Units that were not held lost eight digits."""
    assert worst(NEST.settle(*example(name)[:2]), name) < 1e-13


def test_nest_refuses_an_error_function_alone():
    told = get_backend("nest").unsupported(example("bert")[0])
    assert told and all("has the transfer function gelu, which no rate" in line for line in told)
    assert all(" at layer[" in line for line in told)


def test_annarchy_refuses_an_error_function_alone():
    told = ANNARCHY.backend().unsupported(example("bert")[0])
    assert told and all("has the transfer function gelu" in line for line in told)


@pytest.mark.parametrize("name", ["llama", pytest.param("t5", marks=pytest.mark.full)])
def test_scripts_of_annarchy(name, monkeypatch):
    """On a stand-in for it: twice on one network, and in time."""
    assert in_stand_in(name, 1e8, monkeypatch, runs=2) < 1e-13
    assert in_stand_in(name, 5.0, monkeypatch) < 1e-8


def in_stand_in(name, dt, monkeypatch, runs=1):
    """The largest error of so many runs of the emitted script on one network."""
    monkeypatch.setitem(sys.modules, "ANNarchy", stand_in)
    circuit, inputs, _ = example(name)
    script = ANNARCHY.load(circuit)
    network, weights = script["Network"](dt, None, 1e-10, 1, "."), values_of(circuit)
    given = {**inputs, "weights": weights, "network": network}
    return max(worst(script["simulate"](**given), name) for _ in range(runs))


@pytest.mark.parametrize("name", ALL)
def test_sonata_has_the_neurons_and_synapses_that_are_estimated(name, tmp_path):
    from tests.backends.test_sonata import export  # skips where nothing reads SONATA

    circuit = example(name)[0]
    sizes = dict.fromkeys(circuit.symbols, TOKENS)
    told = get_backend("brian2").estimate(circuit, sizes)
    nodes, edges = export(circuit.bind(**sizes), tmp_path / name)
    assert (nodes.size, edges.size) == (told.neurons, told.synapses)
    assert told.synapses > 40_000


# ---- how they start --------------------------------------------------------------------------------


def test_all_at_once_they_overflow(monkeypatch):
    """That is why cells of a network wait: the norms make millions of a first signal."""
    for module in (start, neurons):
        monkeypatch.setattr(module, "in_order", lambda circuit: False)
    with pytest.raises(FloatingPointError, match="a rate is NaN"):
        in_stand_in("llama", 1e8, monkeypatch)
    with warnings.catch_warnings(), pytest.raises(FloatingPointError, match="a rate is NaN"):
        warnings.simplefilter("ignore")
        in_brian2("llama", {"form": "fast"})


def test_a_cell_waits_for_the_longest_chain_before_it():
    """By hand: what a norm divides, and the pool that divides it."""
    before_ = start.units_before(example("llama")[0], lambda population: 1)
    norm = "layer_0_pre_attention_norm"
    cells = ("content", "content_square", "content_pool", "normed_content")
    places = [before_[f"{norm}_{name}"] for name in cells if f"{norm}_{name}" in before_]
    assert places == list(range(places[0], places[0] + len(places))) and len(places) >= 3
    assert start.units_before(attention_alone(), lambda population: 1) == {}


def attention_alone():
    from cortico import lower

    return lower(AttentionSpec(4, 1))


def test_nothing_has_settled_before_all_are_let_go():
    """A duration that ends earlier is refused, and one that is as long as the estimate says is enough."""
    circuit = example("llama")[0]
    chain = depth(circuit, schedule(circuit)).through
    told = get_backend("brian2", **SYNCHRONOUS).steps(circuit.bind(n=TOKENS))
    assert told == chain + (chain - 1) * settling_steps(1, 1.0, 0.1) == 2 * chain - 1
    with pytest.raises(ValueError, match=r"duration is 20\.0 ms, expected more than .* are let go"):
        in_brian2("llama", {"form": "fast"}, **SYNCHRONOUS, duration=20.0)
    lasting = {**SYNCHRONOUS, "duration": 10.0 * chain}
    assert in_brian2("llama", {"form": "fast"}, **lasting) < 1e-13
    lasting["duration"] -= 10.0
    assert in_brian2("llama", {"form": "fast"}, **lasting) > 1e-3


# ---- what docs/models.md says ----------------------------------------------------------------------


def figures():
    """Simulator, model, error and seconds of the processor; refusals as they are told."""
    for name in MODELS:
        circuit, inputs, _ = example(name)
        runs = {
            "Brian2": lambda n=name: in_brian2(n),
            "Brian2, fast": lambda n=name: in_brian2(n, {"form": "fast"}),
            "NEURON": lambda c=circuit, i=inputs, n=name: worst(NEURON.settle(c, i), n),
            "Nengo": lambda c=circuit, i=inputs, n=name: worst(NENGO.settle(c, i), n),
        }
        if not NEST.backend().unsupported(circuit):
            runs["NEST"] = lambda c=circuit, i=inputs, n=name: worst(NEST.settle(c, i), n)
        for simulator in (NEST, ANNARCHY):
            yield from ((simulator.name, name, t) for t in simulator.backend().unsupported(circuit))
        for simulator, run in runs.items():
            begun = time.process_time()
            yield simulator, name, run(), time.process_time() - begun


if __name__ == "__main__":
    for row in figures():
        print(*row, flush=True)
