"""RMS norm of queries and keys as divisive normalisation (Carandini & Heeger 2012, 10.1038/nrn3136).

    key_square[g,j,a] = key[g,j,a] · key[g,j,a]
    key_pool[g,j]     = √(Σ_a key_square[g,j,a] / size(a) + eps)
    normed_key[g,j,a] = gain_K[a] · key[g,j,a] / key_pool[g,j]        queries likewise

A norm over the width pools all areas, too. That cells are divided by the root of a pool of squares is the
model of Carandini & Heeger. That all are in layer 4, that stellate cells square by hearing a cell on two
dendrites, and that PV cells take the root of what they pool are our assumptions.
"""

from __future__ import annotations

from fractions import Fraction

from cortico.ir import CellClass, Compartment, Effect, Gain, Region, Weight
from cortico.lowering.streams import Streams, reads
from cortico.spec import NormOver, QueryKeyNorm

Axes = tuple[str, ...]


def normed(streams: Streams, cells: str, gain: str, heads: Axes, token: str) -> str:
    """Cells that have the rates of `cells` [heads, token, features] under the spec's norm; their name."""
    norm, b, features = streams.spec.qk_norm, streams.builder, streams.axes.unrotated
    assert norm is not None
    pool = _pool_of_squares(streams, norm, cells, heads, token)
    own = (*heads, *features) if norm.over is NormOver.WIDTH else features
    parts = [Compartment("basal"), Compartment("shunt", Effect.DIVIDES)]
    axes = (*heads, token, *features)
    result = b.population(f"normed_{cells}", axes, Region.L4, CellClass.STELLATE, parts)
    b.project(f"norm_{cells}", cells, result, "basal", reads(gain, *own))
    b.project(f"shunt_{cells}", pool, result, "shunt")
    return result


def _pool_of_squares(
    streams: Streams, norm: QueryKeyNorm, cells: str, heads: Axes, token: str
) -> str:
    """PV cells with the root mean square of a head's features, or of all heads'."""
    b, features = streams.builder, streams.axes.unrotated
    dendrites = [Compartment("basal"), Compartment("apical")]
    axes = (*heads, token, *features)
    square = b.population(f"{cells}_square", axes, Region.L4, CellClass.STELLATE, dendrites)
    b.project(f"square_{cells}_basal", cells, square, "basal")
    b.project(f"square_{cells}_apical", cells, square, "apical")
    each, pooled = (heads, features) if norm.over is NormOver.HEAD else ((), (*heads, *features))
    soma = Compartment("soma", drive=(Weight(gain=Gain(norm.eps)),))
    pool = b.population(
        f"{cells}_pool", (*each, token), Region.L4, CellClass.PV, [soma], transfer="sqrt"
    )
    mean = Gain(sizes=tuple((axis, Fraction(-1)) for axis in pooled))
    b.project(f"pool_{cells}", square, pool, "soma", Weight(gain=mean))
    return pool
