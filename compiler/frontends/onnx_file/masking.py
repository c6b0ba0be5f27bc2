"""What is added to the scores, read as a mask, a slope per head, or a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.ir.errors import SpecError
from cortico.spec import Mask, PositionBias

#: Scores from which down a token is not seen: exporters write -10^4, -10^9 or the least float.
UNSEEN = -5e3
#: A difference of scores that is rounding in float32.
_NOTHING = 1e-5


@dataclass(frozen=True)
class Masking:
    """Which tokens are seen, and what is added to the scores of those."""

    mask: Mask
    window: int | None
    position_bias: PositionBias
    weights: dict[str, np.ndarray]


def read_masking(added: np.ndarray, causal: bool, window: int | None, source: str) -> Masking:
    """What `added` (H, i, j) does. SpecError when it is no mask that a spec has."""
    live = added > UNSEEN
    if (live != live[0]).any():
        raise SpecError(f"{source}: heads see different tokens")
    mask, width = (Mask.WINDOW, window) if window else _mask(live[0], causal, source)
    if mask is not Mask.NONE:
        live = live & seen(mask, width, *added.shape[1:])
    first = live.argmax(2)[..., None]  # softmax does not see what a whole row has
    bias = np.where(live, added, 0) - np.take_along_axis(np.where(live, added, 0), first, 2)
    bias = np.where(live, bias, 0)
    if np.abs(bias).max() < _NOTHING:
        return Masking(mask, width, PositionBias.NONE, {})
    steps = np.arange(added.shape[2]) - first
    slopes = bias[:, -1, -1] / max(int(steps[0, -1, -1]), 1)
    if np.abs(np.where(live, bias - slopes[:, None, None] * steps, 0)).max() < _NOTHING:
        return Masking(mask, width, PositionBias.ALIBI, {"alibi_slopes": slopes})
    table = np.where(live, added, 0)
    return Masking(mask, width, PositionBias.TABLE, {"position_bias": table})


def seen(mask: Mask, window: int | None, queries: int, keys: int) -> np.ndarray:
    """Which source tokens each query sees, boolean (i, j)."""
    ahead = np.arange(keys) - np.arange(queries)[:, None]
    if mask is Mask.NONE:
        return np.ones(ahead.shape, bool)
    return (ahead <= 0) & (ahead > -(window or keys))


def _mask(live: np.ndarray, causal: bool, source: str) -> tuple[Mask, int | None]:
    if causal or (live.shape[0] > 1 and (live == seen(Mask.CAUSAL, None, *live.shape)).all()):
        return Mask.CAUSAL, None
    if live.all():
        return Mask.NONE, None
    width = int(live.sum(1).max())
    if (live == seen(Mask.WINDOW, width, *live.shape)).all():
        return Mask.WINDOW, width
    raise SpecError(
        f"{source}: tokens see others in a way that is neither all, causal nor a window"
    )
