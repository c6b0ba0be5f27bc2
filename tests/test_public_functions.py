"""What `import cortico` offers takes what users have at hand, and refuses the rest in one readable error.

The functions are found, not listed: a new one without a valid call here, or that lets something strange
through, fails.
"""

import functools
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import cortico
from cortico import (
    AttentionSpec,
    Circuit,
    CircuitBuilder,
    CorticoError,
    Kernel,
    ModelSpec,
    SpecError,
    compile_attention,
    export_circuit,
    freeze,
    get_runner,
    load_circuit,
    lower,
    lower_model,
    random_model,
    random_weights,
    read_checkpoint,
    read_spec,
    required_shapes,
    save_circuit,
    write_synapses,
)
from cortico.backends import Runner, backend_names, get_backend
from cortico.backends.recordings import Rates, Recording, write_recording
from cortico.ir import Compartment, Role, TensorRef, Weight
from cortico.spec import Branch, Embedding, Layer, Stack, Step
from tests.oracle import textbook_attention

SPEC = AttentionSpec(4, 2)
WEIGHTS = random_weights(SPEC)
CIRCUIT = lower(SPEC, WEIGHTS)
MODEL = ModelSpec(
    Stack(4, (Layer((Step((Branch(AttentionSpec(4, 2, mask="causal")),)),)),), Embedding(5, 4))
)
X = np.random.default_rng(0).standard_normal((3, 4))
RECORDING = Recording(
    CIRCUIT.bind(n=1), Rates(np.arange(2.0), 1.0, np.array([0]), np.zeros((2, 1)))
)
FUNCTIONS = {
    name: found
    for name in cortico.__all__
    if callable(found := getattr(cortico, name)) and not isinstance(found, type)
}
#: Without parameters.
BARE = {"backend_names"}


@functools.cache
def small_model():
    config = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 5}
    return transformers.BertModel(transformers.BertConfig(**config, intermediate_size=4)).eval()


def valid_calls(folder):
    """Arguments with which each function works, all of its parameters among them."""
    (folder / "spec.toml").write_text("model = 4\n")
    torch.save(torch.nn.MultiheadAttention(4, 2).state_dict(), folder / "a.pt")
    save_circuit(CIRCUIT, folder / "saved.cortico")
    small_model().save_pretrained(folder / "bert")
    (folder / "recorded").mkdir(exist_ok=True)
    write_recording(RECORDING, folder / "recorded")
    quiet = {"progress": lambda *stage: None, "force": True}
    return {
        "compile_attention": {
            "spec": SPEC,
            "weights": WEIGHTS,
            "passes": "none",
            "backend": "numpy",
            "progress": quiet["progress"],
            "verify": False,
        },
        "compile_model": {
            "spec": MODEL,
            "weights": random_model(MODEL),
            "passes": "none",
            "backend": "numpy",
            "progress": quiet["progress"],
            "verify": False,
            "documents": {"note.txt": "a note"},
        },
        "lower_model": {"spec": MODEL, "weights": random_model(MODEL)},
        "random_model": {"spec": MODEL, "seed": 0, "dtype": np.float32},
        "read_model": {
            "path": folder / "bert",
            "architecture": "BertModel",
            "prefix": "",
            "ignore": (),
            "tokens": 3,
            "decoder_tokens": None,
        },
        "run_network": {
            "network": lower_model(MODEL, random_model(MODEL)),
            "inputs": {"tokens": [1, 2]},
            "backend": "reference",
        },
        "export_circuit": {
            "circuit": CIRCUIT,
            "backend": "numpy",
            "folder": folder / "out",
            **quiet,
        },
        "freeze": {"circuit": CIRCUIT, "given": {"x": X}},
        "from_torch": {
            "module": torch.nn.MultiheadAttention(4, 2),
            "name": "a",
            "cross": False,
            "values": False,
            "mask": "none",
            "key_padding": False,
        },
        "from_transformers": {
            "model": small_model(),
            "layer": 0,
            "part": None,
            "tokens": None,
            "cross": None,
            "ignore": (),
        },
        "replace_attention": {"model": small_model(), "backend": "torch"},
        "get_backend": {"name": "reference"},
        "get_runner": {"backend": "reference"},
        "load_circuit": {"path": folder / "saved.cortico"},
        "lower": {"spec": SPEC, "weights": WEIGHTS},
        "random_weights": {"spec": SPEC, "seed": 0, "dtype": np.float32},
        "read_checkpoint": {
            "path": folder / "a.pt",
            "layer": 0,
            "heads": 2,
            "prefix": "",
            "cross": False,
            "ignore": (),
            "part": None,
            "tokens": 3,
        },
        "read_recording": {"folder": folder / "recorded"},
        "read_spec": {"path": folder / "spec.toml"},
        "required_shapes": {"spec": SPEC},
        "save_circuit": {"circuit": CIRCUIT, "path": folder / "a.cortico", "force": True},
        "write_synapses": {
            "circuit": CIRCUIT.bind(n=2),
            "path": folder / "a.parquet",
            "where": lambda projection: True,
            "at": {"h": 0},
            "limit": 3,
            "block": 2,
            **quiet,
        },
    }


