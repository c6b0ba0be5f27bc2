"""How far ANNarchy is from the textbook on every case: a record, as compiling them takes half an hour.

    PYTHONPATH=. python tests/conformance/annarchy_record.py [CASE …]

measures the cases (or those named) that are not in the record, or whose emitted code has changed since, and writes
`annarchy_record.json` beside this file after each. `docs/support.md` shows it, and says where cases are missing; a
test fails while the code of a case in it is not what was measured.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

from cortico.backends import get_backend
from cortico.backends.protocol import obstacles
from cortico.ir import Circuit
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.backends.simulators import ANNARCHY
from tests.cases import CASES, LIVING, Case
from tests.conformance.test_backends import expected_output, relative_error

#: Options with which circuits that live in time come to rest.
IN_TIME = {"prospective": True, "dt": 0.1}

RECORD = Path(__file__).with_suffix(".json")


def recorded() -> dict[str, dict]:
    """Case to the hash of its code, the largest relative error, and the version of ANNarchy."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def code_of(circuit: Circuit) -> str:
    """A hash of the emitted script from its imports on."""
    text = ANNARCHY.source(circuit, **options(circuit))
    return hashlib.sha256(text[text.index("import argparse") :].encode()).hexdigest()[:16]


def options(circuit: Circuit) -> dict[str, object]:
    """Those of the backend in time; others are told when a script runs."""
    return IN_TIME if circuit.lives_in_time else {}


def supported() -> list[tuple[Case, Circuit]]:
    """The cases that the backend takes."""
    circuits = [(case, lower(case.spec, case.weights)) for case in (*CASES, *LIVING)]
    return [(case, c) for case, c in circuits if not obstacles(get_backend("annarchy"), c)]


def measure(case: Case, circuit: Circuit) -> float:
    """The relative error over a batch of two examples; in time of one, as each takes long to rest."""
    if circuit.lives_in_time:
        found = ANNARCHY.simulate(circuit, second_example(case), **IN_TIME)["y"]
        return float(f"{relative_error(found, expected_output(case)[1]):.0e}")
    found = ANNARCHY.settle(circuit, case.inputs)["y"]
    return float(f"{relative_error(found, expected_output(case)):.0e}")


def main() -> None:
    """Measure what is new, and forget cases that are gone."""
    cases, record, named = supported(), recorded(), sys.argv[1:]
    record = {case.name: record[case.name] for case, _ in cases if case.name in record}
    for case, circuit in (case for start in range(7, -1, -1) for case in cases[start::8]):
        code = code_of(circuit)  # one of every row of the table comes first, then the next
        if record.get(case.name, {}).get("code") != code and (not named or case.name in named):
            error = measure(case, circuit)
            record[case.name] = {"code": code, "error": error, "annarchy": version("ANNarchy")}
            print(case.name, error, file=sys.stderr, flush=True)
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
