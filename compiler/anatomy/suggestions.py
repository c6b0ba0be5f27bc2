"""What would resolve a warning: settings of the spec and passes, each tried before it is suggested."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from cortico.anatomy.audit import audit
from cortico.anatomy.findings import Audit, Finding, Measure, Verdict
from cortico.ir import Circuit, SpecError
from cortico.lowering import lower
from cortico.passes import Pass, parse_passes, run_passes
from cortico.spec import AttentionSpec, Microcircuit, Nucleus, Thalamus
from cortico.spec.weights import Weights

#: Passes that are tried. The others neither move cells nor change what synapses there are.
PASSES = (
    "share-relays",
    "serialize",
    "split-sign",
    "prune-small(budget=0.5)",
    "prune-small(budget=0.9)",
)


@dataclass(frozen=True)
class Alternative:
    """A circuit that computes the same in another way, and what was changed for it."""

    change: str
    audit: Audit


def suggest(found: Audit, alternatives: Sequence[Alternative]) -> Audit:
    """The audit with the first alternative that resolves each warning, where there is one."""

    def tried(warning: Finding | Measure) -> str | None:
        fitting = (each for each in alternatives if _resolves(found, each.audit, warning))
        best = next(fitting, None)
        return None if best is None else best.change + _price(found, best.audit)

    return replace(
        found,
        findings=tuple(replace(f, suggestion=tried(f)) for f in found.findings),
        measures=tuple(replace(m, suggestion=tried(m)) for m in found.measures),
    )


def _resolves(found: Audit, other: Audit, warning: Finding | Measure) -> bool:
    if warning.verdict in (None, Verdict.SUPPORTED):
        return False
    if isinstance(warning, Finding):
        return _resolves_finding(found, other, warning)
    return _resolves_measure(found, other, warning)


def _resolves_finding(found: Audit, other: Audit, finding: Finding) -> bool:
    """Whether the projection does better, or is gone, and nothing else does worse."""
    before, after = found.verdicts, other.verdicts
    name = finding.projection
    worse = (n for n in after if n in before and after[n].gravity > before[n].gravity)
    if any(worse):
        return False
    if name in after:
        return after[name].gravity < before[name].gravity and not _says(other, finding)
    return set(after) < set(before)


def _says(other: Audit, finding: Finding) -> bool:
    return any(f.rule == finding.rule for f in other.of(finding.projection))


def _resolves_measure(found: Audit, other: Audit, measure: Measure) -> bool:
    """Whether no measure of this rule is as bad any more, of what is still there or is new."""
    known = {m.subject for m in found.measures}
    same = [m for m in other.measures if m.rule == measure.rule]
    own = [m for m in same if m.subject == measure.subject]
    judged = own or [m for m in same if m.subject not in known]
    return bool(judged) and all(_is_better(m, measure) for m in judged)


def _is_better(one: Measure, other: Measure) -> bool:
    if one.verdict is None or other.verdict is None:
        return False
    return one.verdict.gravity < other.verdict.gravity


def _price(found: Audit, other: Audit) -> str:
    """What an alternative makes worse: more projections that no publication supports."""
    before, after = (
        sum(verdict.gravity >= Verdict.UNSUPPORTED.gravity for verdict in each.verdicts.values())
        for each in (found, other)
    )
    return f" (then {after} projections are unsupported, not {before})" if after > before else ""


# ---- what can be changed -------------------------------------------------------------------------


def spec_alternatives(
    spec: AttentionSpec, weights: Weights | None, passes: Sequence[Pass]
) -> Iterator[Alternative]:
    """Other settings of a spec, those that change least first, through the same passes."""
    for change, other in _changed_specs(spec):
        circuit, _ = run_passes(lower(other, weights), passes)
        yield Alternative(change, audit(circuit))


def _changed_specs(spec: AttentionSpec) -> Iterator[tuple[str, AttentionSpec]]:
    for thalamus in sorted(_assignments(), key=lambda each: len(_changes(spec.thalamus, each))):
        changes = _changes(spec.thalamus, thalamus)
        if changes:
            yield ", ".join(changes), replace(spec, thalamus=thalamus)
    if spec.microcircuit is Microcircuit.MASK:
        try:
            yield 'microcircuit = "memory"', replace(spec, microcircuit=Microcircuit.MEMORY)
        except SpecError:  # not with this kernel, window or position bias
            return


def _assignments() -> Iterator[Thalamus]:
    streams = len(fields(Thalamus))
    return (Thalamus(*each) for each in itertools.product(Nucleus, repeat=streams))


def _changes(old: Thalamus, new: Thalamus) -> list[str]:
    """Such as `thalamus.key = "matrix"`."""
    names = (field.name for field in fields(Thalamus))
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in names)
    return [f'thalamus.{name} = "{after}"' for name, before, after in pairs if before != after]


def pass_alternatives(circuit: Circuit) -> Iterator[Alternative]:
    """The circuit after each pass that is tried, holds for it and changes it."""
    for text in PASSES:
        passes = parse_passes(text)
        if circuit.lives_in_time and not all(each.in_time for each in passes):
            continue
        changed, _ = run_passes(circuit, passes)
        if changed is not circuit:
            yield Alternative(f"--passes '{text}'", audit(changed))
