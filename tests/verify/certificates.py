"""Certificates made by hand, for the tests of their re-check."""

import json

from cortico.frontends.spec_file import spec_to_mapping
from cortico.lowering import lower
from cortico.weights import random_weights

CLAIMS = (
    "the circuit computes attention",
    "every number of the spec's tensors stands where the circuit reads it",
    "its gradients by x are the closed forms",
)


def claim(text, given=(), verdict="proved for all sizes"):
    return {"claim": text, "verdict": verdict, "detail": "", "given": list(given)}


def certificate(spec, lowered, *steps, given=()):
    """A certificate with (after, facts) for every step; the claim about them names `given`."""
    claims = [*map(claim, CLAIMS), *[claim("test keeps the output", given)] * bool(steps)]
    return {
        "cortico_certificate": 2,
        "spec": json.loads(json.dumps(spec_to_mapping(spec))),
        "files": {},
        "lowered": lowered,
        "steps": [{"pass": "test", "after": after, "facts": facts} for after, facts in steps],
        "claims": claims,
    }


def stored(spec, seed=0):
    """The text of the spec's circuit with numbers, which facts are about."""
    return str(lower(spec, random_weights(spec, seed)))


def status(report, what):
    """What was found of the first thing that begins with `what`."""
    return next(f.status for f in report.findings if f.what.startswith(what))
