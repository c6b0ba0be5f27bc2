"""Masks and biases that come as inputs of ONNX files for every example: they become the input `score_bias`."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto

from cortico.spec import Mask
from tests.compiler.frontends.onnx_checks import X, agrees, refused, spec_and_weights
from tests.compiler.frontends.onnx_graphs import (
    MICROSOFT,
    Writer,
    causal,
    decomposed,
    flat,
    linear,
    out,
)

RNG = np.random.default_rng(6)
BIAS = RNG.standard_normal((2, 5, 5)).astype(np.float32)
SEEN = RNG.random((2, 5, 5)) < 0.6
SEEN[:, range(5), range(5)] = True
TOKENS = {"x": X.astype(np.float32)}


def hides(seen):
    return np.where(seen, 0, -1e9)


def adds(write, scores):
    return write("Add", scores, write.input("bias", ["b", 1, "n", "n"]))


def adds_without_heads(write, scores):
    bias = write.input("bias", ["b", "n", "n"])
    return write("Add", write("Unsqueeze", bias, np.array([1])), scores)


def adds_to_all(write, scores):
    return write("Add", scores, write.input("bias", ["n", "n"]))


def adds_behind_a_mask(write, scores):
    return adds(write, causal(write, scores))


def shows(write, scores):
    seen = write.input("bias", ["b", 1, "n", "n"], TensorProto.BOOL)
    return write("Where", seen, scores, np.array(-np.inf))


def hides_as_torch_does(write, scores):
    """True is not seen."""
    gone = write.input("bias", ["b", "n", "n"], TensorProto.BOOL)
    return write("Where", write("Unsqueeze", gone, np.array([1])), np.array(-1e9), scores)


WAYS = {
    "added": (adds, BIAS[:, None], BIAS),
    "added, no axis of heads": (adds_without_heads, BIAS, BIAS),
    "added to all examples": (adds_to_all, BIAS[0], np.tile(BIAS[0], (2, 1, 1))),
    "behind a causal mask": (adds_behind_a_mask, BIAS[:, None], BIAS),
    "seen": (shows, SEEN[:, None], hides(SEEN)),
    "not seen": (hides_as_torch_does, ~SEEN, hides(SEEN)),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_say_what_is_added(tmp_path, way):
    mask, given, bias = WAYS[way]
    _, weights = spec_and_weights()
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=mask))
    spec = agrees(path, {**TOKENS, "bias": given}, bias=bias)
    assert spec.mask is (Mask.CAUSAL if "causal" in way else Mask.NONE) and spec.tokens == "n"


@pytest.mark.parametrize("is_causal", [0, 1])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.BOOL])
def test_the_attention_operator(tmp_path, is_causal, kind):
    _, weights = spec_and_weights()
    write = Writer(opset=23)
    x = write.input("x", ["b", "n", 8])
    mask = write.input("bias", ["b", 1, "n", "n"], kind)
    parts = [linear(write, x, weights, name) for name in "QKV"]
    options = {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": is_causal, "softcap": 0.7}
    path = write.save(
        tmp_path / "a.onnx", out(write, write("Attention", *parts, mask, **options), weights)
    )
    boolean = kind == TensorProto.BOOL
    given = SEEN if boolean else BIAS
    spec = agrees(path, {**TOKENS, "bias": given[:, None]}, bias=hides(SEEN) if boolean else BIAS)
    assert spec.soft_cap == 0.7 and (spec.mask is Mask.CAUSAL) == bool(is_causal)


def test_cross_attention_of_onnxruntime(tmp_path):
    """With padding beside it; queries and source tokens are not as many."""
    _, weights = spec_and_weights(cross=True, context=6)
    write = Writer()
    x, context = write.input("x", ["b", "n", 8]), write.input("context", ["b", "k", 6])
    keep = write.input("mask", ["b", "k"], TensorProto.INT32)
    bias = write.input("bias", ["b", 1, "n", "k"])
    sources = zip("QKV", (x, context, context), strict=True)
    parts = [write("MatMul", tokens, flat(weights, name)[0]) for name, tokens in sources]
    biases = np.concatenate([flat(weights, name)[1] for name in "QKV"])
    joined = write("MultiHeadAttention", *parts, biases, keep, bias, domain=MICROSOFT, num_heads=2)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32)
    feeds = {"context": RNG.standard_normal((2, 4, 6)).astype(np.float32), "mask": mask}
    agrees(
        path, {**TOKENS, **feeds, "bias": BIAS[:, None, :, :4]}, keep=mask > 0, bias=BIAS[..., :4]
    )


def test_a_mask_of_every_query_of_onnxruntime(tmp_path):
    _, weights = spec_and_weights()
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    mask = write.input("bias", ["b", "n", "n"], TensorProto.INT32)
    matrix = np.concatenate([flat(weights, n)[0] for n in "QKV"], axis=1)
    bias = np.concatenate([flat(weights, n)[1] for n in "QKV"])
    joined = write("Attention", x, matrix, bias, mask, domain=MICROSOFT, num_heads=2)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    agrees(path, {**TOKENS, "bias": SEEN.astype(np.int32)}, bias=hides(SEEN))


def twice(write, scores):
    return write("Add", adds(write, scores), write.input("more", ["b", 1, "n", "n"]))


def squared(write, scores):
    bias = write.input("bias", ["b", 1, "n", "n"])
    return write("Add", scores, write("Mul", bias, bias))


def beside_a_table(write, scores):
    return adds(write, write("Add", scores, np.arange(25.0).reshape(5, 5) ** 2 / 99))


REFUSED = {
    "two biases": (twice, "input 'bias', 'more' changes scores in a way that is neither"),
    "not added as it is": (squared, "input 'bias' changes scores in a way that is neither"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_bias_says_is_refused(tmp_path, what):
    mask, message = REFUSED[what]
    _, weights = spec_and_weights()
    write = Writer()
    refused(write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=mask)), message)


def test_a_bias_beside_a_table_is_refused(tmp_path):
    _, weights = spec_and_weights()
    write = Writer()
    last = decomposed(write, weights, mask=beside_a_table, tokens=5)
    path = write.save(tmp_path / "a.onnx", last)
    refused(path, "scores have a bias by position .table., and input 'bias' adds another")
