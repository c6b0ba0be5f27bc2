"""A certificate of one attention: its chain of steps, its claims, its files, and what was found of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from cortico.verify.recheck.arrays import read_tensors, wanted_by
from cortico.verify.recheck.chain import STEPS, Chain, Given, Once, computes
from cortico.verify.recheck.claims import CLAIMS, check_claims
from cortico.verify.recheck.files import CIRCUIT, NUMBERS, check_files, is_spec, without_weights
from cortico.verify.recheck.forms import EMITTED, Each, Table, fit, printable, read_json, read_text
from cortico.verify.recheck.models import ModelCertificate
from cortico.verify.recheck.placing import frequencies, placed
from cortico.verify.recheck.report import WRONG, Finding, Report, attempt
from cortico.verify.recheck.resting import rest_findings
from cortico.verify.recheck.text import UnableError, require
from cortico.verify.recheck.textbook import Textbook
from cortico.verify.recheck.world import ALL, Chance

VERSION = 2

FORM = Table(
    {
        "cortico_certificate": int,
        "spec": dict,
        "files": Each(str, dict),
        "lowered": str,
        "emitted?": EMITTED,
        "steps": STEPS,
        "claims": CLAIMS,
    }
)

#: Most steps, claims and files.
MOST = 1000

#: Claims that every certificate has, and what those are that are believed.
ATTENTION = "the lowered circuit computes attention"
LAYOUT = "every number of the spec's tensors stands where the lowered circuit reads it"
BELIEVED = {"gradients": r"the lowered circuit's gradients by .+"}

#: The spec's own weights, by the names of `compiler/spec/weights.py`; of a model, those of its blocks by path.
Weights = Mapping[str, Any]


def recheck(
    certificate: Any, folder: Path | None = None, weights: Weights | None = None
) -> list[str]:
    """What is wrong with a certificate, in words; nothing when nothing is."""
    return examine(certificate, folder, weights).wrong


def examine(certificate: Any, folder: Path | None = None, weights: Weights | None = None) -> Report:
    """What a certificate says, of one attention or of a whole model, each with what was found of it.

    Its files are in `folder`. `weights` are those of the spec, for facts about numbers.
    """
    read: list[Certificate | ModelCertificate] = []
    of_model = isinstance(certificate, dict) and "cortico_model_certificate" in certificate

    def understand() -> str:
        read.append((ModelCertificate if of_model else Certificate)(certificate))
        return "can be read"

    found = attempt("the certificate", understand)
    if read:
        return read[0].report(folder, weights)
    if found.status == WRONG or folder is None:
        return Report((found,))
    # one that is well formed, and says what cannot be looked at: its files must still be its own
    readers = is_spec(certificate["spec"])
    return Report((found, *check_files(certificate["files"], folder, readers, must=readers)))


class Certificate:
    """A certificate that could be read: its spec and circuits, and the facts of each step."""

    def __init__(self, certificate: Any) -> None:
        fit(certificate, dict, "it")
        version = certificate.get("cortico_certificate")
        require(version == VERSION, f"its version is {printable(version)}, expected {VERSION}")
        fit(certificate, FORM, "it")
        self.certificate, self.chance = certificate, Chance(ALL)
        for name in ("steps", "claims", "files"):
            require(len(certificate[name]) <= MOST, f"it has too many {name}")
        steps, arrays = certificate["steps"], self.arrays
        self.chain = Chain(certificate["lowered"], steps, self.chance, arrays, Once())
        self.book = Textbook(certificate["spec"], self.chain.circuits[0])

    def report(self, folder: Path | None, weights: Weights | None) -> Report:
        """All findings."""
        self.folder, self.given = folder, weights
        first = attempt(ATTENTION, computes, self.book, self.chance)
        passes = [self.chain.of_pass(name, steps) for name, steps in self.chain.passes]
        own = {
            ATTENTION: first,
            LAYOUT: attempt(LAYOUT, self.layout),
            **rest_findings(self.chain.circuits[-1], self.chance),
        }
        found = check_claims(self.certificate["claims"], own, passes, BELIEVED)
        if folder is not None:
            found += self.files(folder)
        return Report((*found, *self.numbers()))

    # ---- files ---------------------------------------------------------------------------------

    def files(self, folder: Path) -> list[Finding]:
        """What is found of the files in a folder."""
        readers = {CIRCUIT: self.circuit, **is_spec(self.certificate["spec"])}
        must = list(readers)
        readers[NUMBERS] = partial(self.tensors)
        must += [NUMBERS] if self.chain.circuits[-1].stored else []
        return [*check_files(self.certificate["files"], folder, readers, must)]

    def circuit(self, path: Path) -> str:
        """The text is that after the last step, with a line that names its numbers."""
        lines = without_weights(read_text(path), NUMBERS)
        require(lines == self.chain.texts[-1].split("\n"), "is not the circuit after the last step")
        return "is the circuit after the last step"

    def tensors(self, path: Path) -> str:
        read_tensors(path, wanted_by(self.chain.circuits[-1]))
        return "holds numbers for all stored tensors of the circuit, and no others"

    # ---- numbers -------------------------------------------------------------------------------

    @cached_property
    def last_arrays(self) -> dict[str, np.ndarray] | None:
        """The arrays in the folder, when it has them."""
        path, last = (self.folder or Path()) / NUMBERS, self.chain.circuits[-1]
        if self.folder is None or not last.stored or not path.is_file():
            return None
        return read_tensors(path, wanted_by(last))

    def arrays(self) -> Given:
        """Those of the first circuit, and of the last."""
        first = None if self.given is None else placed(self.book, self.given)
        return first, self.last_arrays

    def layout(self) -> str:
        """The spec's numbers stand where the circuit reads them: those in the folder are made of them."""
        if not self.chain.ledger.complete:
            raise UnableError("the spec's weights are not here")
        return "so of these weights"

    def numbers(self) -> list[Finding]:
        """What is found of stored numbers, and of the frequencies of rotary embedding."""
        found: list[Finding] = []
        if any(circuit.stored for circuit in self.chain.circuits):
            found.append(attempt("the stored numbers", self.stored))
        if self.book.rotary:
            found.append(attempt("rotary embedding", self.rotary))
        return found

    def stored(self) -> str:
        ledger = self.chain.ledger
        require(not ledger.wrong, "; ".join(ledger.wrong[:4]))
        if self.last_arrays is None:
            raise UnableError("they are not here")
        if self.given is None:
            raise UnableError("that they are the spec's is believed: its weights were not given")
        if not ledger.complete:
            raise UnableError("not all of them are made of the spec's weights by facts")
        return f"are made of the spec's weights, each to within {ledger.rounding:.1e}"

    def rotary(self) -> str:
        """The frequencies are the spec's; how features pair shows only in the spec's weights."""
        if not self.chain.ledger.complete:
            raise UnableError("base, style and rotated show only in the spec's weights")
        own = frequencies(self.book)
        there = self.chain.ledger.at[0]["frequencies"].mid
        if not np.allclose(own, there, rtol=1e-12, atol=0):
            raise UnableError("its frequencies are given with the weights")
        return "has the spec's frequencies and pairs of features"


def main(arguments: Sequence[str]) -> int:
    """Print what is found of the certificate that is named, and return the exit code."""
    path = Path(arguments[0]) if len(arguments) == 1 else Path()
    path = path / "certificate.json" if path.is_dir() else path
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        report = examine(read_json(path), path.parent)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{printable(str(path))}: {printable(str(error), 240)}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in report.lines()))
    return report.code
