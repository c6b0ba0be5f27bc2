"""What is said when a network cannot be compiled, and the names in its equations."""

import os

import pytest

from cortico.backends.annarchy.neurons import with_plain_names
from cortico.backends.annarchy.running import (
    compiler_error,
    folder_of,
    require_annarchy,
    run_script,
)
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    UnsupportedError,
    Weight,
)
from cortico.lowering import lower
from tests.backends.simulators import ANNARCHY
from tests.cases import CASES

CASE = {case.name: case for case in CASES}


def test_what_is_missing_to_compile(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "cmake" else tool)
    with pytest.raises(UnsupportedError) as caught:
        require_annarchy()
    assert str(caught.value) == "backend 'annarchy' needs cmake to compile networks"


def test_each_script_has_a_folder():
    assert folder_of("one") == folder_of("one") != folder_of("other")


@pytest.mark.parametrize("name", ["net1", "net7"])
def test_the_first_error_of_a_compiler(tmp_path, name):
    assert compiler_error(tmp_path) == ""
    log = tmp_path / "annarchy" / "build" / name / "compile_stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("In file a.cpp:\n  a.cpp:3:1: error: no such name\nb.cpp:1: error: too\n")
    assert compiler_error(tmp_path) == "a.cpp:3:1: error: no such name"


@ANNARCHY.needs
def test_a_compiler_that_fails_is_quoted_and_the_next_run_starts_anew(tmp_path, monkeypatch):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'no disk' >&2\nexit 1\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    case = CASE["linear-mask_none"]
    circuit = lower(case.spec, case.weights)
    source = ANNARCHY.source(circuit)
    with pytest.raises(UnsupportedError) as caught:
        run_script(source, case.inputs, {p.name: p.values for p in circuit.parameters})
    (line,) = str(caught.value).splitlines()
    assert "the ANNarchy network failed" in line
    assert "CMake generation failed" in line
    assert "CMake Error" in line
    assert (folder_of(source) / "annarchy" / "compilation").read_text(encoding="utf-8") == "0"


def test_names_that_no_equation_may_sum():
    builder = CircuitBuilder("names")
    builder.axis("a", Role.FEATURE, 2)
    names = ["if", "if_", "lambda", "basal", "iff"]
    home = (Region.L5, CellClass.PT)
    builder.population("first", ("a",), *home, [Compartment("a", drive=(Weight(),))])
    builder.population("cell", ("a",), *home, [Compartment(name) for name in names])
    for name in names:
        builder.project(f"to_{name}", "first", "cell", name)
    builder.output("y", "cell", ("a",))
    circuit = with_plain_names(builder.build())
    plain = ["if_", "if__", "lambda_", "basal", "iff"]
    assert [c.name for c in circuit.population("cell").compartments] == plain
    assert [p.compartment for p in circuit.projections] == plain
