"""The demo: a real language model compiled to a network, run on real sentences, and looked into."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.demo.weights import model_folder

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from tokenizers import Tokenizer

    from cortico.backends import Progress
    from cortico.ir import Circuit, Population
    from cortico.model_pipeline import ModelCompilation

SENTENCE = "The thalamus relays sensory signals to the cortex."
SENTENCES = (
    SENTENCE,
    "Sensory information reaches the cortex through the thalamus.",
    "I baked sourdough bread this morning.",
)
QUERY = "signals"  #: the word whose attention is shown
HEADS = 4  #: how many heads are shown

#: Cosines of the first sentence with the second and the third, and of these two, as transformers computes them
#: with the same weights (BertModel in float64, mean of the states); `tests/demo` does that anew.
COSINES = (0.9055086498355663, 0.045495952713213286, 0.03672907564930463)

#: Precision to the largest difference of a cosine that is allowed.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

ATTENTION = "layer[0].attention"  #: where the attention stands that is looked into

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


#: Levels to what they do.
_PARTS = {
    "embedding": "words and places become vectors",
    "embedding_norm": "centred, divided by their spread",
    "layer": "attention, then a feed-forward block",
    "pooling": "one vector for the sentence",
}


@dataclass(frozen=True)
class Demo:
    """What the demo made and measured."""

    folder: Path
    compilation: ModelCompilation
    tokens: Sequence[str]  #: of the first sentence
    cosines: Mapping[str, np.ndarray]  #: precision to those of each two sentences
    mask: np.ndarray  #: attention of layer 0 (head, query token, source token), each row sums to 1

    @cached_property
    def circuit(self) -> Circuit:
        """All blocks as one circuit, at the sentence's number of tokens."""
        return self.compilation.network.flatten().bind(n=len(self.tokens))

    @property
    def attention(self) -> Circuit:
        """The attention of layer 0, at the sentence's number of tokens."""
        return self.compilation.network[ATTENTION].circuit.bind(n=len(self.tokens))

    @property
    def differences(self) -> dict[str, float]:
        """Precision to the largest difference of a cosine from the model's own."""
        return {p: float(np.abs(found - COSINES).max()) for p, found in self.cosines.items()}

    @property
    def is_exact(self) -> bool:
        return all(self.differences[p] <= most for p, most in TOLERANCE.items())


def run_demo(folder: Path, console: Console, *, force: bool = False) -> int:
    """Compile all of MiniLM into `folder`, run the emitted file, and print what came of it.

    Returns 0 when the sentences are as alike as the model says, else 1. SpecError when the model is not
    installed or `folder` cannot be written.
    """
    from rich.text import Text

    with console.status("reading all-MiniLM-L6-v2") as status:
        demo = make_demo(folder, lambda stage: status.update(Text(stage)), force=force)
    _print_model(demo, console)
    _print_circuit(demo, console)
    _print_attention(demo, console)
    _print_likeness(demo, console)
    _print_summary(demo, console)
    return 0 if demo.is_exact else 1


def make_demo(folder: Path, progress: Progress, *, force: bool = False) -> Demo:
    """Compile the model into `folder`, run the file that was written, and read the mask cells."""
    from cortico.frontends.tokenizer import read_tokenizer, tokenizer_file
    from cortico.frontends.whole_models import read_model
    from cortico.model_pipeline import compile_model
    from cortico.texts import read_in_model

    source = model_folder()
    tokenizer = read_tokenizer(source)
    model = read_model(source)
    # no passes: attention is the very circuit of the paper
    compilation = compile_model(
        *model, passes="none", progress=progress, documents=tokenizer_file(source)
    )
    progress("writing the folder")
    compilation.write(folder, progress, force=force)
    progress("running the emitted code")
    cosines = {p: run_emitted(folder, compilation, tokenizer, p) for p in TOLERANCE}
    progress("reading the rates of the mask cells")
    reading = read_in_model(model, tokenizer, [SENTENCE])
    mask = attention_mask(compilation, {name: array[0] for name, array in reading.inputs.items()})
    return Demo(folder, compilation, reading.pieces[0], cosines, mask)


