"""Attention written in other ways, by one node at a time: the textbook, onnxruntime and the import agree."""

import numpy as np
import pytest

from cortico import from_torch, get_runner, lower
from cortico.frontends import read_checkpoint
from cortico.spec import AttentionSpec, Mask, PositionBias
from cortico.spec.weights import random_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto  # noqa: E402

from tests.compiler.frontends.onnx_checks import (  # noqa: E402
    X,
    agrees,
    check_file,
    export,
    refused,
    spec_and_weights,
)
from tests.compiler.frontends.onnx_graphs import (  # noqa: E402
    Writer,
    causal,
    decomposed,
    flat,
    heads_first,
    linear,
    map_out,
)


@pytest.mark.parametrize("constants", ["initializer", "Constant"])
@pytest.mark.parametrize("scale", ["scores", "split", "query"])
def test_where_the_scale_stands(tmp_path, scale, constants):
    spec, weights = spec_and_weights()
    write = Writer(constants)
    check_file(
        write.save(tmp_path / "a.onnx", decomposed(write, weights, scale)), spec, weights, x=X
    )


def test_no_scale_and_no_biases(tmp_path):
    spec = AttentionSpec(8, 2, scale=1.0, key_features=3, value_features=5, output=7)
    weights = random_weights(spec, 1)
    write = Writer()
    check_file(
        write.save(tmp_path / "a.onnx", decomposed(write, weights, None)), spec, weights, x=X
    )


def test_grouped_heads(tmp_path):
    spec = AttentionSpec(8, 4, kv_heads=2)
    weights = random_weights(spec, 1)
    write = Writer()
    check_file(write.save(tmp_path / "a.onnx", decomposed(write, weights)), spec, weights, x=X)


def test_cross_attention(tmp_path):
    spec, weights = spec_and_weights(cross=True, context=6)
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, context=True))
    check_file(
        path, spec, weights, x=X, context=np.random.default_rng(4).standard_normal((2, 4, 6))
    )


@pytest.mark.parametrize("cut", ["Split", "Slice", "Gather"])
def test_one_map_for_all_three(tmp_path, cut):
    """As nanoGPT, timm and ViT write it, through Gemm where the map is one."""
    spec, weights = spec_and_weights()
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    matrix = np.concatenate([flat(weights, n)[0] for n in "QKV"], axis=1)
    bias = np.concatenate([flat(weights, n)[1] for n in "QKV"])
    rows = write("Gemm", write("Reshape", x, np.array([-1, 8])), matrix.T.copy(), bias, transB=1)
    shape = write("Concat", write("Shape", x, start=0, end=2), np.array([-1]), axis=0)
    fused = write("Reshape", rows, shape)
    if cut == "Split":
        parts = [
            heads_first(write, p, 2)
            for p in write("Split", fused, outputs=3, axis=2, num_outputs=3)
        ]
    elif cut == "Slice":
        ends = [(0, 8), (8, 16), (16, 2**31)]
        parts = [
            heads_first(
                write, write("Slice", fused, np.array([a]), np.array([b]), np.array([2])), 2
            )
            for a, b in ends
        ]
    else:
        five = write(
            "Transpose", write("Reshape", fused, np.array([0, 0, 3, 2, 4])), perm=[2, 0, 3, 1, 4]
        )
        parts = [write("Gather", five, np.array(k), axis=0) for k in range(3)]
    query, key, value = parts
    scores = write("MatMul", query, write("Transpose", key, perm=[0, 1, 3, 2]))
    shares = write("Softmax", write("Mul", scores, np.array(0.5)), axis=-1)
    path = write.save(tmp_path / "a.onnx", map_out(write, write("MatMul", shares, value), weights))
    check_file(path, spec, weights, x=X)


@pytest.mark.parametrize("least", [-np.inf, -1e4, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("window", [None, 3])
def test_masks(tmp_path, window, least):
    mask = Mask.WINDOW if window else Mask.CAUSAL
    spec, weights = spec_and_weights(mask=mask, window=window)
    write = Writer()
    path = write.save(
        tmp_path / "a.onnx",
        decomposed(write, weights, mask=lambda w, s: causal(w, s, window, least)),
    )
    check_file(path, spec, weights, x=X)


def padded(write, scores):
    keep = write.input("mask", ["b", "n"], TensorProto.INT64)
    live = write("Cast", write("Unsqueeze", keep, np.array([1, 2])), to=TensorProto.FLOAT)
    return write("Add", write("Mul", write("Sub", np.array(1.0), live), np.array(-1e9)), scores)


def hidden(write, scores):
    """As torch's key_padding_mask: true hides."""
    mask = write.input("mask", ["b", "n"], TensorProto.BOOL)
    return write("Where", write("Unsqueeze", mask, np.array([1, 2])), np.array(-np.inf), scores)


def added(write, scores):
    return write("Add", scores, write.input("mask", ["b", 1, 1, "n"]))


def both(write, scores):
    """Two inputs hide tokens, each in its way."""
    keep = write.input("keep", ["b", "n"], TensorProto.INT64)
    live = write("Equal", write("Unsqueeze", keep, np.array([1, 2])), np.array(1))
    return write("Where", live, hidden(write, scores), np.array(-1e9))


KEEP = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 1, 0]])
OTHER = np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("mask", "feeds", "keep"),
    [
        (hidden, {"mask": KEEP == 0}, KEEP > 0),
        (added, {"mask": np.where(KEEP, 0, -1e9).astype(np.float32)[:, None, None]}, KEEP > 0),
        (both, {"mask": KEEP == 0, "keep": OTHER}, KEEP * OTHER > 0),
    ],
)
def test_ways_to_say_what_exists(tmp_path, mask, feeds, keep):
    _, weights = spec_and_weights()
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=mask))
    agrees(path, {"x": X.astype(np.float32), **feeds}, keep=keep)


