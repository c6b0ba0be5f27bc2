"""Tiny live models that write, and what they write: as they are, and with their attention replaced."""

import torch
import transformers

from tests.compiler.frontends.families.cases import CASES

#: Two of three texts have padding in front.
MASK = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [1] * 9, [0] + [1] * 8])
IDS = MASK * torch.tensor(
    [[1, 1, 1, 1, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 8, 9, 10, 11], [1, 3, 5, 6, 4, 3, 7, 2, 11]]
)


def writer(name, way="sdpa", dtype=torch.float32, **changes):
    """A model of the table of cases, with a head that chooses words and weights that all matter."""
    case = CASES[name]
    kind = transformers.AutoModelForSeq2SeqLM if case.part else transformers.AutoModelForCausalLM
    model = kind.from_config(case.config(**changes), attn_implementation=way, dtype=dtype)
    for place, p in model.named_parameters():
        generator = torch.Generator().manual_seed(sum(map(ord, place)))
        p.data = torch.empty(p.shape).normal_(std=0.4, generator=generator).to(dtype)
    return model.eval()


def written(model, count=8, **options):
    """The words that a model writes after three texts, most likely first, with logits and cache."""
    start = {"decoder_start_token_id": 3} if model.config.is_encoder_decoder else {}
    return model.generate(
        input_ids=IDS,
        attention_mask=MASK,
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
        **start,
        **options,
    )


def cached(cache):
    """Keys and values of each layer of a cache, over (texts, heads, tokens, features)."""
    parts = (
        [cache.self_attention_cache, cache.cross_attention_cache]
        if isinstance(cache, transformers.EncoderDecoderCache)
        else [cache]
    )
    return [(layer.keys, layer.values) for part in parts for layer in part.layers]


def largest(found, expected):
    """Largest difference over largest number."""
    return float((found - expected).abs().max() / expected.abs().max())
