"""What users give where arrays are meant, as arrays: lists, numbers, tensors of torch and JAX.

Nothing is guessed: what NumPy would make objects or texts of is refused, and so are rows of different
lengths, complex numbers, and arrays with entries that are masked out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from cortico.ir.errors import SpecError, bullet_list, clipped, named, shown

_KINDS = "fiub"  #: floating-point and whole numbers, true and false
_TEXTS, _COMPLEX = "USa", "c"


def as_array(value: Any, what: str, whole: bool = False) -> np.ndarray:
    """`value` as an array of numbers; what is one is not copied. SpecError that begins with `what`.

    Plain numbers of Python become float64, unless all are true or false, or all are `whole` and meant to be:
    they have no type of their own.
    """
    try:
        found = _read(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        uneven = "inhomogeneous" in str(error)
        raise SpecError(
            f"{what} has rows of different lengths, expected an array of numbers"
            if uneven
            else f"{what} is no array of numbers: {clipped(' '.join(str(error).split()), 200)}"
        ) from None
    if isinstance(found, np.ma.MaskedArray) and np.any(found.mask):
        raise SpecError(f"{what} has entries that are masked out, expected numbers for all")
    array = np.asarray(found)
    if array.dtype.kind not in _KINDS:
        raise SpecError(f"{what} {_instead(value, array)}, expected an array of numbers")
    is_plain = isinstance(value, list | tuple | int | float) and not isinstance(value, np.generic)
    as_floats = is_plain and array.dtype.kind in "iu" and not whole
    return array.astype(np.float64) if as_floats else array


def as_arrays(
    given: Any,
    what: str,
    example: str = "x",
    wanted: Collection[str] | None = None,
    whole: Collection[str] = (),
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by name, and what is wrong with the others, a line each. SpecError for what is no mapping.

    `what` says what one of them is, such as an input; `example` is the name of one. Only `wanted` ones are
    looked at, for a mapping may read files. Those in `whole` are meant to be whole numbers.
    """
    if not isinstance(given, Mapping):
        raise SpecError(
            f"{what}s must be a mapping of names to arrays, such as {{{example!r}: …}}, "
            f"found {_kind(given)}"
        )
    arrays, problems = {}, []
    for name in (name for name in given if wanted is None or name in wanted):
        try:
            arrays[name] = as_array(given[name], f"{what} {named(str(name))}", name in whole)
        except SpecError as error:
            problems.append(str(error))
    return arrays, problems


def require_arrays(
    given: Any, what: str, owner: str, example: str = "x", whole: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays by name, those in `whole` meant to be whole numbers. One SpecError for all that are none;
    `owner` is whose they are."""
    arrays, problems = as_arrays(given, what, example, whole=whole)
    if problems:
        raise SpecError(f"{what}s of {named(owner)} are wrong:{bullet_list(problems)}")
    return arrays


def _read(value: Any) -> Any:
    """As NumPy reads it; tensors of torch are taken off their device and graph."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        if (
            str(value.dtype) == "torch.bfloat16"
        ):  # NumPy has no such type; float32 has all its numbers
            value = value.float()
        return value.resolve_conj().resolve_neg().numpy()
    if isinstance(value, list | tuple) and any(hasattr(member, "detach") for member in value):
        return np.stack([np.asarray(_read(member)) for member in value])
    return value if isinstance(value, np.ndarray) else np.asarray(value)


def _instead(value: Any, array: np.ndarray) -> str:
    """What something is that is no array of numbers."""
    if array.dtype.kind in _TEXTS:
        return f"holds texts, {shown(array.flat[0].item() if array.size else '')}"
    if array.dtype.kind in _COMPLEX:
        return "holds complex numbers"
    if array.dtype.kind == "O" and array.ndim == 0:
        return f"is {_kind(value)}"
    if array.dtype.kind == "O":
        return (
            f"holds {shown(next((v for v in array.flat if not isinstance(v, int | float)), None))}"
        )
    return f"has type {clipped(str(array.dtype), 60)}"


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
