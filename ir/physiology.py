"""Membrane time constants and firing rates of the cell classes, each with its source or without one.

The numbers stand in `cell_types.csv`, a row per region and cell class. `checked` says how far a number
was followed to its source. A number without a DOI is a placeholder.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from cortico.ir.regions import CellClass, Region

#: A row's region when the numbers hold for a class wherever it lives.
_ANY = "any"


@dataclass(frozen=True)
class Measurement:
    """A number with its unit, what was reported, and where."""

    value: float
    unit: str
    reported: str
    reference: str
    doi: str
    checked: str

    @property
    def is_placeholder(self) -> bool:
        return not self.doi

    @property
    def source(self) -> str:
        """The source in one line."""
        if self.is_placeholder:
            return f"placeholder, {self.reference or 'no source'}"
        return f"{self.reference}, doi {self.doi}"


@dataclass(frozen=True)
class CellType:
    """A cell class in a region, with what its dynamics need."""

    region: str  #: a region, or `any`
    cell_class: CellClass
    membrane_time: Measurement  #: ms
    rate: Measurement  #: Hz


@cache
def cell_types() -> tuple[CellType, ...]:
    """All rows of the table."""
    text = resources.files("cortico.ir").joinpath("cell_types.csv").read_text(encoding="utf-8")
    return tuple(_cell_type(row) for row in csv.DictReader(text.splitlines()))


def cell_type(region: Region, cell_class: CellClass) -> CellType:
    """The row for a class in a region; the first of the class where the region has none."""
    rows = [row for row in cell_types() if row.cell_class is cell_class]
    return next((row for row in rows if row.region in (region.value, _ANY)), rows[0])


def _cell_type(row: dict[str, str]) -> CellType:
    time = Measurement(
        float(row["tau_ms"]),
        "ms",
        row["tau_reported"],
        row["tau_reference"],
        row["tau_doi"],
        row["tau_checked"],
    )
    rate = Measurement(
        float(row["rate_hz"]),
        "Hz",
        "",
        row["rate_reference"],
        row["rate_doi"],
        row["rate_checked"],
    )
    return CellType(row["region"], CellClass(row["cell_class"]), time, rate)
