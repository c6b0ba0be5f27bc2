"""Identity testing accepts what is equal, and refuses what is nearly so."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends.reference import ReferenceBackend
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.text import parse_circuit
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Mask, Normalisation
from cortico.spec.weights import random_weights
from cortico.verify.identity.finite_field import Draw, chain_of_fields
from cortico.verify.identity.testing import NotCheckableError, check_equal, check_spec, evaluate
from tests.covering import every_case, every_pair
from tests.ir.circuits import attention, tensor
from tests.verify.mutants import HARMLESS, MISTAKES, SPECS, changed

SIZES = {"n": 5, "n_context": 4}


def parsed(text, spec):
    """The circuit of a changed text; stored values are those of the spec's circuit."""
    stored = {p.name: p.values for p in lower(spec).parameters if p.values is not None}
    return parse_circuit(text, stored)


# ---- accepting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", every_case())
def test_lowering_is_attention(case):
    result = check_spec(case.spec, lower(case.spec), SIZES, trials=1)
    assert result.equal, result.text


@pytest.mark.parametrize("passes", ["default", "aggressive"])
@pytest.mark.parametrize("case", every_pair())
def test_passes_keep_symbolic_circuits(case, passes):
    before = lower(case.spec)
    after, _ = run_passes(before, parse_passes(passes))
    result = check_equal(before, after, SIZES, trials=1)
    assert result.equal, result.text
    assert check_spec(case.spec, after, SIZES, trials=1).equal


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_nothing_is_equal(change):
    spec, _, text = changed(*change)
    assert check_spec(spec, parsed(text, spec), SIZES).equal


def test_real_sizes_fit_in_memory():
    spec = AttentionSpec(model=256, heads=4, mask=Mask.CAUSAL)
    result = check_spec(spec, lower(spec), {"n": 256}, trials=1)
    assert result.equal
    assert result.sizes["i"] == 256


@pytest.mark.parametrize("case", every_pair())
def test_evaluation_is_that_of_the_reference_backend(case):
    spec = replace(
        case.spec,
        kernel=Kernel.LINEAR,
        normalisation=Normalisation.DIVISION,
        sink=False,
        semi_saturation=0.0,
        rotary=None,
        qk_norm=None,
        soft_cap=None,
        scale=2.0,
    )
    circuit, rng = lower(spec), np.random.default_rng(case.seed)
    arrays = {n: rng.integers(-3, 4, w.shape) * 1.0 for n, w in random_weights(spec).items()}
    inputs = {name: rng.integers(-3, 4, a.shape[1:]) * 1.0 for name, a in case.inputs.items()}
    draw = Draw(chain_of_fields(1, rng), 0, {**arrays, **inputs})
    if "keep" in inputs:
        inputs["keep"] = draw.mask("keep", inputs["keep"].shape)
    circuit = lower(spec, arrays)
    expected = ReferenceBackend().run(circuit, inputs)["y"]
    found = evaluate(circuit, SIZES, draw)["y"]
    assert np.array_equal(found, expected.astype(np.int64) % draw.fields[0].prime)


# ---- refusing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", MISTAKES)
def test_mistakes_are_refused(change):
    spec, before, after = changed(*change)
    sizes = {"n": (spec.window or 0) + 4} if (spec.window or 0) < 9 else SIZES
    if spec.window == 4096:  # at few tokens nothing can be seen of it, and this is said
        result = check_spec(spec, parsed(after, spec), sizes)
        assert "i - j <= 4096" in result.text
        return
    assert not check_spec(spec, parsed(after, spec), sizes, trials=1).equal
    assert not check_equal(parsed(before, spec), parsed(after, spec), sizes, trials=1).equal


def test_size_one_hides_scales_and_says_so():
    spec = AttentionSpec(model=4, heads=4)
    wrong = parsed(str(lower(spec)).replace("size(a)^-1/2", "1.0"), spec)
    assert check_spec(spec, wrong, SIZES).equal
    assert "size of 1" in check_spec(spec, lower(spec), SIZES).text


def test_another_output_is_refused():
    before = lower(SPECS["plain"])
    after = parsed(str(before).replace("output y", "output z"), SPECS["plain"])
    result = check_equal(before, after, SIZES)
    assert not result.equal
    assert "outputs y against z" in result.text


def test_a_difference_is_placed():
    before = lower(SPECS["plain"])
    after = parsed(str(before).replace("weight W_O", "weight 2.0 * W_O"), SPECS["plain"])
    assert "20 of 20 numbers differ, the first is y[0, 0]" in check_equal(before, after, SIZES).text


# ---- how far to trust it ---------------------------------------------------------------------------


def test_linear_attention_has_an_error_bound():
    spec = SPECS["linear"]
    result = check_spec(spec, lower(spec), SIZES, trials=3)
    assert result.degree == 7
    assert result.error_bound == (7 / result.prime) ** 3
    assert not result.has_exp
    assert "at most" in result.text


def test_exponentials_have_none():
    result = check_spec(SPECS["plain"], lower(SPECS["plain"]), SIZES)
    assert (result.degree, result.error_bound, result.has_exp) == (None, None, True)
    assert "not known, with exp" in result.text