def call(function, arguments):
    """Parameters that take a position only come first."""
    parameters = inspect.signature(function).parameters
    first = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and n in arguments]
    rest = {name: value for name, value in arguments.items() if name not in first}
    return function(*(arguments[name] for name in first), **rest)


def test_every_function_has_a_valid_call_with_all_its_parameters(tmp_path):
    calls = valid_calls(tmp_path)
    assert {*calls, *BARE} == {*FUNCTIONS}
    for name, arguments in calls.items():
        parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
        assert {*arguments} == {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}, name
        assert call(FUNCTIONS[name], arguments) is not None or name == "save_circuit"
        assert FUNCTIONS[name].is_kind


STRANGE = (object(), b"x", 1j, [object()], {1: object()}, np.array([None]), AttentionSpec)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - BARE))
def test_nothing_strange_passes_any_parameter(tmp_path, name):
    """What is strange for a parameter is one readable error, never a traceback."""
    arguments = valid_calls(tmp_path)[name]
    for parameter in arguments:
        for value in STRANGE:
            if parameter in ("where", "progress") and callable(value):
                continue
            with pytest.raises(CorticoError) as caught:
                call(FUNCTIONS[name], {**arguments, parameter: value})
            assert 0 < len(str(caught.value)) < 1000, (parameter, value)


@pytest.mark.parametrize("name", sorted(backend_names()))
def test_nothing_strange_passes_a_runner(name):
    """The run of every backend: circuit, inputs, what is in them, and parameters."""
    backend = get_backend(name)
    if not isinstance(backend, Runner):
        return
    for arguments in (
        *((value, {"x": X}) for value in (SPEC, None, "circuit")),
        *((CIRCUIT, value) for value in (None, X, [X], "x", {"x": None}, {"y": X}, {1: X})),
        *((CIRCUIT, {"x": value}) for value in ("abc", 1j * X, [[1, 2], [3]], [None], object())),
        *((CIRCUIT, {"x": X}, value) for value in (3, X, {"W_Q": "abc"}, {"W": X}, {"W_Q": [1]})),
    ):
        with pytest.raises(CorticoError) as caught:
            backend.run(*arguments)
        assert 0 < len(str(caught.value)) < 1000


# ---- arrays ------------------------------------------------------------------------------------------


