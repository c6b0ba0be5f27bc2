"""Models that go on: tokens part by part are as all at once, and what is written is as by hand."""

import functools

import numpy as np
import pytest

from cortico.backends.numpy.past import can_go_on
from cortico.backends.numpy.plan import Entry, plan
from cortico.backends.torch.network.block import BlockFile
from cortico.ir.rewrite import symbolic
from cortico.lowering import lower
from tests.backends.networks.emitted import PARTS, Numpy, Torch, parts
from tests.backends.networks.models import (
    CAUSAL,
    TOKENS,
    VOCABULARY,
    WRITERS,
    attention,
    case,
    network,
)


@functools.cache
def made(kind, name):
    return kind(network(name))


@pytest.fixture(params=[Numpy, Torch])
def kind(request):
    return request.param


@pytest.mark.parametrize("name", CAUSAL)
def test_steps_equal_the_whole(name, kind):
    each, model, state, found = case(name), made(kind, name), None, []
    for part in parts(each.inputs):
        state, given = model.step(state, part)
        found.append(given)
    assert state["tokens"] == sum(PARTS)
    for k, expected in enumerate(each.expected.values()):
        np.testing.assert_allclose(
            np.concatenate([given[k] for given in found], -2), expected, rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("name", CAUSAL)
def test_only_the_last_token_is_read_out(name, kind):
    each, model = case(name), made(kind, name)
    (whole,) = parts(each.inputs, [TOKENS])
    state, (*_, last) = model.step(None, whole, only_last=True)
    *_, expected = each.expected.values()
    np.testing.assert_allclose(last, expected[..., -1:, :], rtol=1e-10, atol=1e-10)
    assert state["tokens"] == sum(PARTS)


def test_what_cannot_go_on_has_no_step(kind):
    assert not made(kind, "encoder").steps


@pytest.mark.parametrize(
    "options",
    [
        {"mask": "none", "soft_cap": 0.8},
        {"mask": "bidirectional_window", "window": 2, "soft_cap": 0.8},
        {"mask": "none", "position_bias": "alibi"},
        {"mask": "none", "kernel": "linear"},
        {"mask": "none", "kernel": "linear", "soft_cap": 0.8},
    ],
    ids=str,
)
def test_what_hears_later_tokens_cannot_go_on(options):
    """Whatever the operations in which its tokens meet."""
    circuit = symbolic(lower(attention(**options)))
    assert not can_go_on(plan(circuit, on_ranks=False, entry=Entry(goes_on=True)))
    assert not BlockFile(circuit, "Attention", "attention").can_go_on


def test_a_memory_is_of_one_size(kind):
    """What linear attention keeps does not grow with the tokens, and lies in the state alone."""
    each, model, state, sizes = case("linear"), made(kind, "linear"), None, []
    for part in parts(each.inputs):
        state, _ = model.step(state, part)
        kept = [own for own in state.values() if not isinstance(own, int)]
        sizes.append([array.shape for own in kept for array in own.values()])
    assert sizes == [[(2, 4, 4, 4)] * 2] * len(PARTS)
    with pytest.raises(ValueError, match="past keeps less than 2 tokens"):
        model.step({"tokens": 2}, part)


def test_padding_may_come_and_go(kind):
    """Ones where no mask is given: before one is, and after."""
    each, model = case("padded"), made(kind, "padded")
    first, second, third, fourth = parts(each.inputs)
    state = None
    for part in (
        {"tokens": first["tokens"]},
        second,
        third | {"keep": np.zeros_like(third["keep"])},
        {"tokens": fourth["tokens"]},
    ):
        state, (_, logits) = model.step(state, part)
    keep = np.ones_like(each.inputs["keep"])
    keep[:, 3], keep[:, 4] = second["keep"][:, 0], False
    _, expected = model({"tokens": each.inputs["tokens"], "keep": keep})
    np.testing.assert_allclose(logits, expected[:, -2:], rtol=1e-10, atol=1e-10)


# ---- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_the_most_likely_tokens_are_those_of_full_passes(name, kind):
    model, tokens = made(kind, name), [3, 1, 4]
    for _ in range(5):
        *_, logits = model({"tokens": np.array(tokens)})
        tokens.append(int(np.argmax(logits[-1])))
    assert model.generate(tokens[:3], 5) == tokens[3:]
    assert model.generate(tokens[:3], 5, stop=(tokens[4],)) == tokens[3:4]


def test_tokens_are_drawn_as_often_as_they_are_likely(kind):
    model, tokens, draws = made(kind, "llama"), np.array([3, 1, 4]), 4000
    *_, logits = model({"tokens": tokens})
    rates = np.exp((logits[-1] - logits[-1].max()) / 0.5)
    drawn = model.draws(logits[-1], 0.5, draws)
    shares = np.bincount(drawn, minlength=VOCABULARY) / draws
    assert np.abs(shares - rates / rates.sum()).max() < 4 * np.sqrt(0.25 / draws)
    best = {*np.argsort(logits[-1])[-2:].tolist()}
    few = [model.generate(tokens, 1, temperature=9.0, top_k=2, seed=k)[0] for k in range(9)]
    assert {*few} == best
    again = [model.generate(tokens, 4, temperature=1.0, seed=7) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": 0}])
def test_how_to_draw_is_checked(wrong, kind):
    with pytest.raises(ValueError, match="temperature and top_k must not be negative"):
        made(kind, "llama").generate([1], 1, **wrong)


# ---- refusals --------------------------------------------------------------------------------------


def test_ids_are_checked(kind):
    model = made(kind, "llama")
    with pytest.raises(ValueError, match="tokens must hold whole numbers from 0 to 49, found 50"):
        model({"tokens": np.array([50])})
    with pytest.raises(ValueError, match=r"from 0 to 49, found 1\.0 of type .*float"):
        model({"tokens": np.array([1.0])})
    with pytest.raises(ValueError, match=r"12 tokens|13 tokens"):
        made(kind, "gpt")({"tokens": np.zeros(13, int)})


def test_a_past_that_is_too_short(kind):
    with pytest.raises(ValueError, match="past keeps less than 2 tokens"):
        made(kind, "llama").step({"tokens": 2}, {"tokens": np.array([1])})
