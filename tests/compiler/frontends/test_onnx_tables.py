"""Every operand and attribute of every operator that is read has a fate, and those refused are refused by name."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

from tests.compiler.frontends.onnx_checks import refused, spec_and_weights  # noqa: E402
from tests.compiler.frontends.onnx_graphs import MICROSOFT, Writer, linear, out  # noqa: E402


def schemas(wanted):
    """(domain, name) to the operands and attributes of all installed versions."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    found = {}
    for schema in (*onnx.defs.get_all_schemas_with_history(), *get_all_operator_schema()):
        domain = "" if schema.domain == "ai.onnx" else schema.domain
        if (domain, schema.name) not in wanted:
            continue
        operands, attributes = found.setdefault((domain, schema.name), ([], set()))
        names = [operand.name for operand in schema.inputs]
        longer = max(operands, names, key=len)
        assert longer[: len(operands)] == operands and longer[: len(names)] == names
        operands[:] = longer
        attributes.update(schema.attributes)
    return found


def test_the_table_has_every_operand_and_attribute_of_the_installed_schemas():
    from cortico.frontends.onnx_file.operators import OPERATORS

    installed = schemas(OPERATORS)
    for operator, known in OPERATORS.items():
        operands, attributes = installed[operator]
        assert list(known.operands) == operands, operator
        assert set(known.attributes) == attributes, operator


def written(tmp_path, domain, kind, operands, options, opset=23):
    """A file with this operator, whose operands (place to array or name of an input) come after queries, keys, values."""
    write = Writer(opset=opset)
    _, weights = spec_and_weights()
    x = write.input("x", ["b", "n", 8])
    if kind == "Attention" and domain:
        given = [x, write.store(np.ones((8, 24)))]
    else:
        given = [linear(write, x, weights, name) for name in "QKV"]
    given += [""] * (20 - len(given))
    for place, array in operands.items():
        given[place] = write.store(array)
    while not given[-1]:
        given.pop()
    found = write(kind, *given, domain=domain, **options)
    return write.save(tmp_path / "a.onnx", out(write, found, weights))


HEADS = {"": {"q_num_heads": 2, "kv_num_heads": 2}, MICROSOFT: {"num_heads": 2}}
GROUPED = {"num_heads": 2, "kv_num_heads": 2}
PAST = np.ones((1, 2, 3, 4))


def refusals():
    for place, name in ((4, "past_key"), (5, "past_value")):
        yield "", "Attention", {place: PAST}, {}, f"a cache of past keys .{name}"
    yield "", "Attention", {}, {"softmax_precision": 10}, "softmax_precision"
    yield MICROSOFT, "Attention", {4: np.ones((2, 1, 2, 3, 4))}, {}, "a cache of past keys .past."
    yield MICROSOFT, "Attention", {}, {"do_rotary": 1}, "rotary embedding inside"
    for place in (6, 7, 8):
        yield MICROSOFT, "MultiHeadAttention", {place: PAST}, {}, "a cache of past keys"
    yield MICROSOFT, "MultiHeadAttention", {9: PAST}, {}, "several beams"
    named = {
        3: "past_key",
        4: "past_value",
        12: "k_scale",
        13: "v_scale",
        14: "q_norm_weight",
        15: "k_norm_weight",
        16: "query_seqlens",
    }
    for place, name in named.items():
        yield MICROSOFT, "GroupQueryAttention", {place: PAST}, GROUPED, name
    for option in (
        {"k_quant_type": "PER_TENSOR"},
        {"v_quant_type": "PER_CHANNEL"},
        {"sliding_window_cache": 1},
    ):
        yield MICROSOFT, "GroupQueryAttention", {}, GROUPED | option, next(iter(option))


@pytest.mark.parametrize("case", list(refusals()), ids=lambda case: f"{case[1]}-{case[4]}")
def test_what_a_spec_cannot_say_is_refused_by_name(tmp_path, case):
    domain, kind, operands, options, message = case
    refused(written(tmp_path, domain, kind, operands, HEADS[domain] | options), message)


def test_what_is_not_in_the_table_is_refused_by_name(tmp_path):
    for operands, options, message in (
        ({}, {"new_trick": 1}, "an attribute 'new_trick' that is not known"),
        ({12: np.ones(3)}, {}, "has 13 operands, expected at most 10"),
    ):
        options = {"num_heads": 2, **options}
        refused(written(tmp_path, MICROSOFT, "MultiHeadAttention", operands, options), message)


def test_operators_for_attention_that_are_not_read_are_counted_and_refused(tmp_path):
    from cortico.frontends import layers

    path = written(tmp_path, MICROSOFT, "PackedAttention", {}, {"num_heads": 2})
    assert layers(path) == 1
    refused(path, "PackedAttention .* is no operator that is read")


def test_names_of_ours_are_refused(tmp_path):
    """Else a file could put its own array where an operator is written out."""
    path = written(tmp_path, MICROSOFT, "MultiHeadAttention", {}, {"num_heads": 2})
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Identity", ["x"], ["cortico:x"]))
    onnx.save_model(model, path)
    refused(path, "begin with 'cortico:'")
    model.graph.node[-1].CopyFrom(helper.make_node("Core", ["x"], ["z"], domain="cortico"))
    onnx.save_model(model, path)
    refused(path, "'cortico' is a domain")


def test_a_cache_that_comes_as_an_input_is_taken_as_empty(tmp_path):
    from cortico.frontends import read_checkpoint

    path = written(tmp_path, MICROSOFT, "MultiHeadAttention", {6: PAST, 7: PAST}, {"num_heads": 2})
    model = onnx.load(path)
    node = next(n for n in model.graph.node if n.op_type == "MultiHeadAttention")
    for place, name in ((6, "past_k"), (7, "past_v")):
        node.input[place] = name
        model.graph.input.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 2, "p", 4])
        )
    onnx.save_model(model, path)
    assert read_checkpoint(path)[0].heads == 2
    model.graph.input[-1].type.tensor_type.shape.dim[2].dim_value = 3
    onnx.save_model(model, path)
    refused(path, "a cache of past keys .past_value")
