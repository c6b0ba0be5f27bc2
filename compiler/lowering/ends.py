"""Where a model begins and ends: embeddings of tokens, and all tokens as one vector, as circuits.

There is a relay cell for each kind of token, and one of them is active for each token; cells hear these
directly, as deep layers do hear thalamus (Constantinople & Bruno 2013, 10.1126/science.1236425). That tokens
have cells of their own is how token identity is said with rates, and no finding; so are cells that count.
"""

from __future__ import annotations

from fractions import Fraction

from cortico.ir import (
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Effect,
    Formula,
    Gain,
    InputKind,
    Region,
    Role,
    Weight,
)
from cortico.lowering.blocks import begun, content, given
from cortico.lowering.normalisation import Normed, add_norm
from cortico.lowering.sites import CELLS, DEEP, GRANULAR
from cortico.lowering.streams import reads
from cortico.spec import NormKind
from cortico.spec.blocks import Embedding, Pool, Pooling
from cortico.spec.weights import required_shapes


def lower_embedding(spec: Embedding) -> Circuit:
    """Relay cells, one for each kind of token, and the cells that hear them."""
    b = CircuitBuilder(spec.name)
    b.axis("i", Role.COLUMN, spec.tokens)
    b.axis("m", Role.MODEL, spec.model)
    for name, shape in required_shapes(spec).items():
        b.parameter(name, shape)
    drive: tuple[Weight, ...] = ()
    if spec.positions is not None:
        b.parameter("position", (spec.tokens, spec.model), formula=Formula("rows", ("W_position",)))
        drive = (reads("position", "i", "m"),)
    cells = "embedding"
    b.population(cells, ("i", "m"), *CELLS[spec.site], [Compartment("basal", drive=drive)])
    for table, axis, count, gain in (
        ("tokens", "v", spec.vocabulary, spec.scale),
        ("types", "t", spec.types, 1.0),
    ):
        if count is None:
            continue
        b.axis(axis, Role.FEATURE, count)
        b.input(table, (spec.tokens, count), InputKind.TOKEN)
        driver = Compartment("driver", drive=(reads(table, "i", axis),))
        one = table.removesuffix("s")
        b.population(one, ("i", axis), Region.CORE, CellClass.RELAY, [driver])
        weight = reads(f"W_{one}", axis, "m")
        b.project(f"embed_{one}", one, cells, "basal", Weight(weight.tensor, Gain(gain)))
    return given(b, cells, "i", "m")


def lower_pooling(spec: Pooling) -> Circuit:
    """Cells that add the tokens up, and a pool that divides by their number; or cells that hear the first."""
    b = begun(spec, "i")
    pooled = _first(b, spec) if spec.pool is Pool.FIRST else _mean(b, spec)
    if spec.unit:
        norm = Normed(
            pooled,
            (),
            ("m",),
            NormKind.RMS,
            eps=0.0,
            gain=None,
            shift=None,
            inner=CELLS[spec.site],
            result=DEEP,
            of_sum=True,
        )
        pooled = add_norm(b, norm, ("m",))
    return given(b, pooled, "m")


def _first(b: CircuitBuilder, spec: Pooling) -> str:
    """L5 cells that hear what there is of the first token."""
    b.parameter("first", (spec.tokens,), formula=Formula("first", ()))
    cells = b.population("pooled", ("m",), *DEEP, [Compartment("basal")])
    b.project("pool", content(b), cells, "basal", reads("first", "i"))
    return cells


def _mean(b: CircuitBuilder, spec: Pooling) -> str:
    """L5 cells that hear all tokens, under a pool that counts them; padding is silent and not counted."""
    number = () if spec.takes_keep else (Weight(gain=Gain(sizes=(("i", Fraction(1)),))),)
    soma = Compartment("soma", drive=number)
    b.population("count", (), Region.L5, CellClass.PV, [soma])
    parts = [Compartment("basal"), Compartment("shunt", Effect.DIVIDES)]
    cells = b.population("pooled", ("m",), *DEEP, parts)
    b.project("pool", _existing(b, spec) if spec.takes_keep else content(b), cells, "basal")
    b.project("divide", "count", cells, "shunt")
    return cells


def _existing(b: CircuitBuilder, spec: Pooling) -> str:
    """L4 cells that have the tokens that exist; the pool counts these."""
    b.input("keep", (spec.tokens,), InputKind.MASK)
    driver = Compartment("driver", drive=(reads("keep", "i"),))
    b.population("matrix_keep", ("i",), Region.MATRIX, CellClass.RELAY, [driver])
    parts = [Compartment("basal", drive=(reads("x", "i", "m"),)), Compartment("apical")]
    cells = b.population("existing", ("i", "m"), *GRANULAR, parts)
    b.project("keep", "matrix_keep", cells, "apical")
    b.project("number", "matrix_keep", "count", "soma")
    return cells
