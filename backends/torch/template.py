"""Circuit {title}, compiled by cortico to PyTorch.

{tensors}

In the comments, axes stand in brackets; the batch axes in front of them are left out.
"""

import contextlib
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from cortico.backends.arrays.template import expect_shape


def load_weights(path=Path(__file__).with_name("circuit.safetensors")):
    """Tensor name to tensor, from a safetensors file."""
    data = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    length = int.from_bytes(bytes(data[:8].tolist()), "little")
    header = json.loads(bytes(data[8 : 8 + length].tolist()))
    kinds = {
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F32": torch.float32,
        "F64": torch.float64,
    }
    tensors, about = {}, header.pop("__metadata__", {})
    for name, entry in header.items():
        start, stop = (8 + length + offset for offset in entry["data_offsets"])
        tensor = data[start:stop]
        if tensor.data_ptr() % 8:  # what stands askew cannot be read as numbers
            tensor = tensor.clone()
        tensors[name] = tensor.view(kinds[entry["dtype"]]).reshape(entry["shape"])
    tied = json.loads(about.get("tied", "{}"))  # names of tensors that are stored under another
    return tensors | {name: tensors[first] for name, first in tied.items()}


def linear(matrices, biases):
    """One linear layer that gives the outputs of several, one after another."""
    weight = torch.cat(matrices) if len(matrices) > 1 else matrices[0].contiguous()
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=bool(biases), device="meta")
    layer.weight = nn.Parameter(weight)
    if biases:
        layer.bias = nn.Parameter(torch.cat(biases) if len(biases) > 1 else biases[0])
    return layer


def copied(array):
    """A copy as a tensor. PyTorch reads no array of NumPy that lies backwards."""
    backwards = any(step < 0 for step in getattr(array, "strides", None) or ())
    return torch.asarray(array.copy() if backwards else array, copy=True)


def exact(numbers):
    """The bits of float64 numbers: `module.to(dtype)` leaves integers alone."""
    return copied(numbers).double().view(torch.int64)


def as_tensors(weights, shapes, dtype):
    """Copies of the weights of these shapes in `dtype`: by default that of the largest, at least float32."""
    missing = [name for name in shapes if name not in weights]
    if missing:
        raise ValueError(f"weights are missing: {', '.join(missing)}")
    sizes, tensors = {}, {}
    for name, shape in shapes.items():
        tensors[name] = checked(name, copied(weights[name]), shape, sizes)
    if dtype is None and tensors:
        dtype = torch.promote_types(max(tensors.values(), key=torch.numel).dtype, torch.float32)
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def checked(name, tensor, shape, sizes):
    """`tensor`, whose last axes have `shape`, whose symbols get their `sizes`."""
    expect_shape(name, tensor.shape, shape, sizes)
    return tensor


def flags(name, tensor):
    """A 0/1 input as it is; one that holds something else is refused, where its numbers can be looked at.

    They cannot while a call is compiled or vectorised; then whatever is not 0 counts as 1.
    """
    if tensor.dtype is torch.bool or torch.compiler.is_compiling():
        return tensor
    others = (tensor != 0) & (tensor != 1)
    with contextlib.suppress(RuntimeError):  # of torch.func.vmap
        found = tensor[others].flatten()[:1].tolist()
        if found:
            raise ValueError(f"{name} must hold 0 or 1, found {found[0]}")
    return tensor


def token_numbers(name, tensor, count):
    """Numbers of tokens; others than whole ones from 0 to `count` - 1 are refused, where they can be looked at.

    They cannot while a call is compiled or vectorised; then PyTorch says that an index is out of range.
    """
    expected = f"{name} must hold whole numbers from 0 to {count - 1}"
    if tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex():
        numbers = tensor.flatten()
        broken = numbers[numbers.double() != numbers.double().trunc()]
        found = [*broken[:1].tolist(), *numbers[:1].tolist()]
        raise ValueError(
            f"{expected}, found {found[0] if found else 'none'} of type {tensor.dtype}"
        )
    tensor = tensor.long()
    if not torch.compiler.is_compiling():
        with contextlib.suppress(RuntimeError):  # of torch.func.vmap
            found = tensor[(tensor < 0) | (tensor >= count)].flatten()[:1].tolist()
            if found:
                raise ValueError(f"{expected}, found {found[0]}")
    return tensor


def divide(excitation, inhibition):
    """excitation / inhibition, where a division by zero gives zero."""
    live = inhibition != 0
    return torch.where(live, excitation / torch.where(live, inhibition, 1), 0)


def finite(peak):
    """`peak`, and 0 where no cell is live; a constant, for it cancels."""
    return torch.where(peak.isfinite(), peak, 0).detach()


