"""The mask circuit: one microcolumn per head and pair of tokens (arXiv 2504.06354, v1).

    superficial[h,i,j,a] = (Σ_m W_K[h,a,m] x[j,m]) · (Σ_m W_Q[h,a,m] x[i,m])
    deep[h,i,j,c]        = (Σ_a superficial[h,i,j,a]) · (Σ_m W_V[h,c,m] x[j,m])
    relay[i,m]           = Σ_{h,j,c} W_O[h,m,c] deep[h,i,j,c]

For softmax a mask cell per microcolumn exponentiates the summed scores, and a PV pool per head and
query divides the deep cells: deep = mask · value / (sigma + pool). Sigma is a constant drive of the compartment
that PV cells divide by, 0 unless told: the semi-saturation constant of divisive normalisation (Carandini & Heeger
2012, 10.1038/nrn3136). It is there when the pool is silent, so that deep cells are released. The paper gives the
linear circuit; mask
cell and pool are its softmax extension. With `normalisation = "feedback"` the pool does not divide: it
integrates Σ_j mask - 1 and is subtracted from the scores, so that mask cells settle to the softmax itself
(`cortico.ir.analysis.rest` has the algebra). Scores with a soft cap have a cell per microcolumn that saturates,
capped = tanh(score / cap), under a constant shunt. Cell classes and the layer of the pool are our assumptions.

An extra source token has a microcolumn per head and query, whose key and value are constant drive:

    extra_superficial[h,i,a] = extra_K[h,a] · (Σ_m W_Q[h,a,m] x[i,m])
    extra_deep[h,i,c]        = (Σ_a extra_superficial[h,i,a]) · extra_V[h,c]
"""

from __future__ import annotations

from cortico.ir import (
    CellClass,
    Circuit,
    Compartment,
    Effect,
    Gain,
    Integration,
    Region,
    Weight,
)
from cortico.lowering.content import (
    bring_content,
    keep_relay,
    key_drive,
    output_relay,
    output_weight,
    query_drive,
    query_weight,
    score_gain,
    value_drive,
    value_weight,
)
from cortico.lowering.streams import Streams, reads
from cortico.spec import AttentionSpec, Kernel, Normalisation, PositionBias
from cortico.spec.weights import Weights


def lower_to_mask_circuit(spec: AttentionSpec, weights: Weights | None = None) -> Circuit:
    """The mask circuit of `spec`; parameters take their values from `weights` when given."""
    streams = Streams(spec, weights)
    scores, gain = _superficial_cells(streams), score_gain(streams)
    if spec.soft_cap is not None:
        scores, gain = _capped_cells(streams, spec.soft_cap, scores), Gain(float(spec.soft_cap))
    if spec.kernel is Kernel.LINEAR:
        _deep_cells(streams, gates=scores, lateral=gain)
    else:
        _deep_cells(streams, gates=_softmax_cells(streams, scores, gain))
    output_relay(streams)
    if spec.extra_source:
        _extra_column(streams)
    return streams.builder.build()


def _superficial_cells(streams: Streams) -> str:
    """L2/3 cells, one per microcolumn and key feature: key (apical) times query (basal)."""
    axes = streams.axes
    cells = streams.builder.population(
        "superficial",
        (*axes.head, axes.query, axes.source, *axes.key),
        Region.L23,
        CellClass.IT,
        [
            Compartment("apical", drive=key_drive(streams)),
            Compartment("basal", drive=query_drive(streams)),
        ],
        domain=streams.domain,
    )
    bring_content(streams, keys_onto=(cells, "apical"), queries_onto=(cells, "basal"))
    return cells


