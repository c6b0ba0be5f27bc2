"""Certificates: what was claimed of a compilation, on what it rests, and all that re-checking needs.

A certificate is JSON. `cortico.verify.recheck` reads it with nothing else of cortico.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cortico.frontends.spec_file import spec_to_json
from cortico.ir.text import print_circuit
from cortico.verify.claims import Claim, Verification
from cortico.verify.emission.record import record_of

VERSION = 1


def certificate(verification: Verification, files: Mapping[str, str]) -> dict[str, Any]:
    """The certificate of a verification; `files` are file names to SHA-256.

    Every stage of every pass is in it, with the circuit after it and the facts that it rests on.
    """
    return {
        "cortico_certificate": VERSION,
        "spec": json.loads(spec_to_json(verification.spec)),
        "files": dict(files),
        "emitted": record_of(verification.target) if verification.target else None,
        "lowered": print_circuit(verification.lowered),
        "steps": list(_steps(verification)),
        "claims": [_claim(claim) for claim in verification.claims],
    }


def certificate_text(verification: Verification, files: Mapping[str, str]) -> str:
    """The certificate as JSON text."""
    return json.dumps(certificate(verification, files), indent=1, ensure_ascii=False) + "\n"


def _steps(verification: Verification) -> Iterator[dict[str, Any]]:
    for proof in verification.steps:
        for stage in proof.stages:
            yield {
                "pass": proof.name,
                "after": print_circuit(stage.after),
                "facts": [fact.record() for fact in stage.facts],
            }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "claim": claim.claim,
        "verdict": claim.verdict.value,
        "detail": claim.detail,
        "given": list(claim.given),
        "seconds": round(claim.seconds, 4),
    }
