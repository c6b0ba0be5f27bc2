"""Network {title}, compiled by cortico to NumPy.

{tensors}

Token ids are whole numbers. In the comments, axes stand in brackets; the batch axes in front of them are
left out.{needs}
"""

from typing import Any

import numpy as np

#: What stands at each path: the block, for which `TENSORS` has the names of weights.
PATHS: Any = ...
TENSORS: Any = ...
CONSTANTS: Any = ...


def expect_all(weights, dtype):
    """Refuse weights that lack some, and a `dtype` that is neither float32 nor float64."""
    names = [f"{path}.{name}" for path, block in PATHS.items() for name in TENSORS[block]]
    names += [f"{block}:{name}" for block in TENSORS for name in CONSTANTS.get(block, ())]
    missing = [name for name in names if name not in weights]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise ValueError(f"weights are missing: {', '.join(missing[:8])}{more}")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, found {dtype}")


def tensors_at(path, weights):
    """The weights of the block at a path, by their names there."""
    block = PATHS[path]
    own = {name: weights[f"{path}.{name}"] for name in TENSORS[block]}
    return own | {name: weights[f"{block}:{name}"] for name in CONSTANTS.get(block, ())}
