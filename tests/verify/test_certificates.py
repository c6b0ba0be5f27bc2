"""What a re-check says of claims, files, numbers and broken certificates, and what it does not say."""

import ast
import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from cortico.lowering import circuit_weights, lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Rotary, RotaryStyle
from cortico.spec.weights import random_weights
from cortico.verify import recheck as module
from cortico.verify.recheck import examine, recheck
from tests.verify.certificates import (
    SPEC,
    certificate,
    claim,
    digest,
    status,
    stored,
    true_certificate,
    written,
)

# ---- claims ----------------------------------------------------------------------------------------


def test_what_was_not_looked_at_is_said(tmp_path):
    report = examine(written(tmp_path), tmp_path)
    assert report.code == 3 and "as far as it was re-checked" in report.verdict
    assert status(report, "the lowered circuit computes attention") == "re-checked"
    assert status(report, "the lowered circuit's gradients") == "not re-checked"
    assert status(report, "test keeps the output") == "not re-checked"  # W_Q is not here
    assert status(report, "the stored numbers") == "not re-checked"


def test_all_of_it_is_re_checked_with_the_weights(tmp_path):
    found = written(tmp_path)
    report = examine(found, tmp_path, random_weights(SPEC))
    others = [f.what for f in report.findings if f.status != "re-checked"]
    assert others == ["the lowered circuit's gradients by x are the closed forms"]


@pytest.mark.slow
def test_claims_that_are_removed_added_or_upgraded():
    true = true_certificate()
    for k in range(len(true["claims"])):
        lacking = copy.deepcopy(true)
        del lacking["claims"][k]
        assert recheck(lacking) != [], true["claims"][k]
    for extra in ("other keeps the output", "test changes the output by 1e-9", *CLAIMS_TWICE):
        more = copy.deepcopy(true)
        more["claims"].append(claim(extra))
        assert recheck(more) != [], extra
    more = copy.deepcopy(true)
    more["claims"].append(claim("it is fast"))
    assert status(examine(more), "it is fast") == "not re-checked"
    for word in ("proved", "Proved for all sizes", "certain", "refuted"):
        other = copy.deepcopy(true)
        other["claims"][0]["verdict"] = word
        assert recheck(other) != []
    true["claims"][1]["verdict"] = "proved for all sizes"
    assert "at most checked exactly" in recheck(true)[0]


CLAIMS_TWICE = (
    "the lowered circuit computes attention",
    "the lowered circuit's gradients by W_Q are the closed forms",
)


def test_a_claim_that_hides_its_conditions_is_not_said_to_hold(tmp_path):
    found = written(tmp_path)
    found["claims"][-1]["given"] = []
    report = examine(found, tmp_path, random_weights(SPEC))
    assert status(report, "test keeps the output") == "not re-checked"


def test_approximate_passes_are_steps_of_the_chain():
    before = stored(SPEC)
    after = before.replace("W_V", "W_V_v2")
    found = certificate(SPEC, before, (after, []))
    assert recheck(found) != []
    found["steps"][0]["approximate"] = True
    assert recheck(found) != []  # it still claims that the output is kept
    found["claims"][-1] = claim("test changes the output by 1e-3", verdict="compared numerically")
    report = examine(found)
    assert report.wrong == [] and status(report, "test changes") == "not re-checked"


# ---- facts about numbers ---------------------------------------------------------------------------


def vanishing(name, axes):
    reads = [[name, axes]]
    term = {"coefficient": "1", "sizes": [], "reads": reads}
    return {"kind": "vanishing", "axes": ["i", "m"], "terms": [term]}


@pytest.mark.slow
@pytest.mark.parametrize("fact", [{"kind": "zero", "old": "b_O"}, vanishing("b_O", ["m"])])
def test_a_forged_fact_is_refused_on_the_arrays(fact):
    before = stored(SPEC)
    after = before.replace(" b_O[m]", " 0.0")
    found = certificate(SPEC, before, (after, [fact]))
    assert recheck(found) == []
    assert status(examine(found), "test keeps") == "not re-checked"
    weights = random_weights(SPEC)
    assert any("test keeps the output" in each for each in recheck(found, None, weights))
    weights["b_O"][:] = -1.0
    assert any("test keeps the output" in each for each in recheck(found, None, weights))
    weights["b_O"][:] = 0.0
    assert recheck(found, None, weights) == []


