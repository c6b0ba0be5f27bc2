"""Arguments of the functions that users call: converted to their types, or refused, all in one line or list.

    @kind
    def read(path: AnyPath, layer: int = 0) -> ...

    read("model", layer=np.int64(3))  # is given 3
    read(7, layer="3")  # SpecError: what is wrong with both

What a type takes is said in `fields.py`; arrays are left to `arrays.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

from cortico.ir.errors import SpecError, bullet_list
from cortico.ir.fields import Fault, as_type

P = ParamSpec("P")
R = TypeVar("R")

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def kind(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which takes its arguments as users write them. SpecError for those that its types have not."""
    signature = inspect.signature(function)
    single = {name for name, p in signature.parameters.items() if p.kind not in _MANY}

    @cache
    def types() -> dict[str, Any]:
        found = get_type_hints(function, include_extras=True)
        return {name: hint for name, hint in found.items() if name in single}

    @wraps(function)
    def converted(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        faults: list[Fault] = []
        for name, hint in types().items():
            if name in bound.arguments:
                bound.arguments[name] = as_type(hint, bound.arguments[name], name, faults)
        if faults:
            _refuse(function.__name__, faults)
        return function(*bound.args, **bound.kwargs)

    converted.__dict__["is_kind"] = True
    return converted


def _refuse(name: str, faults: list[Fault]) -> None:
    lines = [" ".join(fault) for fault in faults]
    if len(lines) == 1:
        raise SpecError(f"{name}: {lines[0]}")
    raise SpecError(f"arguments of {name} are wrong:{bullet_list(lines)}")
