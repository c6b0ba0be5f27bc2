"""Emitted code of whole models against transformers: each library, precision, padding, and part by part."""

import pytest

from tests.compiler.frontends.whole.cases import CASES
from tests.compiler.frontends.whole.errors import BOUNDS, Compared

#: Of each way to hear positions and to go on one; the others, `full`.
SAMPLE = ("bert", "gpt2 language", "bloom", "gemma2", "t5", "whisper")


@pytest.mark.parametrize(
    "name", [n if n in SAMPLE else pytest.param(n, marks=pytest.mark.full) for n in CASES]
)
def test_errors(tmp_path, name):
    errors = Compared(CASES[name], tmp_path).errors()
    assert {k: e for k, e in errors.items() if e > max(BOUNDS[k], CASES[name].tolerance)} == {}
