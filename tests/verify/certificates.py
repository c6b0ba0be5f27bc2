"""Certificates made by hand, for the tests of their re-check."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from cortico.frontends.spec_file import spec_to_mapping
from cortico.lowering import circuit_weights, lower
from cortico.spec import AttentionSpec, Bias
from cortico.spec.weights import random_weights

CLAIMS = (
    "the lowered circuit computes attention",
    "every number of the spec's tensors stands where the lowered circuit reads it",
    "the lowered circuit's gradients by x are the closed forms",
)


def claim(text, given=(), verdict="proved for all sizes"):
    return {"claim": text, "verdict": verdict, "detail": "", "given": list(given)}


def certificate(spec, lowered, *steps, given=()):
    """A certificate with (after, facts) for every step; the claim about them names `given`."""
    claims = [*map(claim, CLAIMS), *[claim("test keeps the output", given)] * bool(steps)]
    claims[1]["verdict"] = "checked exactly"  # of numbers
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


SPEC = AttentionSpec(model=5, heads=2, key_features=6, bias=Bias(value=True, output=True))
HALF = {"coefficient": "1", "sizes": [["a", "-1/2"]]}
SCALED = {"kind": "scaled", "new": "W_Q_v2", "old": "W_Q", **HALF}


def scaled():
    """Circuits before and after a pass that scales W_Q, and its facts."""
    before = stored(SPEC)
    after = before.replace("weight size(a)^-1/2", "weight 1.0").replace("W_Q", "W_Q_v2")
    return before, after, [dict(SCALED)]


def true_certificate():
    before, after, facts = scaled()
    return certificate(SPEC, before, (after, facts), given=["W_Q_v2 = size(a)^-1/2 * W_Q"])


def digest(content):
    return hashlib.sha256(content).hexdigest()


def written(folder, seed=0, change=lambda tensors: None):
    """A folder with a true certificate, but for what is changed in its numbers; all is hashed."""
    found = true_certificate()
    tensors = circuit_weights(SPEC, random_weights(SPEC, seed))
    tensors["W_Q_v2"] = tensors.pop("W_Q") / np.sqrt(6)
    change(tensors)
    text = found["steps"][-1]["after"].replace("\n\n", '\nweights "circuit.safetensors"\n\n', 1)
    contents = {
        "circuit.cortico": text.encode(),
        "circuit.safetensors": save(tensors),
        "spec.json": json.dumps(found["spec"]).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    found["files"] = {name: digest(content) for name, content in contents.items()}
    return found
