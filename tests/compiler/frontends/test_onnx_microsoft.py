"""Operands and attributes of onnxruntime's operators for attention, one by one, against onnxruntime."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto  # noqa: E402

from cortico import get_runner, lower  # noqa: E402
from cortico.frontends import read_checkpoint  # noqa: E402
from cortico.spec import AttentionSpec, Bias, Mask, PositionBias, RotaryStyle  # noqa: E402
from cortico.spec.weights import random_weights  # noqa: E402
from tests.compiler.frontends.onnx_checks import agrees, refused  # noqa: E402
from tests.compiler.frontends.onnx_graphs import MICROSOFT, Writer, flat, linear, out  # noqa: E402

BIASES = Bias(True, True, True, True)
FULL = AttentionSpec(32, 4, bias=BIASES)
WIDE = AttentionSpec(64, 4, bias=BIASES)
GROUPED = AttentionSpec(64, 4, kv_heads=2, bias=BIASES)
RNG = np.random.default_rng(5)


def tokens(examples, count, width=32):
    return np.random.default_rng(3).standard_normal((examples, count, width)).astype(np.float32)


def given(write, operands, least, count=17):
    """Operands by place: arrays, or functions that make inputs; `least` are the first ones."""
    names = [*least, *[""] * (count - len(least))]
    for place, operand in operands.items():
        names[place] = operand(write) if callable(operand) else write.store(operand)
    while not names[-1]:
        names.pop()
    return names


# ---- GroupQueryAttention -----------------------------------------------------------------------------


def grouped(path, operands=None, fixed=None, packed=False, **options):
    write, weights = Writer(), random_weights(GROUPED, 1)
    x = write.input("x", ["b", fixed or "n", 64])
    lengths = write.input("lengths", ["b"], TensorProto.INT32)
    total = write.input("total", [1], TensorProto.INT32)
    least = [linear(write, x, weights, name) for name in "QKV"]
    if packed:
        least = [write("Concat", *least, axis=2), "", ""]
    names = given(write, {5: lambda _: lengths, 6: lambda _: total} | (operands or {}), least)
    options = {"num_heads": 4, "kv_num_heads": 2, **options}
    joined = write("GroupQueryAttention", *names, domain=MICROSOFT, outputs=3, **options)[0]
    return write.save(path, out(write, joined, weights))


def grouped_agrees(path, count=7, tolerance=1e-5):
    feeds = {"lengths": np.array([count - 1], np.int32), "total": np.array([count], np.int32)}
    return agrees(path, {"x": tokens(1, count, 64), **feeds}, tolerance=tolerance)


SINK = np.array([1, 2, 3, 0.5])


@pytest.mark.parametrize(
    ("operands", "options", "found"),
    [
        ({}, {}, {}),
        ({11: SINK}, {}, {"sink": True}),
        ({}, {"smooth_softmax": 1}, {"sink": True}),
        ({11: SINK}, {"smooth_softmax": 1, "causal": 0}, {"sink": True, "mask": Mask.NONE}),
        ({}, {"causal": 0}, {"mask": Mask.NONE}),
        ({}, {"local_window_size": 3}, {"mask": Mask.WINDOW, "window": 3}),
        ({}, {"local_window_size": 300}, {"mask": Mask.WINDOW, "window": 300}),
        ({}, {"scale": 0.3}, {"scale": 0.3}),
        ({}, {"softcap": 0.4, "scale": 0.9}, {"soft_cap": 0.4, "scale": 0.9}),
        (
            {11: SINK},
            {"softcap": 2.0, "local_window_size": 3},
            {"soft_cap": 2.0, "mask": Mask.WINDOW},
        ),
        ({}, {"packed": True}, {}),
    ],
)
def test_grouped_queries(tmp_path, operands, options, found):
    spec = grouped_agrees(grouped(tmp_path / "a.onnx", operands, **options))
    assert {name: getattr(spec, name) for name in found} == found
    assert spec.mask is found.get("mask", Mask.CAUSAL) and spec.kv_heads == 2


@pytest.mark.parametrize("shape", [(1, 4, 7, 7), (1, 1, 7, 7)])
@pytest.mark.parametrize("cap", [0.0, 0.5])
def test_a_bias_of_grouped_queries(tmp_path, shape, cap):
    """It is added to what is capped."""
    path = grouped(tmp_path / "a.onnx", {10: RNG.standard_normal(shape)}, fixed=7, softcap=cap)
    spec = grouped_agrees(path)
    assert spec.position_bias is PositionBias.TABLE and spec.soft_cap == (cap or None)


def test_stored_lengths(tmp_path):
    grouped_agrees(grouped(tmp_path / "a.onnx", {5: np.array([6], np.int32)}, fixed=7))
    path = grouped(tmp_path / "b.onnx", {5: np.array([3], np.int32)}, fixed=7)
    refused(path, r"stored lengths \[3\] hide tokens")


# ---- tables of rotary embedding ------------------------------------------------------------------------


def tables(rows=300, factor=1.0, kind=np.float32, bent=None, base=100.0, planes=8):
    angles = np.arange(rows)[:, None] * base ** -np.linspace(0, 0.9, planes)
    if bent:
        angles[bent:] = (angles[bent:] + angles[bent]) / 2
    cosines, sines = (factor * part for part in (np.cos(angles), np.sin(angles)))
    return {7: cosines.astype(kind).astype(np.float32), 8: sines.astype(kind).astype(np.float32)}


@pytest.mark.parametrize(
    ("options", "count", "tolerance"),
    [
        ({}, 7, 1e-5),
        ({"factor": 1.19}, 7, 1e-5),  # YaRN: queries and keys are both longer
        ({"kind": np.float16}, 200, 1e-3),  # read exactly, stored to three digits
        ({"rows": 9}, 7, 1e-5),
        ({"rows": 20_000}, 7, 1e-5),  # more than are measured: each row is held against its angle
        ({"base": 10_000.0}, 290, 1e-5),
    ],
)
def test_tables_that_turn_evenly(tmp_path, options, count, tolerance):
    path = grouped(tmp_path / "a.onnx", tables(**options), do_rotary=1)
    assert grouped_agrees(path, count, tolerance).rotary is not None


@pytest.mark.parametrize(
    ("bent", "message"),
    [(5, "not by rotary embedding"), (200, "with 300 tokens queries"), (290, "with 300 tokens")],
)
def test_tables_that_bend_are_refused(tmp_path, bent, message):
    """As LongRoPE's, wherever they do."""
    refused(grouped(tmp_path / "a.onnx", tables(bent=bent), do_rotary=1), message)


