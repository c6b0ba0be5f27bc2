"""How far rounded numbers move outputs: the bound holds for numbers that do move, and is by hand where that is easy."""

from dataclasses import replace

import numpy as np
import pytest

from cortico import compile_attention
from cortico.backends.reference import ReferenceBackend
from cortico.ir import Gain, Weight, check
from cortico.ir.rewrite import map_populations, map_projections, with_values
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from cortico.verify.steps.output_bound import output_bound
from cortico.verify.steps.validation import prove_steps
from tests.cases import CASES
from tests.covering import every_pair
from tests.verify.edits import added, drive

TOKENS = 4


def circuit_of(spec, seed=0, passes="default"):
    return compile_attention(spec, random_weights(spec, seed), passes=passes).circuit


def moved(circuit, off, rng):
    """The circuit with every number of `off` moved as far as it may, up or down."""

    def of(parameter):
        signs = rng.choice([-1.0, 1.0], np.shape(parameter.values)) * rng.choice([1.0, 1.0, 0.0])
        return parameter.values + off[parameter.name] * signs

    return with_values(circuit, {p.name: of(p) for p in circuit.parameters if p.name in off})


def drawn(circuit, rng):
    """Inputs up to one in size, many of them as large as that."""
    sizes = dict.fromkeys(circuit.symbols, TOKENS)
    inputs = {}
    for tensor in circuit.inputs:
        shape = [sizes.get(side, side) for side in tensor.shape]
        x = np.clip(rng.uniform(-2, 2, (4, *shape)), -1, 1)
        inputs[tensor.name] = x > -0.5 if tensor.kind == "mask" else x
    return inputs


def largest_move(circuit, off, trials=12):
    found = 0.0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        inputs = drawn(circuit, rng)
        first = ReferenceBackend().run(circuit, inputs)
        second = ReferenceBackend().run(moved(circuit, off, rng), inputs)
        found = max(found, *(np.abs(a - second[n]).max() for n, a in first.items()))
    return found


@pytest.mark.parametrize("size", [1e-9, 1e-3, 3e-2])
@pytest.mark.parametrize("case", every_pair([case for case in CASES if not case.spec.qk_norm]))
def test_outputs_move_no_further_than_the_bound(case, size):
    circuit = circuit_of(case.spec)
    off = {p.name: size for p in circuit.parameters if p.values is not None}
    bound = output_bound(circuit, off, {}, tokens=TOKENS)
    found = largest_move(circuit, off)
    assert 0 < found <= bound * (1 + 1e-6)
    if size == 1e-9:
        assert bound < 1e-3  # and says something


def test_a_pool_that_also_hears_what_may_be_negative():
    """It may be zero, whatever else it sums: nothing is known of what it divides."""
    circuit = circuit_of(AttentionSpec(model=4, heads=1), passes="none")
    off = {p.name: 1e-9 for p in circuit.parameters}
    assert np.isfinite(output_bound(circuit, off, {}, tokens=TOKENS))
    late = replace(circuit.population("pool"), name="late")
    circuit = replace(circuit, populations=(*circuit.populations, late))
    circuit = added("signed", "superficial", "late", "soma")(circuit)
    circuit = added("later", "mask", "late", "soma")(circuit)  # so that it has no bound yet
    circuit = added("pool_late", "late", "pool", "soma")(circuit)
    check(circuit)
    assert output_bound(circuit, off, {}, tokens=TOKENS) == np.inf


@pytest.mark.parametrize(("gain", "bounded"), [(0.5, True), (-0.5, False)])
def test_a_constant_beside_a_pool(gain, bounded):
    """What is added to the pool keeps the bound if it is positive; else the sum may be zero."""
    circuit = circuit_of(AttentionSpec(model=4, heads=1), passes="none")
    off = {p.name: 1e-9 for p in circuit.parameters}
    plain = output_bound(circuit, off, {}, tokens=TOKENS)
    found = output_bound(
        drive("deep", "shunt", Weight(gain=Gain(gain)))(circuit), off, {}, tokens=TOKENS
    )
    assert found == (plain if bounded else np.inf)


