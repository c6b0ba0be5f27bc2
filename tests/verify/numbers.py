"""Numbers by routes that share nothing with the prover: the oracle, the interpreter, PyTorch.

`given` arrays have the sides of the textbook's equations: heads as (group, member), rotated features
as (plane, component). Sizes are by the textbook's sorts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cortico.backends.reference import interpret
from cortico.ir import Circuit, InputKind
from cortico.lowering import circuit_weights
from cortico.lowering.layout import plane_order
from cortico.spec import AttentionSpec, Kernel, NormKind, NormOver, PositionBias
from cortico.spec.weights import required_shapes
from cortico.verify.equations.language import Equations
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.equations.sorts import unified
from tests.oracle import rotate, textbook_attention, visible

Sizes = Mapping[str, int]
Arrays = Mapping[str, np.ndarray]

_HEADED = ("W_Q", "W_O", "b_Q", "alibi_slopes", "position_bias", "sink", "gain_Q")
_FEATURED = {
    "W_Q": 2,
    "W_K": 2,
    "b_Q": 1,
    "b_K": 1,
    "gain_Q": 1,
    "gain_K": 1,
}  # where key features stand, from the end
_INPUTS = ("x", "context", "values", "score_bias", "keep")


def resized(spec: AttentionSpec, sizes: Sizes) -> AttentionSpec:
    """The spec at other sizes, all numbers."""
    groups = sizes["groups"] if spec.members > 1 else sizes["heads"]
    members = sizes["members"] if spec.members > 1 else 1
    cross = {}
    if spec.cross:
        cross["context"] = sizes["context features"]
        cross["context_tokens"] = sizes["context tokens"]
    if spec.values:
        cross["values"] = sizes["features of values"]
    return replace(
        spec,
        model=sizes["model features"],
        heads=groups * members,
        kv_heads=groups,
        key_features=2 * sizes["planes"] if spec.rotary else sizes["key features"],
        value_features=sizes["value features"],
        output=sizes["output features"],
        tokens=sizes["tokens"],
        rotary=replace(spec.rotary, rotated=None) if spec.rotary else None,
        **cross,
    )


def is_grouped(spec: AttentionSpec, given: Arrays) -> bool:
    """Whether heads are pairs; a group may have been resized to one member."""
    return np.ndim(given["W_Q"]) == 4 + bool(spec.rotary)


def sizes_of(spec: AttentionSpec, tokens: int, source: int) -> dict[str, int]:
    """The sizes of the textbook's sorts for a spec."""
    return {
        "tokens": tokens,
        "context tokens": source,
        "heads": spec.heads,
        "groups": spec.groups,
        "members": spec.members,
        "key features": spec.d_key,
        "planes": spec.d_key // 2,
        "components": 2,
        "value features": spec.d_value,
        "model features": spec.model,
        "context features": spec.d_context,
        "features of values": spec.d_values,
        "output features": spec.d_output,
    }


def joined(spec: AttentionSpec, given: Arrays) -> dict[str, np.ndarray]:
    """The weights as `tests.oracle` wants them: one side of heads, one of key features."""
    weights = {}
    for name in required_shapes(spec):
        array = np.asarray(given[name], dtype=np.float64)
        shared = name == "gain_Q" and len(required_shapes(spec)[name]) == 1
        if name in _HEADED and is_grouped(spec, given) and not shared:
            array = array.reshape(-1, *array.shape[2:])
        if name in _FEATURED and spec.rotary:
            side, order = array.ndim - 1 - _FEATURED[name], plane_order(spec)
            flat = array.reshape(*array.shape[:side], -1, *array.shape[side + 2 :])
            array = np.empty_like(flat)
            place = [slice(None)] * flat.ndim
            place[side] = order.ravel()
            array[tuple(place)] = flat
        weights[name] = array
    if spec.rotary:
        weights["rotary_frequencies"] = np.asarray(given["frequencies"], dtype=np.float64)
    return weights


def textbook_numbers(spec: AttentionSpec, sizes: Sizes, given: Arrays) -> np.ndarray:
    """y by the oracle."""
    small = resized(spec, sizes)
    inputs = {name: given[name] for name in _INPUTS if name in given}
    return textbook_attention(small, joined(small, given), **inputs)


