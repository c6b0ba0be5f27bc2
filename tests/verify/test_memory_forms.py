"""The paper's gradients by memory are the circuit's, for every size, full and causal; wrong ones not."""

from dataclasses import replace

import pytest

from cortico.lowering import lower
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Microcircuit
from cortico.verify.equations.closed_forms import memory_forms
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.language import Within
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.substitute import rewritten
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare

LINEAR = AttentionSpec(model=8, heads=2, kernel=Kernel.LINEAR)
SPECS = {
    "full": LINEAR,
    "causal": replace(LINEAR, mask=Mask.CAUSAL),
    "memory": replace(LINEAR, microcircuit=Microcircuit.MEMORY),
    "memory_causal": replace(LINEAR, microcircuit=Microcircuit.MEMORY, mask=Mask.CAUSAL),
    "biased": replace(LINEAR, bias=Bias(query=True, key=True, value=True, output=True)),
    "extra": replace(LINEAR, mask=Mask.CAUSAL, extra_source=True, scale=0.3),
    "memory_extra": replace(LINEAR, microcircuit=Microcircuit.MEMORY, extra_source=True),
    "values": replace(LINEAR, cross=True, context=6, values=3, extra_source=True),
    "scaled_padded_cross": replace(LINEAR, scale=0.3, key_padding=True, cross=True, context=6),
}


def verdicts(spec, forms):
    names = [name.removeprefix("d.") for name in forms.outputs]
    outcomes = compare(forms, gradients(circuit_equations(lower(spec)), names))
    return {outcome.output: outcome.verdict for outcome in outcomes}


@pytest.mark.parametrize("name", SPECS)
def test_proved(name):
    found = verdicts(SPECS[name], memory_forms(SPECS[name]))
    assert found == dict.fromkeys(("d.W_O", "d.W_Q", "d.W_K", "d.W_V"), Known.PROVED)


def test_causal_sums_over_the_wrong_side_are_refuted():
    spec = SPECS["causal"]
    forms = memory_forms(spec)

    def flipped(part):
        return Within(part.right, part.left, 0) if isinstance(part, Within) else part

    rows = [
        replace(row, body=rewritten(row.body, flipped)) if row.tensor == "B" else row
        for row in forms.definitions
    ]
    found = verdicts(spec, replace(forms, definitions=tuple(rows)))
    assert found["d.W_K"] is found["d.W_V"] is Known.REFUTED
    assert found["d.W_Q"] is found["d.W_O"] is Known.PROVED
