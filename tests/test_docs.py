"""What the documents show is run: their code, commands and links, the drawing, and every example.

A fenced block of Markdown is played by what stands after its language:

    ```python run          executed; the blocks of one document share their names
    ```python run needs=m  the same, where module m is installed; else the rest is skipped
    ```toml file=a.toml    written to the folder in which the document is played
    ```toml spec           read as a spec and compiled
    ```console run         `$ cortico …` is run; the lines below it must be printed, in
                           this order (`…` stands for lines left out)
    ```python from=x.py    must be a part of examples/x.py, or of the file of that path, word for word
"""

import contextlib
import dataclasses
import importlib.util
import inspect
import io
import json
import re
import runpy
import shlex
import shutil
import sys
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path

import pytest

from cortico import (
    AttentionSpec,
    UnsupportedError,
    compile_attention,
    get_runner,
    lower,
    random_weights,
    read_spec,
)
from cortico.backends import backend_names
from cortico.cli import main
from cortico.passes import NETWORK_PASSES, PASSES, PIPELINES, AnyPass, NetworkPass
from cortico.spec import Bias, Feedback, Mask, Rotary, Thalamus
from tests.backends.simulators import ANNARCHY, without_optimisation
from tests.ir.circuits import attention
from tests.needs import WEIGHTS_ARE_MISSING, needs_weights

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
EXAMPLES = ROOT / "examples"

_FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROUNDING = re.compile(r"\d(\.\d+)?e-\d+")  # rounding errors differ between machines


@dataclass(frozen=True)
class Block:
    language: str
    play: str
    text: str
    line: int  #: where its text begins


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [Block(*f.groups(), text.count("\n", 0, f.start(3))) for f in _FENCE.finditer(text)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, and a terminal of fixed width without colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# ---- documents -----------------------------------------------------------------------------------


#: Documents whose simulators take long.
LONG = ("annarchy.md", "brian2.md", "nengo.md", "nest.md", "neuron.md")


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=pytest.mark.full if path.name in LONG else ()) for path in DOCUMENTS],
    ids=name_of,
)
def test_documents_can_be_played(document, folder, monkeypatch):
    names: dict[str, object] = {"__name__": "document"}
    for block in blocks(document):
        if block.play.startswith("file="):
            (folder / block.play.removeprefix("file=")).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and block.play.startswith("run"):
            require(block.play.removeprefix("run").strip())
            if "needs=ANNarchy" in block.play:
                monkeypatch.setenv("PATH", without_optimisation())
            source = "\n" * block.line + block.text  # so that errors show the right line
            exec(compile(source, str(document), "exec"), names)
        elif (block.language, block.play) == ("console", "run"):
            play_console(block.text)
        elif block.play == "spec":
            (folder / "spec.toml").write_text(block.text, encoding="utf-8")
            assert compile_attention(read_spec(folder / "spec.toml")).circuit.counts().neurons
        elif block.play.startswith("from="):
            name = block.play.removeprefix("from=")
            example = ROOT / name if "/" in name else EXAMPLES / name
            assert block.text in example.read_text(encoding="utf-8"), f"{example} has changed"
        else:
            assert block.play == "", f"unknown word after ```{block.language}: {block.play!r}"


def require(needs: str) -> None:
    """Skip where the module of `needs=…` is missing, and with it what it needs beside."""
    if needs:
        module = needs.removeprefix("needs=")
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
        if module == "neuron" and shutil.which("g++") is None:
            pytest.skip("a C++ compiler is not installed")
        if module == "ANNarchy" and ANNARCHY.missing:
            pytest.skip(f"{' and '.join(ANNARCHY.missing)} not installed")


