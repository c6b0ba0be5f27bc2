"""How small models of each family are made, and the options that several of them have."""

from dataclasses import replace

from cortico.spec import Mask, NormKind, NormOver, PositionBias, QueryKeyNorm
from tests.compiler.frontends.families.models import Case, N

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
SIDES = {"mask": Mask.BIDIRECTIONAL_WINDOW, "key_padding": True}
WHOLE = {"mask": Mask.NONE, "key_padding": True}
FULL, SLIDING = "full_attention", "sliding_attention"


def encoder(kind, expected=WHOLE, **options):
    place = "encoder.layer.{layer}.attention"
    end = f"{place}.output.dense"
    return Case(kind, SIZES | options, f"{place}.self", end, expected)


def mpnet(**options):
    expected = WHOLE | {"position_bias": PositionBias.TABLE}
    return Case("MPNet", SIZES | options, "encoder.layer.{layer}.attention.attn", expected=expected)


def gpt2(expected=CAUSAL, **options):
    return Case("GPT2", GPT | options, "h.{layer}.attn", expected=expected)


def decoder(kind, expected=CAUSAL, turning="halves", **options):
    block = "layers.{layer}.self_attn"
    return Case(kind, SIZES | options, block, expected=expected, turning=turning)


def by_length(kind, table, expected=CAUSAL, **options):
    """A decoder whose rope depends on the number of tokens."""
    case = decoder(kind, expected | {"tokens": N}, rope_parameters=table, **options)
    return replace(case, by_length=True)


def albert(**options):
    place = "encoder.albert_layer_groups.{group}.albert_layers.0.attention"
    options = SIZES | {"embedding_size": 10} | options
    return Case("Albert", options, place, f"{place}.dense", WHOLE)


def neox(expected=CAUSAL, **options):
    options = SIZES | {"num_attention_heads": 3} | options
    return Case("GPTNeoX", options, "layers.{layer}.attention", expected=expected)


def gptj(expected=CAUSAL, **options):
    return Case("GPTJ", GPT | {"rotary_dim": 4} | options, "h.{layer}.attn", expected=expected)


def distilbert(**options):
    sizes = {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 8, "vocab_size": 20}
    block = "transformer.layer.{layer}.attention"
    return Case("DistilBert", sizes | options, block, expected=WHOLE)


def opt(expected=CAUSAL, **options):
    sizes = {k: v for k, v in SIZES.items() if k != "intermediate_size"} | {"ffn_dim": 8}
    return Case("OPT", sizes | options, "decoder.layers.{layer}.self_attn", expected=expected)


def bloom(**options):
    sizes = {"hidden_size": 24, "n_layer": 2, "n_head": 4, "vocab_size": 20}
    place = "h.{layer}.self_attention"
    return Case("Bloom", sizes | options, place, f"{place}.dense", CAUSAL)


def mpt(expected=CAUSAL, **attention):
    sizes = {"d_model": 24, "n_layers": 2, "n_heads": 4, "vocab_size": 20, "max_seq_len": 16}
    expected = expected | {"position_bias": PositionBias.ALIBI}
    heads = attention.pop("n_heads", 4)
    options = sizes | {"n_heads": heads, "attn_config": attention}
    return Case("Mpt", options, "blocks.{layer}.attn", expected=expected)


def gpt_neo(expected, kinds, **options):
    """`kinds` of layers, and how often they come."""
    sizes = {"hidden_size": 24, "num_heads": 4, "vocab_size": 20, "intermediate_size": 8}
    layers = sum(len(names) * times for names, times in kinds)
    options = sizes | {"num_layers": layers, "attention_types": kinds, "window_size": 3} | options
    expected = expected | {"scale": 1.0, "key_padding": False}
    return Case("GPTNeo", options, "h.{layer}.attn.attention", expected=expected)


def bigcode(expected=CAUSAL, **options):
    return Case("GPTBigCode", GPT | options, "h.{layer}.attn", expected=expected)


def modernbert(expected=WHOLE, **options):
    """The first of three layers sees all, the others in a window."""
    options = SIZES | {"num_hidden_layers": 4, "local_attention": 6, "pad_token_id": 0} | options
    return Case("ModernBert", options, "layers.{layer}.attn", expected=expected)


def falcon(expected=CAUSAL, **options):
    sizes = {k: v for k, v in SIZES.items() if k != "intermediate_size"}
    return Case("Falcon", sizes | options, "h.{layer}.self_attention", expected=expected)


def gpt_oss(expected, **options):
    options = MIXED | GROUPED | {"head_dim": 6} | options
    return decoder("GptOss", expected | {"sink": True}, turning="once", **options)


