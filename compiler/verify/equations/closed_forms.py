"""The gradients of attention in closed form, as a paper writes them: what circuits are held against.

With e_i = ∂L/∂y_i (y_i - t_i for the squared error) and δ_hic = Σ_o W_O[h,o,c] e_io:

    g_hij = Σ_c δ_hic v_hjc                                   how mask_hij should change
    z_hij = g_hij for linear, mask_hij (g_hij - Σ_l mask_hil g_hil) for softmax, where i sees j
    ∂q_hia = scale Σ_j z_hij k_hja        ∂W_Q = Σ_i ∂q_hia x_im        ∂b_Q = Σ_i ∂q_hia
    ∂k_gja = scale Σ_r,i z_hij q_hia      ∂W_K = Σ_j ∂k_gja x_jm        ∂b_K = Σ_j ∂k_gja
    ∂v_gjc = Σ_r,i mask_hij δ_hic         ∂W_V = Σ_j ∂v_gjc x_jm        ∂b_V = Σ_j ∂v_gjc
    ∂W_O = Σ_i e_io head_hic              ∂b_O = Σ_i e_io
    ∂sink_h = -Σ_i (exp(sink_h) / normaliser_hi) Σ_j mask_hij g_hij

An extra source token is one more j in these sums, whose ∂k and ∂v are the gradients of extra_K and extra_V.

Where queries are normed, n = gain · q / r with r = √(mean of q² + eps), keys likewise,

    ∂q_a = gain_a ∂n_a / r - q_a · mean of (gain ∂n q) / r³       ∂gain_a = Σ ∂n_a q_a / r

A layer norm has q - mean of q in place of q, and takes from ∂q its mean; ∂shift_a = Σ ∂n_a.

With a soft cap c the z of ∂q and ∂k is z_hij (1 - tanh²(scale q·k / c)).

For linear attention these are the closed forms of Granier & Senn, arXiv 2504.06354, with the sums over
tokens written out: ∂W_Q = Σ_i Mᵀ δ_i x_iᵀ with M = Σ_j v_j k_jᵀ. Softmax: z is its Jacobian, derived.
Rotary turns ∂q and ∂k back by the transposed rotation. The blocks around attention: `block_gradients`.
"""

from __future__ import annotations

from dataclasses import replace

from cortico.spec import AttentionSpec, Kernel, NormKind
from cortico.spec.wiring import Block
from cortico.verify.equations.block_gradients import forms_of
from cortico.verify.equations.gradients import ERROR, gradient_of
from cortico.verify.equations.language import (
    Definition,
    Equations,
    Expression,
    Index,
    Read,
    exp,
    number,
    offset,
    product,
    total,
)
from cortico.verify.equations.reference import Indices, Textbook


def closed_forms(spec: Block) -> Equations:
    """The equations of attention or another block, and after them the gradients by parameters and inputs."""
    return _ClosedForms(spec).gradients() if isinstance(spec, AttentionSpec) else forms_of(spec)


def trained(spec: Block) -> tuple[str, ...]:
    """The tensors whose gradients are compared: every parameter, and the inputs that are rates."""
    return tuple(name.removeprefix("d.") for name in closed_forms(spec).outputs)


