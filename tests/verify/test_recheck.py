"""The small checker accepts true certificates, and refuses tampered and broken ones in words."""

import ast
import copy
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cortico.frontends.spec_file import spec_to_mapping
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Bias, Kernel
from cortico.verify import recheck as module
from cortico.verify.recheck import examine, recheck
from tests.cases import BIASED, CASES
from tests.verify.mutants import HARMLESS, MISTAKES, SPECS, changed


def certificate(spec, lowered, *steps):
    """A certificate with (after, facts) for every step."""
    return {
        "cortico_certificate": 1,
        "spec": json.loads(json.dumps(spec_to_mapping(spec))),
        "files": {},
        "lowered": lowered,
        "steps": [{"pass": "test", "after": after, "facts": facts} for after, facts in steps],
        "claims": [{"claim": "equal", "verdict": "proved", "given": ["W = 0"], "seconds": 0.1}],
    }


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_lowering_is_accepted(case):
    assert recheck(certificate(case.spec, str(lower(case.spec)))) == []


@pytest.mark.parametrize("case", CASES[1::9], ids=lambda case: case.name)
def test_passes_are_accepted(case):
    _, steps = run_passes(lower(case.spec), parse_passes("aggressive"))
    texts = [(str(step.after), []) for step in steps if step.changed]
    assert recheck(certificate(case.spec, str(lower(case.spec)), *texts)) == []


def test_large_sizes_are_made_small():
    spec = AttentionSpec(model=768, heads=12, bias=BIASED)
    wrong, right = examine(certificate(spec, str(lower(spec))))
    assert wrong == []
    assert "n→6 12→5 64→7 768→8" in right[0]


@pytest.mark.parametrize("change", MISTAKES)
def test_mistakes_are_refused(change):
    spec, before, after = changed(*change)
    assert recheck(certificate(spec, before)) == []
    assert recheck(certificate(spec, after)) != []
    assert recheck(certificate(spec, before, (after, []))) != []


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_nothing_is_accepted(change):
    spec, before, after = changed(*change)
    assert recheck(certificate(spec, before, (after, []))) == []


def test_another_spec_is_refused():
    spec = SPECS["square"]
    for other in (
        replace(spec, heads=8, kv_heads=2),
        replace(spec, kernel=Kernel.LINEAR),
        replace(spec, bias=Bias()),
        replace(spec, residual=True),
        replace(spec, scale=0.25),
        replace(spec, tokens=4),
    ):
        assert recheck(certificate(other, str(lower(spec)))) != []
    unknown = certificate(spec, str(lower(spec)))
    unknown["spec"]["softcap"] = 30.0
    assert "unknown fields" in recheck(unknown)[0]


# ---- facts -----------------------------------------------------------------------------------------

SPEC = AttentionSpec(
    model=5, heads=2, key_features=6, value_features=7, bias=Bias(value=True, output=True)
)
LINEAR = replace(SPEC, kernel=Kernel.LINEAR)
HALF = {"coefficient": "1", "sizes": [["a", "-1/2"]]}


def rewritten(spec, *changes):
    """The text of the spec's circuit, and the same after some changes."""
    text = after = str(lower(spec))
    for old, new in changes:
        assert old in after, old
        after = after.replace(old, new)
    return text, after


def scaled():
    before, after = rewritten(SPEC, ("weight size(a)^-1/2", "weight 1.0"), ("W_Q", "W_Q_v2"))
    return SPEC, before, after, [{"kind": "scaled", "new": "W_Q_v2", "old": "W_Q", **HALF}]


def same():
    before, after = rewritten(SPEC, ("W_K", "W_K_v2"))
    return SPEC, before, after, [{"kind": "same", "new": "W_K_v2", "old": "W_K"}]


def zero():
    before, after = rewritten(SPEC, (" b_O[m]", ""))
    return SPEC, before, after, [{"kind": "zero", "old": "b_O"}]


def parts():
    projection = "projection value core_source -> deep.basal weight W_V[h, c, m]"
    two = projection.replace("W_V", "W_V_plus") + "\n"
    two += projection.replace("value", "value_off").replace("W_V", "-1.0 * W_V_minus")
    declared = "parameter W_V (2, 7, 5)"
    both = declared.replace("W_V", "W_V_plus") + "\n" + declared.replace("W_V", "W_V_minus")
    before, after = rewritten(SPEC, (projection, two), (declared, both))
    fact = {"kind": "parts", "old": "W_V", "plus": "W_V_plus", "minus": "W_V_minus"}
    return SPEC, before, after, [fact]


