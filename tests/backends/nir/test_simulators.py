"""Simulators that read NIR: a frozen circuit gives the numbers of the reference interpreter there.

The oracle is a library that has never seen cortico. Both read a graph by way of nirtorch.
"""

import importlib.util

import pytest

from cortico.backends import get_runner
from tests.backends.nir.test_nir import frozen_case, written
from tests.conformance.test_backends import relative_error

NAMES = ["cross_linear", "linear-mask_none-padded-grouped-biased", "memory"]


def needs(module, how):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: {how}")


def tokens(x):
    import torch

    return torch.tensor(x, dtype=torch.float32)


def compared(circuit, x, found):
    expected = get_runner("reference").run(circuit, {"x": x})["y"]
    assert found.shape == expected.shape
    return relative_error(found, expected)


@needs("snntorch", "pip install snntorch nirtorch")
@pytest.mark.parametrize("name", NAMES)
def test_snntorch(name, tmp_path, capsys):
    """It knows Affine nodes, and no LI: `cells="none"`."""
    import torch
    from snntorch.import_nir import import_from_nir

    circuit, x = frozen_case(name)
    module = import_from_nir(written(circuit, tmp_path, cells="none", dtype="float32"))
    with torch.no_grad():
        found, _ = module(tokens(x))
    assert compared(circuit, x, found.numpy()) < 1e-6


@needs("sinabs", "pip install --no-deps sinabs pbr")  # its own requirements want an older nir
@pytest.mark.filterwarnings("ignore:nirtorch.load is being deprecated:DeprecationWarning")
@pytest.mark.parametrize("cells", ["li", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_sinabs(name, cells, tmp_path):
    """It counts tau in steps, so that a leaky integrator of 12 ms follows within a step."""
    import torch
    from sinabs.nir import from_nir

    circuit, x = frozen_case(name)
    module = from_nir(written(circuit, tmp_path, cells=cells, dtype="float32"), batch_size=1)
    with torch.no_grad():
        found, _ = module(tokens(x))
    assert compared(circuit, x, found.numpy()) < 1e-6