class _ClosedForms(Textbook):
    """Textbook attention with its gradients."""

    def gradients(self) -> Equations:
        forward = self.equations()
        rows = [*self._towards_content(), *self._of_content()]
        found = {**self._of_weights(), **self._of_positions(), **self._of_inputs()}
        found |= self._of_gains() if self.spec.qk_norm else {}
        found |= self._of_extra_source() if self.spec.extra_source else {}
        last = [
            Definition(gradient_of(name), indices, body)
            for name, (indices, body) in found.items()
            if name in forward.given
        ]
        return replace(
            forward,
            given={**forward.given, ERROR: (self.i.sort, self.o.sort)},
            definitions=(*forward.definitions, *rows, *last),
            outputs=tuple(row.tensor for row in last),
        )

    # ---- from the error to queries, keys and values ------------------------------------------------

    def _towards_content(self) -> list[Definition]:
        """δ, g and z."""
        h, i, j, c, o = self.h, self.i, self.j, self.c, self.o
        delta = total(o, Read("W_O", (*h, o, c)) * Read(ERROR, (i, o)))
        wish = total(c, Read("delta", (*h, i, c)) * Read("value", (*self.g, j, c)))
        g = Read("g", (*h, i, j))
        if self.spec.kernel is Kernel.LINEAR:
            z = g * self.seen()
        else:
            mask = Read("mask", (*h, i, j))
            z = mask * (g - Read("mean", (*h, i)))
        mean = total(j, Read("mask", (*h, i, j)) * g)
        if self.spec.extra_source:
            mean = mean + Read("extra_mask", (*h, i)) * Read("extra_g", (*h, i))
        return [
            Definition("delta", (*h, i, c), delta),
            Definition("g", (*h, i, j), wish),
            *self._extra_wish(),
            Definition("mean", (*h, i), mean),
            Definition("z", (*h, i, j), z),
            *self._extra_z(),
        ]

    def _extra_wish(self) -> list[Definition]:
        """g of the extra source token, if there is one."""
        if not self.spec.extra_source:
            return []
        h, i, c = self.h, self.i, self.c
        wish = total(c, Read("delta", (*h, i, c)) * Read("extra_V", (*self.g, c)))
        return [Definition("extra_g", (*h, i), wish)]

    def _extra_z(self) -> list[Definition]:
        """z of the extra source token."""
        if not self.spec.extra_source:
            return []
        at = (*self.h, self.i)
        z: Expression = Read("extra_g", at)
        if self.spec.kernel is not Kernel.LINEAR:
            z = Read("extra_mask", at) * (z - Read("mean", at))
        return [Definition("extra_z", at, z)]

    def _of_content(self) -> list[Definition]:
        """∂q, ∂k and ∂v, before rotation."""
        h, g, i, j, a, c = self.h, self.g, self.i, self.j, self.a, self.c
        members, z = self.h[1:], self._before_the_cap()
        query, key = Read(self.last("query"), (*h, i, *a)), Read(self.last("key"), (*g, j, *a))
        met = total(j, z * key)
        if self.spec.extra_source:
            met = met + Read("extra_z", (*h, i)) * Read("extra_K", (*g, *a))
        d_query = product(*self.scale(), met)
        d_key = product(*self.scale(), total((*members, i), z * query))
        d_value = total((*members, i), Read("mask", (*h, i, j)) * Read("delta", (*h, i, c)))
        return [
            Definition("turned.d_query", (*h, i, *a), d_query),
            Definition("turned.d_key", (*g, j, *a), d_key),
            *self._before_turning("query", "gain_Q", h, i),
            *self._before_turning("key", "gain_K", g, j),
            Definition("d_value", (*g, j, c), d_value),
        ]

    def _before_the_cap(self) -> Expression:
        """How each scaled product of query and key should change."""
        z = Read("z", (*self.h, self.i, self.j))
        if self.spec.soft_cap is None:
            return z
        return z * (1 - self.saturation() * self.saturation())

    def _before_turning(
        self, name: str, gain: str, head: Indices, token: Index
    ) -> list[Definition]:
        """∂q or ∂k, and where they are normed that of the normed ones before it."""
        at = (*head, token, *self.b)
        turned_back = self._turned_back(f"d_{name}", head, token)
        if self.spec.qk_norm is None:
            return [Definition(f"d_{name}", at, turned_back)]
        content, own = Read(self.centred(name), at), Read(gain, (*self.own(head), *self.b))
        over_rms = number(1) / Read(f"{name}_rms", (*self.each(head), token))
        wish = own * Read(f"normed.d_{name}", at)
        along = self.mean(head, wish * content) * over_rms * over_rms * over_rms
        divided = wish * over_rms - content * Read(f"along.d_{name}", (*self.each(head), token))
        rows = [
            Definition(f"normed.d_{name}", at, turned_back),
            Definition(f"along.d_{name}", (*self.each(head), token), along),
        ]
        if self.spec.qk_norm.kind is NormKind.RMS:
            return [*rows, Definition(f"d_{name}", at, divided)]
        centred = Read(f"centred.d_{name}", at)
        rows.append(Definition(f"centred.d_{name}", at, divided))
        return [*rows, Definition(f"d_{name}", at, centred - self.mean(head, centred))]

    def _turned_back(self, name: str, head: tuple[Index, ...], token: Index) -> Expression:
        """A gradient behind the rotation, brought in front of it."""
        there = Read(f"turned.{name}", (*head, token, *self.a))
        if self.spec.rotary is None:
            return there
        turn = Read("rotation(frequencies)", (token, *self.a, self.b[-1]))
        return total(self.a[-1], turn * there)

    # ---- parameters and inputs ---------------------------------------------------------------------

    def _of_weights(self) -> dict[str, tuple[tuple[Index, ...], Expression]]:
        h, g, i, j, b, c, o = self.h, self.g, self.i, self.j, self.b, self.c, self.o
        x, source = Read("x", (i, self.m)), Read(self.source, (j, self.l))
        of_values = Read("values", (j, self.v)) if self.spec.values else source
        d_query, d_key = Read("d_query", (*h, i, *b)), Read("d_key", (*g, j, *b))
        d_value, error = Read("d_value", (*g, j, c)), Read(ERROR, (i, o))
        return {
            "W_Q": ((*h, *b, self.m), total(i, d_query * x)),
            "W_K": ((*g, *b, self.l), total(j, d_key * source)),
            "W_V": ((*g, c, self.v), total(j, d_value * of_values)),
            "W_O": ((*h, o, c), total(i, error * Read("head", (*h, i, c)))),
            "b_Q": ((*h, *b), total(i, d_query)),
            "b_K": ((*g, *b), total(j, d_key)),
            "b_V": ((*g, c), total(j, d_value)),
            "b_O": ((o,), total(i, error)),
        }

    def _of_gains(self) -> dict[str, tuple[Indices, Expression]]:
        """The gains and biases of norms, one for all heads or one for each."""
        found = {}
        for name, letter, head, token in (
            ("query", "Q", self.h, self.i),
            ("key", "K", self.g, self.j),
        ):
            at, own = (*head, token, *self.b), self.own(head)
            wish, shared = Read(f"normed.d_{name}", at), (*(() if own else head), token)
            divided = Read(self.centred(name), at) / Read(f"{name}_rms", (*self.each(head), token))
            found[f"gain_{letter}"] = ((*own, *self.b), total(shared, wish * divided))
            found[f"shift_{letter}"] = ((*own, *self.b), total(shared, wish))
        return found

    def _of_positions(self) -> dict[str, tuple[tuple[Index, ...], Expression]]:
        """The table of biases, the slopes of ALiBi, the logits of sinks."""
        h, i, j, spec = self.h, self.i, self.j, self.spec
        d_score = Read("z", (*h, i, j))
        found = {
            "position_bias": ((*h, i, j), d_score),
            "score_bias": ((i, j), total(h, d_score)),
            "alibi_slopes": (h, total((i, j), d_score * offset(i, j))),
        }
        if spec.sink:
            share = exp(Read("sink", h)) / Read("normaliser", (*h, i))
            found["sink"] = (h, -total(i, share * Read("mean", (*h, i))))
        return found

    def _of_extra_source(self) -> dict[str, tuple[Indices, Expression]]:
        """The key and the value of the extra source token."""
        h, g, i, a, c = self.h, self.g, self.i, self.a, self.c
        z, query = Read("extra_z", (*h, i)), Read("query", (*h, i, *a))
        taken = Read("extra_mask", (*h, i)) * Read("delta", (*h, i, c))
        return {
            "extra_K": ((*g, *a), product(*self.scale(), total((*h[1:], i), z * query))),
            "extra_V": ((*g, c), total((*h[1:], i), taken)),
        }

    def _of_inputs(self) -> dict[str, tuple[tuple[Index, ...], Expression]]:
        """The inputs, each in all its roles: query token and source token."""
        h, g, i, j, b, c = self.h, self.g, self.i, self.j, self.b, self.c
        query = total((*h, *b), Read("W_Q", (*h, *b, self.m)) * Read("d_query", (*h, i, *b)))
        at = j if self.spec.cross else i
        key = Read("W_K", (*g, *b, self.l)) * Read("d_key", (*g, at, *b))
        value = Read("W_V", (*g, c, self.v)) * Read("d_value", (*g, at, c))
        keys, values = total((*g, *b), key), total((*g, c), value)
        if self.spec.values:
            return {
                "x": ((i, self.m), query),
                "context": ((j, self.l), keys),
                "values": ((j, self.v), values),
            }
        source = keys + values
        if self.spec.cross:
            return {"x": ((i, self.m), query), "context": ((j, self.l), source)}
        return {"x": ((i, self.m), query + source)}


