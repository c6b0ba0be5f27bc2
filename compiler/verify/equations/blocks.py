"""The blocks around attention as the textbook writes them: the equations that their circuits are held against.

    Norm         mean_i = Σ_m x_im / size(m)                   rms_i = √(Σ_m (x_im - mean_i)² / size(m) + eps)
                 y_im = gain_m (x_im - mean_i) / rms_i + shift_m             an RMS norm has 0 for the mean
    FeedForward  inner_if = Σ_m W_in[f,m] x_im + b_in[f]       gate_if = Σ_m W_gate[f,m] x_im + b_gate[f]
                 y_io = Σ_f W_out[o,f] hidden_if + b_out[o]    hidden_if = φ(inner_if), gated φ(gate_if) inner_if
    Dense        read_io = scale Σ_m W[o,m] x_im + b[o]        y_io = φ(read_io), or c · tanh(read_io / c)
    Embedding    y_im = scale Σ_v tokens_iv W_token[v,m] + Σ_t types_it W_type[t,m] + W_position[i,m]
                 where tokens_iv is 1 if token i is v, else 0; types likewise
    Residual     y_im = x_im + scale Σ_k branch_k,im
    Pooling      pooled_m = Σ_i keep_i x_im / Σ_i keep_i       keep 1 for all tokens, or for the first one
                 y_m = pooled_m / √(Σ_m pooled_m²) where it has length 1, else pooled_m

Ba et al., arXiv 1607.06450; Zhang & Sennrich, arXiv 1910.07467; Vaswani et al., arXiv 1706.03762, equation 2;
Shazeer, arXiv 2002.05202, equation 5; the cap: Gemma 2, arXiv 2408.00118. Written independently of lowering, as
`reference` is, which see: `print(reference(Norm(model=8)))` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import Formula
from cortico.ir.axes import Extent
from cortico.spec import NormKind
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pool, Pooling, Residual
from cortico.verify.equations.language import (
    ONE,
    ZERO,
    Apply,
    Definition,
    Equations,
    Expression,
    Extents,
    Index,
    Read,
    Size,
    number,
    total,
)

Indices = tuple[Index, ...]
Sides = dict[str, Indices]

#: Every spec of a block that is not attention.
Plain = Norm | FeedForward | Dense | Embedding | Residual | Pooling


def rows(tokens: Extent) -> str:
    """What the first rows of the table of positions are called, one for each token."""
    return f"rows(W_position, {tokens})"


def first(tokens: Extent) -> str:
    """What is called that is 1 for the first token, and 0 for all others."""
    return f"first({tokens})"


class Book:
    """What is given to one block, and its equations. Tensors stand in them as the spec has them."""

    masks: frozenset[str] = frozenset()

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.i, self.m = Index("i", "tokens"), Index("m", "model features")

    def sides(self) -> Sides:
        """The indices of every given tensor."""
        raise NotImplementedError

    def rows(self) -> list[Definition]:
        """The equations, the output `y` last."""
        raise NotImplementedError

    def extents(self) -> Extents:
        """How many indices each sort has in this spec. No equation looks at it."""
        return {"tokens": self.spec.tokens, "model features": self.spec.model}

    def given(self) -> dict[str, tuple[str, ...]]:
        """Input and parameter names to the sorts of their sides."""
        return {name: tuple(v.sort for v in sides) for name, sides in self.sides().items()}

    def equations(self) -> Equations:
        """All of them, the output `y` last."""
        rows = tuple(self.rows())
        return Equations(self.given(), rows, ("y",), self.masks, extents=self.extents())

    def formulas(self) -> dict[str, Formula]:
        """Given tensors that turn with positions: none."""
        return {}

    def of_positions(self) -> dict[str, str | None]:
        """Given tensors that are the first rows of a table, with that; with None what is 1 for the first token."""
        return {}

    def arranged(self, name: str, array: np.ndarray) -> np.ndarray:
        """A tensor as `cortico.spec.weights` has it, with the sides that it has here: as it is."""
        return array

    def read(self, tensor: str) -> Expression:
        """A given tensor at its own indices."""
        return Read(tensor, self.sides()[tensor])

    def if_given(self, tensor: str, otherwise: Expression = ZERO) -> Expression:
        """The same, or something else where the spec has no such tensor."""
        return self.read(tensor) if tensor in self.sides() else otherwise


def transferred(function: str, argument: Expression) -> Expression:
    """A transfer function of `argument`, or that itself."""
    return argument if function == "identity" else Apply(function, argument)


def where(sides: Mapping[str, Indices], **has: object) -> Sides:
    """The sides of tensors; of those that are named only where `has` says so."""
    return {name: indices for name, indices in sides.items() if has.get(name, True)}


class OfNorm(Book):
    """Layer norm and RMS norm."""

    spec: Norm

    def sides(self) -> Sides:
        spec, m = self.spec, (self.m,)
        every = {"x": (self.i, self.m), "gain": m, "shift": m}
        return where(every, gain=spec.gain, shift=spec.shift)

    @property
    def at(self) -> Indices:
        return self.i, self.m

    def mean(self, body: Expression) -> Expression:
        """The mean over the features of a token."""
        return Size(self.m.sort, Fraction(-1)) * total(self.m, body)

    def rows(self) -> list[Definition]:
        spec, x, centred = self.spec, Read("x", self.at), Read("centred", self.at)
        mean = self.mean(x) if spec.kind is NormKind.LAYER else ZERO
        rms = Apply("sqrt", self.mean(centred * centred) + number(spec.eps))
        normed = self.if_given("gain", ONE) * centred / Read("rms", (self.i,))
        return [
            Definition("mean", (self.i,), mean),
            Definition("centred", self.at, x - Read("mean", (self.i,))),
            Definition("rms", (self.i,), rms),
            Definition("y", self.at, normed + self.if_given("shift")),
        ]


class OfFeedForward(Book):
    """A hidden layer, gated or not."""

    spec: FeedForward

    def __init__(self, spec: FeedForward) -> None:
        super().__init__(spec)
        self.f, self.o = Index("f", "hidden features"), Index("o", "output features")

    def sides(self) -> Sides:
        spec, f, m, o = self.spec, self.f, self.m, self.o
        every = {"x": (self.i, m), "W_in": (f, m), "b_in": (f,), "W_gate": (f, m), "b_gate": (f,)}
        return where(
            every | {"W_out": (o, f), "b_out": (o,)},
            b_in=spec.bias_in,
            W_gate=spec.gated,
            b_gate=spec.gated and spec.bias_in,
            b_out=spec.bias_out,
        )

    def extents(self) -> Extents:
        spec = self.spec
        return {
            **super().extents(),
            "hidden features": spec.hidden,
            "output features": spec.d_output,
        }

    @property
    def of_transfer(self) -> str:
        """What the transfer function is applied to."""
        return "gate" if self.spec.gated else "inner"

    def rows(self) -> list[Definition]:
        at = (self.i, self.f)
        hidden = transferred(self.spec.transfer, Read(self.of_transfer, at))
        if self.spec.gated:
            hidden = hidden * Read("inner", at)
        y = total(self.f, self.read("W_out") * Read("hidden", at)) + self.if_given("b_out")
        rows = [Definition("inner", at, self.inward("W_in", "b_in"))]
        if self.spec.gated:
            rows.append(Definition("gate", at, self.inward("W_gate", "b_gate")))
        return [*rows, Definition("hidden", at, hidden), Definition("y", (self.i, self.o), y)]

    def inward(self, weight: str, bias: str) -> Expression:
        """A linear map from the model to hidden features."""
        return total(self.m, self.read(weight) * self.read("x")) + self.if_given(bias)


class OfDense(Book):
    """One linear map and what follows it."""

    spec: Dense

    def __init__(self, spec: Dense) -> None:
        super().__init__(spec)
        self.o = Index("o", "output features")
        self.token: Indices = () if spec.pooled else (self.i,)

    def sides(self) -> Sides:
        m, o = self.m, self.o
        every = {"x": (*self.token, m), "W": (o, m), "b": (o,)}
        return where(every, b=self.spec.bias)

    def extents(self) -> Extents:
        own = {"model features": self.spec.model, "output features": self.spec.output}
        return own if self.spec.pooled else {"tokens": self.spec.tokens, **own}

    @property
    def at(self) -> Indices:
        return *self.token, self.o

    def rows(self) -> list[Definition]:
        spec, read = self.spec, Read("read", self.at)
        linear = number(spec.scale) * total(self.m, self.read("W") * self.read("x"))
        y = transferred(spec.transfer, read)
        if spec.soft_cap is not None:
            y = number(spec.soft_cap) * self.saturation()
        return [
            Definition("read", self.at, linear + self.if_given("b")),
            Definition("y", self.at, y),
        ]

    def saturation(self) -> Expression:
        """How far it is at its cap: between -1 and 1."""
        assert self.spec.soft_cap is not None
        return Apply("tanh", Read("read", self.at) / number(self.spec.soft_cap))


class OfEmbedding(Book):
    """Tokens, their types and positions to vectors. The equations hold of any numbers as tokens."""

    spec: Embedding

    def __init__(self, spec: Embedding) -> None:
        super().__init__(spec)
        self.v, self.t = Index("v", "kinds of tokens"), Index("t", "types")
        self.position = rows(spec.tokens)

    def sides(self) -> Sides:
        spec, i, m = self.spec, self.i, self.m
        every = {"tokens": (i, self.v), "types": (i, self.t)}
        every |= {"W_token": (self.v, m), "W_type": (self.t, m)}
        every |= {"W_position": (Index("r", "rows of positions"), m), self.position: (i, m)}
        of_type, of_position = bool(spec.types), bool(spec.positions)
        has = {"types": of_type, "W_type": of_type, "W_position": of_position}
        return where(every, **has, **{self.position: of_position})

    def of_positions(self) -> dict[str, str | None]:
        return {self.position: "W_position"} if self.spec.positions else {}

    def extents(self) -> Extents:
        spec = self.spec
        own = {"types": spec.types, "rows of positions": spec.positions}
        found = {sort: size for sort, size in own.items() if size}
        return {**super().extents(), "kinds of tokens": spec.vocabulary, **found}

    def rows(self) -> list[Definition]:
        y = number(self.spec.scale) * total(self.v, self.read("tokens") * self.read("W_token"))
        if self.spec.types:
            y = y + total(self.t, self.read("types") * self.read("W_type"))
        return [Definition("y", (self.i, self.m), y + self.if_given(self.position))]


class OfResidual(Book):
    """The stream, and what is added to it."""

    spec: Residual

    def sides(self) -> Sides:
        return dict.fromkeys(("x", *self.branches), (self.i, self.m))

    @property
    def branches(self) -> list[str]:
        count = self.spec.branches
        return ["branch"] if count == 1 else [f"branch_{k}" for k in range(count)]

    def rows(self) -> list[Definition]:
        y = self.read("x")
        for branch in self.branches:
            y = y + number(self.spec.scale) * self.read(branch)
        return [Definition("y", (self.i, self.m), y)]


class OfPooling(Book):
    """All tokens to one vector."""

    spec: Pooling

    def __init__(self, spec: Pooling) -> None:
        super().__init__(spec)
        self.is_first, self.first = spec.pool is Pool.FIRST, first(spec.tokens)
        self.is_padded = spec.padded and not self.is_first
        self.masks = frozenset(["keep"] * self.is_padded)

    def sides(self) -> Sides:
        every = {"x": (self.i, self.m), "keep": (self.i,), self.first: (self.i,)}
        return where(every, keep=self.is_padded, **{self.first: self.is_first})

    def of_positions(self) -> dict[str, str | None]:
        return {self.first: None} if self.is_first else {}

    @property
    def kept(self) -> Expression:
        """1 for a token that is pooled, else 0."""
        if self.is_first:
            return self.read(self.first)
        return self.read("keep") if self.is_padded else ONE

    def count(self) -> Expression:
        """The number of tokens that are pooled; there is one first token."""
        return ONE if self.is_first else total(self.i, self.kept)

    def rows(self) -> list[Definition]:
        pooled = Read("pooled", (self.m,))
        length, y = Apply("sqrt", total(self.m, pooled * pooled)), pooled / Read("length", ())
        return [
            Definition("count", (), self.count()),
            Definition(
                "pooled", (self.m,), total(self.i, self.kept * self.read("x")) / Read("count", ())
            ),
            Definition("length", (), length if self.spec.unit else ONE),
            Definition("y", (self.m,), y),
        ]


BOOKS: Mapping[type, type[Book]] = {
    Norm: OfNorm,
    FeedForward: OfFeedForward,
    Dense: OfDense,
    Embedding: OfEmbedding,
    Residual: OfResidual,
    Pooling: OfPooling,
}


def book_of(spec: Plain) -> Book:
    """The textbook's page on a block that is not attention."""
    return BOOKS[type(spec)](spec)
