"""How long `import cortico` and the command line take to start, as whole processes that take turns.

    python benchmarks/startup.py [--repeats 15]

Each turn runs every command once, in random order; reported are medians of the wall and of the
processor. Bytecode is kept in a folder of the benchmark's own, as an installed package has it. Exit code 1 when `import cortico` takes over 0.15 s more than `import numpy`, or
`cortico compile` of a spec without weights over 0.5 s more. Writes results/startup.json.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from common import machine, say_if_busy, sized, verdict, write_results
from rich.console import Console
from rich.table import Table

NUMPY, IMPORT, COMPILE = "import numpy", "import cortico", "cortico compile spec.yaml"
MOST = {IMPORT: 0.15, COMPILE: 0.5}  #: seconds beyond Python with NumPy

#: GPT-2 small's layer, the number of tokens a symbol: counts are formulas.
SPEC = """\
model: 768
heads: 12
mask: causal
bias: {query: true, key: true, value: true, output: true}
"""

Found = dict[str, float]


def commands(folder: Path) -> dict[str, list[str]]:
    """What is started, by its name in the table."""
    python = [sys.executable, "-c"]
    cortico = str(Path(sys.executable).with_name("cortico"))
    spec = folder / "spec.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    return {
        "python": [*python, "pass"],
        NUMPY: [*python, "import numpy"],
        IMPORT: [*python, "import numpy, cortico"],
        "import cortico, and compile_attention": [
            *python,
            "import numpy; from cortico import compile_attention",
        ],
        "cortico --help": [cortico, "--help"],
        COMPILE: [cortico, "compile", str(spec), "-o", str(folder / "layer")],
    }


def measure(repeats: int) -> dict[str, Found]:
    """Medians of every command, and of what it takes beyond NumPy in the same turn."""
    with tempfile.TemporaryDirectory() as folder:
        every = commands(Path(folder))
        environment = os.environ | {"PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in every}
        order = random.Random(0)
        for turn in range(repeats + 1):
            for name in order.sample(list(every), len(every)):
                found = seconds_of(every[name], environment)
                if turn:  # the first is to warm up
                    samples[name].append(found)
    return {name: summary(found, samples[NUMPY]) for name, found in samples.items()}


def seconds_of(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of the wall and of the processor that a process takes from start to end."""
    before, start = children_processor(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start, children_processor() - before


def children_processor() -> float:
    """Seconds of the processor that ended children took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(found: Sequence[tuple[float, float]], beside: Sequence[tuple[float, float]]) -> Found:
    """Medians in seconds; `beyond` is over `beside`, turn by turn."""
    return {
        "wall": statistics.median(wall for wall, _ in found),
        "processor": statistics.median(used for _, used in found),
        "beyond": statistics.median(a - b for (a, _), (b, _) in zip(found, beside, strict=True)),
    }


def missed_goals(rows: Mapping[str, Found]) -> Iterator[str]:
    """What takes longer to start than it should, in words."""
    for name, most in MOST.items():
        if rows[name]["beyond"] > most:
            yield f"{name}: {rows[name]['beyond']:.2f} s beyond NumPy, wanted {most} s"


def print_table(rows: Mapping[str, Found]) -> None:
    """Milliseconds of each command."""
    table = Table(title="Start-up, whole processes: medians in ms")
    table.add_column("")
    for title in ("wall", "processor", "beyond import numpy"):
        table.add_column(title, justify="right")
    for name, found in rows.items():
        table.add_row(name, *(f"{1e3 * seconds:.0f}" for seconds in found.values()))
    Console().print(table)


def main() -> int:
    """Measure, print, write; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=sized(15, 1))
    arguments = parser.parse_args()
    say_if_busy()
    results: dict[str, Any] = {"machine": machine(("numpy",))}
    results["commands"] = rows = measure(arguments.repeats)
    results["machine"]["load at the end"] = round(os.getloadavg()[0], 1)
    print_table(rows)
    write_results("startup", results)
    return verdict(missed_goals(rows))


if __name__ == "__main__":
    raise SystemExit(main())
