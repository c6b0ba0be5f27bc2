"""A live model with its attention replaced by emitted code writes what it wrote, by the same cache."""

import pytest
import torch
import transformers

from cortico import replace_attention
from cortico.ir.errors import UnsupportedError
from tests.compiler.frontends.families.cases import CASES
from tests.compiler.frontends.families.models import KEEP, build, inputs_of
from tests.live.models import cached, largest, writer, written

EAGER = {"gptj", "gpt-oss", "gemma2 without a cap"}  #: has no other way, or none that is like it
WRITERS = (
    *("bert decoder", "gpt2 scaled by layer", "llama grouped", "llama yarn", "mistral window"),
    *(
        "qwen3",
        "gemma3",
        "gpt-neox",
        "gptj",
        "opt",
        "falcon grouped",
        "cohere grouped",
        "phi3 half turned",
    ),
    *("gpt-oss", "gemma2 without a cap", "bart cross"),
)
#: Those that do not write, or write otherwise without a cache as each word sees all.
READERS = (
    "albert",
    "distilbert",
    "vit",
    "deit",
    "dinov2",
    "clip",
    "mpnet",
    "whisper",
    "t5",
    "mt5",
    "modernbert",
)
REST = [
    name
    for name, case in CASES.items()
    if not name.startswith((*READERS, "bloom", "gpt-neo local", "mpt"))
    and case.part != "encoder"
    and "tokens" not in case.asked  # what turns by the length is refused
    and name != "gpt-neo"
    and (not name.startswith(("bert", "roberta", "electra", "xlm", "camem")) or "decoder" in name)
]


def same_words(model, cache=None, **options):
    """The same words and logits; returns what was written, and what was expected. `cache` makes one."""
    expected = written(model, **options, **{"past_key_values": cache()} if cache else {})
    with replace_attention(model):
        found = written(model, **options, **{"past_key_values": cache()} if cache else {})
    assert (found.sequences == expected.sequences).all()
    pairs = zip(found.logits, expected.logits, strict=True)
    assert max(largest(ours, theirs) for ours, theirs in pairs) < 5e-5  # rounding adds up
    return found, expected


def same_cache(found, expected):
    """What is cached, of the text without padding, is what the library would have there."""
    ours, theirs = (cached(each.past_key_values) for each in (found, expected))
    for (key, value), (usual_key, usual_value) in zip(ours, theirs, strict=True):
        assert key.shape == usual_key.shape and value.shape == usual_value.shape
        assert largest(key[1], usual_key[1]) < 1e-5 and largest(value[1], usual_value[1]) < 1e-5


@pytest.mark.parametrize("name", WRITERS)
def test_words_logits_and_cache(name):
    same_cache(*same_words(writer(name, "eager" if name in EAGER else "sdpa")))


@pytest.mark.full
@pytest.mark.parametrize("way", ["sdpa", pytest.param("eager", marks=pytest.mark.cross)])
@pytest.mark.parametrize("name", REST)
def test_every_model(name, way):
    try:
        model = writer(name, way)
    except ValueError as error:
        assert "does not support an attention implementation" in str(error)
        return
    capped = "gemma2" in name and "without a cap" not in name
    if capped or name == "gpt-oss, to both sides":
        with pytest.raises(UnsupportedError, match="0 softmax attentions that a kernel computes"):
            replace_attention(model)
        return
    same_cache(*same_words(model, count=12))
    same_words(model, use_cache=False)
    same_words(model, num_beams=3, count=12)


@pytest.mark.parametrize("name", ["llama grouped", "bart cross"])
def test_beams(name):
    """The cache follows its beam: keys and values are reordered by the library."""
    model = writer(name)
    found, expected = same_words(model, num_beams=3, count=10)
    assert (expected.beam_indices == found.beam_indices).all()
    assert name == "bart cross" or (found.beam_indices.diff() != 0).any()  # beams change places


def test_without_a_cache():
    model = writer("llama grouped")
    _, without = same_words(model, use_cache=False)
    assert (without.sequences == written(model).sequences).all() and not without.past_key_values


@pytest.mark.parametrize("way", ["sdpa", "eager"])
def test_a_text_longer_than_the_window(way):
    """Nine tokens, of which each sees three; caches that forget, and one that keeps all."""
    model = writer("mistral window", way)
    found, _ = same_words(model)
    assert found.past_key_values.layers[0].keys.shape[-2] == 2
    found, _ = same_words(model, transformers.DynamicCache)
    assert found.past_key_values.layers[0].keys.shape[-2] > 9


