"""What a re-check comes to: a list of findings, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cortico.verify.recheck.forms import printable
from cortico.verify.recheck.text import UnableError

#: How a thing was found.
RECHECKED, BELIEVED, WRONG = "re-checked", "not re-checked", "WRONG"


class Finding(NamedTuple):
    """One thing that a certificate says, or that must be so, and what was found."""

    status: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.status:<14}  {self.what}: {self.detail}"


class Report(NamedTuple):
    """All findings, those about claims first."""

    findings: tuple[Finding, ...]

    @property
    def code(self) -> int:
        """0 when all was re-checked, 1 when something is wrong, 3 when not all was re-checked."""
        found = {finding.status for finding in self.findings}
        return 1 if WRONG in found else 3 if BELIEVED in found else 0

    @property
    def wrong(self) -> list[str]:
        """What is wrong, in words."""
        return [f"{f.what}: {f.detail}" for f in self.findings if f.status == WRONG]

    @property
    def verdict(self) -> str:
        """The last line."""
        believed = sum(finding.status == BELIEVED for finding in self.findings)
        return {
            0: "the certificate holds",
            1: "the certificate does not hold",
            3: "the certificate holds as far as it was re-checked: "
            f"{believed} of {len(self.findings)} things were not",
        }[self.code]

    def lines(self) -> Iterable[str]:
        """Every finding on a line of its own, and the verdict."""
        return (*map(str, self.findings), self.verdict)


def attempt(what: str, check: Callable[..., str], *arguments: Any) -> Finding:
    """What a check finds: its words, or why it cannot say, or what is wrong."""
    try:
        return Finding(RECHECKED, what, check(*arguments))
    except UnableError as reason:
        return Finding(BELIEVED, what, str(reason))
    except RecursionError:
        return Finding(BELIEVED, what, "its populations are too many in a row, or run in a circle")
    except Exception as error:  # whatever is in a certificate, it gets an answer
        kind = "" if type(error) is ValueError else f"cannot be read, {type(error).__name__} "
        return Finding(WRONG, what, f"{kind}{printable(str(error), 240)}")
