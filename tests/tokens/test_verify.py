"""Circuits with tokens go through passes, proofs and checks of emitted code as any others."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.numpy import NumpyBackend, emit_source
from cortico.backends.reference import ReferenceBackend
from cortico.experiment import freeze
from cortico.experiment.activity import observe
from cortico.ir import PassError, SpecError, UnsupportedError
from cortico.ir.rewrite import map_parameters
from cortico.learning import differentiate
from cortico.passes import compare_meaning, parse_passes, run_passes
from cortico.verify.emission.calls import check_calls
from cortico.verify.emission.check import claims_of_files
from cortico.verify.exact.emitted import (
    check_emitted,
    check_emitted_symbolically,
    check_text_of_this_process,
)
from cortico.verify.known import Known
from cortico.verify.steps.validation import prove_steps
from tests.tokens.circuits import VOCABULARY, embedding, expected, weights
from tests.tokens.readings import READINGS

CIRCUIT = embedding()
CIRCUITS = {"embedding": CIRCUIT, **{name: reading.circuit for name, reading in READINGS.items()}}


def stored(circuit, seed=0):
    rng = np.random.default_rng(seed)
    return map_parameters(
        circuit,
        lambda p: p if p.formula else replace(p, values=rng.standard_normal(p.shape)),
    )


# ---- passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["aggressive", "serialize,split-sign"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_passes_keep_what_it_means_and_are_proved(name, pipeline):
    for circuit in (CIRCUITS[name], stored(CIRCUITS[name])):
        passes = parse_passes(pipeline)
        after, steps = run_passes(circuit, passes)
        compare_meaning(circuit, after)
        for proof in prove_steps(passes, steps, lambda stage: None):
            assert proof.verdict is Known.PROVED, (proof.name, proof.reason)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tokens[i, v]", "2.0 * tokens[i, v]"),
        ("start[i]", "positions[i, m]"),
        ("W_E[v, m]", "W_O[v, m]"),
    ],
)
def test_another_circuit_is_told_apart(old, new):
    from cortico.ir.text import parse_circuit

    text = str(CIRCUIT).replace(
        "parameter W_E (11, 4)", "parameter W_E (11, 4)\nparameter W_O (11, 4)"
    )
    if "m]" in new and "start" in old:
        text = text.replace("opening [i]", "opening [i, m]")
    before, after = parse_circuit(text), parse_circuit(text.replace(old, new))
    with pytest.raises(PassError):
        compare_meaning(before, after)


# ---- emitted code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CIRCUITS)
def test_emitted_code_is_exact(name):
    result = check_emitted(CIRCUITS[name])
    assert result.equal, result.text


def test_emitted_code_is_exact_with_symbols():
    result = check_emitted_symbolically(CIRCUIT)
    assert result.equal and result.entries == 12, result.text


@pytest.mark.cross
@pytest.mark.parametrize("name", ["embedding", "past tokens", "counts", "gated"])
def test_every_call_of_emitted_code(name):
    for circuit in (CIRCUITS[name], stored(CIRCUITS[name])):
        result = check_calls(circuit, emit_source(circuit))
        assert result.difference is None and result.calls > 30


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("W_E[tokens]", "W_E[(tokens + 1) % 11]"),
        ("table[positions]", "table[positions + 1]"),
        ("positions == 0", "positions == positions[-1]"),
    ],
)
def test_wrong_code_is_seen(old, new):
    text = emit_source(CIRCUIT)
    assert old in text
    assert not check_text_of_this_process(CIRCUIT, text.replace(old, new)).equal


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax", "onnx"])
def test_other_backends_are_compared(backend):
    lines, right = claims_of_files(CIRCUIT, get_backend(backend))
    assert right and "differ by at most" in lines[-1]


def test_the_numpy_file_of_a_stored_circuit():
    lines, right = claims_of_files(stored(CIRCUIT), NumpyBackend())
    assert right and "checked exactly" in lines[1]


# ---- experiments and learning ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["tokens", "tokens[i, v]"])
def test_tokens_are_frozen(key):
    """And what depends on nothing else is computed."""
    circuit, ids = stored(CIRCUIT), [3, 0, 10]
    frozen = freeze(circuit, {key: ids})
    found = ReferenceBackend().run(frozen, {})
    given = {p.name: p.values for p in circuit.parameters}
    np.testing.assert_allclose(found["y"], expected(np.array(ids), given)["y"], rtol=1e-12)
    with pytest.raises(
        SpecError, match=r"'tokens.*' must hold whole numbers from 0 to 10, found 11"
    ):
        freeze(circuit, {key: [3, 11]})


def test_tokens_are_observed():
    given = weights(np.random.default_rng(0))
    seen = observe(CIRCUIT, {"tokens": np.array([3, 0])}, given)
    assert seen.rates["identity"].tolist() == np.eye(VOCABULARY)[[3, 0]].tolist()
    with pytest.raises(SpecError, match="has a batch"):
        observe(CIRCUIT, {"tokens": np.array([[3, 0]])}, given)


def test_learning_refuses_tokens_by_name():
    circuit = READINGS["table"].circuit
    with pytest.raises(
        UnsupportedError,
        match="has the input 'tokens' of tokens: only circuits whose inputs are rates",
    ):
        differentiate(circuit)