def test_tables_of_another_length_are_refused(tmp_path):
    """One plane is longer than the others: cos^2 + sin^2 is not one number."""
    longer = 1 + np.eye(8)[2] * (np.arange(300)[:, None] >= 100) / 100
    uneven = {place: table * longer for place, table in tables().items()}
    refused(grouped(tmp_path / "a.onnx", uneven, do_rotary=1), "with 300 tokens queries")


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize(
    ("domain", "positions"),
    [(MICROSOFT, ()), (MICROSOFT, ("b", "n")), (MICROSOFT, (1,)), ("", ("b", "n"))],
)
@pytest.mark.parametrize("rotated", [0, 8])
def test_rotary_embedding(tmp_path, interleaved, domain, positions, rotated):
    """A layer of its own, before the products."""
    write, weights = Writer(opset=23), random_weights(WIDE, 1)
    x = write.input("x", ["b", "n", 64])
    planes = rotated // 2 or 8
    stored = [write.store(table) for table in tables(planes=planes).values()]
    places = write.input("t", list(positions), TensorProto.INT64) if positions else "places"
    if not positions:
        count = write("Squeeze", write("Shape", x, start=1, end=2))
        ones = write("Unsqueeze", write("Range", np.array(0), count, np.array(1)), np.array([0]))
        places = write("Expand", ones, write("Shape", x, start=0, end=2))
    operands = [places, *stored] if domain else [*stored, places]
    options = {"interleaved": interleaved, "num_heads": 4, "rotary_embedding_dim": rotated}
    query, key = (
        write("RotaryEmbedding", linear(write, x, weights, k), *operands, domain=domain, **options)
        for k in "QK"
    )
    parts = [query, key, linear(write, x, weights, "V")]
    joined = write("MultiHeadAttention", *parts, domain=MICROSOFT, num_heads=4)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    t = np.zeros(1, int) if positions == (1,) else np.broadcast_to(np.arange(7), (2, 7))
    spec = agrees(path, {"x": tokens(2, 7, 64), "t": t})
    style = RotaryStyle.INTERLEAVED if interleaved else RotaryStyle.HALF_SPLIT
    assert (spec.rotary.style, spec.rotary.rotated) == (style, rotated or None)


