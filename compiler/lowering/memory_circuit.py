"""The memory circuit: a key-value memory whose size does not depend on tokens (arXiv 2504.06354, v3).

    association[h,j,c,a] = (Σ_m W_K[h,a,m] x[j,m]) · (Σ_m W_V[h,c,m] x[j,m])
    memory[h,c,a]        = Σ_j association[h,j,c,a]      causal: memory[h,i,c,a] = Σ_{j<=i} …
    deep[h,i,c,a]        = memory[h,c,a] · (Σ_m W_Q[h,a,m] x[i,m])
    relay[i,m]           = Σ_{h,c,a} W_O[h,m,c] deep[h,i,c,a]

Tokens are presented one after another (axes in time), so that there is one cell per head and pair of
features (c, a); the memory cells integrate. Without a mask all source tokens come before the first
query; under a causal mask both run on one clock. The paper has the superficial cell that keeps the
memory; that L2/3 cells of their own multiply key and value in front of it is our assumption. An extra source
token has such cells too, under constant drive: what they store is recalled by every query.
"""

from __future__ import annotations

from cortico.ir import CellClass, Circuit, Compartment, Region, Unfold, Weight
from cortico.lowering.content import (
    bring_content,
    keep_relay,
    key_drive,
    output_relay,
    query_drive,
    score_gain,
    value_drive,
    value_weight,
)
from cortico.lowering.streams import Streams, reads
from cortico.spec import AttentionSpec, Mask
from cortico.spec.weights import Weights


def lower_to_memory_circuit(spec: AttentionSpec, weights: Weights | None = None) -> Circuit:
    """The memory circuit of `spec`; parameters take their values from `weights` when given."""
    streams = Streams(spec, weights, tokens=Unfold.TIME)
    association = _association_cells(streams)
    memory = _memory_cells(streams, association)
    deep = _deep_cells(streams, memory)
    bring_content(streams, keys_onto=(association, "apical"), queries_onto=(deep, "basal"))
    output_relay(streams)
    return streams.builder.build()


def _association_cells(streams: Streams) -> str:
    """L2/3 cells, one per pair of features: key (apical) times value (basal) of a source token."""
    axes, b, padded = streams.axes, streams.builder, streams.spec.key_padding
    cells = b.population(
        "association",
        (*axes.group, axes.source, axes.value, *axes.key),
        Region.L23,
        CellClass.IT,
        [
            Compartment("apical", drive=key_drive(streams)),
            Compartment("basal", drive=value_drive(streams)),
            *[Compartment("tuft")] * padded,
        ],
    )
    b.project("value", streams.value_relay, cells, "basal", value_weight(streams))
    if padded:
        b.project("keep", keep_relay(streams), cells, "tuft")
    return cells


def _memory_cells(streams: Streams, association: str) -> str:
    """L2/3 cells that integrate the associations of the source tokens that a query may see."""
    axes, b = streams.axes, streams.builder
    clock = () if streams.spec.mask is Mask.NONE else (axes.query,)
    cells = b.population(
        "memory",
        (*axes.group, *clock, axes.value, *axes.key),
        Region.L23,
        CellClass.IT,
        [Compartment("basal")],
    )
    b.project("store", association, cells, "basal", domain=streams.domain)
    if streams.spec.extra_source:
        b.project("extra_store", _extra_association(streams), cells, "basal")
    return cells


def _extra_association(streams: Streams) -> str:
    """L2/3 cells like those of a source token, for the key and value that no relay brings."""
    axes = streams.axes
    parts = [
        Compartment("apical", drive=(reads("extra_K", *axes.group, *axes.key),)),
        Compartment("basal", drive=(reads("extra_V", *axes.group, axes.value),)),
    ]
    own = (*axes.group, axes.value, *axes.key)
    return streams.builder.population("extra_association", own, Region.L23, CellClass.IT, parts)


def _deep_cells(streams: Streams, memory: str) -> str:
    """L5 cells, one per pair of features: the query (basal) gain-modulated by the memory (apical)."""
    axes, b = streams.axes, streams.builder
    cells = b.population(
        "deep",
        (*axes.head, axes.query, axes.value, *axes.key),
        Region.L5,
        CellClass.PT,
        [Compartment("apical"), Compartment("basal", drive=query_drive(streams))],
    )
    b.project("recall", memory, cells, "apical", Weight(gain=score_gain(streams)))
    return cells
