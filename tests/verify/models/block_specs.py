"""Every combination of the options of each block around attention."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from cortico.ir import TRANSFERS
from cortico.ir.tensors import FORMULAS
from cortico.spec import Dense, Embedding, FeedForward, Norm, NormKind, Pool, Pooling, Residual
from cortico.spec.blocks import Site, Way

#: Transfer functions: those that models have, as far as the table has them.
USUAL = [t for t in ("gelu", "gelu_tanh", "silu", "relu_squared", "tanh", "relu") if t in TRANSFERS]

#: Whether circuits can read rows of a table, and the first token.
HAS_ROWS = "rows" in FORMULAS

FLAG = (False, True)


def options(made: type, /, **choices: Any) -> Iterator[Any]:
    """A spec for each combination of choices."""
    for values in itertools.product(*choices.values()):
        yield made(**dict(zip(choices, values, strict=True)))


def norms() -> Iterator[Norm]:
    return options(
        Norm,
        model=[6],
        kind=NormKind,
        eps=[0.0, 1e-5],
        gain=FLAG,
        shift=FLAG,
        site=Site,
        tokens=["n", 5],
    )


def feed_forwards(transfers=USUAL[-2:], sites=Site) -> Iterator[FeedForward]:
    return options(
        FeedForward,
        model=[6],
        hidden=[4],
        transfer=transfers,
        gated=FLAG,
        bias_in=FLAG,
        bias_out=FLAG,
        output=[None, 6, 3],
        site=sites,
    )


def denses() -> Iterator[Dense]:
    common = {"model": [6], "output": [6, 3], "bias": FLAG, "pooled": FLAG, "scale": [1.0, -0.3]}
    yield from options(Dense, **common, transfer=["identity", "tanh"], site=Site)
    yield from options(Dense, **common, soft_cap=[2.5])


def embeddings() -> Iterator[Embedding]:
    if HAS_ROWS:
        yield from options(
            Embedding,
            vocabulary=[7],
            model=[4],
            types=[None, 2],
            positions=[None, 9],
            scale=[1.0, 2.0],
            site=Site,
            tokens=["n", 5],
        )


def residuals() -> Iterator[Residual]:
    return options(Residual, model=[6], branches=[1, 2, 3], scale=[1.0, 0.5], way=Way)


def poolings() -> Iterator[Pooling]:
    pools = Pool if HAS_ROWS else [Pool.MEAN]
    return options(Pooling, model=[6], pool=pools, unit=FLAG, padded=FLAG, site=Site)


def every_block() -> list[Any]:
    """All of them, with two transfer functions where several can stand."""
    return [*norms(), *feed_forwards(), *denses(), *embeddings(), *residuals(), *poolings()]


def some_blocks() -> list[Any]:
    """One place of cells each, all usual transfer functions, and numbers of tokens that are open."""
    biased = [s for s in feed_forwards(USUAL, [Site.DEEP]) if s.bias_in and s.bias_out]
    blocks = [*every_block(), *biased]
    return [
        spec
        for spec in dict.fromkeys(blocks)
        if getattr(spec, "site", None) in (None, type(spec).site if hasattr(spec, "site") else None)
        and getattr(spec, "way", Way.DEEP) is Way.DEEP
        and spec.tokens == "n"
    ]


def called(spec: Any) -> str:
    """A short name for a parameter of a test."""
    usual = type(spec)
    fields = (f for f in vars(spec) if getattr(usual, f, None) != getattr(spec, f))
    values = (f"{f}={getattr(spec, f)}" for f in fields if f not in ("model", "hidden"))
    return "-".join([usual.__name__, *values])
