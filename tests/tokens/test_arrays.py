"""Tokens in emitted arrays: rows of tables are gathered, other readings are one-hot, and what is no token is refused."""

import re
import tracemalloc

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.arrays.operations import Gather, OneHot
from cortico.backends.arrays.planner import Planner
from cortico.backends.numpy import compile_source, emit_source
from cortico.backends.reference import ReferenceBackend
from cortico.ir import InputKind
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.rewrite import rename
from cortico.ir.text import parse_circuit
from tests.tokens.circuits import EMBEDDING, ROWS, VOCABULARY, embedding, expected, turned, weights
from tests.tokens.readings import READINGS

BACKENDS = ("numpy", "torch", "jax", "onnx")
CIRCUIT = embedding()


def drawn(circuit, rng, batch=(), tokens=6):
    inputs = {}
    for tensor in circuit.inputs:
        sides = [*batch, *(tokens if side == "n" else side for side in tensor.given)]
        count = tensor.shape[-1] if tensor.kind is InputKind.TOKEN else 2
        inputs[tensor.name] = rng.integers(0, count, sides)
    return inputs, {p.name: rng.standard_normal(p.shape) for p in circuit.parameters}


def by_hand(reading, inputs, given, index=()):
    one = {
        t.name: np.eye(t.shape[-1])[inputs[t.name][index]]
        if t.kind is InputKind.TOKEN
        else inputs[t.name][index]
        for t in reading.circuit.inputs
    }
    return reading.meaning(one["tokens"], {**one, **given})