def play_console(text: str) -> None:
    """Run the commands of a block and find the lines below each in what it prints, in order."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = part.splitlines()
        if WEIGHTS_ARE_MISSING and command.startswith("cortico demo"):
            continue
        printed = [_ROUNDING.sub("#", line.rstrip()) for line in run(command).splitlines()]
        rest = iter(printed)
        for line in expected:
            wanted = _ROUNDING.sub("#", line.rstrip())
            if wanted not in ("", "…"):
                shown = "\n".join(printed)
                assert wanted in rest, f"`{command}` does not print {wanted!r}, but\n{shown}"


def run(command: str) -> str:
    """Standard output of `cortico …`, run in this process."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "cortico", f"cannot play {command!r}"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main(arguments) == 0, command
    return output.getvalue()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document):
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        assert target.exists(), f"{name_of(document)} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{name_of(document)}: no heading {link}"


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_in_code_spans_exist(document):
    """`compiler/spec/attention.py` in a sentence is a file of the repository."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    tops = "ir|compiler|backends|tests|examples|docs|benchmarks"
    for path in re.findall(rf"`((?:{tops})/[\w./]*)`", text):
        assert (ROOT / path).exists(), f"{name_of(document)} names {path}, which is not there"


def test_console_blocks_can_fail(folder):
    with pytest.raises(AssertionError, match="does not print"):
        play_console("$ cortico backends\nno such line\n")


def test_drawing_is_up_to_date():
    script = runpy.run_path(str(ROOT / "docs" / "draw_microcolumn.py"))
    assert script["TARGET"].read_text(encoding="utf-8") == script["drawing"]()


_TIMES = re.compile(r"(?<=rewrites these lines -->\n)(.*?)(?=<!-- end -->)", re.S)


def test_compile_times_are_those_measured(golden):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "benchmarks/results/compile_time.json").read_text(encoding="utf-8"))
    golden(_TIMES.sub(lambda _: times_table(found["lengths"]), readme), "README.md", ROOT)


_PASSES = re.compile(
    r"(?<=pass_counts.py: `make golden` rewrites these lines -->\n\n)(.*?)(?=\n<!-- passes end -->)",
    re.S,
)


@pytest.mark.slow
@needs_weights
def test_pass_counts_are_those_counted(golden):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bench = runpy.run_path(str(ROOT / "benchmarks" / "pass_counts.py"))
    rows = {layer.name: bench["measure"](layer) for layer in bench["layers"]()}
    assert _PASSES.search(readme)
    golden(_PASSES.sub(lambda _: bench["table"](rows) + "\n", readme), "README.md", ROOT)


def test_passes_page_is_up_to_date(golden):
    """`docs/passes.md` is the docstrings of the passes."""
    pipelines = "\n".join(f"* `{n}`: {', '.join(m) or 'no passes'}" for n, m in PIPELINES.items())
    sections = "\n".join(pass_section(kind) for kind in (*PASSES, *NETWORK_PASSES))
    golden(f"{PASSES_HEAD}\n{pipelines}\n\n{sections}", "passes.md", ROOT / "docs")


PASSES_HEAD = """\
# The passes

This page is made from the docstrings in `compiler/passes/` by `make golden`. An exact pass keeps every
output for every input, up to rounding. An approximate one is in no named pipeline; the report of a
compilation shows its error bound and how far the output moved on random inputs.

```console
$ cortico compile layer --passes "aggressive,prune-small(budget=0.2)" --verify
```

A pass that changes the numbers of a tensor gives it another name (`W_K_v2`), so that the old numbers
cannot be given to the new circuit by mistake. [Writing a pass](add_a_pass.md) shows how to add one.

Passes across the wires of a whole model stand before all others, and are in no named pipeline:

```console
$ cortico compile all-MiniLM-L6-v2 --passes "fold-norm,prune-across,default"
```

