"""The attention that rates carry is the textbook's, for every case, before and after passes."""

import numpy as np
import pytest

from cortico import SpecError, compile_attention, lower
from cortico.experiment.activity import observe
from cortico.spec import Microcircuit
from tests import oracle
from tests.cases import CASES
from tests.covering import every_case

MASKS = [case for case in CASES if case.spec.microcircuit is Microcircuit.MASK]
CASE = {case.name: case for case in CASES}


def textbook_mask(case, inputs, monkeypatch):
    """p (head, query, source) of the oracle."""
    found = []
    of_scores = oracle.mask_of_scores

    def record(*args):
        found.append(of_scores(*args))
        return found[0]

    monkeypatch.setattr(oracle, "mask_of_scores", record)
    rest = (
        inputs.get("context"),
        inputs.get("keep"),
        inputs.get("values"),
        inputs.get("score_bias", 0),
    )
    oracle.textbook_attention(case.spec, case.weights, inputs["x"], *rest)
    return found[0][
        :, :, : -1 if case.spec.extra_source else None
    ]  # which is no microcolumn of a pair


@pytest.mark.parametrize("case", every_case(MASKS))
def test_attention_is_the_textbooks(case, monkeypatch):
    inputs = {name: array[0] for name, array in case.inputs.items()}
    expected = textbook_mask(case, inputs, monkeypatch)
    for circuit in (
        lower(case.spec, case.weights),
        compile_attention(case.spec, case.weights).circuit,
    ):
        gate = observe(circuit, inputs).attention.gate
        found = gate.reshape(-1, *gate.shape[-2:])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_memory_has_no_attention_mask():
    case = CASE["memory"]
    inputs = {name: array[0] for name, array in case.inputs.items()}
    assert observe(lower(case.spec, case.weights), inputs).attention is None


def test_wrong_inputs():
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    with pytest.raises(SpecError, match="one example, without batch axes"):
        observe(circuit, case.inputs)
    with pytest.raises(SpecError, match="too large for numbers"):
        observe(circuit, {"x": 1e6 * np.random.default_rng(0).standard_normal((3, 8))})
    long = np.ones((4000, 8))
    with pytest.raises(SpecError, match="at most 100,000,000 are computed: give a shorter input"):
        observe(circuit, {"x": long})
    with pytest.raises(SpecError, match="parameter 'W_Q' has no values"):
        observe(lower(case.spec), {"x": np.ones((3, 8))})
