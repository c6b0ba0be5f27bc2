"""The demo: a real attention layer compiled to a circuit, run on a real sentence, and looked into."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.demo.minilm import MiniLM

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cortico.backends import Progress
    from cortico.ir import Circuit, Population
    from cortico.pipeline import Compilation

SENTENCE = "The thalamus relays sensory signals to the cortex."
QUERY = "signals"  #: the word whose attention is shown
HEADS = 4  #: how many heads are shown

#: Precision to the largest relative difference from the model's own attention that is allowed.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

_BAR = 8  # characters of a bar that stands for all of a head's attention
_EIGHTHS = " ▏▎▍▌▋▊▉"

#: Population to what its cells do, in words that fit a terminal of 80 columns.
_JOBS = {
    "superficial": "key × query, by feature",
    "mask": "exp of the products' sum",
    "gated_mask": "mask, silent for padding",
    "pool": "sum of the mask",
    "deep": "value × mask / sum",
    "core_source": "words, to keys and values",
    "matrix_query": "words, to queries",
    "matrix_keep": "which words exist",
    "relay": "output: all areas added",
}


@dataclass(frozen=True)
class Demo:
    """What the demo made and measured."""

    folder: Path
    compilation: Compilation
    tokens: list[str]
    differences: Mapping[str, float]  #: precision to largest relative difference
    mask: np.ndarray  #: attention (head, query token, source token), each row sums to 1

    @property
    def circuit(self) -> Circuit:
        """The circuit at the sentence's number of tokens."""
        return self.compilation.circuit.bind(n=len(self.tokens))

    @property
    def is_exact(self) -> bool:
        return all(self.differences[p] <= most for p, most in TOLERANCE.items())


def run_demo(folder: Path, console: Console, *, force: bool = False) -> int:
    """Compile layer 0 of MiniLM into `folder`, run the emitted file, and print what came of it.

    Returns 0 when the emitted code computes the model's own attention, else 1. SpecError when the
    model is not installed or `folder` cannot be written.
    """
    from rich.text import Text

    with console.status("reading all-MiniLM-L6-v2") as status:
        demo = make_demo(folder, lambda stage: status.update(Text(stage)), force=force)
    _print_circuit(demo, console)
    _print_attention(demo, console)
    _print_summary(demo, console)
    return 0 if demo.is_exact else 1


def make_demo(folder: Path, progress: Progress, *, force: bool = False) -> Demo:
    """Compile layer 0 into `folder`, run the file that was written, and read the mask cells."""
    from cortico.frontends import read_checkpoint
    from cortico.pipeline import compile_attention

    model = MiniLM.load()
    # no passes: the very circuit of the paper
    spec, weights = read_checkpoint(model.folder, layer=0)
    compilation = compile_attention(spec, weights, passes="none", progress=progress)
    progress("writing the folder")
    compilation.write(folder, force=force)
    progress("running the emitted code")
    differences = {precision: run_emitted(folder, model, precision) for precision in TOLERANCE}
    progress("reading the rates of the mask cells")
    mask = attention_mask(compilation.circuit, model)
    return Demo(folder, compilation, model.tokens(SENTENCE), differences, mask)


def run_emitted(folder: Path, model: MiniLM, precision: str) -> float:
    """Largest relative difference of the file in `folder` from the model's own float64 attention.

    The file reads its own weights from beside it, as it would for a user who imports it.
    """
    from cortico.backends.numpy import compile_source

    file = folder / "attention.py"
    attention = compile_source(file.read_text(encoding="utf-8"), str(file))
    ids, keep = model.tokenize([SENTENCE])
    x = model.embeddings(ids)
    expected = model.attention(0)(x, keep)
    found = attention(x.astype(precision), keep=keep)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def attention_mask(circuit: Circuit, model: MiniLM) -> np.ndarray:
    """Rates of the mask cells over those of their pool, (head, query token, source token)."""
    from cortico.backends.reference import interpret

    ids, keep = model.tokenize([SENTENCE])
    rates = interpret(circuit, {"x": model.embeddings(ids)[0], "keep": keep[0]})
    gates = rates["gated_mask"] if "gated_mask" in rates else rates["mask"]
    return np.asarray(gates / rates["pool"][..., None])


