"""One attention of an ONNX file, as a spec and its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cortico.frontends.family import Attention
from cortico.frontends.onnx_file.checking import check
from cortico.frontends.onnx_file.graph import OnnxGraph, load
from cortico.frontends.onnx_file.masking import UNSEEN, Masking, read_masking
from cortico.frontends.onnx_file.measuring import require_room
from cortico.frontends.onnx_file.microsoft import KINDS, microsoft_site
from cortico.frontends.onnx_file.probe import Probe, is_still
from cortico.frontends.onnx_file.rotation import Turning, find_rotation
from cortico.frontends.onnx_file.sites import Site, find_sites, output_of, scalar_factor, tokens_of
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Bias, PositionBias, Rotary, RotaryStyle


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


def all_sites(graph: OnnxGraph) -> list[Site]:
    """All attention of the graph, in the order of the nodes that give its results."""
    fused = [n for n in graph.nodes if n.domain == "com.microsoft" and n.op_type in KINDS]
    found = {node.output[0]: microsoft_site(graph, node) for node in fused}
    found |= {site.result: site for site in find_sites(graph)}
    return [found[name] for node in graph.nodes for name in node.output if name in found]


class Reading:
    """Reads one site."""

    def __init__(self, graph: OnnxGraph, site: Site) -> None:
        self.graph, self.site, self.source = graph, site, graph.source
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
        self.cross = queries != keys
        self.probe = Probe(graph, site, queries, keys)

    def _tokens(self, part: str, name: str) -> str:
        found = tokens_of(self.graph, name)
        if found is None:
            raise SpecError(f"{self.source}: {part} {name!r} are no linear map of one input")
        return found

    def attention(self) -> Attention:
        """The spec and its weights, compared with what the graph computes."""
        probe, site, options = self.probe, self.site, self.site.options
        heads, groups = options.get("q_num_heads", 1), options.get("kv_num_heads", 1)
        maps = {
            "Q": probe.map_of(site.query, probe.queries, False, heads),
            "K": probe.map_of(site.key, probe.sources, not site.is_operator, groups),
            "V": probe.map_of(site.value, probe.sources, False, groups),
        }
        for name, array in maps.items():
            if not np.isfinite(array).all():
                raise SpecError(f"{self.source}: W_{name} has numbers that are NaN or infinite")
        heads, features = maps["Q"].shape[1], maps["Q"].shape[2]
        turning = self._turning(maps)
        masking, factor, padded = self._scores(heads, features)
        maps = {name: array[0] for name, array in maps.items()}
        factors = {
            "Q": scalar_factor(self.graph, site.query),
            "K": scalar_factor(self.graph, site.key),
        }
        scale = factor * factors["Q"] * factors["K"]
        weights = self._weights(maps, factors)
        weights |= masking.weights
        output = output_of(self.graph, site.result)
        weights |= self._weights_out(output, heads, maps["V"].shape[1])
        if turning and turning.frequencies is not None:
            weights["rotary_frequencies"] = turning.frequencies
        spec = self._spec(weights, masking, turning, padded, scale)
        check(self.graph, probe, spec, weights, output)
        return spec, {name: array.astype(self.graph.dtype) for name, array in weights.items()}

    # ---- parts -------------------------------------------------------------------------------------

    def _turning(self, maps: dict[str, np.ndarray]) -> Turning | None:
        """The rotation of queries and keys, if they turn with their position."""
        options = self.site.options
        if options.get("rotary") is not None:
            style = RotaryStyle.INTERLEAVED if options["interleaved"] else RotaryStyle.HALF_SPLIT
            return _given(options["rotary"], style, maps["Q"].shape[2])
        moving = {name for name, array in maps.items() if not is_still(array)}
        if not moving:
            return None
        found = [find_rotation(maps[name][:, 0, :, :-1]) for name in sorted(moving)]
        first, *others = found
        if moving == {"K", "Q"} and first and all(o and o.rotary == first.rotary for o in others):
            return first
        raise SpecError(
            f"{self.source}: queries, keys or values change with position, and not by rotary embedding"
        )

    def _scores(self, heads: int, features: int) -> tuple[Masking, float, bool]:
        """Mask, factor of the scores, and whether an input says which tokens exist."""
        options, factor = self.site.options, features**-0.5
        added = self._added(self.probe)
        padded = self._padded(added) or options.get("padding") in self.graph.data
        if self.site.is_operator:
            factor = float(options.get("scale") or factor)
        else:
            factors = self.probe.scores()[1]
            factor = float(factors[factors != 0].mean())
            if not np.allclose(factors[factors != 0], factor, rtol=1e-6):
                raise SpecError(f"{self.source}: scores of different tokens have different factors")
        shape = (heads, self.probe.queries.tokens, self.probe.sources.tokens)
        require_room(self.source, "scores", shape)
        added = np.broadcast_to(added, shape)
        causal = bool(options.get("is_causal"))
        masking = read_masking(added, causal, options.get("window"), self.source)
        if masking.position_bias is PositionBias.TABLE and not self.probe.fixed:
            raise SpecError(f"{self.source}: scores have a bias by position that is no ALiBi")
        return masking, factor, padded

    def _added(self, probe: Probe) -> np.ndarray:
        """What is added to the scores, (heads or 1, i, j)."""
        if not self.site.is_operator:
            return probe.scores()[0]
        name = self.site.mask
        if name is None:
            return np.zeros((1, probe.queries.tokens, probe.sources.tokens))
        (found,) = self.graph.evaluate(probe.silence, [name])
        found = found.reshape((1,) * (4 - found.ndim) + found.shape)[0]
        return np.where(found > 0, 0.0, -np.inf) if self.graph.is_bool(name) else np.asarray(found)

    def _padded(self, added: np.ndarray) -> bool:
        """Whether some input of ones hides the last token from all when its last entry is zero."""
        for name in self._mask_inputs():
            without = self.probe.inputs[name].copy()
            without[..., -1:] = 0
            hidden = self._added(self.probe.with_input(name, without))
            if np.array_equal(hidden, added):
                continue
            if (hidden[..., -1] < UNSEEN).all() and (hidden == added)[..., :-1].all():
                return True
            raise SpecError(f"{self.source}: input {name!r} masks in a way that is no padding")
        return False

    def _mask_inputs(self) -> list[str]:
        """Inputs of the graph that what is added to the scores depends on."""
        site = self.site
        wanted = site.mask if site.is_operator else site.logits
        if wanted is None:
            return []
        given = {*self.probe.silence, site.scores or wanted} - {wanted}
        between = self.graph.between(given, [wanted])
        names = {wanted} | {name for node in between for name in node.input}
        return sorted(n for n in names & set(self.probe.inputs) if "position" not in n)

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

    def _weights_out(self, output: str, heads: int, features: int) -> dict[str, np.ndarray]:
        found = self.probe.map_out(output, heads, features)
        matrix = found[:-1].reshape(heads, features, -1).transpose(0, 2, 1)
        return {"W_O": matrix, **({"b_O": found[-1]} if found[-1].any() else {})}

    def _spec(
        self,
        weights: dict[str, np.ndarray],
        masking: Masking,
        turning: Turning | None,
        padded: bool,
        scale: float,
    ) -> AttentionSpec:
        heads, features, width = weights["W_Q"].shape
        groups, values, context = weights["W_V"].shape
        output = weights["W_O"].shape[1]
        usual = np.isclose(scale, features**-0.5, rtol=1e-6)
        fixed = masking.position_bias is PositionBias.TABLE
        sizes: dict[str, Any] = {"tokens": self.probe.queries.tokens} if fixed else {}
        if self.cross:
            sizes["context"] = context
            sizes |= {"context_tokens": self.probe.sources.tokens} if fixed else {}
        return AttentionSpec(
            model=width,
            heads=heads,
            kv_heads=None if groups == heads else groups,
            key_features=None if features * heads == width else features,
            value_features=None if values == features else values,
            output=None if output == width else output,
            cross=self.cross,
            mask=masking.mask,
            window=masking.window,
            key_padding=padded,
            scale=None if usual else _short(scale),
            bias=Bias(*(f"b_{name}" in weights for name in "QKVO")),
            rotary=turning.rotary if turning else None,
            position_bias=masking.position_bias,
            **sizes,
        )


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


def _given(frequencies: np.ndarray, style: RotaryStyle, features: int) -> Turning:
    rotated = 2 * len(frequencies)
    return Turning(
        Rotary(style=style, rotated=None if rotated == features else rotated), frequencies
    )
