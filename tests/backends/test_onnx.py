"""ONNX graphs: checked by onnx, run by onnxruntime on other sizes than seen, any circuit, any name."""

import importlib.util
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortico import SpecError, UnsupportedError, compile_attention, export_circuit, lower
from cortico.backends import get_backend
from cortico.ir.text.parser import parse_circuit
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias, Rotary
from cortico.spec.weights import random_weights
from tests.backends.test_numpy_code import hostile_circuit, scores_of_size
from tests.cases import BATCH, CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_pair
from tests.oracle import textbook_attention
from tests.strategies import circuits, real_numbers

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CASE = {case.name: case for case in CASES}


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("case", every_pair())
def test_the_file_is_valid_and_computes_the_textbook(case, tmp_path):
    """Written in float32, the default, after the default passes or none."""
    passes = "default" if case.seed % 2 else "none"
    compilation = compile_attention(case.spec, case.weights, passes, "onnx")
    assert "attention.onnx" in compilation.write(tmp_path)
    path = tmp_path / "attention.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 23)]
    feeds = {
        value.name: case.inputs[value.name].astype(bool if value.name == "keep" else np.float32)
        for value in model.graph.input
    }
    (found,) = session(path).run(["y"], feeds)
    assert found.dtype == np.float32
    assert relative_error(found, expected_output(case)) < 1e-5


def operators(spec, weights, folder, passes="none", **options):
    backend = get_backend("onnx", **options)
    compile_attention(spec, weights, passes, backend).write(folder)
    return [node.op_type for node in onnx.load(folder / "attention.onnx").graph.node]


FITS = [{}, {"mask": Mask.CAUSAL}, {"scale": 0.3, "value_features": 5}, {"cross": True, "context": 6},
        {"rotary": Rotary(), "key_features": 4},
        {"kv_heads": 1, "mask": Mask.CAUSAL, "rotary": Rotary()}]  # fmt: skip
FITS_NOT = [{"key_padding": True}, {"sink": True}, {"extra_source": True}, {"mask": Mask.WINDOW, "window": 2}, {"kernel": Kernel.LINEAR},
            {"mask": Mask.CAUSAL, "position_bias": PositionBias.ALIBI}]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("passes", ["none", "default"])
@pytest.mark.parametrize("options", FITS + FITS_NOT, ids=str)
def test_the_operator_stands_where_it_means_the_same(options, passes, tmp_path):
    spec = AttentionSpec(8, 2, **options)
    weights, x = random_weights(spec, 0), np.random.default_rng(0).standard_normal((2, 5, 8))
    context = {"context": x[:, :3, :6]} if spec.cross else {}
    fused = operators(spec, weights, tmp_path, passes)
    assert ("Attention" in fused) == (options in FITS)
    if options in FITS:
        assert "Exp" not in fused and "ReduceMax" not in fused
    assert "Attention" not in operators(spec, weights, tmp_path / "p", passes, form="primitives")
    for path in (tmp_path, tmp_path / "p"):
        onnx.checker.check_model(str(path / "attention.onnx"), full_check=True)
        given = {n: a.astype(np.float32) for n, a in {"x": x, **context}.items()}
        if spec.key_padding:
            given["keep"] = np.ones((2, 5), bool)
        (found,) = session(path / "attention.onnx").run(None, given)
        for k in range(2):
            one = {name: array[k] for name, array in context.items()}
            expected = textbook_attention(spec, weights, x[k], **one)
            np.testing.assert_allclose(found[k], expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_bounds_under_which_a_query_sees_nothing_are_no_attention(tmp_path):
    """j < i: the first query gets zeros, which the operator has not."""
    spec = AttentionSpec(4, 1, mask=Mask.CAUSAL)
    text = str(lower(spec)).replace("j - i <= 0", "j - i <= -1")
    circuit, weights = parse_circuit(text), random_weights(spec, 0)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    found = get_backend("onnx").run(circuit, {"x": x}, weights)["y"]
    expected = get_backend("reference").run(circuit, {"x": x}, weights)["y"]
    assert not expected[0].any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gains_with_sizes_known_at_run_time_stay_in_single_precision(tmp_path):
    text = str(lower(AttentionSpec(4, 1))).replace("size(a)^-1/2", "size(j)^-1/2")
    export_circuit(parse_circuit(text), "onnx", tmp_path)
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "attention.onnx"))
    doubles = [
        v for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    ]
    assert doubles and all(not v.type.tensor_type.shape.dim for v in doubles)


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (1, 9), (4, 3)])
def test_any_number_of_tokens_and_examples(batch, tokens, tmp_path):
    spec = AttentionSpec(model=6, heads=2, mask=Mask.CAUSAL, key_padding=True)
    weights = random_weights(spec, 0)
    backend = get_backend("onnx", dtype="float64")
    export_circuit(lower(spec, weights), backend, tmp_path)
    rng = np.random.default_rng(0)
    x, keep = rng.standard_normal((batch, tokens, 6)), rng.random((batch, tokens)) < 0.8
    run = session(tmp_path / "attention.onnx")
    assert [value.shape for value in run.get_inputs()] == [["batch", "n", 6], ["batch", "n"]]
    assert run.get_outputs()[0].shape == ["batch", "n", 6]
    (found,) = run.run(None, {"x": x, "keep": keep})
    for k in range(batch):
        expected = textbook_attention(spec, weights, x[k], keep=keep[k])
        np.testing.assert_allclose(found[k], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_runs_as_the_reference_says(circuit, seed, tokens):
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    used = {p.transfer for p in circuit.populations}
    assume(not used & {"erf", "gelu"})  # onnxruntime has Erf for float32 only
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = get_backend("reference").run(circuit, inputs, weights)["y"]
        found = get_backend("onnx").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * largest)