def attention_to_words(
    mask: np.ndarray, tokens: Sequence[str], query: str
) -> list[tuple[str, np.ndarray]]:
    """Each word with the attention (head,) that the word `query` pays to it, which adds up to 1.

    A word cut into pieces pays the mean of its pieces' attention, and receives their sum.
    """
    words = list(_words(tokens))
    rows = next(pieces for word, pieces in words if word == query)
    paid = mask[:, rows].mean(axis=1)
    return [(word, paid[:, pieces].sum(axis=1)) for word, pieces in words]


def bar(share: float) -> str:
    """A share from 0 to 1 as a bar of blocks and a percentage."""
    eighths = round(share * _BAR * 8)
    blocks = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return f"{blocks:<{_BAR}} {share:4.0%}"


def _words(tokens: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Words with the numbers of their tokens: `##lam` continues the word before it."""
    starts = [k for k, token in enumerate(tokens) if not token.startswith("##")]
    for start, stop in zip(starts, [*starts[1:], len(tokens)], strict=True):
        pieces = [token.removeprefix("##") for token in tokens[start:stop]]
        yield "".join(pieces), list(range(start, stop))


# ---- printing ------------------------------------------------------------------------------------


def _print_circuit(demo: Demo, console: Console) -> None:
    """Neurons and synapses by region and cell class, for this sentence."""
    circuit, counts = demo.circuit, demo.circuit.counts()
    table = _table(f"The circuit for this sentence of {len(demo.tokens)} tokens")
    for column in ("where", "cells", "what they compute"):
        table.add_column(column)
    for column in ("neurons", "synapses in"):
        table.add_column(column, justify="right", no_wrap=True)
    for part in ("cortex", "thalamus"):
        here = [p for p in circuit.populations if p.region.in_cortex == (part == "cortex")]
        table.add_row(part, style="bold")
        for population in sorted(here, key=lambda p: p.region):
            table.add_row(*_cells(circuit, population))
        table.add_section()
    table.add_row("all", "", "", f"{counts.neurons:,}", f"{counts.synapses:,}", style="bold")
    console.print(table)


def _cells(circuit: Circuit, population: Population) -> Sequence[str]:
    counts = circuit.counts()
    synapses = counts.synapses_in(circuit.projections_onto(population.name))
    return (
        f"  {population.region.label.replace('_', ' ')}",
        population.cell_class.replace("_", " "),
        _JOBS.get(population.name, population.name),
        f"{counts.neurons_of[population.name]:,}",
        f"{synapses:,}",
    )


def _print_attention(demo: Demo, console: Console) -> None:
    """Which words the first heads attend to, read off the rates of their mask cells."""
    from rich.text import Text

    table = _table(f"What “{QUERY}” attends to: mask cells (L2/3), as shares of their sum")
    table.caption = Text("[CLS] and [SEP] mark where the sentence starts and ends", style="dim")
    table.add_column("word", justify="right", no_wrap=True)
    for head in range(HEADS):
        table.add_column(f"area {head}", no_wrap=True)
    for word, shares in attention_to_words(demo.mask, demo.tokens, QUERY):
        table.add_row(Text(word), *(bar(share) for share in shares[:HEADS]))
    console.print(table)


def _print_summary(demo: Demo, console: Console) -> None:
    """What was compiled, whether it computes attention, and where it lies."""
    from rich.text import Text

    table = _table("What happened")
    table.show_header = False
    table.add_column("", style="bold", no_wrap=True)
    table.add_column("", overflow="fold")
    for label, text in _summary(demo):
        table.add_row(label, Text(text))
    console.print("", table)


def _summary(demo: Demo) -> list[tuple[str, str]]:
    spec, counts, folder = demo.compilation.spec, demo.circuit.counts(), demo.folder
    verdict = "equals" if demo.is_exact else "DIFFERS FROM"
    largest = ", ".join(f"{found:.0e} in {p}" for p, found in demo.differences.items())
    return [
        (
            "compiled",
            f"layer 0 of all-MiniLM-L6-v2, a language model: {spec.heads} attention heads, "
            f"each now a cortical area, and {counts.parameters:,} trained weights",
        ),
        ("sentence", SENTENCE),
        ("circuit", f"{counts.neurons:,} neurons, {counts.synapses:,} synapses"),
        ("output", f"{verdict} the model's own attention; largest relative difference {largest}"),
        ("code", f"{folder / 'attention.py'}, one NumPy file to read, run and import"),
        ("report", f"{folder / 'report.md'}, all cells and pathways, for any sentence"),
        ("look inside", f"cortico show {shlex.quote(str(folder))} --bind n={len(demo.tokens)}"),
    ]


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
