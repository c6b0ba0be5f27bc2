"""Cells that take over synapses keep the axes of what they hear, even where all indices are alike.

Found by the prover: without the axis, the synapses summed over tokens that they had matched before.
"""

import numpy as np
import pytest

from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Gain,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.passes import compare_meaning, parse_passes, run_passes
from cortico.verify.known import Known
from cortico.verify.steps.validation import prove_step

L23, L5, IT = Region.L23, Region.L5, CellClass.IT


def reads(tensor, *axes):
    return Weight(TensorRef(tensor, axes))


def circuit_with_constant_cells():
    """Cells over i and j that fire 0.5 everywhere, gating cells that others hear one to one over i."""
    b = CircuitBuilder("constant")
    b.axis("i", Role.COLUMN, "n")
    b.axis("j", Role.COLUMN, "n")
    b.axis("r", Role.AREA, 3)
    b.axis("c", Role.FEATURE, 6)
    b.axis("m", Role.MODEL, 2)
    b.input("x", ("n", 2))
    b.parameter("W", (6, 2), np.arange(-6.0, 6.0).reshape(6, 2))
    fixed = Compartment("basal", drive=(Weight(gain=Gain(0.5)),))
    cells = b.population("alike", ("i", "j"), L23, IT, [fixed])
    tokens = b.population(
        "tokens",
        ("j", "m"),
        Region.CORE,
        CellClass.RELAY,
        [Compartment("driver", drive=(reads("x", "j", "m"),))],
    )
    both = [Compartment("basal"), Compartment("apical")]
    deep = b.population("deep", ("i", "j", "c"), L5, CellClass.PT, both)
    b.project("gate", cells, deep, "apical")
    b.project("value", tokens, deep, "basal", reads("W", "c", "m"))
    out = b.population("out", ("r", "i", "c"), L5, CellClass.PT, [Compartment("basal")])
    b.project("sum", deep, out, "basal")
    b.output("y", out, ("r", "i", "c"))
    return b.build()


@pytest.mark.parametrize("text", ["share-relays", "split-sign", "reassociate,share-relays"])
def test_alike_is_not_alone(text):
    before = circuit_with_constant_cells()
    passes = parse_passes(text)
    _, steps = run_passes(before, passes, compare_meaning)
    changed = [step for step in steps if step.changed]
    assert changed
    for step in changed:
        each = next(p for p in passes if str(p) == step.name)
        assert prove_step(each, step.before, step.after).verdict is Known.PROVED
