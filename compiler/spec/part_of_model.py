"""A few layers of a model as a model of their own."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from cortico.ir.errors import SpecError, named
from cortico.spec.model import Layer, ModelSpec, Stack
from cortico.spec.model_weights import MATRIX, TABLE, ModelWeights, model_shapes

_LAYER = re.compile(r"layer\[(\d+)\]\.(.*)")


def only_layers(
    spec: ModelSpec, weights: ModelWeights | None, first: int, last: int
) -> tuple[ModelSpec, dict[str, dict[str, np.ndarray]] | None]:
    """The layers from `first` to `last`, both included, with what comes before the first and after the last.

    Without the first layer of the model the input is `x`, what the layer before gives; without the last one
    there are only its states. SpecError for a layer that is not there, and for a model with an encoder.
    """
    levels = spec.stack.levels
    if not 0 <= first <= last < len(levels):
        raise SpecError(
            f"layers {first}-{last} of {named(spec.name)} do not exist, layers: 0-{len(levels) - 1}"
        )
    if spec.encoder is not None:
        raise SpecError(f"{named(spec.name)} has an encoder and a decoder: its layers are not cut")
    begins, ends = first == 0, last == len(levels) - 1
    stack = _cut(spec.stack, levels[first : last + 1], begins, ends)
    readout = spec.readout if ends else None
    if readout is not None and not begins:  # there is no embedding whose table it could share
        readout = replace(readout, tied=False)
    cut = replace(spec, stack=stack, readout=readout, sentence=spec.sentence if ends else None)
    return cut, None if weights is None else _weights(spec, weights, cut, first, last)


def _cut(stack: Stack, levels: tuple[Layer, ...], begins: bool, ends: bool) -> Stack:
    found = replace(stack, layers=levels, norm=stack.norm if ends else None)
    if begins:
        return found
    return replace(found, embedding=None, embedding_norm=None, embedding_dense=None)


def _weights(
    spec: ModelSpec, weights: ModelWeights, cut: ModelSpec, first: int, last: int
) -> dict[str, dict[str, np.ndarray]]:
    """The weights of the layers under their new numbers, and of what is left around them."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path, own in weights.items():
        level = _LAYER.fullmatch(path)
        if level is None:
            found[path] = dict(own)
        elif first <= int(level[1]) <= last:
            found[f"layer[{int(level[1]) - first}].{level[2]}"] = dict(own)
    if spec.readout and spec.readout.tied and cut.readout and not cut.readout.tied:
        found["readout"] = found.get("readout", {}) | {MATRIX: found["embedding"][TABLE]}
    return {path: found[path] for path in model_shapes(cut)}
