"""What emitted files of networks have in any library of arrays. Never imported: `cortico.backends.linking` copies it."""

from typing import Any

#: What an emitted file says of itself.
PATHS: Any = ...
TENSORS: Any = ...
CONSTANTS: Any = ...
OUTPUTS: Any = ...
ONCE: Any = ...
GOES_ON: Any = ...


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


def expect_once(start, wanted, optional):
    """Refuse what is heard once where it is missing in the first call, or comes again after `start` tokens."""
    missing = [name for name, array in wanted.items() if array is None]
    again = [name for name, array in (wanted | optional).items() if array is not None]
    if start and again:
        raise ValueError(
            f"{', '.join(again)}: expected in the first call alone, {start} tokens came before"
        )
    if not start and missing:
        raise ValueError(f"{', '.join(missing)}: expected in the first call")


def heard_before(past, start):
    """What `past` keeps of what was heard in the first call."""
    if "once" not in past:
        raise ValueError(f"past keeps less than {start} tokens")
    return past["once"]


def next_tokens(tokens, how):
    """The arguments of a call for more tokens: what was heard once need not come again."""
    if GOES_ON in how:
        raise TypeError(f"{GOES_ON} are given twice")
    return dict.fromkeys(ONCE) | how | {GOES_ON: tokens}


def without_once(how):
    """The arguments of later calls."""
    return {name: value for name, value in how.items() if name not in ONCE}


def logits_of(given):
    """The logits among what a model gives."""
    return given[OUTPUTS.index("logits")] if len(OUTPUTS) > 1 else given
