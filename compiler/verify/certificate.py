"""Certificates: what was claimed of a compilation, on what it rests, and all that re-checking needs.

A certificate is JSON. `cortico.verify.recheck` reads it with nothing else of cortico.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cortico.frontends.spec_file import spec_to_json
from cortico.ir import UnsupportedError
from cortico.ir.text import print_circuit
from cortico.passes import Step
from cortico.spec import AttentionSpec
from cortico.verify.claims import Verification
from cortico.verify.emission.record import record_of

VERSION = 2


def certificate(
    verification: Verification, files: Mapping[str, str], steps: Sequence[Step]
) -> dict[str, Any]:
    """The certificate of a verification; `files` are file names to SHA-256, `steps` the passes that ran.

    Every stage of every pass is in it, with the circuit after it and the facts that it rests on. Nothing
    in it depends on the time or the machine: the same compilation has the same bytes. UnsupportedError where
    it is no attention that was compiled.
    """
    if not isinstance(verification.spec, AttentionSpec):
        raise UnsupportedError(f"certificates are of attention, found {verification.spec}")
    return {
        "cortico_certificate": VERSION,
        "spec": json.loads(spec_to_json(verification.spec)),
        "files": dict(files),
        "emitted": record_of(verification.target) if verification.target else None,
        "lowered": print_circuit(verification.lowered),
        "steps": list(_steps(verification, steps)),
        "claims": [claim.record() for claim in verification.claims],
    }


def certificate_text(
    verification: Verification, files: Mapping[str, str], steps: Sequence[Step]
) -> str:
    """The certificate as JSON text."""
    found = certificate(verification, files, steps)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _steps(verification: Verification, steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    """The stages of each exact pass, as they were proved; the circuit after each approximate one."""
    proofs = iter(verification.steps)
    for step in steps:
        if step.changed and step.bound is not None:
            after = print_circuit(step.after)
            yield {"pass": step.name, "after": after, "facts": [], "approximate": True}
        elif step.changed:
            proof = next(proofs)
            for stage in proof.stages:
                facts = [fact.record() for fact in stage.facts]
                yield {"pass": proof.name, "after": print_circuit(stage.after), "facts": facts}
