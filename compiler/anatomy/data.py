"""Published anatomy as data: pathways and numbers of cells, each with its sources and how far they were checked.

The tables are `pathways.csv` and `counts.csv` beside this file; `docs/anatomy.md` explains their columns.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple, TypeVar

from cortico.ir import CellClass, Region
from cortico.ir.errors import CorticoError, SpecError, bullet_list, near_name

Row = Mapping[str, str]
Entry = TypeVar("Entry")


class Checked(StrEnum):
    """How the DOI of a reference was checked."""

    PAGE = "page"  #: seen on a page of the publication
    REPO = "repo"  #: seen in a public repository or a secondary page
    TITLE = "title_only"  #: the publication was seen, its DOI is from memory
    MEMORY = "memory"  #: not checked


class Span(StrEnum):
    """Which pairs of cells a pathway joins."""

    ANY = "any"
    LAYER = "layer"  #: of one layer of one area
    AREA = "area"  #: of one area
    AREAS = "areas"  #: of different areas


class Cells(NamedTuple):
    """A cell class in a region, written `L5:pyramidal_pt` in the table."""

    region: Region
    cell_class: CellClass

    def __str__(self) -> str:
        return f"{self.region.label} {self.cell_class}".replace("_", " ")


@dataclass(frozen=True)
class Reference:
    """A publication."""

    label: str
    doi: str | None
    checked: Checked

    def __str__(self) -> str:
        return f"{self.label}, doi {self.doi}" if self.doi else self.label


@dataclass(frozen=True)
class Range:
    """From the lowest to the highest number that was published."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = f"{self.low:.3g}", f"{self.high:.3g}"
        return low if low == high else f"{low}-{high}"


@dataclass(frozen=True)
class Pathway:
    """A published pathway, its absence, or a constraint on pathways: one row of `pathways.csv`.

    `pre` and `post` are the cell classes of circuits that it speaks about; both are empty for rows
    that only rules quote.
    """

    id: str
    source: str
    target: str
    pre: frozenset[Cells]
    post: frozenset[Cells]
    dendrites: frozenset[str]  #: where it ends; empty: anywhere
    span: Span
    sign: str
    kind: str
    evidence: str  #: A, B or C, with a remark
    probability: Range | None  #: that a pair of cells is connected
    numbers: str
    species: str
    use: str  #: what circuits use it for
    caveat: str
    references: tuple[Reference, ...]
    claim_checked: str  #: how what the row says was checked

    @property
    def quote(self) -> str:
        """`P11 (Sherman & Guillery 1998; Sherman 2016)`."""
        return f"{self.id} ({'; '.join(reference.label for reference in self.references)})"


@dataclass(frozen=True)
class CellCount:
    """Published numbers of cells of a piece of cortex: one row of `counts.csv`."""

    id: str
    what: str
    scale: str  #: microcolumn, column or area
    typical: Range
    reported: Range  #: from the least to the most that anyone found
    text: str
    species: str
    references: tuple[Reference, ...]
    claim_checked: str
    caveat: str


@cache
def pathways() -> Mapping[str, Pathway]:
    """All rows of `pathways.csv` by id. SpecError lists everything that is wrong with them."""
    return _load("pathways.csv", _pathway, lambda pathway: pathway.id)


@cache
def cell_counts() -> Mapping[str, CellCount]:
    """All rows of `counts.csv` by id. SpecError lists everything that is wrong with them."""
    return _load("counts.csv", _cell_count, lambda count: count.id)


# ---- reading -------------------------------------------------------------------------------------


def _load(
    name: str, read: Callable[[Row], Entry], key: Callable[[Entry], str]
) -> Mapping[str, Entry]:
    text = (files("cortico.anatomy") / name).read_text(encoding="utf-8")
    return read_table(name, text, read, key)


def read_table(
    name: str, text: str, read: Callable[[Row], Entry], key: Callable[[Entry], str]
) -> Mapping[str, Entry]:
    """The entries of a table by key. SpecError with the line of each row that is wrong."""
    found: dict[str, Entry] = {}
    problems: list[str] = []
    for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            entry = read(row)
            if key(entry) in found:
                raise SpecError(f"{key(entry)} is there already")
            found[key(entry)] = entry
        except KeyError as error:
            problems.append(f"line {line}: no column {error}")
        except (ValueError, CorticoError) as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise SpecError(f"table {name!r} is wrong:{bullet_list(problems)}")
    return found


def _pathway(row: Row) -> Pathway:
    pre, post = _cells(row["pre"]), _cells(row["post"])
    if bool(pre) != bool(post):
        raise SpecError("pre and post must both be given, or neither")
    if row["evidence"][:1] not in ("A", "B", "C"):
        raise SpecError(f"evidence must begin with A, B or C, found {row['evidence']!r}")
    return Pathway(
        row["id"],
        _place(row, "source"),
        _place(row, "target"),
        pre,
        post,
        frozenset(row["dendrites"].split()) - {"any"},
        Span(row["span"] or Span.ANY),
        row["sign"],
        row["kind"],
        row["evidence"],
        _range(row["p_low"], row["p_high"]),
        "; ".join(text for text in (row["p_connect"], row["numbers"]) if text),
        row["species_area"],
        row["cortico_use"],
        row["caveat"],
        tuple(_references(row)),
        row["claim_checked"],
    )


def _place(row: Row, end: str) -> str:
    return ", ".join(row[f"{end}_{part}"] for part in ("pop", "layer") if row[f"{end}_{part}"])


def _cells(text: str) -> frozenset[Cells]:
    return frozenset(map(_cell, text.split()))


def _cell(text: str) -> Cells:
    label, _, cell_class = text.partition(":")
    regions = {region.label: region for region in Region}
    if label not in regions:
        raise SpecError(f"no region {label!r}{near_name(label, regions)}")
    if cell_class not in list(CellClass):
        raise SpecError(f"no cell class {cell_class!r}{near_name(cell_class, map(str, CellClass))}")
    return Cells(regions[label], CellClass(cell_class))


def _range(low: str, high: str) -> Range | None:
    if not low and not high:
        return None
    found = Range(float(low), float(high))
    if not 0 <= found.low <= found.high:
        raise SpecError(f"a range must rise from 0 on, found {low!r} to {high!r}")
    return found


def _references(row: Row) -> Iterator[Reference]:
    """One for each label; labels, DOIs and how these were checked are lists with `; ` between."""
    columns = [row[name].split("; ") for name in ("reference", "doi", "doi_checked")]
    if len({len(column) for column in columns}) > 1:
        raise SpecError("reference, doi and doi_checked must list equally many")
    for label, doi, checked in zip(*columns, strict=True):
        if not label:
            raise SpecError("a reference is missing")
        if doi and not doi.startswith("10."):
            raise SpecError(f"a DOI begins with 10., found {doi!r}")
        yield Reference(label, doi or None, Checked(checked))


def _cell_count(row: Row) -> CellCount:
    typical = _range(row["low"], row["high"])
    if typical is None:
        raise SpecError("low and high are missing")
    return CellCount(
        row["id"],
        row["what"],
        row["scale"],
        typical,
        _range(row["least"], row["most"]) or typical,
        row["reported"],
        row["species_area"],
        tuple(_references(row)),
        row["claim_checked"],
        row["caveat"],
    )
