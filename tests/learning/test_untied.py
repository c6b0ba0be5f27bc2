"""Untied circuits: equal copies compute the same, and their gradients add up to the tied one."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.learning import copies, differentiate, gradient_circuit, untie, untied_values
from cortico.lowering import lower
from cortico.verify.equations.defining import indices_of
from cortico.verify.equations.language import Definition, Read, total
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.cases import CASES
from tests.covering import every_pair, first
from tests.learning.systems import meaning

UNTIED = [case for case in CASES if copies(lower(case.spec))]
SOME = [c for c in UNTIED if c.name.startswith("memory")]
SOME += [
    c for c in UNTIED if c.name in ("linear-mask_none-grouped-biased", "table_linear", "llama")
]


def tied_equations(circuit):
    """The gradients of the untied circuit, with equal copies, summed over them: `d_W`."""
    equations = meaning(gradient_circuit(differentiate(untie(circuit))))
    rows, given, outputs = [], dict(equations.given), [*equations.outputs]
    for each in copies(circuit):
        at = indices_of(equations, each.name)
        sides = len(each.tied.axes)
        rows.append(Definition(each.name, at, Read(each.tied.name, at[:sides])))
        given[each.tied.name] = given.pop(each.name)[:sides]
        gradient, mine = f"d_{each.name}", f"d_{each.tied.name}"
        indices = equations.definition(gradient).indices
        body = total(indices[sides:], Read(gradient, indices))
        sums = Definition(mine, indices[:sides], body)
        equations = replace(equations, definitions=(*equations.definitions, sums))
        outputs.append(mine)
    definitions = (*rows, *equations.definitions)
    return replace(equations, given=given, definitions=definitions, outputs=tuple(outputs))


@pytest.mark.slow
@pytest.mark.parametrize("case", first(5, SOME), ids=lambda case: case.name)
def test_gradients_of_copies_add_up_to_the_tied_gradient_for_every_size(case):
    circuit = lower(case.spec)
    tied = meaning(gradient_circuit(differentiate(circuit)))
    found = {o.output: o.verdict for o in compare(tied, tied_equations(circuit))}
    assert set(found) >= {"y", "d_W_Q", "d_W_K", "d_W_V", "d_W_O"}
    assert set(found.values()) == {Known.PROVED}


def test_one_copy_alone_is_not_the_tied_gradient():
    circuit = lower(next(c for c in SOME if c.name == "memory").spec)
    tied = meaning(gradient_circuit(differentiate(circuit)))
    equations = tied_equations(circuit)
    last = equations.definition("d_W_O")
    wrong = replace(last, body=last.body + last.body)
    rows = tuple(wrong if row is last else row for row in equations.definitions)
    found = {o.output: o.verdict for o in compare(tied, replace(equations, definitions=rows))}
    assert found["d_W_O"] is Known.REFUTED and found["d_W_K"] is Known.PROVED


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_numbers_agree(case):
    circuit = lower(case.spec, case.weights)
    tied, untied = (gradient_circuit(differentiate(c)) for c in (circuit, untie(circuit)))
    width = case.spec.d_output
    target = np.random.default_rng(1).standard_normal((*case.inputs["x"].shape[:-1], width))
    inputs = {**case.inputs, "target": target}
    mine, theirs = (get_backend("numpy").run(c, inputs) for c in (tied, untied))
    np.testing.assert_allclose(theirs["y"], mine["y"], rtol=1e-10, atol=1e-10)
    for each in copies(circuit):
        over = tuple(range(-len(each.over), 0))
        summed, whole = theirs[f"d_{each.name}"].sum(over), mine[f"d_{each.tied.name}"]
        np.testing.assert_allclose(summed, whole, rtol=1e-10, atol=1e-10 * abs(whole).max())


def test_what_is_untied_in_a_memory():
    circuit = lower(next(c for c in SOME if c.name == "memory").spec)
    found = {each.tied.name: each.over for each in copies(circuit)}
    assert found == {"W_Q": ("c",), "W_K": ("c",), "W_V": ("a",), "W_O": ("a",)}
    assert {p.name for p in untie(circuit).parameters} == {f"{name}_untied" for name in found}
    assert copies(untie(circuit)) == ()


def test_weights_of_the_untied_circuit_are_equal_copies():
    case = next(c for c in SOME if c.name == "memory")
    circuit = lower(case.spec)
    weights = untied_values(circuit, case.weights)
    assert set(weights) == {p.name for p in untie(circuit).parameters}
    stored = untie(lower(case.spec, case.weights))
    for name, array in weights.items():
        assert array.shape == stored.tensor(name).shape
        assert np.array_equal(array, stored.tensor(name).values)
        assert (array == array[..., :1]).all()


@pytest.mark.parametrize("case", every_pair())
def test_a_circuit_without_shared_weights_stays_as_it_is(case):
    circuit = lower(case.spec)
    assert (untie(circuit) == circuit) == (not copies(circuit))
