"""Every exact pass, alone, on every case: valid, equal to 1e-12, and never dearer by its own cost."""

import pytest

from cortico.ir import check
from cortico.lowering import lower
from cortico.passes import PASSES
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from tests.cases import CASES

EXACT = [kind for kind in PASSES if kind.exact]


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
def test_pass_alone(kind, case, concrete):
    before = lower(case.spec, case.weights if concrete else None)
    this = kind()
    after = this.run(before)
    if after is before:
        return
    check(after)
    compare_meaning(before, after)
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert this.run(after) is after
