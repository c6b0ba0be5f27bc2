"""The blocks between attentions as circuits (`compiler/spec/blocks.py` has their equations).

Every block hears tokens x[i, m]. What leaves it comes from L5 cells, which drive relay cells of the thalamus,
or from higher-order relay cells, which cortex hears. Shared by Granier & Senn and by us is the way from deep
cells to a higher-order relay. The rest is our assumption, and a setting of the spec:

* **Norm**: divisive normalisation in one layer (`normalisation.py`); L4, where relay cells arrive, unless told.
* **FeedForward**: hidden cells are L5 cells, as they drive the relay that adds them up. Gated ones are the
  cells of attention: basal (W_in x) times apical, which L2/3 cells give (the gate).
* **Residual**: L5 cells hear the stream and what the block adds, and drive the relay that goes on. Relay cells
  do not drive relay cells, so `way = "relay"` is there to be compared only.
"""

from __future__ import annotations

from cortico.ir import (
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Effect,
    Gain,
    Region,
    Role,
    Weight,
)
from cortico.lowering.normalisation import Normed, add_norm
from cortico.lowering.sites import CELLS, DEEP, GRANULAR, SUPERFICIAL
from cortico.lowering.streams import reads
from cortico.spec.blocks import Dense, FeedForward, Norm, Pooling, Residual, Way
from cortico.spec.weights import required_shapes

_RELAY = (Region.HIGHER_ORDER, CellClass.RELAY)


def lower_norm(spec: Norm) -> Circuit:
    """Content cells hear the tokens, cells of one layer norm them, L5 cells have the result."""
    b = begun(spec, "i")
    norm = Normed(
        content(b),
        ("i",),
        ("m",),
        spec.kind,
        spec.eps,
        reads("gain", "m") if spec.gain else None,
        reads("shift", "m") if spec.shift else None,
        CELLS[spec.site],
        DEEP,
    )
    return given(b, add_norm(b, norm, ("i", "m")), "i", "m")


def lower_feed_forward(spec: FeedForward) -> Circuit:
    """Core relay cells bring the tokens to hidden cells, which drive a higher-order relay."""
    b = begun(spec, "i")
    b.axis("f", Role.FEATURE, spec.hidden)
    out = "m" if spec.d_output == spec.model else b.axis("o", Role.MODEL, spec.output or spec.model)
    relay = _core_relay(b, "i")
    parts = [Compartment("basal", drive=_bias(spec.bias_in, "b_in", "f"))]
    if spec.gated:
        parts.append(Compartment("apical"))
        gate = [Compartment("basal", drive=_bias(spec.bias_in, "b_gate", "f"))]
        b.population("gate", ("i", "f"), *SUPERFICIAL, gate, spec.transfer)
        b.project("gate", relay, "gate", "basal", reads("W_gate", "f", "m"))
    own = "identity" if spec.gated else spec.transfer
    hidden = b.population("hidden", ("i", "f"), *CELLS[spec.site], parts, own)
    b.project("inward", relay, hidden, "basal", reads("W_in", "f", "m"))
    if spec.gated:
        b.project("open", "gate", hidden, "apical")
    driver = Compartment("driver", drive=_bias(spec.bias_out, "b_out", out))
    result = b.population("relay", ("i", out), *_RELAY, [driver])
    b.project("outward", hidden, result, "driver", reads("W_out", out, "f"))
    return given(b, result, "i", out)


def lower_dense(spec: Dense) -> Circuit:
    """Core relay cells bring the tokens to cells that read out."""
    token = () if spec.pooled else ("i",)
    b = begun(spec, *token)
    b.axis("o", Role.FEATURE, spec.output)
    relay = _core_relay(b, *token)
    axes, gain = (*token, "o"), Gain(spec.scale)
    soma = Compartment("basal", drive=_bias(spec.bias, "b", "o"))
    capped = spec.soft_cap is not None
    parts = [soma]
    if spec.soft_cap is not None:
        shunt = Compartment("shunt", Effect.DIVIDES, (Weight(gain=Gain(spec.soft_cap)),))
        parts.append(shunt)
    name, place = ("saturated" if capped else "readout"), CELLS[spec.site]
    cells = b.population(name, axes, *place, parts, "tanh" if capped else spec.transfer)
    weight = reads("W", "o", "m")
    b.project("read", relay, cells, "basal", Weight(weight.tensor, gain))
    if spec.soft_cap is not None:
        cells = b.population("readout", axes, *place, [Compartment("basal")])
        b.project("cap", "saturated", cells, "basal", Weight(gain=Gain(spec.soft_cap)))
    return given(b, cells, *axes)


def lower_residual(spec: Residual) -> Circuit:
    """Cells that hear the stream and what is added to it, and the relay that goes on."""
    b = begun(spec, "i")
    for name in spec.added:
        b.input(name, (spec.tokens, spec.model))
    added = [Weight(reads(name, "i", "m").tensor, Gain(spec.scale)) for name in spec.added]
    drive = (reads("x", "i", "m"), *added)
    if spec.way is Way.RELAY:
        stream = b.population("stream", ("i", "m"), *_RELAY, [Compartment("driver", drive=drive)])
    else:
        b.population("carry", ("i", "m"), *DEEP, [Compartment("basal", drive=drive)])
        stream = b.population("stream", ("i", "m"), *_RELAY, [Compartment("driver")])
        b.project("carry", "carry", stream, "driver")
    return given(b, stream, "i", "m")


# ---- shared ----------------------------------------------------------------------------------------


def begun(spec: Norm | FeedForward | Dense | Residual | Pooling, *token: str) -> CircuitBuilder:
    """A builder with the tokens `x` over the axes of `token` and m, and the parameters of the spec."""
    b = CircuitBuilder(spec.name)
    for axis in token:
        b.axis(axis, Role.COLUMN, spec.tokens)
    b.axis("m", Role.MODEL, spec.model)
    b.input("x", (*[spec.tokens for _ in token], spec.model))
    for name, shape in required_shapes(spec).items():
        b.parameter(name, shape)
    return b


def content(b: CircuitBuilder) -> str:
    """L4 cells that have the tokens: what relay cells bring to cortex."""
    basal = Compartment("basal", drive=(reads("x", "i", "m"),))
    return b.population("content", ("i", "m"), *GRANULAR, [basal])


def given(b: CircuitBuilder, cells: str, *axes: str) -> Circuit:
    """The circuit whose output are these cells."""
    b.output("y", cells, axes)
    return b.build()


def _core_relay(b: CircuitBuilder, *token: str) -> str:
    """Core relay cells that bring the tokens."""
    driver = Compartment("driver", drive=(reads("x", *token, "m"),))
    return b.population("source", (*token, "m"), Region.CORE, CellClass.RELAY, [driver])


def _bias(has: bool, name: str, axis: str) -> tuple[Weight, ...]:
    """The drive by a bias, where there is one."""
    return (reads(name, axis),) if has else ()