@pytest.mark.parametrize("size", [1e3, 1e5])
def test_softmax_of_large_scores(size):
    spec, weights, x = scores_of_size(size, mask=Mask.CAUSAL, sink=True, extra_source=True)
    found = get_backend("onnx").run(lower(spec, weights), {"x": x})["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_batch_axes_and_absent_padding(batch):
    spec = AttentionSpec(model=6, heads=2, key_padding=True)
    circuit, x = lower(spec, random_weights(spec)), np.random.default_rng(0).random((*batch, 4, 6))
    for inputs in ({"x": x}, {"x": x, "keep": np.arange(4) < 3}):
        found = get_backend("onnx").run(circuit, inputs)["y"]
        assert found.shape == (*batch, 4, 6)
        np.testing.assert_allclose(
            found, get_backend("numpy").run(circuit, inputs)["y"], rtol=1e-12
        )
    single = get_backend("onnx").run(circuit, {"x": x.astype(np.float32)})["y"]
    assert single.dtype == np.float32


def test_hostile_names(tmp_path):
    x = np.random.default_rng(0).standard_normal((4, 3))
    expected = get_backend("reference").run(hostile_circuit(), {"weights_": x})["return"]
    np.testing.assert_allclose(
        get_backend("onnx").run(hostile_circuit(), {"weights_": x})["return"], expected, rtol=1e-12
    )
    export_circuit(hostile_circuit(), "onnx", tmp_path)
    onnx.checker.check_model(str(tmp_path / "attention.onnx"), full_check=True)
    run = session(tmp_path / "attention.onnx")
    assert [value.name for value in run.get_inputs()] == ["weights_"]
    assert [value.name for value in run.get_outputs()] == ["return"]


@pytest.mark.slow
def test_weights_without_numbers_are_inputs(tmp_path):
    case = CASE["bert"]
    export_circuit(lower(case.spec), "onnx", tmp_path)
    run = session(tmp_path / "attention.onnx")
    assert {value.name for value in run.get_inputs()} == {"x", "keep", *case.weights}
    feeds = {n: a.astype(bool if n == "keep" else np.float32) for n, a in case.inputs.items()}
    weights = {n: a.astype(np.float32) for n, a in case.weights.items()}
    (found,) = run.run(None, {**feeds, **weights})
    assert relative_error(found, expected_output(case)) < 1e-5


def test_large_weights_lie_in_a_file_of_their_own(tmp_path, monkeypatch):
    case = CASE["llama"]
    monkeypatch.setattr("cortico.backends.onnx.model.EXTERNAL", 1000)
    names = compile_attention(case.spec, case.weights, backend="onnx").write(tmp_path)
    assert {"attention.onnx", "attention.onnx.data"} <= set(names)
    assert set(names) == {path.name for path in tmp_path.iterdir()}
    (found,) = session(tmp_path / "attention.onnx").run(
        None, {"x": case.inputs["x"].astype(np.float32)}
    )
    assert found.shape[0] == BATCH and relative_error(found, expected_output(case)) < 1e-5


def test_the_weights_are_stored_once_under_their_names(tmp_path):
    case = CASE["gpt2"]
    export_circuit(lower(case.spec, case.weights), get_backend("onnx", dtype="float64"), tmp_path)
    stored = onnx.load(tmp_path / "attention.onnx").graph.initializer
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in stored}
    for name, array in case.weights.items():
        assert np.array_equal(arrays[name], array)
    assert all(array.size <= 2 for name, array in arrays.items() if name not in case.weights)


def test_options_and_missing_libraries(monkeypatch, tmp_path):
    with pytest.raises(
        SpecError,
        match=r"form .* operator or primitives, found 'operators' \(did you mean 'operator'\?\)",
    ):
        get_backend("onnx", form="operators")
    with pytest.raises(
        SpecError, match=r"dtype .* float32 or float64, found 'float' .did you mean 'float64'"
    ):
        get_backend("onnx", dtype="float")
    found = importlib.util.find_spec
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    for missing in ("onnx", "onnxruntime"):
        monkeypatch.setattr(
            "importlib.util.find_spec",
            lambda name, m=missing: None if name == m else found(name),
        )
        with pytest.raises(UnsupportedError) as caught:
            get_backend("onnx").run(circuit, case.inputs)
        assert str(caught.value) == f"backend 'onnx' needs {missing}: pip install 'cortico[onnx]'"
    export_circuit(circuit, "onnx", tmp_path)  # writing needs no onnxruntime
