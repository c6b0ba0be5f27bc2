"""Norms of queries and keys as divisive normalisation (Carandini & Heeger 2012, 10.1038/nrn3136).

    key_mean[g,j]      = Σ_a key[g,j,a] / size(a)                      these two of a layer norm only:
    centred_key[g,j,a] = key[g,j,a] - key_mean[g,j]                    else the key itself is squared
    key_square[g,j,a]  = centred_key[g,j,a] · centred_key[g,j,a]
    key_pool[g,j]      = √(Σ_a key_square[g,j,a] / size(a) + eps)
    normed_key[g,j,a]  = gain_K[a] · centred_key[g,j,a] / key_pool[g,j]
    shifted_key[g,j,a] = normed_key[g,j,a] + shift_K[a]                with a bias; queries likewise

A norm over the width pools all areas, too. That cells are divided by the root of a pool of squares is the
model of Carandini & Heeger. That all are in layer 4, that stellate cells square by hearing a cell on two
dendrites, that PV cells take the root of what they pool, and that stellate cells know the mean, which each
cell is freed of, are our assumptions.
"""

from __future__ import annotations

from fractions import Fraction

from cortico.ir import CellClass, Compartment, Effect, Gain, Region, Weight
from cortico.lowering.streams import Streams, reads
from cortico.spec import NormKind, NormOver, QueryKeyNorm

Axes = tuple[str, ...]


def normed(streams: Streams, cells: str, letter: str, heads: Axes, token: str) -> str:
    """Cells that have the rates of `cells` [heads, token, features] under the spec's norm; their name.

    `letter` is Q or K: whose gain and bias it has.
    """
    norm, b, features = streams.spec.qk_norm, streams.builder, streams.axes.unrotated
    assert norm is not None
    layer = norm.kind is NormKind.LAYER
    content = _centred(streams, norm, cells, heads, token) if layer else cells
    pool = _pool_of_squares(streams, norm, cells, content, heads, token)
    own = (*heads, *features) if norm.by_head else features
    parts = [Compartment("basal"), Compartment("shunt", Effect.DIVIDES)]
    axes = (*heads, token, *features)
    result = b.population(f"normed_{cells}", axes, Region.L4, CellClass.STELLATE, parts)
    b.project(f"norm_{cells}", content, result, "basal", reads(f"gain_{letter}", *own))
    b.project(f"shunt_{cells}", pool, result, "shunt")
    if not norm.bias:
        return result
    basal = Compartment("basal", drive=(reads(f"shift_{letter}", *own),))
    shifted = b.population(f"shifted_{cells}", axes, Region.L4, CellClass.STELLATE, [basal])
    b.project(f"shift_{cells}", result, shifted, "basal")
    return shifted


def _centred(streams: Streams, norm: QueryKeyNorm, cells: str, heads: Axes, token: str) -> str:
    """Cells with the rates of `cells` less their mean, which cells of its own take from them."""
    b, axes = streams.builder, (*heads, token, *streams.axes.unrotated)
    pooled = (*_each(norm, heads), token)
    parts = [Compartment("basal")]
    mean = b.population(f"{cells}_mean", pooled, Region.L4, CellClass.STELLATE, parts)
    b.project(f"mean_{cells}", cells, mean, "basal", Weight(gain=_mean(streams, norm, heads)))
    result = b.population(f"centred_{cells}", axes, Region.L4, CellClass.STELLATE, parts)
    b.project(f"centre_{cells}", cells, result, "basal")
    b.project(f"subtract_{cells}", mean, result, "basal", Weight(gain=Gain(-1.0)))
    return result


def _pool_of_squares(
    streams: Streams, norm: QueryKeyNorm, cells: str, content: str, heads: Axes, token: str
) -> str:
    """PV cells with the root mean square of a head's features, or of all heads'."""
    b, features = streams.builder, streams.axes.unrotated
    dendrites = [Compartment("basal"), Compartment("apical")]
    axes = (*heads, token, *features)
    square = b.population(f"{cells}_square", axes, Region.L4, CellClass.STELLATE, dendrites)
    b.project(f"square_{cells}_basal", content, square, "basal")
    b.project(f"square_{cells}_apical", content, square, "apical")
    soma = Compartment("soma", drive=(Weight(gain=Gain(norm.eps)),))
    pooled = (*_each(norm, heads), token)
    pool = b.population(f"{cells}_pool", pooled, Region.L4, CellClass.PV, [soma], transfer="sqrt")
    b.project(f"pool_{cells}", square, pool, "soma", Weight(gain=_mean(streams, norm, heads)))
    return pool


def _each(norm: QueryKeyNorm, heads: Axes) -> Axes:
    """The areas that have a pool of their own."""
    return heads if norm.over is NormOver.HEAD else ()


def _mean(streams: Streams, norm: QueryKeyNorm, heads: Axes) -> Gain:
    """The weight by which a sum over what is pooled is its mean."""
    pooled = (*(() if norm.over is NormOver.HEAD else heads), *streams.axes.unrotated)
    return Gain(sizes=tuple((axis, Fraction(-1)) for axis in pooled))