def test_the_window_counts():
    """A wider window would write other words, so that the test above can fail."""
    narrow = written(writer("mistral window"))
    wide = written(writer("mistral window", sliding_window=4))
    assert largest(narrow.logits[0], wide.logits[0]) > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model = writer("llama grouped", dtype=dtype)
    expected = written(model, count=2)
    with replace_attention(model) as replaced:
        found = written(model, count=2)
        assert {p.dtype for s in replaced.swaps for p in s.after.circuit.parameters()} == {dtype}
    # positions are turned in float64 here, and in float32 in the library
    tolerance = 0.1 if dtype is torch.bfloat16 else 1e-5
    assert largest(found.logits[0].double(), expected.logits[0].double()) < tolerance


# ---- models that read ------------------------------------------------------------------------------


def hidden(model, keep=None):
    with torch.no_grad():
        found = model(**inputs_of(model, keep)).last_hidden_state
    return found[:, torch.tensor(keep)] if keep is not None else found


@pytest.mark.parametrize("way", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "name",
    ["bert", "electra", "distilbert", "vit", "dinov2", "clip_text", "clip_vision", "whisper"],
)
def test_hidden_states(name, way):
    name = {"clip_text": "clip text", "clip_vision": "clip vision", "whisper": "whisper cross"}.get(
        name, name
    )
    model = build(CASES[name])
    model.set_attn_implementation(way)
    padded = CASES[name].expected.get("key_padding", False)
    for keep in (None, KEEP) if padded else (None,):
        expected = hidden(model, keep)
        with replace_attention(model):
            assert largest(hidden(model, keep), expected) < 1e-5


def test_both_towers():
    """Of CLIP: one handle for all of them."""
    config = transformers.CLIPConfig(
        text_config=CASES["clip text"].options, vision_config=CASES["clip vision"].options
    )
    model = transformers.CLIPModel(config).eval()
    with replace_attention(model) as replaced:
        assert len(replaced.swaps) == 4 and len(replaced.sources) == 2


def test_word_by_word():
    """Whisper: a cache of its own making is handed from call to call."""
    model = build(CASES["whisper cross"])
    given = inputs_of(model)
    words = given.pop("decoder_input_ids")

    def steps():
        cache, states = None, []
        with torch.no_grad():
            for part in words.split(3, dim=1):
                out = model(**given, decoder_input_ids=part, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                states.append(out.last_hidden_state)
        return torch.cat(states, 1), cache

    expected, _ = steps()
    with replace_attention(model):
        found, cache = steps()
    assert largest(found, expected) < 1e-5 and cache.get_seq_length() == words.shape[1]


# ---- what is handed over ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sdpa", "eager"])
def test_texts_in_one_row(way):
    """Positions that begin anew are texts side by side: transformers masks them pair by pair."""
    model = writer("llama grouped", way)
    given = {"input_ids": torch.arange(3, 12)[None], "use_cache": False}
    given["position_ids"] = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    with torch.no_grad():
        expected, whole = model(**given).logits, model(given["input_ids"]).logits
        with replace_attention(model):
            assert largest(model(**given).logits, expected) < 1e-5
    assert largest(whole, expected) > 1e-2


@pytest.mark.parametrize("additive", [False, True])
def test_a_mask_of_pairs(additive):
    model = writer("llama grouped", "eager" if additive else "sdpa")
    live = torch.ones(1, 1, 9, 9).tril().bool()
    live[..., 5:, 1:3] = False
    lowest = torch.finfo(torch.float32).min
    mask = torch.where(live, 0.0, lowest) if additive else live
    with torch.no_grad():
        expected = model(torch.arange(3, 12)[None], attention_mask=mask).logits
        with replace_attention(model):
            found = model(torch.arange(3, 12)[None], attention_mask=mask).logits
    assert largest(found, expected) < 1e-5


@pytest.mark.parametrize("additive", [False, True])
def test_a_mask_that_changes_in_place(additive):
    """What was understood of a mask is kept for the next layer, not for other numbers in it."""
    model = writer("llama grouped", "eager" if additive else "sdpa")
    hidden = torch.finfo(torch.float32).min if additive else False
    mask = torch.zeros(1, 1, 9, 9) if additive else torch.ones(1, 1, 9, 9).bool()
    mask[..., ~torch.ones(9, 9).tril().bool()] = hidden
    with torch.no_grad(), replace_attention(model):
        before = model(torch.arange(3, 12)[None], attention_mask=mask).logits
        mask[..., 4:, 1] = hidden
        after = model(torch.arange(3, 12)[None], attention_mask=mask).logits
    assert largest(after, before) > 1e-2


def test_a_cache_goes_from_the_library_to_emitted_code_and_back():
    model, words = writer("llama yarn"), torch.arange(3, 12)[None]
    with torch.no_grad():
        expected = model(words).logits[:, -1]
        cache = model(words[:, :3], use_cache=True).past_key_values
        with replace_attention(model):
            model(words[:, 3:6], past_key_values=cache)
        found = model(words[:, 6:], past_key_values=cache).logits[:, -1]
    assert largest(found, expected) < 1e-5
