"""Broken and hostile ONNX files, and attention that no spec can say: one readable error each."""

import numpy as np
import pytest

from cortico import SpecError
from cortico.frontends import layers, read_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.compiler.frontends.onnx_checks import spec_and_weights  # noqa: E402
from tests.compiler.frontends.onnx_graphs import MICROSOFT, Writer, decomposed, linear, places  # noqa: E402


def saved(path, mask=None, scale="scores", change=lambda model: None):
    _, weights = spec_and_weights()
    write = Writer()
    write.save(path, decomposed(write, weights, scale, mask=mask))
    model = onnx.load(path)
    change(model)
    onnx.save_model(model, path)


def node(model, kind, place=0):
    return [n for n in model.graph.node if n.op_type == kind][place]


def cyclic(model):
    node(model, "Softmax").input[0] = node(model, "Softmax").output[0]


def missing_weights(model):
    del model.graph.initializer[2:]


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def enormous(model):
    """The mask is a number for each of 2^50 tokens."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**25, 2**25]), "sides"))
    scores = node(model, "Softmax").input[0]
    before_softmax(
        model,
        helper.make_node("ConstantOfShape", ["sides"], ["ones"]),
        helper.make_node("Add", [scores, "ones"], ["more"]),
    )


def negative(model):
    model.graph.initializer[0].dims[0] = -1


def negative_side(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -3


def many_tokens(model):
    """Scores of 20,000 fixed tokens would take seven gigabytes."""
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 20_000


def lacks_an_input(model):
    del node(model, "MatMul").input[1:]


def unknown_operator(model):
    node(model, "Div").domain, node(model, "Div").op_type = "com.example", "Sorcery"


def not_a_number(model):
    array = numpy_helper.to_array(model.graph.initializer[0]).copy()
    array.flat[0] = np.nan
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(array, model.graph.initializer[0].name)
    )


def erf(write, scores):
    """Nearly a cap of 1."""
    return write("Erf", scores)


def capped_mask(write, scores):
    """What is not seen gets the least score that there is."""
    seen = np.tri(16, dtype=bool)
    return write("Mul", write("Tanh", write("Where", seen, scores, np.array(-1e9))), np.array(5.0))


def strange(write, scores):
    seen = np.array([[1, 1, 0, 1] * 4] * 16, bool)
    return write("Where", seen, scores, np.array(-1e9))


def lonely(write, scores):
    """Head 1 sees all, head 0 sees itself."""
    seen = np.stack([np.eye(16, dtype=bool), np.ones((16, 16), bool)])
    return write("Where", seen, scores, np.array(-1e9))


def hill(write, scores):
    return write("Add", scores, np.sin(np.arange(16.0)))


def before_softmax(model, *made):
    """Put nodes that make "more" before the softmax, which reads it."""
    softmax = node(model, "Softmax")
    softmax.input[0] = "more"
    nodes = [*model.graph.node]
    place = nodes.index(softmax)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *made, *nodes[place:]])


def laborious(model):
    """Few numbers are read and made, 2^36 products are taken."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 4096)), "long"))
    scores = node(model, "Softmax").input[0]
    equation = "...,ua,vb,wc->..."
    before_softmax(
        model,
        helper.make_node("Einsum", [scores, "long", "long", "long"], ["more"], equation=equation),
    )


