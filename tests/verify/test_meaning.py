"""The equations of a circuit have the values that the reference interpreter computes."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends.reference import interpret
from cortico.ir import TRANSFERS
from cortico.ir.analysis.inputs import stored_values
from cortico.ir.rewrite import map_populations
from cortico.lowering import lower
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.meaning import circuit_equations, rate_of
from cortico.verify.equations.sorts import sizes_of
from tests.cases import CASES
from tests.covering import every_case


def assert_same_rates(circuit, inputs):
    given = {**stored_values(circuit, {}), **inputs}
    equations = circuit_equations(circuit)
    found = evaluate(equations, sizes_of(equations, given), given)
    for name, rate in interpret(circuit, inputs).items():
        np.testing.assert_allclose(found[rate_of(name)], rate, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("case", every_case())
def test_every_population_of_the_case_table(case):
    inputs = {key: array[0] for key, array in case.inputs.items()}  # padded in front
    assert_same_rates(lower(case.spec, case.weights), inputs)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_every_transfer_function(transfer):
    case = CASES[0]
    positive = {name: abs(array) for name, array in case.weights.items()}
    circuit = map_populations(
        lower(case.spec, positive),
        lambda p: replace(p, transfer=transfer) if p.name == "superficial" else p,
    )
    assert_same_rates(circuit, {"x": abs(case.inputs["x"][0])})
