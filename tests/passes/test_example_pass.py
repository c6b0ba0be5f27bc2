"""The pass that `docs/add_a_pass.md` makes: its golden file, its meaning, its counts."""

import sys
from pathlib import Path

import pytest

from cortico.ir import SpecError, check
from cortico.lowering import lower
from cortico.passes import compare_meaning, run_passes
from cortico.passes.manager import parse_passes
from cortico.spec import AttentionSpec
from tests.covering import every_case

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from local_attention_pass import LocalAttention, main


def test_golden(golden):
    before = lower(AttentionSpec(model=2))
    after = LocalAttention(window=2).run(before)
    golden(
        f"# --passes local-attention(window=2)\n{before}\n# becomes\n{after}",
        "passes/local_attention.txt",
    )


@pytest.mark.parametrize("case", every_case())
def test_a_window_over_all_tokens_changes_nothing(case):
    circuit = lower(case.spec, case.weights)
    circuit = circuit.bind(**dict.fromkeys(circuit.symbols, 5))
    wide = LocalAttention(window=100).run(circuit)
    check(wide)
    compare_meaning(circuit, wide)
    assert LocalAttention(window=100).run(wide) is wide


def test_microcolumns_are_removed():
    circuit = lower(AttentionSpec(model=4, heads=2, tokens=10))
    local, _ = run_passes(circuit, [LocalAttention(window=3)])
    near = sum(abs(i - j) < 3 for i in range(10) for j in range(10))
    assert local.counts().neurons_of["mask"] == 2 * near


def test_wrong_window():
    with pytest.raises(
        SpecError, match="option window of pass local-attention must be at least 1, found 0"
    ):
        LocalAttention(window=0)


def test_it_is_found_by_its_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[cortico.passes]\nlocal-attention = local_attention_pass:LocalAttention\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parse_passes("local-attention(window=5)") == [LocalAttention(window=5)]


def test_main(capsys):
    main()
    assert "synapses" in capsys.readouterr().out
