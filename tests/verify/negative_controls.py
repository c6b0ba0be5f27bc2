"""Circuits that are wrong, each in one way that somebody might get wrong.

`WRONG_CIRCUITS` are edits of lowered circuits. What faulty passes would make of them is in `negative_passes.py`,
what is wrong about source tokens in `negative_sources.py`, wrong gradients in `negative_gradients.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from cortico.ir import (
    Bound,
    CellClass,
    Circuit,
    Compartment,
    Effect,
    Gain,
    Parameter,
    Population,
    Region,
    TensorRef,
    Weight,
)
from cortico.lowering import lower
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormKind,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
)
from tests.verify.edits import (
    Edit,
    added,
    both,
    cells,
    compartments,
    domains,
    drive,
    effect,
    gain,
    reads,
    synapses,
    twice,
    weight,
    without,
)
from tests.verify.negative_sources import WRONG_SOURCES, value_bias_behind

BIASED = Bias(query=True, key=True, value=True, output=True)
SOFT = AttentionSpec(model=8, heads=2)
SQUARE = AttentionSpec(model=4, heads=2, key_features=4)  # model, key and value features are 4
LINEAR = replace(SOFT, kernel=Kernel.LINEAR)
CAUSAL = replace(SOFT, mask=Mask.CAUSAL)
WINDOW = replace(SOFT, mask=Mask.WINDOW, window=2)
PADDED = replace(SOFT, key_padding=True)
SINK = replace(SOFT, sink=True)
SATURATED = replace(SOFT, semi_saturation=0.5)
GROUPED = replace(SOFT, heads=4, kv_heads=2, key_features=4)
ROTARY = replace(GROUPED, rotary=Rotary())
CROSS = replace(SOFT, cross=True, context=8)
MEMORY = replace(LINEAR, microcircuit=Microcircuit.MEMORY)
RUNNING = replace(MEMORY, mask=Mask.CAUSAL)
NORMED = replace(SOFT, qk_norm=QueryKeyNorm(eps=0.5))
WIDE = replace(ROTARY, qk_norm=QueryKeyNorm(NormOver.WIDTH))
TURNED = replace(ROTARY, qk_norm=QueryKeyNorm())
CENTRED = replace(
    SOFT, qk_norm=QueryKeyNorm(eps=0.5, kind=NormKind.LAYER, own_gains=True, bias=True)
)
CAPPED = replace(SOFT, soft_cap=0.6)
ALIBI = replace(CAUSAL, position_bias=PositionBias.ALIBI)


@dataclass(frozen=True)
class WrongCircuit:
    """A spec, and an edit after which its circuit computes something else."""

    spec: AttentionSpec
    edit: Edit

    @property
    def right(self) -> Circuit:
        return lower(self.spec)

    @property
    def wrong(self) -> Circuit:
        return self.edit(self.right)


def _pooled_in_front(circuit: Circuit) -> Circuit:
    """The mask multiplied with the score before the exponential."""
    gate = Compartment("apical", drive=(reads("keep", "j"),))
    circuit = compartments("mask", lambda c: c)(circuit)
    mask = circuit.population("mask")
    circuit = cells("mask", compartments=(*mask.compartments, gate))(circuit)
    return synapses("keep", weight=Weight(gain=Gain(0.0)))(
        drive("gated_mask", "apical", Weight())(circuit)
    )


def _half_rectified(circuit: Circuit) -> Circuit:
    """Cells that should carry a signed rate carry its positive part."""
    return cells("superficial", transfer="relu")(circuit)


def _saturates_one_head(circuit: Circuit) -> Circuit:
    """The constant in the first head, and twice of it in the other."""
    mine = Parameter("sigma", (2,), np.array([0.5, 1.0]))
    circuit = replace(circuit, parameters=(*circuit.parameters, mine))
    return drive("deep", "shunt", reads("sigma", "h"))(circuit)


def _eps_outside(circuit: Circuit) -> Circuit:
    """√(mean of squares) + √eps for √(mean of squares + eps)."""
    circuit = drive("key_pool", "soma")(circuit)
    return drive("normed_key", "shunt", Weight(gain=Gain(0.5**0.5)))(circuit)


def _cap_behind_the_mask(circuit: Circuit) -> Circuit:
    """What a query may not see gets the score 0 under the cap, in place of none."""
    circuit = synapses("mask", pre="mask")(circuit)
    gate = Compartment("apical")
    old = circuit.population("capped").compartments
    circuit = cells("capped", compartments=(*old, gate))(circuit)
    circuit = added("keep_in_front", "matrix_keep", "capped", "apical")(circuit)
    return drive("gated_mask", "apical", Weight())(without("keep")(circuit))


def _cap_of_products(circuit: Circuit) -> Circuit:
    """tanh of the product of each feature, added up, for tanh of their sum."""
    saturated = cells("superficial", transfer="tanh")
    return cells("capped", transfer="identity")(saturated(circuit))


def _gain_behind_the_rotation(circuit: Circuit) -> Circuit:
    """Gains applied to features that have turned."""
    turned = Population(
        "turned", ("g", "j", "p", "s"), Region.L4, CellClass.STELLATE, (Compartment("basal"),)
    )
    circuit = replace(circuit, populations=(*circuit.populations, turned))
    circuit = synapses("rotate_key", post="turned", compartment="basal")(
        weight("norm_key")(circuit)
    )
    return added("gain", "turned", "superficial", "apical", reads("gain_K", "p", "s"))(circuit)


# ---- wrong circuits ------------------------------------------------------------------------------

HALF = Fraction(1, 2)
LATER, _EARLIER = Bound("j", "i", 0), Bound("i", "j", 0)

WRONG_CIRCUITS: dict[str, WrongCircuit] = {
    name: WrongCircuit(spec, edit)
    for name, spec, edit in (
        # weights and indices
        ("W_K transposed", SQUARE, weight("key", "h", "m", "a")),
        ("W_Q transposed", SQUARE, weight("query", "h", "m", "a")),
        ("W_V transposed", SQUARE, weight("value", "h", "m", "c")),
        ("W_O transposed", SQUARE, weight("output", "h", "c", "m")),
        ("W_K for W_Q", SOFT, weight("query", tensor="W_K")),
        ("W_K for W_V", SQUARE, weight("value", tensor="W_K")),
        ("keys and queries exchanged", SOFT, both(synapses("key", compartment="basal", pre="matrix_query"), synapses("query", compartment="apical", pre="core_source"))),
        ("keys of the query token", SOFT, synapses("key", pre="matrix_query")),
        ("values of the query token", SOFT, synapses("value", pre="matrix_query")),
        ("queries of the source token", SOFT, synapses("query", pre="core_source")),
        ("x in place of the context", replace(CROSS, tokens=5, context_tokens=5), drive("core_source", "driver", reads("x", "j", "l"))),
        ("the context's features in another order", replace(CROSS, context=4, context_tokens=4), drive("core_source", "driver", reads("context", "l", "j"))),
        ("a query token's features in another order", replace(SOFT, tokens=8), drive("matrix_query", "driver", reads("x", "m", "i"))),
        ("the output of the wrong head features", SQUARE, weight("output", "h", "c", "m")),
        ("keys in group order of members", replace(GROUPED, kv_heads=2), weight("key", "r", "a", "m")),
        ("values in group order of members", replace(GROUPED, kv_heads=2), weight("value", "r", "c", "m")),
        ("groups and members of the query exchanged", GROUPED, weight("query", "r", "g", "a", "m")),
        ("groups and members of the output exchanged", GROUPED, weight("output", "r", "g", "m", "c")),
        # scale
        ("1/√d forgotten", SOFT, gain("score")),
        ("1/√d twice", SOFT, gain("score", a=Fraction(-1))),
        ("√d for 1/√d", SOFT, gain("score", a=HALF)),
        ("scaled by the value features", SOFT, gain("score", c=-HALF)),
        ("scaled by the model features", SQUARE, gain("score", m=-HALF)),
        ("scaled by the heads, as many as features", replace(SOFT, heads=4, key_features=4), gain("score", h=-HALF)),
        ("scaled by the tokens, as many as features", replace(GROUPED, tokens=4), gain("score", j=-HALF)),
        ("scaled by a number that fits this size only", SOFT, gain("score", 0.5)),
        ("1/√d of the planes only", ROTARY, gain("score", p=-HALF)),
        ("linear scores scaled like softmax", LINEAR, gain("gate", a=-HALF)),
        ("the given scale's sign", replace(SOFT, scale=0.3), gain("score", -0.3)),
        ("the given scale squared", replace(SOFT, scale=0.3), gain("score", 0.09)),
        # masks
        ("causal off by one, too many", CAUSAL, domains(Bound("j", "i", 1))),
        ("causal off by one, too few", CAUSAL, domains(Bound("j", "i", -1))),
        ("causal on the wrong side", CAUSAL, domains(_EARLIER)),
        ("causal forgotten", CAUSAL, domains()),
        ("causal forgotten in the pool", CAUSAL, both(cells("superficial", domain=()), cells("mask", domain=()))),
        ("window off by one, too many", WINDOW, domains(Bound("i", "j", 2), LATER)),
        ("window off by one, too few", WINDOW, domains(Bound("i", "j", 0), LATER)),
        ("window without causality", WINDOW, domains(Bound("i", "j", 1))),
        ("window in the future", WINDOW, domains(Bound("j", "i", 1), _EARLIER)),
        ("padding forgotten", PADDED, both(without("mask"), without("keep"), drive("gated_mask", "apical", Weight()), added("mask", "mask", "gated_mask", "basal"))),
        ("padding forgotten in the pool", PADDED, synapses("pool_mask", pre="mask")),
        ("padding forgotten in the numerator", PADDED, synapses("gate", pre="mask")),
        ("padding of the query", PADDED, drive("gated_mask", "apical", reads("keep", "i"))),
        ("padding multiplied before the exponential", PADDED, _pooled_in_front),
        ("padding forgotten in linear attention", replace(LINEAR, key_padding=True), both(without("keep"), drive("deep", "tuft", Weight()))),
        # softmax
        ("relu for exp", SOFT, cells("mask", transfer="relu")),
        ("no exponential", SOFT, cells("mask", transfer="identity")),
        ("tanh for exp", SOFT, cells("mask", transfer="tanh")),
        ("the exponential twice", SOFT, both(cells("pool", transfer="exp"))),
        ("softmax over the wrong axis", SOFT, both(cells("pool", axes=("h", "j")))),
        ("softmax over heads too", SOFT, cells("pool", axes=("i",))),
        ("one softmax for all", SOFT, cells("pool", axes=("h",))),
        ("not divided", SOFT, both(compartments("deep", lambda c: None if c.name == "shunt" else c), without("shunt"))),
        ("divided twice", SOFT, both(compartments("deep", lambda c: c), lambda circuit: cells("deep", compartments=(*circuit.population("deep").compartments, Compartment("shunt_2", Effect.DIVIDES)))(circuit), added("shunt_2", "pool", "deep", "shunt_2"))),
        ("multiplied by the pool", SOFT, compartments("deep", effect("shunt", Effect.MULTIPLIES))),
        ("divided by the mask", SOFT, compartments("deep", effect("apical", Effect.DIVIDES))),
        ("a mean for a sum in the pool", SOFT, gain("pool_mask", j=Fraction(-1))),
        ("one more in the pool", SOFT, drive("pool", "soma", Weight())),
        ("sink dropped", SINK, without("pool_sink")),
        ("sink twice", SINK, twice("pool_sink")),
        ("sink not exponentiated", SINK, cells("sink", transfer="identity")),
        ("sink kept in the output", SINK, added("sink_out", "sink", "deep", "apical")),
        ("one sink for all tokens", SINK, gain("pool_sink", j=Fraction(1))),
        ("no semi-saturation", SATURATED, drive("deep", "shunt")),
        ("the semi-saturation doubled", SATURATED, drive("deep", "shunt", Weight(gain=Gain(1.0)))),
        ("another semi-saturation", SATURATED, drive("deep", "shunt", Weight(gain=Gain(0.51)))),
        ("the semi-saturation for each head", SATURATED, drive("deep", "shunt", Weight(gain=Gain(0.5, (("h", Fraction(1)),))))),
        ("the semi-saturation for each source token", SATURATED, both(drive("deep", "shunt"), drive("mask", "basal", Weight(gain=Gain(0.5))))),
        ("the semi-saturation in the numerator", SATURATED, both(drive("deep", "shunt"), drive("deep", "apical", Weight(gain=Gain(0.5))))),
        ("the semi-saturation in the numerator too", SATURATED, drive("deep", "apical", Weight(gain=Gain(0.5)))),
        ("the semi-saturation as a value", SATURATED, drive("deep", "basal", Weight(gain=Gain(0.5)))),
        ("the semi-saturation in the pool too", SATURATED, drive("pool", "soma", Weight(gain=Gain(0.5)))),
        ("the semi-saturation as a logit", SATURATED, drive("deep", "shunt", Weight(gain=Gain(math.exp(0.5))))),
        ("a semi-saturation of one head only", replace(SATURATED, heads=2), _saturates_one_head),
        ("the semi-saturation by the pool of all heads", SATURATED, cells("pool", axes=("i",))),
        ("no semi-saturation for the extra source", replace(SATURATED, extra_source=True), drive("extra_deep", "shunt")),
        ("a key bias dropped before a semi-saturation", replace(SATURATED, bias=Bias(key=True)), drive("superficial", "apical")),
        ("value bias moved past a semi-saturation", replace(SATURATED, bias=Bias(value=True)), value_bias_behind),
        # biases and positions
        ("query bias dropped", replace(SOFT, bias=BIASED), both(drive("superficial", "basal"))),
        ("key bias for query bias", replace(SOFT, bias=BIASED), drive("superficial", "basal", reads("b_K", "h", "a"))),
        ("value bias dropped", replace(SOFT, bias=BIASED), drive("deep", "basal")),
        ("value bias twice", replace(SOFT, bias=BIASED), drive("deep", "basal", reads("b_V", "h", "c"), reads("b_V", "h", "c"))),
        ("query bias of another head", replace(SOFT, heads=4, bias=BIASED, key_features=4), drive("superficial", "basal", reads("b_Q", "a", "h"))),
        ("output bias for each head", replace(SOFT, bias=BIASED), drive("relay", "driver", Weight(TensorRef("b_O", ("m",)), Gain(1.0, (("h", Fraction(1)),))))),
        ("output bias dropped", replace(SOFT, bias=BIASED), drive("relay", "driver")),
        ("value bias moved past a sink", replace(SINK, bias=Bias(value=True)), value_bias_behind),
        ("value bias moved past scores that are no softmax", replace(LINEAR, bias=Bias(value=True)), value_bias_behind),
        ("ALiBi with the other sign", ALIBI, drive("mask", "basal", Weight(TensorRef("alibi", ("h", "i", "j")), Gain(-1.0)))),
        ("ALiBi of exchanged tokens", ALIBI, drive("mask", "basal", reads("alibi", "h", "j", "i"))),
        ("ALiBi scaled like the scores", ALIBI, drive("mask", "basal", Weight(TensorRef("alibi", ("h", "i", "j")), Gain(1.0, (("a", -HALF),))))),
        ("ALiBi forgotten", ALIBI, drive("mask", "basal")),
        ("a table of exchanged tokens", replace(SOFT, tokens=5, position_bias=PositionBias.TABLE), drive("mask", "basal", reads("position_bias", "h", "j", "i"))),
        ("rotation of keys transposed", ROTARY, weight("rotate_key", "j", "p", "t", "s")),
        ("both rotations transposed", replace(ROTARY, bias=BIASED, key_padding=True, mask=Mask.CAUSAL, sink=True), both(weight("rotate_key", "j", "p", "t", "s"))),
        ("rotation of the query by the source token", ROTARY, weight("rotate_query", "j", "p", "s", "t", tensor="R_K")),
        ("rotation of planes by tokens", replace(ROTARY, tokens=2), weight("rotate_key", "p", "j", "s", "t")),
        ("bias behind the rotation", replace(ROTARY, bias=Bias(query=True)), both(drive("query", "basal"), drive("superficial", "basal", reads("b_Q", "g", "r", "p", "s")))),
        # norms of queries and keys
        ("a norm without eps", NORMED, drive("key_pool", "soma")),
        ("eps outside of the root", NORMED, _eps_outside),
        ("a sum of squares for their mean", NORMED, gain("pool_query")),
        ("a mean of squares over the model features", replace(SQUARE, qk_norm=QueryKeyNorm()), gain("pool_query", m=Fraction(-1))),
        ("a mean of squares over the planes only", TURNED, gain("pool_key", p=Fraction(-1))),
        ("a mean for the root of a mean", NORMED, cells("key_pool", transfer="identity")),
        ("a norm over tokens", replace(NORMED, tokens=4), both(cells("key_pool", axes=("h", "a")), gain("pool_key", j=Fraction(-1)))),
        ("a norm over the width for each head", TURNED, both(cells("query_pool", axes=("i",)), gain("pool_query", g=Fraction(-1), r=Fraction(-1), p=Fraction(-1), t=Fraction(-1)))),
        ("a norm of each head over the width", WIDE, both(cells("key_pool", axes=("g", "j")), gain("pool_key", p=Fraction(-1), t=Fraction(-1)))),
        ("a norm over the members of a group", WIDE, both(cells("query_pool", axes=("g", "i")), gain("pool_query", r=Fraction(-1), p=Fraction(-1), t=Fraction(-1)))),
        ("gains of keys for queries", NORMED, weight("norm_query", tensor="gain_K")),
        ("gains forgotten", NORMED, synapses("norm_key", weight=Weight())),
        ("gains of planes and components exchanged", replace(TURNED, key_features=4), weight("norm_key", "t", "p")),
        ("a norm without squares", NORMED, both(without("square_key_apical"), drive("key_square", "apical", Weight()))),
        ("queries not divided", NORMED, both(without("shunt_query"), drive("normed_query", "shunt", Weight()))),
        ("keys multiplied by their norm", NORMED, compartments("normed_key", effect("shunt", Effect.MULTIPLIES))),
        ("keys turned before a gain for each feature", TURNED, _gain_behind_the_rotation),
        ("the bias behind the norm", replace(NORMED, bias=Bias(query=True)), both(drive("query", "basal"), drive("normed_query", "basal", reads("b_Q", "h", "a")))),
        ("a layer norm that keeps the mean", CENTRED, without("subtract_key")),
        ("a sum for the mean that is taken away", CENTRED, gain("mean_query")),
        ("a mean over heads for that over features", replace(CENTRED, heads=4, key_features=4), gain("mean_key", h=Fraction(-1))),
        ("squares of what is not centred", CENTRED, both(synapses("square_key_basal", pre="key"), synapses("square_key_apical", pre="key"))),
        ("the bias of keys for queries", CENTRED, drive("shifted_query", "basal", reads("shift_K", "h", "a"))),
        ("the bias of a norm in front of its gain", CENTRED, both(drive("shifted_key", "basal", Weight()), drive("centred_key", "basal", reads("shift_K", "h", "a")))),
        # caps
        ("a cap without tanh", CAPPED, cells("capped", transfer="identity")),
        ("tanh without a cap", CAPPED, both(drive("capped", "shunt", Weight()), gain("cap"))),
        ("scores not divided by the cap", CAPPED, drive("capped", "shunt", Weight())),
        ("tanh not multiplied by the cap", CAPPED, gain("cap")),
        ("divided by another cap", CAPPED, drive("capped", "shunt", Weight(gain=Gain(0.7)))),
        ("multiplied by another cap", CAPPED, gain("cap", 0.7)),
        ("a cap behind the exponential", CAPPED, both(cells("capped", transfer="exp"), cells("mask", transfer="tanh"))),
        ("a cap of what is masked", replace(CAPPED, key_padding=True, mask=Mask.CAUSAL), _cap_behind_the_mask),
        ("a cap of the position bias too", replace(CAPPED, mask=Mask.CAUSAL, position_bias=PositionBias.ALIBI), both(drive("mask", "basal"), drive("capped", "basal", reads("alibi", "h", "i", "j")))),
        ("a cap of single products", CAPPED, _cap_of_products),
        ("a scale behind the cap", CAPPED, both(gain("score"), gain("cap", 0.6, a=-HALF))),
        ("a sigmoid for tanh", CAPPED, cells("capped", transfer="sigmoid")),
        ("a linear cap dropped", replace(CAPPED, kernel=Kernel.LINEAR), cells("capped", transfer="identity")),
        # heads, memory
        ("a head counted as often as there are heads", SOFT, gain("output", h=Fraction(1))),
        ("heads averaged", SOFT, gain("output", h=Fraction(-1))),
        ("a residual that nobody asked for", SOFT, added("residual", "matrix_query", "relay", "driver")),
        ("values twice", SOFT, twice("value")),
        ("memory without j <= i", RUNNING, synapses("store", domain=())),
        ("memory strictly causal", RUNNING, synapses("store", domain=(Bound("j", "i", -1),))),
        ("memory of the future", RUNNING, synapses("store", domain=(_EARLIER,))),
        ("memory recalled with a scale", MEMORY, gain("recall", a=-HALF)),
        ("memory of keys only", MEMORY, both(without("value"), drive("association", "basal", Weight()))),
        ("memory without padding", replace(MEMORY, key_padding=True), both(without("keep"), drive("association", "tuft", Weight()))),
        ("memory averaged", MEMORY, gain("store", j=Fraction(-1))),
        ("keys rectified", LINEAR, _half_rectified),
        ("the output rectified", SOFT, cells("relay", transfer="relu")),
        ("output axes exchanged", replace(SOFT, tokens=8), lambda c: replace(c, outputs=tuple(replace(o, source=TensorRef("relay", ("m", "i"))) for o in c.outputs))),
        *WRONG_SOURCES,
    )
}  # fmt: skip
