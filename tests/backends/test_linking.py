"""The linker: a script has what it uses of templates, in an order that runs, and nothing else."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cortico.backends import get_backend
from cortico.backends.linking import definition, heading, link
from cortico.backends.templates import template
from cortico.lowering import lower
from tests.backends.simulators import CELL_BY_CELL
from tests.cases import CASES
from tests.covering import every_option

ROOT = Path(__file__).parents[2]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes templates by name; returns the names that `link` knows them by."""
    folder = tmp_path / "linked" / "template"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "linked"]:
        monkeypatch.delitem(sys.modules, name)
    template.cache_clear()

    def write(**texts):
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(dedented(text), encoding="utf-8")
        return [f"linked.template.{name}" for name in texts]

    return write


def dedented(text):
    return textwrap.dedent(text).lstrip("\n")


def test_what_is_used_is_taken_with_what_it_uses(written):
    taken = """
    # why it is so
    # in two lines
    @functools.cache
    def used(x):
        other = x  # a local name, not the function
        return helper(other) + LIMIT


    def helper(x):
        return [x for x in (x,)]  # comments stay
    """
    names = written(
        first=f'''
    """Heading."""
    import functools
    import unused
    LIMIT = 3  # of something
    OTHER = 4

    def other():
        return OTHER
    {taken}
    def x():
        return 1
    '''
    )
    own = '"""Script."""\ndef main():\n    return used(2)\n\nprint(main())\n'
    assert link(own, *names) == (
        '"""Script."""\n\nimport functools\n\nLIMIT = 3  # of something\n\n\n'
        f"def main():\n    return used(2)\n\n\n{dedented(taken)}\n\nprint(main())\n"
    )
    assert heading(names[0]) == '"""Heading."""'
    assert definition(names[0], "OTHER") == "OTHER = 4\n"


def test_imports_are_those_used_and_sorted(written):
    long = "defaultclock, StateMonitor, prefs, Hz, NetworkOperation, TimedArray"
    names = written(
        some=f"""
        import ctypes.util
        import zlib as z
        import numpy as np
        import brian2
        from brian2 import Synapses as S, NeuronGroup, second, {long}
        from argparse import ArgumentParser, Action
        import nest

        def f():
            return ctypes.util, z, np, S, NeuronGroup, second, {long}

        def g():
            return Action, ArgumentParser
        """
    )
    expected = """
    import ctypes.util
    import os
    import zlib as z
    from argparse import Action, ArgumentParser

    import numpy as np
    from brian2 import (
        Hz,
        NetworkOperation,
        NeuronGroup,
        StateMonitor,
        Synapses as S,
        TimedArray,
        defaultclock,
        prefs,
        second,
    )


    def f():
    """
    assert link("import os\n\nprint(f, g, os)\n", *names).startswith(dedented(expected))


def test_a_template_comes_behind_those_that_it_imports(written):
    """A class behind its base, a value behind the value that it is made of; names mean what they do at home."""
    names = written(
        derived="""
        from linked.template.base import Base, LIMIT

        TWICE = 2 * LIMIT

        class Derived(Base):
            size = helper = TWICE
        """,
        base="""
        LIMIT = 4

        class Base:
            def get(self):
                return self.helper, helper()

        def helper():
            return "base"
        """,
    )
    text = link("FOUND = []\n\nFOUND.append(Derived().get())\n", names[0])
    assert "linked" not in text
    scope: dict = {}
    exec(text, scope)
    assert scope["FOUND"] == [(8, "base")]


def test_what_a_file_does_when_it_is_loaded_keeps_its_order(written):
    names = written(
        engine="""
        import os
        from typing import Any

        # before the engine is imported
        os.environ["ENGINE"] = "quiet"
        import engine
        import numpy as np
        from engine import unused
        if engine:
            engine.start(np)
        from engine.parts import late

        run: Any = ...

        def f():
            return engine, late, run
        """,
        other="""
        import shutil
        print("not when it is not used", shutil)

        def g():
            return 1
        """,
        third="""
        import numpy as np

        def h():
            return np
        """,
    )
    expected = """
    import os

    import numpy as np

    # before the engine is imported
    os.environ["ENGINE"] = "quiet"

    import engine

    if engine:
        engine.start(np)

    from engine.parts import late


    def run():
        return h, f


    def f():
        return engine, late, run


    def h():
        return np


    run()
    """
    assert link("def run():\n    return h, f\n\nrun()\n", *names) == dedented(expected)


