"""Certificates of small models, for the tests of their re-check."""

import hashlib
import json
from functools import cache

import pytest

from cortico.model_pipeline import compile_model
from cortico.spec.model_weights import random_model
from cortico.verify.certificate import model_certificate_text
from tests.verify.models.networks import MODELS


@cache
def weights(name):
    return random_model(MODELS[name], 1)


@cache
def compiled(name, passes="default", numbers=True):
    return compile_model(MODELS[name], weights(name) if numbers else None, passes, verify=True)


def certificate(name, passes="default", numbers=True):
    """A true certificate, without files."""
    return json.loads(model_certificate_text(compiled(name, passes, numbers).verification, {}))


def written(folder, name, passes="default"):
    """The certificate of a folder that is written."""
    compiled(name, passes).write(folder)
    return json.loads((folder / "certificate.json").read_text())


def rehashed(found, folder):
    """The certificate with the digests that the files have now."""
    for name in found["files"]:
        found["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found


def claim_of(found, begins):
    """The first claim that begins so."""
    return next(c for c in found["claims"] if c["claim"].startswith(begins))


def some(names, *first):
    """Names, of which the first run with `make test` and the others with `make rest`."""
    return [n if n in first else pytest.param(n, marks=pytest.mark.full) for n in names]
