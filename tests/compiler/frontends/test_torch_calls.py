"""`nn.MultiheadAttention` in all the forms in which PyTorch's own tests build and call it: read and equal, or refused.

`test/nn/test_multihead_attention.py` of PyTorch varies extra and zero keys, biases, widths of keys and values,
paddings, masks and layouts. The weights that a call returns (`average_attn_weights`) are no part of the output.
"""

import itertools

import numpy as np
import pytest
import torch

from cortico import AttentionSpec, get_runner, lower
from cortico.frontends import from_torch
from cortico.ir.errors import SpecError
from cortico.spec import Mask, PositionBias
from tests.oracle import textbook_attention

D, H, N, S = 12, 3, 5, 4
EXACT = {"rtol": 1e-12, "atol": 1e-12}
HIDDEN = torch.ones(N, N, dtype=torch.bool).triu(1)
SLIDING = HIDDEN | torch.ones(N, N, dtype=torch.bool).tril(-3)
NEAR = torch.ones(N, N, dtype=torch.bool).triu(2) | torch.ones(N, N, dtype=torch.bool).tril(-2)
TABLE = torch.linspace(-1, 2, N * N, dtype=torch.float64).reshape(N, N).sin()


def additive(hidden):
    return torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, -torch.inf)


MASKS = {
    "no": None,
    "causal": HIDDEN,
    "causal, added": additive(HIDDEN),
    "sliding": SLIDING,
    "sliding to both sides": NEAR,
    "sliding, added to": additive(SLIDING) + TABLE,
    "of heads": torch.stack([TABLE, TABLE.T, 2 * TABLE]),
}
#: kdim, vdim, and what is called with: query tokens for all, other keys, or values of their own, too.
SOURCES = [
    (None, None, ""),
    (None, None, "keys"),
    (None, None, "keys, values"),
    (7, 7, "keys"),
    (7, 7, "keys, values"),
    (7, 5, "keys, values"),
    (None, 5, "keys, values"),
]
FORMS = list(
    itertools.product(
        (False, True), (False, True), (False, True), (False, True), (False, True), SOURCES, MASKS
    )
)
#: All forms, and those that are read.
TOTAL, READ = 1568, 608


def module_of(seed=0, **options):
    torch.manual_seed(seed)
    module = torch.nn.MultiheadAttention(D, H, dtype=torch.float64, **options).eval()
    for p in module.parameters():
        torch.nn.init.normal_(p)
    return module


def called(module, source, mask, padded):
    """Arrays that the circuit gets, and what the module gives for them in both layouts."""
    kdim, vdim, other = source
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((2, N, D)))
    inputs = {"x": x.numpy()}
    key = value = x
    if other:
        tokens = N if mask is not None else S
        key = value = torch.tensor(rng.standard_normal((2, tokens, kdim or D)))
        inputs["context"] = key.numpy()
        if "values" in other:
            value = torch.tensor(rng.standard_normal((2, tokens, vdim or D)))
            inputs["values"] = value.numpy()
    options = {}
    if padded:
        hidden = torch.zeros(2, key.shape[1], dtype=torch.bool)
        hidden[0, -1] = hidden[1, 1] = True
        added = mask is not None and mask.dtype != torch.bool  # both masks are of one type
        options["key_padding_mask"] = additive(hidden) if added else hidden
        inputs["keep"] = (~hidden).numpy()
    if mask is not None:
        options["attn_mask"] = mask if mask.ndim == 2 else mask.repeat(2, 1, 1)
    tokens = (x, key, value)
    if not module.batch_first:
        tokens = (t.transpose(0, 1) for t in tokens)
    y = module(*tokens, need_weights=False, **options)[0].detach()
    return inputs, (y if module.batch_first else y.transpose(0, 1)).numpy()


def why_refused(source, mask):
    hides = mask is not None and (mask if mask.dtype == torch.bool else mask.isinf()).any()
    return "cross attention with tokens that are hidden" if source[2] and hides else None