def part():
    spec, before, after, _ = parts()
    facts = [{"kind": "part", "new": "W_V_plus", "old": "W_V", "sign": 1}]
    return (
        spec,
        before,
        after,
        [*facts, {"kind": "part", "new": "W_V_minus", "old": "W_V", "sign": -1}],
    )


def summed():
    before, after = rewritten(
        SPEC,
        (" b_V[h, c]", ""),
        ("b_O[m]", "b_O[m] + W_O_b_V[m]"),
        ("parameter b_V (2, 7)", "parameter W_O_b_V (5)"),
    )
    reads = [["W_O", ["h", "m", "c"]], ["b_V", ["h", "c"]]]
    term = {"coefficient": "1", "sizes": [], "reads": reads}
    return SPEC, before, after, [{"kind": "sum", "new": "W_O_b_V", "axes": ["m"], "terms": [term]}]


def selected():
    kept = [("feature 7", "feature 3"), ("(2, 7, 5)", "(2, 3, 5)"), ("(2, 5, 7)", "(2, 5, 3)")]
    names = ("W_V", "W_O", "b_V")
    before, after = rewritten(SPEC, *kept, ("(2, 7)", "(2, 3)"), *((n, n + "_v2") for n in names))
    order = [[0, 2, 6], [1, 3, 4]]
    live = [[int(c in row) for c in range(7)] for row in order]
    axes = {"W_V": ["h", "c", "m"], "W_O": ["h", "m", "c"], "b_V": ["h", "c"]}
    fact = {
        "kind": "selected",
        "axis": "c",
        "heads": ["h"],
        "order": order,
        "size": 7,
        "tensors": {f"{name}_v2": [name, axes[name]] for name in names},
        "support": {"W_O": {"axes": ["h", "c"], "live": live}},
    }
    return SPEC, before, after, [fact]


def split():
    spec = AttentionSpec(model=5, heads=6, key_features=7, value_features=8)
    before = str(lower(spec))
    after = str(lower(replace(spec, kv_heads=2)))
    names = {"W_Q": False, "W_K": True, "W_V": True, "W_O": False}
    for name in names:
        after = after.replace(name, f"{name}_v2")
    tensors = {f"{name}_v2": [name, 0, copied] for name, copied in names.items()}
    fact = {"kind": "split", "axis": "h", "group": "g", "member": "r", "members": 3}
    return spec, before, after, [fact | {"tensors": tensors}]


def constant():
    before, after = rewritten(SPEC, ("size(a)^-1/2", "0.4082482904638631"))
    return SPEC, before, after, [{"kind": "constant", "value": "0.4082482904638631", **HALF}]


FACTS = (scaled, same, zero, parts, part, summed, selected, split, constant)


@pytest.mark.parametrize("make", FACTS)
def test_facts_are_used(make):
    spec, before, after, facts = make()
    assert recheck(certificate(spec, before, (after, facts))) == []
    assert recheck(certificate(spec, before, (after, []))) != []
    assert recheck(certificate(spec, before, (after, facts[1:]))) != []


