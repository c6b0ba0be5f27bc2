"""Tokens in, attention after them: the first block of a language model as one circuit, whole and part by part."""

import re

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import Input, InputKind
from cortico.ir.network import Node, network
from cortico.ir.text import parse_circuit, print_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Mask, Rotary
from cortico.spec.weights import random_weights
from tests.oracle import textbook_attention

VOCABULARY, ROWS, MODEL = 13, 9, 8

EMBEDDING = """\
cortico circuit 1
name "embedding"
axis i : column n
axis v : feature 13
axis m : model 8
input tokens (n, 13) token
parameter W_E (13, 8)
parameter position_table (9, 8)
parameter positions (n, 8) = rows(position_table)
population identity [i, v] thalamus.core relay
  driver multiplies tokens[i, v]
population embedding [i, m] thalamus.core relay
  driver multiplies positions[i, m]
projection embed identity -> embedding.driver weight W_E[v, m]
output y = embedding[i, m]
"""

SPEC = AttentionSpec(model=MODEL, heads=2, mask=Mask.CAUSAL, rotary=Rotary(base=9.0))
RNG = np.random.default_rng(0)
TABLES = {
    "W_E": RNG.standard_normal((VOCABULARY, MODEL)),
    "position_table": RNG.standard_normal((ROWS, MODEL)),
}


def model():
    """Embedding and one level of attention, with numbers."""
    made = network(
        "a model",
        [Input("tokens", ("n", VOCABULARY), InputKind.TOKEN)],
        [
            Node("embedding", parse_circuit(EMBEDDING), TABLES),
            Node("layer[0].attention", lower(SPEC, random_weights(SPEC, 1))),
        ],
        [("tokens", "embedding.tokens"), ("embedding.y", "layer[0].attention.x")],
        {"y": "layer[0].attention.y"},
    )
    return made.flatten()


def reading_tokens():
    """The same where attention itself reads tokens, as queries and as keys and values."""
    before = lower(SPEC, random_weights(SPEC, 1))
    text = re.sub(
        r"(driver multiplies) x\[(\w), m\]", r"\1 positions[\2, m]", print_circuit(before)
    )
    tensors, cells = (
        EMBEDDING.split("population embedding")[0].split("\n", 5)[5].split("population")
    )
    text = text.replace("\ninput x (n, 8)\n", "\naxis v : feature 13\n\n" + tensors, 1)
    for place, relay in (("i", "matrix_query"), ("j", "core_source")):
        text += (
            f"projection embed_{place} identity[{place}, v] -> {relay}.driver weight W_E[v, m]\n"
        )
    text = text.replace("\npopulation", f"\npopulation{cells}population", 1)
    kept = {p.name: p.values for p in before.parameters if p.values is not None}
    return parse_circuit(text, kept), {**kept, **TABLES}


FLAT = model()
IDS = RNG.integers(0, VOCABULARY, (2, ROWS))


def by_the_textbook(ids):
    x = TABLES["W_E"][ids] + TABLES["position_table"][: len(ids)]
    return textbook_attention(SPEC, random_weights(SPEC, 1), x)


WANTED = np.stack([by_the_textbook(ids) for ids in IDS])


@pytest.mark.parametrize("backend", ["reference", "numpy", "torch", "jax", "onnx"])
def test_a_first_block(backend):
    found = get_backend(backend).run(FLAT, {"tokens": IDS})["y"]
    np.testing.assert_allclose(found, WANTED, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("parts", [[ROWS], [4, 5], [1] * ROWS])
def test_a_module_goes_on_at_positions(parts):
    torch = pytest.importorskip("torch")
    from cortico.backends.torch import compile_module
    from cortico.backends.torch.recalling import emit_recalling_module
    from tests.backends.test_torch_recalling import Memory

    circuit, values = reading_tokens()
    module = compile_module(emit_recalling_module(circuit))(values)
    memory, found, start = Memory(), [], 0
    for count in parts:
        places = torch.arange(start, start + count)
        ids = torch.tensor(IDS[:, start : start + count])
        live = torch.arange(start + count) <= places[:, None]
        found.append(module(ids, positions=places, live=live, recall=memory))
        start += count
    np.testing.assert_allclose(torch.cat(found, -2).detach(), WANTED, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="10 tokens, the table position_table has 9 rows"):
        module(torch.tensor([[0]]), positions=torch.tensor([ROWS]), recall=memory)
