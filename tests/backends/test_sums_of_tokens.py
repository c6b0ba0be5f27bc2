"""Circuits by hand in which tokens are summed over the past, and behind gates."""

import numpy as np
import pytest

from cortico.backends.numpy import compile_source, emit_source
from cortico.ir import (
    Bound,
    InputKind,
)
from tests.backends.meetings import (
    CAUSAL,
    EARLIER,
    PAIR,
    ROWS,
    TOKENS,
    X_KEY,
    X_QUERY,
    A,
    B,
    Meeting,
    close,
)


def sum_over(domain, axes, *parts):
    """Σ over what `axes` lack of the product of `parts` inside `domain`, and x."""
    net = Meeting()
    net.cells("met", (*PAIR, "feature"), *parts, domain=domain)
    net.cells("y", axes, ["met"])
    net.builder.output("y_out", "y", axes)
    attention = compile_source(emit_source(net.builder.build()))
    x = np.random.default_rng(0).standard_normal((TOKENS, 3))
    options = {"threads": 1} if "in_tiles" in attention.__globals__ else {}
    return attention(np.eye(TOKENS), np.eye(TOKENS), x, **options), x


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_past_that_ends_early_or_late(offset):
    found, x = sum_over((Bound("key", "query", offset),), ROWS, [X_KEY])
    close(found, np.tri(TOKENS, k=offset) @ x)


def test_a_past_that_is_a_window():
    found, x = sum_over((*CAUSAL, Bound("query", "key", 2)), ROWS, [X_KEY])
    close(found, (EARLIER * np.tri(TOKENS, k=2).T) @ x)


def test_a_past_that_is_summed_over_all_of_now():
    found, x = sum_over(CAUSAL, ("feature",), [X_KEY], [X_QUERY])
    close(found, ((EARLIER @ x) * x).sum(0))


def test_a_past_whose_features_are_summed():
    found, x = sum_over(CAUSAL, ("query",), [X_KEY], [X_QUERY])
    close(found, ((EARLIER @ x) * x).sum(-1))


# ---- gates ----------------------------------------------------------------------------------------


def gated(*parts, heard="weight", **options):
    """What weights exp(a) show of x when `parts` multiply them, over a pool of what is `heard`."""
    net = Meeting()
    net.builder.input("keep", ("n",), InputKind.MASK)
    net.pairs("weight", [A], transfer="exp")
    net.cells("open", ("key",), [("keep", ("key",))], **options)
    net.pairs("some", ["weight"], *parts)
    net.cells("pool", ("query",), [heard])
    net.shown("y", "some", "pool")
    net.builder.output("y_out", "y", ROWS)
    attention = compile_source(emit_source(net.builder.build()))
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((TOKENS, TOKENS)) for _ in range(2))
    x, keep = rng.standard_normal((TOKENS, 3)), np.arange(TOKENS) % 3 > 0
    found = attention(a, b, x, keep=keep, threads=1)
    return np.exp(a), b, x, keep, found


def test_a_gate_that_the_pool_does_not_hear():
    weight, _, x, keep, found = gated(["open"])
    close(found, (weight * keep) @ x / weight.sum(-1, keepdims=True))


def test_a_gate_behind_a_transfer_function_silences_nothing():
    weight, _, x, keep, found = gated(["open"], heard="some", transfer="exp")
    weight *= np.exp(keep.astype(float))
    close(found, weight @ x / weight.sum(-1, keepdims=True))


def test_a_rate_is_no_gate():
    weight, b, x, _, found = gated([B], heard="some")
    weight *= b
    close(found, weight @ x / weight.sum(-1, keepdims=True))
