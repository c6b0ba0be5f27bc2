"""Network {title}, compiled by cortico to NumPy.

{tensors}

In the comments, axes stand in brackets; the batch axes in front of them are left out.{needs}
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from cortico.backends.arrays.network.template import (
    PATHS,
    expect_all,
    logits_of,
    next_tokens,
    weights_at,
    without_once,
)
from cortico.backends.template import load_weights

#: What an emitted file says of itself.
model: Any = ...
packs: Any = ...


# ---- weights


def pack(weights, dtype):
    """The weights as `model` reads them: of each path those that its block reads."""
    expect_all(weights)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, found {dtype}")
    made = packs()
    return {path: made[block](weights_at(path, weights), dtype) for path, block in PATHS.items()}


@functools.cache
def stored(dtype):
    """The weights in the file beside this one."""
    return pack(load_weights(Path(__file__).with_name("network.safetensors")), dtype)


# ---- one token after another


def step(state, tokens, /, **how):
    """The state after more tokens, and what `model` gives for them; the state before the first is None.

    A state goes on once: what it keeps is in the next one, too. `how` are arguments of `model`.
    """
    state = {"tokens": 0} if state is None else state
    return state, model(**next_tokens(tokens, how), past=state)


def keep_once(past, *arrays):
    """Keep what is heard once, if anything is kept; other calls may write where the arrays lie."""
    if past is not None:
        past["once"] = tuple(None if each is None else np.copy(each) for each in arrays)


def generate(
    tokens,
    count,
    /,
    *,
    temperature=0.0,
    top_k=None,
    seed=None,
    stop=(),
    never=(),
    threads=None,
    **how,
):
    """Up to `count` tokens after `tokens`, one after another, drawn from softmax(logits / temperature).

    At a temperature of 0 each is the most likely one; `top_k` leaves so many to draw from. It ends before a
    token of `stop`; none of `never` is drawn. `how` are arguments of `model`.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"temperature and top_k must not be negative: {temperature}, {top_k}")
    random, state, work = np.random.default_rng(seed), None, {}
    tokens = np.atleast_1d(np.asarray(tokens))
    for _ in range(count):
        state, given = step(state, tokens, only_last=True, threads=threads, work=work, **how)
        logits = logits_of(given)[-1].astype(np.float64)
        logits[list(never)] = -np.inf
        token = draw(logits, temperature, top_k, random)
        if token in stop:
            return
        yield token
        how = without_once(how)
        tokens = np.array([token])


def draw(logits, temperature, top_k, random):
    """A token drawn by its logits."""
    if temperature == 0:
        return int(np.argmax(logits))
    if top_k is not None and top_k < len(logits):
        logits = np.where(logits >= np.partition(logits, -top_k)[-top_k], logits, -np.inf)
    rates = np.exp((logits - logits.max()) / temperature)
    return int(random.choice(len(rates), p=rates / rates.sum()))
