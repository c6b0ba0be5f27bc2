"""Every claim looks at its subject: the compiled circuit, its numbers, and the files as they are written."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, PassError, UnsupportedError
from cortico.ir.rewrite import map_parameters, map_projections
from cortico.lowering import layout, lower
from cortico.passes import Step, parse_passes, run_passes
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, PositionBias, Rotary, RotaryStyle
from cortico.spec.weights import random_weights
from cortico.verify import independent
from cortico.verify.claims import Claim, Verification, verify_compilation
from cortico.verify.independent import Subject
from cortico.verify.known import Known
from cortico.verify.numbers import token_sizes
from tests.covering import first

SPEC = AttentionSpec(model=6, heads=2, mask=Mask.CAUSAL, bias=Bias(value=True, output=True))
WEIGHTS = random_weights(SPEC, 3)


def subject(spec=SPEC, weights=WEIGHTS, passes="default", change=lambda circuit: circuit, **more):
    lowered = lower(spec, weights)
    circuit = change(run_passes(lowered, parse_passes(passes))[0])
    return Subject(spec, weights, lowered, circuit, **more)


def scaled(name, factor):
    """A change that multiplies a stored tensor, whatever version of it there is."""

    def change(circuit):
        return map_parameters(
            circuit,
            lambda p: replace(p, values=p.values * factor) if p.name.startswith(name) else p,
        )

    return change


# ---- the compiled circuit ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W_Q", "W_K", "W_V", "W_O", "b_O"])
@pytest.mark.parametrize("factor", first(1, [1 + 1e-6, 1.5]))
def test_other_numbers_in_the_compiled_circuit_are_refuted(name, factor):
    changed = subject(change=scaled(name, factor))
    assert not independent.compiled_output(changed).holds
    if name != "b_O":
        assert not independent.compiled_gradients(changed).holds


def test_the_right_compiled_circuit_is_not_refuted():
    found = independent.compiled_output(subject())
    assert found.holds and found.known == "compared numerically"  # 1/sqrt(3) is folded and rounded
    assert "24 tokens" in found.detail and "29 tokens" in found.detail
    assert independent.compiled_gradients(subject()).holds


@pytest.mark.slow
def test_where_nothing_is_rounded_the_compiled_circuit_is_checked_exactly():
    assert independent.compiled_output(subject(passes="share-relays")).known == "checked exactly"
    wrong = scaled("W_V", 1 + 2.0**-50)(lower(SPEC, WEIGHTS))  # far below the tolerance of floats
    found = independent.compiled_output(Subject(SPEC, WEIGHTS, wrong, wrong))
    assert not found.holds and "numbers differ" in found.detail


@pytest.mark.slow
def test_symbolic_weights_are_random_and_said_so():
    right = subject(weights=None, passes="share-relays")
    found = independent.compiled_output(right)
    assert found.holds and found.known == "checked exactly"
    assert "by random weights" in found.detail
    assert any("by random weights" in name for name in independent.checks(right))


@pytest.mark.slow
def test_a_circuit_right_at_one_size_only_is_refuted():
    def at_one_size(circuit):
        return map_projections(
            circuit,
            lambda p: (
                replace(p, weight=replace(p.weight, gain=Gain(1 / 24) * Gain(1.0, (("i", 1),))))
                if p.post == "relay" and p.pre == "deep"
                else p
            ),
        )

    wrong = subject(passes="none", change=at_one_size)
    assert not independent.compiled_output(wrong).holds


@pytest.mark.slow
def test_windows_are_passed():
    window = replace(SPEC, mask=Mask.WINDOW, window=100)
    assert token_sizes(window, (24, 17)) == (124, 124)
    wrong = subject(
        spec=window,
        passes="none",
        change=lambda c: lower(replace(window, window=99), WEIGHTS),
    )
    assert not independent.compiled_output(wrong).holds


@pytest.mark.full
def test_approximate_passes_may_change_as_much_as_was_measured():
    rough = scaled("W_V", 1.001)
    assert not independent.compiled_output(subject(change=rough)).holds
    found = independent.compiled_output(_changed(rough, 0.002))
    assert found.holds
    assert "approximate passes changed it by 2.0e-03, allowed 10 times" in found.detail
    assert not independent.compiled_output(_changed(scaled("W_V", 1.5), 0.002)).holds


def _changed(change, measured):
    return replace(subject(change=change), change=measured)


def test_a_step_that_multiplies_a_weight_ends_verification():
    lowered = lower(SPEC, WEIGHTS)
    step = Step("share-relays", lowered, scaled("W_Q", 1.5)(lowered), 0.0)
    with pytest.raises(PassError):
        verify_compilation(SPEC, WEIGHTS, lowered, parse_passes("share-relays"), [step])


def test_a_layout_other_than_the_textbooks_is_refuted(monkeypatch):
    spec = replace(SPEC, key_features=4, rotary=Rotary())
    assert independent.misplaced(spec, None, lower(spec)) is None
    order = layout.plane_order(replace(spec, rotary=Rotary(style=RotaryStyle.INTERLEAVED)))
    monkeypatch.setattr(layout, "plane_order", lambda spec: order)
    wrong = lower(spec)
    assert independent.misplaced(spec, None, wrong) == "W_Q stands elsewhere"
    # the textbook is evaluated in its own layout
    assert not independent.identity_testing(Subject(spec, None, wrong, wrong)).holds


def test_stored_numbers_that_stand_elsewhere_are_refuted():
    lowered = lower(SPEC, WEIGHTS)
    assert independent.misplaced(SPEC, WEIGHTS, lowered) is None
    swapped = map_parameters(
        lowered, lambda p: replace(p, values=p.values[::-1]) if p.name == "W_K" else p
    )
    assert independent.misplaced(SPEC, WEIGHTS, swapped) == "W_K stands elsewhere"


# ---- right ones are not refuted ----------------------------------------------------------------------

ROTARY = replace(SPEC, key_features=4, rotary=Rotary())
RIGHT = {
    "llama3 rope": (ROTARY, {"rotary_frequencies": np.array([1.0, 0.0012])}),
    "linear rope": (ROTARY, {"rotary_frequencies": np.array([0.25, 0.0025])}),
    "scale 30": (replace(SPEC, scale=30.0), {}),
    "scale 1000": (replace(SPEC, scale=1000.0, key_padding=True), {}),
    "scale 0": (replace(SPEC, scale=0.0), {}),
    "linear scale 0": (replace(SPEC, scale=0.0, kernel=Kernel.LINEAR, bias=Bias()), {}),
    "no weights at all": (replace(SPEC, bias=Bias()), {"W_O": np.zeros((2, 6, 3))}),
    "small sinks": (replace(SPEC, sink=True), {"sink": np.array([-80.0, 80.0])}),
    "large extra keys": (replace(SPEC, extra_source=True), {"extra_K": np.full((2, 3), 40.0)}),
    "large slopes": (
        replace(SPEC, position_bias=PositionBias.ALIBI),
        {"alibi_slopes": np.array([9.0, -9.0])},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", first(4, RIGHT))
def test_right_numbers_are_not_refuted(name):
    spec, given = RIGHT[name]
    right = subject(spec=spec, weights={**random_weights(spec, 3), **given})
    for check in (
        independent.identity_testing,
        independent.lowered_gradients,
        independent.compiled_output,
        independent.compiled_gradients,
    ):
        assert check(right).holds, (name, check, check(right).detail)


@pytest.mark.slow
def test_other_rotary_frequencies_are_refuted():
    spec, given = RIGHT["llama3 rope"]
    right = subject(spec=spec, weights={**random_weights(spec, 3), **given})
    wrong = replace(right, weights={**right.weights, "rotary_frequencies": np.array([1.0, 0.01])})
    assert not independent.identity_testing(wrong).holds
    assert not independent.compiled_output(wrong).holds


@pytest.mark.full
def test_numbers_too_far_apart_for_floats_are_not_compared():
    weights = {**WEIGHTS, "W_V": WEIGHTS["W_V"].copy(), "W_O": WEIGHTS["W_O"].copy()}
    weights["W_V"][0, :2] = 4e14  # two value features that cancel
    weights["W_O"][0, :, 1] = -weights["W_O"][0, :, 0]
    with pytest.raises(UnsupportedError, match="too far apart for floats"):
        independent.compiled_output(subject(weights=weights))
    dead = {**WEIGHTS, "W_V": WEIGHTS["W_V"].copy(), "W_O": WEIGHTS["W_O"].copy()}
    dead["W_V"][0, 1], dead["W_O"][0, :, 1] = 4e14, 0.0
    assert independent.compiled_output(subject(weights=dead)).holds
    change = scaled("W_O", 1.0001)
    assert not independent.compiled_output(subject(weights=dead, change=change)).holds


# ---- what is written -----------------------------------------------------------------------------------


def claims_of(backend, weights=WEIGHTS, **more):
    return compile_attention(SPEC, weights, backend=backend, verify=True, **more).verification


@pytest.mark.slow
def test_claims_are_about_the_files_of_the_backend():
    pytest.importorskip("torch")
    found = {claim.claim: claim for claim in claims_of("torch").claims}
    (written,) = (claim for name, claim in found.items() if "attention_torch.py" in name)
    assert written.verdict is Known.COMPARED
    assert "4 runs in float64" in written.detail
    assert not any("NumPy" in name or "attention.py" in name for name in found)


@pytest.mark.slow
def test_numpy_code_is_checked_exactly_and_called():
    found = {claim.claim: claim.verdict for claim in claims_of("numpy").claims}
    assert found["attention.py, as emitted, is the compiled circuit"] is Known.CHECKED
    called = "attention.py, called in every way, gives what the compiled circuit gives"
    assert found[called] is Known.COMPARED


@pytest.mark.slow
def test_what_was_not_run_is_not_said_to_hold():
    proof = claims_of("graphml", weights=None)
    assert proof.holds
    assert proof.verdict == "every claim that was run holds; 1 not run"
    claim = proof.claims[-1]
    assert claim.verdict is Known.SKIPPED
    assert claim.detail == "backend 'graphml' does not run circuits"


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ((Known.PROVED, Known.COMPARED), "every claim holds"),
        ((Known.PROVED, Known.SKIPPED, Known.SKIPPED), "every claim that was run holds; 2 not run"),
        ((Known.UNDECIDED, Known.SKIPPED), "NOT every claim holds"),
        ((Known.REFUTED,), "NOT every claim holds"),
    ],
)
def test_the_verdict_in_words(verdicts, words):
    lowered = lower(SPEC)
    claims = tuple(Claim("something", verdict, "") for verdict in verdicts)
    assert Verification(SPEC, lowered, lowered, claims).verdict == words


@pytest.mark.slow
def test_claims_say_whether_they_are_about_the_lowered_or_the_compiled_circuit():
    for name in (claim.claim for claim in claims_of("numpy").claims):
        about = ("lowered circuit", "compiled circuit", "keeps the output")
        assert any(words in name for words in about), name
