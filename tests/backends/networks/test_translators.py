"""Models of two stacks that write, against transformers: its greedy tokens, and the logits of each step."""

import functools
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from cortico.frontends.whole_models import read_model
from cortico.ir import Input
from cortico.ir.network import Node, Port
from cortico.ir.network import network as build
from cortico.ir.text import parse_circuit
from cortico.lowering import lower, lower_model
from cortico.model_pipeline import compile_model
from cortico.spec.model_weights import random_model
from cortico.spec.weights import random_weights
from tests.backends.networks.emitted import Numpy, Torch, parts
from tests.backends.networks.models import WIDTH, attention, case, case_of, network, translator
from tests.compiler.frontends.families.models import relative
from tests.compiler.frontends.whole.cases import CASES, CONTEXT, TOKENS, N

START, COUNT = 3, 9
KEEP = np.arange(N) < np.array([[N], [4], [6]])
IDS = np.where(KEEP, np.stack([TOKENS, TOKENS[::-1], TOKENS % 7 + 9]), 1)
ONCE = {"tokens": IDS, "keep": KEEP}


@functools.cache
def loaded(name):
    """The model of transformers in double precision, and the network that is read of its file.

    Nothing is the same for all tokens, else it would write one word again and again.
    """
    model = CASES[name].build()
    for place, array in (*model.named_parameters(), *model.named_buffers()):
        array.data *= (
            0 if place.endswith(("norm.bias", "logits_bias")) else 4 if "norm" in place else 1
        )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return model.double(), compile_model(*read_model(folder)).network


@functools.cache
def made(kind, name):
    return kind(loaded(name)[1])


@pytest.fixture(params=[Numpy, Torch])
def kind(request):
    return request.param


def greedy(name, **heard):
    """What transformers writes (text, token) with the start token in front, and its logits for all at once."""
    model = loaded(name)[0]
    tokens = model.generate(
        **heard,
        max_new_tokens=COUNT,
        min_new_tokens=COUNT,
        do_sample=False,
        num_beams=1,
        decoder_start_token_id=START,
        eos_token_id=None,
        forced_eos_token_id=None,
        forced_bos_token_id=None,
    )
    with torch.no_grad():
        logits = model(**heard, decoder_input_ids=tokens[:, :-1]).logits
    return tokens.numpy(), logits.numpy()


def of_texts():
    return {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(KEEP).long()}


@pytest.mark.parametrize(
    "name",
    ["bart", "marian", *(pytest.param(n, marks=pytest.mark.full) for n in ("mbart", "pegasus"))],
)
def test_padded_texts_are_written_as_by_transformers(name, kind):
    model, (tokens, expected) = made(kind, name), greedy(name, **of_texts())
    state, found, last = None, [], np.full((len(IDS), 1), START)
    for k in range(COUNT):
        once = {} if state else ONCE
        state, (*_, logits) = model.step(state, {"decoder_tokens": last, **once})
        found.append(logits[:, 0])
        last = logits.argmax(-1)
        np.testing.assert_array_equal(last[:, 0], tokens[:, k + 1])
    assert relative(np.stack(found, 1), expected) < 1e-10


@pytest.mark.parametrize("name", ["bart", "marian"])
def test_generate_is_that_of_transformers(name, kind):
    model, (tokens, _) = made(kind, name), greedy(name, **of_texts())
    for row, ids, keep in zip(tokens.tolist(), IDS, KEEP, strict=True):
        heard = {"tokens": model.array(ids), "keep": model.array(keep)}
        assert model.generate([START], COUNT, **heard) == row[1:]
        alone = {"tokens": model.array(ids[keep])}
        assert (
            model.generate([START], COUNT, stop=row[5:6], **alone) == row[1 : row.index(row[5], 1)]
        )
        assert model.generate(row[:4], COUNT - 3, **alone) == row[4:]
        logits = model({"tokens": ids[keep], "decoder_tokens": np.array([START])})[-1][0]
        assert model.generate([START], 1, never=row[1:2], **alone) == [np.argsort(logits)[-2]]


def test_whisper_writes_what_it_is_given_states_of(kind):
    model, reference = made(kind, "whisper"), loaded("whisper")[0]
    tokens = [START]
    for _ in range(5):
        given = {"encoder_outputs": (torch.tensor(CONTEXT)[None],)}
        with torch.no_grad():
            logits = reference(**given, decoder_input_ids=torch.tensor([tokens])).logits
        tokens.append(int(logits[0, -1].argmax()))
    assert model.generate([START], 5, context=model.array(CONTEXT)) == tokens[1:]


def test_a_state_keeps_what_was_heard(kind):
    """Later calls compute nothing of it again, and arrays that were given may be used for other things."""
    model = made(kind, "bart")
    heard = {name: model.array(array) for name, array in ONCE.items()}
    first, second = np.array([[START]] * 3), np.array([[5]] * 3)
    state, _ = model.step(None, {"decoder_tokens": first, **heard})
    kept = kept_once(state)
    assert [len(each) for each in kept] == [2, 2]  # states and padding; values and keys
    heard["keep"][:], heard["tokens"][:] = True, 0
    state, (*_, found) = model.step(state, {"decoder_tokens": second})
    assert all(a is b for a, b in zip(sum(kept, ()), sum(kept_once(state), ()), strict=True))
    *_, expected = model({"decoder_tokens": np.hstack([first, second]), **ONCE})
    np.testing.assert_allclose(found[:, 0], expected[:, 1], rtol=1e-10, atol=1e-10)


