"""SmolLM2 and MiniLM, which people have: the same words and sentences by emitted code."""

import importlib.util
from pathlib import Path

import pytest
import torch
import transformers

from cortico import replace_attention
from cortico.demo.weights import PACKAGE
from tests.live.models import largest
from tests.needs import needs_smollm2, needs_weights

pytestmark = [pytest.mark.full, pytest.mark.slow]

#: A text by itself, and with others of other lengths, which are padded in front.
BATCHES = (slice(0, 1), slice(None))


@pytest.fixture(scope="module")
def smollm2():
    from tests.live.smollm2 import smollm2

    return smollm2()


def written(model, given, **options):
    return model.generate(
        **given,
        max_new_tokens=40,
        min_new_tokens=40,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        **options,
    )


@needs_smollm2
@pytest.mark.parametrize("texts", BATCHES)
def test_smollm2_writes_the_same_forty_words(smollm2, texts):
    from tests.live.smollm2 import PROMPTS

    model, tokenizer = smollm2
    given = tokenizer(list(PROMPTS[texts]), return_tensors="pt", padding=True)
    expected = written(model, given)
    with replace_attention(model) as replaced:
        assert len(replaced.swaps) == 30 and len(replaced.sources) == 1
        found = written(model, given)
    assert (found.sequences == expected.sequences).all()
    pairs = zip(found.logits, expected.logits, strict=True)
    assert max(largest(ours, theirs) for ours, theirs in pairs) < 1e-5
    if texts == slice(None):
        (text,) = tokenizer.batch_decode(found.sequences[2:], skip_special_tokens=True)
        assert "Paris" in text


@needs_smollm2
def test_smollm2_without_a_cache(smollm2):
    from tests.live.smollm2 import PROMPTS

    model, tokenizer = smollm2
    given = tokenizer(PROMPTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = model(**given, use_cache=False).logits
        with replace_attention(model):
            assert largest(model(**given, use_cache=False).logits, expected) < 1e-5


@needs_weights
@pytest.mark.parametrize("way", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_minilm_has_the_same_states(way, side):
    folder = Path(importlib.util.find_spec(PACKAGE).origin).parent / "model"
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation=way).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side=side)
    texts = ["The thalamus relays sensory signals to the cortex.", "Bread."]
    given = tokenizer(texts, return_tensors="pt", padding=True)
    keep = given["attention_mask"].bool()
    assert not keep.all()
    with torch.no_grad():
        expected = model(**given).last_hidden_state
        with replace_attention(model) as replaced:
            assert len(replaced.swaps) == 12  # attention of six layers, and its maps out
            found = model(**given).last_hidden_state
    assert largest(found[keep], expected[keep]) < 1e-5
