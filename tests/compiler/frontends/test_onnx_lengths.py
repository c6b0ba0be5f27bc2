"""What few tokens do not show: long windows, chunks, prefixes, scales by length, tables that bend."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto  # noqa: E402

from cortico.spec import Mask, PositionBias  # noqa: E402
from tests.compiler.frontends.onnx_checks import agrees, refused, spec_and_weights  # noqa: E402
from tests.compiler.frontends.onnx_graphs import (  # noqa: E402
    Writer,
    causal,
    decomposed,
    heads_first,
    linear,
    map_out,
    out,
    places,
)


def tokens(count, examples=1):
    return np.random.default_rng(3).standard_normal((examples, count, 8)).astype(np.float32)


def masked(path, mask, fixed=None):
    _, weights = spec_and_weights()
    write = Writer()
    write.save(path, decomposed(write, weights, mask=mask))
    model = onnx.load(path)
    if fixed:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = fixed
        onnx.save_model(model, path)
    return path


def pairs(write, scores):
    """Source and query positions, to be compared."""
    one = places(write, scores)
    return write("Unsqueeze", one, np.array([0])), write("Unsqueeze", one, np.array([1]))


# ---- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [16, 17, 200, 300, pytest.param(1500, marks=pytest.mark.slow)])
def test_long_windows(tmp_path, window):
    """300 tokens are more than any file is measured with that has no such number in it."""
    path = masked(tmp_path / "a.onnx", lambda w, s: causal(w, s, window))
    spec = agrees(path, {"x": tokens(min(window + 5, 310))})
    assert (spec.mask, spec.window) == (Mask.WINDOW, window)


def test_a_window_that_is_made_of_numbers(tmp_path):
    """No stored number is the window: it is twenty times fifteen."""

    def product(write, scores):
        source, query = pairs(write, scores)
        window = write("Mul", np.array(20), np.array(15))
        near = write("Less", write("Sub", query, source), window)
        return write("Where", near, causal(write, scores), np.array(-np.inf))

    assert agrees(masked(tmp_path / "a.onnx", product), {"x": tokens(310)}).window == 300


@pytest.mark.slow
def test_a_window_that_cannot_be_measured_is_refused(tmp_path):
    path = masked(tmp_path / "a.onnx", lambda w, s: causal(w, s, 5000))
    refused(path, "5000 in LessOrEqual may show with 5,002 tokens, which are too many to measure")


def buffered(side, window=None):
    """A stored triangle of which the first rows and columns are taken, as GPT-2 and GPT-Neo have it."""
    seen = np.tril(np.ones((1, 1, side, side), bool))
    seen &= np.triu(np.ones((side, side), bool), 1 - (window or side))

    def mask(write, scores):
        count = write("Shape", scores, start=3)
        ends = write("Concat", count, count, axis=0)
        part = write("Slice", seen, np.array([0, 0]), ends, np.array([2, 3]))
        return write("Where", part, scores, np.array(-1e9))

    return mask


@pytest.mark.parametrize(("side", "window"), [(10, None), (64, None), (1024, None), (512, 400)])
def test_stored_triangles(tmp_path, side, window):
    path = masked(tmp_path / "a.onnx", buffered(side, window))
    assert agrees(path, {"x": tokens(min(side, 410))}).window == window


def chunked(size):
    def mask(write, scores):
        source, query = (write("Div", each, np.array(size)) for each in pairs(write, scores))
        same = write("Equal", source, query)
        return write("Where", same, causal(write, scores), np.array(-np.inf))

    return mask


def prefixed(size):
    def mask(write, scores):
        begins = write("Less", pairs(write, scores)[0], np.array(size))
        return write("Where", begins, scores, causal(write, scores))

    return mask


def sided(size):
    def mask(write, scores):
        near = write("Less", write("Abs", write("Sub", *pairs(write, scores))), np.array(size))
        return write("Where", near, scores, np.array(-1e9))

    return mask


@pytest.mark.parametrize("size", [4, 64, 400])
def test_windows_to_both_sides(tmp_path, size):
    spec = agrees(masked(tmp_path / "a.onnx", sided(size)), {"x": tokens(min(size + 5, 310))})
    assert (spec.mask, spec.window) == (Mask.BIDIRECTIONAL_WINDOW, size)


@pytest.mark.parametrize("size", [4, 64, 400])
@pytest.mark.parametrize("mask", [chunked, prefixed])
def test_masks_that_no_spec_has(tmp_path, mask, size):
    """Chunks, prefixes that all see: also where they are longer than 16 tokens."""
    refused(masked(tmp_path / "a.onnx", mask(size)), "neither all, causal nor a window")


@pytest.mark.parametrize("mask", [chunked, prefixed])
def test_any_mask_of_a_fixed_number_of_tokens_is_a_table(tmp_path, mask):
    spec = agrees(masked(tmp_path / "a.onnx", mask(4), fixed=7), {"x": tokens(7)})
    assert (spec.position_bias, spec.tokens) == (PositionBias.TABLE, 7)


def heads_apart(write, scores):
    """Head 0 sees what is before, head 1 what is after, and both themselves."""
    seen = np.stack([np.tril(np.ones((7, 7), bool)), np.triu(np.ones((7, 7), bool))])
    return write("Where", seen, scores, np.array(-1e9))


def test_heads_that_see_different_tokens(tmp_path):
    spec = agrees(masked(tmp_path / "a.onnx", heads_apart, fixed=7), {"x": tokens(7)})
    assert spec.position_bias is PositionBias.TABLE


# ---- factors ---------------------------------------------------------------------------------------


def count(write, scores):
    return write("Cast", write("Shape", scores, start=3), to=TensorProto.FLOAT)


def logarithm(write, scores):
    return write("Mul", scores, write("Log", count(write, scores)))


def growing(write, scores):
    """Of more than 300 tokens only."""
    more = write("Div", count(write, scores), np.array(300.0))
    return write("Mul", scores, write("Max", more, np.array(1.0)))


def clipped(write, scores):
    return write("Clip", scores, np.array(-20.0), np.array(20.0))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (logarithm, "with 16 tokens what was read of it differs"),
        (growing, "with 16 tokens what was read of it differs"),
        (clipped, "more than a factor, a cap and a mask"),
    ],
)
def test_scores_that_are_not_multiplied_with_one_number(tmp_path, mask, message):
    refused(masked(tmp_path / "a.onnx", mask), message)


# ---- positions ---------------------------------------------------------------------------------------


def table(rows, bent=None, factor=1.0, kind=np.float32):
    angles = np.arange(rows)[:, None] * np.tile(10000.0 ** -(np.arange(0, 4, 2) / 4), 2)
    if bent:
        angles[bent:] = (angles[bent:] + angles[bent]) / 2
    both = (factor * part for part in (np.cos(angles), np.sin(angles)))
    return [part.astype(kind).astype(np.float32) for part in both]


def turning(path, name=None, sizes=("b", "n"), kind=TensorProto.INT64, rows=None, change=None):
    """Rotary embedding in single operators, by an input of this name or by the length; of stored tables, or made."""
    _, weights = spec_and_weights()
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    if name:
        at = write.input(name, list(sizes), kind)
    else:
        end = write("Squeeze", write("Shape", x, start=1, end=2))
        at = write("Unsqueeze", write("Range", np.array(0), end, np.array(1)), np.array([0]))
    if rows:
        both = [write("Gather", part, at) for part in rows]
    else:
        angles = write("Cast", at, to=TensorProto.FLOAT)
        angles = change(write, x, angles) if change else angles
        angles = write(
            "Mul", write("Unsqueeze", angles, np.array([-1])), 10000.0 ** -(np.arange(0, 4, 2) / 4)
        )
        angles = write("Concat", angles, angles, axis=-1)
        both = [write("Cos", angles), write("Sin", angles)]
    if len(sizes) == 2:
        both = [write("Unsqueeze", part, np.array([1])) for part in both]
    query, key, value = (heads_first(write, linear(write, x, weights, k), 2) for k in "QKV")
    query, key = (turned(write, part, *both) for part in (query, key))
    scores = write("MatMul", query, write("Transpose", key, perm=[0, 1, 3, 2]))
    shares = write("Softmax", write("Div", scores, np.array(2.0)), axis=-1)
    return write.save(path, map_out(write, write("MatMul", shares, value), weights))


def turned(write, part, cosines, sines):
    one, two = write("Split", part, outputs=2, axis=-1, num_outputs=2)
    across = write("Concat", write("Neg", two), one, axis=-1)
    return write("Add", write("Mul", part, cosines), write("Mul", across, sines))


@pytest.mark.parametrize("name", ["position_ids", "input_pos", "t"])
def test_positions_are_found_by_what_they_do(tmp_path, name):
    at = np.broadcast_to(np.arange(9), (2, 9))
    path = turning(tmp_path / "a.onnx", name)
    assert agrees(path, {"x": tokens(9, 2), name: at}).rotary is not None


def test_positions_with_a_point_and_for_all_examples(tmp_path):
    path = turning(tmp_path / "a.onnx", "t", ["n"], TensorProto.FLOAT)
    assert agrees(path, {"x": tokens(9), "t": np.arange(9, dtype=np.float32)}).rotary is not None


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (["b", "n"], "queries, keys or values change with position"),
        ([], "with 16 tokens what was read of it differs"),  # where positions begin must not matter
    ],
)
def test_an_input_that_is_no_position(tmp_path, sizes, message):
    """It multiplies queries: that it changes them does not make it one."""
    _, weights = spec_and_weights()
    write = Writer()
    x, factor = write.input("x", ["b", "n", 8]), write.input("positions", sizes)
    parts = [linear(write, x, weights, name) for name in "QKV"]
    if sizes:
        factor = write("Unsqueeze", factor, np.array([2]))
    parts[0] = write("Mul", parts[0], write("Add", factor, np.array(1.0)))
    query, key, value = (heads_first(write, part, 2) for part in parts)
    scores = write("MatMul", query, write("Transpose", key, perm=[0, 1, 3, 2]))
    shares = write("Softmax", scores, axis=-1)
    write.save(tmp_path / "a.onnx", map_out(write, write("MatMul", shares, value), weights))
    refused(tmp_path / "a.onnx", message)


@pytest.mark.parametrize(
    ("options", "length", "tolerance"),
    [
        ({"rows": 64}, 60, 1e-5),
        ({"rows": 9}, 9, 1e-5),
        ({"rows": 64, "factor": 1.19}, 60, 1e-5),
        ({"rows": 64, "kind": np.float16}, 60, 1e-3),
        ({"rows": 30_000}, 60, 1e-5),
    ],
)
def test_stored_tables(tmp_path, options, length, tolerance):
    path = turning(tmp_path / "a.onnx", "t", rows=table(**options))
    at = np.broadcast_to(np.arange(length), (1, length))
    assert agrees(path, {"x": tokens(length), "t": at}, tolerance=tolerance).rotary is not None


def late(write, x, angles):
    """As LongRoPE: of more than 400 tokens, slower."""
    number = write("Cast", write("Shape", x, start=1, end=2), to=TensorProto.FLOAT)
    slow = write("Greater", number, np.array([400.0]))
    return write("Where", slow, write("Mul", angles, np.array(0.5)), angles)


def test_weights_that_are_cut_out_of_others_are_no_table(tmp_path):
    """Its rows are not positions: as many tokens as it has may be too many to measure."""
    from cortico.frontends.onnx_file.graph import load
    from cortico.frontends.onnx_file.lengths import tables

    _, weights = spec_and_weights()
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    stack = np.zeros((50, 8, 8))
    stack[7] = weights["W_Q"].reshape(8, 8).T
    query = write("MatMul", x, write("Gather", stack, np.array(7), axis=0))
    parts = [query, *(linear(write, x, weights, name) for name in "KV")]
    query, key, value = (heads_first(write, part, 2) for part in parts)
    scores = write("MatMul", query, write("Transpose", key, perm=[0, 1, 3, 2]))
    shares = write("Softmax", write("Div", scores, np.array(2.0)), axis=-1)
    path = tmp_path / "a.onnx"
    write.save(path, map_out(write, write("MatMul", shares, value), weights))
    assert agrees(path, {"x": tokens(5)}).rotary is None
    graph = load(path)
    assert not list(tables(graph, graph.nodes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "t", "rows": table(64, bent=40)}, "with 64 tokens queries are not what they are"),
        ({"name": "t", "rows": table(2048, bent=1500)}, "with 2048 tokens queries are not"),
        ({"change": late}, "with 402 tokens queries are not what they are with 16"),
    ],
)
def test_turning_that_changes_later_is_refused(tmp_path, options, message):
    refused(turning(tmp_path / "a.onnx", **options), message)


# ---- the operator ------------------------------------------------------------------------------------


def operator(path, *operands, fixed=None, opset=25, **options):
    _, weights = spec_and_weights()
    write = Writer(opset=opset)
    x = write.input("x", ["b", fixed or "n", 8])
    parts = [linear(write, x, weights, name) for name in "QKV"]
    options = {"q_num_heads": 2, "kv_num_heads": 2, **options}
    joined = write("Attention", *parts, *operands, **options)
    write.ir_version = 12
    return write.save(path, out(write, joined, weights))


@pytest.mark.parametrize("window", [3, 300])
def test_windows_of_the_operator(tmp_path, window):
    path = operator(tmp_path / "a.onnx", is_causal=1, left_window_size=window - 1)
    spec = agrees(path, {"x": tokens(310)})
    assert (spec.mask, spec.window) == (Mask.WINDOW, window)


@pytest.mark.parametrize("options", [{"left_window_size": 299}, {"right_window_size": 299}])
def test_windows_to_one_side_of_the_operator(tmp_path, options):
    refused(operator(tmp_path / "a.onnx", **options), "neither all, causal nor a window")
    spec = agrees(operator(tmp_path / "b.onnx", fixed=7, **options), {"x": tokens(7)})
    assert spec.position_bias is PositionBias.NONE


@pytest.mark.parametrize("window", [3, 300])
def test_windows_to_both_sides_of_the_operator(tmp_path, window):
    sides = dict.fromkeys(("left_window_size", "right_window_size"), window - 1)
    spec = agrees(operator(tmp_path / "a.onnx", **sides), {"x": tokens(310)})
    assert (spec.mask, spec.window) == (Mask.BIDIRECTIONAL_WINDOW, window)
    sides["right_window_size"] += 1
    refused(operator(tmp_path / "b.onnx", **sides), "neither all, causal nor a window")


def test_causal_and_a_window_as_a_mask(tmp_path):
    seen = np.triu(np.ones((7, 7), bool), -2)
    path = operator(tmp_path / "a.onnx", seen, fixed=7, is_causal=1, opset=23)
    spec = agrees(path, {"x": tokens(7)})
    assert (spec.mask, spec.window) == (Mask.WINDOW, 3)