def check_form(form):
    """Whether a form is read."""
    extra, zero, bias, batch_first, padded, source, name = form
    mask = MASKS[name]
    module = module_of(
        add_bias_kv=extra, add_zero_attn=zero, bias=bias, batch_first=batch_first,
        kdim=source[0], vdim=source[1],
    )  # fmt: skip
    options = {"mask": mask, "key_padding": padded, "cross": bool(source[2])}
    if source[0] == source[1]:  # else the module says it
        options["values"] = "values" in source[2]
    refused = why_refused(source, mask)
    if refused:
        with pytest.raises(SpecError, match=refused):
            from_torch(module, **options)
        return False
    spec, weights = from_torch(module, **options)
    assert (spec.values is not None, spec.key_padding) == ("values" in source[2], padded)
    inputs, expected = called(module, source, mask, padded)
    examples = [{n: array[e] for n, array in inputs.items()} for e in range(2)]
    found = [textbook_attention(spec, weights, **example) for example in examples]
    np.testing.assert_allclose(found, expected, **EXACT, err_msg=str(form))
    return True


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_every_form(extra, zero):
    forms = [form for form in FORMS if form[:2] == (extra, zero)]
    assert (len(forms), sum(map(check_form, forms))) == (TOTAL // 4, READ // 4)


@pytest.mark.parametrize("source", [SOURCES[0], SOURCES[-2]])
def test_the_circuit_of_a_form(source):
    """With an extra and a zero key, padding and, in self-attention, a sliding mask and a table."""
    module = module_of(
        add_bias_kv=True, add_zero_attn=True, batch_first=True, kdim=source[0], vdim=source[1]
    )
    mask = None if source[2] else MASKS["sliding, added to"]
    spec, weights = from_torch(module, mask=mask, key_padding=True)
    inputs, expected = called(module, source, mask, padded=True)
    found = get_runner("numpy").run(lower(spec, weights), inputs)["y"]
    np.testing.assert_allclose(found, expected, **EXACT)


def test_masks_that_are_read():
    causal = from_torch(module_of(), mask="causal")[0]
    assert causal == AttentionSpec(
        D, H, mask=Mask.CAUSAL, bias=causal.bias
    )  # for any number of tokens
    fixed = from_torch(module_of(), mask=HIDDEN)[0]
    assert (fixed.mask, fixed.tokens) == (Mask.CAUSAL, N)
    sliding = from_torch(module_of(), mask=SLIDING.numpy())[0]
    assert (sliding.mask, sliding.window) == (Mask.WINDOW, 3)
    near = from_torch(module_of(), mask=NEAR)[0]
    assert (near.mask, near.window) == (Mask.BIDIRECTIONAL_WINDOW, 2)
    assert from_torch(module_of(), mask=torch.zeros(N, N))[0].mask is Mask.NONE
    spec, weights = from_torch(module_of(), mask=TABLE)
    assert spec.position_bias is PositionBias.TABLE and spec.mask is Mask.NONE
    np.testing.assert_array_equal(weights["position_bias"], np.tile(TABLE.numpy(), (H, 1, 1)))
    examples = from_torch(module_of(), mask=MASKS["of heads"].repeat(2, 1, 1))[1]
    np.testing.assert_array_equal(examples["position_bias"], MASKS["of heads"].numpy())


def test_a_mask_that_comes_at_every_run():
    module = module_of(batch_first=True)
    spec, weights = from_torch(module, mask="input")
    assert spec.position_bias is PositionBias.INPUT and spec.tokens == "n"
    for mask in (TABLE, 2 * TABLE):
        inputs, expected = called(module, SOURCES[0], mask, padded=False)
        bias = np.tile(mask.numpy(), (2, 1, 1))
        found = get_runner("numpy").run(lower(spec, weights), {**inputs, "score_bias": bias})["y"]
        np.testing.assert_allclose(found, expected, **EXACT)


LOPSIDED = torch.ones(N, N, dtype=torch.bool).triu(2) | torch.ones(N, N, dtype=torch.bool).tril(-3)
STRANGE = {
    "a word": ("window", "'none', 'causal', 'input' or a tensor as attn_mask is, found 'window'"),
    "a number": (3, "a tensor of booleans or floats, found int"),
    "integers": (np.ones((N, N), int), "found int64"),
    "a list": ([[0.0]], "found list"),
    "shape": (torch.zeros(N), r"has shape \(5,\), expected \(L, S\) or \(3, L, S\) for 3 heads"),
    "heads": (torch.zeros(4, N, N), r"has shape \(4, 5, 5\)"),
    "nothing": (torch.zeros(0, 0), r"has shape \(0, 0\)"),
    "not square": (torch.zeros(N, S), "5 queries and 4 source tokens: say cross=True"),
    "NaN": (torch.full((N, N), torch.nan), "NaN or infinite, other than -inf"),
    "infinite": (torch.full((N, N), torch.inf), "NaN or infinite, other than -inf"),
    "wider behind than ahead": (LOPSIDED, "query 0 sees the later token 1, and others are hidden"),
    "the future": (HIDDEN.T, "query 0 sees the later token 1"),
    "strictly causal": (~HIDDEN.T, "query 0 sees no token"),
    "a hole": (HIDDEN | (torch.arange(N * N).reshape(N, N) == 21), "query 4 does not see token 1, but an earlier"),
    "a short row": (HIDDEN | (SLIDING & (torch.arange(N) < 2)[:, None] | SLIDING & (torch.arange(N)[:, None] == 4)), "query 4 sees 3 tokens, and query 3 sees 4"),
    "a prefix": (HIDDEN & (torch.arange(N) > 1), "query 0 sees the later token 1"),
    "heads apart": (torch.stack([HIDDEN, SLIDING, HIDDEN]), "heads see different tokens"),
    "examples": (torch.stack([TABLE] * 5 + [TABLE.T]), "differs from example to example"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_masks_that_are_refused(name):
    mask, message = STRANGE[name]
    with pytest.raises(SpecError, match=message) as caught:
        from_torch(module_of(), mask=mask)
    assert "\n" not in str(caught.value)


def test_causal_cross_attention_is_refused():
    with pytest.raises(SpecError, match="mask = causal needs queries and keys on the same tokens"):
        from_torch(module_of(), cross=True, mask="causal")
