"""The gradients of the blocks around attention in closed form, as a paper writes them.

With e = ∂L/∂y, as `closed_forms` has it for attention:

    Norm         w_im = gain_m e_im,  c the centred tokens,  r the root mean square
                 u_im = w_im / r_i - c_im · (mean over m of w c)_i / r_i³
                 ∂x_im = u_im - mean of u_i (RMS: u_im)        ∂gain_m = Σ_i e_im c_im / r_i     ∂shift_m = Σ_i e_im
    FeedForward  δ_if = Σ_o W_out[o,f] e_io      ∂inner = δ φ'(inner); gated δ φ(gate), and ∂gate = δ inner φ'(gate)
                 ∂x = Σ_f W_in ∂inner (+ Σ_f W_gate ∂gate)     ∂W_in = Σ_i ∂inner x     ∂W_out = Σ_i e hidden
    Dense        ∂read = e φ'(read), or e (1 - tanh²(read / c))
                 ∂x = scale Σ_o W ∂read          ∂W = scale Σ_i ∂read x                 ∂b = Σ_i ∂read
    Embedding    ∂W_token[v,m] = scale Σ_i tokens_iv e_im         ∂W_type likewise
    Residual     ∂x = e                          ∂branch = scale e
    Pooling      ∂pooled = e, or e / ℓ - pooled (Σ_m pooled e) / ℓ³ with ℓ its length    ∂x_im = keep_i ∂pooled_m / count

Derived by hand; φ' is the slope of the table of transfer functions. Of a table of positions no gradient is stated:
equations know it by the rows that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cortico.spec import NormKind
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pooling, Residual
from cortico.verify.equations.blocks import (
    Indices,
    OfDense,
    OfEmbedding,
    OfFeedForward,
    OfNorm,
    OfPooling,
    OfResidual,
    Plain,
    book_of,
    transferred,
)
from cortico.verify.equations.gradients import ERROR, derivative, gradient_of
from cortico.verify.equations.language import (
    ONE,
    Definition,
    Equations,
    Expression,
    Read,
    number,
    product,
    total,
)

#: Equations that gradients are made of, and each gradient at the indices of its tensor.
Found = tuple[list[Definition], dict[str, Expression]]


def forms_of(spec: Plain) -> Equations:
    """The equations of a block, and after them the gradient of every parameter and every rate that it is given."""
    book = book_of(spec)
    forward, sides = book.equations(), book.sides()
    rows, found = _FORMS[type(spec)](book)
    own = {name: body for name, body in found.items() if name in sides}
    last = [Definition(gradient_of(name), sides[name], body) for name, body in own.items()]
    error = tuple(v.sort for v in forward.definition("y").indices)
    return replace(
        forward,
        given={**forward.given, ERROR: error},
        definitions=(*forward.definitions, *rows, *last),
        outputs=tuple(each.tensor for each in last),
    )


def _norm(book: OfNorm) -> Found:
    at, i = book.at, (book.i,)
    error, centred, rms = Read(ERROR, at), Read("centred", at), Read("rms", i)
    wish, over = Read("wish", at), number(1) / rms
    along = book.mean(wish * centred) * over * over * over
    rows = [
        Definition("wish", at, book.if_given("gain", ONE) * error),
        Definition("along", i, along),
        Definition("divided", at, wish * over - centred * Read("along", i)),
    ]
    divided = Read("divided", at)
    of_mean = book.mean(divided) if book.spec.kind is NormKind.LAYER else number(0)
    return rows, {
        "x": divided - of_mean,
        "gain": total(book.i, error * centred / rms),
        "shift": total(book.i, error),
    }


def _feed_forward(book: OfFeedForward) -> Found:
    at, i, transfer = (book.i, book.f), book.i, book.spec.transfer
    error, back = Read(ERROR, (i, book.o)), Read("back", at)
    curved = Read(book.of_transfer, at)
    slope, d_inner, d_gate = derivative(transfer, curved), Read("d_inner", at), Read("d_gate", at)
    rows = [Definition("back", at, total(book.o, Read("W_out", (book.o, book.f)) * error))]
    if book.spec.gated:
        rows.append(Definition("d_gate", at, back * Read("inner", at) * slope))
        slope = transferred(transfer, curved)
    rows.append(Definition("d_inner", at, back * slope))
    heard = total(book.f, book.if_given("W_in") * d_inner)
    if book.spec.gated:
        heard = heard + total(book.f, book.read("W_gate") * d_gate)
    return rows, {
        "x": heard,
        "W_in": total(i, d_inner * book.read("x")),
        "b_in": total(i, d_inner),
        "W_gate": total(i, d_gate * book.read("x")),
        "b_gate": total(i, d_gate),
        "W_out": total(i, error * Read("hidden", at)),
        "b_out": total(i, error),
    }


def _dense(book: OfDense) -> Found:
    at, spec = book.at, book.spec
    d_read, scale = Read("d_read", at), number(spec.scale)
    slope: Expression = derivative(spec.transfer, Read("read", at))
    if spec.soft_cap is not None:
        slope = 1 - book.saturation() * book.saturation()
    return [Definition("d_read", at, Read(ERROR, at) * slope)], {
        "x": scale * total(book.o, book.read("W") * d_read),
        "W": scale * total(book.token, d_read * book.read("x")),
        "b": total(book.token, d_read),
    }


def _embedding(book: OfEmbedding) -> Found:
    error = Read(ERROR, (book.i, book.m))
    of_token = number(book.spec.scale) * total(book.i, book.read("tokens") * error)
    return [], {
        "W_token": of_token,
        "W_type": total(book.i, book.if_given("types") * error),
    }


def _residual(book: OfResidual) -> Found:
    error = Read(ERROR, (book.i, book.m))
    return [], {"x": error, **dict.fromkeys(book.branches, number(book.spec.scale) * error)}


def _pooling(book: OfPooling) -> Found:
    at: Indices = (book.m,)
    error, pooled, over = Read(ERROR, at), Read("pooled", at), number(1) / Read("length", ())
    met = total(book.m, pooled * error)
    of_pooled = error * over
    if book.spec.unit:
        of_pooled = of_pooled - product(pooled, met, over, over, over)
    return [Definition("d_pooled", at, of_pooled)], {
        "x": book.kept * Read("d_pooled", at) / Read("count", ())
    }


_FORMS: Mapping[type, Callable[[Any], Found]] = {
    Norm: _norm,
    FeedForward: _feed_forward,
    Dense: _dense,
    Embedding: _embedding,
    Residual: _residual,
    Pooling: _pooling,
}
