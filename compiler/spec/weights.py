"""The tensors that a spec needs, and their check.

Weights come as a mapping from name to array. Shapes use H heads in G groups of R members (R = 1 but
for grouped-query attention), head features a (key) and c (value), model features m:

    W_Q (H, a, m)   W_K (G, a, m')   W_V (G, c, m'')  W_O (H, out, c)
    b_Q (H, a)      b_K (G, a)       b_V (G, c)       b_O (out)
    gain_Q (a) or (H, a)             gain_K (a) or (G, a)      of a norm, one for all heads or one for each
    shift_Q, shift_K                 as the gains
    alibi_slopes (H)   position_bias (H, i, j)   sink (H)   rotary_frequencies (rotated/2)
    extra_K (G, a)     extra_V (G, c)            of the extra source token

`m'` is the context's width in cross attention, else the model's; `m''` too, but where values have an input of
their own. Head h uses key/value head h // R. Of the other blocks, with hidden features f and rows of a table t:

    gain (m)         shift (m)       of a norm
    W_in (f, m)      b_in (f)        W_gate (f, m)   b_gate (f)      W_out (out, f)   b_out (out)
    W (out, m)       b (out)         of a dense block
    W_token (t, m)   W_type (t, m)   W_position (t, m)

Weights of a model are those of its blocks by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import numpy as np

from cortico.ir.arguments import kind
from cortico.ir.arrays import as_arrays
from cortico.ir.axes import Extent
from cortico.ir.errors import SpecError, bullet_list, near_name, shown
from cortico.ir.fields import whole
from cortico.ir.limits import SIZE
from cortico.ir.tensors import FLOATS
from cortico.spec.attention import AttentionSpec, PositionBias
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pooling, Residual
from cortico.spec.wiring import Block

Weights = Mapping[str, np.ndarray]
#: The same as users give them: lists, and tensors of torch, too.
Given = Mapping[str, Any]
#: Where random numbers begin.
Seed = Annotated[int, whole(0, SIZE - 1, "an integer from 0 on")]
Shapes = dict[str, tuple[Extent, ...]]

#: Of blocks without heads; a row of a table is a vector as it is.
_MATRICES = ("W_in", "W_gate", "W_out", "W")


@kind
def required_shapes(spec: Block) -> Shapes:
    """Tensor name to shape, for every tensor that `spec` must be given."""
    match spec:
        case AttentionSpec():
            return _of_attention(spec)
        case Norm():
            shapes = {"gain": spec.gain, "shift": spec.shift}
            return {name: (spec.model,) for name, has in shapes.items() if has}
        case FeedForward():
            return _of_feed_forward(spec)
        case Dense():
            matrix: Shapes = {"W": (spec.output, spec.model)}
            return matrix | ({"b": (spec.output,)} if spec.bias else {})
        case Embedding():
            rows = {"W_token": spec.vocabulary, "W_type": spec.types, "W_position": spec.positions}
            return {name: (count, spec.model) for name, count in rows.items() if count}
        case Residual() | Pooling():
            return {}


def _of_feed_forward(spec: FeedForward) -> Shapes:
    inward: Shapes = {"W_in": (spec.hidden, spec.model), "b_in": (spec.hidden,)}
    gates: Shapes = {"W_gate": (spec.hidden, spec.model), "b_gate": (spec.hidden,)}
    outward: Shapes = {"W_out": (spec.d_output, spec.hidden), "b_out": (spec.d_output,)}
    shapes = inward | (gates if spec.gated else {}) | outward
    without = {} if spec.bias_in else {"b_in", "b_gate"}
    without = {*without, *([] if spec.bias_out else ["b_out"])}
    return {name: shape for name, shape in shapes.items() if name not in without}


def _of_attention(spec: AttentionSpec) -> Shapes:
    heads, groups, width = spec.heads, spec.groups, spec.d_context if spec.cross else spec.model
    shapes: Shapes = {
        "W_Q": (heads, spec.d_key, spec.model),
        "W_K": (groups, spec.d_key, width),
        "W_V": (groups, spec.d_value, spec.d_values),
        "W_O": (heads, spec.d_output, spec.d_value),
    }
    optional: Shapes = {
        "b_Q": (heads, spec.d_key) if spec.bias.query else (),
        "b_K": (groups, spec.d_key) if spec.bias.key else (),
        "b_V": (groups, spec.d_value) if spec.bias.value else (),
        "b_O": (spec.d_output,) if spec.bias.output else (),
        "gain_Q": _gain_shape(spec, heads),
        "gain_K": _gain_shape(spec, groups),
        "shift_Q": _shift_shape(spec, heads),
        "shift_K": _shift_shape(spec, groups),
        "alibi_slopes": (heads,) if spec.position_bias is PositionBias.ALIBI else (),
        "position_bias": (heads, spec.tokens, spec.source_tokens)
        if spec.position_bias is PositionBias.TABLE
        else (),
        "sink": (heads,) if spec.sink else (),
        "extra_K": (groups, spec.d_key) if spec.extra_source else (),
        "extra_V": (groups, spec.d_value) if spec.extra_source else (),
    }
    return shapes | {name: shape for name, shape in optional.items() if shape}


def _gain_shape(spec: AttentionSpec, heads: int) -> tuple[Extent, ...]:
    """The shape of the gain of a norm, none without one."""
    if spec.qk_norm is None:
        return ()
    return (heads, spec.d_key) if spec.qk_norm.by_head else (spec.d_key,)


def _shift_shape(spec: AttentionSpec, heads: int) -> tuple[Extent, ...]:
    """The shape of the bias of a norm, none without one."""
    return _gain_shape(spec, heads) if spec.qk_norm is not None and spec.qk_norm.bias else ()


def optional_shapes(spec: Block) -> Shapes:
    """Tensors that `spec` may be given, and has a default for."""
    if isinstance(spec, AttentionSpec) and spec.rotary:
        return {"rotary_frequencies": (spec.rotated_features // 2,)}
    return {}


def rotary_frequencies(spec: AttentionSpec) -> np.ndarray:
    """The default angular frequencies `base^(-2p/rotated)`, in radians per token, shape (rotated/2)."""
    assert spec.rotary is not None
    rotated = spec.rotated_features
    return spec.rotary.base ** (-np.arange(0, rotated, 2, dtype=np.float64) / rotated)


def check_weights(spec: Block, weights: Weights) -> None:
    """Raise one SpecError that lists every missing, unknown, misshapen or non-finite tensor."""
    given_weights(spec, weights)


def given_weights(spec: Block, given: Any, whose: str = "") -> dict[str, np.ndarray]:
    """What a user gives as weights, as arrays. One SpecError for all that is wrong; `whose` names what they are of.

    Arrays must be floating-point: whole numbers are often codes for others. Lists of them are floats.
    """
    required, known = required_shapes(spec), required_shapes(spec) | optional_shapes(spec)
    weights, problems = as_arrays(given, "tensor", next(iter(known), "W"), known)
    problems += [
        f"{name} is missing, expected shape {required[name]}"
        for name in required
        if name not in given
    ]
    problems += [
        f"{name} is not a tensor of this spec{near_name(str(name), known)}"
        for name in given
        if name not in known
    ]
    for name, array in weights.items():
        if array.shape != known[name]:
            problems.append(f"{name} has shape {array.shape}, expected {known[name]}")
        if array.dtype.kind != "f":
            problems.append(f"{name} has type {array.dtype}, expected floating point")
        elif not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            problems.append(f"{name} has {bad} of {array.size} numbers that are NaN or infinite")
    if problems:
        raise SpecError(f"weights of {whose or spec.name!r} are wrong:{bullet_list(problems)}")
    return weights


@kind
def random_weights(spec: Block, seed: Seed = 0, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    """Random weights of unit gain for `spec`, for tests and examples.

    `dtype` is one of float16, float32, float64. SpecError for another, and for a seed that is none.
    """
    shapes = required_shapes(spec)
    kind = _float(dtype)
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[Extent, ...]) -> np.ndarray:
        sides = [int(side) for side in shape]
        fan_in = sides[-1] if len(sides) > 2 or name in _MATRICES else 1
        array: np.ndarray = rng.standard_normal(sides) / np.sqrt(fan_in)
        return array.astype(kind)

    return {name: draw(name, shape) for name, shape in shapes.items()}


def _float(dtype: Any) -> np.dtype[Any]:
    with suppress(TypeError):
        kind: np.dtype[Any] = np.dtype(dtype)
        if kind.name in FLOATS:
            return kind
    raise SpecError(f"dtype must be one of {', '.join(FLOATS)}, found {shown(dtype)}")