def kept_once(state):
    own = (each for each in state.values() if isinstance(each, dict))
    return [state["once"], *(each["once"] for each in own if "once" in each)]


def test_what_is_heard_once_comes_in_the_first_call(kind):
    model, last = made(kind, "bart"), {"decoder_tokens": np.array([START])}
    one = {"tokens": IDS[0]}
    with pytest.raises(ValueError, match="tokens: expected in the first call"):
        model.step(None, last)
    state, _ = model.step(None, last | one)
    with pytest.raises(ValueError, match="keep: expected in the first call alone, 1 tokens came"):
        model.step(state, last | {"keep": KEEP[0]})
    with pytest.raises(ValueError, match="past keeps less than 2 tokens"):
        model.step({"tokens": 2}, last)


CROSS = [
    {"kernel": "linear"},
    {"kernel": "linear", "qk_norm": True},
    {"sink": True, "bias": True},
    {"qk_norm": True, "kv_heads": 2},
    {"extra_source": True},
    {"soft_cap": 0.8, "kv_heads": 2},
    {"key_padding": False, "soft_cap": 0.8},
]


@pytest.mark.parametrize("options", CROSS, ids=str)
def test_all_kinds_of_cross_attention_go_on(options, kind):
    spec = translator(**options)
    each = case_of(lower_model(spec, random_model(spec, 1)))
    model, state, found = kind(each.network), None, []
    for part in parts(each.inputs):
        state, (*_, logits) = model.step(state, part)
        found.append(logits)
    expected = each.expected["logits"]
    np.testing.assert_allclose(np.concatenate(found, 1), expected, rtol=1e-10, atol=1e-10)


# ---- what is heard once is found along wires -------------------------------------------------------


def renamed(made, names):
    """A network whose inputs have other names."""

    def port(source):
        return source if source.path else Port(names[source.name])

    return replace(
        made,
        inputs=tuple(replace(tensor, name=names[tensor.name]) for tensor in made.inputs),
        wires=tuple(replace(wire, source=port(wire.source)) for wire in made.wires),
    )


def test_names_say_nothing(kind):
    names = {"tokens": "decoder_tokens", "keep": "tokens", "decoder_tokens": "keep"}
    inputs, expected = case("translator").inputs, case("translator").expected["logits"]
    model = kind(renamed(network("translator"), names))
    heard = {names[name]: inputs[name] for name in ("tokens", "keep")}
    state, _ = model.step(None, {"keep": inputs["decoder_tokens"][:, :4]} | heard)
    _, (*_, found) = model.step(state, {"keep": inputs["decoder_tokens"][:, 4:]})
    np.testing.assert_allclose(found, expected[:, 4:], rtol=1e-10, atol=1e-10)


def test_the_order_of_nodes_says_nothing(kind):
    """What is heard once runs first, wherever it is declared."""
    made, each = network("translator"), case("translator")
    first = sorted(made.nodes, key=lambda node: node.path != "decoder.embedding")
    assert first[0] is not made.nodes[0]
    model, state = kind(replace(made, nodes=tuple(first))), None
    for part in parts(each.inputs):
        state, (*_, logits) = model.step(state, part)
    expected = each.expected["logits"][:, -2:]
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-10)


def reader(both):
    """A decoder that hears what is made of other tokens, which hear it, too, or themselves."""
    spec = attention(mask="none", cross=True)
    nodes = [Node(path, lower(spec), random_weights(spec, 0)) for path in ("heard", "last")]
    wires = [("y", "heard.x"), ("x" if both else "y", "heard.context")]
    wires += [("x", "last.x"), ("heard.y", "last.context")]
    inputs = [Input("x", ("n", WIDTH)), Input("y", ("m", WIDTH))]
    return build("reader", inputs, nodes, wires, {"z": "last.y"})


def test_an_encoder_that_hears_the_decoder_is_not_heard_once(kind):
    assert kind(reader(False)).steps
    assert not kind(reader(True)).steps


BY_POSITION = """\
cortico circuit 1
name "by position"

axis i : column n
axis j : column k
axis m : model 16

input x (n, 16)
input context (k, 16)
parameter W_position (12, 16)
parameter position (n, 16) = rows(W_position)

population source [i, m] thalamus.core relay
  driver multiplies x[i, m]
population heard [j, m] thalamus.core relay
  driver multiplies context[j, m]
population sum [i, m] cortex.L5 pyramidal_pt
  basal multiplies position[i, m]

projection own source -> sum.basal weight 1.0
projection other heard -> sum.basal weight 1.0

output y = sum[i, m]
"""


@pytest.mark.parametrize("placed", [False, True])
def test_a_block_that_hears_once_and_reads_positions_has_no_step(kind, placed):
    text, values = BY_POSITION, {"W_position": np.ones((12, WIDTH))}
    if not placed:
        lines = (line for line in text.splitlines() if "parameter" not in line)
        text, values = "\n".join(lines).replace("multiplies position[i, m]", "multiplies"), {}
    node = Node("sum", parse_circuit(text), values)
    inputs = [Input("x", ("n", WIDTH)), Input("y", ("m", WIDTH))]
    wires = [("x", "sum.x"), ("y", "sum.context")]
    made = kind(build("sums", inputs, [node], wires, {"z": "sum.y"}))
    assert made.steps is not placed


def test_a_table_for_one_number_of_tokens_has_no_step(kind, tmp_path):
    CASES["t5"].build().save_pretrained(tmp_path)
    assert not kind(compile_model(*read_model(tmp_path, **CASES["t5"].read)).network).steps
