"""Operators made for attention, of ai.onnx and of onnxruntime, run by onnxruntime and imported."""

import numpy as np
import pytest

from cortico import get_runner, lower
from cortico.frontends import read_checkpoint
from cortico.spec import AttentionSpec, Mask, Rotary, RotaryStyle
from cortico.spec.weights import random_weights

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto  # noqa: E402

from tests.compiler.frontends.onnx_checks import X, check_file, spec_and_weights  # noqa: E402
from tests.compiler.frontends.onnx_graphs import (  # noqa: E402
    MICROSOFT,
    Writer,
    flat,
    heads_first,
    linear,
    map_out,
    out,
)


@pytest.mark.parametrize("axes", [3, 4])
@pytest.mark.parametrize(
    ("is_causal", "scale", "groups"), [(0, None, 4), (1, 0.3, 4), (1, None, 2)]
)
def test_the_attention_operator(tmp_path, axes, is_causal, scale, groups):
    spec = AttentionSpec(
        8,
        4,
        kv_heads=None if groups == 4 else groups,
        scale=scale,
        mask=Mask.CAUSAL if is_causal else Mask.NONE,
    )
    weights = random_weights(spec, 1)
    write = Writer(opset=23)
    x = write.input("x", ["b", "n", 8])
    parts = [linear(write, x, weights, name) for name in "QKV"]
    options = {"is_causal": is_causal, **({"scale": scale} if scale else {})}
    if axes == 3:
        joined = write("Attention", *parts, q_num_heads=4, kv_num_heads=groups, **options)
        path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    else:
        parts = [heads_first(write, p, h) for p, h in zip(parts, (4, groups, groups), strict=True)]
        found = write("Attention", *parts, **options)
        path = write.save(tmp_path / "a.onnx", map_out(write, found, weights))
    check_file(path, spec, weights, x=X)


def test_a_boolean_mask_of_the_operator(tmp_path):
    """True is seen."""
    spec, weights = spec_and_weights(mask=Mask.CAUSAL)
    write = Writer(opset=23)
    x = write.input("x", ["b", 5, 8])
    parts = [linear(write, x, weights, name) for name in "QKV"]
    joined = write(
        "Attention", *parts, np.tril(np.ones((5, 5), bool)), q_num_heads=2, kv_num_heads=2
    )
    check_file(write.save(tmp_path / "a.onnx", out(write, joined, weights)), spec, weights, x=X)


def test_a_mask_of_the_operator_that_is_an_input(tmp_path):
    """0 or 1 per token, as tokenizers give it."""
    spec, weights = spec_and_weights(key_padding=True)
    write = Writer(opset=23)
    x = write.input("x", ["b", "n", 8])
    keep = write.input("mask", ["b", "n"], TensorProto.INT64)
    parts = [linear(write, x, weights, name) for name in "QKV"]
    wide = write("Unsqueeze", write("Cast", keep, to=TensorProto.BOOL), np.array([1, 2]))
    square = write(
        "Concat",
        write("Shape", wide, start=0, end=1),
        np.array([1]),
        *[write("Shape", x, start=1, end=2)] * 2,
        axis=0,
    )
    seen = write("Expand", wide, square)
    joined = write("Attention", *parts, seen, q_num_heads=2, kv_num_heads=2)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    check_file(path, spec, weights, x=X, mask=mask)


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_attention_of_onnxruntime(tmp_path, unidirectional):
    spec, weights = spec_and_weights(mask=Mask.CAUSAL if unidirectional else Mask.NONE)
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    matrix = np.concatenate([flat(weights, n)[0] for n in "QKV"], axis=1)
    bias = np.concatenate([flat(weights, n)[1] for n in "QKV"])
    joined = write(
        "Attention", x, matrix, bias, domain=MICROSOFT, num_heads=2, unidirectional=unidirectional
    )
    check_file(write.save(tmp_path / "a.onnx", out(write, joined, weights)), spec, weights, x=X)


def test_multihead_attention_of_onnxruntime(tmp_path):
    spec, weights = spec_and_weights(cross=True, context=6, key_padding=True, scale=0.3)
    write = Writer()
    x, context = write.input("x", ["b", "n", 8]), write.input("context", ["b", "k", 6])
    keep = write.input("mask", ["b", "k"], TensorProto.INT32)
    parts = [
        write("MatMul", t, flat(weights, n)[0])
        for n, t in zip("QKV", (x, context, context), strict=True)
    ]
    bias = np.concatenate([flat(weights, n)[1] for n in "QKV"])
    joined = write(
        "MultiHeadAttention", *parts, bias, keep, domain=MICROSOFT, num_heads=2, scale=0.3
    )
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32)
    check_file(
        path,
        spec,
        weights,
        x=X,
        mask=mask,
        context=np.random.default_rng(4).standard_normal((2, 4, 6)),
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_grouped_query_attention_of_onnxruntime(tmp_path, interleaved):
    style = RotaryStyle.INTERLEAVED if interleaved else RotaryStyle.HALF_SPLIT
    spec = AttentionSpec(64, 4, kv_heads=2, mask=Mask.WINDOW, window=3, rotary=Rotary(style=style))
    weights = {**random_weights(spec, 1), "rotary_frequencies": 100.0 ** -np.linspace(0, 0.9, 8)}
    write = Writer()
    x = write.input("x", ["b", "n", 64])
    angles = np.arange(20)[:, None] * weights["rotary_frequencies"]
    parts = [linear(write, x, weights, name) for name in "QKV"]
    lengths = write.input("lengths", ["b"], TensorProto.INT32)
    total = write.input("total", [1], TensorProto.INT32)
    joined = write(
        "GroupQueryAttention",
        *parts,
        "",
        "",
        lengths,
        total,
        np.cos(angles),
        np.sin(angles),
        domain=MICROSOFT,
        num_heads=4,
        kv_num_heads=2,
        do_rotary=1,
        rotary_interleaved=interleaved,
        local_window_size=3,
        outputs=3,
    )[0]
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    found, read = read_checkpoint(path)
    tokens = np.random.default_rng(0).standard_normal((1, 7, 64))
    feeds = {
        "x": tokens.astype(np.float32),
        "lengths": np.array([6], np.int32),
        "total": np.array([7], np.int32),
    }
    (y,) = onnxruntime.InferenceSession(str(path)).run(None, feeds)
    mine = get_runner("numpy").run(lower(found, read), {"x": tokens})["y"]
    np.testing.assert_allclose(mine, y, rtol=0, atol=1e-5 * abs(y).max())
