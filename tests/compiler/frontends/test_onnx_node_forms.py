"""Every form of the operator `Attention` in onnx's own tests of it: read and equal, or refused with the reason.

Queries, keys and values, which are inputs there, are maps of tokens here; masks and lengths are stored.
"""

import importlib
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from cortico import get_runner, lower  # noqa: E402
from cortico.frontends import read_checkpoint  # noqa: E402
from tests.compiler.frontends.onnx_checks import refused  # noqa: E402

CACHE = "a cache of past keys"
EXAMPLES, NONE = "examples see different tokens", "some queries see no token"
#: Part of a form's name to why it is refused; the first that fits counts.
REASONS = {
    "with_past": CACHE,
    "local_window_gqa_rank4_mask": NONE,
    "attn_mask_3d": EXAMPLES,
    "attn_mask_4d": EXAMPLES,
    "mask4d_padded_kv": EXAMPLES,
    "padded_kv_bf16": EXAMPLES,
    "attn_mask_causal_bf16": EXAMPLES,
    "nonpad_decode": EXAMPLES,
    "nonpad_attn_mask_composition": EXAMPLES,
    "nonpad_batch_prefill": EXAMPLES,
    "ext_cache": EXAMPLES,
    "robustness": NONE,
    "structural_empty": NONE,
    "mode3_zero": NONE,
    "mode3_softmax_precision": NONE,
}
#: Of onnx 1.23.2: all, and those that are read.
FORMS_READ = (93, 49)
SHARDS = 8
HALVES = {TensorProto.FLOAT16: 2e-3, TensorProto.BFLOAT16: 2e-2}


@pytest.fixture(scope="module")
def forms():
    """Name to test, of those that have the operator itself and not what it stands for."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("onnx.backend.test.case.node.attention")  # adds its tests to a list
    found = [case for case in node._NodeTestCases if case.name.startswith("test_attention_")]
    plain = [case for case in found if "expanded" not in case.name]
    return {case.name.removeprefix("test_attention_"): case for case in plain}


def written(case, path):
    """The file of a form, and its inputs."""
    (node,) = case.model.graph.node
    arrays = dict(zip((v.name for v in case.model.graph.input), case.data_sets[0][0], strict=True))
    kinds = {v.name: v.type.tensor_type.elem_type for v in case.model.graph.input}
    stored = [tensor(name, kinds[name], arrays[name]) for name in node.input[3:] if name]
    stored.append(numpy_helper.from_array(np.array([0, 0, -1]), "joined"))
    rng, nodes, inputs = np.random.default_rng(0), [], {}
    queries, keys = (arrays[name].shape[-2] for name in "QK")
    for name in "QKV":
        array = arrays[name]
        source = "x" if name == "Q" or queries == keys else "context"
        if source not in inputs:
            shape = (array.shape[0], array.shape[-2], 6)
            inputs[source] = rng.standard_normal(shape).astype(np.float32)
            nodes.append(helper.make_node("Cast", [source], [f"{source}_cast"], to=kinds["Q"]))
        heads = array.shape[1] if array.ndim == 4 else 1
        matrix = rng.standard_normal((6, heads * array.shape[-1])) / 2
        stored.append(tensor(f"W_{name}", kinds["Q"], matrix))
        mapped = name if array.ndim == 3 else f"{name}_mapped"
        nodes.append(helper.make_node("MatMul", [f"{source}_cast", f"W_{name}"], [mapped]))
        if array.ndim == 4:
            stored.append(numpy_helper.from_array(np.array([0, 0, heads, -1]), f"{name}_heads"))
            nodes.append(helper.make_node("Reshape", [mapped, f"{name}_heads"], [f"{name}_apart"]))
            nodes.append(
                helper.make_node("Transpose", [f"{name}_apart"], [name], perm=[0, 2, 1, 3])
            )
    nodes.append(node)
    last = node.output[0]
    if arrays["Q"].ndim == 4:
        nodes.append(helper.make_node("Transpose", [last], ["back"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", ["back", "joined"], ["all"]))
        last = "all"
    nodes.append(helper.make_node("Cast", [last], ["y"], to=TensorProto.FLOAT))
    ends = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in inputs.items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "form", ends, [y], stored)
    opsets = case.model.opset_import
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return inputs, kinds["Q"]


def tensor(name, kind, array):
    array = np.asarray(array)
    if array.dtype.kind not in "biu":
        array = array.astype(np.float32)
    return helper.make_tensor(name, kind, array.shape, array.ravel())


def run(path, inputs):
    """What onnxruntime computes, or onnx where onnxruntime has no bfloat16."""
    try:
        return onnxruntime.InferenceSession(str(path)).run(None, inputs)[0]
    except Exception:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(str(path)).run(None, inputs)[0]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_forms_of_the_operator(tmp_path, forms, shard):
    for name in sorted(forms)[shard::SHARDS]:
        check_form(forms[name], tmp_path / f"{name}.onnx", reason(name))


def reason(name):
    """Why a form is refused, None for one that is read."""
    return next((why for part, why in REASONS.items() if part in name), None)


def check_form(case, path, why):
    inputs, kind = written(case, path)
    if why:
        refused(path, why)
        return
    spec, weights = read_checkpoint(path)
    found = get_runner("numpy").run(lower(spec, weights), inputs)["y"]
    expected = run(path, inputs)
    tolerance = HALVES.get(kind, 1e-5) * abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=path.name)


def test_how_many_are_read(forms):
    """What has no cache and one mask for all examples, in which every query sees a token."""
    assert (len(forms), sum(reason(name) is None for name in forms)) == FORMS_READ
