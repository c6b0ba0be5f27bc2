"""For each family, a plain model and one for every option that changes attention."""

from cortico.spec import Mask
from tests.compiler.frontends.families.models import Case

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 8,
    "vocab_size": 20,
}
GPT = {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 20}
LINEAR = {"rope_type": "linear", "rope_theta": 77.0, "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CAUSAL = {"mask": Mask.CAUSAL, "key_padding": False}
WHOLE = {"mask": Mask.NONE, "key_padding": True}
FULL, SLIDING = "full_attention", "sliding_attention"


def encoder(kind, expected=WHOLE, **options):
    place = "encoder.layer.{layer}.attention"
    end = f"{place}.output.dense"
    return Case(kind, SIZES | options, f"{place}.self", end, expected)


def gpt2(expected=CAUSAL, **options):
    return Case("GPT2", GPT | options, "h.{layer}.attn", expected=expected)


def decoder(kind, expected=CAUSAL, **options):
    return Case(kind, SIZES | options, "layers.{layer}.self_attn", expected=expected)


CASES = {
    "bert": encoder("Bert"),
    "bert decoder": encoder("Bert", CAUSAL, is_decoder=True),
    "bert decoder, all seen": encoder("Bert", is_decoder=True, is_causal=False),
    "roberta": encoder("Roberta", pad_token_id=1),
    "roberta decoder": encoder("Roberta", CAUSAL, is_decoder=True),
    "gpt2": gpt2(),
    "gpt2 unscaled": gpt2(scale_attn_weights=False),
    "gpt2 scaled by layer": gpt2(scale_attn_by_inverse_layer_idx=True),
    "gpt2 only by layer": gpt2(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False),
    "gpt2, all seen": gpt2(WHOLE, is_causal=False),
    "llama": decoder("Llama"),
    "llama grouped": decoder("Llama", {"groups": 2}, num_key_value_heads=2),
    "llama multiquery": decoder("Llama", {"groups": 1}, num_key_value_heads=1),
    "llama head_dim": decoder("Llama", {"d_key": 10}, head_dim=10),
    "llama bias": decoder("Llama", attention_bias=True),
    "llama base": decoder("Llama", rope_parameters={"rope_type": "default", "rope_theta": 77.0}),
    "llama linear": decoder("Llama", rope_parameters=LINEAR),
    "llama 3": decoder("Llama", head_dim=16, rope_parameters=LLAMA3),
    "llama, all seen": decoder("Llama", WHOLE, is_causal=False),
    "mistral": decoder("Mistral", sliding_window=None, num_key_value_heads=4),
    "mistral head_dim": decoder("Mistral", sliding_window=None, num_key_value_heads=2, head_dim=10),
    "mistral window": decoder("Mistral", {"window": 3}, sliding_window=3, num_key_value_heads=2),
    "mistral, all seen": decoder(
        "Mistral", WHOLE, sliding_window=None, num_key_value_heads=4, is_causal=False
    ),
    "ministral": decoder(
        "Ministral",
        {"kv_heads": 2},
        sliding_window=3,
        num_key_value_heads=2,
        head_dim=6,
        layer_types=[FULL, SLIDING],
    ),
    "ministral without a list": decoder(
        "Ministral", {"window": 3}, sliding_window=3, num_key_value_heads=2, head_dim=6
    ),
    "qwen2": decoder("Qwen2", num_key_value_heads=4),
    "qwen2 grouped": decoder("Qwen2", num_key_value_heads=2, sliding_window=3),
    "qwen2 head_dim": decoder("Qwen2", num_key_value_heads=2, head_dim=10),
    "qwen2 late window": decoder(
        "Qwen2",
        {},
        max_window_layers=1,
        use_sliding_window=True,
        sliding_window=3,
        num_key_value_heads=2,
    ),
    "qwen2 layer types": decoder(
        "Qwen2",
        {},
        layer_types=[SLIDING, FULL],
        max_window_layers=0,
        use_sliding_window=True,
        sliding_window=3,
        num_key_value_heads=2,
    ),
    "qwen2, all seen": decoder("Qwen2", WHOLE, num_key_value_heads=4, is_causal=False),
}

#: The first case of each model type: its plain model.
PLAIN = {case.model_type: case for case in reversed(CASES.values())}