def small(effect=Effect.MULTIPLIES, *transfers):
    """y[i] = f(g(… x[i] by W[i]))."""
    b = CircuitBuilder("small")
    b.axis("i", Role.COLUMN, "n")
    b.input("x", ("n",))
    b.parameter("W", ("n",))
    drives = [
        Compartment("a", drive=(tensor("x", "i"),)),
        Compartment("b", effect, (tensor("W", "i"),)),
    ]
    place = "i", Region.L23, CellClass.IT
    b.population("p0", *place, drives)
    for k, transfer in enumerate(transfers, start=1):
        b.population(f"p{k}", *place, [Compartment("a")], transfer)
        b.project(f"s{k}", f"p{k - 1}", f"p{k}", "a", Weight())
    b.output("y", f"p{len(transfers)}", "i")
    return b.build()


def test_divisors_count():
    result = check_equal(small(Effect.DIVIDES), small(Effect.DIVIDES), {"n": 3})
    # numerators and denominators have degree 1, and there are three divisors on each side
    assert result.degree == 2 + 3 + 3


def test_stacked_exponentials_need_longer_chains():
    twice = small(Effect.MULTIPLIES, "exp", "exp")
    assert check_equal(twice, twice, {"n": 3}).equal
    assert not check_equal(twice, small(Effect.DIVIDES, "exp", "exp"), {"n": 3}).equal
    deep = small(Effect.MULTIPLIES, *["exp"] * 12)
    with pytest.raises(NotCheckableError, match="stacked exponentials"):
        check_equal(deep, deep, {"n": 3})


@pytest.mark.parametrize("transfer", ["relu", "tanh", "sqrt"])
def test_other_transfer_functions(transfer):
    one = small(Effect.MULTIPLIES, transfer)
    assert check_equal(one, one, {"n": 30}).equal
    assert not check_equal(one, small(Effect.DIVIDES, transfer), {"n": 30}).equal
    assert not check_equal(one, small(), {"n": 30}).equal


def test_signs_are_split():
    """relu(x W) - relu(-x W) = x W."""
    parts = small(Effect.MULTIPLIES, "relu")
    lines = str(parts).replace(
        "output y = p1[i]",
        "population off [i] cortex.L2/3 pyramidal_it relu\n  a multiplies\n"
        "population both [i] cortex.L2/3 pyramidal_it\n  a multiplies\n"
        "projection t1 p0 -> off.a weight -1.0\nprojection t2 p1 -> both.a\n"
        "projection t3 off -> both.a weight -1.0\noutput y = both[i]",
    )
    assert check_equal(small(), parse_circuit(lines), {"n": 30}).equal
    swapped = parse_circuit(lines.replace("t3 off -> both.a weight -1.0", "t3 off -> both.a"))
    assert not check_equal(small(), swapped, {"n": 30}).equal


# ---- numbers ---------------------------------------------------------------------------------------


def test_stored_numbers_are_taken_exactly():
    spec = SPECS["square"]
    weights = random_weights(spec, 1, np.float32)
    circuit = lower(spec, weights)
    assert check_spec(spec, circuit, SIZES, tensors=weights).equal
    moved = {n: np.array(w) for n, w in weights.items()}
    moved["W_V"][0, 0, 0] = np.nextafter(moved["W_V"][0, 0, 0], np.float32(9))
    assert not check_spec(spec, circuit, SIZES, tensors=moved).equal
    # without numbers the stored ones do not count
    assert check_spec(spec, lower(spec, moved), SIZES).equal


@pytest.mark.parametrize("name", ["transposed", "swapped heads", "wrong group"])
def test_numbers_in_the_wrong_place_are_refused(name):
    spec = SPECS["square"]
    weights = random_weights(spec, 1)
    wrong = dict(weights)
    if name == "transposed":
        wrong["W_V"] = np.ascontiguousarray(weights["W_V"].transpose(0, 2, 1))
    elif name == "swapped heads":
        wrong["W_Q"] = weights["W_Q"][[0, 2, 1, 3]]
    else:
        wrong["W_K"] = weights["W_K"][::-1].copy()
    assert not check_spec(spec, lower(spec, wrong), SIZES, tensors=weights).equal


def test_passes_that_cut_zeros_keep_the_numbers():
    spec = replace(SPECS["plain"], heads=4, kv_heads=4)
    weights = random_weights(spec, 2)
    weights["W_O"][1] = 0
    weights["W_V"][2, 1] = 0
    before = lower(spec, weights)
    after, _ = run_passes(before, parse_passes("prune-dead"))
    assert after.axis("h").extent == 3
    result = check_equal(before, after, SIZES, tensors={})
    assert result.equal, result.text
    assert check_spec(spec, after, SIZES, tensors=weights).equal


def test_a_tensor_without_counterpart_is_not_checkable():
    spec = SPECS["plain"]
    renamed = parsed(str(lower(spec)).replace("W_K", "W_K_v2"), spec)
    with pytest.raises(NotCheckableError, match="W_K_v2"):
        check_equal(lower(spec), renamed, SIZES)
    with pytest.raises(NotCheckableError, match="W_K_v2"):
        check_spec(spec, renamed, SIZES)


def test_a_circuit_made_by_hand():
    linear, soft = attention(weights=False), attention(weights=False, softmax=True)
    assert check_equal(linear, linear, {}).equal
    assert not check_equal(linear, soft, {}).equal
    other = replace(
        soft, outputs=(replace(soft.outputs[0], source=TensorRef("relay", ("m", "i"))),)
    )
    assert not check_equal(soft, other, {}).equal
