"""What is PyTorch's own in emitted models: parameters, files, devices and types, gradients, compilation."""

import numpy as np
import pytest

from cortico import compile_model
from cortico.backends import get_backend
from cortico.ir.text import save_network
from cortico.ir.text.networks import stored_arrays
from cortico.spec.model_weights import random_model
from tests.backends.networks.emitted import emitted
from tests.backends.networks.models import SPECS, case, network

torch = pytest.importorskip("torch")


def model_of(name, **how):
    return emitted("torch", network(name))["Model"](stored_arrays(network(name)), **how)


def inputs_of(name):
    return {n: torch.asarray(a, copy=True) for n, a in case(name).inputs.items()}


def close(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


# ---- weights ---------------------------------------------------------------------------------------


def test_a_tied_readout_is_the_table_of_tokens():
    model = model_of("llama")
    assert model.readout.read.weight is model.embedding.W_token
    assert len([*model.parameters()]) == len({id(p) for p in model.parameters()})
    model(torch.arange(5))[1].sum().backward()
    both = model.embedding.W_token.grad
    apart = dict(stored_arrays(network("llama")))
    apart["readout.W"] = apart["readout.W"].copy()
    other = emitted("torch", network("llama"))["Model"](apart)
    assert other.readout.read.weight is not other.embedding.W_token
    other(torch.arange(5))[1].sum().backward()
    close(both, (other.embedding.W_token.grad + other.readout.read.weight.grad).numpy())


@pytest.mark.parametrize("passes", ["none", "default"])
def test_levels_of_the_same_arrays_are_one_set_of_parameters(passes):
    """As in ALBERT: also what several weights are packed into, and what a pass made of them."""
    weights = random_model(SPECS["gpt"], 1)
    weights |= {path.replace("[0]", "[1]"): own for path, own in weights.items() if "[0]" in path}
    made = compile_model(SPECS["gpt"], weights, passes).network
    namespace = {"__name__": "model", "__file__": "nowhere/model.py"}
    exec(get_backend("torch").network_source(made), namespace)
    model = namespace["Model"](stored_arrays(made))
    first, second = model.layer
    assert {id(p) for p in first.parameters()} == {id(p) for p in second.parameters()}
    tokens = np.array([[1, 2, 3]])
    expected = get_backend("reference").run(made.flatten(), {"tokens": tokens})["logits"]
    close(model(torch.asarray(tokens))[1], expected)


def test_levels_of_other_arrays_are_apart():
    first, second = model_of("llama").layer
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_weights_are_read_from_the_file_beside(tmp_path):
    save_network(network("llama"), tmp_path / "network.cortico")
    path = tmp_path / "model_torch.py"
    path.write_text(get_backend("torch").network_source(network("llama")), "utf-8")
    namespace = {"__name__": "model", "__file__": str(path)}
    exec(path.read_text("utf-8"), namespace)
    model = namespace["Model"]()
    assert model.readout.read.weight is model.embedding.W_token
    close(model(**inputs_of("llama"))[1], case("llama").expected["logits"])


def test_what_is_missing_is_named_by_its_path():
    weights = stored_arrays(network("llama"))
    del weights["layer[1].attention.W_K"], weights["attention:frequencies"]
    with pytest.raises(ValueError, match=r"missing: layer\[1\].attention.W_K, attention:freq"):
        emitted("torch", network("llama"))["Model"](weights)


def test_given_arrays_are_left_alone():
    weights = stored_arrays(network("llama"))
    before = weights["embedding.W_token"].copy()
    model = emitted("torch", network("llama"))["Model"](weights)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(weights["embedding.W_token"], before)


# ---- types and devices -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_has_the_type_that_it_is_told(dtype):
    model = model_of("padded", dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
    states, logits = model(**inputs_of("padded"))
    assert states.dtype == logits.dtype == dtype
    rough = 1e-5 if dtype is torch.float32 else 0.05
    error = (logits.double() - torch.asarray(case("padded").expected["logits"])).abs().max()
    assert error < rough * np.abs(case("padded").expected["logits"]).max()


def test_the_type_is_by_default_that_of_the_weights_and_changes():
    model = model_of("padded")
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    again = model.float().double()  # angles stay exact, numbers are rounded once
    assert again(**inputs_of("padded"))[1].dtype is torch.float64


@pytest.mark.parametrize("dtype", [torch.int64, np.float32, "float32"])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match=r"one of floats, such as torch\.float32"):
        model_of("llama", dtype=dtype)


# ---- gradients and compilation ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "encoder", "translator"])
def test_gradients_reach_every_parameter(name):
    model = model_of(name)
    sum((output**2).sum() for output in model(**inputs_of(name))).backward()
    blocks = {n: p.grad for n, p in model.named_parameters()}
    assert all(grad is not None and grad.abs().max() > 0 for grad in blocks.values())


def test_gradients_reach_what_is_kept():
    """Loss of the last part alone: as if all had come at once."""
    tokens, grads = inputs_of("llama")["tokens"], []
    for sizes in ([7], [4, 2, 1]):
        model, past = model_of("llama"), {}
        for part in tokens.split(sizes, -1):
            logits = model(part, past=past)[1]
        logits[..., -1, :].square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for one, other in zip(*grads, strict=True):
        close(one, other.numpy(), 1e-9)


def test_a_step_copies_only_what_is_new():
    model, tokens = model_of("llama"), inputs_of("llama")["tokens"]
    step = emitted("torch", network("llama"))["step"]
    state, _ = step(model, None, tokens[:, :4])
    state, _ = step(model, state, tokens[:, 4:5])
    place = state["layer[1].attention"]["key"].data_ptr()
    state, _ = step(model, state, tokens[:, 5:7])
    assert state["layer[1].attention"]["key"].data_ptr() == place
    assert state["layer[1].attention"]["key"].shape[-2] == 8


def test_a_batch_stays_as_large_as_it_began():
    model, step = model_of("llama"), emitted("torch", network("llama"))["step"]
    state, _ = step(model, None, torch.zeros(2, 3, dtype=int))
    with pytest.raises(
        ValueError, match=r"past keeps key of shape \(2, 2, 3, 4\), found \(5, 2, 1"
    ):
        step(model, state, torch.zeros(5, 1, dtype=int))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "encoder"])
def test_export_with_any_number_of_tokens(name):
    model = model_of(name)
    one = {n: t[:, :5].contiguous() for n, t in inputs_of(name).items()}
    tokens = torch.export.Dim("tokens", min=2, max=12)
    shapes = {n: {1: tokens} for n in one}
    program = torch.export.export(model, (), one, dynamic_shapes=shapes)
    found = program.module()(**inputs_of(name))
    for each, expected in zip(found, case(name).expected.values(), strict=True):
        close(each, expected)


@pytest.mark.slow
def test_compile_without_breaks():
    model = torch.compile(model_of("llama"), fullgraph=True, backend="aot_eager")
    close(model(**inputs_of("llama"))[1], case("llama").expected["logits"])
