"""Attention from its formulas, once more: modulo primes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from cortico.verify.recheck.book import Book
from cortico.verify.recheck.run import rotation, transferred
from cortico.verify.recheck.spec import read_spec
from cortico.verify.recheck.text import number
from cortico.verify.recheck.world import Array, Arrays, World

#: Heads h are members r of groups g; key features a, to be turned, are components t of planes p.
SIDES = """x:im context:jl values:jv score_bias:ij keep:j W_Q:ham W_K:gal W_V:gcv W_O:hoc b_Q:ha b_K:ga b_V:gc b_O:o
alibi_slopes:h position_bias:hij sink:h frequencies:p gain_Q:a gain_K:a shift_Q:a shift_K:a extra_K:ga extra_V:gc"""


class Textbook(Book):
    """Attention of a spec, on the tensors of a circuit for it."""

    called, gives = "attention", "io"

    def __init__(self, spec: dict[str, Any], circuit: Any) -> None:
        super().__init__(read_spec(spec), circuit)
        s = self.s
        heads, d = s["heads"] or 1, s["key_features"] or s["model"] // (s["heads"] or 1)
        groups, tokens, width = s["kv_heads"] or heads, s["tokens"] or "n", s["model"]
        self.rotary, source = s["rotary"] is not None, s["context_tokens"] or "n_context"
        extents = {"h": heads, "g": groups, "r": heads // groups, "a": d, "p": d // 2, "t": 2}
        extents |= {"i": tokens, "j": source if s["cross"] else tokens, "m": width}
        extents |= {"l": s["context"] or width, "o": s["output"] or width}
        extents |= {"c": s["value_features"] or d, "v": s["values"] or extents["l"]}
        self.extents = {letter: str(extent) for letter, extent in extents.items()}
        self.split = {"h": "gr" if heads > groups else "h", "a": "pt" if self.rotary else "a"}
        self.sides = dict(part.split(":") for part in SIDES.split())
        norm = s["qk_norm"] or {}
        if norm.get("over") == "width" or norm.get("own_gains"):
            self.sides |= {"gain_Q": "ha", "gain_K": "ga", "shift_Q": "ha", "shift_K": "ga"}
        self.level, self.window = int(s["kernel"] != "linear"), (s["window"] or 1) - 1

    def inputs(self) -> dict[str, bool | None]:
        """`x`, and what cross attention, positions and padding add."""
        s = self.s
        others = {
            "context": s["cross"],
            "values": s["values"],
            "score_bias": s["position_bias"] == "input",
        }
        found: dict[str, bool | None] = {"x": False}
        found |= {name: False for name, has in others.items() if has}
        return found | ({"keep": True} if s["key_padding"] else {})

    def output(self, world: World, tensors: list[Arrays]) -> Array:
        """`y_i = Σ_h W_O[h] Σ_j p_hij v_hj + b_O`, p the scores or their softmax."""
        self.begin(world, tensors)
        p = world.primes[0]
        share = self.shares(self.scores() % world.primes[self.level], self.seen())
        v = self.with_extra("V", self.linear("value", "j", 0), 0)
        v = np.repeat(v, len(share) // len(v), 0)
        counts = (*(self.counts(letter, 0) for letter in "hc"), self.source_counts())
        y = np.einsum("hoc,hij,hjc,h,c,j->io", self.read("W_O", 0), share, v, *counts)
        return (y + (self.read("b_O", 0) if (self.s["bias"] or {}).get("output") else 0)) % p

    def linear(self, kind: str, tokens: str, level: int) -> Array:
        """`W x + b` (heads, tokens, features) of query, key or value."""
        source, side = ("context", "l") if self.s["cross"] and tokens == "j" else ("x", "m")
        if self.s["values"] and kind == "value":
            source, side = "values", "v"
        x, counts = self.read(source, level), self.counts(side, level)
        y = np.einsum("ham,im,m->hia", self.read(f"W_{kind[0].upper()}", level), x, counts)
        if (self.s["bias"] or {}).get(kind):
            y = y + self.read(f"b_{kind[0].upper()}", level)[:, None]
        if self.s["qk_norm"] is not None and kind != "value":
            y = self.normed(kind, y % self.world.primes[level], level)
        if not self.rotary or kind == "value":
            return y % self.world.primes[level]
        turns = rotation(self.world, self.read("frequencies", level), len(x), level)
        turned = np.einsum("ipst,hipt->hips", turns, y.reshape(*y.shape[:2], -1, 2))
        return turned.reshape(y.shape) % self.world.primes[level]

    def normed(self, kind: str, y: Array, level: int) -> Array:
        """`gain · y / √(mean of y² + eps)`, where a layer norm takes the mean from y, and the bias."""
        world, p, norm = self.world, self.world.primes[level], self.s["qk_norm"]
        letter = kind[0].upper()
        if norm.get("kind") == "layer":
            y = (y - self.mean(kind, y, level)[..., None]) % p
        eps = world.power(number(repr(norm.get("eps", 1e-6))), [], level)
        rms = transferred(world, "sqrt", (self.mean(kind, y * y, level) + eps) % p, level)
        names = [f"gain_{letter}", *[f"shift_{letter}"] * bool(norm.get("bias"))]
        found = [self.read(name, level) for name in names]
        gain, shift = (a[:, None] if a.ndim == 2 else a for a in (*found, np.array(0))[:2])
        return (gain * y * world.reciprocal(rms, level)[..., None] + shift) % p

    def mean(self, kind: str, y: Array, level: int) -> Array:
        """Of (heads, tokens, features), the mean over features, or over heads and features."""
        heads = self.counts("h" if kind == "query" else "g", level)
        features = self.counts("a", level)
        found, count = np.einsum("hia,a->hi", y, features), int(features.sum())
        if self.s["qk_norm"].get("over") == "width":
            found, count = np.einsum("hi,h->i", found, heads)[None], count * int(heads.sum())
        return found * self.world.power(Fraction(1), [(count, Fraction(-1))], level)

    def scores(self) -> Array:
        """`scale · q_hi · k_hj + bias_hij`, capped before the bias where there is a cap."""
        s, level = self.s, self.level
        q = self.linear("query", "i", level)
        k = self.with_extra("K", self.linear("key", "j", level), level)
        counts = self.counts("a", level)
        root = [(int(counts.sum()), Fraction(-level, 2))]
        scale = (Fraction(1), root) if s["scale"] is None else (number(repr(s["scale"])), [])
        k = np.repeat(k, len(q) // len(k), 0)
        found = self.world.power(*scale, level) * np.einsum("hia,hja,a->hij", q, k, counts)
        if s["soft_cap"] is not None:
            found = self.capped(found, level)
        if s["position_bias"] == "alibi":
            i, j = np.ogrid[: found.shape[1], : found.shape[2]]
            found = found + self.read("alibi_slopes", level)[:, None, None] * (j - i).astype(object)
        names = {"table": "position_bias", "input": "score_bias"}
        if s["position_bias"] in names:
            table = self.read(names[s["position_bias"]], level)
            found[:, :, : table.shape[-1]] += table
        return found

    def with_extra(self, letter: str, content: Array, level: int) -> Array:
        """Keys or values (heads, tokens, features), with those of the extra source token behind them."""
        if not self.s["extra_source"]:
            return content
        return np.concatenate([content, self.read(f"extra_{letter}", level)[:, None]], 1)

    def source_counts(self) -> Array:
        """With which weight each source token counts in a sum; the extra one counts once."""
        return np.append(self.counts("j", 0), [1] * bool(self.s["extra_source"]))

    def capped(self, scores: Array, level: int) -> Array:
        """`c · tanh(score / c)`."""
        world, p, cap = self.world, self.world.primes[level], number(repr(self.s["soft_cap"]))
        over, times = (world.power(c, [], level) for c in (1 / cap, cap))
        return times * transferred(world, "tanh", scores * over % p, level)

    def seen(self) -> Array:
        """1 where query i may see source token j, else 0."""
        s, sizes = self.s, [self.world.sizes[self.extents[token]] for token in "ij"]
        (i, j), found = np.ogrid[: sizes[0], : sizes[1]], np.ones(sizes, dtype=int)
        if s["mask"] in ("causal", "window"):
            found = found * (j <= i)
        if s["window"]:
            most = self.world.near[s["window"] - 1]
            found = found * (i - j <= most)
            if s["mask"] == "bidirectional_window":
                found = found * (j - i <= most)
        found = found.astype(object) * (self.read("keep", 0) if s["key_padding"] else 1)
        extra = np.ones((sizes[0], int(bool(s["extra_source"]))), dtype=object)
        return np.concatenate([found, extra], 1)

    def shares(self, scores: Array, seen: Array) -> Array:
        """The scores, or their softmax, of the source tokens seen."""
        if not self.level:
            return scores * seen
        p, base = self.world.primes[0], self.world.base
        exp = np.frompyfunc(lambda a: pow(base, a, p), 1, 1)
        e = exp(scores) * seen
        total = (e * self.source_counts()).sum(2) + (
            exp(self.read("sink", 1))[:, None] if self.s["sink"] else 0
        )
        if self.s["semi_saturation"]:
            total = total + self.world.power(number(repr(self.s["semi_saturation"])), [], 0)
        return e * self.world.reciprocal(total, 0)[..., None] % p
