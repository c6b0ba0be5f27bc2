"""Circuits that are wrong about their source tokens: the extra one, and values from an input of their own.

A spec, and an edit after which its circuit computes something else. `negative_controls.py` has the others.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from cortico.ir import CellClass, Circuit, Compartment, Gain, Population, Region, TensorRef, Weight
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Microcircuit, PositionBias
from tests.verify.edits import (
    Edit,
    added,
    both,
    cells,
    drive,
    gain,
    reads,
    twice,
    without,
)

EXTRA = AttentionSpec(model=8, heads=2, extra_source=True)
BIASED = replace(EXTRA, bias=Bias(query=True, key=True, value=True, output=True))
SQUARE = AttentionSpec(model=4, heads=4, key_features=4, extra_source=True)
LINEAR = replace(EXTRA, kernel=Kernel.LINEAR)
RUNNING = replace(LINEAR, microcircuit=Microcircuit.MEMORY, mask=Mask.CAUSAL)
VALUES = AttentionSpec(model=8, heads=2, cross=True, context=8, values=8)
GIVEN = AttentionSpec(model=8, heads=2, position_bias=PositionBias.INPUT)
HALF = Fraction(1, 2)


def value_bias_behind(circuit: Circuit) -> Circuit:
    """The value bias given to each head's output, whatever the rows of its mask sum to."""
    behind = Population(
        "bias_cells",
        ("h", "i", "c"),
        Region.L5,
        CellClass.PT,
        (Compartment("basal", drive=(reads("b_V", "h", "c"),)),),
    )
    circuit = drive("deep", "basal")(circuit)
    circuit = replace(circuit, populations=(*circuit.populations, behind))
    return added("bias_output", "bias_cells", "relay", "driver", reads("W_O", "h", "m", "c"))(
        circuit
    )


def _padded_extra(circuit: Circuit) -> Circuit:
    """The extra source counted as often as there are source tokens that exist."""
    old = circuit.population("extra_deep").compartments
    circuit = cells("extra_deep", compartments=(*old, Compartment("tuft")))(circuit)
    return added("keep_extra", "matrix_keep", "extra_deep", "tuft")(circuit)


#: What is wrong, the spec, the edit.
WRONG_SOURCES: tuple[tuple[str, AttentionSpec, Edit], ...] = (
    ("an extra source dropped", EXTRA, without("extra_output")),
    ("an extra source that the pool does not hear", EXTRA, without("pool_extra")),
    ("an extra source twice in the pool", EXTRA, twice("pool_extra")),
    ("an extra source twice", EXTRA, twice("extra_output")),
    ("an extra source not divided", EXTRA, both(without("extra_shunt"), drive("extra_deep", "shunt", Weight()))),
    ("an extra source not exponentiated", EXTRA, cells("extra_mask", transfer="identity")),
    ("an extra key that is not scaled", EXTRA, gain("extra_score")),
    ("an extra key scaled twice", EXTRA, gain("extra_score", a=Fraction(-1))),
    ("an extra value for the extra key", SQUARE, drive("extra_superficial", "apical", reads("extra_V", "h", "a"))),
    ("an extra key of exchanged heads and features", SQUARE, drive("extra_superficial", "apical", reads("extra_K", "a", "h"))),
    ("an extra key with a key bias", BIASED, drive("extra_superficial", "apical", reads("extra_K", "h", "a"), reads("b_K", "h", "a"))),
    ("an extra value with a value bias", BIASED, drive("extra_deep", "basal", reads("extra_V", "h", "c"), reads("b_V", "h", "c"))),
    ("an extra key that meets a query without its bias", BIASED, drive("extra_superficial", "basal")),
    ("an extra value of zeros", EXTRA, drive("extra_deep", "basal", Weight(gain=Gain(0.0)))),
    ("an extra source for each token", EXTRA, gain("extra_output", j=Fraction(1))),
    ("an extra source that padding hides", replace(EXTRA, key_padding=True), _padded_extra),
    ("a linear extra source with a scale", LINEAR, gain("extra_gate", a=-HALF)),
    ("a linear extra source dropped", LINEAR, without("extra_output")),
    ("an extra source that a memory does not keep", RUNNING, without("extra_store")),
    ("an extra source that a memory keeps twice", RUNNING, twice("extra_store")),
    ("values of the context", VALUES, drive("core_value", "driver", reads("context", "j", "v"))),
    ("keys of the values", VALUES, drive("core_key", "driver", reads("values", "j", "l"))),
    # a bias that is given
    ("a score bias of exchanged tokens", GIVEN, drive("mask", "basal", reads("score_bias", "j", "i"))),
    ("a score bias forgotten", GIVEN, drive("mask", "basal")),
    ("a score bias scaled like the scores", GIVEN, drive("mask", "basal", Weight(TensorRef("score_bias", ("i", "j")), Gain(1.0, (("a", -HALF),))))),
    ("a score bias for each head", GIVEN, drive("mask", "basal", Weight(TensorRef("score_bias", ("i", "j")), Gain(1.0, (("h", Fraction(1)),))))),
    ("value bias moved past an extra source", replace(EXTRA, bias=Bias(value=True)), value_bias_behind),
)  # fmt: skip