def matched_sizes(
    spec: AttentionSpec, circuit: Circuit, sizes: Sizes, like: Circuit | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """The sizes of the textbook's sorts, and of the circuit's axes.

    `sizes` are of the sorts that both have once matched; those of textbook and `like`, if given.
    """
    book = reference(spec)
    matched, _ = unified(book, circuit_equations(like or circuit))
    mine = _sorts(book, matched)
    by_sort = {sort: sizes[mine[sort]] for sort in mine}
    equations = circuit_equations(circuit)
    again, theirs = unified(book, equations)
    back = {new: by_sort[old] for old, new in _sorts(book, again).items()}
    axes = {}
    for old, new in zip(equations.definitions, theirs.definitions, strict=True):
        for index, found in zip(old.indices, new.indices, strict=True):
            axes[index.name] = back.get(found.sort, sizes.get(found.sort))
    return by_sort, axes


def _sorts(before: Equations, after: Equations) -> dict[str, str]:
    """What the sorts of equations are called after a renaming."""
    plain = before.given.keys() - before.formulas.keys()
    sides = ((before.given[name], after.given[name]) for name in plain)
    found = {s: t for one, other in sides for s, t in zip(one, other, strict=True)}
    for one, other in zip(before.definitions, after.definitions, strict=True):
        found |= {v.sort: w.sort for v, w in zip(one.indices, other.indices, strict=True)}
    return found


#: Rows of every table: as many as no axis here has indices.
_ROWS = 8

_RATES = {InputKind.TOKEN: InputKind.RATE}


def circuit_at(circuit: Circuit, sizes: Sizes) -> Circuit:
    """The circuit with axes of other sizes, without values, and with rates for tokens: what holds of all rates."""
    shapes: dict[str, tuple[int, ...]] = {}
    weights = [w for p in circuit.populations for c in p.compartments for w in c.drive]
    for weight in (*weights, *(p.weight for p in circuit.projections)):
        if weight.tensor:
            shapes[weight.tensor.name] = tuple(sizes[a] for a in weight.tensor.axes)
    for parameter in circuit.parameters:
        if parameter.formula and parameter.name in shapes:
            shape, kind = shapes[parameter.name], parameter.formula.kind
            read = {"rotation": shape[1:2], "rows": (_ROWS, *shape[1:])}.get(kind, shape[:-2])
            shapes |= dict.fromkeys(parameter.formula.arguments, read)
    return replace(
        circuit,
        axes=tuple(replace(a, extent=sizes.get(a.name, 1)) for a in circuit.axes),
        inputs=tuple(
            replace(t, shape=shapes[t.name], kind=_RATES.get(t.kind, t.kind))
            for t in circuit.inputs
            if t.name in shapes
        ),
        parameters=tuple(
            replace(p, shape=shapes[p.name], values=None)
            for p in circuit.parameters
            if p.name in shapes
        ),
    )


def circuit_numbers(circuit: Circuit, sizes: Sizes, given: Arrays) -> np.ndarray:
    """y by the interpreter, at sizes of axes."""
    small = circuit_at(circuit, sizes)
    inputs = {t.name: given[t.name] for t in small.inputs}
    plain = [p.name for p in small.parameters if p.formula is None]
    (output,) = small.outputs
    rates = interpret(small, inputs, {name: given[name] for name in plain})
    axes = small.population(output.source.name).axes
    order = [axes.index(axis) for axis in output.source.axes]
    return np.transpose(rates[output.source.name], order)


def split(spec: AttentionSpec, arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of the weights' shapes with the sides of the textbook's equations."""
    wanted = {
        name: arrays[name]
        for name in (*required_shapes(spec), "rotary_frequencies")
        if name in arrays
    }
    inputs = {name: arrays[name] for name in _INPUTS if name in arrays}
    return {**circuit_weights(spec, wanted), **inputs}


# ---- PyTorch -------------------------------------------------------------------------------------


def torch_gradients(
    spec: AttentionSpec, weights: Arrays, inputs: Arrays, error: np.ndarray
) -> dict[str, np.ndarray]:
    """The gradients of Σ error · y by autograd, for every weight and the inputs, in float64."""
    import torch

    leaves = {
        name: torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=name != "keep")
        for name, array in {**weights, **inputs}.items()
        if name != "rotary_frequencies"
    }
    y = _torch_textbook(torch, spec, leaves, np.asarray(weights.get("rotary_frequencies", [])))
    (y * torch.tensor(error)).sum().backward()
    return {
        name: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        for name, leaf in leaves.items()
        if name != "keep"
    }


def _torch_textbook(torch, spec, t, frequencies):
    source = t["context"] if spec.cross else t["x"]
    q = torch.einsum("ham,im->hia", t["W_Q"], t["x"])
    k = torch.einsum("gam,jm->gja", t["W_K"], source)
    v = torch.einsum("gcm,jm->gjc", t["W_V"], t.get("values", source))
    q, k, v = (
        a + t[b][:, None, :] if b in t else a for a, b in ((q, "b_Q"), (k, "b_K"), (v, "b_V"))
    )
    if spec.qk_norm:
        q, k = (_torch_normed(spec, a, t, m) for a, m in ((q, "Q"), (k, "K")))
    if spec.rotary:
        q, k = (_torch_rotated(torch, spec, frequencies, a) for a in (q, k))
    members = q.shape[0] // k.shape[0]
    if spec.extra_source:
        k, v = torch.hstack([k, t["extra_K"][:, None]]), torch.hstack([v, t["extra_V"][:, None]])
    k, v = (a.repeat_interleave(members, dim=0) for a in (k, v))
    usual = q.shape[2] ** -0.5 if spec.kernel is Kernel.SOFTMAX else 1.0
    score = (usual if spec.scale is None else spec.scale) * torch.einsum("hia,hja->hij", q, k)
    if spec.soft_cap:
        score = spec.soft_cap * (2 * torch.sigmoid(2 * score / spec.soft_cap) - 1)
    i, j = np.arange(len(t["x"]))[:, None], np.arange(len(source))[None, :]
    if spec.position_bias is PositionBias.ALIBI:
        score = score + t["alibi_slopes"][:, None, None] * torch.tensor(j - i)
    if spec.position_bias is PositionBias.TABLE:
        table = t["position_bias"]
        score = score + torch.nn.functional.pad(table, (0, score.shape[2] - table.shape[2]))
    if spec.position_bias is PositionBias.INPUT:
        given = t["score_bias"]
        score = score + torch.nn.functional.pad(given, (0, score.shape[2] - given.shape[1]))
    keep = t["keep"].detach().numpy() if "keep" in t else None
    seen = torch.tensor(visible(spec, i, j, keep))
    seen = torch.nn.functional.pad(seen, (0, int(spec.extra_source)), value=True)
    p = score * seen
    if spec.kernel is Kernel.SOFTMAX:
        weight = torch.exp(score) * seen
        total = weight.sum(2, keepdim=True)
        if spec.sink:
            total = total + torch.exp(t["sink"])[:, None, None]
        total = total + spec.semi_saturation
        p = weight / torch.where(total > 0, total, torch.ones_like(total))
    return torch.einsum("hoc,hij,hjc->io", t["W_O"], p, v) + t.get("b_O", 0.0)


def _torch_normed(spec, a, t, m):
    """Divided by the root mean square over the last side, or over heads and the last side."""
    sides = (2,) if spec.qk_norm.over is NormOver.HEAD else (0, 2)
    if spec.qk_norm.kind is NormKind.LAYER:
        a = a - a.mean(dim=sides, keepdim=True)
    mean = a.pow(2).mean(dim=sides, keepdim=True)
    gain, shift = (t.get(f"{name}_{m}") for name in ("gain", "shift"))
    found = a * (mean + spec.qk_norm.eps).rsqrt() * gain.reshape(-1, 1, a.shape[2])
    return found if shift is None else found + shift.reshape(-1, 1, a.shape[2])


def _torch_rotated(torch, spec, frequencies, a):
    """The rotation of the oracle as a matrix, which PyTorch then multiplies with."""
    eye = np.eye(a.shape[2])
    w = {"rotary_frequencies": frequencies} if len(frequencies) else {}
    rows = [rotate(spec, w, np.tile(row, (1, a.shape[1], 1)))[0] for row in eye]  # (a, token, b)
    return torch.einsum("hta,atb->htb", a, torch.tensor(np.stack(rows)))
