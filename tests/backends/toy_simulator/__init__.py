"""A simulator of cells in one small file of NumPy, and the backend that writes scripts for it.

docs/add_a_backend.md leads through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cortico.backends.cells.backend import CellBackend
from cortico.ir.options import Help, OptionSet, number


@dataclass(frozen=True)
class Options(OptionSet):
    """How leaky cells are run. Times in ms; SpecError for what cannot be."""

    owner = "backend toy"

    dt: Annotated[float, number(1e-3, 1e3), Help("time step in ms")] = 1.0
    tau: Annotated[float, number(1e-3, 1e3), Help("time constant of all cells in ms")] = 10.0
    tolerance: Annotated[
        float, number(1e-16, 0.1), Help("part of its way that a cell may lack")
    ] = 1e-12


class ToyBackend(CellBackend[Options]):
    """Emits a script of leaky cells, and runs it in a process of its own."""

    name = "toy"
    summary = "leaky cells in NumPy"
    title = "toy"
    lacks = "which leaky cells do not settle to"
    template = "tests.backends.toy_simulator.template"
    Options = Options
    language = "nengo"  # whose functions are NumPy's
    settles_by_depth = True

    def require(self) -> None:
        """It needs nothing but NumPy."""
