"""Certificates: what was claimed of a compilation, on what it rests, and all that re-checking needs.

A certificate is JSON. `cortico.verify.recheck` reads it with nothing else of cortico. That of a model has the network
before passes, and for each node, or nodes that share them, its circuits after every stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cortico.frontends.spec_file import spec_to_json
from cortico.ir import UnsupportedError
from cortico.ir.text import print_circuit, print_network
from cortico.passes import Step
from cortico.spec import AttentionSpec
from cortico.verify.claims import Verification
from cortico.verify.emission.record import record_of
from cortico.verify.models import ModelVerification, Passed
from cortico.verify.steps.validation import StepProof

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
        "steps": list(_steps(verification.steps, steps)),
        "claims": [claim.record() for claim in verification.claims],
    }


def certificate_text(
    verification: Verification, files: Mapping[str, str], steps: Sequence[Step]
) -> str:
    """The certificate as JSON text."""
    return _text(certificate(verification, files, steps))


def model_certificate(verification: ModelVerification, files: Mapping[str, str]) -> dict[str, Any]:
    """The certificate of a verification of a model; `files` are file names to SHA-256. As above."""
    return {
        "cortico_model_certificate": VERSION,
        "spec": json.loads(spec_to_json(verification.spec)),
        "files": dict(files),
        "emitted": record_of(verification.target) if verification.target else None,
        "lowered": print_network(verification.network),
        "across": list(verification.across),
        "passes": list(map(_passed, verification.passed)),
        "claims": [claim.record() for claim in verification.claims],
    }


def model_certificate_text(verification: ModelVerification, files: Mapping[str, str]) -> str:
    """The certificate of a model as JSON text."""
    return _text(model_certificate(verification, files))


def _text(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _passed(passed: Passed) -> dict[str, Any]:
    """What passes did to some nodes."""
    return {
        "nodes": list(passed.nodes),
        "before": print_circuit(passed.steps[0].before),
        "steps": list(_steps(passed.proofs, passed.steps)),
    }


def _steps(proved: Iterable[StepProof], steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    """The stages of each exact pass, as they were proved; the circuit after each approximate one."""
    proofs = iter(proved)
    for step in steps:
        if step.changed and step.bound is not None:
            after = print_circuit(step.after)
            yield {"pass": step.name, "after": after, "facts": [], "approximate": True}
        elif step.changed:
            proof = next(proofs)
            for stage in proof.stages:
                facts = [fact.record() for fact in stage.facts]
                yield {"pass": proof.name, "after": print_circuit(stage.after), "facts": facts}
