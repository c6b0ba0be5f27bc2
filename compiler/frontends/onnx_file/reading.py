"""One attention of an ONNX file, as a spec and its weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cortico.frontends.family import Attention
from cortico.frontends.onnx_file.checking import check, check_turning
from cortico.frontends.onnx_file.graph import OnnxGraph, load
from cortico.frontends.onnx_file.inputs import find_roles, positions
from cortico.frontends.onnx_file.lengths import LONG, farthest, longest, shortest, tables
from cortico.frontends.onnx_file.masking import Known, Masking, read_masking, unfolded
from cortico.frontends.onnx_file.probe import Probe, is_still, stream_of
from cortico.frontends.onnx_file.rotation import Turning, even_tables, find_rotation
from cortico.frontends.onnx_file.sites import Site, all_sites, output_of, scalar_factor, tokens_of
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Bias, PositionBias

#: Tables that are held against each other: cosines and sines of queries and of keys.
_TABLES = 8
#: How much louder the last query is than the first: scores that are capped at some height are met.
_LOUDEST = 64.0
#: How quiet queries are where a cap is known: tanh is straight there.
_QUIET = 1e-6
#: How loud where a cap is sought: tanh is flat there.
_DEAFENING = 1e9
#: Largest difference of scores from a factor, relative.
_ROUNDING = 1e-6


def read_onnx(path: Path, layer: int) -> Attention:
    """Spec and weights of attention number `layer` of a file. SpecError when it cannot be read."""
    graph = load(path)
    sites = all_sites(graph)
    if not sites:
        raise SpecError(
            f"{str(path)!r} has no attention: no Attention, no softmax between products"
        )
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(sites):
        span = f"0 … {len(sites) - 1}" if len(sites) > 1 else "0"
        raise SpecError(f"layer {layer!r} of {str(path)!r} does not exist, layers: {span}")
    spec, weights = Reading(graph, sites[layer]).attention()
    return replace(spec, name=f"{path.stem} layer {layer}"), weights


def count_onnx(path: Path) -> int:
    """How many attentions a file has."""
    return len(all_sites(load(path)))


class Reading:
    """Reads one site."""

    def __init__(self, graph: OnnxGraph, site: Site) -> None:
        self.graph, self.site, self.source = graph, site, graph.source
        if site.refused:
            raise SpecError(f"{self.source}: {site.refused}")
        queries, keys, values = (
            self._tokens(part, name)
            for part, name in (
                ("queries", site.query),
                ("keys", site.key),
                ("values", site.value),
            )
        )
        if keys != values:
            raise SpecError(f"{self.source}: keys are made of {keys!r} and values of {values!r}")
        probe = Probe(graph, site, stream_of(graph, queries), stream_of(graph, keys))
        even_out(graph, graph.between(probe.streams, [site.query, site.key]))
        probe = shortest(probe.with_roles(positions(probe)))
        self.output = output_of(graph, site.result)
        self.probe = probe.with_roles(find_roles(probe, self.output))

    def _tokens(self, part: str, name: str) -> str:
        found = tokens_of(self.graph, name)
        if found is None:
            raise SpecError(f"{self.source}: {part} {name!r} are no linear map of one input")
        return found

    def attention(self) -> Attention:
        """The spec and its weights, compared with what the graph computes at few tokens and at many."""
        probe = self.probe
        maps = {name: probe.map_of(name) for name in "QKV"}
        self._require_finite({f"W_{name}": array for name, array in maps.items()})
        turning = self._turning(maps)
        longer = longest(probe)
        masking, factor, cap = self._scores(longer, len(maps["Q"][0]))
        maps = {name: array[0] for name, array in maps.items()}
        parts = {"Q": self.site.query, "K": self.site.key}
        factors = {letter: scalar_factor(self.graph, name) for letter, name in parts.items()}
        scale = factor * factors["Q"] * factors["K"]
        weights = self._weights(maps, factors) | masking.weights
        weights |= self._weights_out(len(maps["Q"]), maps["V"].shape[1])
        if turning and turning.frequencies is not None:
            weights["rotary_frequencies"] = turning.frequencies
        spec = self._spec(weights, masking, turning, scale)
        spec = replace(spec, soft_cap=None if cap is None else _short(cap))
        check(probe, spec, weights, self.output)
        check_turning(farthest(probe), maps, turning, probe.queries.tokens)
        check(self._second(longer), spec, weights, self.output)
        with np.errstate(over="ignore"):
            stored = {name: array.astype(self.graph.dtype) for name, array in weights.items()}
        self._require_finite(stored)
        return spec, stored

    def _second(self, longer: Probe) -> Probe:
        """A longer probe of all heads; a mask that is longer still was read of one."""
        return self.probe.at(1, min(longer.queries.tokens, max(LONG)))

    def _require_finite(self, arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise SpecError(f"{self.source}: {name} has numbers that are NaN or infinite")

    # ---- parts -------------------------------------------------------------------------------------

    def _turning(self, maps: dict[str, np.ndarray]) -> Turning | None:
        """The rotation of queries and keys, if they turn with their position."""
        moving = {name for name, array in maps.items() if not is_still(array)}
        if not moving:
            return None
        if self.probe.cross:
            raise SpecError(f"{self.source}: cross attention turns queries or keys by position")
        found = [find_rotation(maps[name][:, 0, :, :-1]) for name in sorted(moving)]
        first, *others = found
        if moving == {"K", "Q"} and first and all(o and o.rotary == first.rotary for o in others):
            return first
        raise SpecError(
            f"{self.source}: queries, keys or values change with position, and not by rotary embedding"
        )

    def _scores(self, probe: Probe, heads: int) -> tuple[Masking, float, float | None]:
        """Mask and sink, the factor of the scores, and their cap."""
        shares = probe.shares()
        if not np.allclose(shares, shares[:1], rtol=1e-6, atol=1e-12, equal_nan=True):
            raise SpecError(f"{self.source}: examples see different tokens")
        added, sink = unfolded(shares[0])
        added = np.broadcast_to(added, (heads, *added.shape[1:]))
        known = Known(
            self.source,
            self.site.causal,
            self.site.window,
            probe.fixed,
            probe.cross,
            sink is not None,
        )
        masking = read_masking(added, known)
        if sink is not None:
            masking.weights["sink"] = np.broadcast_to(sink, heads)
        return masking, *self._factor(probe, added)

    def _factor(self, probe: Probe, added: np.ndarray) -> tuple[float, float | None]:
        """What products of queries and keys are multiplied with before softmax, and the cap of what that gives."""
        said = self.site.soft_cap
        factor = self._factor_under(said, probe, added)
        if factor is None and said is None:
            said = self._height(probe, added)
            factor = self._factor_under(said, probe, added)
        if factor is None:
            raise SpecError(
                f"{self.source}: scores go through more than a factor, a cap and a mask"
            )
        return factor, said

    def _factor_under(self, cap: float | None, probe: Probe, added: np.ndarray) -> float | None:
        """The factor of scores that are capped at `cap`, from small ones; None where others are not so."""
        query, key = (probe.random(part) for part in "QK")
        loud = np.geomspace(1, _LOUDEST, query.shape[2])[:, None] * query
        quiet = loud if cap is None else _QUIET * min(cap, 1.0) * query
        scores, products, live = self._scored(probe, added, quiet, key)
        products = _centred(products, live)
        squares = (products**2).sum((1, 2))
        if not squares.any():  # no query sees more than one token
            return float(query.shape[-1] ** -0.5)
        factors = (scores * products).sum((1, 2)) / np.where(squares > 0, squares, 1)
        factor = float(factors[squares > 0].mean())
        expected = factor * products
        if cap is not None:
            scores, products, live = self._scored(probe, added, loud, key)
            expected = _centred(cap * np.tanh(factor * products / cap), live)
        fits = np.abs(scores - expected).max() < _ROUNDING * np.abs(scores).max()
        return factor if fits else None

    def _height(self, probe: Probe, added: np.ndarray) -> float:
        """Where scores end that are capped: half of what lies between the largest and the smallest of a query."""
        query, key = (probe.random(part) for part in "QK")
        scores, _, live = self._scored(probe, added, _DEAFENING * query, key)
        highest = np.where(live, scores, -np.inf).max(-1)
        lowest = np.where(live, scores, np.inf).min(-1)
        return max(float((highest - lowest).max()) / 2, _ROUNDING)

    def _scored(
        self, probe: Probe, added: np.ndarray, query: np.ndarray, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centred scores (h, i, j) of queries and keys by head without what is added, their products, and where."""
        found, _ = unfolded(probe.shares(query, key)[0])
        live = np.isfinite(added) & np.isfinite(found)
        products = query[0] @ np.repeat(key[0], len(query[0]) // len(key[0]), 0).swapaxes(-1, -2)
        scores = _centred(np.where(live, found, 0) - np.where(live, added, 0), live)
        return scores, np.broadcast_to(products, live.shape), live

    def _weights(
        self, maps: dict[str, np.ndarray], factors: dict[str, float]
    ) -> dict[str, np.ndarray]:
        """The tensors of the maps in; heads that share keys and values are given once."""
        groups = _groups(maps["K"], maps["V"])
        weights = {}
        for name, array in maps.items():
            kept = array if name == "Q" else array[:: len(array) // groups]
            kept = kept / factors.get(name, 1.0)
            weights[f"W_{name}"] = kept[..., :-1]
            if kept[..., -1].any():
                weights[f"b_{name}"] = kept[..., -1]
        return weights

    def _weights_out(self, heads: int, features: int) -> dict[str, np.ndarray]:
        found = self.probe.map_out(self.output, heads, features)
        matrix = found[:-1].reshape(heads, features, -1).transpose(0, 2, 1)
        return {"W_O": matrix, **({"b_O": found[-1]} if found[-1].any() else {})}

    def _spec(
        self,
        weights: dict[str, np.ndarray],
        masking: Masking,
        turning: Turning | None,
        scale: float,
    ) -> AttentionSpec:
        heads, features, width = weights["W_Q"].shape
        groups, values, context = weights["W_V"].shape
        output = weights["W_O"].shape[1]
        usual = np.isclose(scale, features**-0.5, rtol=1e-6)
        fixed = masking.position_bias is PositionBias.TABLE
        given = [name for name, role in self.probe.roles.items() if role.of_pairs]
        if given and masking.position_bias is not PositionBias.NONE:
            raise SpecError(
                f"{self.source}: scores have a bias by position ({masking.position_bias}), and input {given[0]!r} "
                "adds another: a spec has one"
            )
        sizes: dict[str, Any] = {"tokens": self.probe.queries.tokens} if fixed else {}
        if self.probe.cross:
            sizes["context"] = context
            sizes |= {"context_tokens": self.probe.sources.tokens} if fixed else {}
        return AttentionSpec(
            model=width,
            heads=heads,
            kv_heads=None if groups == heads else groups,
            key_features=None if features * heads == width else features,
            value_features=None if values == features else values,
            output=None if output == width else output,
            cross=self.probe.cross,
            mask=masking.mask,
            window=masking.window,
            key_padding=any(role.pads for role in self.probe.roles.values()),
            scale=None if usual else _short(scale),
            bias=Bias(*(f"b_{name}" in weights for name in "QKVO")),
            rotary=turning.rotary if turning else None,
            position_bias=PositionBias.INPUT if given else masking.position_bias,
            sink="sink" in weights,
            **sizes,
        )


def even_out(graph: OnnxGraph, nodes: list[onnx.NodeProto]) -> None:
    """Replace stored cosines and sines that turn evenly by their exact numbers: these are rounded."""
    names = dict.fromkeys(name for _, name in tables(graph, nodes))
    for one, two in permutations(list(names)[:_TABLES], 2):
        arrays = graph.constants[one], graph.constants[two]
        if arrays[0].shape != arrays[1].shape or {one, two} & graph.even:
            continue
        exact = even_tables(*arrays)
        if exact is not None:
            graph.constants[one], graph.constants[two] = exact
            graph.even |= {one, two}


def _centred(rows: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Rows (h, i, j) less their mean over what is live; zeros elsewhere."""
    count = np.maximum(live.sum(-1, keepdims=True), 1)
    rows = np.where(live, rows, 0)
    return np.where(live, rows - rows.sum(-1, keepdims=True) / count, 0)


def _short(number: float) -> float:
    """The decimal that a number in float32 was written as: 0.3 for 0.30000001192092896."""
    short = float(str(np.float32(number)))
    return short if np.isclose(short, number, rtol=1e-7, atol=0) else number


def _groups(keys: np.ndarray, values: np.ndarray) -> int:
    """The least number of heads of which all others are copies, those of a group side by side."""
    heads = len(keys)
    for groups in (g for g in range(1, heads + 1) if heads % g == 0):
        members = heads // groups
        if all(
            np.array_equal(array, np.repeat(array[::members], members, axis=0))
            for array in (keys, values)
        ):
            return groups
    return heads
