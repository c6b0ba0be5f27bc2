"""The tables are read whole, agree with their own texts, and wrong rows are named."""

import csv
import inspect
import re
from importlib.resources import files

import pytest

from cortico.anatomy import Checked, cell_counts, pathways, rules
from cortico.anatomy.data import _pathway, read_table
from cortico.ir import SpecError

TABLE = (files("cortico.anatomy") / "pathways.csv").read_text(encoding="utf-8")


def test_all_rows_are_read():
    assert list(pathways()) == [f"P{n:02}" for n in range(1, 44)]
    assert list(cell_counts()) == [f"C{n:02}" for n in range(1, 6)]


def test_a_row():
    row = pathways()["P20"]
    assert {str(c) for c in row.pre} == {"L2/3 pyramidal it"}
    assert row.dendrites == {"basal", "apical"}
    assert (row.probability.low, row.probability.high) == (0.057, 0.122)
    assert [str(r) for r in row.references] == [
        "Quiquempoix et al. 2018, doi 10.1016/j.celrep.2018.08.038",
        "Lefort et al. 2009, doi 10.1016/j.neuron.2008.12.020",
    ]
    assert row.quote == "P20 (Quiquempoix et al. 2018; Lefort et al. 2009)"
    assert {r.checked for r in row.references} == {Checked.PAGE}


def test_ranges_are_made_of_the_numbers_in_the_text():
    """The ends of each range of probabilities stand in the column that gives them in words."""
    for row in csv.DictReader(TABLE.splitlines()):
        if row["p_low"]:
            sure = re.sub(r"\S+ \[memory\]", "", row["p_connect"])  # those are placeholders
            stated = [float(n) for n in re.findall(r"\d*\.?\d+", sure)]
            assert float(row["p_low"]) in stated, row["id"]
            assert float(row["p_high"]) in stated, row["id"]


def test_what_is_from_memory_is_called_so():
    for row in [*pathways().values(), *cell_counts().values()]:
        assert row.claim_checked, row.id
        for reference in row.references:
            assert reference.doi or reference.checked is Checked.MEMORY, row.id


def test_every_row_that_rules_quote_is_there():
    quoted = set(re.findall(r'"(P\d\d)"', inspect.getsource(rules)))
    assert quoted
    assert quoted <= set(pathways())


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("id", "P02", "line 3: P02 is there already"),
        ("pre", "core:relais", "no cell class 'relais' (did you mean 'relay'?)"),
        ("pre", "cor:relay", "no region 'cor' (did you mean 'core'?)"),
        ("post", "", "pre and post must both be given"),
        ("evidence", "D", "evidence must begin with A, B or C, found 'D'"),
        ("p_low", "0.9", "a range must rise from 0 on, found '0.9' to '0.0983'"),
        ("p_low", "many", "could not convert string to float: 'many'"),
        ("doi", "science.1", "a DOI begins with 10., found 'science.1'"),
        ("doi", "10.1/a; 10.1/b", "must list equally many"),
        ("doi_checked", "yes", "'yes' is not a valid Checked"),
        ("span", "all", "'all' is not a valid Span"),
        ("reference", "", "a reference is missing"),
    ],
)
def test_wrong_rows_are_named(column, text, message):
    rows = list(csv.DictReader(TABLE.splitlines()))[:2]
    rows[0][column] = text
    lines = [",".join(rows[0])]
    lines += [
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in rows
    ]
    with pytest.raises(SpecError, match=r"table 'x\.csv' is wrong") as error:
        read_table("x.csv", "\n".join(lines), _pathway, lambda row: row.id)
    assert message in str(error.value)


def test_a_missing_column_is_named():
    with pytest.raises(SpecError, match="line 2: no column 'pre'"):
        read_table("x.csv", "id\nP01\n", _pathway, lambda row: row.id)
