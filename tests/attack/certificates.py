"""Attacks on `cortico verify --check`: certificates and folders that are wrong, hashed anew.

The oracle never reads circuits with the re-check's reader, and draws no numbers modulo primes: it runs
circuits with cortico's interpreter in floating point, at several sizes, against the spec's attention.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from cortico.verify.recheck import examine
from tests.attack.forgeries import ATTACKS
from tests.attack.subjects import SUBJECTS, compiled
from tests.attack.trial import Trial

#: Trials that pytest makes.
IN_TESTS = 3


def trial(seed: int) -> Trial:
    """One certificate, changed at random, re-checked with and without the spec's weights."""
    rng = random.Random(seed)
    subject, forged = compiled(rng.randrange(SUBJECTS)), None
    while forged is None:  # not every attack has something to change in every certificate
        attack = rng.choice(ATTACKS)
        forged = attack(rng, subject)
    given = subject.weights if rng.random() < 0.5 else None
    with tempfile.TemporaryDirectory() as folder:
        for name, content in forged.files.items():
            (Path(folder) / name).write_bytes(content)
        report = examine(forged.certificate, Path(folder), given)
    held = [f"{f.what}: {f.detail}" for f in report.findings if f.status == "re-checked"]
    fooled = [each for each in held if forged.spoilt and each.startswith(forged.spoilt)]
    wrong = bool(fooled) or (report.code == 0 and bool(forged.spoilt))
    if not forged.spoilt and report.code == 1:
        wrong, fooled = True, report.wrong
    said = {0: "holds", 1: "does not hold", 3: "holds as far as"}[report.code]
    kind = "false" if forged.spoilt else "true"
    detail = f"seed {seed}, {attack.__name__}: {forged.what}; {fooled or report.verdict}"
    return Trial(f"{kind}: {said}", wrong, detail)
