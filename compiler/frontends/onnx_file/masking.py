"""What is added to the scores, seen in what softmax makes of scores of zero; read as a mask, slopes or a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.ir.errors import SpecError
from cortico.spec import Mask, PositionBias

#: Less than this, beside the largest of a row, is not seen: exporters add -10^4, -10^9 or the least float.
_UNSEEN = -600.0
#: What a table has for a token that is not seen: exp of it is zero.
HIDDEN = -1e4
#: A share of a sink that is rounding.
_LOST = 1e-12
#: A difference of scores that is rounding in float32.
_NOTHING = 1e-5


@dataclass(frozen=True)
class Masking:
    """Which tokens are seen, and what is added to the scores of those."""

    mask: Mask
    window: int | None
    position_bias: PositionBias
    weights: dict[str, np.ndarray]


def unfolded(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """What is added to scores (…, h, i, j), -inf where nothing is seen, and to the sink (h), if one is.

    `shares` are exp(added) over their sum, and that of the sink. Without a sink a row is known up to one number:
    the first token seen has 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(shares)
        logs = np.where(logs - logs.max(-1, keepdims=True) < _UNSEEN, -np.inf, logs)
        live = np.isfinite(logs)
        first = live.argmax(-1)[..., None]
        rest = np.where(live.any(-1), 1 - shares.sum(-1), 0.0)
        sunk = np.asarray((rest > _LOST).any(-1))[..., None, None]
        anchor = np.take_along_axis(logs, first, -1)
        anchor = np.where(sunk, np.log(np.maximum(rest, _LOST))[..., None], anchor)
        added = np.where(live, logs - anchor, -np.inf)
    if not sunk.any():
        return added, None
    start = np.take_along_axis(added, first, -1)[..., :1, :]  # of row 0, which is to have 0
    added = added - start
    sink = np.where(sunk, -start, np.log(_LOST))
    return added, sink.reshape(-1, sink.shape[-3])[0]


def folded(
    added: np.ndarray, sink: np.ndarray | None, keep: np.ndarray | None = None
) -> np.ndarray:
    """The shares (…, h, i, j) of scores `added`, zeros for a query that sees no token."""
    scores = added if keep is None else np.where(keep, added, -np.inf)
    column = np.full((1, 1, 1), -np.inf) if sink is None else sink[:, None, None]
    most = np.maximum(scores.max(-1, keepdims=True), column)
    most = np.where(np.isfinite(most), most, 0.0)
    shares = np.exp(scores - most)
    total = shares.sum(-1, keepdims=True) + np.exp(column - most)
    return np.asarray(shares / np.where(total > 0, total, 1.0))


@dataclass(frozen=True)
class Known:
    """What is known of an attention before its mask is read."""

    source: str
    causal: bool  #: an operator says so
    window: int | None
    fixed: bool  #: the numbers of tokens are numbers
    cross: bool
    sunk: bool


def read_masking(added: np.ndarray, known: Known) -> Masking:
    """What `added` (H, i, j) does. SpecError when it is no mask that a spec has.

    With fixed numbers of tokens whatever is added is a table.
    """
    live = np.isfinite(added)
    if not live.any(-1).all():
        raise SpecError(f"{known.source}: some queries see no token")
    mask, width = _mask(live, known) or (Mask.NONE, None)
    hidden = live < seen(mask, width, *added.shape[1:])
    bias = np.where(live, added, 0.0)
    steps = _steps(live, known)
    slopes = _slopes(bias, steps)
    if not hidden.any():
        if np.abs(bias).max() < _NOTHING:
            return Masking(mask, width, PositionBias.NONE, {})
        sloped = np.where(live, slopes[:, None, None] * steps, 0.0)
        if not known.cross and np.abs(bias - sloped).max() < _NOTHING:
            return Masking(mask, width, PositionBias.ALIBI, {"alibi_slopes": slopes})
    table = np.where(hidden, HIDDEN, bias)
    if not known.fixed:
        raise SpecError(f"{known.source}: {_strange(live, known)}")
    return Masking(mask, width, PositionBias.TABLE, {"position_bias": table})


def _steps(live: np.ndarray, known: Known) -> np.ndarray:
    """j less i, or less the first token seen where one number of a row is free: (H or 1, i, j)."""
    queries, keys = live.shape[1:]
    start = np.arange(queries)[:, None] if known.sunk else live.argmax(2)[..., None]
    return np.broadcast_to(np.arange(keys) - start, live.shape)


def _slopes(bias: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The slope of each head that fits best."""
    square = (steps * steps * (bias != 0)).sum((1, 2))
    return np.asarray((bias * steps).sum((1, 2)) / np.where(square > 0, square, 1))


def _strange(live: np.ndarray, known: Known) -> str:
    if (live != live[0]).any():
        return "heads see different tokens"
    if known.cross and not live.all():
        return "cross attention has a mask, and any number of tokens"
    if _mask(live, known) is None:
        return "tokens see others in a way that is neither all, causal nor a window"
    return "scores have a bias by position that is no ALiBi"


def seen(mask: Mask, window: int | None, queries: int, keys: int) -> np.ndarray:
    """Which source tokens each query sees, boolean (i, j)."""
    ahead = np.arange(keys) - np.arange(queries)[:, None]
    if mask is Mask.NONE:
        return np.ones(ahead.shape, bool)
    if mask is Mask.BIDIRECTIONAL_WINDOW:
        return np.abs(ahead) < (window or keys)
    return (ahead <= 0) & (ahead > -(window or keys))


def _mask(live: np.ndarray, known: Known) -> tuple[Mask, int | None] | None:
    """The mask that shows exactly these tokens, and its width; None when there is none."""
    choices: list[tuple[Mask, int | None]] = [(Mask.NONE, None), (Mask.CAUSAL, None)]
    if known.cross:
        choices = choices[:1]
    elif known.causal:
        choices = [(Mask.WINDOW, known.window)] if known.window else choices[1:]
        choices += [(Mask.WINDOW, int(live.sum(2).max()))]
    else:
        choices += [(Mask.WINDOW, int(live.sum(2).max()))]
        choices += [(Mask.BIDIRECTIONAL_WINDOW, int(live[:, 0].sum(1).max()))]
    matching = (c for c in choices if (live == seen(*c, *live.shape[1:])).all())
    return next(matching, None)
