"""What emitted files of networks have in any library of arrays. Never imported: `cortico.backends.linking` copies it."""

from typing import Any

#: What an emitted file says of itself.
PATHS: Any = ...
TENSORS: Any = ...
CONSTANTS: Any = ...
OUTPUTS: Any = ...


def expect_all(weights):
    """Refuse weights that lack some."""
    names = [f"{path}.{name}" for path, block in PATHS.items() for name in TENSORS[block]]
    names += [f"{block}:{name}" for block, own in CONSTANTS.items() for name in own]
    missing = [name for name in names if name not in weights]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise ValueError(f"weights are missing: {', '.join(missing[:8])}{more}")


def weights_at(path, weights):
    """The weights of the block at a path, by their names there."""
    block = PATHS[path]
    own = {name: weights[f"{path}.{name}"] for name in TENSORS[block]}
    return own | {name: weights[f"{block}:{name}"] for name in CONSTANTS.get(block, ())}


def past_at(past, path):
    """What is kept for the block at a path, if anything is."""
    return None if past is None else past.setdefault(path, {})


def logits_of(given):
    """The logits among what a model gives."""
    return given[OUTPUTS.index("logits")] if len(OUTPUTS) > 1 else given