def test_a_fact_that_vanishes_allows_nothing_else():
    before = stored(SPEC)
    found = certificate(
        SPEC, before, (before.replace("weight W_O", "weight 3.0 * W_O"), [vanishing("b_O", ["m"])])
    )
    assert recheck(found) != []


def test_facts_about_tensors_without_numbers_are_refused():
    before = str(lower(SPEC))
    after = before.replace(" b_O[m]", " 0.0")
    found = certificate(SPEC, before, (after, [{"kind": "zero", "old": "b_O"}]))
    assert "it has none" in recheck(found)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_of_what_is_zero_is_zero(tmp_path, dtype):
    """What a pass makes of biases that are all zero is zero, too, of whatever type."""
    spec = AttentionSpec(8, heads=2, bias=True)
    weights = random_weights(spec, 0, dtype)
    weights |= {name: 0 * array for name, array in weights.items() if name.startswith("b_")}
    compile_attention(spec, weights, "move-value-bias", verify=True).write(tmp_path)
    found = json.loads((tmp_path / "certificate.json").read_text())
    report = examine(found, tmp_path, weights)
    kept = [f.status for f in report.findings if f.what.startswith("move-value-bias keeps")]
    assert kept == ["re-checked"] and report.wrong == []
    path = tmp_path / "circuit.safetensors"
    (bias,) = (name for name in load(path.read_bytes()) if name.startswith("b_O"))
    path.write_bytes(save({**load(path.read_bytes()), bias: np.full(8, 1e-9)}))
    found["files"]["circuit.safetensors"] = digest(path.read_bytes())
    assert any(f"numbers of {bias}" in each for each in recheck(found, tmp_path, weights))


def test_one_outlier_hides_nothing(tmp_path):
    """Every number has a bound of its own."""

    def change(tensors):
        tensors["W_Q_v2"][0, 0, 0] = 4e14
        tensors["W_Q_v2"][1] *= 1 + 1e-12

    weights = random_weights(SPEC)
    weights["W_Q"][0, 0, 0] = 4e14 * np.sqrt(6)
    found = written(tmp_path, change=change)
    assert "W_Q_v2" in "".join(recheck(found, tmp_path, weights))


def test_terms_that_cancel_do_not_widen_a_bound():
    """W + 1e18 V - 1e18 V is W, and rounding would let it be anything."""
    before = stored(SPEC)
    terms = [("1", "W_K"), (str(10**18), "W_Q"), (str(-(10**18)), "W_Q")]
    axes = ["h", "a", "m"]
    fact = {"kind": "sum", "new": "W_K_v2", "axes": axes}
    fact["terms"] = [{"coefficient": c, "sizes": [], "reads": [[n, axes]]} for c, n in terms]
    found = certificate(SPEC, before, (before.replace("W_K", "W_K_v2"), [fact]))
    weights = random_weights(SPEC)
    chain = module.certificate.Certificate(found)
    arrays = circuit_weights(SPEC, weights)
    arrays["W_K_v2"] = 2 * arrays.pop("W_K")
    chain.last_arrays = arrays
    report = chain.report(None, weights)
    assert status(report, "the stored numbers") == "not re-checked"
    assert status(report, "test keeps") == "not re-checked"


@pytest.mark.parametrize("error", [1e9, -1.0, "0", None])
def test_a_fact_with_a_wide_error_says_nothing(tmp_path, error):
    found = written(tmp_path, change=lambda tensors: tensors.update(W_Q_v2=3 * tensors["W_Q_v2"]))
    found["steps"][0]["facts"][0]["error"] = error
    report = examine(found, tmp_path, random_weights(SPEC))
    assert report.wrong or status(report, "the stored numbers") == "not re-checked"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W_Q_v2", "W_V", "b_O"])
def test_weights_of_another_size_are_refused(tmp_path, name):
    def change(tensors):
        tensors[name] = 3 * tensors[name]

    found = written(tmp_path, change=change)
    assert status(examine(found, tmp_path), "the stored numbers") == "not re-checked"
    assert recheck(found, tmp_path, random_weights(SPEC)) != []


