"""Losses: how far outputs are from targets, and the error neurons that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cortico.ir import Gain, TensorRef, Weight


@dataclass(frozen=True)
class SquaredError:
    """½ Σ (y - t)² over all tokens and features: `∂L/∂y = y - t`.

    A loss names the input that holds the targets and gives the drives of the error neurons, which
    hear the output one to one.
    """

    name: ClassVar[str] = "squared_error"
    target: str = "target"  #: name of the input with the targets, shaped like the output

    def error_drive(self, axes: tuple[str, ...]) -> tuple[Weight, ...]:
        """What drives the error neurons over `axes`, beside the output itself."""
        return (Weight(TensorRef(self.target, axes), Gain(-1.0)),)


#: The loss where none is named.
SQUARED_ERROR = SquaredError()
