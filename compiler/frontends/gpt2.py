"""GPT-2: one fused map, stored (in, out) as `Conv1D` does, its columns [Q | K | V]."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.family import Attention, Family
from cortico.frontends.layout import heads_of_columns, heads_of_rows, heads_of_vector
from cortico.frontends.tensors import Tensors
from cortico.spec import AttentionSpec, Bias, Mask


def read(config: Config, tensors: Tensors, layer: int) -> Attention:
    """Causal self-attention with `c_proj`. `attn.bias` in old files is the causal mask: ignored."""
    width, heads = config.size("n_embd"), config.size("n_head")
    spec = AttentionSpec(
        model=width,
        heads=heads,
        mask=Mask.CAUSAL,
        scale=_scale(config, config.divided("n_embd", by="n_head"), layer),
        bias=Bias(query=True, key=True, value=True, output=True),
    )
    found = tensors.take(
        {
            "c_attn.weight": (width, 3 * width),
            "c_attn.bias": (3 * width,),
            "c_proj.weight": (width, width),
            "c_proj.bias": (width,),
        },
        ignored=("bias", "masked_bias"),
    )
    weights = {
        "W_O": heads_of_columns(found["c_proj.weight"].T, heads),
        "b_O": found["c_proj.bias"],
    }
    for index, name in enumerate("QKV"):
        part = slice(index * width, (index + 1) * width)
        weights[f"W_{name}"] = heads_of_rows(found["c_attn.weight"][:, part].T, heads)
        weights[f"b_{name}"] = heads_of_vector(found["c_attn.bias"][part], heads)
    return spec, weights


def _scale(config: Config, head_features: int, layer: int) -> float | None:
    """The factor of the scores; None for the usual 1/√head_features."""
    usual = config.flag("scale_attn_weights", True)
    by_layer = config.flag("scale_attn_by_inverse_layer_idx", False)
    if usual and not by_layer:
        return None
    return (head_features**-0.5 if usual else 1.0) / (layer + 1 if by_layer else 1)


FAMILY = Family(
    name="GPT-2",
    model_types=("gpt2",),
    layers="n_layer",
    attention="h.{layer}.attn.",
    prefixes=("", "transformer."),
    read=read,
)
