"""Every block in PyTorch, with its gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cortico.ir.errors import UnsupportedError
from cortico.spec import AttentionSpec, NormKind
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pool, Pooling, Residual
from cortico.spec.wiring import Block
from cortico.verify.pytorch.attention import attention

if TYPE_CHECKING:
    import torch

Arrays = Mapping[str, np.ndarray]
Tensors = Mapping[str, "torch.Tensor"]


class TorchResult(NamedTuple):
    """The output, and the derivative of Σ error · y by every tensor, all float64."""

    y: np.ndarray
    gradients: dict[str, np.ndarray]


def torch_block(spec: Block, weights: Arrays, inputs: Arrays, error: np.ndarray) -> TorchResult:
    """A block for one sequence: x (n, m), and what else it hears; tokens and types (n) are whole numbers.

    ImportError when PyTorch is not installed.
    """
    import torch

    leaves, fixed = leaves_of({**weights, **inputs})
    y = forward(spec, leaves, fixed)
    torch.autograd.backward(y, torch.tensor(error))
    gradients = {name: t.grad.numpy() for name, t in leaves.items() if t.grad is not None}
    return TorchResult(y.detach().numpy(), gradients)


def leaves_of(arrays: Arrays) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Tensors that have gradients, and what has none as it is: which tokens exist, and their numbers."""
    import torch

    fixed = {n: a for n, a in arrays.items() if n.rpartition("_")[2] in ("keep", "tokens", "types")}
    leaves = {
        name: torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)
        for name, array in arrays.items()
        if name not in fixed
    }
    return leaves, fixed


def forward(spec: Block, given: Tensors, fixed: Arrays) -> torch.Tensor:
    """What a block gives for tensors, and for flags and whole numbers."""
    if isinstance(spec, AttentionSpec):
        return attention(spec, given, fixed.get("keep"))
    found: torch.Tensor = _BLOCKS[type(spec)](spec, given, fixed)
    return found


def _norm(spec: Norm, w: Tensors, fixed: Arrays) -> torch.Tensor:
    from torch.nn.functional import layer_norm, rms_norm

    gain, shift, sides = w.get("gain"), w.get("shift"), (spec.model,)
    if spec.kind is NormKind.LAYER and gain is not None:
        return layer_norm(w["x"], sides, gain, shift, spec.eps)
    how = layer_norm if spec.kind is NormKind.LAYER else rms_norm
    y = (
        how(w["x"], sides, gain, eps=spec.eps)
        if gain is not None
        else how(w["x"], sides, eps=spec.eps)
    )
    return y if shift is None else y + shift


def _feed_forward(spec: FeedForward, w: Tensors, fixed: Arrays) -> torch.Tensor:
    from torch.nn.functional import linear

    phi, inner = transfer(spec.transfer), linear(w["x"], w["W_in"], w.get("b_in"))
    gate = linear(w["x"], w["W_gate"], w.get("b_gate")) if spec.gated else None
    hidden = phi(inner) if gate is None else phi(gate) * inner
    return linear(hidden, w["W_out"], w.get("b_out"))


def _dense(spec: Dense, w: Tensors, fixed: Arrays) -> torch.Tensor:
    import torch
    from torch.nn.functional import linear

    y = linear(spec.scale * w["x"], w["W"], w.get("b"))
    if spec.soft_cap is not None:
        return spec.soft_cap * torch.tanh(y / spec.soft_cap)
    found: torch.Tensor = transfer(spec.transfer)(y)
    return found


def _embedding(spec: Embedding, w: Tensors, fixed: Arrays) -> torch.Tensor:
    import torch
    from torch.nn.functional import embedding

    def looked_up(name: str, table: str) -> torch.Tensor:
        return embedding(torch.tensor(np.asarray(fixed[name], np.int64)), w[table])

    y = spec.scale * looked_up("tokens", "W_token")
    y = y + looked_up("types", "W_type") if spec.types else y
    return y + w["W_position"][: len(y)] if spec.positions else y


def _residual(spec: Residual, w: Tensors, fixed: Arrays) -> torch.Tensor:
    added = [t for name, t in w.items() if name.startswith("branch")]
    return w["x"] + spec.scale * sum(added[1:], added[0])


def _pooling(spec: Pooling, w: Tensors, fixed: Arrays) -> torch.Tensor:
    from torch.nn.functional import normalize

    x = w["x"]
    if spec.pool is Pool.MEAN and spec.padded and "keep" in fixed:
        x = x[np.asarray(fixed["keep"], bool)]
    pooled = x[0] if spec.pool is Pool.FIRST else x.mean(0)
    return normalize(pooled, dim=0, eps=0.0) if spec.unit else pooled


_BLOCKS: Mapping[type, Callable[[Any, Tensors, Arrays], Any]] = {
    Norm: _norm,
    FeedForward: _feed_forward,
    Dense: _dense,
    Embedding: _embedding,
    Residual: _residual,
    Pooling: _pooling,
}


def transfer(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """PyTorch's own function of that name. UnsupportedError where it has none."""
    import torch
    from torch.nn import functional

    if name == "identity":
        return lambda x: x
    if name == "gelu_tanh":
        return lambda x: functional.gelu(x, approximate="tanh")
    if name == "relu_squared":
        return lambda x: functional.relu(x) ** 2
    if name == "gaussian":
        return lambda x: torch.exp(-(x**2))
    for home in (functional, torch):
        found = getattr(home, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise UnsupportedError(f"PyTorch has no function {name}")
