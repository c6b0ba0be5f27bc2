"""The files beside a certificate: their hashes, which anyone can make, and what they say."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortico.verify.recheck.forms import printable, read_json
from cortico.verify.recheck.report import BELIEVED, WRONG, Finding, attempt
from cortico.verify.recheck.text import UnableError, require

CERTIFICATE, SPEC = "certificate.json", "spec.json"
CIRCUIT, NUMBERS = "circuit.cortico", "circuit.safetensors"
NETWORK, NETWORK_NUMBERS = "network.cortico", "network.safetensors"

#: Most files of a folder that are named though no certificate lists them.
MOST = 10

#: A file's name to what looks at what it says.
Readers = Mapping[str, Callable[[Path], str]]


def check_files(
    listed: Mapping[str, str], folder: Path, readers: Readers, must: Iterable[str]
) -> Iterator[Finding]:
    """What is found of every file that is listed, that must be, or that is here and is not."""
    for name in must:
        if name not in listed:
            yield Finding(WRONG, f"file {name}", "must be listed among the files, and is not")
    for name, digest in listed.items():
        what = f"file {printable(name, 80)}"
        yield attempt(what, _check_file, folder, name, digest, readers.get(name, _unread))
    for name in _others(folder, {CERTIFICATE, *listed}):
        yield Finding(
            BELIEVED, f"file {printable(name, 80)}", "is here, and not in the certificate"
        )


def _others(folder: Path, known: set[str]) -> list[str]:
    with os.scandir(folder) as entries:
        found = [entry.name for entry, _ in zip(entries, range(10**4), strict=False)]
    return sorted(set(found) - known)[:MOST]


def _check_file(folder: Path, name: str, digest: str, read: Callable[[Path], str]) -> str:
    plain = Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
    require(plain, "is no plain file name")
    path = folder / name
    if not path.exists():
        raise UnableError("is not here")
    require(stat.S_ISREG(path.stat().st_mode), "is no plain file")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    require(found == digest, "has changed")
    return read(path)


def _unread(path: Path) -> str:
    raise UnableError("has its hash; what it says was not looked at")


def is_spec(spec: Any) -> Readers:
    """The file with the spec, which must be this one."""

    def read(path: Path) -> str:
        require(read_json(path) == spec, "is not the spec of the certificate")
        return "is the spec of the certificate"

    return {SPEC: read}


def without_weights(text: str, file: str) -> list[str]:
    """The lines of a circuit or network, but for that which names its file of numbers: this one."""
    lines = text.split("\n")
    named = {line for line in lines if line.startswith("weights ")}
    require(named <= {f'weights "{file}"'}, "names another file of numbers")
    return [line for line in lines if not line.startswith("weights ")]
