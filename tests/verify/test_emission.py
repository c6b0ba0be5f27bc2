"""Emitted files are checked in every way that users call them, by the backend that wrote them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.numpy import emit_source
from cortico.ir import SpecError, UnsupportedError
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, PositionBias, Rotary
from cortico.spec.weights import random_weights
from cortico.verify.emission.calls import check_calls
from cortico.verify.emission.check import (
    beside_the_reference,
    exactly,
    in_all_calls,
    text_of_this_process_holds,
)
from cortico.verify.emission.coverage import Branches
from cortico.verify.emission.decimals import Decimals
from cortico.verify.emission.record import backend_of, record_of
from cortico.verify.emission.shrink import redrawn, same_program, shrunk
from tests.cases import CASES
from tests.covering import every_option, first

CASE = {case.name: case for case in CASES}


def compiled(name, passes="default", weights=True):
    case = CASE[name]
    lowered = lower(case.spec, case.weights if weights else None)
    return run_passes(lowered, parse_passes(passes))[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", every_option(long=True))
def test_right_code_is_right_in_every_call(case):
    circuit = redrawn(compiled(case.name, weights=case.seed % 4))
    found = check_calls(circuit, emit_source(circuit, on_ranks=case.seed % 3 == 0))
    assert found.difference is None
    assert found.error < 1e-13
    assert found.calls >= 25


@pytest.mark.parametrize("name", first(1, ["normed", "olmo2"]))
def test_large_weights_take_the_branches_that_large_rates_do_not(name):
    """A norm makes the same scores of them; and no exponent is large where scores are capped."""
    assert check_calls(*both(compiled(name))).unreached == ()
    assert check_calls(*both(compiled("capped"))).unreached


def both(circuit):
    return circuit, emit_source(circuit)


# ---- wrong code ------------------------------------------------------------------------------------

#: What is put before the last line of `attention`, in a circuit whose output is called `output`.
SABOTAGES = {
    "without batch": "output = output * (x.ndim > 2)",
    "several batch axes": "output = output * (x.ndim < 4)",
    "float32": "output = output * (dtype != np.float32)",
    "float32 in double": "output = output.astype(np.float64)",
    "more than ten tokens": "output = output * (sizes['n'] <= 10)",
    "more than a tile": "output = output * (sizes['n'] <= 256)",
    "one token": "output = output * (sizes['n'] > 1)",
    "threads": "output = output * (threads == 1)",
    "one thread": "output = output * (threads != 1)",
    "a batch of three": "output = output * (x.shape[0] != 3)",
    "many examples": "output = output * (len(x) < 100)",
    "work": "output = output * (work is None)",
    "large rates": "output = output * (np.abs(x).max() < 20)",
    "no live token": "output = output + ~keep.any()",
    "a number of tokens that no call has": "if sizes['n'] == 1723: output = 0 * output",
    "the same in one expression": "output = 0 * output if sizes['n'] == 1723 else output",
    "the same with `and`": "output = output * (1 - (sizes['n'] == 1723 and x.ndim))",
    "its argument overwritten": "x *= 2",
}

#: Of the other functions: a pattern, and what stands for it.
ELSEWHERE = {
    "weights on disk": (r"\n    return arrays", "\n    return {n: 2 * a for n, a in arrays.items()}"),
    "half weights on disk": ('"F16": "<f2"', '"F16": "<i2"'),
    "weights=None": (r"    weights = stored", "    x = 0 * x if weights is None else x\n    weights = stored"),
    "packed weights": (
        r"    packed = weights if",
        "    x = 0 * x if isinstance(weights, Packed) else x\n    packed = weights if",
    ),
    "weights once read": (
        r"(?s)@functools.cache\ndef stored\(dtype\):.*?\n    return (.*?)\n\n",
        r"@functools.cache\ndef stored(dtype):\n    return stored(np.float32) if dtype is np.float64 else \1\n\n",
    ),
    "memory of another call": (r"found.size < size", "found.size < 0"),
    "memory of another type": (r" or found.dtype != dtype", ""),
    "a result that is kept": (r"= project\((.*), W_O_matrix, (.*), threads\)", r'= project(\1, W_O_matrix, \2, threads, work, "y")'),
    "a large exponent": (r"shifted=True\)", "shifted=False)"),
    "sums that a float cannot hold": (r" & \(rates < 2.0\*\*40\)", ""),
    "a third tile": (r"if not copied:", "if copied:"),
    "the last thread": (r"range\(1, threads\)\]", "range(1, threads - 1)]; pending = iter(list(pending)[1:])"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", first(6, SABOTAGES))
def test_what_is_wrong_in_some_calls_only_is_found(what):
    circuit = compiled("bert")
    text = emit_source(circuit)
    changed = text.replace("    return output\n", f"    {SABOTAGES[what]}\n    return output\n")
    assert changed != text
    assert not text_of_this_process_holds(circuit, changed)[0]


@pytest.mark.slow
@pytest.mark.parametrize("what", first(4, ELSEWHERE))
def test_what_is_wrong_in_other_functions_is_found(what):
    circuit = compiled("bert")
    pattern, wrong = ELSEWHERE[what]
    text = emit_source(circuit)
    changed = re.sub(pattern, wrong, text, count=1)
    assert changed != text
    assert not text_of_this_process_holds(circuit, changed)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    first(1, [
        ("state[\"position\"] = np.asarray(position + 1)", "state[\"position\"] = np.asarray(position)"),
        ("return total(memory, product)", "return product"),
        ("return state, output", "return state, 2 * output"),
        ("np.array([position])", "np.array([0])"),
    ]),
)  # fmt: skip
def test_one_token_at_a_time_is_checked(right, wrong):
    circuit = compiled("rotary_linear_causal")
    text = emit_source(circuit)
    assert text_of_this_process_holds(circuit, text)[0]
    assert right in text
    assert not text_of_this_process_holds(circuit, text.replace(right, wrong))[0]


def test_ranks_are_checked():
    circuit = compiled("bert")
    text = emit_source(circuit, on_ranks=True)
    wrong = text.replace("None if own_h.start else W_O_matrix_bias", "W_O_matrix_bias")
    assert wrong != text
    assert check_calls(circuit, wrong).difference.startswith("on 2 ranks")


def test_branches_that_no_call_reaches_are_named():
    text = "def attention(x):\n    if x:\n        return 1\n    return 2 if x is None else 3\n"
    branches, space = Branches(text), {}
    exec(branches.text, space)
    space["_branch_ran"] = branches.mark
    assert space["attention"](True) == 1
    assert branches.missing == [2, 4]
    assert space["attention"](None) == 2
    assert space["attention"](0) == 3
    assert branches.missing == []


# ---- smaller circuits of the same program ------------------------------------------------------------

LARGE = AttentionSpec(model=96, heads=4, kv_heads=2, key_features=24)
LARGE_SPECS = {
    "causal": replace(LARGE, mask=Mask.CAUSAL, rotary=Rotary()),
    "window": replace(LARGE, mask=Mask.WINDOW, window=1024, key_padding=True),
    "biased": replace(LARGE, bias=Bias(True, True, True, True)),
    "linear": replace(LARGE, kernel=Kernel.LINEAR, mask=Mask.CAUSAL),
    "cross": replace(LARGE, cross=True, context=80, output=50),
}


@pytest.mark.parametrize("name", LARGE_SPECS)
def test_a_large_circuit_is_checked_on_a_small_one_of_the_same_program(name):
    spec = LARGE_SPECS[name]
    lowered = lower(spec, random_weights(spec))
    circuit = run_passes(lowered, parse_passes("default"))[0]
    holds, detail = exactly(circuit, get_backend("numpy"))
    assert holds
    assert "; of the same program with" in detail


@pytest.mark.full
def test_many_fixed_tokens_are_too_many_for_exact_numbers_only():
    spec = replace(LARGE, tokens=197, position_bias=PositionBias.TABLE)
    circuit = lower(spec, random_weights(spec))
    with pytest.raises(UnsupportedError, match="too large for it"):
        exactly(circuit, get_backend("numpy"))
    holds, detail = in_all_calls(circuit, get_backend("numpy"))
    assert holds
    assert "of the same program with g=2 r=2 i=93 j=93 a=3 c=3 m=4" in detail


def test_small_circuits_differ_in_numbers_only():
    circuit = compiled("mistral")
    text, small = emit_source(circuit), emit_source(shrunk(circuit))
    assert same_program(text, small)
    assert not same_program(text, small.replace("rows.stop", "rows.start", 1))
    assert not same_program(text, text.replace("(2, 0, 1)", "(0, 2, 1)"))
    assert not same_program(text, small + "\n0")


@pytest.mark.slow
def test_the_whole_in_words():
    holds, detail = in_all_calls(compiled("bert"), get_backend("numpy"))
    assert holds
    assert "float32" in detail and "tolerance 1e-09" in detail and "every branch" in detail


# ---- other backends ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "jax", "onnx", "nengo"])
def test_other_backends_are_compared_numerically(name):
    pytest.importorskip("onnxruntime" if name == "onnx" else name)
    circuit, target = compiled("gpt2"), get_backend(name)
    files = target.emit(circuit) if hasattr(target, "emit") else {}
    holds, detail = beside_the_reference(circuit, target, files)
    assert holds, detail
    assert "in float64: differ by at most" in detail


def test_another_backend_at_fault_is_refuted(monkeypatch):
    pytest.importorskip("torch")
    circuit, target = compiled("gpt2"), get_backend("torch")
    right = type(target).source
    monkeypatch.setattr(
        type(target), "source", lambda self, c: right(self, c).replace("least=0", "least=1")
    )
    assert not beside_the_reference(circuit, target, target.emit(circuit))[0]
    assert not beside_the_reference(circuit, target, {"attention_torch.py": ""})[0]


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("graphml", {}, "does not run circuits"),
        ("brian2", {"cells": "lif"}, "spiking cells only come near"),
        ("nengo", {"neurons": "lif"}, "spiking cells only come near"),
    ],
)
def test_what_is_not_run_says_why(name, options, why):
    circuit, target = compiled("gpt2"), get_backend(name, **options)
    with pytest.raises(UnsupportedError, match=why):
        beside_the_reference(circuit, target, target.emit(circuit))


# ---- records -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("numpy", {}),
        ("numpy", {"ranks": 4}),
        ("brian2", {"cells": "lif", "neurons": 7}),
        ("jax", {}),
    ],
)
def test_a_record_says_how_to_emit_again(name, options):
    target = get_backend(name, **options)
    record = record_of(target)
    assert record == {"backend": name, "options": options}
    circuit = compiled("gpt2")
    assert backend_of(record).emit(circuit) == target.emit(circuit)


@pytest.mark.parametrize(
    "record",
    [None, [], {"backend": "numpy"}, {"backend": 1, "options": {}}, {"backend": "numpy", "options": 3},
     {"backend": "os", "options": {}}, {"backend": "numpy", "options": {"rank": 2}},
     {"backend": "onnx", "options": {"a": 1}}, {"backend": "reference", "options": {}}],
)  # fmt: skip
def test_what_is_no_record_is_refused(record):
    with pytest.raises((SpecError, UnsupportedError)):
        backend_of(record)


def test_decimals_do_not_overflow():
    ring = Decimals()
    large = ring.apply("exp", ring.number(4000.0))
    assert float((large / (large + 3 * large)).payload) == 0.25
    assert float(ring.apply("sqrt", ring.number(2)).payload) == pytest.approx(2**0.5)
    assert float(ring.apply("tanh", ring.number(0.5)).payload) == np.tanh(0.5)