def run_emitted(
    folder: Path, compilation: ModelCompilation, tokenizer: Tokenizer, precision: str
) -> np.ndarray:
    """Cosines of each two sentences, by the file in `folder`.

    It reads its own weights from beside it, as it would for a user who imports it.
    """
    from cortico.backends.arrays.backend import definitions
    from cortico.backends.numpy import require_scipy
    from cortico.texts import text_inputs

    require_scipy(compilation.network.blocks)
    file = folder / "model.py"
    code = definitions(file.read_text(encoding="utf-8"), str(file))
    given = text_inputs(compilation.network, SENTENCES, tokenizer)
    outputs = code["model"](**given, dtype=np.dtype(precision).type)
    vectors = np.asarray(outputs[code["OUTPUTS"].index("sentence")], np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    pairs = itertools.combinations(range(len(SENTENCES)), 2)
    return np.array([unit[one] @ unit[other] for one, other in pairs])


def attention_mask(compilation: ModelCompilation, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rates of the mask cells of layer 0 over those of their pool, (head, query token, source token)."""
    from cortico.backends.reference import interpret
    from cortico.ir.rewrite import with_values

    node = compilation.network[ATTENTION]
    rates = interpret(with_values(node.circuit, node.values), inputs)
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


def _print_model(demo: Demo, console: Console) -> None:
    """Neurons and synapses by level, for this sentence."""
    from cortico.ir.paths import level_of

    circuit, counts = demo.circuit, demo.circuit.counts()
    table = _table(f"The whole model for this sentence of {len(demo.tokens)} tokens")
    for column in ("part", "what it does"):
        table.add_column(column)
    for column in ("neurons", "synapses in"):
        table.add_column(column, justify="right", no_wrap=True)
    levels: dict[str, list[Population]] = {}
    for population in circuit.populations:
        levels.setdefault(level_of(population.path) or population.path, []).append(population)
    for level, populations in levels.items():
        own = {population.name for population in populations}
        synapses = counts.synapses_in(p for p in circuit.projections if p.post in own)
        job = _PARTS.get(level.partition("[")[0], "")
        table.add_row(level, job, f"{counts.neurons_in(populations):,}", f"{synapses:,}")
    table.add_section()
    table.add_row("all", "", f"{counts.neurons:,}", f"{counts.synapses:,}", style="bold")
    console.print(table)


def _print_circuit(demo: Demo, console: Console) -> None:
    """Neurons and synapses of one attention by region and cell class, for this sentence."""
    circuit, counts = demo.attention, demo.attention.counts()
    table = _table("Attention of layer 0, as a circuit")
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


def _print_likeness(demo: Demo, console: Console) -> None:
    """How alike the sentences are, by the emitted code."""
    from rich.text import Text

    table = _table("How alike sentences are: cosine of their vectors, by the emitted code")
    for column in ("sentence", "and"):
        table.add_column(column, overflow="fold")
    table.add_column("cosine", justify="right", no_wrap=True)
    pairs = itertools.combinations(SENTENCES, 2)
    for (one, other), cosine in zip(pairs, demo.cosines["float32"], strict=True):
        table.add_row(Text(one), Text(other), f"{cosine:.4f}")
    console.print("", table)


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
    network, counts, folder = demo.compilation.network, demo.circuit.counts(), demo.folder
    heads = sum(bool(area.index) for area in network.flatten().areas_at(ATTENTION))
    verdict = "equal" if demo.is_exact else "DIFFER FROM"
    largest = ", ".join(f"{found:.0e} in {p}" for p, found in demo.differences.items())
    return [
        (
            "compiled",
            f"all-MiniLM-L6-v2, a language model: {len(network.levels)} layers of {heads} attention heads, "
            f"each now a cortical area, and {counts.parameters:,} trained weights",
        ),
        ("sentence", SENTENCE),
        ("circuit", f"{counts.neurons:,} neurons, {counts.synapses:,} synapses"),
        ("cosines", f"{verdict} the model's own; largest difference {largest}"),
        ("code", f"{folder / 'model.py'}, one NumPy file to read, run and import"),
        ("report", f"{folder / 'report.md'}, all cells and pathways, for any sentence"),
        (
            "try it",
            f"cortico run {shlex.quote(str(folder))} --text 'Hello.' --text 'Good morning.'",
        ),
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
