"""Tokens that do not occur are left out, exactly; others are an error."""

import numpy as np
import pytest

from cortico import SpecError
from cortico.backends import run_network
from cortico.passes.restrict_vocabulary import restrict_vocabulary
from tests.backends.networks.models import VOCABULARY, case


@pytest.mark.parametrize("name", ["encoder", "llama", "translator"])
@pytest.mark.parametrize("backend", ["reference", "numpy"])
def test_is_exact_for_the_tokens_that_occur(name, backend):
    each = case(name, (2,), 4)
    made = restrict_vocabulary(each.network, each.inputs)
    sizes = {t.name: t.shape[-1] for t in made.network.inputs if t.name in made.kept}
    assert sizes == {n: len({*np.ravel(each.inputs[n]).tolist()}) for n in made.kept}
    assert max(sizes.values()) < VOCABULARY / 3
    found = run_network(made.network, made.renumbered(each.inputs), backend)
    for output, expected in each.expected.items():
        assert found[output].shape == expected.shape
        np.testing.assert_allclose(found[output], expected, rtol=1e-12, atol=1e-13)


def test_silent_cells_and_their_synapses_are_gone():
    each = case("llama", (2,), 4)
    made = restrict_vocabulary(each.network, each.inputs)
    before, after = (n.flatten().bind(n=4).counts() for n in (each.network, made.network))
    gone = VOCABULARY - len(np.unique(each.inputs["tokens"]))
    assert before.neurons - after.neurons == 4 * gone
    assert before.synapses - after.synapses == 4 * gone * 16


def test_other_tokens_are_refused():
    each = case("llama", (2,), 4)
    made = restrict_vocabulary(each.network, each.inputs)
    other = next(k for k in range(VOCABULARY) if k not in each.inputs["tokens"])
    told = f"'tokens' has token {other}, expected one of the {len(made.kept['tokens'])} tokens"
    with pytest.raises(SpecError, match=told):
        made.renumbered({"tokens": np.array([other])})
    with pytest.raises(SpecError, match="whole numbers from 0 to 49"):
        restrict_vocabulary(each.network, {"tokens": [50]})
