"""Formulas made of circuits are the closed forms of the paper, for every size."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from cortico.learning import differentiate, untie
from cortico.learning.formulas import formulas
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.verify.equations.closed_forms import closed_forms, memory_forms
from cortico.verify.equations.language import Definition, Read
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.cases import CASES
from tests.conftest import GOLDEN
from tests.covering import covering, every_pair

LINEAR = AttentionSpec(model=8, heads=2, kernel=Kernel.LINEAR)
BLOCKS = {
    f"{circuit}_{mask}": replace(LINEAR, mask=mask, microcircuit=circuit)
    for circuit in Microcircuit
    for mask in (Mask.NONE, Mask.CAUSAL)
}


def of(spec):
    return formulas(differentiate(lower(spec)))


def in_names_of_closed_forms(equations):
    """Formulas with `error` for `e` and `d.W` for `d_W`."""
    rows = list(equations.definitions)
    at = next(d.indices for d in rows if d.tensor == "d_W_O")
    sides = equations.given["e"]
    token = next(v for d in rows if d.tensor == "δ" for v in d.indices if v.sort == sides[0])
    indices = (token, next(v for v in at if v.sort == sides[1]))
    rows.insert(0, Definition("e", indices, Read("error", indices)))
    names = [o.removeprefix("d_") for o in equations.outputs]
    for name in names:
        row = equations.definition(f"d_{name}")
        rows.append(Definition(f"d.{name}", row.indices, Read(row.tensor, row.indices)))
    given = {n: s for n, s in equations.given.items() if n != "e"} | {"error": sides}
    outputs = tuple(f"d.{name}" for name in names)
    return replace(equations, given=given, definitions=tuple(rows), outputs=outputs)


@pytest.mark.parametrize("spec", BLOCKS.values(), ids=BLOCKS)
def test_the_linear_block_has_the_gradients_of_the_paper_for_every_size(spec):
    found = in_names_of_closed_forms(of(spec).equations)
    for forms in (memory_forms(spec), closed_forms(spec)):
        outcomes = {o.output: o.verdict for o in compare(forms, found)}
        wanted = {f"d.W_{letter}" for letter in "QKVO"}
        assert {o for o, v in outcomes.items() if v is Known.PROVED} == wanted


@pytest.mark.parametrize("spec", BLOCKS.values(), ids=BLOCKS)
def test_the_linear_block_reads_as_in_the_paper(spec, golden):
    mask = "full" if spec.mask is Mask.NONE else "causal"
    golden(str(of(spec)), f"linear_{mask}.txt", GOLDEN / "formulas")


def test_other_circuits(golden):
    soft = replace(LINEAR, kernel=Kernel.SOFTMAX)
    golden(str(of(soft)), "softmax.txt", GOLDEN / "formulas")
    untied = formulas(differentiate(untie(lower(BLOCKS["memory_none"])), feedback="random"))
    golden(str(untied), "untied_random.txt", GOLDEN / "formulas")


@pytest.mark.parametrize("case", every_pair())
def test_formulas_are_the_gradients_of_every_circuit(case):
    found = of(case.spec)
    assert {o.verdict for o in found.outcomes} == {Known.PROVED}
    assert len(found.outcomes) >= 4


def test_wrong_formulas_are_refuted():
    found = of(LINEAR)
    rows = found.equations.definitions
    memory = found.equations.definition("M")
    wrong = replace(memory, body=memory.body + memory.body)
    changed = replace(found.equations, definitions=tuple(wrong if r is memory else r for r in rows))
    outcomes = {o.output: o.verdict for o in compare(found.equations, changed)}
    refuted = {name for name, verdict in outcomes.items() if verdict is Known.REFUTED}
    assert refuted == {"d_W_Q", "d_W_O"}


def test_latex(golden):
    golden(of(BLOCKS["memory_causal"]).latex(), "linear_causal.tex", GOLDEN / "formulas")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
@pytest.mark.parametrize("name", ["everything", "memory_llama", "alibi"])
def test_latex_compiles(name, tmp_path):
    case = next(case for case in CASES if case.name == name)
    (tmp_path / "f.tex").write_text(of(case.spec).latex(), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "f.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.slow
def test_latex_is_ascii():
    for case in covering(number=1):
        assert of(case.spec).latex().isascii()
