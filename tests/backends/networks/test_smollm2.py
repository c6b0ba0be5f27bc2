"""SmolLM2-135M whole, 30 levels of emitted code: logits, words and perplexity of transformers' model."""

import copy
import itertools

import numpy as np
import pytest
import torch

from cortico.backends import get_backend
from cortico.frontends.whole_models import read_model
from cortico.ir.text.networks import stored_arrays
from cortico.model_pipeline import compile_model
from tests.compiler.frontends.families.models import exact_positions, no_rounding, relative
from tests.compiler.frontends.whole.cases import with_frequencies
from tests.needs import needs_smollm2

pytestmark = [pytest.mark.full, pytest.mark.slow, needs_smollm2]

TEXT = """\
The thalamus is a small structure deep inside the brain. Almost every signal from the eyes, the ears and the \
skin passes through it on the way to the cortex, and almost every region of the cortex sends fibres back to it. \
For a long time it was thought to be no more than a relay, handing on what it hears. Today it seems that it also \
decides what is worth hearing: it opens and closes the gates through which one part of the cortex may speak to \
another."""
PERPLEXITY = 22.50  #: of TEXT, as transformers says


@pytest.fixture(scope="module")
def theirs():
    from tests.live.smollm2 import smollm2

    return smollm2()


@pytest.fixture(scope="module")
def model():
    from tests.live.smollm2 import model_file

    return read_model(model_file())


@pytest.fixture(scope="module")
def code(model):
    """What the emitted NumPy file defines, and the weights in float32."""
    compilation = compile_model(*model)
    (source,) = get_backend("numpy").emit_network(compilation.network).values()
    defined = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), defined)
    return defined, defined["pack"](stored_arrays(compilation.network), np.float32)


def ids_of(tokenizer, text=TEXT):
    return tokenizer(text, return_tensors="pt")["input_ids"]


def perplexity(logits, ids):
    """The exponential of the mean surprise at each next token."""
    logits = torch.as_tensor(logits).double()
    return float(torch.exp(torch.nn.functional.cross_entropy(logits[:-1], ids[1:])))


def test_logits_and_perplexity(theirs, code):
    (theirs, tokenizer), (defined, weights) = theirs, code
    ids = ids_of(tokenizer)
    with torch.no_grad():
        expected = theirs(ids).logits[0]
    found = defined["model"](ids.numpy(), weights=weights)[-1][0]
    assert np.abs(found - expected.numpy()).max() < 1e-4
    ours, hers = perplexity(found, ids[0]), perplexity(expected, ids[0])
    assert f"{ours:.4g}" == f"{hers:.4g}" == f"{PERPLEXITY:.4g}"


def test_sixty_four_words(theirs, code):
    from tests.live.smollm2 import PROMPTS

    (theirs, tokenizer), (defined, weights) = theirs, code
    ids = ids_of(tokenizer, PROMPTS[0])
    options = {"max_new_tokens": 64, "min_new_tokens": 64, "do_sample": False}
    with torch.no_grad():
        expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), **options)[0]
    found = itertools.islice(defined["generate"](ids[0].numpy(), 64, weights=weights), 64)
    assert [*found] == expected[ids.shape[1] :].tolist()


def test_logits_in_float64(theirs, model):
    """With the frequencies of positions as transformers rounds them, and its norms not in float32."""
    exact, (spec, weights) = copy.deepcopy(theirs[0]).double(), model
    exact_positions(exact)
    network = compile_model(spec, with_frequencies(exact, weights)).network
    (source,) = get_backend("numpy").emit_network(network).values()
    defined = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), defined)
    ids = ids_of(theirs[1])[:, :12]
    with torch.no_grad(), no_rounding():
        expected = exact(ids).logits[0].numpy()
    found = defined["model"](ids.numpy(), weights=stored_arrays(network), dtype=np.float64)[-1][0]
    assert found.dtype == np.float64
    assert relative(found, expected) < 1e-10  # 4e-10 of logits up to 25