# ---- Attention and MultiHeadAttention ------------------------------------------------------------------


def attention(path, operands=None, fixed=None, examples=None, **options):
    write, weights = Writer(), random_weights(FULL, 1)
    x = write.input("x", [examples or "b", fixed or "n", 32])
    matrix, bias = (np.concatenate([flat(weights, n)[k] for n in "QKV"], -1) for k in (0, 1))
    names = given(write, operands or {}, [x, write.store(matrix), write.store(bias)])
    joined = write("Attention", *names, domain=MICROSOFT, num_heads=4, **options)
    return write.save(path, out(write, joined, weights))


def multihead(path, operands=None, fixed=None, examples=None, packed=0, **options):
    write, weights = Writer(), random_weights(FULL, 1)
    x = write.input("x", [examples or "b", fixed or "n", 32])
    least = [write("MatMul", x, flat(weights, name)[0]) for name in "QKV"]
    bias = np.concatenate([flat(weights, name)[1] for name in "QKV"])
    if packed:
        bias = None
        five = [write("Reshape", p, np.array([0, 0, 4, 1, 8])) for p in least[-packed:]]
        least = [*least[:-packed], write("Concat", *five, axis=3)]
    names = least if bias is None else [*least, write.store(bias)]
    names = given(write, operands or {}, names)
    joined = write("MultiHeadAttention", *names, domain=MICROSOFT, num_heads=4, **options)
    return write.save(path, out(write, joined, weights))


ODD = np.array(
    [[1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [1, 1, 1, 1, 0], [1, 0, 1, 1, 1], [1, 0, 0, 0, 1]], np.int32
)
ROW = np.array([[1, 1, 0, 1, 1]] * 2, np.int32)
TABLE = {"position_bias": PositionBias.TABLE}
STORED = [
    (attention, 3, np.array([4, 4], np.int32), {}, TABLE),  # two examples of four tokens
    (attention, 3, ROW, {}, TABLE),
    (attention, 3, ROW, {"mask_filter_value": -1.0}, TABLE),
    (attention, 3, ROW, {"mask_filter_value": -1.0, "unidirectional": 1}, TABLE),
    (attention, 3, np.stack([ODD, ODD]), {}, TABLE),
    (attention, 3, np.stack([ODD, ODD]), {"unidirectional": 1}, TABLE),
    (attention, 3, np.tril(np.ones((2, 5, 5), np.int32)), {}, {"mask": Mask.CAUSAL}),
    (attention, 5, RNG.standard_normal((1, 4, 5, 5)), {}, TABLE),
    (multihead, 4, ROW, {}, TABLE),
    (multihead, 4, ROW, {"mask_filter_value": -2.0}, TABLE),
    (multihead, 4, np.array([4, 4], np.int32), {}, TABLE),
    (multihead, 4, np.tril(np.ones((2, 5, 5), np.int32)), {}, {"mask": Mask.CAUSAL}),
    (multihead, 5, RNG.standard_normal((1, 1, 5, 5)), {}, TABLE),
]


@pytest.mark.parametrize("case", range(len(STORED)))
def test_stored_masks_and_biases(tmp_path, case):
    write, place, operand, options, found = STORED[case]
    path = write(tmp_path / "a.onnx", {place: operand}, fixed=5, examples=2, **options)
    spec = agrees(path, {"x": tokens(2, 5)})
    assert {name: getattr(spec, name) for name in found} == found


def test_where_a_stored_mask_begins(tmp_path):
    """(2 b): ends, then starts."""
    path = attention(tmp_path / "a.onnx", {3: np.array([4, 1], np.int32)}, fixed=5, examples=1)
    assert agrees(path, {"x": tokens(1, 5)}).position_bias is PositionBias.TABLE


@pytest.mark.parametrize(
    ("write", "place", "operand", "message"),
    [
        (attention, 3, np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]], np.int32), "examples see"),
        (multihead, 4, np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]], np.int32), "examples see"),
        (attention, 5, RNG.standard_normal((2, 4, 5, 5)), "examples see different tokens"),
        (multihead, 5, RNG.standard_normal((2, 1, 5, 5)), "examples see different tokens"),
        (attention, 3, np.ones((2, 1, 5, 5), np.int32), r"mask of shape \(2, 1, 5, 5\) does not"),
        (multihead, 3, np.ones(100), r"bias has shape \(100,\), expected \(96,\)"),
        (multihead, 5, np.ones((1, 4, 5, 1)), r"bias of the scores has shape \(1, 4, 5, 1\)"),
        (attention, 2, np.ones(95), r"bias of Attention .* has shape \(95,\), expected \(96,\)"),
    ],
)  # fmt: skip
def test_masks_and_biases_that_no_spec_has(tmp_path, write, place, operand, message):
    refused(write(tmp_path / "a.onnx", {place: operand}, fixed=5, examples=2), message)


