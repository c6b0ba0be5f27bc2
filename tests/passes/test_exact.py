"""Every exact pass, alone: valid, equal to 1e-12, and never dearer by its own cost."""

import pytest

from cortico.ir import check
from cortico.lowering import lower
from cortico.passes import PASSES
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from tests.cases import CASES
from tests.covering import covering, every_case, first
from tests.verify.planted import planted_weights

EXACT = [kind for kind in PASSES if kind.exact]

#: Numbers have zeros and copies, so that passes find something to do.
WEIGHTS = {"planted": planted_weights, "symbolic": lambda case: None}

#: What is lowered is restricted already; test_restrict_domain.py has circuits that are not.
FINDS_NOTHING = {"restrict-domain"}
#: It drops a bias of keys, where nothing is behind the bias that differs from token to token.
FINDS_FEW = {"drop-softmax-shift"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("weights", first(1, WEIGHTS))
def test_pass_alone(kind, case, weights):
    before = lower(case.spec, WEIGHTS[weights](case))
    this = kind()
    after = this.run(before)
    check(after)
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert this.run(after) is after
    if after is not before:
        compare_meaning(before, after)


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
def test_it_does_something_on_some(kind):
    """Else the test above says nothing."""
    cases = CASES if kind.name in FINDS_FEW else covering()
    lowered = [lower(case.spec, planted_weights(case)) for case in cases]
    changed = sum(kind().run(circuit) is not circuit for circuit in lowered)
    assert (changed >= 2) if kind.name not in FINDS_NOTHING else not changed
