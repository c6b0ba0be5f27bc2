"""The cases that stand for the table: every pair of options is met, by few."""

import itertools
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from tests.cases import CASES
from tests.covering import NUMBERS, covering, every_case, every_option, every_pair, options


def pairs(cases):
    """Every two options with their values, written down apart from the selection."""
    return {
        (one, found[one], two, found[two])
        for found in (options(case.spec) for case in cases)
        for one, two in itertools.permutations(found, 2)
    }


def values(cases):
    return {option for case in cases for option in options(case.spec).items()}


SOME = {
    "all": lambda case: True,
    "memories": lambda case: case.spec.microcircuit is Microcircuit.MEMORY,
    "no memories": lambda case: case.spec.microcircuit is Microcircuit.MASK,
    "causal": lambda case: case.spec.mask is Mask.CAUSAL,
    "none": lambda case: False,
}


@pytest.mark.parametrize("kept", SOME.values(), ids=SOME)
def test_every_pair_of_options_is_met_by_few_cases(kept):
    cases = [case for case in CASES if kept(case)]
    chosen = covering(cases)
    assert pairs(chosen) == pairs(cases)
    assert values(covering(cases, 1)) == values(cases)
    assert set(chosen) <= set(cases)
    assert [case for case in cases if case in chosen] == chosen  # each once, as the table has them


def test_the_selections_are_small():
    assert len(covering()) <= len(CASES) * 0.38
    assert len(every_option()) <= len(CASES) / 6


def test_no_case_of_the_selection_can_be_spared_by_a_stride():
    """What strides did: these missed biases and groups."""
    assert pairs(CASES[::4]) < pairs(CASES)
    assert values(CASES[::4]) < values(CASES)


def runs(parameters):
    """Mark to the cases that have it."""
    found = {mark: [] for mark in (None, "slow", "full", "cross")}
    for parameter in parameters:
        found[next((mark.name for mark in parameter.marks), None)].extend(parameter.values)
    return found


def test_each_run_covers_what_it_says():
    usual, thorough = runs(every_case()), runs(every_case(thorough=True))
    for found in (usual, thorough):
        assert values(found[None]) == values(CASES)
        assert sum(map(len, found.values())) == len(CASES)
    assert pairs(thorough[None] + thorough["slow"]) == pairs(CASES)
    assert usual["slow"] == thorough["full"] == []
    assert pairs(usual[None] + usual["full"]) == pairs(CASES)
    assert len(runs(every_option(long=True))[None]) == 3
    assert [p for p in every_case() if p.id in {q.id for q in every_pair()}] == every_pair()
    assert {p.id for p in every_option()} == {case.name for case in usual[None]}


def test_every_field_of_a_spec_is_an_option():
    """But for numbers, of which what is particular about them is one."""
    assert {f.name for f in fields(AttentionSpec)} > NUMBERS
    spec = AttentionSpec(model=8, heads=4, kernel=Kernel.LINEAR)
    for change in (
        {"heads": 1},
        {"heads": 8},
        {"kv_heads": 2},
        {"value_features": 3},
        {"output": 5},
        {"tokens": 5},
        {"scale": 1.0},
        {"scale": 0.5},
        {"key_padding": True},
        {"microcircuit": Microcircuit.MEMORY},
    ):
        assert options(replace(spec, **change)) != options(spec), change


def test_no_test_takes_strides_of_the_table():
    """A stride is in step with the order of the table: what it leaves out is no accident."""
    here = Path(__file__)
    strided = [
        f"{path.name}: {line.strip()}"
        for path in here.parent.rglob("*.py")
        if path != here
        for line in path.read_text(encoding="utf-8").splitlines()
        if "CASES[" in line and ":" in line.partition("CASES[")[2].partition("]")[0]
    ]
    assert strided == []
