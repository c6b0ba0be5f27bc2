"""Softmax by feedback in MiniLM's six layers, on a real sentence: PyTorch's attention at rest, and no rate above 1."""

from dataclasses import replace

import numpy as np
import pytest

from cortico import lower
from cortico.backends.reference import interpret
from cortico.demo.weights import model_folder
from cortico.frontends import read_checkpoint
from tests.needs import needs_weights

pytestmark = [needs_weights, pytest.mark.full]

SENTENCE = "The thalamus relays sensory signals to the cortex."


@pytest.fixture(scope="module")
def bert():
    """What BERT has on the sentence: the input of each layer (1, n, 384), and its attention (1, 12, n, n)."""
    torch = pytest.importorskip("torch")
    from transformers import AutoTokenizer, BertModel

    ids = AutoTokenizer.from_pretrained(model_folder())(SENTENCE, return_tensors="pt")["input_ids"]
    model = BertModel.from_pretrained(model_folder(), attn_implementation="eager").double().eval()
    with torch.no_grad():
        found = model(ids, output_hidden_states=True, output_attentions=True)
    return [each.numpy() for each in found.hidden_states], [a.numpy() for a in found.attentions]


@pytest.mark.parametrize("layer", range(6))
def test_masks_at_rest_are_attention(bert, layer):
    spec, weights = read_checkpoint(model_folder(), layer)
    double = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
    circuit = lower(replace(spec, normalisation="feedback"), double)
    (hidden,), (attention,) = bert[0][layer], bert[1][layer]
    rates = interpret(circuit, {"x": hidden})
    mask = rates["gated_mask" if spec.key_padding else "mask"]
    np.testing.assert_allclose(mask, attention, rtol=1e-9, atol=1e-12)
    assert mask.min() >= 0 and mask.max() <= 1
    divided = interpret(lower(spec, double), {"x": hidden})
    assert divided["mask"].max() > 1  # what feedback bounds