def _capped_cells(streams: Streams, cap: float, superficial: str) -> str:
    """L2/3 cells, one per microcolumn, whose rate saturates: tanh of the summed scores over the cap."""
    axes, b = streams.axes, streams.builder
    parts = [
        Compartment("basal"),
        Compartment("shunt", Effect.DIVIDES, (Weight(gain=Gain(float(cap))),)),
    ]
    column = (*axes.head, axes.query, axes.source)
    capped = b.population("capped", column, Region.L23, CellClass.IT, parts, "tanh", streams.domain)
    b.project("score", superficial, capped, "basal", Weight(gain=score_gain(streams)))
    return capped


def _position_bias(streams: Streams) -> tuple[Weight, ...]:
    """What positions add to the (already scaled) scores."""
    axes = (*streams.axes.head, streams.axes.query, streams.axes.source)
    match streams.spec.position_bias:
        case PositionBias.NONE:
            return ()
        case PositionBias.ALIBI:
            return (reads("alibi", *axes),)
        case PositionBias.TABLE:
            return (reads("position_bias", *axes),)
        case PositionBias.INPUT:
            return (reads("score_bias", streams.axes.query, streams.axes.source),)


def _softmax_cells(streams: Streams, scores: str, gain: Gain) -> str:
    """Mask cells and the PV pool that normalises them; returns the cells that gate the deep ones.

    What cells `scores` of a microcolumn say together, times `gain`, is its score.
    """
    axes, b = streams.axes, streams.builder
    column = (*axes.head, axes.query, axes.source)
    basal = Compartment("basal", drive=_position_bias(streams))
    gates = b.population(
        "mask", column, Region.L23, CellClass.IT, [basal], transfer="exp", domain=streams.domain
    )
    name = "score" if streams.spec.soft_cap is None else "cap"
    b.project(name, scores, gates, "basal", Weight(gain=gain))
    if streams.spec.key_padding:
        gates = _gated_mask(streams, gates)
    if streams.spec.normalisation is Normalisation.FEEDBACK:
        _feedback_pool(streams, gates)
    else:
        _dividing_pool(streams, gates)
    return gates


def _dividing_pool(streams: Streams, gates: str) -> None:
    """The PV pool of all mask cells of a query; it divides the deep cells."""
    axes, b = streams.axes, streams.builder
    pool = b.population(
        "pool", (*axes.head, axes.query), Region.L5, CellClass.PV, [Compartment("soma")]
    )
    b.project("pool_mask", gates, pool, "soma")
    if streams.spec.sink:
        sink = Compartment("basal", drive=(reads("sink", *axes.head),))
        b.population("sink", axes.head, Region.L23, CellClass.IT, [sink], transfer="exp")
        b.project("pool_sink", "sink", pool, "soma")


def _feedback_pool(streams: Streams, gates: str) -> None:
    """The PV pool that integrates how far the mask cells of a query are from 1 together, and inhibits them.

    It stays as it is where a query has no source token at all: what says how many there are, over itself, is 0.
    """
    axes, b, spec = streams.axes, streams.builder, streams.spec
    may_be_alone = spec.key_padding and not (spec.sink or spec.extra_source)
    own, less = (*axes.head, axes.query), Weight(gain=Gain(-1.0))
    parts = [Compartment("soma", drive=(less,))]
    if may_be_alone:
        parts += [Compartment("live"), Compartment("shunt", Effect.DIVIDES)]
    pace = Integration(float(spec.feedback.rate), float(spec.feedback.start))
    pool = b.population("pool", own, Region.L23, CellClass.PV, parts, "tanh", integrates=pace)
    b.project("pool_mask", gates, pool, "soma")
    b.project("inhibition", pool, "mask", "basal", less)
    if may_be_alone:
        for name, part in (("live", "live"), ("live_shunt", "shunt")):
            b.project(name, "matrix_keep", pool, part, domain=streams.domain)
    if spec.sink:
        sink = Compartment("basal", drive=(reads("sink", *axes.head),))
        b.population("sink", own, Region.L23, CellClass.IT, [sink], transfer="exp")
        b.project("inhibition_sink", pool, "sink", "basal", less)
        b.project("pool_sink", "sink", pool, "soma")