def test_holes_are_filled_and_what_fills_them_is_read(written):
    names = written(
        one="""
        LIMIT = 1

        def f(x):
            if x:
                x = 0
                # <lines>
            # <nothing>
            return x

        def g():
            return 2
        """
    )
    holes = {"lines": "x = g()\nx += LIMIT\n", "nothing": ""}
    text = link("f(1)\n", *names, holes=holes)
    assert "    if x:\n        x = 0\n        x = g()\n        x += LIMIT\n    return x\n" in text
    assert "LIMIT = 1\n" in text and "def g()" in text


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("f(lost)", "the script reads 'lost', which nothing defines"),
        ("g()", "linked.template.a reads 'lost', which nothing defines"),
        ("h()", "linked.template.a wants the script to define 'promised'"),
        ("f(1)\ni()", "linked.template.b and linked.template.a both define 'f'"),
        ("j()", "no lines for the hole 'lines' of ('j',)"),
        ("k()", "linked.template.b reads 'renamed', which nothing defines"),
    ],
)
def test_what_cannot_be_linked_is_refused(written, own, message):
    names = written(
        a="""
        from typing import Any

        promised: Any = ...

        def f(x):
            return x

        def g():
            return lost

        def h():
            return promised
        """,
        b="""
        from linked.template.a import f as renamed

        def f():
            return 1

        def i():
            return f()

        def j():
            pass
            # <lines>
            return 1

        def k():
            return renamed
        """,
    )
    with pytest.raises(LookupError) as caught:
        link(own + "\n", *names)
    assert str(caught.value) == message
    assert link("promised = 3\nh()\n", *names).count("promised") == 2


# ---- emitted scripts -------------------------------------------------------------------------------

NAMES = [*(simulator.name for simulator in CELL_BY_CELL), "brian2"]


def emitted(name, circuit, **options):
    files = get_backend(name, **options).emit(circuit)
    return next(text for file, text in files.items() if file.endswith(".py"))


@pytest.mark.parametrize("case", every_option(long=True))
def test_scripts_have_nothing_that_is_not_used(case):
    """Neither functions nor imports; and they import nothing of ours."""
    circuits = [lower(case.spec), lower(case.spec, case.weights)]
    for name in NAMES:
        for circuit in circuits:
            if get_backend(name).unsupported(circuit):
                continue
            tree = ast.parse(emitted(name, circuit))
            names = (n for n in ast.walk(tree) if isinstance(n, ast.Name))
            read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
            assert set(defined(tree)) <= read, name
            assert "cortico" not in set(imported(tree))


def defined(tree):
    """Functions, classes and imports of a file."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_templates_are_read_and_not_imported():
    code = """
import sys
from cortico.backends import get_backend
from tests.ir.circuits import attention
for name in sys.argv[1:]:
    get_backend(name).emit(attention())
print(*(name for name in sys.modules if "template" in name.split(".") or name in sys.argv))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *NAMES], cwd=ROOT, check=True, capture_output=True, text=True
    )
    folders = {f"cortico.backends.{name}.template" for name in ("brian2", "nest", "neuron")}
    assert {*done.stdout.split()} <= folders  # which are empty


def test_the_code_of_scripts_is_in_files_and_not_in_strings():
    """Where ruff and mypy see it."""
    folders = [ROOT / "backends" / name for name in ("cells", *NAMES)]
    for file in (file for folder in folders for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines = node.value.splitlines()
                code = any(line.startswith(("def ", "class ")) for line in lines)
                assert not code or len(lines) < 3, file


@pytest.mark.parametrize("options", [{}, {"form": "fast"}, {"cells": "lif"}], ids=str)
def test_brian2_scripts_carry_what_their_form_needs(options):
    case = next(case for case in CASES if case.name == "bert")
    text = emitted("brian2", lower(case.spec, case.weights), **options)
    has = {word: f"def {word}(" in text for word in ("spike", "connect", "settle", "presented")}
    assert has == {
        "spike": "cells" in options,
        "connect": "form" not in options,
        "settle": True,
        "presented": False,
    }
