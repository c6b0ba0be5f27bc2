"""benchmarks/proof_time.py: its SymPy agrees with the proofs, and its page and picture are up to date."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCH = runpy.run_path(str(ROOT / "benchmarks" / "proof_time.py"))
DRAW = runpy.run_path(str(ROOT / "docs" / "draw_proof_time.py"))


def test_tables_are_those_measured(golden):
    results = json.loads(DRAW["RESULTS"].read_text(encoding="utf-8"))
    page = DRAW["PAGE"].read_text(encoding="utf-8")
    golden(DRAW["page"](page, results), DRAW["PAGE"].name, DRAW["PAGE"].parent)


def test_picture_is_of_what_was_measured(golden):
    results = json.loads(DRAW["RESULTS"].read_text(encoding="utf-8"))
    golden(DRAW["drawing"](results), DRAW["TARGET"].name, DRAW["TARGET"].parent)


@pytest.mark.full
@pytest.mark.parametrize("kernel", BENCH["KERNELS"])
@pytest.mark.parametrize("method", BENCH["SYMPY"])
def test_sympy_finds_that_all_is_equal(method, kernel):
    """In a process of its own: the limits of the checker are lifted there."""
    assert BENCH["child"](method, kernel, (2, 1, 1, 1))[method] > 0


@pytest.mark.slow
def test_an_example_proves_and_refutes(capsys):
    main = runpy.run_path(str(ROOT / "examples" / "prove_attention.py"))["main"]
    assert main() == 0
    printed = capsys.readouterr().out
    assert "d.W_Q   proved for all sizes" in printed
    assert "Without 1/√d: refuted\n  y[" in printed
