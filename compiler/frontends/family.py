"""`Family`: what a family of checkpoints tells about itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.distances import Distances
from cortico.frontends.keys import Keys
from cortico.frontends.maps import Maps
from cortico.frontends.model import Model
from cortico.frontends.rope import stretched
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError, shown
from cortico.spec import AttentionSpec, PositionBias
from cortico.spec.weights import required_shapes

_T = TypeVar("_T")

#: A spec and its weights, shaped as `cortico.spec.weights` says.
Attention = tuple[AttentionSpec, dict[str, np.ndarray]]

#: The attention of one layer as config.json describes it, and the weights that follow from it alone,
#: such as rotary frequencies.
Describe = Callable[[Config, int], Attention]


def by_number(config: Config, layer: int) -> Mapping[str, int]:
    """The numbers in a tensor's name: that of its layer."""
    return {"layer": layer}


def of_part(config: Config, part: str | None, parts: Mapping[str | None, _T]) -> _T:
    """What `parts` holds for `part`; None is the part of a model without parts.

    SpecError that says which there are.
    """
    if part in parts:
        return parts[part]
    listed = " or ".join(repr(name) for name in parts if name is not None)
    has = f"has several attentions: give part {listed}" if listed else "has no parts"
    found = "" if part is None else f", found part {shown(part)}"
    kind = shown(config.values["model_type"])
    raise SpecError(f"{config.source}: a model of type {kind} {has}{found}")


@dataclass(frozen=True)
class Family:
    """Checkpoints whose attention is configured and stored alike."""

    name: str
    model_types: tuple[str, ...]  #: `model_type` of config.json
    keys: Keys
    describe: Describe
    maps: Maps
    place: str  #: where a layer's tensors are, such as `h.{layer}.attn.`
    part: str | None = None  #: which of the attentions of a model that has several
    prefixes: tuple[str, ...] = ("",)  #: of the model inside the file, tried in order
    #: Weights that are vectors at `place`; a name with `{head}` is of the vector of one head.
    others: Mapping[str, str] = field(default_factory=dict)
    in_a_row: bool = True  #: vectors of all heads are one, not a matrix with a row for each
    added: float = 0.0  #: to each number of these vectors
    ignored: tuple[str, ...] = ()  #: beginnings of tensors at `place` that are no part of attention
    layers: str = "num_hidden_layers"  #: key of config.json that says how many layers there are
    layers_or: str = ""  #: the key that says it where that is null
    numbers: Callable[[Config, int], Mapping[str, int]] = by_number  #: that `place` asks for
    distances: Callable[[Config], Distances] | None = None  #: the table of a bias by distance
    #: Place and maps in a live model of transformers, where they are not those of its files.
    renamed: tuple[str, Maps] | None = None
    model: Model | str | None = None  #: of whole models; or why they are not read

    @property
    def live(self) -> Family:
        """The same family as a live model of transformers names its tensors."""
        if self.renamed is None:
            return self
        place, maps = self.renamed
        return replace(self, place=place, maps=maps, renamed=None)

    def count(self, config: Config, ignore: Collection[str] = ()) -> int:
        """Number of layers."""
        resolved = self.keys.resolve(config, ignore)
        count = resolved.optional_size(self.layers) if self.layers_or else None
        return count or resolved.size(self.layers_or or self.layers)

    def read(
        self,
        config: Config,
        tensors: Tensors,
        layer: int,
        prefix: str | None = None,
        ignore: Collection[str] = (),
        tokens: int | None = None,
        where: str = "",
    ) -> Attention:
        """The attention of a layer. SpecError for what is missing, wrong or not understood, that says `where`.

        `tokens`: how many there are. A family with a bias by distance needs it, and a rope by length.
        """
        where = where or f"layer {layer}"
        resolved = replace(self.keys.resolve(config, ignore), tokens=tokens)
        spec, computed = self.describe(resolved, layer)
        model, place = self.placed(resolved, tensors, layer, prefix)
        scoped = tensors.scoped(model + place, where)
        vectors = self._vectors(spec)
        names = (name for stored in vectors.values() for name in stored)
        weights = self.maps.take(spec, scoped, (*self.ignored, *names))
        weights = stretched(spec, weights | computed | self._others(spec, vectors, scoped))
        if self.distances is None:
            return spec, weights
        table, stored = self.distances(resolved), tensors.scoped(model, where)
        return _with_bias(spec, weights, table, stored, tokens)

    def _vectors(self, spec: AttentionSpec) -> dict[str, dict[str, tuple[int, ...]]]:
        """For each weight that is a vector, the names and shapes under which it is stored."""
        found = {}
        for weight, sides in required_shapes(spec).items():
            shape, name = tuple(map(int, sides)), self.others.get(weight)
            if name is None:
                continue
            if "{head}" in name:
                found[weight] = {name.format(head=head): shape[1:] for head in range(shape[0])}
            else:
                found[weight] = {name: (math.prod(shape),) if self.in_a_row else shape}
        return found

    def _others(
        self,
        spec: AttentionSpec,
        vectors: Mapping[str, Mapping[str, tuple[int, ...]]],
        tensors: Tensors,
    ) -> dict[str, np.ndarray]:
        """The vectors that are weights, head after head."""
        wanted = {name: shape for stored in vectors.values() for name, shape in stored.items()}
        found = tensors.take(wanted, ignored=("",)) if wanted else {}
        shapes, weights = required_shapes(spec), dict[str, np.ndarray]()
        for weight, stored in vectors.items():
            parts = [found[name].ravel() for name in stored]
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            weights[weight] = whole.reshape([int(side) for side in shapes[weight]])
        if self.added:  # in float64, where it is exact
            return {weight: v.astype(np.float64) + self.added for weight, v in weights.items()}
        return weights

    def placed(
        self, config: Config, tensors: Tensors, layer: int, prefix: str | None = None
    ) -> tuple[str, str]:
        """What stands before the names of the model, as the file has it, and then of its layer."""
        place = self.place.format_map(self.numbers(config, layer))
        prefixes = self.prefixes if prefix is None else (prefix, f"{prefix}.")
        found = (p for p in prefixes if any(name.startswith(p + place) for name in tensors))
        return next(found, prefixes[0]), place


def _with_bias(
    spec: AttentionSpec,
    weights: dict[str, np.ndarray],
    table: Distances,
    tensors: Tensors,
    tokens: int | None,
) -> Attention:
    """The same attention for a number of tokens, with the position bias that a table gives them."""
    if tokens is None:
        raise SpecError(
            f"{tensors.source!r} has a position bias by distance, which is made for a number of "
            "tokens: give tokens=N, --tokens N"
        )
    spec = replace(spec, tokens=tokens, position_bias=PositionBias.TABLE)
    return spec, weights | {"position_bias": table.read(tensors, spec.heads, tokens)}
