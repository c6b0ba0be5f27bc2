"""The files beside a certificate: their hashes, which anyone can make, and what they say."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortico.verify.recheck.arrays import read_tensors
from cortico.verify.recheck.forms import printable, read_json, read_text
from cortico.verify.recheck.report import BELIEVED, WRONG, Finding, attempt
from cortico.verify.recheck.text import UnableError, require

CERTIFICATE, CIRCUIT, NUMBERS, SPEC = (
    "certificate.json",
    "circuit.cortico",
    "circuit.safetensors",
    "spec.json",
)

#: Most files of a folder that are named though no certificate lists them.
MOST = 10


def check_files(certificate: Any, folder: Path, circuit: Any) -> Iterator[Finding]:
    """What is found of every file that is listed, that must be, or that is here and is not."""
    listed = certificate["files"]
    for name in (CIRCUIT, SPEC, *([NUMBERS] if circuit.stored else [])):
        if name not in listed:
            yield Finding(WRONG, f"file {name}", "must be listed among the files, and is not")
    for name in listed:
        yield attempt(
            f"file {printable(name, 80)}", _check_file, folder, name, certificate, circuit
        )
    for name in _others(folder, {CERTIFICATE, *listed}):
        yield Finding(
            BELIEVED, f"file {printable(name, 80)}", "is here, and not in the certificate"
        )


def _others(folder: Path, known: set[str]) -> list[str]:
    with os.scandir(folder) as entries:
        found = [entry.name for entry, _ in zip(entries, range(10**4), strict=False)]
    return sorted(set(found) - known)[:MOST]


def _check_file(folder: Path, name: str, certificate: Any, circuit: Any) -> str:
    plain = Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
    require(plain, "is no plain file name")
    path = folder / name
    if not path.exists():
        raise UnableError("is not here")
    require(stat.S_ISREG(path.stat().st_mode), "is no plain file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    require(digest == certificate["files"][name], "has changed")
    if name == CIRCUIT:
        return _circuit(read_text(path), certificate)
    if name == SPEC:
        require(read_json(path) == certificate["spec"], "is not the spec of the certificate")
        return "is the spec of the certificate"
    if name == NUMBERS:
        read_tensors(path, circuit)
        return "holds numbers for all stored tensors of the circuit, and no others"
    raise UnableError("has its hash; what it says was not looked at")


def _circuit(text: str, certificate: Any) -> str:
    """The text is that after the last step, with a line that names its numbers."""
    steps = certificate["steps"]
    last = steps[-1]["after"] if steps else certificate["lowered"]
    lines = text.split("\n")
    named = [line for line in lines if line.startswith("weights ")]
    require(set(named) <= {f'weights "{NUMBERS}"'}, "names another file of numbers")
    rest = [line for line in lines if not line.startswith("weights ")]
    require(rest == last.split("\n"), "is not the circuit after the last step")
    return "is the circuit after the last step"
