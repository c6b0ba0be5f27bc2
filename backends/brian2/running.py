"""What runs an emitted script: what it needs, and its function in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from cortico.backends.extras import require_extra
from cortico.ir import UnsupportedError


def require_brian2(target: str) -> None:
    """UnsupportedError, in one line, when Brian2 or the compiler that `target` wants is missing."""
    require_extra("brian2", "brian2", "Brian2")
    if target != "numpy" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise UnsupportedError(
            f"target {target!r} of backend 'brian2' needs a C++ compiler (g++ or clang++): install one, "
            "or use target numpy"
        )


def load_simulate(source: str) -> Callable[..., Any]:
    """The `simulate` function of an emitted script, in this process.

    Only ever called on text that cortico emitted. It sets Brian2's device, preferences and clock.
    """
    file = "attention_brian2.py"
    namespace: dict[str, Any] = {"__name__": "attention_brian2", "__file__": file}
    exec(compile(source, file, "exec"), namespace)
    simulate: Callable[..., Any] = namespace["simulate"]
    return simulate
