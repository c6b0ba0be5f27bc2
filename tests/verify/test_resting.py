"""Claims about circuits in time are proved where they hold, re-checked by other code, and refused where a loop is wrong."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from cortico import AttentionSpec, CorticoError, compile_attention, lower
from cortico.backends.ending import Ending
from cortico.backends.trajectory import run_in_time
from cortico.ir import CircuitError
from cortico.ir.text import parse_circuit
from cortico.spec import Kernel
from cortico.verify.certificate import certificate as certificate_of
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from cortico.verify.recheck import examine
from cortico.verify.resting import rest_claims
from tests.cases import CASES, LIVING, Case
from tests.covering import first
from tests.verify.certificates import certificate, claim

FEEDBACK = [
    *LIVING,
    *(
        Case(case.name, replace(case.spec, normalisation="feedback"))
        for case in CASES
        if case.spec.kernel is Kernel.SOFTMAX and not case.spec.semi_saturation
    ),
]
REST = "at rest the circuit is its form without loops (pool)"
STABLE = "the rest of pool is stable, where cells are prospective"


def proved(spec, text):
    """Whether what a text says is proved."""
    return proves(spec, parse_circuit(text))


def proves(spec, circuit):
    """Whether a circuit rests, is stable, and is attention there, all proved for all sizes."""
    known = [found for _, found, _, _ in rest_claims(circuit)]
    (outcome,) = compare(reference(spec), circuit_equations(circuit))
    return bool(known) and {*known, outcome.verdict} == {Known.PROVED}


def certified(spec, text, change=lambda claims: None):
    """A certificate that claims all of a circuit."""
    found = certificate(spec, text)
    found["claims"] += [claim(REST), claim(STABLE)]
    change(found["claims"])
    return found


def rechecked(spec, text, *change):
    """Whether the re-check looked at all of it, and found it right."""
    findings = {f.what: f.status for f in examine(certified(spec, text, *change)).findings}
    about = [s for what, s in findings.items() if what not in NUMBERS and "gradients" not in what]
    return len(about) == 3 and set(about) == {"re-checked"}


#: What the re-check of a circuit without numbers cannot look at.
NUMBERS = {
    "every number of the spec's tensors stands where the lowered circuit reads it",
    "the stored numbers",
    "rotary embedding",
}


@pytest.mark.parametrize("case", first(len(LIVING), FEEDBACK), ids=lambda case: case.name)
def test_rest_is_proved_and_rechecked(case):
    circuit = lower(case.spec)
    assert proves(case.spec, circuit) and rechecked(case.spec, str(circuit))


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.full) for c in LIVING])
def test_a_compilation_is_verified(case):
    compiled = compile_attention(case.spec, case.weights, verify=True)
    claims = {c.claim: c.verdict for c in compiled.verification.claims}
    assert compiled.verification.holds and claims[REST] is claims[STABLE] is Known.PROVED
    found = json.loads(json.dumps(certificate_of(compiled.verification, {}, compiled.steps)))
    report = examine(found, weights=case.weights)
    status = {f.what: f.status for f in report.findings}
    assert not report.wrong and status[REST] == status[STABLE] == "re-checked"


def test_feedforward_circuits_claim_nothing_of_rest():
    assert list(rest_claims(lower(AttentionSpec(4)))) == []


# ---- wrong loops -----------------------------------------------------------------------------------

PLAIN = AttentionSpec(model=4, normalisation="feedback")
PADDED = replace(PLAIN, mask="causal", key_padding=True)
SINK = replace(PLAIN, sink=True)
TWICE = "projection again pool -> mask.basal weight {}\nprojection value"
COUNTED = "projection live matrix_keep -> pool.live weight 1.0 where j - i <= 0\n"
OVER = COUNTED.replace("live ", "live_shunt ", 1).replace(".live", ".shunt")
OTHER = """population other [h, j] cortex.L2/3 pv tanh integrates 1.0 per ms
  soma multiplies -1.0
