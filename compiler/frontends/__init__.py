"""Frontends: attention as a spec file, a checkpoint on disk, or a live torch module.

    spec = read_spec("attention.toml")
    spec, weights = read_checkpoint("all-MiniLM-L6-v2", layer=3)
    spec, weights = from_torch(torch.nn.MultiheadAttention(384, 12))

No code of a checkpoint runs: pickled files go through torch's restricted reader only. All errors are SpecError.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortico.frontends.checkpoint import layers, read_checkpoint
from cortico.frontends.families import FAMILIES
from cortico.frontends.family import Attention, Family
from cortico.frontends.spec_file import read_spec, spec_from_mapping, spec_to_json, spec_to_mapping
from cortico.frontends.tensors import Tensors, open_tensors
from cortico.ir.arguments import kind
from cortico.spec.weights import check_weights

__all__ = [
    "FAMILIES",
    "Attention",
    "Family",
    "Tensors",
    "from_torch",
    "layers",
    "open_tensors",
    "read_checkpoint",
    "read_spec",
    "spec_from_mapping",
    "spec_to_json",
    "spec_to_mapping",
]


@kind
def from_torch(module: Any, name: str = "attention", cross: bool | None = None) -> Attention:
    """Spec and weights of a live `torch.nn.MultiheadAttention`. SpecError for anything else.

    `cross`: keys and values come from a second input, as in the `multihead_attn` of a
    `TransformerDecoderLayer`. A module does not say it, but for one with `kdim` of its own.
    """
    from cortico.frontends.torch_mha import from_module

    spec, weights = from_module(module, cross)
    spec = replace(spec, name=name)
    check_weights(spec, weights)
    return spec, weights
