"""The emitted PyTorch module: what it says, and what it does beyond the case table."""

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico import UnsupportedError
from cortico.backends import get_backend
from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.find_attention import optional_gates
from cortico.backends.arrays.operations import Multiply
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.reference import ReferenceBackend
from cortico.backends.torch import compile_module, emit_module
from cortico.backends.torch.state import MODULE_NAMES
from cortico.ir import Gain, Weight
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias, Rotary
from cortico.spec.weights import random_weights
from tests.backends.test_numpy_code import hostile_circuit, scores_of_size
from tests.cases import CASES
from tests.covering import every_case, first
from tests.oracle import textbook_attention
from tests.strategies import circuits, real_numbers

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
CASE = {case.name: case for case in CASES}

#: Everything that attention may be besides plain: one of these covers each option of `attend`.
RICH = AttentionSpec(
    model=8,
    heads=4,
    kv_heads=2,
    key_padding=True,
    sink=True,
    mask=Mask.CAUSAL,
    position_bias=PositionBias.ALIBI,
    rotary=Rotary(rotated=2),
)


def module_of(circuit, **options):
    values = {p.name: p.values for p in circuit.parameters if p.values is not None}
    return compile_module(emit_module(circuit))(values, **options)


def lowered(spec, seed=0):
    return lower(spec, random_weights(spec, seed))


def tokens(*shape, seed=0, **options):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal(shape), dtype=torch.float64, **options)


@pytest.mark.parametrize("name", ["linear-mask_none", "bert", "everything"])
def test_golden_code(name, golden):
    case = CASE[name]
    golden(emit_module(lower(case.spec, case.weights)), f"{name}.torch.py.txt")


@pytest.mark.slow
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_runs_as_the_reference_says(circuit, seed, tokens):
    inputs, given, rates = real_numbers(circuit, seed, tokens)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = ReferenceBackend().run(circuit, inputs, given)["y"]
        found = get_backend("torch").run(circuit, inputs, given)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)


@pytest.mark.parametrize("case", every_case())
def test_softmax_attention_is_one_call(case):
    """Of the fused kernel, whatever the passes have done; and tokens are projected by layers.

    But where keys are normed and not turned, scores are divided; the kernel knows no cap, no constant in what
    divides, and no source token apart from the others.
    """
    alone = case.spec.qk_norm and not case.spec.rotary
    if case.spec.soft_cap or case.spec.extra_source or case.spec.semi_saturation or alone:
        return
    for circuit in (
        lower(case.spec, case.weights),
        compile_attention(case.spec, case.weights).circuit,
    ):
        source = emit_module(circuit)
        forward = source[source.index("    def forward") : source.index("    def weights")]
        assert ("attend" in forward) == (case.spec.kernel is Kernel.SOFTMAX)
        assert "exp(" not in forward
        assert "tensordot" not in forward


