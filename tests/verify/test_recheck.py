"""The small checker accepts true certificates, and refuses tampered and broken ones in words."""

import copy
import re
from dataclasses import replace

import pytest

from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Bias, Kernel
from cortico.verify.recheck import examine, recheck
from cortico.verify.recheck.spec import read_spec
from tests.cases import BIASED
from tests.covering import every_pair, first
from tests.verify.certificates import certificate, stored
from tests.verify.mutants import HARMLESS, MISTAKES, SPECS, changed


def accepted(found):
    """Whether circuits were re-checked and found right."""
    report = examine(found)
    about = ("the lowered circuit computes", "test keeps")
    return not report.wrong and all(
        f.status == "re-checked" for f in report.findings if f.what.startswith(about)
    )


@pytest.mark.parametrize("case", every_pair())
def test_lowering_is_accepted(case):
    assert accepted(certificate(case.spec, str(lower(case.spec))))


@pytest.mark.parametrize("case", every_pair())
def test_passes_are_accepted(case):
    _, steps = run_passes(lower(case.spec), parse_passes("aggressive"))
    texts = [(str(step.after), []) for step in steps if step.changed]
    assert accepted(certificate(case.spec, str(lower(case.spec)), *texts))


def test_large_sizes_are_made_small():
    spec = AttentionSpec(model=768, heads=12, bias=BIASED)
    report = examine(certificate(spec, str(lower(spec))))
    assert report.wrong == []
    sizes = dict(re.findall(r"(\w+)→(\d+)", report.findings[0].detail))
    assert set(sizes) == {"n", "12", "64", "768"} and len(set(sizes.values())) == 4
    assert max(map(int, sizes.values())) < 40


@pytest.mark.parametrize("change", MISTAKES)
def test_mistakes_are_refused(change):
    spec, before, after = changed(*change)
    assert accepted(certificate(spec, before))
    assert not accepted(certificate(spec, after))
    assert not accepted(certificate(spec, before, (after, [])))


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_nothing_is_accepted(change):
    spec, before, after = changed(*change)
    assert accepted(certificate(spec, before, (after, [])))