def memory_forms(spec: AttentionSpec) -> Equations:
    """The same four gradients of linear attention by its memory, as the paper has them, per head:

        M = Σ_j v_j k_jᵀ,  B = Σ_i δ_i q_iᵀ        causal: M_i = Σ_(j ≤ i),  B_j = Σ_(i ≥ j)
        ∂W_O = Σ_i e_i (M q_i)ᵀ   ∂W_Q = Σ_i Mᵀ δ_i x_iᵀ   ∂W_K = Σ_j Bᵀ v_j x_jᵀ   ∂W_V = Σ_j B k_j x_jᵀ

    For one head per group, without rotation and position bias. Granier & Senn, arXiv 2504.06354.
    """
    return _MemoryForms(spec).gradients()


class _MemoryForms(Textbook):
    """Gradients by the key-value memory M and the error-query memory B."""

    def gradients(self) -> Equations:
        forward = self.equations()
        rows, last = self._memories(), self._of_maps()
        return replace(
            forward,
            given={**forward.given, ERROR: (self.i.sort, self.o.sort)},
            definitions=(*forward.definitions, *rows, *last),
            outputs=tuple(row.tensor for row in last),
        )

    def _memories(self) -> list[Definition]:
        h, i, j, c, o, a = self.h, self.i, self.j, self.c, self.o, self.a
        delta = total(o, Read("W_O", (*h, o, c)) * Read(ERROR, (i, o)))
        stored = total(j, Read("value", (*h, j, c)) * Read("key", (*h, j, *a)) * self.seen())
        if self.spec.extra_source:
            stored = stored + Read("extra_V", (*h, c)) * Read("extra_K", (*h, *a))
        wanted = Read("delta", (*h, i, c)) * Read("query", (*h, i, *a)) * self.seen()
        return [
            Definition("delta", (*h, i, c), delta),
            Definition("M", (*h, i, c, *a), product(*self.scale(), stored)),
            Definition("B", (*h, j, c, *a), product(*self.scale(), total(i, wanted))),
        ]

    def _of_maps(self) -> list[Definition]:
        h, i, j, c, o, a = self.h, self.i, self.j, self.c, self.o, self.a
        memory, back = Read("M", (*h, i, c, *a)), Read("B", (*h, j, c, *a))
        x, source = Read("x", (i, self.m)), Read(self.source, (j, self.l))
        of_values = Read("values", (j, self.v)) if self.spec.values else source
        query, key = Read("query", (*h, i, *a)), Read("key", (*h, j, *a))
        value, delta = Read("value", (*h, j, c)), Read("delta", (*h, i, c))
        maps = {
            "W_O": ((*h, o, c), total((i, *a), Read(ERROR, (i, o)) * memory * query)),
            "W_Q": ((*h, *a, self.m), total((i, c), memory * delta * x)),
            "W_K": ((*h, *a, self.l), total((j, c), back * value * source)),
            "W_V": ((*h, c, self.v), total((j, *a), back * key * of_values)),
        }
        return [Definition(gradient_of(name), at, body) for name, (at, body) in maps.items()]
