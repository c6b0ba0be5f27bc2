"""The pages of a real language model: the attention in them is the model's own."""

import numpy as np
import pytest

from cortico import compile_attention, read_checkpoint
from cortico.anatomy import audit
from cortico.demo.minilm import MiniLM
from cortico.experiment.activity import observe
from cortico.page import Page, page_html
from tests.covering import first
from tests.needs import needs_weights
from tests.page.pages import data_of

SENTENCE = "The thalamus relays sensory signals to the cortex."


@pytest.fixture(scope="module")
def model():
    return MiniLM.load()


@pytest.fixture(scope="module")
def theirs(model):
    """Attention probabilities of transformers' BERT by layer, (head, query, source)."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    bert = transformers.BertModel.from_pretrained(model.folder, attn_implementation="eager")
    ids, keep = model.tokenize([SENTENCE])
    with torch.no_grad():
        found = bert.eval()(
            torch.from_numpy(ids), attention_mask=torch.from_numpy(keep), output_attentions=True
        )
    return [layer[0].numpy() for layer in found.attentions]


@needs_weights
@pytest.mark.parametrize("layer", first(2, range(6)))
def test_attention_is_the_models_own(model, theirs, layer):
    spec, weights = read_checkpoint(model.folder, layer=layer)
    ids, keep = model.tokenize([SENTENCE])
    x = model.forward(ids, keep).hidden[layer][0]
    passes = "none" if layer == 0 else "default"  # quicker to run, and the same
    circuit = compile_attention(spec, weights, passes=passes).circuit
    activity = observe(circuit, {"x": x, "keep": keep[0]})
    plain = compile_attention(spec, passes=passes).circuit  # quicker to audit without weights
    page = Page(activity.circuit, audit(plain), activity=activity, tokens=model.tokens(SENTENCE))
    found = data_of(page_html(page))["activity"]
    values = np.array(found["attention"]["values"])
    assert found["attention"]["isShare"] and values.shape == (12, 14, 14)
    np.testing.assert_allclose(values, theirs[layer], atol=1e-5)
    for head in range(12):  # the words that are masked in
        for query in range(14):
            ours, own = values[head, query], theirs[layer][head, query]
            assert own[ours.argmax()] >= own.max() - 1e-5
    assert found["queries"][8:10] == ["signals", "to"]