def test_another_spec_is_refused():
    spec = SPECS["square"]
    for other in (
        replace(spec, heads=8, kv_heads=2),
        replace(spec, kernel=Kernel.LINEAR),
        replace(spec, bias=Bias()),
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
    text = after = stored(spec)
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
    declared = "parameter W_V (2, 7, 5) stored float64"
    both = declared.replace("W_V", "W_V_plus") + "\n" + declared.replace("W_V", "W_V_minus")
    before, after = rewritten(SPEC, (projection, two), (declared, both))
    fact = {"kind": "parts", "old": "W_V", "plus": "W_V_plus", "minus": "W_V_minus"}
    return SPEC, before, after, [fact]


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
    before = stored(spec)
    after = stored(replace(spec, kv_heads=2))
    names = {"W_Q": False, "W_K": True, "W_V": True, "W_O": False}
    for name in names:
        after = after.replace(name, f"{name}_v2")
    tensors = {f"{name}_v2": [name, 0, copied] for name, copied in names.items()}
    fact = {"kind": "split", "axis": "h", "group": "g", "member": "r", "members": 3}
    return spec, before, after, [fact | {"tensors": tensors}]


def constant():
    before, after = rewritten(SPEC, ("size(a)^-1/2", "0.4082482904638631"))
    return SPEC, before, after, [{"kind": "constant", "value": "0.4082482904638631", **HALF}]


FACTS = (scaled, same, zero, parts, summed, selected, split, constant)


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


#: What may be changed in a fact without making it false; arrays show whether it is so.
FREE = ("live",)


@pytest.mark.parametrize("make", first(4, FACTS))
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
    "fact",
    [{"kind": "zero", "old": "x"}, {"kind": "same", "new": "x", "old": "x"}],
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


# ---- what small random numbers could hide ----------------------------------------------------------


def step_of(*changes):
    """Whether a step that makes these changes is accepted without facts."""
    before, after = rewritten(SPEC, *changes)
    return accepted(certificate(SPEC, before, (after, [])))


def test_an_input_stays_of_its_kind():
    square = "driver multiplies x[j, m]", "driver multiplies x[j, m]\n  more multiplies x[j, m]"
    assert not step_of(("input x (n, 5)", "input x (n, 5) mask"), square)
    _, after = rewritten(SPEC, ("input x (n, 5)", "input x (n, 5) mask"), square)
    assert not accepted(certificate(SPEC, after))


def test_outputs_keep_their_names_and_sizes():
    assert not step_of(("output y = relay[i, m]", "output y = relay[m, i]"))
    assert not step_of(("output y", "output z"))
    wider = "axis m : model 5\naxis o : model 4", "population relay [i, o]", "relay[i, o]"
    assert not step_of(
        ("axis m : model 5", wider[0]), ("population relay [i, m]", wider[1]),
        ("output y = relay[i, m]", "output y = relay[i, o]"), ("b_O[m]", "1.0"),
        ("W_O[h, m, c]", "1.0"),
    )  # fmt: skip


def test_numbers_keep_their_type():
    assert not step_of(
        ("parameter W_V (2, 7, 5) stored float64", "parameter W_V (2, 7, 5) stored float16")
    )


def test_a_quotient_is_not_one_where_a_number_is_zero():
    spec = replace(SPEC, bias=Bias(output=True))
    cells = "population unit [m] cortex.L4 stellate\n  basal multiplies b_O[m]\n"
    cells += "  shunt divides b_O[m]\npopulation relay"
    before, one = rewritten(spec, ("multiplies b_O[m]", "multiplies b_O[m] + 1.0"))
    _, quotient = rewritten(
        spec,
        ("population relay", cells),
        ("projection output", "projection unit unit -> relay.driver weight 1.0\nprojection output"),
    )
    assert not accepted(certificate(spec, before, (one, []), (quotient, [])))
    report = examine(certificate(spec, before, (one, []), (quotient, [])))
    assert report.wrong


@pytest.mark.parametrize("sizes", [range(3, 13), range(5, 30), range(1, 60)])
@pytest.mark.parametrize("axis", ["i", "m", "c"])
def test_an_equation_of_sizes_that_holds_at_some_is_not_taken_for_one(axis, sizes):
    zeros = "".join(f"  f{n} multiplies size({axis})^1 + -{n}.0\n" for n in sizes)
    cells = f"population factor [i] cortex.L4 stellate\n{zeros}population relay"
    projection = "projection factor factor -> relay.driver weight 1.0\nprojection output"
    assert not step_of(("population relay", cells), ("projection output", projection))


@pytest.mark.slow
def test_a_sum_over_an_axis_is_its_size():
    """And that is no equation by chance."""
    cells = "population ones [i, {0}] cortex.L4 stellate\n  basal multiplies 1.0\npopulation relay"
    counted = "projection ones ones -> relay.driver weight 1.0\nprojection output"
    for axis in ("c", "j", "h"):
        spec = replace(SPEC, bias=Bias())
        before, size = rewritten(
            spec, ("driver multiplies\n\n", f"driver multiplies size({axis})^1\n\n")
        )
        _, summed = rewritten(
            spec, ("population relay", cells.format(axis)), ("projection output", counted)
        )
        found = examine(certificate(spec, before, (size, []), (summed, [])))
        steps = [f for f in found.findings if f.what.startswith("test keeps")]
        assert "the output y is another" in steps[0].detail  # of the first of the two
        pair = certificate(spec, size, (summed, []))
        assert [f.status for f in examine(pair).findings if f.what.startswith("test")] == [
            "re-checked"
        ]


def test_distances_do_not_add_up_by_chance():
    """1 + 3 is no distance of 100, though 100 may be made as small as 4."""
    cells = "population near [i, j] cortex.L4 stellate where i - j <= 1\n  basal multiplies 1.0\n"
    cells += "population count [i, k] cortex.L4 stellate\n  basal multiplies\n"
    cells += "population is [i, k] cortex.L4 stellate\n  basal multiplies\n  shunt divides\n"
    wires = "projection near near -> count.basal weight 1.0 where j - k <= 3\n"
    wires += "projection one count -> is.basal weight 1.0\n"
    wires += "projection two count -> is.shunt weight 1.0\n"
    wires += "projection is is -> relay.driver weight 1.0\nprojection output"
    far = "population is [i, k] cortex.L4 stellate where i - k <= 100\n  basal multiplies 1.0\n"
    wire = "projection is is -> relay.driver weight 1.0\nprojection output"
    common = ("\ninput x", "axis k : column n\n\ninput x")
    spec = replace(SPEC, bias=Bias())
    _, before = rewritten(
        spec, common, ("population relay", cells + "population relay"), ("projection output", wires)
    )
    _, after = rewritten(
        spec, common, ("population relay", far + "population relay"), ("projection output", wire)
    )
    pair = certificate(spec, before, (after, []))
    assert any("test keeps" in problem for problem in recheck(pair))


@pytest.mark.parametrize("sigma", [1e-31, -0.5, 1e31])
def test_a_semi_saturation_out_of_range(sigma):
    read_spec({"model": 8, "heads": 2, "semi_saturation": 0.5})
    with pytest.raises(ValueError, match="semi_saturation must be 0, or"):
        read_spec({"model": 8, "heads": 2, "semi_saturation": sigma})