# ---- numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READINGS)
def test_the_interpreter_reads_tokens_as_one_hot(name):
    reading = READINGS[name]
    inputs, given = drawn(reading.circuit, np.random.default_rng(0))
    found = ReferenceBackend().run(reading.circuit, inputs, given)["y"]
    np.testing.assert_allclose(found, by_hand(reading, inputs, given), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", READINGS)
def test_every_reading(name, backend):
    reading = READINGS[name]
    inputs, given = drawn(reading.circuit, np.random.default_rng(1), batch=(2,))
    found = get_backend(backend).run(reading.circuit, inputs, given)["y"]
    wanted = np.stack([by_hand(reading, inputs, given, (k,)) for k in range(2)])
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", READINGS)
def test_tables_are_gathered(name):
    circuit = READINGS[name].circuit
    planner = Planner(rename(circuit, axes=axis_letters(circuit)))
    planner.outputs()
    made = {type(statement.operation) for statement in planner.program.statements}
    assert (Gather in made, OneHot in made) == (READINGS[name].gathers, not READINGS[name].gathers)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_as_the_embedding_of_pytorch(backend, dtype, batch):
    """Without rates weights decide the precision."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    ids, given = rng.integers(0, VOCABULARY, (*batch, ROWS)), weights(rng, dtype)
    found = get_backend(backend).run(CIRCUIT, {"tokens": ids}, given)
    single = dtype != np.float64
    assert {a.dtype for a in found.values()} == {np.dtype(np.float32 if single else np.float64)}
    table, positions = (torch.tensor(given[n]).double() for n in ("W_E", "position_table"))
    wanted = 0.5 * torch.nn.functional.embedding(torch.tensor(ids), table) + positions
    tolerance = {"atol": 1e-6 if single else 1e-14, "rtol": 0}
    np.testing.assert_allclose(found["y"], wanted.numpy(), **tolerance)
    np.testing.assert_allclose(found["first"], wanted[..., 0, :].tanh().numpy(), **tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("wide", "dtype"), [("W_E", np.float64), ("position_table", np.float32)])
def test_the_largest_weight_decides(backend, wide, dtype):
    """Passes fold factors into others, which are float64 then."""
    rng = np.random.default_rng(0)
    given = weights(rng, np.float32)
    assert given["W_E"].size > given["position_table"].size
    given[wide] = given[wide].astype(float)
    found = get_backend(backend).run(CIRCUIT, {"tokens": np.array([1, 2])}, given)
    assert found["y"].dtype == dtype


@pytest.mark.parametrize("backend", BACKENDS)
def test_angles_do_not_make_it_double(backend):
    """Frequencies are exact, whatever the precision of all else."""
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(0, 7, (2, 300)), rng.standard_normal((7, 2, 2)).astype(np.float32)
    given = {"W": rows, "frequencies": np.array([1.0, 0.1])}
    found = get_backend(backend).run(turned(), {"tokens": ids}, given)["y"]
    assert found.dtype == np.float32
    turns = np.exp(1j * np.arange(300)[:, None] * given["frequencies"])
    wanted = turns * (rows[ids] @ np.array([1, 1j]))
    np.testing.assert_allclose(found @ np.array([1, 1j]), wanted, atol=1e-5)


def test_packed_weights_keep_their_precision():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 2, 2))
    attention = compile_source(emit_source(turned()))
    for dtype in (np.float32, np.float64):
        packed = attention.__globals__["pack"]({"W": rows, "frequencies": rows[0, 0]}, dtype)
        assert attention([1, 2], weights=packed).dtype == dtype


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_any_type_of_whole_numbers(backend, kind):
    rng = np.random.default_rng(0)
    ids, given = np.array([0, VOCABULARY - 1], kind), weights(rng)
    found = get_backend(backend).run(CIRCUIT, {"tokens": ids}, given)
    np.testing.assert_allclose(found["y"], expected(ids, given)["y"], rtol=1e-12)


# ---- what is refused -----------------------------------------------------------------------------------


def calls():
    """The function that each file offers, of tokens."""
    rng = np.random.default_rng(0)
    given = weights(rng, np.float32)
    attention = compile_source(emit_source(CIRCUIT))
    yield "numpy", lambda ids: attention(np.array(ids), weights=given)
    torch = pytest.importorskip("torch")
    from cortico.backends.torch import compile_module, emit_module

    module = compile_module(emit_module(CIRCUIT))(given)
    yield "torch", lambda ids: module(torch.tensor(ids))
    pytest.importorskip("jax")
    from cortico.backends.jax import compile_function, emit_function

    function = compile_function(emit_function(CIRCUIT))
    yield "jax", lambda ids: function(given, np.array(ids))


CALLS = dict(calls())


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([[0, 1], [VOCABULARY, 2]], "11"),
        ([3, -1], "-1"),
        ([1.0, 1.5], r"1\.5 of type \S*float\d\d"),
        ([1.0, 2.0], r"1\.0 of type \S*float\d\d"),
        ([True], r"True of type \S*bool"),
    ],
)
def test_files_refuse_what_is_no_token(name, ids, found):
    told = rf"^tokens must hold whole numbers from 0 to 10, found {found}$"
    with pytest.raises(ValueError, match=told):
        CALLS[name](ids)


@pytest.mark.parametrize("name", CALLS)
def test_files_take_the_first_token_and_the_last(name):
    y, _ = CALLS[name]([0, VOCABULARY - 1])
    assert tuple(y.shape) == (2, 4)


@pytest.mark.parametrize("name", CALLS)
def test_files_refuse_more_tokens_than_the_table_has_rows(name):
    CALLS[name]([0] * ROWS)
    told = "^positions: 10 tokens, the table position_table has 9 rows$"
    with pytest.raises(ValueError, match=told):
        CALLS[name]([0] * (ROWS + 1))


def test_traced_jax_gives_nan_for_what_is_no_token():
    jax = pytest.importorskip("jax")
    from cortico.backends.jax import compile_function, emit_function

    function = jax.jit(compile_function(emit_function(CIRCUIT)))
    y, _ = function(weights(np.random.default_rng(0)), np.array([3, -1, VOCABULARY], np.int8))
    assert np.isnan(y).all(-1).tolist() == [False, True, True]


def test_an_onnx_graph_refuses_tokens_outside_its_table():
    onnxruntime = pytest.importorskip("onnxruntime")
    from cortico.backends.onnx.model import make_model

    given = weights(np.random.default_rng(0), np.float32)
    model = make_model(CIRCUIT, given, np.dtype(np.float32), True).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options)
    (tokens,) = session.get_inputs()
    assert (tokens.name, tokens.type, tokens.shape) == ("tokens", "tensor(int64)", ["batch", "n"])
    session.run(None, {"tokens": np.array([[VOCABULARY - 1]])})
    for outside in (VOCABULARY, -1):
        with pytest.raises(Exception, match="out of data bounds"):
            session.run(None, {"tokens": np.array([[outside]])})


# ---- memory --------------------------------------------------------------------------------------------

_LARGE = 100_000


def large():
    return parse_circuit(EMBEDDING.replace("11", str(_LARGE)).replace("(9, 4)", "(512, 4)"))


def test_numpy_makes_nothing_as_large_as_tokens_times_their_kinds():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, _LARGE, 512)
    given = {
        "W_E": rng.standard_normal((_LARGE, 4)).astype(np.float32),
        "position_table": np.zeros((512, 4), np.float32),
    }
    source = emit_source(large())
    attention = compile_source(source)
    tracemalloc.start()
    attention(ids, weights=given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 512 * _LARGE * 4 / 1000


def test_jax_makes_nothing_as_large_either():
    jax = pytest.importorskip("jax")
    from cortico.backends.jax import compile_function, emit_function

    given = {
        "W_E": jax.ShapeDtypeStruct((_LARGE, 4), np.float32),
        "position_table": jax.ShapeDtypeStruct((512, 4), np.float32),
    }
    lowered = jax.jit(compile_function(emit_function(large()))).lower(
        given, jax.ShapeDtypeStruct((512,), np.int32)
    )
    used = lowered.compile().memory_analysis()
    assert used.temp_size_in_bytes < 512 * _LARGE * 4 / 1000


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_no_array_of_a_program_has_both(backend):
    """Every array that is made lacks the axis of kinds, whatever the library."""
    circuit = large()
    planner = Planner(rename(circuit, axes=axis_letters(circuit)))
    planner.outputs()
    (token,) = (axis.name for axis in planner.circuit.axes if axis.extent == _LARGE)
    assert all(token not in s.result.axes for s in planner.program.statements)


# ---- one token at a time, ranks, gradients ----------------------------------------------------------------


def test_one_token_at_a_time():
    circuit = READINGS["past tokens"].circuit
    inputs, given = drawn(circuit, np.random.default_rng(3))
    whole = get_backend("numpy").run(circuit, inputs, given)["y"]
    step = compile_source(emit_source(circuit)).__globals__["step"]
    state = None
    for place, token in enumerate(inputs["tokens"]):
        state, y = step(state, token, weights=given)
        np.testing.assert_allclose(y, whole[place], rtol=1e-12)
    with pytest.raises(ValueError, match="found 7"):
        step(state, 7, weights=given)


def test_one_token_at_a_time_has_its_own_position():
    text = EMBEDDING.replace("axis m", "axis j : column n\naxis m")
    text = re.sub(r"population opening.*", "", text, flags=re.DOTALL) + (
        "population total [j, m] cortex.L5 pyramidal_pt\n  basal multiplies\n"
        "projection embed identity -> embedding.driver weight W_E[v, m]\n"
        "projection past embedding -> total.basal weight 1.0 where i - j <= 0\n"
        "output y = total[j, m]\n"
    )
    circuit = parse_circuit(text)
    rng = np.random.default_rng(3)
    ids, given = rng.integers(0, VOCABULARY, ROWS), weights(rng)
    wanted = np.cumsum(given["W_E"][ids] + given["position_table"], 0)
    step = compile_source(emit_source(circuit)).__globals__["step"]
    state = None
    for token, row in zip(ids, wanted, strict=True):
        state, y = step(state, token, weights=given)
        np.testing.assert_allclose(y, row, rtol=1e-12)
    with pytest.raises(ValueError, match="positions: 10 tokens, the table position_table has 9"):
        step(state, 0, weights=given)


def test_gradients_of_a_table():
    torch = pytest.importorskip("torch")
    from cortico.backends.torch import compile_module, emit_module

    given = weights(np.random.default_rng(0))
    module = compile_module(emit_module(CIRCUIT))(given)
    module(torch.tensor([[3, 3, 0]]))[0].sum().backward()
    gradient = module.weights(gradients=True)["W_E"]
    assert gradient[:, 0].tolist() == [0.5, 0, 0, 1.0, *[0] * (VOCABULARY - 4)]