# ---- attention -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e5])
@pytest.mark.parametrize("more", [(), ("sink",), ("sink", "extra_source")])
def test_softmax_of_large_scores(size, more):
    spec, weights, x = scores_of_size(size, mask=Mask.CAUSAL, **dict.fromkeys(more, True))
    found = get_backend("torch").run(lower(spec, weights), {"x": x})["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("score", [-1000.0, 0.0, 1000.0])
def test_gradients_beside_a_semi_saturation_are_numbers(score):
    """By score_ij it is share_ij (value_j - Σ_l share_il value_l): the same as without the constant."""
    spec = AttentionSpec(2, 1, scale=1.0, semi_saturation=0.5)
    eye = np.eye(2)[None]
    weights = {"W_Q": eye, "W_K": np.diag([score, 0.0])[None], "W_V": eye, "W_O": eye}
    x = torch.tensor([[1.0, 0.5], [0.9, 0.2]], dtype=torch.float64, requires_grad=True)
    module_of(lower(spec, weights))(x).sum().backward()
    scores = score * x.detach()[:, None, 0] * x.detach()[None, :, 0]
    share = torch.exp(
        scores - torch.logaddexp(scores.logsumexp(1), torch.tensor(0.5).log())[:, None]
    )
    wish = x.detach().sum(1)[None, :] - (share * x.detach().sum(1)).sum(1, keepdim=True)
    by_score = share * wish  # of Σ y by score_ij
    expected = share.sum(0)[:, None].expand(-1, 2).clone()
    expected[:, 0] += score * (by_score + by_score.T) @ x.detach()[:, 0]
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
def test_a_query_without_a_live_token_gets_zeros_and_no_nan(dtype, mask, monkeypatch):
    fused = torch.nn.functional.scaled_dot_product_attention

    def checking(
        *arrays, attn_mask, **options
    ):  # other kernels than the CPU's may make NaN of such rows
        assert attn_mask.any(-1).all()
        return fused(*arrays, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", checking)
    module = module_of(lowered(AttentionSpec(model=4, heads=2, key_padding=True, mask=mask)))
    x = tokens(3, 4).to(dtype).requires_grad_()
    keep = torch.tensor([False, mask is Mask.CAUSAL, False])
    y = module.to(dtype)(x, keep=keep)
    y.sum().backward()
    assert (y[0] == 0).all() and (mask is Mask.CAUSAL or (y == 0).all())
    gradients = [x.grad, *module.weights(gradients=True).values()]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_pool_of_something_else_is_no_softmax():
    """A sink that counts half is not one more key: the statements stay, and compute what they say."""
    circuit = lowered(AttentionSpec(8, 2, sink=True))
    half = Weight(gain=Gain(0.5))
    projections = tuple(
        replace(p, weight=half) if p.pre == "sink" else p for p in circuit.projections
    )
    circuit = replace(circuit, projections=projections)
    assert circuit.projections_from("sink")[0].weight == half
    x = tokens(2, 5, 8).numpy()
    found, expected = (get_backend(b).run(circuit, {"x": x})["y"] for b in ("torch", "reference"))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_input_that_something_else_reads_may_not_be_lacking():
    query, key, value = (Variable(name, ("h", "i", "a"), True) for name in "qkv")
    keep = Variable("keep", ("j",), True, gate="keep")
    attend = Attend("i", "j", query, key, value, gates=(keep,))
    alone = Statement(Variable("y", ("h", "i"), True), attend, attend.operands)
    other = Statement(Variable("z", ("j",), True), Multiply(), (keep, keep))
    assert optional_gates([alone]) == {"keep"}
    assert optional_gates([alone, other]) == set()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kv_heads", [2, 1])
def test_a_window_is_attended_by_blocks(padded, kv_heads, monkeypatch):
    spec = AttentionSpec(4, 2, kv_heads=kv_heads, mask=Mask.WINDOW, window=5, key_padding=padded)
    weights = random_weights(spec)
    module, x = module_of(lower(spec, weights)), tokens(2, 301, 4)
    keep = {"keep": torch.arange(301) % 7 > 3} if padded else {}
    sizes = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda q, k, v, **rest: sizes.append((q.shape[-2], k.shape[-2])) or fused(q, k, v, **rest),
    )
    found = module(x, **keep).detach()
    assert sizes == [(64, 128)]
    one = {name: array.numpy() for name, array in keep.items()}
    expected = np.stack([textbook_attention(spec, weights, e, **one) for e in x.numpy()])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_the_past_is_summed_in_chunks(length):
    spec = AttentionSpec(4, 2, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)
    weights, x = random_weights(spec), tokens(length, 4)
    found = module_of(lower(spec, weights))(x).detach()
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x.numpy()), rtol=1e-9)


def test_one_module_takes_any_batch_and_any_length():
    circuit = lowered(RICH)
    module = module_of(circuit)
    for shape in ((3,), (2, 5), (2, 3, 4)):
        x = tokens(*shape, 8)
        keep = np.random.default_rng(0).random(shape) < 0.7
        expected = ReferenceBackend().run(circuit, {"x": x.numpy(), "keep": keep})["y"]
        found = module(x, keep=torch.tensor(keep)).detach()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(
            module(x).detach(), module(x, keep=torch.ones(shape[-1])).detach()
        )


def test_an_input_without_batch_axes_is_shared():
    spec = AttentionSpec(8, 2, cross=True, key_padding=True)
    circuit = lowered(spec)
    inputs = {"x": tokens(3, 2, 5, 8), "context": tokens(4, 8), "keep": torch.arange(4) > 0}
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    expected = ReferenceBackend().run(circuit, arrays)["y"]
    np.testing.assert_allclose(module_of(circuit)(**inputs).detach(), expected, rtol=1e-12)


# ---- autograd ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [RICH, AttentionSpec(4, 2, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)]
)
def test_gradients_are_those_of_differences(spec):
    module, x = module_of(lowered(spec)), tokens(2, 3, spec.model, requires_grad=True)
    inputs = {"keep": torch.tensor([False, True, True])} if spec.key_padding else {}
    names = [name for name, _ in module.named_parameters()]

    def output(x, *parameters):
        return torch.func.functional_call(
            module, dict(zip(names, parameters, strict=True)), x, inputs
        )

    torch.autograd.gradcheck(output, (x, *module.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", ["bert", "sink_causal_padded", "memory_llama", "gpt2"])
def test_gradients_are_those_of_the_gradient_circuit(name):
    """Autograd through the module, against error neurons: two ways that share no code."""
    case = CASE[name]
    circuit = lower(case.spec, case.weights)
    one = {k: a[0] for k, a in case.inputs.items()}
    target = np.random.default_rng(1).standard_normal((len(one["x"]), 8))
    expected = ReferenceBackend().run(
        gradient_circuit(differentiate(circuit)), {**one, "target": target}
    )
    module = module_of(circuit)
    y = module(**{k: torch.tensor(a) for k, a in one.items()})
    ((y - torch.tensor(target)) ** 2).sum().div(2).backward()
    found = module.weights(gradients=True)
    assert {f"d_{n}" for n in found} == {n for n in expected if n.startswith("d_")}
    for n, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[f"d_{n}"], rtol=1e-8, atol=1e-11)


def test_gradient_circuits_run():
    case = CASE["bert"]
    circuit = gradient_circuit(differentiate(lower(case.spec, case.weights)))
    inputs = {**case.inputs, "target": np.ones((2, 5, 8))}
    expected = ReferenceBackend().run(circuit, inputs)
    found = get_backend("torch").run(circuit, inputs)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-12)