def changes_of(value, path=()):
    """Every way to change one leaf of nested JSON: where, and what it becomes."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from changes_of(inner, (*path, key))
    elif isinstance(value, bool | int):
        yield path, int(not value) if value in (0, 1) else value + 1
    else:
        yield path, {"1": "2", "-1/2": "1/2"}.get(value, value + "x")


#: What may be changed in a fact without making it false.
FREE = ("members", "size", "live")


@pytest.mark.parametrize("make", FACTS)
def test_changed_facts_are_refused(make):
    spec, before, after, facts = make()
    accepted = []
    for path, new in changes_of(facts):
        changed_facts = copy.deepcopy(facts)
        inner = changed_facts
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = new
        if not recheck(certificate(spec, before, (after, changed_facts))):
            accepted.append(path)
    assert [path for path in accepted if not set(FREE) & set(path)] == []


@pytest.mark.parametrize(
    "fact", [{"kind": "zero", "old": "x"}, {"kind": "part", "new": "x", "old": "W_Q", "sign": 1}]
)
def test_facts_about_inputs_are_refused(fact):
    before, after = rewritten(SPEC, ("weight W_V", "weight 2.0 * W_V"))
    assert "about ['x']" in recheck(certificate(SPEC, before, (after, [fact])))[0]


def test_sizes_that_are_equal_by_chance_are_told_apart():
    spec = AttentionSpec(model=8, heads=4, tokens=64, key_features=16, value_features=2)
    sizes = ("size(h)", "size(c)", "size(m)", "size(i)")
    for size in sizes:
        before, after = rewritten(spec, ("size(a)^-1/2", f"{size}^-1/2"))
        assert recheck(certificate(spec, before, (after, []))) != []


def test_a_live_index_may_not_be_cut():
    spec, before, after, facts = selected()
    facts[0]["support"]["W_O"]["live"][0] = [1] * 7
    assert recheck(certificate(spec, before, (after, facts))) != []
    del facts[0]["support"]["W_O"]
    assert recheck(certificate(spec, before, (after, facts))) != []


def test_wrong_scales_are_refused_at_any_size():
    spec, before, after, facts = constant()
    for wrong in (["c", "-1/2"], ["a", "-1"]):
        other = [facts[0] | {"sizes": [wrong]}]
        assert "is not" in recheck(certificate(spec, before, (after, other)))[0]


# ---- the chain and the files -----------------------------------------------------------------------


def test_a_step_begins_where_the_last_ended():
    spec, before, after, facts = scaled()
    true = certificate(spec, before, (after, facts), (after, []))
    assert recheck(true) == []
    broken = copy.deepcopy(true)
    broken["steps"][1]["after"] = before
    assert "W_Q has no definition" in recheck(broken)[0]


def written(folder):
    spec, before, after, facts = scaled()
    text = after.replace("\n\n", '\nweights "circuit.safetensors"\n\n', 1)
    (folder / "circuit.cortico").write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = certificate(spec, before, (after, facts))
    found["files"] = {"circuit.cortico": digest, "attention.py": "0" * 64}
    return found


def test_files_are_compared(tmp_path):
    true = written(tmp_path)
    wrong, right = examine(true, tmp_path)
    assert wrong == []
    assert "file circuit.cortico: is as it was" in right
    assert "file attention.py: is not here" in right
    with (tmp_path / "circuit.cortico").open("a") as file:
        file.write("# more\n")
    assert recheck(true, tmp_path) == ["file circuit.cortico: has changed"]


def test_another_circuit_beside_is_refused(tmp_path):
    found = written(tmp_path)
    text = found["lowered"]
    (tmp_path / "circuit.cortico").write_text(text, encoding="utf-8")
    found["files"]["circuit.cortico"] = hashlib.sha256(text.encode()).hexdigest()
    assert "not the circuit after the last step" in recheck(found, tmp_path)[0]


def test_no_file_elsewhere_is_opened(tmp_path):
    found = written(tmp_path)
    found["files"] = {"../secret": "0" * 64}
    assert "no plain file name" in recheck(found, tmp_path)[0]


def test_the_command_line(tmp_path):
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(written(tmp_path)), encoding="utf-8")
    command = [sys.executable, "-m", "cortico.verify.recheck", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "first circuit: is attention" in done.stdout
    path.write_text(path.read_text().replace("size(a)", "size(c)"), encoding="utf-8")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "WRONG first circuit: the output y is another" in done.stdout


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


# ---- broken and hostile ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["cortico_certificate", "spec", "files", "lowered", "steps", "claims"]
)
@pytest.mark.parametrize("value", [None, "x", [], {}, {"x": 1}])
def test_broken_certificates_get_an_answer(key, value, tmp_path):
    spec, before, after, facts = scaled()
    broken = certificate(spec, before, (after, facts))
    fine = {
        "files": [{}, {"x": 1}],
        "claims": [[], {}],
        "steps": [[]],
    }  # no step, no file: no problem
    broken[key] = value
    assert (recheck(broken, tmp_path) == []) == (value in fine.get(key, []))
    del broken[key]
    assert recheck(broken, tmp_path) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weight size(a)^-1/2", "weight 1e999999999"),
        ("weight size(a)^-1/2", "weight size(a)^1/0"),
        ("weight size(a)^-1/2", "weight __import__('os')"),
        ("feature 6", "feature 1000000000"),
        ("[h, a, m]", "[h, a, a]"),
        ("output y", "outptu y"),
        ("score superficial ->", "score mask ->"),
        ("pyramidal_it exp", "pyramidal_it system"),
        ("cortico circuit 1", "cortico circuit 2"),
        ("column n", "column"),
    ],
)
def test_broken_texts_get_an_answer(old, new):
    before, after = rewritten(SPEC, (old, new))
    assert recheck(certificate(SPEC, after)) != []
    assert recheck(certificate(SPEC, before, (after, []))) != []


@pytest.mark.parametrize("fact", [None, {}, {"kind": "eval"}, {"kind": "__init__"}, {"kind": "same"},
                                  {"kind": "was", "name": "W_Q"}, {"kind": "scaled", "new": 1, "old": []}])  # fmt: skip
def test_broken_facts_get_an_answer(fact):
    text = str(lower(SPEC))
    assert recheck(certificate(SPEC, text, (text, [fact]))) != []


def test_what_is_no_certificate_gets_an_answer():
    for value in (None, [], 3, "x", {}, {"cortico_certificate": 2}):
        assert recheck(value) != []
