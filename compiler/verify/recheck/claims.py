"""Claims: which of them this checker has looked at itself, and which are believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from cortico.verify.recheck.forms import Each, Table, printable
from cortico.verify.recheck.report import BELIEVED, RECHECKED, WRONG, Finding

#: The form of claims.
CLAIMS = Each(Table({"claim": str, "verdict": str, "detail": str, "given": Each(str)}))

#: The words for how well a claim is known, those first that say that it holds, the strongest first.
HOLDS = ("proved for all sizes", "checked exactly", "compared numerically")
OPEN = ("not run", "not decided")

#: What passes that ran are said to do; in models, of which blocks.
KEEPS, CHANGES = r"(.+) keeps the output( of .+)?", r"(.+) changes the output( of .+)? by .+"

#: What is found of a pass that is said to be approximate.
APPROXIMATE = "an approximate pass"

#: The strongest word that claims of others than the prover can have.
AT_MOST = {
    r"every number of .+|the compiled network is what passes left .+": HOLDS[1],
    r"again, modulo primes.*|again, in SymPy.*|.+, as emitted, is the compiled circuit": HOLDS[1],
    r"the compiled circuit computes .+, against PyTorch": HOLDS[1],
    r"the network's outputs .+|.+ against PyTorch's autograd.*": HOLDS[2],
    r".+, as emitted, gives .+|.+, called in every way, .+": HOLDS[2],
    CHANGES: HOLDS[2],
}

#: A pass that ran, what was found of it, and the facts on which it rests, in words.
OfPass = tuple[str, Finding, list[str]]


def check_claims(
    claims: list[Any], own: Mapping[str, Finding], passes: list[OfPass], others: Mapping[str, str]
) -> list[Finding]:
    """What is found of every claim, and of those that are missing.

    `own` are claims that must be there, and what was found of them; `others` such that are believed, by patterns.
    """
    exact = [p for p in passes if p[1].detail != APPROXIMATE]
    found: list[Finding] = []
    for claim in claims:
        text, kept = claim["claim"], re.fullmatch(KEEPS, claim["claim"])
        if text in own:
            finding = _against(claim, [], own[text])
        elif kept:
            finding = _of_pass(claim, [p for p in exact if p[0] == _named(kept)])
        else:
            finding = Finding(BELIEVED, printable(text), f"believed, {printable(claim['verdict'])}")
        found.append(_open_or(claim, finding))
    texts = [claim["claim"] for claim in claims]
    must = {**{text: re.escape(text) for text in own}, **others}
    return [*found, *_missing(texts, must), *_of_other_passes(texts, passes, exact)]


def _named(match: re.Match[str]) -> str:
    """A pass and of which blocks, as `OfPass` has it."""
    return match[1] + (match[2] or "")


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
    """The finding of a claim, unless it says itself that it does not hold, or nothing, or too much."""
    verdict, what = claim["verdict"], printable(claim["claim"])
    if verdict in HOLDS:
        most = (word for form, word in AT_MOST.items() if re.fullmatch(form, claim["claim"]))
        strongest = next(most, HOLDS[0])
        if HOLDS.index(verdict) >= HOLDS.index(strongest):
            return finding
        return Finding(WRONG, what, f"such a claim is at most {strongest}, found {verdict}")
    if verdict in OPEN:
        return Finding(BELIEVED, what, f"{verdict}, as the certificate says")
    refuted = "the certificate says itself that it is refuted"
    unknown = f"{printable(verdict, 40)} is no word for how well it is known"
    return Finding(WRONG, what, refuted if verdict == "refuted" else unknown)


def _missing(claims: list[str], must: Mapping[str, str]) -> Iterable[Finding]:
    """Claims that must be there, once, and are not."""
    for what, pattern in must.items():
        count = sum(re.fullmatch(pattern, claim) is not None for claim in claims)
        if count != 1:
            said = "is not claimed" if not count else f"is claimed {count} times"
            yield Finding(WRONG, what, said)


def _of_other_passes(
    claims: list[str], passes: list[OfPass], exact: list[OfPass]
) -> Iterable[Finding]:
    """What is claimed of other passes than ran."""
    for pattern, ran, words in (
        (KEEPS, exact, "keep the output"),
        (CHANGES, [p for p in passes if p not in exact], "change the output"),
    ):
        said = [_named(m) for claim in claims if (m := re.fullmatch(pattern, claim))]
        named = [name for name, _ in groupby(p[0] for p in ran)]
        if [name for name, _ in groupby(said)] != named:
            listed = printable(", ".join(named) or "none")
            yield Finding(WRONG, f"passes that {words}", f"they are {listed}; claimed others")
