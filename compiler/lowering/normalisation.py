"""Norms as divisive normalisation (Carandini & Heeger 2012, 10.1038/nrn3136): of tokens, of queries and keys.

    key_mean[g,j]      = Σ_a key[g,j,a] / size(a)                      these two of a layer norm only:
    centred_key[g,j,a] = key[g,j,a] - key_mean[g,j]                    else the key itself is squared
    key_square[g,j,a]  = centred_key[g,j,a] · centred_key[g,j,a]
    key_pool[g,j]      = √(Σ_a key_square[g,j,a] / size(a) + eps)
    normed_key[g,j,a]  = gain_K[a] · centred_key[g,j,a] / key_pool[g,j]
    shifted_key[g,j,a] = normed_key[g,j,a] + shift_K[a]                with a bias; queries likewise

A norm over the width pools all areas, too. That cells are divided by the root of a pool of squares is the
model of Carandini & Heeger. In which layer all are (L4 for queries and keys), that these cells square by
hearing a cell on two dendrites, that PV cells take the root of what they pool, and that cells of their own
know the mean, which each cell is freed of, are our assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from cortico.ir import CellClass, CircuitBuilder, Compartment, Effect, Gain, Weight
from cortico.lowering.sites import GRANULAR, Cells
from cortico.lowering.streams import Streams, reads
from cortico.spec import NormKind, NormOver

Axes = tuple[str, ...]


@dataclass(frozen=True)
class Normed:
    """What is normed, and by what. `gain` and `shift` are weights over axes of the cells, if there are any."""

    cells: str  #: whose rates are normed
    each: Axes  #: axes of which each index has a norm of its own
    over: Axes  #: axes of the mean, which stand behind those of `each`
    kind: NormKind
    eps: float
    gain: Weight | None
    shift: Weight | None
    inner: Cells = GRANULAR  #: where the cells are that compute it
    result: Cells = GRANULAR  #: where those are that have the result
    of_sum: bool = False  #: by the root of the sum of squares, not of their mean: to length 1


def normed(streams: Streams, cells: str, letter: str, heads: Axes, token: str) -> str:
    """Cells that have the rates of `cells` [heads, token, features] under the spec's norm; their name.

    `letter` is Q or K: whose gain and bias it has.
    """
    norm, features = streams.spec.qk_norm, streams.axes.unrotated
    assert norm is not None
    own = (*heads, *features) if norm.by_head else features
    by_head = norm.over is NormOver.HEAD
    return add_norm(
        streams.builder,
        Normed(
            cells,
            (*(heads if by_head else ()), token),
            (*(() if by_head else heads), *features),
            norm.kind,
            norm.eps,
            reads(f"gain_{letter}", *own),
            reads(f"shift_{letter}", *own) if norm.bias else None,
        ),
        axes=(*heads, token, *features),
    )


def add_norm(b: CircuitBuilder, norm: Normed, axes: Axes) -> str:
    """Cells that have the rates of others [axes] under a norm; their name."""
    cells = norm.cells
    content = _centred(b, norm, axes) if norm.kind is NormKind.LAYER else cells
    pool = _pool_of_squares(b, norm, content, axes)
    parts = [Compartment("basal"), Compartment("shunt", Effect.DIVIDES)]
    place = norm.inner if norm.shift else norm.result
    result = b.population(f"normed_{cells}", axes, *place, parts)
    b.project(f"norm_{cells}", content, result, "basal", norm.gain or Weight())
    b.project(f"shunt_{cells}", pool, result, "shunt")
    if norm.shift is None:
        return result
    basal = Compartment("basal", drive=(norm.shift,))
    shifted = b.population(f"shifted_{cells}", axes, *norm.result, [basal])
    b.project(f"shift_{cells}", result, shifted, "basal")
    return shifted


def _centred(b: CircuitBuilder, norm: Normed, axes: Axes) -> str:
    """Cells with the rates of others less their mean, which cells of its own take from them."""
    cells, parts = norm.cells, [Compartment("basal")]
    mean = b.population(f"{cells}_mean", norm.each, *norm.inner, parts)
    b.project(f"mean_{cells}", cells, mean, "basal", Weight(gain=_mean(norm)))
    result = b.population(f"centred_{cells}", axes, *norm.inner, parts)
    b.project(f"centre_{cells}", cells, result, "basal")
    b.project(f"subtract_{cells}", mean, result, "basal", Weight(gain=Gain(-1.0)))
    return result


def _pool_of_squares(b: CircuitBuilder, norm: Normed, content: str, axes: Axes) -> str:
    """PV cells with the root mean square of what is normed together."""
    cells, dendrites = norm.cells, [Compartment("basal"), Compartment("apical")]
    square = b.population(f"{cells}_square", axes, *norm.inner, dendrites)
    b.project(f"square_{cells}_basal", content, square, "basal")
    b.project(f"square_{cells}_apical", content, square, "apical")
    region, _ = norm.inner
    eps = (Weight(gain=Gain(norm.eps)),) if norm.eps else ()
    soma = Compartment("soma", drive=eps)
    pool = b.population(f"{cells}_pool", norm.each, region, CellClass.PV, [soma], transfer="sqrt")
    gain = Gain() if norm.of_sum else _mean(norm)
    b.project(f"pool_{cells}", square, pool, "soma", Weight(gain=gain))
    return pool


def _mean(norm: Normed) -> Gain:
    """The weight by which a sum over what is pooled is its mean."""
    return Gain(sizes=tuple((axis, Fraction(-1)) for axis in norm.over))