def branching(model):
    """What is added to scores comes of a graph within the graph."""
    scores = node(model, "Softmax").input[0]
    value = helper.make_tensor_value_info("none", onnx.TensorProto.DOUBLE, [])
    zero = helper.make_node("Constant", [], ["none"], value=numpy_helper.from_array(np.array(0.0)))
    body = helper.make_graph([zero], "body", [], [value])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    before_softmax(
        model,
        helper.make_node("If", ["yes"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("Add", [scores, "chosen"], ["more"]),
    )


def shares_twice(model):
    """Shares are what shares weigh."""
    product = next(n for n in model.graph.node if n.op_type == "MatMul" and _reads_shares(model, n))
    product.input[1] = product.input[0]


def _reads_shares(model, product):
    return product.input[0] in node(model, "Softmax").output


def queries_of_another_function(model):
    """Queries are made of softsign of the tokens, and positions are compared: both have as many tokens."""
    node(model, "MatMul", 2).input[0] = "soft"
    model.graph.node.insert(0, helper.make_node("Softsign", ["x"], ["soft"]))


def far_ahead(write, scores):
    """Tokens are hidden that are more than three ahead, which few tokens do not show."""
    one = places(write, scores)
    there, here = (write("Unsqueeze", one, np.array([side])) for side in (0, 1))
    hidden = write("Greater", write("Sub", there, here), np.array(3))
    return write("Where", hidden, np.array(-np.inf), scores)


REFUSED = {
    "shares twice": ({"change": shares_twice}, "."),
    "queries of another function": (
        {"change": queries_of_another_function, "mask": far_ahead},
        "cannot evaluate .* Incompatible dimensions",
    ),
    "cyclic": ({"change": cyclic}, "nothing makes .* before Softmax reads it"),
    "missing_weights": ({"change": missing_weights}, "nothing makes"),
    "elsewhere": ({"change": elsewhere}, "cannot read .*no ONNX model"),
    "enormous": ({"change": enormous}, "ConstantOfShape would make more than"),
    "laborious": ({"change": laborious}, "Einsum would take .* products"),
    "branching": ({"change": branching}, "If .* is not supported"),
    "negative": ({"change": negative}, "has a negative size"),
    "negative_side": ({"change": negative_side}, "'x' has a negative size"),
    "many_tokens": ({"change": many_tokens}, "scores would be .*20000 x 20000 numbers"),
    "lacks_an_input": ({"change": lacks_an_input}, "MatMul '' lacks inputs"),
    "unknown_operator": ({"change": unknown_operator}, "Sorcery"),
    "not_a_number": ({"change": not_a_number}, "W_. has numbers that are NaN or infinite"),
    "no cap": ({"mask": erf}, "scores go through more than a factor, a cap and a mask"),
    "a cap of a mask": ({"mask": capped_mask}, "scores have a bias by position that is no ALiBi"),
    "strange": ({"mask": strange}, "neither all, causal nor a window"),
    "lonely": ({"mask": lonely}, "heads see different tokens"),
    "hill": ({"mask": hill}, "a bias by position that is no ALiBi"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_graphs(tmp_path, name):
    options, message = REFUSED[name]
    saved(tmp_path / "a.onnx", **options)
    with pytest.raises(SpecError, match=message) as caught:
        read_checkpoint(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_normalised_queries_are_refused(tmp_path):
    """As in Qwen3: no linear map, found by comparing."""
    saved(tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    product = node(model, "MatMul", 3)
    assert product.input[0] == node(model, "Transpose", 2).output[0]
    nodes = [*model.graph.node]
    place = nodes.index(product)
    tanh = helper.make_node("Tanh", [product.input[0]], ["normal"])
    product.input[0] = "normal"
    nodes = [*nodes[:place], tanh, product, *nodes[place + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save_model(model, tmp_path / "a.onnx")
    with pytest.raises(
        SpecError, match="is none that a spec can say: with 16 tokens what was read"
    ):
        read_checkpoint(tmp_path / "a.onnx")


FILES = {
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "text": lambda path: path.write_text("hello"),
    "truncated": lambda path: (saved(path), path.write_bytes(path.read_bytes()[:900])),
    "folder": lambda path: path.mkdir(),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("name", FILES)
def test_broken_files(tmp_path, name):
    path = tmp_path / "a.onnx"
    FILES[name](path)
    with pytest.raises(SpecError, match="cannot read") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_files_without_attention_and_layers_that_are_not(tmp_path):
    write = Writer()
    x = write.input("x", ["b", "n", 8])
    write.save(tmp_path / "none.onnx", write("Softmax", write("MatMul", x, np.ones((8, 3)))))
    with pytest.raises(SpecError, match="has no attention"):
        read_checkpoint(tmp_path / "none.onnx")
    saved(tmp_path / "a.onnx")
    assert layers(tmp_path / "a.onnx") == 1
    with pytest.raises(SpecError, match=r"layer 1 of .* does not exist, layers: 0"):
        read_checkpoint(tmp_path / "a.onnx", 1)
    with pytest.raises(SpecError, match="heads does not apply to an ONNX file"):
        read_checkpoint(tmp_path / "a.onnx", heads=2)
    for read in (layers, read_checkpoint):
        with pytest.raises(SpecError, match="part does not apply to an ONNX file"):
            read(tmp_path / "a.onnx", part="cross")
    assert read_checkpoint(tmp_path / "a.onnx", tokens=7)[0].tokens == 7


def test_operators_that_do_not_say_their_heads(tmp_path):
    write = Writer(opset=23)
    x = write.input("x", ["b", "n", 8])
    found = write("Attention", x, np.ones((8, 24)), domain=MICROSOFT)
    write.save(tmp_path / "a.onnx", found)
    with pytest.raises(SpecError, match="has no num_heads"):
        read_checkpoint(tmp_path / "a.onnx")


def test_what_operators_have_that_specs_have_not(tmp_path):
    for domain, kind, options, message in (
        ("", "Attention", {"q_num_heads": 2, "kv_num_heads": 2, "softcap": -5.0}, "softcap = -5.0"),
        (
            MICROSOFT,
            "GroupQueryAttention",
            {"num_heads": 2, "kv_num_heads": 2, "softcap": -5.0},
            "softcap = -5.0, expected 0 or more",
        ),
        (MICROSOFT, "MultiHeadAttention", {"num_heads": 2, "packed": True}, "axis must be in"),
    ):
        write = Writer(opset=23)
        _, weights = spec_and_weights()
        x = write.input("x", ["b", "n", 8])
        packed = options.pop("packed", False)
        parts = [linear(write, x, weights, name) for name in "QKV"][: 1 if packed else 3]
        write.save(tmp_path / "a.onnx", write(kind, *parts, domain=domain, **options))
        with pytest.raises(SpecError, match=message):
            read_checkpoint(tmp_path / "a.onnx")
