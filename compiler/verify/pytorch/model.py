"""A whole model in PyTorch: its blocks one after another, as its equations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cortico.spec import AttentionSpec, ModelSpec, Norm, Stack
from cortico.spec.model import Branch, Layer
from cortico.spec.wiring import Block
from cortico.verify.pytorch.blocks import Arrays, forward, leaves_of

if TYPE_CHECKING:
    import torch

#: Weights of each block, by its path.
Weights = Mapping[str, Arrays]


def torch_model(spec: ModelSpec, weights: Weights, inputs: Arrays) -> dict[str, np.ndarray]:
    """The outputs of a model for one sequence: states (n, m), and logits and sentence where it has such.

    Inputs are `tokens`, `types` and `keep` (n), or `x` (n, m), of a decoder beside an encoder `decoder_tokens`
    and so on, `context` (n', m') and `context_keep` where cross attention has no encoder. A tied readout has the
    matrix of the embedding of tokens, and need not be given one. ImportError when PyTorch is not installed.
    """
    import torch

    with torch.no_grad():
        found = _Model(spec, weights, inputs).outputs()
    return {name: tensor.numpy() for name, tensor in found.items()}


class _Model:
    def __init__(self, spec: ModelSpec, weights: Weights, inputs: Arrays) -> None:
        self.spec, self.weights = spec, weights
        self.rates, self.flags = leaves_of(inputs)

    def outputs(self) -> dict[str, torch.Tensor]:
        spec, within, own = self.spec, "", ""
        context, keep = self.rates.get("context"), self.flags.get("context_keep")
        if spec.encoder is not None:
            context, keep = (
                self.stack(spec.encoder, "encoder.", "", None, None),
                self.flags.get("keep"),
            )
            within, own = "decoder.", "decoder_"
        states = self.stack(spec.stack, within, own, context, keep)
        found = {"states": states}
        if spec.readout is not None:
            found["logits"] = self.logits(states, f"{within}embedding")
        if spec.sentence is not None:
            here = {"keep": self.flags[f"{own}keep"]} if f"{own}keep" in self.flags else {}
            y = self.at("pooling", spec.sentence.pooling, {"x": states}, here)
            dense = spec.sentence.dense
            found["sentence"] = y if dense is None else self.at("pooler", dense, {"x": y})
        return found

    def logits(self, y: torch.Tensor, embedding: str) -> torch.Tensor:
        readout = self.spec.readout
        assert readout is not None
        if readout.dense is not None:
            y = self.at("readout_dense", readout.dense, {"x": y})
        y = self.normed("readout_norm", readout.norm, y)
        given, _ = leaves_of(self.weights.get("readout", {}))
        if readout.tied:
            table, _ = leaves_of(self.weights[embedding])
            given["W"] = table["W_token"]
        return forward(readout.logits, {**given, "x": y}, {})

    def at(
        self,
        path: str,
        block: Block,
        heard: Mapping[str, torch.Tensor],
        flags: Arrays | None = None,
    ) -> torch.Tensor:
        """What the block at a path gives by its weights."""
        given, _ = leaves_of(self.weights.get(path, {}))
        return forward(block, {**given, **heard}, flags or {})

    def normed(self, path: str, norm: Norm | None, x: torch.Tensor) -> torch.Tensor:
        return x if norm is None else self.at(path, norm, {"x": x})

    def stack(
        self,
        stack: Stack,
        within: str,
        own: str,
        context: torch.Tensor | None,
        context_keep: np.ndarray | None,
    ) -> torch.Tensor:
        x = self.rates.get(f"{own}x")
        if stack.embedding is not None:
            known = {n: self.flags.get(f"{own}{n}") for n in ("tokens", "types")}
            ids = {name: array for name, array in known.items() if array is not None}
            x = self.at(f"{within}embedding", stack.embedding, {}, ids)
        assert x is not None
        x = self.normed(f"{within}embedding_norm", stack.embedding_norm, x)
        if stack.embedding_dense is not None:
            x = self.at(f"{within}embedding_dense", stack.embedding_dense, {"x": x})
        keeps = self.flags.get(f"{own}keep"), context_keep
        k = 0
        for layer in stack.layers:
            for _ in range(layer.times):
                x = self.layer(layer, f"{within}layer[{k}].", x, context, keeps)
                k += 1
        return self.normed(f"{within}norm", stack.norm, x)

    def layer(
        self,
        layer: Layer,
        level: str,
        x: torch.Tensor,
        context: torch.Tensor | None,
        keeps: tuple[np.ndarray | None, np.ndarray | None],
    ) -> torch.Tensor:
        met: Counter[str] = Counter()

        def called(name: str) -> str:
            met[name] += 1
            return name + (f"_{met[name]}" if met[name] > 1 else "")

        for step in layer.steps:
            names = [called(branch.name) for branch in step.branches]
            whole = names[0] if len(names) == 1 else called("parallel")
            heard = self.normed(f"{level}pre_{whole}_norm", step.before, x)
            for branch, name in zip(step.branches, names, strict=True):
                x = x + step.scale * self.branch(branch, level, name, heard, context, keeps)
            x = self.normed(f"{level}{whole}_norm", step.norm, x)
        return x

    def branch(
        self,
        branch: Branch,
        level: str,
        name: str,
        x: torch.Tensor,
        context: torch.Tensor | None,
        keeps: tuple[np.ndarray | None, np.ndarray | None],
    ) -> torch.Tensor:
        heard = {"x": self.normed(f"{level}pre_{name}_norm", branch.before, x)}
        flags = {}
        block = branch.block
        if isinstance(block, AttentionSpec):
            keep = keeps[1] if block.cross else keeps[0]
            if block.key_padding and keep is not None:
                flags["keep"] = keep
            if block.cross and context is not None:
                heard["context"] = context
        y = self.at(f"{level}{name}", block, heard, flags)
        return self.normed(f"{level}post_{name}_norm", branch.after, y)
