"""The derivation as a LaTeX document: complete, balanced, safe, and honest."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico import compile_attention
from cortico.ir import Gain
from cortico.lowering import lower
from cortico.verify.equations.language import (
    OFFSET,
    Apply,
    Definition,
    Index,
    Number,
    Read,
    Size,
    Within,
    exp,
    total,
)
from cortico.verify.latex.document import derivation
from cortico.verify.latex.notation import display, escaped, inline, lines, width
from tests.cases import CASES

BY_NAME = {case.name: case for case in CASES}
COVERING = ("softmax-mask_causal-biased", "everything", "memory_llama", "cross_grouped_table")
HOSTILE = '50% \\input{/etc/passwd} $x$ #1 _a^b~ {[|<é 中 \x1f\n\n\\end{document}>]}&"\u202e'
QUERY, SOURCE = Index("i", "tokens"), Index("j'", "tokens")
X, V = Read("x", (QUERY,)), Read("W_Q", (QUERY, SOURCE))

CLAIM = SimpleNamespace(
    claim="output y equals the textbook’s: ∂y ≤ 100% of it",
    verdict="proved",
    given=("x/0 = 0", "keep is 0 or 1"),
    seconds=0.0123,
)
UNTIMED = SimpleNamespace(claim=HOSTILE, verdict="undecided", given="", seconds=None)


def document(case, claims=(CLAIM, UNTIMED), **changes):
    spec = replace(BY_NAME[case].spec, **changes)
    return derivation(spec, lower(spec), claims)


def is_balanced(text):
    bare = re.sub(r"\\[{}]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def check_environments(text):
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack


def test_golden(golden):
    golden(document("memory_causal", claims=(CLAIM,), name="memory, causal"), "verify/memory.tex")


@pytest.mark.parametrize("name", COVERING)
def test_documents_are_balanced_ascii_and_say_proved(name):
    text = document(name, name=HOSTILE)
    assert text.isascii()
    assert text.count("\\end{document}") == 1
    assert "\\input" not in text
    assert is_balanced(text)
    check_environments(text)
    for row in re.findall(r"^.*&.*$", text, re.MULTILINE):
        assert is_balanced(row)
    assert text.count(r"\textbf{Proved for all sizes:}") == 4
    assert not re.search("(?i)not (proved|decided|compared)|refuted", text)


def compiled(text, folder):
    """The log of pdflatex."""
    (folder / "a.tex").write_text(text, encoding="ascii")
    options = ("-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape")
    done = subprocess.run(
        ["pdflatex", *options, "a.tex"], cwd=folder, capture_output=True, check=False, timeout=60
    )
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0, log
    return log


needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")


@needs_latex
@pytest.mark.parametrize("name", COVERING)
def test_documents_compile_without_overfull_lines(name, tmp_path):
    assert "Overfull" not in compiled(document(name, claims=(CLAIM,)), tmp_path)


@needs_latex
def test_hostile_names_compile(tmp_path):
    assert "Output written" in compiled(document("one_head", name=HOSTILE), tmp_path)


def test_every_population_and_parameter_is_there():
    spec = BY_NAME["everything"].spec
    circuit = lower(spec)
    text = derivation(spec, circuit)
    for population in circuit.populations:
        assert rf"\mathsf{{{escaped(population.name)}}}" in text
    assert "PV cells" in text
    assert "All claims" not in text


def test_text_and_latex_need_no_sympy():
    code = "import sys, cortico.verify.latex.document; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_circuit_is_refuted_by_numbers():
    spec = BY_NAME["linear-mask_none"].spec
    circuit = lower(spec)
    first, *rest = circuit.projections
    doubled = replace(first, weight=replace(first.weight, gain=Gain(2.0)))
    text = derivation(spec, replace(circuit, projections=(doubled, *rest)))
    assert r"\textbf{Refuted:} $y$; y{[}" in text
    assert "same normal form of these outputs" not in text


def test_folded_weights_are_not_called_proved():
    case = BY_NAME["scaled_linear"]
    circuit = compile_attention(case.spec, case.weights).circuit
    assert "W_K_v2" in {tensor.name for tensor in circuit.parameters}
    text = derivation(case.spec, circuit)
    assert r"\textbf{Not decided:} $y$; only the circuit is given W\_K\_v2" in text
    assert "Proved" not in text


def test_many_claims_are_cut_into_tables():
    text = document("memory", claims=[CLAIM] * 60)
    assert text.count(r"claim & verdict & given") == 3


@given(st.text())
def test_any_text_is_escaped(text):
    safe = escaped(text)
    assert safe.isascii()
    assert "\n" not in safe
    assert is_balanced(safe)
    commands = set(re.findall(r"\\([a-zA-Z]+)", safe))
    assert commands <= {
        *("textbackslash", "textasciicircum", "textasciitilde", "cdot", "ldots", "surd"),
        *("partial", "Sigma", "le", "ge", "ne", "frac", "varepsilon", "delta"),
    }


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (V * X, "$W^{Q}_{ij'}\\,x_{i}$"),
        (V * V, "$(W^{Q}_{ij'})^{2}$"),
        (X * X, "$x_{i}^{2}$"),
        (total(QUERY, X + V), r"$\sum_{i} (x_{i} + W^{Q}_{ij'})$"),
        (X / V, r"$\frac{x_{i}}{W^{Q}_{ij'}}$"),
        (exp(X) / X * Within(QUERY, SOURCE, 2), r"$\exp(x_{i})\,\frac{1}{x_{i}}\,[i - j' \le 2]$"),
        (Within(QUERY, SOURCE, 0) * X, r"$x_{i}\,[i \le j']$"),
        (Number(Fraction(-1, 3)) * X, r"$-\tfrac{1}{3}\,x_{i}$"),
        (Size("key features", Fraction(-1, 2)), r"$\lvert\text{key features}\rvert^{-1/2}$"),
        (Apply("sqrt", X), "$(x_{i})^{1/2}$"),
        (Apply("relu", total(QUERY, X)), r"$\operatorname{relu}\Bigl(\sum_{i} x_{i}\Bigr)$"),
        (Apply("nonzero", X), r"$[x_{i} \ne 0]$"),
        (Read(OFFSET, (QUERY, SOURCE)), "$(j' - i)$"),
        (Read("gated_mask.rate", (QUERY,)), r"$\mathsf{gated\_mask}_{i}$"),
        (Read("d.W_Q", (QUERY,)), r"$\partial W^{Q}_{i}$"),
        (Read("turned.d_query", ()), r"$\partial\mathrm{turned\_query}$"),
        (Read("x", (QUERY, Index("plane", "p"))), r"$x_{i,\mathrm{plane}}$"),
    ],
)
def test_notation(expression, text):
    assert inline(expression) == text


def test_long_equations_are_broken_between_terms_and_factors():
    long = total(
        SOURCE, Read("superficial.rate", (QUERY, SOURCE)) * Read("memory.rate", (SOURCE, QUERY))
    )
    text = display(Definition("y", (QUERY,), (long + X) / (long * exp(long + long + X) + X)))
    assert text.startswith("\\begin{align*}\n& y_{i} = \\\\\n")
    assert text.count(r"\\") >= 2
    assert all(is_balanced(row) for row in text.splitlines())
    assert "\x1f" not in text
    assert all(width(row) < 80 for _, row in lines("a + \x1f" * 50))


def test_a_piece_that_cannot_be_broken_stays_whole():
    assert lines("x" * 200) == [(0, "x" * 200)]
