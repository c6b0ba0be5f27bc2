"""What the other inputs of a graph say to an attention, found by what they do: padding or positions."""

from __future__ import annotations

import math
from enum import Enum
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from cortico.frontends.onnx_file.masking import folded, unfolded
from cortico.ir.errors import SpecError

if TYPE_CHECKING:
    from cortico.frontends.onnx_file.probe import Probe

#: What is added where a token is not to be seen, and what at most hides one.
HIDING, UNSEEN = -1e9, -1e8
#: Inputs that may say together what is seen.
_TOGETHER = 3


class Role(Enum):
    """What an input says."""

    KEEP = "1 for a token that exists, 0 for padding"
    FIRST = "1 for a token that exists, 0 for padding, which comes last"
    HIDE = "1 for padding, as torch has it"
    ADDED = "a large negative number for padding"
    LENGTHS = "how many tokens exist"
    SCORES = "what is added to the score of a query and a source token, for all heads"
    SEEN = "1 where a query sees a source token"
    UNSEEN = "1 where a query does not see a source token"
    POSITIONS = "where tokens stand"

    @property
    def pads(self) -> bool:
        return not self.of_pairs and self is not Role.POSITIONS

    @property
    def of_pairs(self) -> bool:
        """Whether it is added to scores of queries (i) and source tokens (j)."""
        return self in (Role.SCORES, Role.SEEN, Role.UNSEEN)

    def numbers(
        self, keep: np.ndarray, sizes: list[int], shift: int, bias: np.ndarray
    ) -> np.ndarray:
        """An input of these sizes, for tokens (examples, j) that exist or not, and a bias (examples, i, j).

        ValueError when its sizes are not those of what it says.
        """
        if self.of_pairs:
            said = {"SCORES": bias, "SEEN": bias > UNSEEN, "UNSEEN": bias <= UNSEEN}[self.name]
            return np.asarray(said if math.prod(sizes) == said.size else said[:1]).reshape(sizes)
        if self is Role.POSITIONS:
            places = np.arange(sizes[-1]) if sizes else np.array(0)
            return np.broadcast_to(shift + places, sizes)
        if self is Role.LENGTHS:
            return np.asarray(keep.sum(1).reshape(sizes))
        here, gone = {"KEEP": (1, 0), "FIRST": (1, 0), "HIDE": (0, 1), "ADDED": (0, -1e9)}[
            self.name
        ]
        said = np.where(keep, here, gone)
        return np.asarray(said if sizes[:1] == [len(keep)] else said[:1]).reshape(sizes)

    def some(self, examples: int, tokens: int, alike: bool) -> np.ndarray:
        """Tokens (examples, tokens) of which some do not exist, the first always does."""
        rng = np.random.default_rng(1)
        keep = rng.random((examples, tokens)) < 0.6
        if self in (Role.LENGTHS, Role.FIRST):
            keep = np.arange(tokens) < rng.integers(1, max(tokens, 2), (examples, 1))
        keep[:, 0] = True
        return np.asarray(np.broadcast_to(keep[:1], keep.shape) if alike else keep)

    def some_bias(self, shape: tuple[int, int, int], alike: bool) -> np.ndarray:
        """A bias (examples, i, j) that the role can say."""
        rng = np.random.default_rng(2)
        bias = rng.standard_normal(shape)
        if self is not Role.SCORES:
            bias = np.where(bias < 0.5, 0.0, HIDING)
        return np.asarray(np.broadcast_to(bias[:1], shape) if alike else bias)


def positions(probe: Probe) -> dict[str, Role]:
    """The inputs that queries, keys or values depend on, which are to be where tokens stand."""
    parts = [probe.site.query, probe.site.key, probe.site.value]
    moving = probe.graph.reaching(parts, probe.streams) - probe.streams
    return dict.fromkeys(sorted(moving), Role.POSITIONS)


def find_roles(probe: Probe, output: str) -> dict[str, Role]:
    """The role of every input that attention depends on. SpecError for one that has none."""
    graph, site, streams = probe.graph, probe.site, probe.streams
    for name in sorted(graph.reaching([output], {site.result}) - streams):
        raise SpecError(f"{graph.source}: input {name!r} changes the map out of attention")
    given = {site.query, site.key, site.value, *streams}
    masking = sorted(graph.reaching([site.result], given) - streams - probe.roles.keys())
    if not masking:
        return dict(probe.roles)
    if len(masking) <= _TOGETHER:
        roles = [role for role in Role if role is not Role.POSITIONS]
        for chosen in product(roles, repeat=len(masking)):
            if sum(role.of_pairs for role in chosen) > 1:
                continue
            found = {**probe.roles, **dict(zip(masking, chosen, strict=True))}
            if all(_does(probe.with_roles(found), name) for name in masking):
                return found
    raise SpecError(
        f"{graph.source}: input {', '.join(map(repr, masking))} changes scores in a way that is neither padding "
        "nor a bias of all heads: a spec takes which source tokens exist, and what is added to each query's scores"
    )


def _does(probe: Probe, name: str) -> bool:
    """Whether an input does what its role says."""
    return _adds(probe, name) if probe.roles[name].of_pairs else _pads(probe, name)


def _adds(probe: Probe, name: str) -> bool:
    """Whether what an input in its role says is added to scores, and nothing else changes."""
    bias = probe.some_bias(name)
    try:
        shares, changed = probe.shares(), probe.shares(bias=bias)
    except (SpecError, ValueError):
        return False
    if not np.isfinite(shares).all():
        return False
    added, sink = unfolded(shares)
    expected = folded(added + bias[:, None], sink)
    seeing = (np.isfinite(added) & (bias[:, None] > UNSEEN)).any(-1)
    same = np.allclose(changed[seeing], expected[seeing], rtol=1e-6, atol=1e-9)
    return same and not np.allclose(shares[seeing], expected[seeing], rtol=1e-6, atol=1e-9)


def _pads(probe: Probe, name: str) -> bool:
    """Whether tokens that an input in its role says are none are not seen, and nothing else changes."""
    keep = probe.some_exist(name)
    try:
        shares, fewer = probe.shares(), probe.shares(keep=keep)
    except (SpecError, ValueError):
        return False
    if not np.isfinite(shares).all():
        return False
    expected = folded(*unfolded(shares), keep[:, None, None, :])
    seeing = expected.any(-1)
    same = np.allclose(fewer[seeing], expected[seeing], rtol=1e-6, atol=1e-9)
    return same and not np.allclose(shares[seeing], expected[seeing], rtol=1e-6, atol=1e-9)
