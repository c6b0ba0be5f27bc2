"""Tables of scale.md, from benchmarks/results.

    python docs/draw_scale.py

Rewrites the tables between their marks. The arithmetic takes the circuit of a layer of GPT-2 small at 20 tokens, and
what `simulator_scale.py` and `mpi_scaling.py` measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortico import AttentionSpec, lower

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "scale.md"

ENGINES = {"neuron": "NEURON", "nest": "NEST", "annarchy": "ANNarchy"}
WORKERS = {"neuron": "MPI ranks", "nest": "threads", "annarchy": "threads"}

NODE = 256e9  #: bytes of memory of a node in the arithmetic
CORES = 64  #: of a node
FULL = 0.8  #: the part of a node's memory that a network may take

LAYER = AttentionSpec(name="GPT-2 small", model=768, heads=12)
LENGTHS = (16, 20, 64, 256, 1024)
EXAMPLE = 20  #: tokens: about a million neurons and a thousand million synapses

Row = Mapping[str, Any]
Results = Mapping[str, Any]


def page(text: str, simulators: Results, ranks: Results) -> str:
    """The page with its tables made anew."""
    for name, make in SECTIONS.items():
        mark = re.escape(f"{name}: `make golden` rewrites these lines -->\n\n")
        made = "\n\n".join(make(simulators, ranks)) + "\n\n"
        pattern = rf"(?<={mark})(.*?)(?=<!-- end -->)"
        text = re.sub(pattern, lambda _, made=made: made, text, count=1, flags=re.S)
    return text


# ---- what a layer has ----------------------------------------------------------------------------


def counts(*_: Results) -> Iterator[str]:
    """Neurons and synapses of the paper's circuit of a layer."""
    circuit = lower(LAYER)
    found = [(n, circuit.bind(n=n).counts()) for n in LENGTHS]
    rows = [[f"{n:,}", power(c.neurons), power(c.synapses)] for n, c in found]
    yield table(["tokens", "neurons", "synapses"], rows)


# ---- scaling -------------------------------------------------------------------------------------


def scaling(simulators: Results, ranks: Results) -> Iterator[str]:
    """Strong and weak, on one worker and on two."""
    yield machines(simulators)
    rows = []
    for engine, name in ENGINES.items():
        found = {(row["shape"], row["workers"]): row for row in simulators[engine]["rows"]}
        whole, both, half = (found[key] for key in (("whole", 1), ("whole", 2), ("half", 1)))
        one, two, part = (row["ns_per_synapse"] * row["synapses"] for row in (whole, both, half))
        rows.append([name, WORKERS[engine], *map(milliseconds, (one, two, part))])
        rows[-1] += [f"{one / two:.2f}", f"{part / two:.2f}"]
    head = ["", "two of", "ms a step, one", "two", "half on one", "strong", "weak"]
    yield table(head, rows)
    of_problem = {(row["problem"], row["ranks"]): row for row in ranks["rows"]}
    rows = [
        [problem, f"{row['ms']:.0f}", f"{row['ratio']:.2f}", f"{row['megabytes']:.0f}"]
        for (problem, count), row in of_problem.items()
        if count == 2
    ]
    about = ranks["machine"]
    yield f"Emitted NumPy on two MPI ranks beside one (load {about['load']} at the start):"
    yield table(["problem", "ms on two", "one rank over two", "MB of a rank"], rows)


def milliseconds(nanoseconds: float) -> str:
    """Three digits."""
    return f"{nanoseconds / 1e6:.3g}"


def machines(simulators: Results) -> str:
    """What the simulators were measured on."""
    parts = []
    for engine, name in ENGINES.items():
        about = simulators[engine]["machine"]
        parts.append(f"{name} {about['version']} (load {about['load']} at the start)")
    cores = simulators["neuron"]["machine"]["cores"]
    return f"{cores} cores; {', '.join(parts)}."


# ---- memory --------------------------------------------------------------------------------------


def cost(simulators: Results, engine: str) -> tuple[float, float]:
    """Bytes per neuron and per synapse: two networks of other proportions, two equations."""
    found = {(row["shape"], row["workers"]): row for row in simulators[engine]["rows"]}
    rows = [found[shape, 1] for shape in ("whole", "thin")]
    matrix = np.array([[row["neurons"], row["synapses"]] for row in rows], float)
    totals = [row["bytes_per_synapse"] * row["synapses"] for row in rows]
    neuron, synapse = np.linalg.solve(matrix, totals)
    return float(neuron), float(synapse)


def memory(simulators: Results, _: Results) -> Iterator[str]:
    """Bytes per neuron and synapse, and nanoseconds of the processor per synapse and step."""
    rows = []
    for engine, name in ENGINES.items():
        neuron, synapse = cost(simulators, engine)
        rows.append(
            [name, f"{neuron:,.0f}", f"{synapse:,.0f}", f"{nanoseconds(simulators, engine):.3g}"]
        )
    yield table(["", "bytes per neuron", "bytes per synapse", "ns per synapse and step"], rows)


def nanoseconds(simulators: Results, engine: str) -> float:
    """Of one core, per synapse and step, in the largest network on one worker."""
    rows = [r for r in simulators[engine]["rows"] if (r["shape"], r["workers"]) == ("whole", 1)]
    return float(rows[0]["processor_ns"])


# ---- arithmetic ----------------------------------------------------------------------------------


def arithmetic(simulators: Results, _: Results) -> Iterator[str]:
    """What the example takes in each engine, and how many nodes."""
    found = lower(LAYER).bind(n=EXAMPLE).counts()
    neurons, synapses = float(found.neurons), float(found.synapses)
    rows = []
    for engine, name in ENGINES.items():
        neuron, synapse = cost(simulators, engine)
        total = neuron * neurons + synapse * synapses
        nodes = max(1, int(np.ceil(total / (FULL * NODE))))
        step = nanoseconds(simulators, engine) * synapses * 1e-9
        rows.append(
            [name, f"{total / 1e9:,.0f}", str(nodes), f"{step:,.3g}", f"{step / CORES / nodes:.2g}"]
        )
    head = [
        "",
        "GB",
        "nodes of 256 GB",
        "s a step on one core",
        f"on all cores, {CORES} a node, if all share alike",
    ]
    yield table(head, rows)


def power(number: float) -> str:
    """Two digits and a power of ten."""
    digits, exponent = f"{float(number):.1e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits} · 10{raised}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, columns of numbers to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


SECTIONS: Mapping[str, Callable[..., Iterator[str]]] = {
    "counts": counts,
    "scaling": scaling,
    "memory": memory,
    "arithmetic": arithmetic,
}


def main() -> None:
    """Rewrite the page."""
    simulators, ranks = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("simulator_scale", "mpi_scaling")
    )
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page(text, simulators, ranks), encoding="utf-8")


if __name__ == "__main__":
    main()
