"""The mask circuit: one microcolumn per head and pair of tokens (arXiv 2504.06354, v1).

    superficial[h,i,j,a] = (Σ_m W_K[h,a,m] x[j,m]) · (Σ_m W_Q[h,a,m] x[i,m])
    deep[h,i,j,c]        = (Σ_a superficial[h,i,j,a]) · (Σ_m W_V[h,c,m] x[j,m])
    relay[i,m]           = Σ_{h,j,c} W_O[h,m,c] deep[h,i,j,c]

For softmax a mask cell per microcolumn exponentiates the summed scores, and a PV pool per head and
query divides the deep cells: deep = mask · value / pool. The paper gives the linear circuit; mask
cell and pool are its softmax extension. Cell classes and the layer of the pool are our assumptions.
"""

from __future__ import annotations

from fractions import Fraction

from cortico.ir import CellClass, Circuit, Compartment, Effect, Gain, Region, Weight
from cortico.lowering.streams import Streams, reads
from cortico.spec import AttentionSpec, Kernel, PositionBias
from cortico.weights import Weights


def lower_to_mask_circuit(spec: AttentionSpec, weights: Weights | None = None) -> Circuit:
    """The mask circuit of `spec`; parameters take their values from `weights` when given."""
    streams = Streams(spec, weights)
    superficial = _superficial_cells(streams)
    if spec.kernel is Kernel.LINEAR:
        _deep_cells(streams, gates=superficial, lateral=_score_gain(streams))
    else:
        _deep_cells(streams, gates=_softmax_cells(streams, superficial))
    _output_relay(streams)
    return streams.builder.build()


def _superficial_cells(streams: Streams) -> str:
    """L2/3 cells, one per microcolumn and key feature: key (apical) times query (basal)."""
    axes, b = streams.axes, streams.builder
    has_rotary = streams.spec.rotary is not None
    cells = b.population(
        "superficial",
        (*axes.head, axes.query, axes.source, *axes.key),
        Region.L23,
        CellClass.IT,
        [
            Compartment("apical", drive=() if has_rotary else _key_bias(streams)),
            Compartment("basal", drive=() if has_rotary else _query_bias(streams)),
        ],
        domain=streams.domain,
    )
    if has_rotary:
        _rotated_content(streams, cells)
    else:
        b.project("key", streams.key_relay, cells, "apical", _key_weight(streams))
        b.project("query", streams.query_relay, cells, "basal", _query_weight(streams))
    return cells


def _rotated_content(streams: Streams, cells: str) -> None:
    """Keys and queries by way of L4 cells, whose synapses onto L2/3 turn them by token position."""
    axes, b = streams.axes, streams.builder

    def content_cells(name: str, axes_: tuple[str, ...], drive: tuple[Weight, ...]) -> str:
        basal = Compartment("basal", drive=drive)
        return b.population(name, axes_, Region.L4, CellClass.STELLATE, [basal])

    plane, rotated, unrotated = axes.key[0], axes.key[1], axes.unrotated[1]
    keys = content_cells("key", (*axes.group, axes.source, *axes.unrotated), _key_bias(streams))
    queries = content_cells(
        "query", (*axes.head, axes.query, *axes.unrotated), _query_bias(streams)
    )
    b.project("key", streams.key_relay, keys, "basal", _key_weight(streams))
    b.project("query", streams.query_relay, queries, "basal", _query_weight(streams))
    turn_key = reads("R_K", axes.source, plane, rotated, unrotated)
    turn_query = reads("R_Q", axes.query, plane, rotated, unrotated)
    b.project("rotate_key", keys, cells, "apical", turn_key)
    b.project("rotate_query", queries, cells, "basal", turn_query)


def _key_weight(streams: Streams) -> Weight:
    axes = streams.axes
    return reads("W_K", *axes.group, *axes.unrotated, axes.source_model)


def _query_weight(streams: Streams) -> Weight:
    axes = streams.axes
    return reads("W_Q", *axes.head, *axes.unrotated, axes.query_model)


