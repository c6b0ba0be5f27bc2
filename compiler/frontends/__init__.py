"""Frontends: attention, or a whole model, as a spec file, a checkpoint on disk, or a live module or model.

    spec = read_spec("attention.toml")
    spec, weights = read_checkpoint("all-MiniLM-L6-v2", layer=3)
    model, weights = read_model("all-MiniLM-L6-v2")
    spec, weights = from_torch(torch.nn.MultiheadAttention(384, 12))
    spec, weights = from_transformers(AutoModel.from_pretrained("all-MiniLM-L6-v2"), layer=3)

No code of a checkpoint runs: pickled files go through torch's restricted reader only. All errors are SpecError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cortico.frontends.checkpoint import layers, read_checkpoint
from cortico.frontends.families import FAMILIES
from cortico.frontends.family import Attention, Family
from cortico.frontends.spec_file import read_spec, spec_from_mapping, spec_to_json, spec_to_mapping
from cortico.frontends.tensors import Tensors, open_tensors
from cortico.frontends.whole_models import read_model
from cortico.ir.arguments import kind
from cortico.spec.weights import check_weights

__all__ = [
    "FAMILIES",
    "Attention",
    "Family",
    "Tensors",
    "from_torch",
    "from_transformers",
    "layers",
    "open_tensors",
    "read_checkpoint",
    "read_model",
    "read_spec",
    "spec_from_mapping",
    "spec_to_json",
    "spec_to_mapping",
]


@kind
def from_torch(
    module: Any,
    name: str = "attention",
    cross: bool | None = None,
    values: bool = False,
    mask: Any = "none",
    key_padding: bool = False,
) -> Attention:
    """Spec and weights of a live `torch.nn.MultiheadAttention`. SpecError for anything else.

    What the module is called with, it does not say itself:

    cross: keys and values come from a second input, as in the `multihead_attn` of a
        `TransformerDecoderLayer`. A module with `kdim` of its own says it.
    values: they come from a third input, as many tokens as keys. A module with kdim ≠ vdim says it.
    mask: its `attn_mask`: "none", "causal", or the tensor as it is given there (True, or -inf, hides a token),
        (L, S) or (heads, L, S). A tensor fixes the numbers of tokens. It is read as no mask, as causal or as a
        window; finite numbers other than 0 become a table of position biases; the rest is refused. "input": it
        comes at every run, as the circuit's input `score_bias` (L, S), what is added to scores.
    key_padding: it gets a `key_padding_mask`. The circuit's input `keep` is its opposite: 1 is a token.
    """
    from cortico.frontends.torch_mha import from_module

    spec, weights = from_module(module, cross, values, mask, key_padding)
    spec = replace(spec, name=name)
    check_weights(spec, weights)
    return spec, weights


@kind
def from_transformers(
    model: Any,
    layer: int = 0,
    part: str | None = None,
    tokens: int | None = None,
    cross: bool | None = None,
    ignore: str | Iterable[str] = (),
) -> Attention:
    """Spec and weights of the attention of one layer of a live model of transformers.

    The same as `read_checkpoint` gives for the folder that `model.save_pretrained` writes, with the same
    options and refusals; float32 and float64 weights are shared with the model. SpecError, too, for a model
    that may compute something else than the library does: a class with a `forward` of its own, hooks,
    adapters, parts that were put in place of the library's, weights that are quantised or not there.
    """
    from cortico.frontends.live_models import open_model, read_live

    return read_live(model, open_model(model, ignore, part), layer, cross, part, tokens)
