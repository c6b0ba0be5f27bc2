"""For each family, a plain model and one for every option that changes attention."""

from dataclasses import replace

from cortico.spec import Mask, NormOver, QueryKeyNorm
from tests.compiler.frontends.families.models import Case, N
from tests.compiler.frontends.families.recipes import (
    CAUSAL,
    DYNAMIC,
    EXPERTS,
    FULL,
    GEMMA3,
    GROUPED,
    HALF,
    HEADS,
    LAYER,
    LAYER_OF_HEADS,
    LINEAR,
    LLAMA3,
    LONGROPE,
    MIXED,
    ODD,
    PARTIAL_LINEAR,
    SIDES,
    SIZES,
    SLIDING,
    WHOLE,
    WIDTH,
    WINDOWED,
    YARN,
    albert,
    bigcode,
    bloom,
    by_length,
    decoder,
    distilbert,
    encoder,
    falcon,
    gpt2,
    gpt_neo,
    gpt_oss,
    gptj,
    modernbert,
    mpnet,
    mpt,
    neox,
    opt,
    t5,
    two_stacks,
    vision,
)

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
    "llama yarn": decoder("Llama", head_dim=16, rope_parameters=YARN),
    "llama yarn, all options": decoder(
        "Llama",
        {},
        head_dim=16,
        rope_parameters=YARN
        | {
            "beta_fast": 4.0,
            "beta_slow": 0.5,
            "mscale": 0.7,
            "mscale_all_dim": 0.4,
            "truncate": False,
        },
    ),
    "llama yarn, factor": decoder("Llama", rope_parameters=YARN | {"attention_factor": 1.3}),
    "llama yarn, shorter": decoder("Llama", rope_parameters=YARN | {"factor": 0.5}),
    "llama dynamic": by_length("Llama", DYNAMIC, max_position_embeddings=4),
    "llama dynamic, few tokens": by_length("Llama", DYNAMIC, max_position_embeddings=N),
    "llama longrope": by_length("Llama", LONGROPE, max_position_embeddings=24),
    "llama longrope, few tokens": by_length(
        "Llama", LONGROPE | {"original_max_position_embeddings": N, "factor": 3.0}
    ),
    "llama longrope, shorter": by_length("Llama", LONGROPE | {"factor": 0.5}),
    "llama longrope, factor": by_length("Llama", LONGROPE | {"attention_factor": 1.3}),
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
    "xlm-roberta": encoder("XLMRoberta"),
    "camembert": encoder("Camembert"),
    "electra": encoder("Electra", embedding_size=10),
    "electra decoder": encoder("Electra", CAUSAL, is_decoder=True),
    "distilbert": distilbert(),
    "albert": albert(num_hidden_groups=1),
    "albert groups": albert(num_hidden_groups=2, num_hidden_layers=5),
    "gptj": gptj(),
    "gptj all turned": gptj(rotary_dim=6),
    "gptj, all seen": gptj(WHOLE, is_causal=False),
    "gpt-neox": neox(),
    "gpt-neox half turned": neox(rope_parameters=HALF),
    "gpt-neox linear": neox(rope_parameters=PARTIAL_LINEAR),
    "gpt-neox without bias": neox(attention_bias=False),
    "gpt-neox, all seen": neox(WHOLE, is_causal=False),
    "opt": opt(),
    "opt without bias": opt(enable_bias=False),
    "opt, all seen": opt(WHOLE, is_causal=False),
    "bloom": bloom(),
    "bloom six heads": bloom(n_head=6),
    "falcon": falcon({"groups": 1}),
    "falcon many keys": falcon({"groups": 4}, multi_query=False),
    "falcon grouped": falcon({"groups": 2}, new_decoder_architecture=True, num_kv_heads=2),
    "falcon as many": falcon({"groups": 4}, new_decoder_architecture=True),
    "falcon bias": falcon(bias=True, rope_parameters=LINEAR),
    "falcon, all seen": falcon(WHOLE, is_causal=False),
    "mixtral": decoder("Mixtral", {"groups": 2}, **MIXED, **GROUPED),
    "mixtral window": decoder(
        "Mixtral", {"window": 3}, sliding_window=3, head_dim=10, **MIXED, **GROUPED
    ),
    "phi3": decoder("Phi3", pad_token_id=0),
    "phi3 grouped": decoder("Phi3", {"groups": 2}, pad_token_id=0, **GROUPED),
    "phi3 window": decoder("Phi3", {"window": 3}, pad_token_id=0, sliding_window=3, **GROUPED),
    "phi3 half turned": decoder("Phi3", pad_token_id=0, head_dim=8, rope_parameters=HALF),
    "phi3 long": by_length(
        "Phi3",
        LONGROPE,
        pad_token_id=0,
        max_position_embeddings=24,
        original_max_position_embeddings=6,
    ),
    "phi3 long, few tokens": by_length(
        "Phi3",
        LONGROPE,
        pad_token_id=0,
        max_position_embeddings=24,
        original_max_position_embeddings=N,
    ),
    "phi3 long, half turned": by_length(
        "Phi3",
        LONGROPE | {"partial_rotary_factor": 0.75},
        {"rotated_features": 6},
        pad_token_id=0,
        head_dim=8,
        hidden_size=32,
        max_position_embeddings=24,
        original_max_position_embeddings=6,
    ),
    "gpt-neox yarn": neox(rope_parameters=YARN | {"partial_rotary_factor": 0.5}),
    "phi normed yarn": decoder(
        "Phi",
        head_dim=6,
        qk_layernorm=True,
        layer_norm_eps=0.5,
        rope_parameters=YARN | {"partial_rotary_factor": 0.7, "attention_factor": 1.5},
    ),
    "stablelm yarn": decoder(
        "StableLm",
        use_qkv_bias=True,
        rope_parameters=YARN | {"partial_rotary_factor": 0.7},
        num_key_value_heads=4,
    ),
    "phi dynamic": by_length(
        "Phi", DYNAMIC | {"partial_rotary_factor": 0.5}, head_dim=8, max_position_embeddings=4
    ),
    "phi": decoder("Phi", {"rotated_features": 4}, head_dim=8),
    "phi grouped": decoder("Phi", {"groups": 2}, head_dim=8, **GROUPED),
    "phi linear": decoder("Phi", rope_parameters=PARTIAL_LINEAR, head_dim=8),
    "stablelm": decoder(
        "StableLm", {"rotated_features": 2}, num_attention_heads=3, num_key_value_heads=3
    ),
    "stablelm bias": decoder(
        "StableLm", {"groups": 1}, num_attention_heads=3, num_key_value_heads=1, use_qkv_bias=True
    ),
    "stablelm half turned": decoder(
        "StableLm", num_attention_heads=3, num_key_value_heads=3, rope_parameters=HALF
    ),
    "phi normed": decoder(
        "Phi",
        {"qk_norm": replace(LAYER, bias=True)},
        head_dim=6,
        qk_layernorm=True,
        layer_norm_eps=0.5,
        rope_parameters=HALF | {"partial_rotary_factor": 0.4},
    ),
    "stablelm normed": decoder(
        "StableLm",
        {"qk_norm": LAYER_OF_HEADS, "groups": 2},
        qk_layernorm=True,
        layer_norm_eps=0.5,
        rope_parameters=HALF | {"partial_rotary_factor": 0.4},
        **GROUPED,
    ),
    "starcoder2": decoder("Starcoder2", {"groups": 2}, **GROUPED),
    "starcoder2 window": decoder("Starcoder2", {"window": 3}, sliding_window=3, **GROUPED),
    "starcoder2 without bias": decoder("Starcoder2", use_bias=False, **GROUPED),
    "gpt-oss": gpt_oss({"window": 3}, sliding_window=3),
    "gpt-oss without bias": gpt_oss(
        {"mask": Mask.CAUSAL}, layer_types=[FULL, SLIDING], sliding_window=3, attention_bias=False
    ),
    "gpt-oss plain rope": gpt_oss(
        {"window": 3}, sliding_window=3, rope_parameters={"rope_type": "default", "rope_theta": 9.0}
    ),
    "qwen3": decoder("Qwen3", HEADS, head_dim=6, num_key_value_heads=4),
    "qwen3 grouped": decoder(
        "Qwen3",
        CAUSAL | {"groups": 2, "qk_norm": QueryKeyNorm(eps=0.5)},
        head_dim=10,
        rms_norm_eps=0.5,
        **GROUPED,
    ),
    "qwen3 bias": decoder("Qwen3", head_dim=6, attention_bias=True, **GROUPED),
    "qwen3 late window": decoder(
        "Qwen3",
        {},
        head_dim=6,
        max_window_layers=1,
        use_sliding_window=True,
        sliding_window=3,
        rope_parameters=LINEAR,
        **GROUPED,
    ),
    "qwen3, all seen": decoder("Qwen3", WHOLE, head_dim=6, is_causal=False, **GROUPED),
    "olmo2": decoder("Olmo2", WIDTH),
    "olmo2 grouped": decoder(
        "Olmo2",
        CAUSAL | {"groups": 2, "qk_norm": QueryKeyNorm(NormOver.WIDTH, 0.5)},
        rms_norm_eps=0.5,
        **GROUPED,
    ),
    "olmo2 bias": decoder("Olmo2", attention_bias=True, rope_parameters=LINEAR, **GROUPED),
    "olmoe": decoder("Olmoe", WIDTH, **EXPERTS),
    "olmoe grouped": decoder("Olmoe", WIDTH, attention_bias=True, **GROUPED, **EXPERTS),
    "gemma2": decoder("Gemma2", {"window": 3, "scale": 0.5, "soft_cap": 50.0}, **GEMMA3),
    "gemma2 capped": decoder(
        "Gemma2",
        {"soft_cap": 0.9, "window": None},
        attn_logit_softcapping=0.9,
        attention_bias=True,
        **GEMMA3 | {"layer_types": [FULL, SLIDING]},
    ),
    "gemma2 without a cap": decoder(
        "Gemma2", {"soft_cap": None}, attn_logit_softcapping=None, **GEMMA3
    ),
    "gemma2 rope": decoder("Gemma2", {}, rope_parameters=LINEAR, **GEMMA3),
    "gemma2, all seen": decoder(
        "Gemma2", WHOLE, **GEMMA3 | {"is_causal": False, "layer_types": [FULL, FULL]}
    ),
    "gemma3": decoder("Gemma3Text", {"window": 3, "scale": 0.5}, **GEMMA3),
    "gemma3 layer types": decoder(
        "Gemma3Text", {"window": None}, **GEMMA3 | {"layer_types": [FULL, SLIDING]}
    ),
    "gemma3 pattern": decoder(
        "Gemma3Text",
        {"window": None},
        **GEMMA3 | {"layer_types": None, "sliding_window_pattern": 1},
    ),
    "gemma3 eps and bias": decoder(
        "Gemma3Text", {}, attention_bias=True, **GEMMA3 | {"rms_norm_eps": 0.5}
    ),
    "gemma3 ropes": decoder(
        "Gemma3Text",
        {},
        **GEMMA3
        | {"rope_parameters": {FULL: LINEAR, SLIDING: {"rope_type": "default", "rope_theta": 9.0}}},
    ),
    "gemma3 dynamic": by_length(
        "Gemma3Text",
        {FULL: DYNAMIC, SLIDING: {"rope_type": "default", "rope_theta": 9.0}},
        {},
        max_position_embeddings=4,
        **GEMMA3 | {"layer_types": [FULL, FULL]},
    ),
    "gemma3, all seen": decoder(
        "Gemma3Text", WHOLE, **GEMMA3 | {"is_causal": False, "layer_types": [FULL, FULL]}
    ),
    "gemma": decoder("Gemma", {"d_key": 10}, head_dim=10, num_key_value_heads=4),
    "gemma bias": decoder("Gemma", head_dim=6, attention_bias=True, **GROUPED),
    "granite": decoder("Granite", {"scale": 1.0}),
    "granite scaled": decoder("Granite", {"scale": 0.3}, attention_multiplier=0.3, **GROUPED),
    "granite bias": decoder("Granite", attention_bias=True),
    "cohere": decoder("Cohere", pad_token_id=0, turning="pairs"),
    "cohere grouped": decoder(
        "Cohere", {"groups": 2}, pad_token_id=0, turning="pairs", attention_bias=True, **GROUPED
    ),
    "cohere normed": decoder(
        "Cohere",
        {"qk_norm": LAYER_OF_HEADS, "groups": 2},
        pad_token_id=0,
        turning="pairs",
        use_qk_norm=True,
        layer_norm_eps=0.5,
        **GROUPED,
    ),
    "olmo": decoder("Olmo"),
    "olmo bias": decoder("Olmo", attention_bias=True, **GROUPED),
    "vit": vision("ViT", "layers.{layer}.attention"),
    "vit without bias": vision("ViT", "layers.{layer}.attention", qkv_bias=False),
    "deit": vision("DeiT", "layers.{layer}.attention"),
    "dinov2": vision("Dinov2", "encoder.layer.{layer}.attention"),
    "dinov2 without bias": vision("Dinov2", "encoder.layer.{layer}.attention", qkv_bias=False),
    "clip text": Case("CLIPText", SIZES, "encoder.layers.{layer}.self_attn", expected=CAUSAL),
    "gpt-bigcode": bigcode({"groups": 1}),
    "gpt-bigcode many keys": bigcode({"groups": 4}, multi_query=False),
    "gpt-bigcode unscaled": bigcode({"scale": 1.0}, scale_attn_weights=False, multi_query=False),
    "gpt-bigcode, all seen": bigcode(WHOLE, is_causal=False),
    "gpt-neo": gpt_neo({"mask": Mask.CAUSAL}, [[["global", "local"], 1]]),
    "gpt-neo local first": gpt_neo(
        {"window": 5}, [[["local"], 2], [["global", "local"], 1]], window_size=5
    ),
    "mpt": mpt(),
    "mpt six heads": mpt(n_heads=6),
    "mpt scale": mpt({"scale": 0.3}, softmax_scale=0.3),
    "modernbert": modernbert(),
    "modernbert windows": modernbert(
        SIDES | {"window": 3}, layer_types=[SLIDING, FULL, SLIDING, SLIDING], local_attention=5
    ),
    "modernbert ropes": modernbert(
        attention_bias=True,
        rope_parameters={FULL: LINEAR, SLIDING: {"rope_type": "default", "rope_theta": 9.0}},
    ),
    **{
        f"{name}, to both sides": decoder(
            kind, SIDES | {"window": 4}, is_causal=False, sliding_window=3, **options
        )
        for name, (kind, options) in WINDOWED.items()
    },
    "gemma3, to both sides": decoder(
        "Gemma3Text", SIDES | {"window": 4}, **GEMMA3 | {"is_causal": False}
    ),
    "gemma3 bidirectional": decoder(
        "Gemma3Text",
        SIDES | {"window": 3},
        **GEMMA3 | {"use_bidirectional_attention": True, "sliding_window": 4},
    ),
    "gemma3 bidirectional twice": decoder(
        "Gemma3Text",
        SIDES | {"window": 4},
        **GEMMA3 | {"use_bidirectional_attention": True, "sliding_window": 5, "is_causal": False},
    ),
    "gpt-oss, to both sides": gpt_oss(SIDES | {"window": 4}, sliding_window=3, is_causal=False),
    "clip vision": vision("CLIPVision", "encoder.layers.{layer}.self_attn"),
    **two_stacks("bart", "Bart"),
    **two_stacks("mbart", "MBart"),
    **two_stacks("marian", "Marian", decoder_start_token_id=3),
    **two_stacks("pegasus", "Pegasus"),
    **t5("t5"),
    **t5("t5 odd", parts=["encoder", "decoder"], **ODD),
    **t5("t5 far", parts=["encoder", "decoder"], relative_attention_max_distance=1000),
    **t5("t5 as deep", num_decoder_layers=None, parts=["decoder"]),
    **t5("mt5", "MT5"),
    "mpnet": mpnet(),
    **two_stacks("whisper", "Whisper", num_mel_bins=5, max_source_positions=N),
}

#: The first case of each model type, or of its parts: its plain model.
PLAIN = {case.title: case for case in reversed(CASES.values())}