def test_a_stored_length_and_any_number_of_tokens(tmp_path):
    refused(attention(tmp_path / "a.onnx", {3: np.array([4, 4], np.int32)}), "a mask of shape")


MASK = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 1, 0]], np.int32)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize(("write", "place"), [(attention, 3), (multihead, 4)])
def test_masks_that_are_inputs(tmp_path, write, place, causal):
    def mask(write):
        return write.input("mask", ["b", "n"], TensorProto.INT32)

    path = write(tmp_path / "a.onnx", {place: mask}, unidirectional=causal)
    agrees(path, {"x": tokens(2, 5), "mask": MASK}, keep=MASK > 0)


def test_lengths_that_are_an_input(tmp_path):
    path = attention(
        tmp_path / "a.onnx", {3: lambda write: write.input("mask", ["b"], TensorProto.INT32)}
    )
    keep = np.arange(5) < np.array([[3], [5]])
    agrees(path, {"x": tokens(2, 5), "mask": np.array([3, 5], np.int32)}, keep=keep)


@pytest.mark.parametrize("shape", [["b", "n"], ["b", "n", "n"]])
def test_inputs_that_weaken_what_they_hide(tmp_path, shape):
    operands = {3: lambda write: write.input("mask", shape, TensorProto.INT32)}
    path = attention(tmp_path / "a.onnx", operands, mask_filter_value=-1.0)
    refused(path, "input 'mask' changes scores in a way that is neither padding nor a bias")


@pytest.mark.parametrize("packed", [2, 3])
def test_packed_keys_and_values(tmp_path, packed):
    """By the operator's documentation: onnxruntime does not run them without a graphics card."""
    _, read = read_checkpoint(multihead(tmp_path / "a.onnx", packed=packed))
    weights = random_weights(FULL, 1)
    for name in ("W_Q", "W_K", "W_V", "W_O", "b_O"):
        np.testing.assert_allclose(read[name], weights[name], rtol=1e-6, atol=1e-7)


def test_values_of_another_width(tmp_path):
    """The sizes of `qkv_hidden_sizes`, and the parts of a bias, differ."""
    spec = AttentionSpec(32, 4, value_features=6, bias=BIASES)
    weights = random_weights(spec, 1)
    write = Writer()
    x = write.input("x", ["b", "n", 32])
    matrix, bias = (np.concatenate([flat(weights, n)[k] for n in "QKV"], -1) for k in (0, 1))
    sizes = [32, 32, 24]
    options = {"num_heads": 4, "qkv_hidden_sizes": sizes}
    joined = write("Attention", x, matrix, bias, domain=MICROSOFT, **options)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    assert agrees(path, {"x": tokens(2, 5)}).value_features == 6
    write = Writer()
    x = write.input("x", ["b", "n", 32])
    parts = [write("MatMul", x, flat(weights, name)[0]) for name in "QKV"]
    joined = write("MultiHeadAttention", *parts, bias, domain=MICROSOFT, num_heads=4)
    path = write.save(tmp_path / "b.onnx", out(write, joined, weights))
    assert agrees(path, {"x": tokens(2, 5)}).value_features == 6


