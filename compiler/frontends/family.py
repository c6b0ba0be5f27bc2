"""`Family`: what a family of checkpoints must tell about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.tensors import Tensors
from cortico.spec import AttentionSpec

#: A spec and its weights, shaped as `cortico.spec.weights` says.
Attention = tuple[AttentionSpec, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """Checkpoints whose attention is stored alike.

    `read(config, tensors, layer)` gets tensors that are already scoped to the attention of that
    layer: it names them as they follow `attention`.
    """

    name: str
    model_types: tuple[str, ...]  #: `model_type` of config.json
    layers: str  #: key of config.json that says how many layers there are
    attention: str  #: where a layer's tensors are, such as `h.{layer}.attn.`
    prefixes: tuple[str, ...]  #: of the model inside the file, tried in order
    read: Callable[[Config, Tensors, int], Attention]

    def scope(self, tensors: Tensors, layer: int, prefix: str | None) -> Tensors:
        """`tensors` scoped to the attention of `layer`, under the prefix that the file uses."""
        place = self.attention.format(layer=layer)
        prefixes = self.prefixes if prefix is None else (prefix, f"{prefix}.")
        found = (p for p in prefixes if any(name.startswith(p + place) for name in tensors))
        return tensors.scoped(next(found, prefixes[0]) + place, f"layer {layer}")
