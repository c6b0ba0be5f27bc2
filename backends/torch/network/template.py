"""Network {title}, compiled by cortico to PyTorch.

{tensors}

In the comments, axes stand in brackets; the batch axes in front of them are left out.
"""

import math
from pathlib import Path
from typing import Any

import torch

from cortico.backends.arrays.network.template import (
    PATHS,
    expect_all,
    logits_of,
    next_tokens,
    weights_at,
    without_once,
)
from cortico.backends.torch.template import attend_last, copied, load_weights, past_product

#: What an emitted file says of itself.
CONSTANTS: Any = ...
MADE_OF: Any = ...
AS_GIVEN: Any = ...


# ---- weights


def ready(weights, dtype):
    """The weights, by default those in the file beside this one; and their precision, if none is given."""
    if weights is None:
        weights = load_weights(Path(__file__).with_name("network.safetensors"))
    expect_all(weights)
    if dtype is None:
        largest = max(weights.values(), key=lambda weight: math.prod(weight.shape))
        kind = copied(largest.reshape(-1)[:1]).dtype
        dtype = torch.promote_types(kind, torch.float32)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be one of floats, such as torch.float32, found {dtype}")
    return weights, dtype


def share(model, weights):
    """Parameters that are made of the same arrays become one."""
    made = {}
    for module in model.modules():
        block = PATHS.get(getattr(module, "path", None))
        own = weights_at(module.path, weights) if block else {}
        for place, names in MADE_OF.get(block, {}).items():
            parameter, (where, _, name) = module.get_parameter(place), place.rpartition(".")
            how = () if place in AS_GIVEN.get(block, ()) else (block, place)
            key = (*(memory(own[each]) for each in names), parameter.shape, *how)
            setattr(module.get_submodule(where), name, made.setdefault(key, parameter))


def memory(array):
    """Where the numbers of an array or a tensor lie."""
    if isinstance(array, torch.Tensor):
        return array.data_ptr(), array.shape, array.stride()
    return array.__array_interface__["data"][0], array.shape, array.strides


# ---- tokens that come after others


def kept_behind(past, name, tensor, start, axis=-2):
    """`tensor` behind what `past` keeps of `start` tokens under a name, along an axis; now it keeps both.

    There is room for as many tokens again, so that most calls copy only what is new. Where gradients are
    wanted all is copied, so that they reach what is kept.
    """
    if past is None:
        return tensor
    count, whole = tensor.shape[axis], past.get(name)
    if start and (whole is None or whole.shape[axis] < start):
        raise ValueError(f"past keeps less than {start} tokens")
    before = whole.narrow(axis, 0, start) if start else tensor.narrow(axis, 0, 0)
    if before.narrow(axis, 0, 0).shape != tensor.narrow(axis, 0, 0).shape:
        shapes = f"{tuple(before.shape)}, found {tuple(tensor.shape)}"
        raise ValueError(f"past keeps {name} of shape {shapes}")
    if torch.is_grad_enabled() and (tensor.requires_grad or before.requires_grad):
        past[name] = torch.cat([before, tensor], axis)
        return past[name]
    if not start or whole.shape[axis] < start + count:
        shape = [*tensor.shape]
        shape[axis] = max(start + count, 2 * start)
        past[name] = whole = tensor.new_empty(shape)
        whole.narrow(axis, 0, start).copy_(before)
    whole.narrow(axis, start, count).copy_(tensor)
    return whole.narrow(axis, 0, start + count)


def kept_flags(past, name, flags, start, count):
    """`kept_behind` for a 0/1 input over `count` tokens, where None is all ones."""
    if past is None or (flags is None and name not in past):
        return flags
    like = past[name] if flags is None else flags
    if flags is None:
        flags = like.new_ones((*like.shape[:-1], count))
    if name not in past:
        past[name] = like.new_ones((*like.shape[:-1], start))
    return kept_behind(past, name, flags, start, axis=-1)


def past_product_behind(past, name, start, query, key, value):
    """`past_product` with what `past` keeps of `start` earlier tokens: a memory, Σ_j key_j value_j, under a name."""
    found = past_product(query, key, value)
    if past is None:
        return found
    if start and name not in past:
        raise ValueError(f"past keeps less than {start} tokens")
    memory = key.mT @ value
    if start:
        found = found + query @ past[name]
        memory = past[name] + memory
    past[name] = memory
    return found


def attend_behind(query, key, value, scale, inner, **options):
    """`inner`, or where there are keys of earlier tokens `attend_last`."""
    if query.shape[-2] == key.shape[-2]:
        return inner(query, key, value, scale, **options)
    return attend_last(query, key, value, scale, **options)


def keep_once(past, *arrays):
    """Keep what is heard once, if anything is kept; others may write where the arrays lie."""
    if past is not None:
        past["once"] = tuple(
            None if each is None else torch.as_tensor(each).clone() for each in arrays
        )


@torch.no_grad()
def step(model, state, tokens, /, **how):
    """The state after more tokens, and what the model gives for them; the state before the first is None.

    A state goes on once: what it keeps is in the next one, too. `how` are arguments of the model.
    """
    state = {"tokens": 0} if state is None else state
    return state, model(**next_tokens(tokens, how), past=state)


def generate(
    model, tokens, count, /, *, temperature=0.0, top_k=None, seed=None, stop=(), never=(), **how
):
    """Up to `count` tokens after `tokens`, one after another, drawn from softmax(logits / temperature).

    At a temperature of 0 each is the most likely one; `top_k` leaves so many to draw from. It ends before
    a token of `stop`; none of `never` is drawn. `how` are arguments of the model.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"temperature and top_k must not be negative: {temperature}, {top_k}")
    random, state = torch.Generator(), None
    random.seed() if seed is None else random.manual_seed(seed)
    device = next(model.parameters()).device
    tokens = torch.atleast_1d(torch.as_tensor(tokens, device=device))
    if tokens.ndim > 1:
        raise ValueError(f"tokens must be one text, found shape {tuple(tokens.shape)}")
    for _ in range(count):
        state, given = step(model, state, tokens, only_last=True, **how)
        logits = logits_of(given)[-1].double().cpu()
        logits[list(never)] = -math.inf
        token = draw(logits, temperature, top_k, random)
        if token in stop:
            return
        yield token
        how = without_once(how)
        tokens = torch.tensor([token], device=device)


def draw(logits, temperature, top_k, random):
    """A token drawn by its logits."""
    if temperature == 0:
        return int(logits.argmax())
    if top_k is not None and top_k < len(logits):
        logits = logits.where(logits >= logits.topk(top_k).values[-1], -math.inf)
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=random))