@pytest.mark.full
def test_every_case_has_a_bound():
    for case in CASES:
        for passes in ("none", "default,split-sign"):
            circuit = circuit_of(case.spec, passes=passes)
            off = {p.name: 1e-16 for p in circuit.parameters}
            if case.spec.qk_norm:  # divided by what is no pool
                assert output_bound(circuit, off, {}) == np.inf
                continue
            assert 0 < output_bound(circuit, off, {}) < 1e-6, case.name


def test_bounds_by_hand():
    """Softmax weights add up to one: an error of the values is passed on once, whatever the scores."""
    spec = AttentionSpec(model=3, heads=2, key_features=2, value_features=2, mask=Mask.CAUSAL)
    weights = random_weights(spec)
    weights["W_Q"] *= 1e6
    circuit = lower(spec, weights)
    out = np.abs(weights["W_O"]).sum(axis=(0, 2)).max()
    assert np.isclose(output_bound(circuit, {"W_V": 1e-6}, {}, tokens=1000), 3e-6 * out)
    values = np.abs(weights["W_V"]).sum(axis=2).sum()
    assert np.isclose(output_bound(circuit, {"W_O": 1e-6}, {}), 1e-6 * values)
    assert output_bound(circuit, {}, {}) == 0


def test_a_cap_that_is_far_away_moves_nothing():
    """c tanh(s / c) is s for large c, and has a slope of at most one for any."""
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR)
    weights = random_weights(spec)
    plain, far, near = (
        output_bound(lower(replace(spec, soft_cap=cap), weights), {"W_K": 1e-6}, {}, tokens=10)
        for cap in (None, 2.0**30, 0.1)
    )
    assert np.isclose(far, plain)
    assert 0 < near <= plain


def test_sums_over_tokens_are_counted():
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR)
    circuit = lower(spec, random_weights(spec))
    few, many = (output_bound(circuit, {"W_V": 1e-6}, {}, tokens=n) for n in (10, 1000))
    assert np.isclose(many, 100 * few)


def test_gains_move_outputs():
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR)
    circuit = lower(spec, random_weights(spec))
    gained = map_projections(
        circuit,
        lambda p: (
            replace(p, weight=Weight(p.weight.tensor, Gain(0.3))) if p.name == "output" else p
        ),
    )
    bound = output_bound(gained, {}, {0.3: 0.003}, tokens=TOKENS)
    more = map_projections(
        circuit,
        lambda p: (
            replace(p, weight=Weight(p.weight.tensor, Gain(0.303))) if p.name == "output" else p
        ),
    )
    for seed in range(5):
        inputs = drawn(circuit, np.random.default_rng(seed))
        one, other = (ReferenceBackend().run(c, inputs)["y"] for c in (gained, more))
        assert 0 < np.abs(one - other).max() <= bound


def test_no_bound_is_made_up():
    spec = AttentionSpec(model=3, heads=1, mask=Mask.CAUSAL)
    given = lower(spec)
    assert output_bound(given, {}, {}) == np.inf  # its numbers are not known
    circuit = lower(spec, random_weights(spec))

    def minus(projection):  # a pool that a negative weight may empty
        weight = Weight(None, Gain(-1.0))
        return replace(projection, weight=weight) if projection.name == "pool_mask" else projection

    assert output_bound(map_projections(circuit, minus), {"W_K": 1e-9}, {}) == np.inf

    def other(population):  # cells that may be negative
        return replace(population, transfer="tanh") if population.name == "mask" else population

    assert output_bound(map_populations(circuit, other), {"W_K": 1e-9}, {}) == np.inf


def test_a_step_states_its_bound():
    case = next(case for case in CASES if case.name == "qwen2")
    passes = parse_passes("default")
    _, steps = run_passes(lower(case.spec, random_weights(case.spec, 0)), passes)
    for proof in prove_steps(passes, steps, lambda stage: None):
        assert (proof.bound > 0) == (proof.rounding > 0)
        assert proof.moved <= proof.bound < 1e-9
