"""Closed forms of gradients that are wrong, each in one way that somebody might get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from cortico.spec import AttentionSpec, Mask
from cortico.verify.equations.closed_forms import closed_forms
from cortico.verify.equations.language import (
    Apply,
    Equations,
    Expression,
    Index,
    Read,
    Size,
    Within,
    number,
    offset,
    product,
    total,
)
from tests.verify.negative_controls import (
    ALIBI,
    BIASED,
    CAPPED,
    CENTRED,
    GROUPED,
    HALF,
    LINEAR,
    NORMED,
    ROTARY,
    SINK,
    SOFT,
    WIDE,
)
from tests.verify.negative_sources import EXTRA


@dataclass(frozen=True)
class WrongGradient:
    """The closed forms of a spec with the bodies of some equations changed."""

    spec: AttentionSpec
    change: Callable[[dict[str, Expression], Equations], dict[str, Expression]]

    @property
    def right(self) -> Equations:
        return closed_forms(self.spec)

    @property
    def wrong(self) -> Equations:
        right = self.right
        bodies = {each.tensor: each.body for each in right.definitions}
        changed = self.change(bodies, right)
        definitions = tuple(
            replace(each, body=changed.get(each.tensor, each.body)) for each in right.definitions
        )
        return replace(right, definitions=definitions)


H, G, R = Index("h", "heads"), Index("g", "groups"), Index("r", "members")
I, J, C = Index("i", "tokens"), Index("j", "tokens"), Index("c", "value features")  # noqa: E741
A, M, O = Index("a", "key features"), Index("m", "model features"), Index("o", "output features")  # noqa: E741
P, S, T = Index("p", "planes"), Index("s", "components"), Index("t", "components")
MASK, GOOD, MEAN = Read("mask", (H, I, J)), Read("g", (H, I, J)), Read("mean", (H, I))
Z, DELTA, VALUE = Read("z", (H, I, J)), Read("delta", (H, I, C)), Read("value", (H, J, C))
QUERY, KEY, X_J = Read("query", (H, I, A)), Read("key", (H, J, A)), Read("x", (J, M))
ROOT = Size("key features", -HALF)

RMS = Read("query_rms", (H, I))
NORM_WISH = Read("gain_Q", (A,)) * Read("normed.d_query", (H, I, A))
FULL = Apply("tanh", Read("uncapped", (H, I, J)) / number(0.6))


def to(**bodies: Expression) -> Callable[[dict[str, Expression], Equations], dict[str, Expression]]:
    """Bodies of tensors; `d_` in front stands for `d.`, and `turned_` for `turned.`."""
    return lambda old, equations: {
        n.replace("D_", "d.").replace("turned_d", "turned.d"): body for n, body in bodies.items()
    }


def times(
    tensor: str, *factors: Expression
) -> Callable[[dict[str, Expression], Equations], dict[str, Expression]]:
    """The body of a tensor times factors."""
    return lambda old, equations: {tensor: product(*factors, old[tensor])}


MINUS = number(-1.0)

WRONG_GRADIENTS: dict[str, WrongGradient] = {
    name: WrongGradient(spec, change)
    for name, spec, change in (
        ("the sign of ∂W_Q", SOFT, times("d.W_Q", MINUS)),
        ("the sign of the error", LINEAR, times("delta", MINUS)),
        ("∂W_V times two", SOFT, times("d.W_V", number(2.0))),
        ("Jacobian of softmax without its second term", SOFT, to(z=MASK * GOOD)),
        ("Jacobian of softmax without its first term", SOFT, to(z=-(MASK * MEAN))),
        ("Jacobian of softmax with a plus", SOFT, to(z=MASK * (GOOD + MEAN))),
        ("Jacobian of softmax without the mask in front", SOFT, to(z=GOOD - MEAN)),
        ("Jacobian of softmax as if entries stood alone", SOFT, to(z=MASK * GOOD * (number(1.0) - MASK))),
        ("mean without the mask", SOFT, to(mean=total(J, GOOD))),
        ("mean over queries", SOFT, to(mean=total(J, Read("mask", (H, J, I)) * Read("g", (H, J, I))))),
        ("1/√d missing in ∂q", SOFT, to(turned_d_query=total(J, Z * KEY))),
        ("1/√d missing in ∂k", SOFT, to(turned_d_key=total(I, Z * QUERY))),
        ("1/√d twice in ∂q", SOFT, times("turned.d_query", ROOT)),
        ("1/√d in ∂v", SOFT, times("d_value", ROOT)),
        ("∂q of exchanged tokens", SOFT, to(turned_d_query=product(ROOT, total(J, Read("z", (H, J, I)) * KEY)))),
        ("∂k of exchanged tokens", SOFT, to(turned_d_key=product(ROOT, total(I, Read("z", (H, J, I)) * QUERY)))),
        ("∂k of the key", SOFT, to(turned_d_key=product(ROOT, total(I, Z * KEY)))),
        ("∂q of the query", SOFT, to(turned_d_query=product(ROOT, total(J, Z * QUERY)))),
        ("∂v with scores before softmax", SOFT, to(d_value=total(I, Read("score", (H, I, J)) * DELTA))),
        ("∂v with the mask transposed", SOFT, to(d_value=total(I, Read("mask", (H, J, I)) * DELTA))),
        ("∂v with scores that padding does not mask", replace(LINEAR, key_padding=True), to(d_value=total(I, Read("score", (H, I, J)) * DELTA))),
        ("∂v with scores that are not causal", replace(LINEAR, mask=Mask.CAUSAL), to(d_value=total(I, Read("score", (H, I, J)) * DELTA))),
        ("causal on the wrong side", replace(LINEAR, mask=Mask.CAUSAL), to(z=GOOD * Within(I, J, 0))),
        ("causal forgotten in z", replace(LINEAR, mask=Mask.CAUSAL), to(z=GOOD)),
        ("causal strictly in z", replace(LINEAR, mask=Mask.CAUSAL), to(z=GOOD * Within(J, I, -1))),
        ("padding forgotten in z", replace(LINEAR, key_padding=True), to(z=GOOD)),
        ("linear z like softmax", LINEAR, to(z=MASK * (GOOD - MEAN))),
        ("softmax z like linear", SOFT, to(z=GOOD)),
        ("∂q of a norm as if its root were constant", NORMED, to(d_query=NORM_WISH / RMS)),
        ("∂q of a norm without its gain", NORMED, lambda old, e: {"along.d_query": old["along.d_query"], "d_query": Read("normed.d_query", (H, I, A)) / RMS - Read("query", (H, I, A)) * Read("along.d_query", (H, I))}),
        ("∂k along the key summed, not averaged", NORMED, times("along.d_key", Size("key features"))),
        ("∂q along the query with 1/r² for 1/r³", NORMED, times("along.d_query", RMS)),
        ("∂k of a norm twice as steep", NORMED, times("along.d_key", number(2.0))),
        ("∂k along the key of each head alone", WIDE, times("along.d_key", Size("groups"))),
        ("∂gain of what is not divided", NORMED, to(D_gain_Q=total((H, I), Read("normed.d_query", (H, I, A)) * Read("query", (H, I, A))))),
        ("∂gain of queries for keys", replace(NORMED, mask=Mask.CAUSAL), to(D_gain_K=total((H, I), Read("normed.d_query", (H, I, A)) * Read("query", (H, I, A)) / RMS))),
        ("∂q of a layer norm with its mean", CENTRED, to(d_query=Read("centred.d_query", (H, I, A)))),
        ("∂k of a layer norm less its sum", CENTRED, lambda old, e: {"d_key": Read("centred.d_key", (H, J, A)) - total(A, Read("centred.d_key", (H, J, A)))}),
        ("∂shift by what is divided", CENTRED, to(D_shift_Q=total(I, Read("normed.d_query", (H, I, A)) / RMS))),
        ("∂q through a cap as if there were none", CAPPED, to(turned_d_query=product(ROOT, total(J, Z * KEY)))),
        ("∂k through a cap by 1 - tanh", CAPPED, to(turned_d_key=product(ROOT, total(I, Z * (number(1.0) - FULL) * QUERY)))),
        ("∂k through a cap times the cap", CAPPED, times("turned.d_key", number(0.6))),
        ("∂k of members averaged", GROUPED, times("turned.d_key", Size("members", Fraction(-1)))),
        ("∂k of mixed members", GROUPED, to(turned_d_key=product(ROOT, total((R, I), Read("z", (G, R, I, J)) * total(Index("r'", "members"), Read("query", (G, Index("r'", "members"), I, A))))))),
        ("∂v of members averaged", GROUPED, times("d_value", Size("members", Fraction(-1)))),
        ("∂q not turned back", ROTARY, to(d_query=total(S, product(Read("rotation(frequencies)", (I, P, T, S)), Read("turned.d_query", (G, R, I, P, S)))))),
        ("∂k turned by the query's token", ROTARY, to(d_key=total((S, I), product(Read("rotation(frequencies)", (I, P, S, T)), Read("turned.d_key", (G, J, P, S)))))),
        ("∂W_O of the values", SOFT, to(D_W_O=total(I, Read("error", (I, O)) * total(J, VALUE)))),
        ("∂W_K of the query's token", SOFT, to(D_W_K=total((I, J), Read("d_key", (H, J, A)) * Read("x", (I, M))))),
        ("∂b_O of one token each", replace(SOFT, bias=BIASED), times("d.b_O", Size("tokens", Fraction(-1)))),
        ("∂b_Q like ∂b_K", replace(SOFT, bias=BIASED), to(D_b_Q=total(J, Read("d_key", (H, J, A))))),
        ("∂x without the values", SOFT, lambda old, e: {"d.x": old["d.x"] - total((H, C), Read("W_V", (H, C, M)) * Read("d_value", (H, I, C)))}),
        ("∂x without the keys", SOFT, lambda old, e: {"d.x": old["d.x"] - total((H, A), Read("W_K", (H, A, M)) * Read("d_key", (H, I, A)))}),
        ("∂x without the queries", SOFT, lambda old, e: {"d.x": old["d.x"] - total((H, A), Read("W_Q", (H, A, M)) * Read("d_query", (H, I, A)))}),
        ("the sign of ∂sink", SINK, times("d.sink", MINUS)),
        ("∂sink without its share", SINK, to(D_sink=-total(I, MEAN))),
        ("the sign of ∂extra_K", EXTRA, times("d.extra_K", MINUS)),
        ("1/√d missing in ∂extra_K", EXTRA, to(D_extra_K=total(I, Read("extra_z", (H, I)) * QUERY))),
        ("∂extra_K of the keys", EXTRA, to(D_extra_K=total(J, Read("d_key", (H, J, A))))),
        ("∂extra_V without its mask", EXTRA, to(D_extra_V=total(I, DELTA))),
        ("a mean without the extra source", EXTRA, to(mean=total(J, MASK * GOOD))),
        ("∂q without the extra key", EXTRA, to(turned_d_query=product(ROOT, total(J, Z * KEY)))),
        ("z of the extra source without the mean", EXTRA, to(extra_z=Read("extra_mask", (H, I)) * Read("extra_g", (H, I)))),
        ("∂slopes of exchanged tokens", ALIBI, to(D_alibi_slopes=total((I, J), Z * offset(J, I)))),
        ("∂slopes without distances", ALIBI, to(D_alibi_slopes=total((I, J), Z))),
    )
}  # fmt: skip
