"""The emitted PyTorch module that recalls: on all cases, whole and part by part, against the reference."""

from dataclasses import replace

import numpy as np
import pytest

from cortico import UnsupportedError
from cortico.backends.reference import ReferenceBackend
from cortico.backends.torch import compile_module
from cortico.backends.torch.recalling import emit_recalling_module
from cortico.lowering import circuit_weights, lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias, QueryKeyNorm, Rotary
from cortico.spec.weights import random_weights, rotary_frequencies
from tests.cases import CASES, TOKENS
from tests.covering import every_case
from tests.oracle import textbook_attention

torch = pytest.importorskip("torch")

CASE = {case.name: case for case in CASES}
ROTARY = AttentionSpec(
    model=8,
    heads=4,
    kv_heads=2,
    key_features=4,
    mask=Mask.CAUSAL,
    rotary=Rotary(base=9.0, rotated=2),
)


def goes_on(spec):
    """Whether attention is one call of the kernel, of scores that depend on positions by rotation alone."""
    divided = spec.qk_norm and not (spec.rotary or spec.qk_norm.bias)
    biased = spec.position_bias is not PositionBias.NONE
    others = spec.soft_cap or spec.extra_source or spec.semi_saturation
    return spec.kernel is Kernel.SOFTMAX and not (others or divided or biased)


def module_of(circuit):
    values = {p.name: p.values for p in circuit.parameters if p.values is not None}
    return compile_module(emit_recalling_module(circuit))(values)


def module_for(spec, weights):
    return compile_module(emit_recalling_module(lower(spec)))(circuit_weights(spec, weights))


class Memory:
    """Keys and values of all parts so far, one after another."""

    def __init__(self):
        self.held = None

    def __call__(self, query, source):
        new = source()
        old = self.held
        self.held = new if old is None else [torch.cat(p, -2) for p in zip(old, new, strict=True)]
        return query, *self.held


def arguments(inputs):
    return {name: torch.asarray(array) for name, array in inputs.items()}


def same(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", every_case())
def test_whole(case):
    for circuit in (
        lower(case.spec, case.weights),
        compile_attention(case.spec, case.weights).circuit,
    ):
        if goes_on(case.spec):
            expected = ReferenceBackend().run(circuit, case.inputs)["y"]
            same(module_of(circuit)(**arguments(case.inputs)), expected)
        else:
            with pytest.raises(UnsupportedError, match="cannot go on from earlier tokens: it has"):
                emit_recalling_module(circuit)


@pytest.mark.parametrize(
    "case", every_case([c for c in CASES if goes_on(c.spec) and c.spec.mask.is_causal])
)
def test_part_by_part(case):
    """Positions go on, padding is among the pairs that are live, and the last part is one token."""
    spec, inputs = case.spec, case.inputs
    if isinstance(spec.tokens, int):
        return
    expected = ReferenceBackend().run(lower(spec, case.weights), inputs)["y"]
    module, memory = module_of(lower(spec, case.weights)), Memory()
    for start, stop in ((0, 2), (2, TOKENS - 1), (TOKENS - 1, TOKENS)):
        options = {"positions": torch.arange(start, stop)} if spec.rotary else {}
        if spec.key_padding:
            keep = torch.asarray(inputs["keep"])[:, None, None, :stop]
            options["live"] = keep.expand(-1, 1, stop - start, -1)
        x = torch.asarray(inputs["x"][:, start:stop])
        same(module(x, recall=memory, **options), expected[:, start:stop])


def test_a_context_is_computed_once():
    case = CASE["cross"]
    module = module_for(case.spec, case.weights)
    x, context = (torch.asarray(case.inputs[name]) for name in ("x", "context"))
    held = []

    def recall(query, source):
        held.extend([] if held else source())
        return query, *held

    expected = ReferenceBackend().run(lower(case.spec, case.weights), case.inputs)["y"]
    same(module(x[:, :2], context, recall=recall), expected[:, :2])
    same(module(x[:, 2:], torch.full_like(context, torch.nan), recall=recall), expected[:, 2:])


# ---- positions and pairs ---------------------------------------------------------------------------


def test_positions_are_of_each_example():
    spec, weights = ROTARY, random_weights(ROTARY, 1)
    x = np.random.default_rng(0).standard_normal((2, 6, 8))
    places = torch.tensor([[3, 4, 5, 6, 7, 8], [0, 2, 4, 6, 8, 10]])
    found = module_for(spec, weights)(torch.asarray(x), positions=places)
    twice = weights | {"rotary_frequencies": 2 * rotary_frequencies(spec)}
    same(found[0], textbook_attention(spec, weights, x[0]))  # only differences count
    same(found[1], textbook_attention(spec, twice, x[1]))


@pytest.mark.parametrize("norm", [None, QueryKeyNorm(eps=0.25)])
@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL, Mask.WINDOW])
def test_pairs_that_are_live(mask, norm):
    """Two texts side by side, which do not hear each other, are each as if alone."""
    window = 2 if mask is Mask.WINDOW else None
    spec = replace(ROTARY, mask=mask, window=window, qk_norm=norm)
    weights = random_weights(spec, 2)
    x = np.random.default_rng(1).standard_normal((7, 8))
    live = torch.block_diag(torch.ones(3, 3), torch.ones(4, 4)).bool()
    places = torch.tensor([0, 1, 2, 0, 1, 2, 3])
    found = module_for(spec, weights)(torch.asarray(x), positions=places, live=live[None])
    for part in (slice(0, 3), slice(3, 7)):
        same(found[part], textbook_attention(spec, weights, x[part]))


def test_no_pair_beyond_the_circuit():
    """What is live is less than what the circuit connects, never more."""
    spec, weights = ROTARY, random_weights(ROTARY, 3)
    x = torch.asarray(np.random.default_rng(2).standard_normal((5, 8)))
    every = torch.ones(1, 5, 5, dtype=torch.bool)
    same(module_for(spec, weights)(x, live=every), textbook_attention(spec, weights, x))


def test_rows_without_heads_of_their_own_are_tokens():
    """Without bounds the axis of heads could stand for rows as well: the last tokens would be heads."""
    spec = replace(ROTARY, mask=Mask.NONE, kv_heads=1, rotary=None)
    weights = random_weights(spec, 4)
    x = np.random.default_rng(3).standard_normal((2, 5, 8))
    keep = np.array([False, True, True, False, True])
    live = torch.asarray(keep).expand(2, 1, 5, 5)
    found = module_for(spec, weights)(torch.asarray(x), live=live)
    padded = replace(spec, key_padding=True)
    same(found, np.stack([textbook_attention(padded, weights, each, keep=keep) for each in x]))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("linear-mask_causal", "0 softmax attentions that a kernel computes"),
        ("capped", "0 softmax attentions that a kernel computes"),
        ("alibi", "a position bias of scores"),
        ("table", "a position bias of scores"),
    ],
)
def test_what_cannot_go_on(name, what):
    case = CASE[name]
    with pytest.raises(UnsupportedError, match=f"cannot go on from earlier tokens: it has {what}"):
        emit_recalling_module(lower(case.spec, case.weights))


def test_golden_code(golden):
    case = CASE["llama"]
    golden(emit_recalling_module(lower(case.spec)), "llama.recalling.py.txt")