@pytest.mark.slow
@pytest.mark.parametrize("style", ["half_split", "interleaved"])
@pytest.mark.parametrize("rotated", [None, 4])
def test_the_spec_of_rotary_embedding_shows_in_the_numbers(tmp_path, style, rotated):
    spec = replace(SPEC, rotary=Rotary(100.0, RotaryStyle(style), rotated), kv_heads=1)
    weights = random_weights(spec)
    circuit = lower(spec, weights)
    (tmp_path / "circuit.safetensors").write_bytes(save(circuit_weights(spec, weights)))
    found = certificate(spec, str(circuit))

    def numbers(of):
        report = module.certificate.Certificate(of).report(tmp_path, weights)
        return status(report, "the stored numbers"), status(report, "rotary")

    assert numbers(found) == ("re-checked", "re-checked")
    for base in (500.0, 100.0000001):
        found["spec"]["rotary"]["base"] = base
        assert numbers(found)[0] == "WRONG"
    found["spec"]["rotary"]["base"] = 100.0
    found["spec"]["rotary"]["style"] = {"half_split": "interleaved"}.get(style, "half_split")
    assert numbers(found)[0] == "WRONG"


@pytest.mark.parametrize("base", [100.0, 10000.0, 100000.0, 1e6])
def test_powers_of_another_library_are_the_same_frequencies(tmp_path, base):
    spec = AttentionSpec(128, heads=2, rotary=Rotary(base))
    weights = random_weights(spec)
    circuit = lower(spec, weights)
    (tmp_path / "circuit.safetensors").write_bytes(save(circuit_weights(spec, weights)))
    chain = module.certificate.Certificate(certificate(spec, str(circuit)))
    assert status(chain.report(tmp_path, weights), "the stored numbers") == "re-checked"


# ---- files -----------------------------------------------------------------------------------------


def test_files_are_compared(tmp_path):
    true = written(tmp_path)
    true["files"]["attention.py"] = "0" * 64
    report = examine(true, tmp_path)
    assert report.wrong == []
    assert status(report, "file circuit.cortico") == "re-checked"
    assert status(report, "file attention.py") == "not re-checked"  # it is not here
    with (tmp_path / "circuit.cortico").open("a") as file:
        file.write("# more\n")
    assert recheck(true, tmp_path) == ["file circuit.cortico: has changed"]


@pytest.mark.parametrize("name", ["circuit.cortico", "circuit.safetensors", "spec.json"])
def test_files_that_must_be_listed(tmp_path, name):
    found = written(tmp_path)
    del found["files"][name]
    assert any(name in problem for problem in recheck(found, tmp_path))
    found["files"] = {}
    assert recheck(found, tmp_path) != []


def test_files_that_are_not_listed_are_named(tmp_path):
    found = written(tmp_path)
    (tmp_path / "attention.py").write_text("import os\n")
    assert status(examine(found, tmp_path), "file attention.py") == "not re-checked"


def rehashed(found, folder, name, content):
    (folder / name).write_bytes(content)
    found["files"][name] = digest(content)
    return found


def test_hashes_do_not_authenticate(tmp_path):
    found = written(tmp_path)
    text = (tmp_path / "circuit.cortico").read_bytes()
    numbers = (tmp_path / "circuit.safetensors").read_bytes()
    spec = found["spec"] | {"mask": "causal"}
    for name, content in {
        "circuit.cortico": text.replace(b"weight 1.0", b"weight 2.0", 1),
        "circuit.safetensors": numbers[:-8],
        "spec.json": json.dumps(spec).encode(),
    }.items():
        copied = rehashed(copy.deepcopy(found), tmp_path, name, content)
        assert any(f"file {name}" in problem for problem in recheck(copied, tmp_path))
        written(tmp_path)


@pytest.mark.parametrize(
    ("tied", "stored", "expected"),
    [
        ({"W_V": "W_K"}, "W_V", "re-checked"),
        ({"W_V": "W_O"}, "W_V", "WRONG"),  # of another shape
        ({"W_V": "W_X"}, "W_V", "WRONG"),
        ({"W_X": "W_K"}, "", "WRONG"),
        ({"W_V": "W_K"}, "", "WRONG"),  # it has numbers of its own, too
        (["W_V"], "W_V", "WRONG"),
    ],
)
def test_numbers_that_are_stored_once(tmp_path, tied, stored, expected):
    found = written(tmp_path, change=lambda tensors: tensors.update(W_V=tensors["W_K"].copy()))
    tensors = load((tmp_path / "circuit.safetensors").read_bytes())
    kept = {name: array for name, array in tensors.items() if name != stored}
    content = save(kept, {"tied": json.dumps(tied)})
    found = rehashed(found, tmp_path, "circuit.safetensors", content)
    assert status(examine(found, tmp_path), "file circuit.safetensors") == expected


