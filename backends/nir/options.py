"""What a user may choose of a NIR graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortico.backends.script_options import named, require_choice, require_number

CELLS = ("li", "none")
TYPES = ("float32", "float64")


@dataclass(frozen=True)
class Options:
    """How a circuit becomes nodes; SpecError for what cannot be.

    `cells="li"` makes the cells of a population a leaky integrator (LI) with their membrane time
    constant; `"none"` leaves Affine nodes only. A graph has at most `limit` numbers in its matrices.
    """

    cells: str = "li"
    dtype: str = "float32"
    limit: int = 100_000_000

    def __post_init__(self) -> None:
        require_choice("nir", "cells", self.cells, CELLS)
        require_choice("nir", "dtype", self.dtype, TYPES)
        require_number("nir", "limit", self.limit, 1, 1e12, whole=True)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        return cls(**named("nir", cls, given))