# ---- what only looks like something else -----------------------------------------------------------------


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_stored_lengths_of_any_number_of_tokens(tmp_path, stored):
    """What fits one number of tokens is not tried with that alone: with others it hides some."""
    write, weights = Writer(), random_weights(GROUPED, 1)
    x = write.input("x", [1, "n", 64])
    total = write("Cast", write("Shape", x, start=1, end=2), to=TensorProto.INT32)
    least = [linear(write, x, weights, name) for name in "QKV"]
    names = [*least, "", "", write.store(np.array([stored], np.int32)), total]
    options = {"num_heads": 4, "kv_num_heads": 2, "causal": 0}
    joined = write("GroupQueryAttention", *names, domain=MICROSOFT, outputs=3, **options)[0]
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    refused(path, rf"stored lengths \[{stored}\] hide tokens")


def test_lengths_that_are_counted(tmp_path):
    """As models that generate text count a mask: tokens that exist come first."""
    write, weights = Writer(), random_weights(GROUPED, 1)
    x = write.input("x", ["b", "n", 64])
    mask = write.input("mask", ["b", "n"], TensorProto.INT32)
    least = [linear(write, x, weights, name) for name in "QKV"]
    count = write("ReduceSum", mask, np.array([1]), keepdims=0)
    lengths = write("Sub", count, np.array([1], np.int32))
    total = write("Cast", write("Shape", x, start=1, end=2), to=TensorProto.INT32)
    names = [*least, "", "", lengths, total]
    options = {"num_heads": 4, "kv_num_heads": 2, "outputs": 3}
    joined = write("GroupQueryAttention", *names, domain=MICROSOFT, **options)[0]
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    spec, read = read_checkpoint(path)
    assert spec.key_padding and spec.mask is Mask.CAUSAL
    keep = np.arange(7) < np.array([[4], [7]])
    feeds = {"x": tokens(2, 7, 64), "mask": keep.astype(np.int32)}
    (y,) = onnxruntime.InferenceSession(str(path)).run(None, feeds)
    mine = get_runner("numpy").run(lower(spec, read), {"x": feeds["x"], "keep": keep})["y"]
    np.testing.assert_allclose(mine[keep], y[keep], rtol=0, atol=1e-5 * abs(y[keep]).max())


@pytest.mark.parametrize(("place", "less"), [(5, 2), (6, 1)])
def test_lengths_made_of_sizes_must_be_whole(tmp_path, place, less):
    """The last token but one, and a total that is one less."""

    def operand(write):
        size = write("Cast", write("Shape", "x", start=1, end=2), to=TensorProto.INT32)
        return write("Sub", size, np.array([less], np.int32))

    refused(grouped(tmp_path / "a.onnx", {place: operand}), "hide tokens|in total")


def test_causal_with_other_numbers_of_queries_and_keys(tmp_path):
    """onnxruntime lets the last query see the last key then, and not the first the first."""
    weights = random_weights(FULL, 1)
    write = Writer()
    x, context = write.input("x", ["b", 4, 32]), write.input("context", ["b", 6, 32])
    pairs = zip("QKV", (x, context, context), strict=True)
    parts = [linear(write, stream, weights, name) for name, stream in pairs]
    joined = write("MultiHeadAttention", *parts, domain=MICROSOFT, num_heads=4, unidirectional=1)
    path = write.save(tmp_path / "a.onnx", out(write, joined, weights))
    refused(path, "causal, with 4 queries and 6 keys")


@pytest.mark.parametrize("option", [{"causal": 2}, {"do_rotary": 3}, {"smooth_softmax": 2}])
def test_switches_are_zero_or_one(tmp_path, option):
    refused(grouped(tmp_path / "a.onnx", **option), "other than 0 or 1")