def test_another_file_of_numbers_is_refused(tmp_path):
    found = written(tmp_path)
    text = (tmp_path / "circuit.cortico").read_bytes()
    other = rehashed(found, tmp_path, "circuit.cortico", text.replace(b'"circuit.s', b'"other.s'))
    assert "names another file of numbers" in recheck(other, tmp_path)[0]


def test_no_file_elsewhere_is_opened(tmp_path):
    found = written(tmp_path)
    found["files"]["../secret"] = "0" * 64
    assert "no plain file name" in recheck(found, tmp_path)[0]


# ---- the spec --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"mask": "Causal"},
        {"mask": "window"},
        {"window": 3},
        {"kernel": "Linear"},
        {"kernel": None},
        {"bias": {"Value": True}},
        {"bias": {"value": 1}},
        {"bias": [True]},
        {"heads": True},
        {"heads": 2.0},
        {"heads": 0},
        {"tokens": "n m"},
        {"tokens": -3},
        {"scale": "0.5"},
        {"scale": float("nan")},
        {"rotary": {"style": "half"}},
        {"rotary": {"rotated": 3}},
        {"sink": True, "kernel": "linear"},
        {"semi_saturation": 0.5, "kernel": "linear"},
        {"semi_saturation": 1e-31},
        {"semi_saturation": -0.5},
        {"extra_source": True},
        {"extra_source": True, "rotary": {}},
        {"extra_source": True, "qk_norm": {}},
        {"extra_source": True, "soft_cap": 0.6},
        {"extra_source": True, "position_bias": "alibi"},
        {"extra_source": 1},
        {"context": 3},
        {"values": 3},
        {"position_bias": "input"},
        {"cross": True, "values": 3},
        {"cross": True, "values": 0},
        {"residual": True},
        {"softcap": 30.0},
        {"soft_cap": 0.0},
        {"soft_cap": -1.0},
        {"soft_cap": 30},
        {"soft_cap": 0.6},
        {"qk_norm": {}},
        {"qk_norm": {"over": "heads"}},
        {"qk_norm": {"eps": 0.0}},
        {"qk_norm": True},
    ],
)
def test_values_of_the_spec_are_read_strictly(change):
    found = certificate(SPEC, stored(SPEC))
    assert recheck(found) == []
    found["spec"] |= change
    assert recheck(found) != []


# ---- the command line ------------------------------------------------------------------------------


def run(path):
    command = [sys.executable, "-m", "cortico.verify.recheck", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_the_command_line(tmp_path):
    path = tmp_path / "certificate.json"
    found = written(tmp_path)
    path.write_text(json.dumps(found), encoding="utf-8")
    done = run(path)
    assert (done.returncode, done.stderr) == (3, "")
    assert "re-checked      the lowered circuit computes attention" in done.stdout
    path.write_text(path.read_text().replace("size(a)", "size(h)"), encoding="utf-8")
    done = run(path)
    assert done.returncode == 1
    assert (
        "WRONG           the lowered circuit computes attention: the output y is another"
        in done.stdout
    )
    path.write_text("{}" * 2)
    done = run(path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_it_imports_nothing_else_of_ours():
    for file in Path(module.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        found |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        others = {name for name in found if not name.startswith("cortico.verify.recheck")}
        assert {n.partition(".")[0] for n in others} <= {*sys.stdlib_module_names, "numpy"}


def test_nor_is_anything_else_loaded():
    look = "import sys, cortico.verify.recheck; print(*[m for m in sys.modules if 'cortico' in m])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60)
    loaded = {name for name in done.stdout.split() if not name.startswith("__editable")}
    ours = {name for name in loaded if not name.startswith("cortico.verify.recheck")}
    assert ours <= {"cortico", "cortico.verify"}