# ---- the module --------------------------------------------------------------------------------------


def test_weights_are_views_under_the_names_of_the_circuit():
    circuit = lowered(RICH)
    module = module_of(circuit)
    for parameter in circuit.parameters:
        if parameter.formula is None:
            held = module.weights()[parameter.name].detach()
            np.testing.assert_array_equal(held, parameter.values)
    with torch.no_grad():
        module.weights()["W_O"].zero_()
    assert (module(tokens(3, 8)) == 0).all()


def test_state_can_be_saved_and_loaded():
    circuit, x = lowered(RICH, 0), tokens(4, 8)
    module, other = module_of(circuit), module_of(lowered(RICH, 1))
    assert not torch.equal(other(x), module(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))


def test_other_dtypes():
    circuit, x = lowered(RICH), tokens(2, 700, 8)
    expected = module_of(circuit)(x)
    single = module_of(circuit, dtype=torch.float32)
    assert single(x).dtype == torch.float32
    assert (single(x) - expected).abs().max() < 1e-5 * expected.abs().max()
    circuit = lowered(replace(RICH, position_bias=PositionBias.NONE))
    expected, half = module_of(circuit)(x), module_of(circuit).to(torch.bfloat16)
    assert half(x).dtype == torch.bfloat16
    # angles of rotary embedding stay exact: with rounded frequencies these would be numbers of their own
    assert torch.equal(half.weights()["frequencies"], module_of(circuit).weights()["frequencies"])
    assert (half(x) - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", first(1, ["memory_llama", "bert"]))
def test_it_is_traced_whole_and_exported_for_any_length(name):
    case = CASE[name]
    module, x = module_of(lower(case.spec, case.weights)), tokens(2, 6, 8)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), module(x))
    lengths = {"x": {1: torch.export.Dim.AUTO}}
    exported = torch.export.export(module, (x,), dynamic_shapes=lengths).module()
    longer = tokens(2, 11, 8)
    assert torch.allclose(exported(longer), module(longer), rtol=1e-12)


def test_hostile_names():
    x = np.random.default_rng(0).standard_normal((4, 3))
    rate = np.tanh(x + np.arange(3))
    expected = (rate / np.exp(rate @ np.arange(1.0, 4))[:, None]).T
    found = get_backend("torch").run(hostile_circuit(), {"weights_": x})["return"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_no_parameter_is_called_like_a_part_of_every_module(golden):
    module = torch.nn.Module()
    own = {name for name in dir(module) if not name.startswith("_")}
    own -= {"smart_apply"}  # which transformers puts there, where it was imported before
    known = MODULE_NAMES - {"weights"}
    golden("\n".join(sorted(own | known)) + "\n", "module_names.txt", ROOT / "backends" / "torch")


# ---- errors ------------------------------------------------------------------------------------------


def test_the_emitted_file_checks_what_it_gets():
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    with pytest.raises(ValueError, match=r"x has shape \(5, 9\), expected \(..., n, 8\)"):
        module_of(circuit)(torch.ones(5, 9))
    make = compile_module(emit_module(circuit))
    with pytest.raises(ValueError, match="weights are missing: W_K, b_O"):
        make({n: a for n, a in case.weights.items() if n not in ("W_K", "b_O")})
    with pytest.raises(ValueError, match=r"W_Q has shape \(8, 8\), expected \(..., 2, 4, 8\)"):
        make({**case.weights, "W_Q": np.ones((8, 8))})


def test_without_pytorch(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    case = CASE["bert"]
    with pytest.raises(UnsupportedError, match=r"needs PyTorch: pip install 'cortico\[torch\]'$"):
        get_backend("torch").run(lower(case.spec, case.weights), case.inputs)


@pytest.mark.slow
def test_the_emitted_file_stands_alone(tmp_path):
    """Run by a Python that sees PyTorch only, from the folder it lies in; emitted without it."""
    case = CASE["everything"]
    compile_attention(case.spec, case.weights, backend="torch").write(tmp_path / "made")
    np.savez(tmp_path / "inputs.npz", **case.inputs)
    script = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cortico", "safetensors", "scipy"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(tmp_path / "made")!r})
import numpy as np, torch
from attention_torch import Attention
inputs = {{name: torch.tensor(array) for name, array in np.load({str(tmp_path / "inputs.npz")!r}).items()}}
np.save({str(tmp_path / "y.npy")!r}, Attention()(inputs.pop("x"), **inputs).detach().numpy())
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    expected = get_backend("reference").run(lower(case.spec, case.weights), case.inputs)["y"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-12, atol=1e-12)
