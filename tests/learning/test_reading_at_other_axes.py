"""Learning where one population is read at several axes: errors come back at the axes that rates went from."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_runner
from cortico.ir.text import parse_circuit
from cortico.learning import Feedback, differentiate, gradient_circuit
from cortico.learning.locality import locality
from cortico.learning.online import emit_online
from cortico.lowering import lower
from cortico.spec import Kernel
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.circuit_edits import joined
from tests.ir.test_reading_at_other_axes import attention, each_spec, numbers
from tests.learning import test_brian2_plasticity as plasticity

CHAIN = """cortico circuit 1
name "chain"
axis i : column 3
axis j : column 3
axis k : column 3
input x (3, 3)
parameter A (3, 3)
parameter B (3, 3)
parameter C (3)
parameter D (3, 3)
parameter E (3)
population pairs [i, j] cortex.L2/3 pyramidal_it tanh where j - i <= 1
  basal multiplies A[i, j]
  apical multiplies x[i, j]
population paths [k, i] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
population last [k] cortex.L5 pyramidal_pt
  basal multiplies
  apical multiplies
projection start pairs[i, k] -> paths.basal weight B[k, i]
projection end pairs[j, k] -> paths.apical weight 0.5 * C[j] where k - j <= 0
projection sum paths[j, k] -> last.basal weight D[k, j]
projection again pairs[k, i] -> last.apical weight E[i]
output y = last[k]
"""


def found_gradients(circuit, given, weights, backend="reference", **options):
    learning = gradient_circuit(differentiate(circuit, **options))
    outputs = get_runner(backend).run(learning, given, weights)
    return {name: array for name, array in outputs.items() if name.startswith("d_")}


@each_spec
@pytest.mark.parametrize("backend", ["reference", "numpy"])
def test_gradients_are_those_of_cells_for_each_role(spec, backend):
    x, weights = numbers(6)
    given = {"x": x, "target": np.random.default_rng(7).normal(size=x.shape)}
    expected = found_gradients(lower(spec), given, weights)
    found = found_gradients(attention(spec), given, weights, backend)
    assert found.keys() == expected.keys() and len(found) == 4
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", ["reference", "numpy", "torch"])
def test_gradients_are_slopes_where_axes_turn_and_chain(backend):
    circuit, rng = parse_circuit(CHAIN), np.random.default_rng(8)
    weights = {p.name: rng.normal(size=p.shape) for p in circuit.parameters}
    given = {"x": rng.normal(size=(3, 3)), "target": rng.normal(size=3)}
    found = found_gradients(circuit, given, weights, backend)

    def loss() -> float:
        y = get_runner("reference").run(circuit, {"x": given["x"]}, weights)["y"]
        return float(((y - given["target"]) ** 2).sum() / 2)

    for name, array in weights.items():
        for index in np.ndindex(array.shape):
            middle, step = array[index], 1e-6
            array[index] = middle + step
            above = loss()
            array[index] = middle - step
            slope, array[index] = (above - loss()) / (2 * step), middle
            assert abs(found[f"d_{name}"][index] - slope) < 1e-5


@each_spec
def test_gradients_are_proved_to_be_the_closed_forms(spec):
    equations = gradients(circuit_equations(attention(spec)), trained(spec))
    outcomes = compare(closed_forms(spec), equations)
    assert {outcome.verdict for outcome in outcomes} == {Known.PROVED}


@each_spec
def test_rules_name_rates_at_the_axes_that_are_read(spec):
    reports = {report.parameter.name: report for report in locality(differentiate(attention(spec)))}
    assert str(reports["W_K"].pre) == "core[j, m]" and str(reports["W_Q"].pre) == "core[i, m]"
    apart = {report.parameter.name: report for report in locality(differentiate(lower(spec)))}
    for name, report in reports.items():
        assert (report.timing, report.shared) == (apart[name].timing, apart[name].shared)


def test_feedback_of_its_own_is_read_the_way_that_errors_take():
    circuit = differentiate(parse_circuit(CHAIN), feedback=Feedback.RANDOM).circuit
    back = {(p.pre, p.post): p for p in circuit.projections if p.post == "pairs_basal_error"}
    assert str(back["paths_apical_error", "pairs_basal_error"].weight) == "0.5 * C_feedback[i]"


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["softmax", "linear"])
def test_synapses_of_shared_cells_learn_in_brian2(kernel):
    spec = replace(plasticity.SPEC, kernel=Kernel(kernel))
    circuit = joined(lower(spec), "core_source", "matrix_query")
    _, weights, names = plasticity.network(Kernel(kernel))
    plasticity.compare(Kernel(kernel), "transposed", differentiate(circuit), weights, names)


@pytest.mark.slow
def test_a_presentation_is_a_step_where_errors_come_back_exchanged():
    circuit, rng = parse_circuit(CHAIN), np.random.default_rng(9)
    weights = {p.name: rng.normal(size=p.shape) for p in circuit.parameters}
    given = {"x": rng.normal(size=(3, 3)), "target": rng.normal(size=3)}
    slopes = found_gradients(circuit, given, weights)
    arrays, rate = tuple(array[None] for array in given.values()), plasticity.RATE
    options = {**plasticity.SYNCHRONOUS, "learning_rate": rate, "epochs": 1}
    source = emit_online(differentiate(circuit))
    found, _ = plasticity.learn(source, arrays, weights, **options)
    for name, array in weights.items():
        np.testing.assert_allclose(found[name], array - rate * slopes[f"d_{name}"], atol=1e-9)
