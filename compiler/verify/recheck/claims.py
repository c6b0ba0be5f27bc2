"""Claims: which of them this checker has looked at itself, and which are believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

from cortico.verify.recheck.forms import printable
from cortico.verify.recheck.report import BELIEVED, RECHECKED, WRONG, Finding, attempt

#: The words for how well a claim is known, those first that say that it holds.
HOLDS = ("proved for all sizes", "checked exactly", "compared numerically")
OPEN = ("not run", "not decided")

#: Claims that every certificate has.
ATTENTION = "the lowered circuit computes attention"
LAYOUT = "every number of the spec's tensors stands where the lowered circuit reads it"
GRADIENTS = r"the lowered circuit's gradients by .+"
KEEPS, CHANGES = r"(.+) keeps the output", r"(.+) changes the output by .+"

#: What is found of a pass that is said to be approximate.
APPROXIMATE = "an approximate pass"

#: A pass that ran, what was found of it, and the facts on which it rests, in words.
OfPass = tuple[str, Finding, list[str]]


def check_claims(
    claims: list[Any], first: Finding, passes: list[OfPass], layout: Callable[[], str]
) -> list[Finding]:
    """What is found of every claim, and of those that are missing."""
    exact = [p for p in passes if p[1].detail != APPROXIMATE]
    found: list[Finding] = []
    for claim in claims:
        text, kept = claim["claim"], re.fullmatch(KEEPS, claim["claim"])
        if text == ATTENTION:
            finding = _against(claim, [], first)
        elif text == LAYOUT:
            finding = _against(claim, [], attempt(text, layout))
        elif kept:
            finding = _of_pass(claim, [p for p in exact if p[0] == kept[1]])
        else:
            finding = Finding(BELIEVED, printable(text), f"believed, {printable(claim['verdict'])}")
        found.append(_open_or(claim, finding))
    return found + list(_missing([claim["claim"] for claim in claims], passes, exact))


def _of_pass(claim: Any, ran: list[OfPass]) -> Finding:
    """What is found of a claim about a pass; the worst when it ran more than once."""
    what = printable(claim["claim"])
    if not ran:
        return Finding(WRONG, what, "no step of that pass is here")
    worst = sorted(ran, key=lambda p: (WRONG, BELIEVED, RECHECKED).index(p[1].status))[0]
    given = claim["given"]
    fits = next((p for p in ran if p[2] == given), None)
    return _against(claim, worst[2] if fits is None else given, worst[1])


def _against(claim: Any, given: list[str], finding: Finding) -> Finding:
    """A finding, unless a claim names other conditions than its steps have."""
    if finding.status == RECHECKED and claim["given"] != given:
        named = "other conditions than those of its steps"
        return Finding(BELIEVED, finding.what, f"it names {named}; {finding.detail}")
    return finding


def _open_or(claim: Any, finding: Finding) -> Finding:
    """The finding of a claim, unless it says itself that it does not hold, or nothing."""
    verdict, what = claim["verdict"], printable(claim["claim"])
    if verdict in HOLDS:
        return finding
    if verdict in OPEN:
        return Finding(BELIEVED, what, f"{verdict}, as the certificate says")
    refuted = "the certificate says itself that it is refuted"
    unknown = f"{printable(verdict, 40)} is no word for how well it is known"
    return Finding(WRONG, what, refuted if verdict == "refuted" else unknown)


def _missing(claims: list[str], passes: list[OfPass], exact: list[OfPass]) -> list[Finding]:
    """Claims that must be there, once, and are not."""
    found: list[Finding] = []
    for what, pattern in (
        (ATTENTION, re.escape(ATTENTION)),
        (LAYOUT, re.escape(LAYOUT)),
        ("gradients", GRADIENTS),
    ):
        count = sum(re.fullmatch(pattern, claim) is not None for claim in claims)
        if count != 1:
            said = "is not claimed" if not count else f"is claimed {count} times"
            found.append(Finding(WRONG, what, said))
    for pattern, ran, words in (
        (KEEPS, exact, "keep the output"),
        (CHANGES, [p for p in passes if p not in exact], "change the output"),
    ):
        said_ = [m[1] for claim in claims if (m := re.fullmatch(pattern, claim))]
        named = [name for name, _ in groupby(p[0] for p in ran)]
        if [name for name, _ in groupby(said_)] != named:
            listed = printable(", ".join(named) or "none")
            found.append(
                Finding(WRONG, f"passes that {words}", f"they are {listed}; claimed others")
            )
    return found
