"""The blocks around attention from their formulas, once more: modulo primes.

    Norm         y = gain · (x - mean) / √(mean of (x - mean)² + eps) + shift        an RMS norm has 0 for the mean
    FeedForward  y = W_out hidden + b_out       hidden = φ(W_in x + b_in), gated φ(W_gate x + b_gate) (W_in x + b_in)
    Dense        y = φ(scale · W x + b), or c · tanh(that / c)
    Embedding    y = scale · Σ_v tokens_v W_token[v] + Σ_t types_t W_type[t] + row i of W_position
    Residual     y = x + scale · Σ_k branch_k
    Pooling      y = Σ_i keep_i x_i / Σ_i keep_i, by its own length if it has length 1; keep is 1 of the first token

A root and a transfer function are random functions of residues, but for what is known of them (`transferred`).
Rows of a table are taken for as many tokens as it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.verify.recheck.book import Book
from cortico.verify.recheck.model_spec import heard_keep
from cortico.verify.recheck.run import transferred
from cortico.verify.recheck.text import number
from cortico.verify.recheck.textbook import Textbook
from cortico.verify.recheck.world import Array, Arrays, World

Spec = Mapping[str, Any]


class Plain(Book):
    """A block without heads. Its spec has all its fields."""

    #: Tensors with their sides, and sides with the fields that say their sizes.
    tensors_: str
    fields = "i=tokens m=model"

    def __init__(self, spec: Spec, circuit: Any) -> None:
        super().__init__(spec, circuit)
        self.sides = dict(part.split(":") for part in self.tensors_.split())
        named = (part.split("=") for part in self.fields.split())
        self.extents = {letter: str(spec[field]) for letter, field in named}

    def output(self, world: World, tensors: list[Arrays]) -> Array:
        self.begin(world, tensors)
        return np.asarray(self.y() % world.primes[0])

    def y(self) -> Array:
        """What it gives, before it is reduced."""
        raise NotImplementedError

    def if_given(self, has: object, name: str, level: int = 0) -> Any:
        """A tensor, or 0 where the spec has none."""
        return self.read(name, level) if has else 0

    def linear(self, weight: str, bias: object, name: str, level: int = 0) -> Array:
        """`W x + b` (tokens, features); without an axis of tokens (features)."""
        x, w, counts = self.read("x", level), self.read(weight, level), self.counts("m", level)
        found = np.einsum("fm,...m,m->...f", w, x, counts) * self.gain(level)
        return (found + self.if_given(bias, name, level)) % self.world.primes[level]

    def gain(self, level: int) -> int:
        """By what a linear map is multiplied."""
        return 1

    def constant(self, value: float, level: int = 0) -> int:
        """A number of the spec: the decimal that it prints as."""
        return self.world.power(number(repr(value)), [], level)

    def over(self, x: Array, divisor: Array) -> Array:
        """`x / divisor`, along the axes that x begins with."""
        found = self.world.reciprocal(divisor % self.world.primes[0], 0)
        return x * np.expand_dims(found, tuple(range(found.ndim, x.ndim)))

    def root(self, x: Array) -> Array:
        return transferred(self.world, "sqrt", x % self.world.primes[0], 0)


class OfNorm(Plain):
    """Layer norm and RMS norm."""

    called, tensors_ = "the norm", "x:im gain:m shift:m"

    def y(self) -> Array:
        s, x = self.s, self.read("x")
        if s["kind"] == "layer":
            x = x - self.mean(x)[:, None]
        found = self.over(x, self.root(self.mean(x * x) + self.constant(s["eps"])))
        gain = self.read("gain") if s["gain"] else 1
        return found * gain + self.if_given(s["shift"], "shift")

    def mean(self, x: Array) -> Array:
        """The mean over the features of each token."""
        counts = self.counts("m")
        size = [(int(counts.sum()), Fraction(-1))]
        return np.einsum("im,m->i", x, counts) * self.world.power(Fraction(1), size, 0)


class OfFeedForward(Plain):
    """A hidden layer, gated or not."""

    called, gives = "the feed-forward block", "io"
    tensors_ = "x:im W_in:fm b_in:f W_gate:fm b_gate:f W_out:of b_out:o"
    fields = "i=tokens m=model f=hidden o=output"

    def __init__(self, spec: Spec, circuit: Any) -> None:
        super().__init__({**spec, "output": spec["output"] or spec["model"]}, circuit)

    def y(self) -> Array:
        s, gated = self.s, self.s["gated"]
        level = int(s["transfer"] == "exp")
        bias = s["bias_in"]
        inside = self.linear(
            *(("W_gate", bias, "b_gate") if gated else ("W_in", bias, "b_in")), level
        )
        hidden = transferred(self.world, function(s["transfer"]), inside, 0)
        hidden = hidden * self.linear("W_in", bias, "b_in") if gated else hidden
        y = np.einsum("of,if,f->io", self.read("W_out"), hidden, self.counts("f"))
        return y + self.if_given(s["bias_out"], "b_out")


class OfDense(Plain):
    """One linear map and what follows it."""

    called, tensors_, fields = "the dense block", "x:im W:om b:o", "i=tokens m=model o=output"

    def __init__(self, spec: Spec, circuit: Any) -> None:
        super().__init__(spec, circuit)
        self.gives = "o" if spec["pooled"] else "io"
        self.sides |= {"x": "m"} if spec["pooled"] else {}

    def gain(self, level: int) -> int:
        return self.constant(self.s["scale"], level)

    def y(self) -> Array:
        s, cap = self.s, self.s["soft_cap"]
        read = self.linear("W", s["bias"], "b", int(s["transfer"] == "exp"))
        if cap is None:
            return transferred(self.world, function(s["transfer"]), read, 0)
        within = read * self.world.power(1 / number(repr(cap)), [], 0) % self.world.primes[0]
        return self.constant(cap) * transferred(self.world, "tanh", within, 0)


class OfEmbedding(Plain):
    """Tokens, their types and positions; of any numbers as tokens."""

    called, fields = "the embedding", "i=tokens m=model v=vocabulary t=types r=positions"
    tensors_ = "tokens:iv types:it W_token:vm W_type:tm W_position:rm"

    def inputs(self) -> dict[str, bool | None]:
        return dict.fromkeys(("tokens", "types") if self.s["types"] else ("tokens",))

    def y(self) -> Array:
        s = self.s
        y = self.constant(s["scale"]) * self.rows("tokens", "W_token", "v")
        y = y + (self.rows("types", "W_type", "t") if s["types"] else 0)
        if s["positions"]:
            table = self.read("W_position")
            y = y + table[np.arange(len(y)) % len(table)]
        return y

    def rows(self, which: str, table: str, side: str) -> Array:
        """The rows of a table that tokens name."""
        operands = self.read(which), self.read(table), self.counts(side)
        return np.einsum("iv,vm,v->im", *operands)


class OfResidual(Plain):
    """The stream, and what is added to it."""

    called, tensors_ = "the residual", "x:im"

    def __init__(self, spec: Spec, circuit: Any) -> None:
        super().__init__(spec, circuit)
        count = spec["branches"]
        self.added = ["branch"] if count == 1 else [f"branch_{k}" for k in range(count)]
        self.sides |= dict.fromkeys(self.added, "im")

    def inputs(self) -> dict[str, bool | None]:
        return dict.fromkeys(("x", *self.added), False)

    def y(self) -> Array:
        added = sum(self.read(name) for name in self.added)
        return self.read("x") + self.constant(self.s["scale"]) * added


class OfPooling(Plain):
    """All tokens to one vector."""

    called, tensors_, gives = "the pooling", "x:im keep:i", "m"

    def inputs(self) -> dict[str, bool | None]:
        return {**super().inputs(), **({"keep": True} if heard_keep(self.s) else {})}

    def y(self) -> Array:
        x, counts, first = self.read("x"), self.counts("i"), self.s["pool"] == "first"
        keep = np.array([1] * len(x), dtype=object)
        keep = self.read("keep") if heard_keep(self.s) else keep
        keep = keep * (np.arange(len(x)) == 0).astype(int) if first else keep
        y = np.einsum("i,im,i->m", keep, x, counts)
        if not first:
            y = y * self.world.reciprocal(np.asarray(keep @ counts % self.world.primes[0]), 0)
        if not self.s["unit"]:
            return y
        length = self.root(np.asarray(np.einsum("m,m,m->", y, y, self.counts("m")), dtype=object))
        return y * self.world.reciprocal(length, 0)


def function(name: str) -> str | None:
    """A transfer function as circuits have it: none for the identity."""
    return None if name == "identity" else name


BOOKS: dict[str, type[Book]] = {
    "attention": Textbook,
    "norm": OfNorm,
    "feed_forward": OfFeedForward,
    "dense": OfDense,
    "embedding": OfEmbedding,
    "residual": OfResidual,
    "pooling": OfPooling,
}