population deep"""

#: A spec, and what is changed in its circuit.
WRONG = {
    "integrates the sum less 2": (PLAIN, ("soma multiplies -1.0", "soma multiplies -2.0")),
    "excites": (PLAIN, ("mask.basal weight -1.0", "mask.basal weight 1.0")),
    "integrates how far below 1": (PLAIN, ("soma multiplies -1.0", "soma multiplies 1.0")),
    "the sum is taken away": (PLAIN, ("pool.soma weight 1.0", "pool.soma weight -1.0")),
    "a key is in no sum": (PLAIN, ("pool.soma weight 1.0", "pool.soma weight 1.0 where j - i <= 0")),
    "does not integrate": (PLAIN, (" integrates 1.0 per ms from 20.0", "")),
    "does not integrate, with a delay": (
        PLAIN,
        (" integrates 1.0 per ms from 20.0", ""),
        ("mask.basal weight -1.0", "mask.basal weight -1.0 delay 1.0 ms"),
    ),
    "half of the sum": (PLAIN, ("pool.soma weight 1.0", "pool.soma weight 0.5")),
    "nothing of the sum": (PLAIN, ("pool.soma weight 1.0", "pool.soma weight 0.0")),
    "rests in many places": (PLAIN, ("pv tanh", "pv relu")),
    "rests nowhere": (PLAIN, ("pv tanh", "pv sigmoid")),
    "inhibited twice": (PLAIN, ("projection value", TWICE.format("-1.0"))),
    "inhibited and excited": (PLAIN, ("projection value", TWICE.format("1.0"))),
    "inhibited by half as well": (PLAIN, ("projection value", TWICE.format("-0.5"))),
    "scores twice as large": (PLAIN, ("mask.basal weight size", "mask.basal weight 2.0 * size")),
    "deep cells hear the pool": (PLAIN, ("gate mask", "gate pool")),
    "normed over queries": (
        PLAIN,
        ("[h, i] cortex.L2/3 pv", "[h, j] cortex.L2/3 pv"),
    ),
    "normed over keys and queries": (
        PLAIN,
        ("population deep", OTHER),
        ("projection value", TWICE.replace("pool", "other").format("-1.0").replace(
            "projection value", "projection sums mask -> other.soma weight 1.0\nprojection value")),
    ),
    "no gate": (PADDED, ("pool_mask gated_mask", "pool_mask mask")),
    "never at rest without tokens": (
        PADDED, ("  live multiplies\n  shunt divides\n", ""), (COUNTED, ""), (OVER, ""),
    ),
    "counts all tokens": (
        PADDED, (COUNTED, COUNTED.replace(" where j - i <= 0", "")), (OVER, OVER.replace(" where j - i <= 0", "")),
    ),
    "counts where nothing is gated": (
        PADDED, ("gated_mask.apical weight 1.0", "gated_mask.apical weight 1.0 where j - i <= -1"),
    ),
    "gates below 0": (PADDED, ("gated_mask.apical weight 1.0", "gated_mask.apical weight -1.0")),
    "the sink is in no sum": (SINK, ("projection pool_sink sink -> pool.soma weight 1.0\n", "")),
    "the sink is not inhibited": (
        SINK, ("projection inhibition_sink pool -> sink.basal weight -1.0\n", ""),
    ),
    "the sink alone is in the sum": (SINK, ("projection pool_mask mask -> pool.soma weight 1.0\n", "")),
}  # fmt: skip


def changed(spec, *changes):
    text = str(lower(spec))
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("spec", [PLAIN, PADDED, SINK])
def test_right_loops_are_proved(spec):
    assert proved(spec, str(lower(spec))) and rechecked(spec, str(lower(spec)))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_loops_are_refused(name):
    spec, *changes = WRONG[name]
    text = changed(spec, *changes)
    try:
        assert not proved(spec, text)
    except CircuitError as error:
        assert "pool" in str(error) or "mask" in str(error)
    assert not rechecked(spec, text)


def test_what_never_rests_is_found_by_the_recheck():
    for name in ("never at rest without tokens", "counts all tokens", "gates below 0"):
        spec, *changes = WRONG[name]
        findings = examine(certified(spec, changed(spec, *changes))).findings
        status = {f.what: (f.status, f.detail) for f in findings}
        assert status[REST][0] == status[STABLE][0] == "WRONG" and "no rest" in status[REST][1]


def test_what_slows_a_pool_down_is_not_proved_though_right():
    """It rests where it should; the prover knows the plain form only, the re-check any."""
    text = changed(PADDED, (OVER, OVER.replace("1.0", "2.0")))
    with pytest.raises(CircuitError, match="do not say whether it hears anything"):
        proved(PADDED, text)
    assert rechecked(PADDED, text)


@pytest.mark.parametrize("pace", ["-1.0", "0.0", "nan"])
def test_a_pace_that_is_none_is_refused(pace):
    text = changed(PLAIN, ("integrates 1.0", f"integrates {pace}"))
    with pytest.raises(CorticoError):
        proved(PLAIN, text)
    assert examine(certified(PLAIN, text)).wrong


# ---- stability -------------------------------------------------------------------------------------

LATE = "projection inhibition pool -> mask.basal weight -1.0"


def stability(circuit):
    """What is known, and the words."""
    return next((known, detail) for c, known, detail, _ in rest_claims(circuit) if c == STABLE)


@pytest.mark.parametrize(("delay", "known"), [
    ("1.0 ms", Known.PROVED), ("1.5 ms", Known.PROVED), ("1.6 ms", Known.UNDECIDED),
    ("50.0 ms", Known.UNDECIDED), ("3 steps", Known.UNDECIDED),
])  # fmt: skip
def test_delays_make_a_loop_swing_from_a_quarter_turn_on(delay, known):
    """k = 1 per ms; π/2 ms."""
    text = changed(PLAIN, (LATE, f"{LATE} delay {delay}"))
    assert stability(parse_circuit(text))[0] is known
    assert proved(PLAIN, text) == (known is Known.PROVED)
    report = examine(certified(PLAIN, text))
    assert {f.what: f.status for f in report.findings}[STABLE] == "not re-checked"


def test_delays_add_up_around_a_loop():
    both = (
        (LATE, f"{LATE} delay 1.0 ms"),
        ("pool.soma weight 1.0", "pool.soma weight 1.0 delay 0.7 ms"),
    )
    known, detail = stability(parse_circuit(changed(PLAIN, *both)))
    assert known is Known.UNDECIDED and "1.7 ms around it" in detail and "NOT" in detail
    of_sink = ("sink.basal weight -1.0", "sink.basal weight -1.0 delay 9.0 ms")
    assert "9.7 ms around it" in stability(parse_circuit(changed(SINK, *both, of_sink)))[1]


@pytest.mark.full
@pytest.mark.parametrize(("part", "settles"), [(0.8, True), (1.2, False)])
def test_a_run_swings_where_it_is_said_to(part, settles):
    """A delay of 10 ms, and about 1 ms of the clock."""
    pace = part * math.pi / 2 / 11
    text = changed(
        replace(PLAIN, feedback={"rate": pace, "start": 2.0}), (LATE, f"{LATE} delay 10.0 ms")
    )
    rng = np.random.default_rng(0)
    weights = {p.name: rng.normal(size=p.shape) for p in parse_circuit(text).parameters}
    inputs = {"x": rng.normal(size=(3, 4))}
    run = run_in_time(
        parse_circuit(text),
        inputs,
        weights,
        duration=600.0,
        dt=0.5,
        prospective=True,
        tolerance=1e-3,
    )
    assert (run.ending is Ending.SETTLED) == settles


def test_the_pace_of_lagging_cells_counts_the_slope_of_the_pool():
    """erf rises by 2/√π at 0; two lags of 12 ms are stable below 1/6 per ms."""
    spec = replace(PADDED, feedback={"rate": 0.16})
    assert stability(lower(spec))[1].endswith("which 0.16 is")
    steep = parse_circuit(changed(spec, ("pv tanh", "pv erf")))
    assert stability(steep)[1].endswith("which 0.181 is NOT")


# ---- certificates that were changed ----------------------------------------------------------------


def _without(claims):
    del claims[-1]


def _twice(claims):
    claims.append(claims[-1])


def _of_another(claims):
    claims[-1]["claim"] = claims[-1]["claim"].replace("pool", "mask")


def _of_no_loop(claims):
    claims[-2]["claim"] = claims[-2]["claim"].replace("pool", "no pool")


def _refuted(claims):
    claims[-2]["verdict"] = "refuted"


@pytest.mark.parametrize("change", [_without, _twice, _of_another, _of_no_loop, _refuted])
def test_changed_claims_are_found_wrong(change):
    assert examine(certified(PLAIN, str(lower(PLAIN)), change)).wrong


def test_a_claim_with_conditions_that_it_has_not():
    assert not rechecked(
        PLAIN, str(lower(PLAIN)), lambda claims: claims[-1]["given"].append("x >= 0")
    )


def test_a_step_to_a_circuit_without_loops_claims_nothing():
    """And one to another loop must be of the same rest."""
    plain = replace(PLAIN, normalisation="division")
    loop, flat = str(lower(PLAIN)), str(lower(plain))
    assert examine(certificate(PLAIN, loop, (flat, []))).wrong == []
    two = changed(PLAIN, ("soma multiplies -1.0", "soma multiplies -2.0"))
    found = certificate(PLAIN, loop, (two, []))
    found["claims"] += [claim(REST), claim(STABLE)]
    assert [f.status for f in examine(found).findings if f.what.startswith("test keeps")] != [
        "re-checked"
    ]
