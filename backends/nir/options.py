"""What a user may choose of a NIR graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cortico.ir.options import OptionSet, whole


@dataclass(frozen=True)
class Options(OptionSet):
    """How a circuit becomes nodes; SpecError for what cannot be.

    `cells="li"` makes the cells of a population a leaky integrator (LI) with their membrane time
    constant; `"none"` leaves Affine nodes only. A graph has at most `limit` numbers in its matrices.
    """

    owner = "backend nir"

    cells: Literal["li", "none"] = "li"
    dtype: Literal["float32", "float64"] = "float32"
    limit: Annotated[int, whole(1, 10**12)] = 100_000_000