class Other:
    """An array of another library: it says how it becomes one of NumPy."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


FORMS = {
    "lists": lambda array: array.tolist(),
    "tuples": lambda array: (
        tuple(map(tuple, array.tolist())) if array.ndim == 2 else array.tolist()
    ),
    "torch": torch.tensor,
    "a parameter of torch": lambda array: torch.nn.Parameter(torch.tensor(array)),
    "lists of torch": lambda array: [torch.tensor(part) for part in array],
    "Fortran order": np.asfortranarray,
    "big-endian": lambda array: array.astype(">f8"),
    "another library": Other,
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_in_every_form(form):
    weights = {name: FORMS[form](array) for name, array in WEIGHTS.items()}
    y = textbook_attention(SPEC, WEIGHTS, X)
    compilation = compile_attention(SPEC, weights, "none")
    for name in ("reference", "numpy"):
        found = get_runner(name).run(compilation.circuit, {"x": FORMS[form](X)})["y"]
        np.testing.assert_allclose(found, y, rtol=1e-12)
        symbolic = get_runner(name).run(lower(SPEC), {"x": FORMS[form](X)}, weights)["y"]
        np.testing.assert_allclose(symbolic, y, rtol=1e-12)
    cross = AttentionSpec(4, 2, kernel="linear", cross=True)
    held = freeze(lower(cross, weights), {"context": FORMS[form](X)})
    found = get_runner("reference").run(held, {"x": X})["y"]
    np.testing.assert_allclose(found, textbook_attention(cross, WEIGHTS, X, X), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_floats(dtype):
    weights = {name: torch.tensor(array, dtype=dtype) for name, array in WEIGHTS.items()}
    exact = {name: tensor.double().numpy() for name, tensor in weights.items()}
    found = get_runner("reference").run(lower(SPEC, weights), {"x": X})["y"]
    np.testing.assert_allclose(found, textbook_attention(SPEC, exact, X), rtol=1e-12)


def test_whole_numbers():
    """Lists of them are floats; an array of them has its own type, which weights do not have."""
    ones = {name: np.ones(array.shape, int) for name, array in WEIGHTS.items()}
    listed = {name: array.tolist() for name, array in ones.items()}
    y = get_runner("reference").run(lower(SPEC, listed), {"x": [[1, 2, 3, 4]]})["y"]
    exact = {name: np.float64(array) for name, array in ones.items()}
    np.testing.assert_allclose(y, textbook_attention(SPEC, exact, np.arange(1.0, 5)[None]))
    with pytest.raises(SpecError, match="W_Q has type int64, expected floating point"):
        lower(SPEC, ones)


WRONG_ARRAYS = {
    "ragged": ([[1, 2], [3]], "has rows of different lengths"),
    "texts": ([["1", "2"]], "holds texts, '1'"),
    "a text": ("abc", "holds texts, 'abc'"),
    "complex": (1j * X, "holds complex numbers"),
    "objects": ([[1, None]], "holds None"),
    "nothing": (None, "is nothing"),
    "an object": (object(), "is an object"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), r"has type datetime64\[D\]"),
    "masked": (np.ma.masked_array(X, X > 0), "has entries that are masked out"),
    "meta": (torch.ones(2, 4, device="meta"), "is no array of numbers"),
    "sparse": (torch.eye(4).to_sparse(), "is no array of numbers"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_what_is_no_array(name):
    value, said = WRONG_ARRAYS[name]
    with pytest.raises(SpecError, match=f"input 'x' {said}"):
        get_runner("numpy").run(CIRCUIT, {"x": value})
    with pytest.raises(SpecError, match=f"input 'x' {said}"):
        freeze(CIRCUIT, {"x": value})
    with pytest.raises(SpecError, match=f"tensor 'W_V' {said}"):
        lower(SPEC, {**WEIGHTS, "W_V": value})
    with pytest.raises(SpecError, match=f"parameter 'W_V' {said}"):
        get_runner("reference").run(CIRCUIT, {"x": X}, {"W_V": value})


def test_all_that_is_wrong_at_once():
    with pytest.raises(SpecError) as caught:
        lower(SPEC, {"W_Q": "a", "W_K": [[1], [1, 2]], "W_v": X, "W_O": WEIGHTS["W_O"]})
    assert str(caught.value).splitlines() == [
        "weights of 'attention' are wrong:",
        "  - tensor 'W_Q' holds texts, 'a', expected an array of numbers",
        "  - tensor 'W_K' has rows of different lengths, expected an array of numbers",
        "  - W_V is missing, expected shape (2, 2, 4)",
        "  - W_v is not a tensor of this spec (did you mean 'W_V'?)",
    ]
    with pytest.raises(SpecError) as caught:
        read_checkpoint(3, layer="1", heads=2.0, cross="no")
    assert str(caught.value).splitlines() == [
        "arguments of read_checkpoint are wrong:",
        "  - path must be a text or a path, found 3",
        "  - layer must be an integer, found '1'",
        "  - heads must be an integer, found 2.0",
        "  - cross must be true or false, found 'no'",
    ]


def test_numbers_that_are_none():
    """NaN goes through circuits as through NumPy; weights are refused with it."""
    x = X.copy()
    x[1, 1] = np.nan
    assert np.isnan(get_runner("numpy").run(CIRCUIT, {"x": x})["y"]).any()
    with pytest.raises(SpecError, match="W_Q has 1 of 16 numbers that are NaN or infinite"):
        broken = {name: array.copy() for name, array in WEIGHTS.items()}
        broken["W_Q"].flat[0] = np.nan
        lower(SPEC, broken)


# ---- what is no array ---------------------------------------------------------------------------------


def test_paths_as_text_and_as_path(tmp_path):
    calls = valid_calls(tmp_path)
    for name, arguments in calls.items():
        for parameter, value in arguments.items():
            if isinstance(value, Path):
                call(FUNCTIONS[name], {**arguments, parameter: str(value)})


def test_scalars_of_numpy(tmp_path):
    valid_calls(tmp_path)
    spec, _ = read_checkpoint(tmp_path / "a.pt", np.int64(0), np.uint8(2), tokens=np.int32(3))
    assert (spec.heads, spec.tokens, type(spec.heads), type(spec.tokens)) == (2, 3, int, int)
    small = CIRCUIT.bind(n=np.int64(2))
    assert small.symbols == () and {type(a.extent) for a in small.axes} == {int}
    at = {"h": np.int64(1)}
    file = tmp_path / "s.parquet"
    assert write_synapses(small, file, at=at, limit=np.int64(3)) == 3
    assert random_weights(SPEC, np.int64(0))["W_Q"][0, 0, 0] == WEIGHTS["W_Q"][0, 0, 0]
    assert get_runner("numpy", ranks=np.int64(1))
    for wrong in (True, np.bool_(True), 2.0, "2", 0):
        with pytest.raises(CorticoError, match="size n must be a positive integer"):
            CIRCUIT.bind(n=wrong)


def test_weights_of_other_types_are_not_drawn():
    for dtype in (int, "complex64", "x", object, np.longdouble):
        with pytest.raises(
            SpecError, match="dtype must be one of float16, float32, float64, found"
        ):
            random_weights(SPEC, 0, dtype)
    for seed in (-1, 1.5, True, "0"):
        with pytest.raises(SpecError, match="seed must be an integer from 0 on, found"):
            random_weights(SPEC, seed)


def test_a_spec_as_a_table_and_passes_as_a_list():
    table = {"model": 4, "heads": 2, "kernel": "linear"}
    assert required_shapes(table) == required_shapes(AttentionSpec(4, 2, kernel=Kernel.LINEAR))
    one = compile_attention(table, passes=["share-relays", "prune-dead"])
    assert one.circuit == compile_attention(table, passes="share-relays,prune-dead").circuit
    with pytest.raises(
        SpecError, match=r"lower: spec.'modle' is not a field .did you mean 'model'"
    ):
        lower({"modle": 4, "model": 4})


def test_every_method_of_a_builder_is_kind():
    own = {name: f for name, f in vars(CircuitBuilder).items() if not name.startswith("_")}
    assert {name for name, f in own.items() if not getattr(f, "is_kind", False)} == {"build"}


def test_a_builder_takes_lists_and_words():
    builder = CircuitBuilder("a")
    builder.parameter("w", [np.int64(2)], [1, 2])
    builder.input("x", ["n"])
    assert builder.axis("i", "column", "n") == builder.axis("i", Role.COLUMN, "n")
    parts = [Compartment("soma", drive=(Weight(TensorRef("x", ("i",))),))]
    builder.population("cells", ["i"], "cortex.L4", "stellate", parts)
    with pytest.raises(
        SpecError, match=r"axis: role must be one of .* \(did you mean 'column'\?\)"
    ):
        builder.axis("j", "colum", 2)
    with pytest.raises(SpecError, match=r"population: region must be one of .*, found 'L7'"):
        builder.population("others", ["i"], "L7", "stellate", parts)
    with pytest.raises(SpecError, match="parameter 'v' has rows of different lengths"):
        builder.parameter("v", (2,), [[1], [1, 2]])


def test_the_wrong_object():
    compilation = compile_attention(SPEC, WEIGHTS)
    for wrong in (compilation, SPEC, "attention.toml"):
        with pytest.raises(SpecError, match="circuit must be a Circuit, found"):
            export_circuit(wrong, "numpy", "never")
    with pytest.raises(SpecError, match="spec must be an AttentionSpec, found"):
        compile_attention("attention.toml")
    assert isinstance(compilation.circuit, Circuit)
    for missing in (read_spec, load_circuit):
        with pytest.raises(CorticoError, match="No such file"):
            missing(Path("nowhere.toml"))