Named pipelines:
"""


def pass_section(kind: type[AnyPass]) -> str:
    options = ", ".join(f"`{field.name} = {field.default!r}`" for field in fields(kind))
    lines = ["Exact." if kind.exact else "Approximate."]
    lines[0] += " Holds for circuits that live in time." if kind.in_time else ""
    lines += ["Across the wires of a whole model."] if issubclass(kind, NetworkPass) else []
    lines += [f"Options: {options}."] if options else []
    lines += [f"Comes after {', '.join(kind.after)}."] if kind.after else []
    return f"## {kind.name}\n\n{' '.join(lines)}\n\n{inspect.cleandoc(kind.__doc__)}\n"


def times_table(lengths: dict) -> str:
    lines = [
        "| tokens | seconds | MB beyond the weights | neurons, one layer | synapses, one layer |"
    ]
    lines.append("| ---: | ---: | ---: | ---: | ---: |")
    for tokens, sample in lengths.items():
        sizes = (tokens, f"{sample['seconds']:.2f}", f"{sample['megabytes']:.1f}")
        counts = (sample["neurons"], sample["synapses"])
        cells = [*sizes, *(f"{n:,}" if isinstance(n, int) else str(n) for n in counts)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n" + "\n".join(lines) + f"\n\n{note_on_age(lengths)}"


def note_on_age(lengths: dict) -> str:
    """Nothing, or that the compiler makes other circuits now than when it was measured."""
    bench = runpy.run_path(str(ROOT / "benchmarks" / "compile_time.py"))
    counts = compile_attention(bench["gpt2_small"](128)).circuit.counts()
    if counts.synapses == lengths["128"]["synapses"]:
        return ""
    return (
        "These were measured with an earlier version: the default passes now make other circuits.\n"
        "`make bench` measures anew.\n\n"
    )


# ---- docs/specs.md lists the fields of the spec ----------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (AttentionSpec, ""),
        (Bias, "bias."),
        (Rotary, "rotary."),
        (Feedback, "feedback."),
        (Thalamus, "thalamus."),
    ],
)
def test_every_field_is_listed_with_its_default(kind, prefix):
    text = (ROOT / "docs" / "specs.md").read_text(encoding="utf-8").partition("## Weights")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \|", text, flags=re.M)
    listed = {
        name.removeprefix(prefix): (default.strip(), types)
        for name, types, default in rows
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }
    fields = {f.name: f for f in dataclasses.fields(kind)}
    assert list(listed) == list(fields)
    for name, field in fields.items():
        if field.default_factory is not MISSING:
            assert listed[name][0] == "see below"
        elif field.default is MISSING:
            assert listed[name][0] == "required"
        elif field.default is not None:  # the default of None is explained in words
            assert listed[name][0] == f"`{toml(field.default)}`"
            choices = type(field.default) if isinstance(field.default, StrEnum) else ()
            assert all(f"`{toml(choice)}`" in listed[name][1] for choice in choices)


def toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower()


# ---- examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compile_spec.py", "pytorch_layer.py", "latex_backend.py"])
def test_examples_run(name, folder, capsys):
    if name == "pytorch_layer.py":
        pytest.importorskip("torch")
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    except SystemExit as done:
        assert done.code == 0
    assert capsys.readouterr().out


@needs_weights
@pytest.mark.full
def test_a_real_layer_as_a_module(capsys):
    pytest.importorskip("transformers")
    assert runpy.run_path(str(EXAMPLES / "torch_module.py"))["main"]() == 0
    assert "after a step of SGD" in capsys.readouterr().out


def test_a_backend_is_found_by_its_entry_point(folder, monkeypatch):
    """What `pip install` of a package with this entry point leaves behind."""
    info = folder / "latex_backend-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: latex-backend\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[cortico.backends]\nlatex = latex_backend:LatexBackend\n"
    )
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "latex_backend", raising=False)
    assert "latex" in backend_names()
    spec = AttentionSpec(4, mask=Mask.CAUSAL)
    (text,) = compile_attention(spec, backend="latex").files.values()
    assert r"[j - i \le 0]" in text
    assert text.count("{") == text.count("}")
    with pytest.raises(
        UnsupportedError, match="'latex' cannot run circuits, it emits text files: the"
    ):
        get_runner("latex")
    monkeypatch.delitem(sys.modules, "latex_backend", raising=False)


def test_the_example_backend_refuses_axes_in_time():
    backend = runpy.run_path(str(EXAMPLES / "latex_backend.py"))["LatexBackend"]()
    assert backend.unsupported(attention(clock="i")) != []
    assert backend.unsupported(lower(AttentionSpec(4), random_weights(AttentionSpec(4)))) == []
