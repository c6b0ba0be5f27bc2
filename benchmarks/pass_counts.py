"""Neurons and synapses of real-sized layers before and after the pipelines; a table and JSON.

MiniLM layer 0 has its real weights; the GPT-2 and Llama sized layers have random ones. Symbolic sizes
are counted at 128 tokens. The last row is linear attention at 4096 tokens: the aggressive pipeline
turns the mask circuit into a memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common import RESULTS, sized

from cortico import AttentionSpec, compile_attention, random_weights, read_checkpoint
from cortico.demo.weights import model_folder
from cortico.ir import Circuit, Role
from cortico.spec import Bias, Kernel, Mask, Rotary
from cortico.spec.weights import Weights

TOKENS = 128
BIASED = Bias(query=True, key=True, value=True, output=True)


@dataclass(frozen=True)
class Layer:
    """A spec and its weights under the name that the table gives it."""

    name: str
    spec: AttentionSpec
    weights: Weights


def layers() -> list[Layer]:
    """The layers of the table."""
    gpt2 = AttentionSpec(model=768, heads=12, mask=Mask.CAUSAL, bias=BIASED)
    llama = AttentionSpec(
        model=sized(2048, 64), heads=32, kv_heads=8, mask=Mask.CAUSAL, rotary=Rotary(base=500_000.0)
    )
    linear = AttentionSpec(model=768, heads=12, kernel=Kernel.LINEAR, tokens=4096)
    specs = {"GPT-2 size": gpt2, "Llama 1B size": llama, "linear, 4096 tokens": linear}
    minilm = Layer("MiniLM layer 0", *read_checkpoint(model_folder(), 0))
    drawn = (Layer(n, s, random_weights(s, dtype=np.float32)) for n, s in specs.items())
    return [minilm, *drawn]


def counts(circuit: Circuit) -> dict[str, int]:
    """Microcolumns of an area, neurons, synapses and parameters, symbolic sizes at `TOKENS`."""
    bound = circuit.bind(**dict.fromkeys(circuit.symbols, TOKENS))
    numbers = bound.counts()
    in_columns = any(axis.role is Role.COLUMN and not axis.in_time for axis in bound.axes)
    return {
        "microcolumns": len(bound.areas[0].microcolumns) if in_columns else 0,
        "neurons": numbers.neurons,
        "synapses": numbers.synapses,
        "parameters": numbers.parameters,
    }


def measure(layer: Layer) -> dict[str, dict[str, float]]:
    """Pipeline to counts, and to the seconds that compiling took."""
    row: dict[str, dict[str, float]] = {}
    for pipeline in ("none", "default", "aggressive"):
        start = time.perf_counter()
        circuit = compile_attention(layer.spec, layer.weights, passes=pipeline).circuit
        seconds = time.perf_counter() - start
        row[pipeline] = {**counts(circuit), "seconds": round(seconds, 3)}
    return row


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "pass_counts.json")
    output = parser.parse_args().output
    rows = {layer.name: measure(layer) for layer in layers()}
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({"tokens": TOKENS, "layers": rows}, indent=2) + "\n")
    print(table(rows))


def table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """The counts as a Markdown table."""
    lines = ["| layer | passes | microcolumns per area | neurons | synapses |"]
    lines.append("| --- | --- | ---: | ---: | ---: |")
    for name, row in rows.items():
        for pipeline, found in row.items():
            numbers = (f"{found[key]:,}" for key in ("microcolumns", "neurons", "synapses"))
            lines.append(f"| {name} | {pipeline} | {' | '.join(numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
