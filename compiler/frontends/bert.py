"""BERT and RoBERTa: four linear maps with biases, (out, in)."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.family import Attention, Family
from cortico.frontends.layout import heads_of_columns, heads_of_rows, heads_of_vector
from cortico.frontends.tensors import Tensors
from cortico.spec import AttentionSpec, Bias, Mask

_MAPS = {"Q": "self.query", "K": "self.key", "V": "self.value", "O": "output.dense"}


def read(config: Config, tensors: Tensors, layer: int) -> Attention:
    """Self-attention up to and with `output.dense`: no residual, no normalisation.

    Encoders run on padded batches: they get the run-time input `keep`. Decoders are causal.
    """
    width, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divided("hidden_size", by="num_attention_heads")
    if config.text("position_embedding_type", "absolute") != "absolute":
        raise config.wrong("position_embedding_type", "'absolute'")
    decoder = config.flag("is_decoder", False)
    spec = AttentionSpec(
        model=width,
        heads=heads,
        mask=Mask.CAUSAL if decoder else Mask.NONE,
        key_padding=not decoder,
        bias=Bias(query=True, key=True, value=True, output=True),
    )
    wanted: dict[str, tuple[int, ...]] = {
        f"{name}.weight": (width, width) for name in _MAPS.values()
    }
    wanted |= {f"{name}.bias": (width,) for name in _MAPS.values()}
    found = tensors.take(wanted, ignored=("output.LayerNorm.",))
    weights = {f"W_{m}": heads_of_rows(found[f"{_MAPS[m]}.weight"], heads) for m in ("Q", "K", "V")}
    weights["W_O"] = heads_of_columns(found["output.dense.weight"], heads)
    weights |= {
        f"b_{m}": heads_of_vector(found[f"{_MAPS[m]}.bias"], heads) for m in ("Q", "K", "V")
    }
    weights["b_O"] = found["output.dense.bias"]
    return spec, weights


FAMILY = Family(
    name="BERT",
    model_types=("bert", "roberta"),
    layers="num_hidden_layers",
    attention="encoder.layer.{layer}.attention.",
    prefixes=("", "bert.", "roberta."),
    read=read,
)
