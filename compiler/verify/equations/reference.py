"""Multihead attention as the textbook writes it: the equations that circuits are held against.

    query_hia = Σ_m W_Q[h,a,m] x[i,m] + b_Q[h,a]        key, value likewise, of source tokens j
    normed    = gain · query / √(mean of query² + eps)   key likewise, where the spec norms them; a layer
                                                         norm has query - mean of query, and may add a bias
    score_hij = scale · Σ_a query_hia key_hja + bias     scale: 1/√d for softmax, 1 for linear
                or c · tanh(scale · Σ_a … / c) + bias    with a soft cap c (Gemma 2, arXiv 2408.00118)
    mask_hij  = exp(score_hij) / (sigma + Σ_l exp(score_hil))  over the tokens that i may see; or score_hij
                                                         sigma: semi_saturation, 0 unless told
    head_hic  = Σ_j mask_hij value_hjc (+ extra_mask_hi extra_V[h,c])
    y_io      = Σ_h,c W_O[h,o,c] head_hic + b_O[o] (+ x[i,o])

Vaswani et al., arXiv 1706.03762, equation 1; norm: Zhang & Sennrich, arXiv 1910.07467, equation 4; linear: Granier & Senn, arXiv 2504.06354. Grouped heads
are pairs (g, r) of a group and a member, rotated features pairs (p, s) of a plane and a component.
An extra source token, of key extra_K[h,a] and value extra_V[h,c], is one more term of both sums, for every query
(`add_bias_kv` of torch.nn.MultiheadAttention).
Written independently of lowering; `print(reference(spec))` shows it.

This is the one statement of attention on which these checks rest, each with a circuit evaluated in its
own way on the other side:

    proofs for all sizes                    the normal form of these equations, and of their gradients
    modulo primes, `identity.testing`       these equations on residues
    entry by entry, `exact.elementwise`     these equations on SymPy symbols
    layout, `independent.misplaced`         `Textbook.arranged`

Others are stated apart, so that an error here is seen: `verify.pytorch`, which every compilation is held
against, the re-check's `verify.recheck.textbook`, and the oracle of the tests. The gradients of
`closed_forms` are derived by hand from these equations, and PyTorch's autograd is held against them.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from cortico.ir import Formula
from cortico.spec import (
    AttentionSpec,
    Kernel,
    Mask,
    NormKind,
    NormOver,
    PositionBias,
    RotaryStyle,
)
from cortico.spec.weights import required_shapes
from cortico.spec.wiring import Block
from cortico.verify.equations.blocks import Book, book_of
from cortico.verify.equations.language import (
    ONE,
    POSITIONS,
    Apply,
    Definition,
    Equations,
    Expression,
    Extents,
    Index,
    Read,
    Size,
    Within,
    exp,
    number,
    offset,
    product,
    total,
)

Indices = tuple[Index, ...]


class Textbook:
    """The indices and the equations of one spec."""

    def __init__(self, spec: AttentionSpec) -> None:
        self.spec = spec
        self.tensors = required_shapes(spec)
        self.i = Index("i", "tokens")
        self.j = Index("j", "context tokens" if spec.cross else "tokens")
        self.c = Index("c", "value features")
        self.m = Index("m", "model features")
        self.l = Index("l", "context features") if spec.cross else self.m
        self.v = Index("v", "features of values") if spec.values else self.l
        self.o = Index("o", "output features")
        grouped = (Index("g", "groups"), Index("r", "members"))
        self.h = grouped if spec.members > 1 else (Index("h", "heads"),)
        self.g = self.h[:1]
        p, s, t = Index("p", "planes"), Index("s", "components"), Index("t", "components")
        self.a = (p, s) if spec.rotary else (Index("a", "key features"),)
        self.b = (p, t) if spec.rotary else self.a  # features before rotation
        self.source = "context" if spec.cross else "x"

    # ---- what is given ---------------------------------------------------------------------------

    def given(self) -> dict[str, tuple[str, ...]]:
        """Input and parameter names to the sorts of their sides."""
        sides = self.sides()
        return {name: tuple(v.sort for v in sides[name]) for name in self._given_names()}

    def sides(self) -> dict[str, tuple[Index, ...]]:
        """The sides of every tensor that some spec has."""
        h, g, i, j = self.h, self.g, self.i, self.j
        return {
            "x": (i, self.m),
            "context": (j, self.l),
            "values": (j, self.v),
            "score_bias": (i, j),
            "keep": (j,),
            "W_Q": (*h, *self.b, self.m),
            "W_K": (*g, *self.b, self.l),
            "W_V": (*g, self.c, self.v),
            "W_O": (*h, self.o, self.c),
            "b_Q": (*h, *self.b),
            "b_K": (*g, *self.b),
            "b_V": (*g, self.c),
            "b_O": (self.o,),
            "alibi_slopes": h,
            "position_bias": (*h, i, j),
            "sink": h,
            "extra_K": (*g, *self.a),
            "extra_V": (*g, self.c),
            "gain_Q": (*self.own(h), *self.b),
            "gain_K": (*self.own(g), *self.b),
            "shift_Q": (*self.own(h), *self.b),
            "shift_K": (*self.own(g), *self.b),
            "rotation(frequencies)": (Index("", POSITIONS), *self.a, self.b[-1]),
            "frequencies": self.a[:1],
        }

    def arranged(self, name: str, array: np.ndarray) -> np.ndarray:
        """A tensor as `cortico.spec.weights` has it, with the sides that it has here.

        Head h is member h mod R of group h // R. Planes turn pairs of features (arXiv 2104.09864).
        """
        sides, shape = self.given()[name], list[int]()
        if "planes" in sides:
            array = array.take(self._paired(), sides.index("planes") - ("members" in sides))
        joined = iter(array.shape)
        for sort in sides:
            if sort in ("members", "components"):
                parts = self.spec.members if sort == "members" else 2
                shape[-1:] = [shape[-1] // parts, parts]
            else:
                shape.append(next(joined))
        return array.reshape(shape)

    def _paired(self) -> list[int]:
        """Key features, those that turn together side by side, then those that do not turn."""
        rotary, rotated = self.spec.rotary, self.spec.rotated_features
        half = rotated // 2
        if rotary is not None and rotary.style is RotaryStyle.HALF_SPLIT:
            turning = [feature for p in range(half) for feature in (p, p + half)]
        else:
            turning = [feature for p in range(half) for feature in (2 * p, 2 * p + 1)]
        return [*turning, *range(rotated, self.spec.d_key)]

    def frequencies(self, given: np.ndarray | None = None) -> np.ndarray:
        """The angle of each plane per token: as given, else `base^(-2p/rotated)`; the last may not turn."""
        assert self.spec.rotary is not None
        rotated = self.spec.rotated_features
        usual = self.spec.rotary.base ** (-2 * np.arange(rotated // 2) / rotated)
        still = [0] * ((self.spec.d_key - rotated) // 2)
        return np.concatenate([usual if given is None else given, still])

    def _given_names(self) -> list[str]:
        spec = self.spec
        names = ["x", *["context"] * spec.cross, *["values"] * bool(spec.values)]
        names += ["score_bias"] * (spec.position_bias is PositionBias.INPUT)
        names += [*["keep"] * spec.key_padding, *self.tensors]
        return names + ["rotation(frequencies)", "frequencies"] * (spec.rotary is not None)

    def of_positions(self) -> dict[str, str | None]:
        """Given tensors that are the first rows of a table: attention has none."""
        return {}

    def formulas(self) -> dict[str, Formula]:
        """Given tensors that are computed: rotations from frequencies."""
        if self.spec.rotary is None:
            return {}
        return {"rotation(frequencies)": Formula("rotation", ("frequencies",))}

    def extents(self) -> Extents:
        """How many indices each sort has in this spec. No equation looks at it."""
        spec = self.spec
        return {
            "tokens": spec.tokens,
            "context tokens": spec.source_tokens,
            "value features": spec.d_value,
            "model features": spec.model,
            "context features": spec.d_context,
            "features of values": spec.d_values,
            "output features": spec.d_output,
            "heads": spec.heads,
            "groups": spec.heads // spec.members,
            "members": spec.members,
            "key features": spec.d_key,
            "planes": spec.d_key // 2,
            "components": 2,
        }

    # ---- the equations ---------------------------------------------------------------------------

    def equations(self) -> Equations:
        """All of them, the output `y` last."""
        return Equations(
            self.given(),
            (*self.content(), *self.attention(), self.head(), self.output()),
            ("y",),
            frozenset(["keep"] * self.spec.key_padding),
            self.formulas(),
            self.extents(),
        )

    def content(self) -> list[Definition]:
        """Queries, keys and values, normed and turned by position as specified."""
        h, g, i, j, a, b = self.h, self.g, self.i, self.j, self.a, self.b
        x, source = Read("x", (i, self.m)), Read(self.source, (j, self.l))
        query = total(self.m, Read("W_Q", (*h, *b, self.m)) * x) + self.bias("b_Q", *h, *b)
        key = total(self.l, Read("W_K", (*g, *b, self.l)) * source) + self.bias("b_K", *g, *b)
        of_values = Read("values" if self.spec.values else self.source, (j, self.v))
        value = total(self.v, Read("W_V", (*g, self.c, self.v)) * of_values)
        value = value + self.bias("b_V", *g, self.c)
        rows = [
            Definition("query", (*h, i, *b), query),
            Definition("key", (*g, j, *b), key),
            Definition("value", (*g, j, self.c), value),
        ]
        if self.spec.qk_norm:
            rows += [*self.normed("query", "Q", h, i), *self.normed("key", "K", g, j)]
        if self.spec.rotary:
            for name, head, token in (("query", h, i), ("key", g, j)):
                turn = Read("rotation(frequencies)", (token, *a, b[-1]))
                turned = total(b[-1], turn * Read(self.before(name), (*head, token, *b)))
                rows.append(Definition(f"turned_{name}", (*head, token, *a), turned))
        return rows

    def own(self, head: Indices) -> Indices:
        """The heads that have gains of their own: none, or all."""
        return head if self.spec.qk_norm and self.spec.qk_norm.by_head else ()

    def normed(self, name: str, letter: str, head: Indices, token: Index) -> list[Definition]:
        """The mean where it goes, the root mean square of what is left, and what is divided by it."""
        assert self.spec.qk_norm is not None
        at, pooled = (*head, token, *self.b), (*self.each(head), token)
        rows, content = list[Definition](), Read(self.centred(name), at)
        if self.spec.qk_norm.kind is NormKind.LAYER:
            mean, alone = Read(f"{name}_mean", pooled), Read(name, at)
            rows.append(Definition(f"{name}_mean", pooled, self.mean(head, alone)))
            rows.append(Definition(f"centred_{name}", at, alone - mean))
        eps = number(self.spec.qk_norm.eps)
        rms = Apply("sqrt", self.mean(head, content * content) + eps)
        own = (*self.own(head), *self.b)
        divided = Read(f"gain_{letter}", own) * content / Read(f"{name}_rms", pooled)
        shifted = divided + self.bias(f"shift_{letter}", *own)
        return [
            *rows,
            Definition(f"{name}_rms", pooled, rms),
            Definition(f"normed_{name}", at, shifted),
        ]

    def centred(self, name: str) -> str:
        """What is divided by the root of its mean square."""
        norm = self.spec.qk_norm
        return f"centred_{name}" if norm and norm.kind is NormKind.LAYER else name

    def each(self, head: Indices) -> Indices:
        """The heads that are normed by themselves."""
        over = self.spec.qk_norm and self.spec.qk_norm.over
        return () if over is NormOver.WIDTH else head

    def mean(self, head: Indices, body: Expression) -> Expression:
        """The mean over the features that are normed together."""
        together = (*(() if self.each(head) else head), *self.b)
        return product(*(Size(v.sort, Fraction(-1)) for v in together), total(together, body))

    def before(self, name: str) -> str:
        """What queries or keys are called before they turn."""
        return f"normed_{name}" if self.spec.qk_norm else name

    def last(self, name: str) -> str:
        """What the queries or keys are called that meet in scores."""
        return f"turned_{name}" if self.spec.rotary else self.before(name)

    def attention(self) -> list[Definition]:
        """Scores, and the mask that they become."""
        h, i, j = self.h, self.i, self.j
        query = Read(self.last("query"), (*h, i, *self.a))
        key = Read(self.last("key"), (*self.g, j, *self.a))
        score: Expression = product(*self.scale(), total(self.a, query * key))
        at, rows = (*h, i, j), list[Definition]()
        if self.spec.soft_cap is not None:
            rows.append(Definition("uncapped", at, score))
            score = number(self.spec.soft_cap) * self.saturation()
        rows += [Definition("score", at, score + self.position_bias()), *self.extra_score()]
        if self.spec.kernel is Kernel.LINEAR:
            rows.append(Definition("mask", at, Read("score", at) * self.seen()))
            return [*rows, *self.extra_mask()]
        rows.append(Definition("weight", at, exp(Read("score", at)) * self.seen()))
        everything = number(self.spec.semi_saturation) + total(j, Read("weight", at)) + self.sink()
        if self.spec.extra_source:
            everything = everything + exp(Read("extra_score", (*h, i)))
        rows.append(Definition("normaliser", (*h, i), everything))
        rows.append(Definition("mask", at, Read("weight", at) / Read("normaliser", (*h, i))))
        return [*rows, *self.extra_mask()]

    def extra_score(self) -> list[Definition]:
        """How each query meets the key of the extra source token, if there is one."""
        if not self.spec.extra_source:
            return []
        query, key = Read("query", (*self.h, self.i, *self.a)), Read("extra_K", (*self.g, *self.a))
        score = product(*self.scale(), total(self.a, query * key))
        return [Definition("extra_score", (*self.h, self.i), score)]

    def extra_mask(self) -> list[Definition]:
        """How much of the extra source token each query takes."""
        if not self.spec.extra_source:
            return []
        at = (*self.h, self.i)
        share: Expression = Read("extra_score", at)
        if self.spec.kernel is not Kernel.LINEAR:
            share = exp(share) / Read("normaliser", at)
        return [Definition("extra_mask", at, share)]

    def head(self) -> Definition:
        """What each head gives: values, averaged under its mask."""
        h, i, j, c = self.h, self.i, self.j, self.c
        mask, value = Read("mask", (*h, i, j)), Read("value", (*self.g, j, c))
        taken = total(j, mask * value)
        if self.spec.extra_source:
            taken = taken + Read("extra_mask", (*h, i)) * Read("extra_V", (*self.g, c))
        return Definition("head", (*h, i, c), taken)

    def output(self) -> Definition:
        """The heads joined."""
        h, i, c, o = self.h, self.i, self.c, self.o
        joined = total((*h, c), Read("W_O", (*h, o, c)) * Read("head", (*h, i, c)))
        return Definition("y", (i, o), joined + self.bias("b_O", o))

    # ---- their parts -----------------------------------------------------------------------------

    def bias(self, name: str, *indices: Index) -> Expression:
        """`name[indices]` if the spec has it, else 0."""
        return Read(name, indices) if name in self.tensors else number(Fraction(0))

    def scale(self) -> tuple[Expression, ...]:
        """The scale of scores."""
        if self.spec.scale is not None:
            return (number(self.spec.scale),)
        if self.spec.kernel is Kernel.LINEAR:
            return ()
        return tuple(Size(a.sort, Fraction(-1, 2)) for a in self.a)

    def saturation(self) -> Expression:
        """How far a score is at its cap: between -1 and 1."""
        assert self.spec.soft_cap is not None
        uncapped = Read("uncapped", (*self.h, self.i, self.j))
        return Apply("tanh", uncapped / number(self.spec.soft_cap))

    def position_bias(self) -> Expression:
        """What positions add to the scaled scores."""
        match self.spec.position_bias:
            case PositionBias.NONE:
                return number(Fraction(0))
            case PositionBias.TABLE:
                return Read("position_bias", (*self.h, self.i, self.j))
            case PositionBias.INPUT:
                return Read("score_bias", (self.i, self.j))
            case PositionBias.ALIBI:
                return Read("alibi_slopes", self.h) * offset(self.i, self.j)

    def seen(self) -> Expression:
        """1 where query i may attend to source token j, else 0."""
        seen: Expression = ONE
        both = self.spec.mask is Mask.BIDIRECTIONAL_WINDOW
        if self.spec.mask is not Mask.NONE:
            seen = seen * Within(self.j, self.i, (self.spec.window or 1) - 1 if both else 0)
        if self.spec.window is not None:
            seen = seen * Within(self.i, self.j, self.spec.window - 1)
        return seen * Read("keep", (self.j,)) if self.spec.key_padding else seen

    def sink(self) -> Expression:
        """What an attention sink adds to the normaliser."""
        return exp(Read("sink", self.h)) if self.spec.sink else number(Fraction(0))


def book(spec: Block) -> Textbook | Book:
    """The textbook's page on a block."""
    return Textbook(spec) if isinstance(spec, AttentionSpec) else book_of(spec)


def reference(spec: Block) -> Equations:
    """The textbook's equations for `spec`, attention or a block around it."""
    return book(spec).equations()