def _gated_mask(streams: Streams, mask: str) -> str:
    """Mask cells that fire only for source tokens that exist."""
    b, axes = streams.builder, streams.axes
    gated = b.population(
        "gated_mask",
        (*axes.head, axes.query, axes.source),
        Region.L23,
        CellClass.IT,
        [Compartment("basal"), Compartment("apical")],
        domain=streams.domain,
    )
    b.project("mask", mask, gated, "basal")
    b.project("keep", keep_relay(streams), gated, "apical")
    return gated


def _deep_cells(streams: Streams, gates: str, lateral: Gain = Gain()) -> None:
    """L5 cells, one per microcolumn and value feature: value (basal) gated by the mask (apical)."""
    axes, b, spec = streams.axes, streams.builder, streams.spec
    linear = spec.kernel is Kernel.LINEAR
    shunted = not linear and spec.normalisation is Normalisation.DIVISION
    compartments = [
        Compartment("basal", drive=value_drive(streams)),
        Compartment("apical", drive=_position_bias(streams) if linear else ()),
    ]
    if linear and spec.key_padding:
        compartments.append(Compartment("tuft"))
    if shunted:
        compartments.append(_shunt(spec))
    deep = b.population(
        "deep",
        (*axes.head, axes.query, axes.source, axes.value),
        Region.L5,
        CellClass.PT,
        compartments,
        domain=streams.domain,
    )
    b.project("value", streams.value_relay, deep, "basal", value_weight(streams))
    b.project("gate", gates, deep, "apical", Weight(gain=lateral))
    if linear and spec.key_padding:
        b.project("keep", keep_relay(streams), deep, "tuft")
    if shunted:
        b.project("shunt", "pool", deep, "shunt")


def _shunt(spec: AttentionSpec) -> Compartment:
    """What the pool divides by, and the semi-saturation constant with it."""
    sigma = float(spec.semi_saturation)
    return Compartment("shunt", Effect.DIVIDES, (Weight(gain=Gain(sigma)),) if sigma else ())


def _extra_column(streams: Streams) -> None:
    """The microcolumns of a source token that no relay brings; no mask and no padding hides it."""
    axes, b, spec = streams.axes, streams.builder, streams.spec
    own, softmax = (*axes.head, axes.query), spec.kernel is Kernel.SOFTMAX
    feedback = softmax and spec.normalisation is Normalisation.FEEDBACK
    shunted = softmax and not feedback
    key = Compartment("apical", drive=(reads("extra_K", *axes.group, *axes.key),))
    parts = [key, Compartment("basal", drive=query_drive(streams))]
    scores = b.population("extra_superficial", (*own, *axes.key), Region.L23, CellClass.IT, parts)
    b.project("extra_query", streams.query_relay, scores, "basal", query_weight(streams))
    gates, lateral = scores, score_gain(streams)
    if softmax:
        gates = b.population(
            "extra_mask", own, Region.L23, CellClass.IT, [Compartment("basal")], transfer="exp"
        )
        b.project("extra_score", scores, gates, "basal", Weight(gain=lateral))
        b.project("pool_extra", gates, "pool", "soma")
        lateral = Gain()
    if feedback:
        less = Weight(gain=Gain(-1.0))
        b.project("inhibition_extra", "pool", "extra_mask", "basal", less)
    value = Compartment("basal", drive=(reads("extra_V", *axes.group, axes.value),))
    parts = [value, Compartment("apical"), *[_shunt(spec)] * shunted]
    deep = b.population("extra_deep", (*own, axes.value), Region.L5, CellClass.PT, parts)
    b.project("extra_gate", gates, deep, "apical", Weight(gain=lateral))
    if shunted:
        b.project("extra_shunt", "pool", deep, "shunt")
    b.project("extra_output", deep, "relay", "driver", output_weight(streams))