def _key_bias(streams: Streams) -> tuple[Weight, ...]:
    return streams.bias("b_K", *streams.axes.group, *streams.axes.unrotated)


def _query_bias(streams: Streams) -> tuple[Weight, ...]:
    return streams.bias("b_Q", *streams.axes.head, *streams.axes.unrotated)


def _score_gain(streams: Streams) -> Gain:
    """The scale of the scores: as given, else 1/√d for softmax and 1 for linear."""
    spec = streams.spec
    if spec.scale is not None:
        return Gain(float(spec.scale))
    if spec.kernel is Kernel.LINEAR:
        return Gain()
    return Gain(sizes=tuple((axis, Fraction(-1, 2)) for axis in streams.axes.key))


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


def _softmax_cells(streams: Streams, superficial: str) -> str:
    """Mask cells and the PV pool that normalises them; returns the cells that gate the deep ones."""
    axes, b = streams.axes, streams.builder
    column = (*axes.head, axes.query, axes.source)
    basal = Compartment("basal", drive=_position_bias(streams))
    gates = b.population(
        "mask", column, Region.L23, CellClass.IT, [basal], transfer="exp", domain=streams.domain
    )
    b.project("score", superficial, gates, "basal", Weight(gain=_score_gain(streams)))
    if streams.spec.key_padding:
        gates = _gated_mask(streams, gates)
    pool = b.population(
        "pool", (*axes.head, axes.query), Region.L5, CellClass.PV, [Compartment("soma")]
    )
    b.project("pool_mask", gates, pool, "soma")
    if streams.spec.sink:
        sink = Compartment("basal", drive=(reads("sink", *axes.head),))
        b.population("sink", axes.head, Region.L23, CellClass.IT, [sink], transfer="exp")
        b.project("pool_sink", "sink", pool, "soma")
    return gates


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
    b.project("keep", _keep_relay(streams), gated, "apical")
    return gated


def _keep_relay(streams: Streams) -> str:
    """Matrix relay cells that say which source tokens exist."""
    source = streams.axes.source
    driver = Compartment("driver", drive=(reads("keep", source),))
    return streams.builder.population(
        "matrix_keep", (source,), Region.MATRIX, CellClass.RELAY, [driver]
    )


def _deep_cells(streams: Streams, gates: str, lateral: Gain = Gain()) -> None:
    """L5 cells, one per microcolumn and value feature: value (basal) gated by the mask (apical)."""
    axes, b, spec = streams.axes, streams.builder, streams.spec
    linear = spec.kernel is Kernel.LINEAR
    compartments = [
        Compartment("basal", drive=streams.bias("b_V", *axes.group, axes.value)),
        Compartment("apical", drive=_position_bias(streams) if linear else ()),
    ]
    if linear and spec.key_padding:
        compartments.append(Compartment("tuft"))
    if not linear:
        compartments.append(Compartment("shunt", Effect.DIVIDES))
    deep = b.population(
        "deep",
        (*axes.head, axes.query, axes.source, axes.value),
        Region.L5,
        CellClass.PT,
        compartments,
        domain=streams.domain,
    )
    value = reads("W_V", *axes.group, axes.value, axes.source_model)
    b.project("value", streams.value_relay, deep, "basal", value)
    b.project("gate", gates, deep, "apical", Weight(gain=lateral))
    if linear and spec.key_padding:
        b.project("keep", _keep_relay(streams), deep, "tuft")
    if not linear:
        b.project("shunt", "pool", deep, "shunt")


def _output_relay(streams: Streams) -> None:
    """Higher-order thalamic relay cells that add the heads through W_O."""
    axes, b = streams.axes, streams.builder
    over = (axes.query, axes.output_model)
    driver = Compartment("driver", drive=streams.bias("b_O", axes.output_model))
    relay = b.population("relay", over, Region.HIGHER_ORDER, CellClass.RELAY, [driver])
    b.project(
        "output", "deep", relay, "driver", reads("W_O", *axes.head, axes.output_model, axes.value)
    )
    if streams.spec.residual:
        b.project("residual", streams.query_relay, relay, "driver")
    b.output("y", relay, over)