def fickle(write, scores):
    """Padding is hidden where its score is zero, which is how masks are seen."""
    keep = write.input("mask", ["b", "n"], TensorProto.INT64)
    gone = write("Equal", write("Unsqueeze", keep, np.array([1, 2])), np.array(0))
    zero = write("Equal", scores, np.array(0.0))
    return write("Where", write("And", gone, zero), np.array(-1e9), scores)


def test_padding_that_depends_on_scores_is_refused(tmp_path):
    _, weights = spec_and_weights()
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=fickle))
    refused(path, "with 16 tokens what was read of it differs")


@pytest.mark.parametrize("shape", [["b", 2, "n", "n"], ["b", 2, 1, "n"], ["b", 1, 1, 1], []])
def test_inputs_that_say_something_else(tmp_path, shape):
    """For every head, or a factor."""
    _, weights = spec_and_weights()
    write = Writer()
    kind = "Add" if len(shape) == 4 and shape[-1] == "n" else "Mul"
    last = decomposed(write, weights, mask=lambda w, s: w(kind, s, w.input("t", shape)))
    message = "input 't' changes scores in a way that is neither padding nor a bias of all heads"
    refused(write.save(tmp_path / "a.onnx", last), message)


@pytest.mark.parametrize("mask", [None, causal])
@pytest.mark.parametrize("height", [0.3, 1.0, 30.0, 50.0])
def test_a_cap_of_scores(tmp_path, mask, height):
    """As Gemma 2 has it: the height is where they end."""
    spec, weights = spec_and_weights(
        soft_cap=height, mask=Mask.CAUSAL if mask else Mask.NONE, scale=0.8
    )

    def capped(write, scores):  # which are divided by 2
        scores = write("Mul", scores, np.array(1.6))
        scores = write("Tanh", write("Div", scores, np.array(height)))
        scores = write("Mul", scores, np.array(height))
        return mask(write, scores) if mask else scores

    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=capped))
    check_file(path, spec, weights, x=4 * X)


@pytest.mark.parametrize("mask", [None, causal])
def test_a_sink_of_its_own_column(tmp_path, mask):
    """As gpt-oss has it: one more score per head, whose share goes."""
    spec, weights = spec_and_weights(sink=True, mask=Mask.CAUSAL if mask else Mask.NONE)
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    query, key, value = (heads_first(write, linear(write, x, weights, k), 2) for k in "QKV")
    scores = write("MatMul", query, write("Transpose", key, perm=[0, 1, 3, 2]))
    scores = write("Div", scores, np.array(2.0))
    scores = mask(write, scores) if mask else scores
    shape = write("Concat", write("Shape", scores, start=0, end=3), np.array([1]), axis=0)
    column = write("Expand", weights["sink"].reshape(1, 2, 1, 1), shape)
    shares = write("Softmax", write("Concat", scores, column, axis=3), axis=-1)
    shares = write("Slice", shares, np.array([0]), np.array([-1]), np.array([3]))
    path = write.save(tmp_path / "a.onnx", map_out(write, write("MatMul", shares, value), weights))
    check_file(path, spec, weights, x=X)


def test_nodes_in_any_order(tmp_path):
    """onnxruntime sorts them too."""
    spec, weights = spec_and_weights()
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights))
    model = onnx.load(path)
    nodes = list(model.graph.node)
    np.random.default_rng(0).shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save_model(model, path)
    check_file(path, spec, weights, x=X)


def test_padding(tmp_path):
    spec, weights = spec_and_weights(key_padding=True)
    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=padded))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    check_file(path, spec, weights, x=X, mask=mask)


def test_alibi(tmp_path):
    spec, weights = spec_and_weights(mask=Mask.CAUSAL, position_bias=PositionBias.ALIBI)
    slopes = np.array([0.5, 0.25])
    weights = {**weights, "alibi_slopes": slopes}

    def biased(write, scores):
        count = write("Squeeze", write("Shape", scores, start=3))
        places = write(
            "Cast", write("Range", np.array(0), count, np.array(1)), to=TensorProto.FLOAT
        )
        bias = write("Mul", places, slopes[:, None, None])  # no query's: softmax does not see it
        return causal(write, write("Add", scores, bias))

    write = Writer()
    path = write.save(tmp_path / "a.onnx", decomposed(write, weights, mask=biased))
    check_file(path, spec, weights, x=X)


def test_a_table_of_positions(tmp_path):
    spec, weights = spec_and_weights(tokens=5, position_bias=PositionBias.TABLE)
    write = Writer()
    path = write.save(
        tmp_path / "a.onnx",
        decomposed(write, weights, mask=lambda w, s: w("Add", s, weights["position_bias"][None])),
    )
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    onnx.save_model(model, path)
    check_file(path, spec, weights, x=X)


def test_torch_multihead_attention(tmp_path):
    """Heads and examples on one axis, batch first."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            return self.inner(x, x, x)[0]

    path = export(
        Own(),
        (torch.randn(2, 5, 8),),
        tmp_path / "a.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["x"],
    )
    spec, weights = from_torch(module)
    found, read = read_checkpoint(path)
    x = X.astype(np.float32)
    (y,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    mine = get_runner("numpy").run(lower(found, read), {"x": x})["y"]
    np.testing.assert_allclose(mine, y, rtol=0, atol=1e-5)
    assert (found.heads, found.model) == (spec.heads, spec.model)
    np.testing.assert_allclose(
        read["W_V"],
        weights["W_V"].numpy() if hasattr(weights["W_V"], "numpy") else weights["W_V"],
        rtol=1e-5,
        atol=1e-6,
    )
