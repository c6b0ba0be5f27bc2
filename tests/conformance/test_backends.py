"""One suite for every backend that computes at once; test_support.py has every case in double precision."""

import numpy as np
import pytest

from cortico.backends import Runner, backend_names, get_backend
from cortico.lowering import lower
from tests.cases import BATCH, CASES, Case
from tests.covering import every_case
from tests.oracle import textbook_attention


def expected_output(case: Case) -> np.ndarray:
    examples = [{n: a[k] for n, a in case.inputs.items()} for k in range(BATCH)]
    return np.stack([textbook_attention(case.spec, case.weights, **one) for one in examples])


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


#: Networks of simulators have suites of their own: test_brian2.py and so on.
SETTLES = ("brian2", "neuron", "nest", "annarchy", "nengo")
AT_ONCE = [
    name
    for name in backend_names()
    if name not in SETTLES and isinstance(get_backend(name), Runner)
]


@pytest.fixture(params=AT_ONCE)
def backend(request):
    if request.param in ("torch", "jax"):
        pytest.importorskip(request.param)
    return get_backend(request.param)


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("case", every_case(thorough=True))
def test_equals_textbook_in_single_precision(case, name):
    weights = {key: array.astype(np.float32) for key, array in case.weights.items()}
    inputs = {
        key: array if array.dtype == bool else array.astype(np.float32)
        for key, array in case.inputs.items()
    }
    found = get_backend(name).run(lower(case.spec, weights), inputs)["y"]
    assert found.dtype == np.float32
    assert relative_error(found, expected_output(case)) < 1e-5


@pytest.mark.slow
def test_weights_may_be_given_at_run_time(backend):
    case = CASES[0]
    symbolic = lower(case.spec)
    found = backend.run(symbolic, case.inputs, case.weights)["y"]
    assert relative_error(found, expected_output(case)) < 1e-12
