"""Models with an encoder on the command line: the text goes to the encoder, and what is written is transformers'."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from tests.cli.test_commands import ok

WORDS = ["<s>", "<pad>", "</s>", "the", "cortex", "hears", "cells", "fire", "sing", "[UNK]"]
SIZES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 12,
    "init_std": 0.6,
    "decoder_start_token_id": 2,
    "eos_token_id": 2,
}


@pytest.fixture
def tiny(home):
    """A checkpoint folder of BART, which begins with its end token, with a tokenizer of words."""
    torch.manual_seed(44)
    model = transformers.BartForConditionalGeneration(transformers.BartConfig(**SIZES)).eval()
    for name, p in model.named_parameters():
        if name.endswith("norm.weight"):  # else it writes one word again and again
            p.data = torch.randn_like(p)
    model.generation_config.forced_bos_token_id = 0
    model.generation_config.bad_words_ids = [[9]]
    model.save_pretrained("tiny")
    words = models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in WORDS[:3]])
    tokenizer.save("tiny/tokenizer.json")
    return model


def refused(answer, message):
    code, printed, errors = answer
    assert (code, printed) == (2, "") and message in " ".join(errors.split()), errors


def test_what_it_writes_is_what_transformers_writes(cortico, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    written = set()
    sources = {"the cortex hears": "made", "cells fire": "tiny", "fire the cells sing": "made"}
    for text, source in sources.items():  # compiled before, and in memory
        ids = torch.tensor([[WORDS.index(word) for word in text.split()]])
        found = tiny.generate(
            input_ids=ids, max_new_tokens=9, do_sample=False, num_beams=1
        )  # begins and ends with others
        expected = [WORDS[token] for token in found[0].tolist() if token > 2]
        printed = ok(cortico("generate", source, "--text", text, "--count", 7))
        assert printed.split() == expected
        written.add(tuple(expected))
    assert len(written) > 1


def edit(**keys):
    for file in map(Path, ("tiny/config.json", "tiny/generation_config.json")):
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def test_it_ends_where_the_checkpoint_says(cortico, tiny):
    command = ("generate", "tiny", "--text", "fire the cells sing", "--count", 7)
    words = ok(cortico(*command)).split()
    other = next(word for word in words if word != words[0])
    edit(eos_token_id=[2, WORDS.index(other)])
    assert ok(cortico(*command)).split() == words[: words.index(other)]


def test_too_many_tokens_are_refused(cortico, tiny):
    answer = cortico("generate", "tiny", "--text", "the " * 13, "--count", 2)
    refused(answer, "has positions for 12 tokens, found 13 of the text and 2 to write")
    answer = cortico("generate", "tiny", "--text", "the", "--count", 12)
    refused(answer, "has positions for 12 tokens, found 1 of the text and 12 to write")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("decoder_start_token_id", None, "expected decoder_start_token_id"),
        ("decoder_start_token_id", "x", "decoder_start_token_id must be a token id, found 'x'"),
        ("eos_token_id", [2, 99], "writes 10 tokens, found the token 99"),
        ("bad_words_ids", [[1, 2]], "bad_words_ids must list words of one token each"),
    ],
)
def test_ends_that_are_not_understood(cortico, tiny, key, value, message):
    edit(**{key: value})
    refused(cortico("generate", "tiny", "--text", "the"), message)
