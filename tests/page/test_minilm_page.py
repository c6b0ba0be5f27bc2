"""The pages of a real language model: the attention in them is the model's own."""

import numpy as np
import pytest

from cortico import compile_attention, read_checkpoint
from cortico.anatomy import audit
from cortico.demo.weights import model_folder
from cortico.experiment.activity import observe
from cortico.page import Page, page_html
from cortico.texts import read_at
from tests.covering import first
from tests.needs import needs_weights
from tests.page.pages import data_of

SENTENCE = "The thalamus relays sensory signals to the cortex."


@pytest.fixture(scope="module")
def theirs():
    """Attention probabilities of transformers' BERT by layer, (head, query, source)."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = model_folder()
    bert = transformers.BertModel.from_pretrained(folder, attn_implementation="eager")
    given = transformers.AutoTokenizer.from_pretrained(folder)(SENTENCE, return_tensors="pt")
    with torch.no_grad():
        found = bert.eval()(**given, output_attentions=True)
    return [layer[0].numpy() for layer in found.attentions]


@needs_weights
@pytest.mark.parametrize("layer", first(2, range(6)))
def test_attention_is_the_models_own(theirs, layer):
    spec, weights = read_checkpoint(model_folder(), layer=layer)
    reading = read_at(model_folder(), [SENTENCE], layer)
    passes = "none" if layer == 0 else "default"  # quicker to run, and the same
    circuit = compile_attention(spec, weights, passes=passes).circuit
    activity = observe(circuit, {n: a[0] for n, a in reading.inputs.items()})
    plain = compile_attention(spec, passes=passes).circuit  # quicker to audit without weights
    page = Page(activity.circuit, audit(plain), activity=activity, tokens=reading.pieces[0])
    found = data_of(page_html(page))["activity"]
    values = np.array(found["attention"]["values"])
    assert found["attention"]["isShare"] and values.shape == (12, 14, 14)
    np.testing.assert_allclose(values, theirs[layer], atol=1e-5)
    for head in range(12):  # the words that are masked in
        for query in range(14):
            ours, own = values[head, query], theirs[layer][head, query]
            assert own[ours.argmax()] >= own.max() - 1e-5
    assert found["queries"][8:10] == ["signals", "to"]
