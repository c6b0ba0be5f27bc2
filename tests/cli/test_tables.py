"""How what commands print looks on terminals of any width."""

import pytest

from cortico import load_circuit
from cortico.cli import main
from cortico.cli.console import column_widths
from cortico.report.table import Table
from cortico.report.words import one_line, quantity
from tests.cli.test_commands import ok

LLAMA = """
model = 4096
heads = 32
kv_heads = 8
mask = "causal"
key_padding = true
sink = true
rotary = {}
name = "llama layer 3"
"""


@pytest.fixture(scope="module")
def compiled(template, tmp_path_factory):
    """Circuits whose tables are narrow, wide and much too wide."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "llama.toml").write_text(LLAMA)
    small, llama = str(template / "ok.toml"), str(folder / "llama.toml")
    huge = ["--tokens", "1000000000000", "--passes", "none"]
    for source, name, options in (
        (small, "small", []),
        (llama, "llama", []),
        (llama, "four", ["--tokens", "4"]),
        (small, "huge", huge),
    ):
        assert main(["compile", source, "-o", str(folder / name), *options]) == 0
    return folder


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["small", "llama", "four", "huge"])
def test_tables_fit(cortico, compiled, monkeypatch, columns, name):
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = ok(cortico("show", compiled / name))
    assert max(map(len, printed.splitlines())) <= columns
    words = set(printed.split())
    circuit = load_circuit(compiled / name / "circuit.cortico")
    for population in circuit.populations:  # no name and no number is broken
        assert f"{population.name}[{','.join(population.axes)}]" in words
    for projection in circuit.projections:
        assert {projection.name, f"{projection.post}.{projection.compartment}"} <= words
    if not circuit.symbols:
        assert {f"{count:,}" for count in circuit.counts().synapses_of.values()} <= words


def test_a_table_breaks_as_few_cells_as_it_can():
    rows = (("a b", "1 + 2"), ("c d", "3 + 4"), ("e", "111 + 222 + 333"))
    table = Table("T", ("x", "y"), rows, 1)
    assert column_widths(table, 20) == [3, 15]
    assert column_widths(table, 18) == [3, 13]  # breaks the last cell only
    assert column_widths(table, 10) == [3, 5]
    assert column_widths(table, 8) == [1, 5]
    assert column_widths(table, 6) == [1, 3]
    assert column_widths(table, 5) is None
    assert column_widths(Table("T", ("x", "two words"), (), 1), 80) == [1, 5]


def test_words():
    assert quantity(1, "synapse") == "1 synapse"
    assert quantity(1000, "synapse") == "1,000 synapses"
    assert one_line(" a\n\x1b[31m") == "a  [31m"
    assert one_line("\n") == "(no name)"


def test_compile_lists_passes(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compile", "--list-passes"])
    assert not stopped.value.code
    listed = capsys.readouterr().out
    assert main(["passes"]) == 0
    assert listed == capsys.readouterr().out
    assert "pipeline aggressive" in listed
