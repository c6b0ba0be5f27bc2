"""Does the prover lie? Random wrong and random equal systems by the thousand, judged by numbers.

    python benchmarks/prover_soundness.py [--count 10000] [--seed 0]

* changed circuits: one or two random changes; a proof is a lie when oracle and interpreter differ, a
  refutation when they do not give the counterexample's two numbers
* equal systems: circuits, equations and gradients said otherwise; all should be proved
* normal forms: random equations evaluated in 120 digits before and after; their values must agree
* passes, circuits, gradients: the attacks of `tests/attack`, which have an oracle of their own;
  `python -m tests.attack` makes more of them, on several processes

Exit code 1 when there was a lie.
"""

from __future__ import annotations

import argparse
import decimal
import json
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from common import RESULTS, sized

from cortico.lowering import lower
from cortico.verify.known import Known
from cortico.verify.normal import algebra, terms
from cortico.verify.normal.equivalence import compare
from tests.attack import trial_of
from tests.verify.judge import equal_pair, judge
from tests.verify.mutations import mutated
from tests.verify.random_equations import CONTEXT, FUNCTIONS, Drawing
from tests.verify.test_algebra import value_moved
from tests.verify.test_random_mutations import any_spec

_NUMBERS = {True: "numbers differ", False: "numbers agree", None: "no finite numbers"}


def changed_circuit(seed: int) -> list[str]:
    """The verdict on one changed circuit, and what the numbers say."""
    random = Random(seed)
    spec = any_spec(random)
    found = judge(random, spec, mutated(random, lower(spec)))
    word = "LIE: " if found.is_lie else ""
    return [f"{word}{found.outcome.verdict}, {_NUMBERS[found.differs]}"]


def equal_systems(seed: int) -> list[str]:
    """The verdicts on one pair of equal systems: of y, or of all gradients."""
    random = Random(seed)
    outcomes = compare(*equal_pair(random, any_spec(random)))
    words = {Known.REFUTED: "LIE: "}
    return [f"{words.get(each.verdict, '')}{each.verdict}" for each in outcomes]


def normal_form(seed: int) -> list[str]:
    """Whether the normal form of random equations has their values."""
    algebra._MOST_TERMS, terms._MOST_ORDERS = 200, 24  # large terms are given up early
    random = Random(seed)
    drawing = Drawing(random, FUNCTIONS)
    equations = drawing.equations() if seed % 2 else drawing.quotients()
    with decimal.localcontext(CONTEXT):
        compared, moved = value_moved(random, equations)
    return ["LIE: another value" if moved else "same values" if compared else "not compared"]


def attacked(name: str, seed: int) -> list[str]:
    """What came of one trial of an attack."""
    found = trial_of(name)(seed)
    return [f"{'LIE: ' if found.wrong else ''}{found.said}"]


KINDS: dict[str, Callable[[int], list[str]]] = {
    "changed circuits": changed_circuit,
    "equal systems": equal_systems,
    "normal forms": normal_form,
    **{name: partial(attacked, name) for name in ("passes", "circuits", "gradients")},
}


def measure(name: str, count: int, seed: int) -> dict[str, Any]:
    """How often each answer came, the seeds of lies, and the seconds."""
    answers: Counter[str] = Counter()
    lies: list[int] = []
    start = time.perf_counter()
    for number in range(seed, seed + count):
        found = KINDS[name](number)
        answers.update(found)
        if any(answer.startswith("LIE") for answer in found):
            lies.append(number)
        if (number - seed + 1) % 500 == 0:
            print(f"{name}: {number - seed + 1} of {count}, {len(lies)} lies", file=sys.stderr)
    seconds = round(time.perf_counter() - start, 1)
    return {"systems": count, "answers": dict(answers), "lies": lies, "seconds": seconds}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The answers as a Markdown table."""
    lines = ["| random systems | answer | times |", "| --- | --- | ---: |"]
    for name, row in rows.items():
        for answer, times in sorted(row["answers"].items()):
            lines.append(f"| {name} | {answer} | {times:,} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, write it as JSON, and say whether there was a lie."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=sized(10_000, 4))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "prover_soundness.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {name: measure(name, options.count, options.seed) for name in KINDS}
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    result = {"seed": options.seed, "machine": machine, "kinds": rows}
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(table(rows))
    return int(any(row["lies"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
