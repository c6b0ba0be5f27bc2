"""Passes on circuits that read a population at other axes: what they make is the same, and proved to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cortico.ir import Circuit
from cortico.ir.rewrite import with_values
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.passes.meaning import compare_meaning
from cortico.passes.registry import PASSES
from cortico.verify.normal.equivalence import Verdict
from cortico.verify.steps.validation import prove_steps
from cortico.weights import random_weights
from tests.cases import CASES
from tests.circuit_edits import are_twins, joined
from tests.covering import first
from tests.ir.test_reading_at_other_axes import SPECS, attention, numbers

EXACT = [kind.name for kind in PASSES if kind.exact]
EVERY = ",".join(name for name in EXACT if name not in ("split-sign", "serialize"))


def twins(circuit: Circuit) -> Circuit | None:
    """The circuit with one of its first pair of twins in the place of both."""
    pairs = itertools.permutations(circuit.populations, 2)
    found = next((pair for pair in pairs if are_twins(circuit, *pair)), None)
    return joined(circuit, found[0].name, found[1].name) if found else None


JOINED = {
    case.name: circuit
    for case in CASES
    if (circuit := twins(lower(case.spec, random_weights(case.spec, 1)))) is not None
}


@pytest.mark.parametrize("text", [*EXACT, EVERY, "reassociate,serialize(axis=tokens)"])
def test_exact_passes_keep_attention_and_are_proved(text):
    """Each step is validated, as `verify=True` does."""
    for spec in SPECS:
        _proved(with_values(attention(spec), numbers(2)[1]), text)


def _proved(circuit: Circuit, text: str) -> Circuit:
    passes = parse_passes(text)
    found, steps = run_passes(circuit, passes, compare_meaning)
    verdicts = {proof.verdict for proof in prove_steps(passes, steps, lambda words: None)}
    assert verdicts <= {Verdict.PROVED}
    return found


@pytest.mark.parametrize("name", first(4, JOINED))
@pytest.mark.parametrize("text", ["default", "aggressive", "split-sign"])
def test_cases_with_one_source_population(name, text):
    _proved(JOINED[name], text)


def test_keys_of_shared_cells_still_get_relays_and_memories():
    """What is known of reading at other axes is not that nothing can be done."""
    softmax, _, linear, _ = (with_values(attention(s), numbers(2)[1]) for s in SPECS)
    found = _proved(softmax, "default")
    assert {"key_relay", "value_relay"} <= {p.name for p in found.populations}
    assert "memory" in {p.name for p in _proved(linear, "reassociate").populations}


def test_axes_that_are_read_as_others_are_not_cut():
    """Heads that are dead where they are written, and read as indices of another axis."""
    circuit = parse_circuit(
        """cortico circuit 1
name "cut"
axis h : area 4
axis g : area 4
axis i : column n
input x (n)
parameter w (4)
population cells [h, i] cortex.L5 pyramidal_pt
  basal multiplies w[h] * x[i]
population copies [g, i] cortex.L5 pyramidal_pt
  basal multiplies
projection copy cells[g, i] -> copies.basal weight w[g]
output y = copies[g, i]
""".replace("w[h] * x[i]", "w[h]\n  apical multiplies x[i]")
    )
    assert run_passes(
        with_values(circuit, {"w": np.array([1.0, 0, 0, 2])}), parse_passes("prune-dead")
    )
