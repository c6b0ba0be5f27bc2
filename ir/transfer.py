"""The transfer functions a neuron may have: one table, read by every backend.

Each entry gives the function in the languages of the backends. `{x}` stands for the argument. The
derivative is a SymPy expression in `x`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Transfer:
    """φ in `rate = φ(drive)`: a name, a NumPy ufunc, and its text in other languages."""

    name: str
    evaluate: Callable[[Any], Any]
    numpy: str
    brian2: str
    sympy: str
    derivative: str

    @property
    def is_identity(self) -> bool:
        return self.name == "identity"


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _identity(x: Any) -> Any:
    return x


TRANSFERS: Mapping[str, Transfer] = MappingProxyType(
    {
        transfer.name: transfer
        for transfer in (
            Transfer("identity", _identity, "{x}", "{x}", "x", "1"),
            Transfer("exp", np.exp, "np.exp({x})", "exp({x})", "exp(x)", "exp(x)"),
            Transfer(
                "relu",
                _relu,
                "np.maximum({x}, 0)",
                "clip({x}, 0, inf)",
                "Max(x, 0)",
                "Heaviside(x)",
            ),
            Transfer("tanh", np.tanh, "np.tanh({x})", "tanh({x})", "tanh(x)", "1 - tanh(x)**2"),
            Transfer("sqrt", np.sqrt, "np.sqrt({x})", "sqrt({x})", "sqrt(x)", "1/(2*sqrt(x))"),
        )
    }
)