def rotation(positions, frequencies):
    """Rotary embedding at positions (..., t): [[cos, -sin], [sin, cos]] per token and plane, shape (..., t, p, 2, 2)."""
    angles = positions[..., None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def rows(positions, table, name, of):
    """The rows of a table at positions (..., t); `name` is what becomes of the table called `of`."""
    tokens = positions.shape[-1]
    if not torch.compiler.is_compiling():
        with contextlib.suppress(RuntimeError):  # of torch.func.vmap
            tokens = int(positions.max()) + 1
    if tokens > len(table):
        raise ValueError(f"{name}: {tokens} tokens, the table {of} has {len(table)} rows")
    return F.embedding(positions, table)


def first(positions):
    """1 for the first token, 0 for others."""
    return positions == 0


def meet(query, source, recall):
    """The queries, keys and values that meet: those of these tokens, if nothing is recalled."""
    return (query, *source()) if recall is None else recall(query, source)


def both(live, own):
    """Where both hold; None holds everywhere."""
    return own if live is None else live if own is None else live & own


def attend_last(query, key, value, scale, least=None, most=None, live=None, bias=None, sinks=()):
    """`attend` of the last tokens: the last row is the last column, and so on upwards."""
    rows, columns = query.shape[-2], key.shape[-2]
    if live is None and rows == columns:
        return attend(query, key, value, scale, least, most, bias=bias, sinks=sinks)
    if (rows, least) == (1, 0):
        least = None  # of a last row, no column comes later
    if (least, most) != (None, None):
        live = both(live, within(rows, columns, least, most, query.device, columns - rows))
    return attend(query, key, value, scale, live=live, bias=bias, sinks=sinks)


def past_product(query, key, value, chunk=64):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c), in chunks of tokens.

    Within a chunk it is a masked product; what came before lies in a memory of key times value.
    """
    tokens = query.shape[-2]
    chunk = min(chunk, tokens)
    query, key, value = (
        F.pad(part, (0, 0, 0, -tokens % chunk)).unflatten(-2, (-1, chunk))
        for part in (query, key, value)
    )
    stored = (key.mT @ value).cumsum(-3)
    before = F.pad(stored[..., :-1, :, :], (0, 0, 0, 0, 1, 0))
    recalled = (query @ key.mT).tril() @ value + query @ before
    return recalled.flatten(-3, -2)[..., :tokens, :]


def attend_window(query, key, value, scale, least, most, live=None):
    """`attend` by blocks of rows, each of which hears columns of its own block and of the one before."""
    tokens, block = query.shape[-2], max(64, most)
    if least < 0 or key.shape[-2] != tokens or tokens <= 4 * block:
        return attend(query, key, value, scale, least, most, live)
    count = -(-tokens // block)
    end = count * block - tokens

    def pairs(array):  # (..., heads, tokens, features) to (..., blocks, heads, 2 block, features)
        blocks = F.pad(array, (0, 0, block, end)).unfold(-2, 2 * block, block)
        return blocks.mT.transpose(-4, -3)

    rows = F.pad(query, (0, 0, 0, end)).unflatten(-2, (count, block)).transpose(-4, -3)
    exists = torch.ones(1, 1, tokens, dtype=torch.bool, device=query.device)
    columns = pairs((exists if live is None else exists & live).mT).mT
    steps = torch.arange(block, 2 * block, device=query.device)[:, None]
    steps = steps - torch.arange(2 * block, device=query.device)
    near = (steps >= least) & (steps <= most)
    result = attend(rows, pairs(key), pairs(value), scale, live=near & columns)
    return result.transpose(-4, -3).flatten(-3, -2)[..., :tokens, :]


def attend(query, key, value, scale, least=None, most=None, live=None, bias=None, sinks=()):
    """softmax(scale query keyᵀ + bias) value over (..., heads, tokens, features).

    Row i hears column j where least <= i - j <= most and where `live`; it is zero where it hears none. A sink
    is the score of one more key, whose value is zero. Fewer heads of keys serve neighbouring heads of queries.
    """
    causal = (least, most) == (0, None) and live is None and bias is None and not sinks
    if not causal and (least, most) != (None, None):
        near = within(query.shape[-2], key.shape[-2], least, most, query.device)
        live = near if live is None else near & live
    if live is None:
        return attend_masked(
            query, key, value, score_mask(query, key, live, bias, sinks), scale, causal
        )
    heard = live.any(-1, keepdim=True)
    live = live | ~heard  # some kernels make NaN of a row of nothing but -inf
    mask = score_mask(query, key, live, bias, sinks)
    return attend_masked(query, key, value, mask, scale) * heard


def within(rows, columns, least, most, device, first=0):
    """Where least <= row - column <= most, over (rows, columns); the rows are numbered from `first` on."""
    steps = torch.arange(first, first + rows, device=device)[:, None]
    steps = steps - torch.arange(columns, device=device)
    near = torch.ones_like(steps, dtype=torch.bool) if least is None else steps >= least
    return near if most is None else near & (steps <= most)


def score_mask(query, key, live, bias, sinks):
    """What is added to the scores, with a column for each sink; booleans or nothing where that will do."""
    if bias is None and not sinks:
        return live
    bias = query.new_zeros(1, 1, key.shape[-2]) if bias is None else bias
    if live is not None:
        bias = torch.where(live, bias, -torch.inf)
    for sink in sinks:
        shape = torch.broadcast_shapes(bias.shape[:-1], sink.shape[:-1])
        bias = torch.cat([bias.expand(*shape, bias.shape[-1]), sink.expand(*shape, 1)], -1)
    return bias


def attend_masked(query, key, value, mask, scale, causal=False):
    """PyTorch's attention over any batch axes. Columns of the mask that keys lack belong to sinks."""
    batch = torch.broadcast_shapes(query.shape[:-3], key.shape[:-3], value.shape[:-3])
    if mask is not None:
        batch = torch.broadcast_shapes(batch, mask.shape[:-3])
        mask = mask.expand(*batch, *query.shape[-3:-1], mask.shape[-1])
        mask = mask.reshape(-1, *mask.shape[-3:])
        sinks = mask.shape[-1] - key.shape[-2]
        key, value = (F.pad(part, (0, 0, 0, sinks)) if sinks else part for part in (key, value))
    query, key, value = (
        part.expand(*batch, *part.shape[-3:]).reshape(-1, *part.shape[-3:])
        for part in (query, key, value)
    )
    grouped = {"enable_gqa": True} if query.shape[1] != key.shape[1] else {}
    result = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, scale=scale, **grouped
    )
    return result.reshape(*batch, *result.shape[1:])