def vision(kind, block, **options):
    sizes = {k: v for k, v in SIZES.items() if k != "vocab_size"} | {
        "image_size": 8,
        "patch_size": 4,
    }
    if kind == "Dinov2":
        sizes.pop("intermediate_size")
    return Case(kind, sizes | options, block, expected={"mask": Mask.NONE, "key_padding": False})


BLOCKS = {
    "encoder": ("encoder.layers.{layer}.self_attn", "encoder_layers"),
    "decoder": ("decoder.layers.{layer}.self_attn", "decoder_layers"),
    "cross": ("decoder.layers.{layer}.encoder_attn", "decoder_layers"),
}
SEEN = {"encoder": WHOLE, "decoder": CAUSAL, "cross": WHOLE | {"cross": True, "mask": Mask.NONE}}


def two_stacks(name, kind, **options):
    """A model of BART's kind, each part of it a case: heads and layers of encoder and decoder differ."""
    sizes = {
        "d_model": 24,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 8,
        "decoder_ffn_dim": 8,
        "vocab_size": 20,
        "pad_token_id": 1,
    }
    return {
        f"{name} {part}": Case(
            kind,
            sizes | options,
            block,
            expected=SEEN[part] | ({"key_padding": False} if kind == "Whisper" else {}),
            part=part,
            layers=layers,
        )
        for part, (block, layers) in BLOCKS.items()
    }


ODD = {"relative_attention_num_buckets": 7, "relative_attention_max_distance": 5}
T5_BLOCKS = {
    "encoder": ("encoder.block.{layer}.layer.0.SelfAttention", "num_layers"),
    "decoder": ("decoder.block.{layer}.layer.0.SelfAttention", "num_decoder_layers"),
    "cross": ("decoder.block.{layer}.layer.1.EncDecAttention", "num_decoder_layers"),
}


def t5(name, kind="T5", parts=BLOCKS, **options):
    """A T5, each part of it a case, with few buckets: there are few tokens."""
    sizes = {
        "d_model": 24,
        "d_kv": 5,
        "d_ff": 8,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 3,
        "vocab_size": 20,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 6,
        "decoder_start_token_id": 0,
    }
    expected = {"d_key": 5, "scale": 1.0}
    biased = expected | {"position_bias": PositionBias.TABLE}
    return {
        f"{name} {part}": Case(
            kind,
            sizes | options,
            T5_BLOCKS[part][0],
            expected=SEEN[part] | (expected if part == "cross" else biased),
            part=part,
            layers=T5_BLOCKS[part][1],
        )
        for part in parts
    }


YARN = {
    "rope_type": "yarn",
    "rope_theta": 50.0,
    "factor": 8.0,
    "original_max_position_embeddings": 32,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 50.0, "factor": 4.0}
#: For heads of 6 features.
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 50.0,
    "short_factor": [1.0, 1.5, 2.0],
    "long_factor": [1.25, 4.0, 16.0],
    "original_max_position_embeddings": 6,
}
HALF = {"rope_type": "default", "rope_theta": 77.0, "partial_rotary_factor": 0.5}
PARTIAL_LINEAR = LINEAR | {"partial_rotary_factor": 0.5}
MIXED = {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager"}
GROUPED = {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager"}
HEADS = CAUSAL | {"qk_norm": QueryKeyNorm(eps=1e-6)}
LAYER = QueryKeyNorm(eps=0.5, kind=NormKind.LAYER)
LAYER_OF_HEADS = replace(LAYER, own_gains=True)
WIDTH = CAUSAL | {"qk_norm": QueryKeyNorm(NormOver.WIDTH, 1e-5)}
#: What a model needs to have a window, with 2 key/value heads.
WINDOWED = {
    "mistral": ("Mistral", GROUPED),
    "mixtral": ("Mixtral", GROUPED | MIXED),
    "phi3": ("Phi3", GROUPED | {"pad_token_id": 0}),
    "starcoder2": ("Starcoder2", GROUPED),
    "qwen2": ("Qwen2", GROUPED | {"use_sliding_window": True, "max_window_layers": 0}),
    "qwen3": (
        "Qwen3",
        GROUPED | {"head_dim": 6, "use_sliding_window": True, "max_window_layers": 0},
    ),
    "gemma2": ("Gemma2", GROUPED | {"head_dim": 6, "query_pre_attn_scalar": 4}),
}
GEMMA3 = GROUPED | {
    "head_dim": 10,
    "query_pre_attn_scalar": 4,
    "sliding_window": 3,
    "layer_types": [SLIDING, FULL],
}
