"""What the microcircuits share between the thalamic streams and W_O: keys, queries, scale, outputs."""

from __future__ import annotations

from fractions import Fraction

from cortico.ir import CellClass, Compartment, Gain, Region, Weight
from cortico.lowering.normalisation import normed
from cortico.lowering.streams import Streams, reads
from cortico.spec import AttentionSpec, Kernel

#: A population and one of its compartments.
Target = tuple[str, str]


def bring_content(streams: Streams, keys_onto: Target, queries_onto: Target) -> None:
    """Project keys and queries onto two compartments, normed and turned by token position as specified."""
    if _has_cells(streams.spec):
        _content_of_cells(streams, keys_onto, queries_onto)
    else:
        b = streams.builder
        b.project("key", streams.key_relay, *keys_onto, _key_weight(streams))
        b.project("query", streams.query_relay, *queries_onto, query_weight(streams))


def key_drive(streams: Streams) -> tuple[Weight, ...]:
    """What drives the compartment that keys arrive at: their bias, unless L4 cells have it already."""
    return () if _has_cells(streams.spec) else _key_bias(streams)


def query_drive(streams: Streams) -> tuple[Weight, ...]:
    """What drives the compartment that queries arrive at."""
    return () if _has_cells(streams.spec) else _query_bias(streams)


def value_drive(streams: Streams) -> tuple[Weight, ...]:
    """What drives the compartment that values arrive at: their bias."""
    return streams.bias("b_V", *streams.axes.group, streams.axes.value)


def value_weight(streams: Streams) -> Weight:
    """The weight of synapses that bring values: `W_V`."""
    axes = streams.axes
    return reads("W_V", *axes.group, axes.value, axes.value_model)


def query_weight(streams: Streams) -> Weight:
    """The weight of synapses that bring queries: `W_Q`."""
    axes = streams.axes
    return reads("W_Q", *axes.head, *axes.unrotated, axes.query_model)


def output_weight(streams: Streams) -> Weight:
    """The weight of synapses of deep cells: `W_O`."""
    axes = streams.axes
    return reads("W_O", *axes.head, axes.output_model, axes.value)


def score_gain(streams: Streams) -> Gain:
    """The scale of the scores: as given, else 1/√d for softmax and 1 for linear."""
    spec = streams.spec
    if spec.scale is not None:
        return Gain(float(spec.scale))
    if spec.kernel is Kernel.LINEAR:
        return Gain()
    return Gain(sizes=tuple((axis, Fraction(-1, 2)) for axis in streams.axes.key))


def keep_relay(streams: Streams) -> str:
    """Matrix relay cells that say which source tokens exist."""
    source = streams.axes.source
    driver = Compartment("driver", drive=(reads("keep", source),))
    return streams.builder.population(
        "matrix_keep", (source,), Region.MATRIX, CellClass.RELAY, [driver]
    )


def output_relay(streams: Streams) -> None:
    """Higher-order thalamic relay cells that add the heads' deep cells through W_O."""
    axes, b = streams.axes, streams.builder
    over = (axes.query, axes.output_model)
    driver = Compartment("driver", drive=streams.bias("b_O", axes.output_model))
    relay = b.population("relay", over, Region.HIGHER_ORDER, CellClass.RELAY, [driver])
    b.project("output", "deep", relay, "driver", output_weight(streams))
    b.output("y", relay, over)


def _has_cells(spec: AttentionSpec) -> bool:
    """Whether keys and queries have L4 cells of their own: to be normed, or turned."""
    return spec.rotary is not None or spec.qk_norm is not None


def _content_of_cells(streams: Streams, keys_onto: Target, queries_onto: Target) -> None:
    """Keys and queries by way of L4 cells, which are normed, and whose synapses turn them."""
    axes, b = streams.axes, streams.builder

    def content_cells(name: str, axes_: tuple[str, ...], drive: tuple[Weight, ...]) -> str:
        basal = Compartment("basal", drive=drive)
        return b.population(name, axes_, Region.L4, CellClass.STELLATE, [basal])

    keys = content_cells("key", (*axes.group, axes.source, *axes.unrotated), _key_bias(streams))
    queries = content_cells(
        "query", (*axes.head, axes.query, *axes.unrotated), _query_bias(streams)
    )
    b.project("key", streams.key_relay, keys, "basal", _key_weight(streams))
    b.project("query", streams.query_relay, queries, "basal", query_weight(streams))
    if streams.spec.qk_norm is not None:
        keys = normed(streams, keys, "K", axes.group, axes.source)
        queries = normed(streams, queries, "Q", axes.head, axes.query)
    word = "rotate" if streams.spec.rotary is not None else "bring"
    b.project(f"{word}_key", keys, *keys_onto, _turn(streams, "R_K", axes.source))
    b.project(f"{word}_query", queries, *queries_onto, _turn(streams, "R_Q", axes.query))


def _turn(streams: Streams, rotation: str, token: str) -> Weight:
    """The weight of synapses that turn by the position of a token, one where nothing turns."""
    if streams.spec.rotary is None:
        return Weight()
    axes = streams.axes
    return reads(rotation, token, *axes.key, axes.unrotated[1])


def _key_weight(streams: Streams) -> Weight:
    axes = streams.axes
    return reads("W_K", *axes.group, *axes.unrotated, axes.source_model)


def _key_bias(streams: Streams) -> tuple[Weight, ...]:
    return streams.bias("b_K", *streams.axes.group, *streams.axes.unrotated)


def _query_bias(streams: Streams) -> tuple[Weight, ...]:
    return streams.bias("b_Q", *streams.axes.head, *streams.axes.unrotated)
