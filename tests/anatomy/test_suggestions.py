"""Each suggestion was tried: applied, it resolves what it is made for, and nothing else gets worse."""

from dataclasses import replace

import pytest

from cortico import lower, random_weights
from cortico.anatomy import Verdict, audit
from cortico.anatomy.suggestions import Alternative, pass_alternatives, spec_alternatives, suggest
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Kernel, Microcircuit, Nucleus, Thalamus
from tests.anatomy.circuits import joined

SPEC = AttentionSpec(8, heads=2, tokens=14)


def suggested(spec, weights=None):
    found = audit(lower(spec, weights))
    alternatives = [*spec_alternatives(spec, weights, []), *pass_alternatives(lower(spec, weights))]
    return suggest(found, alternatives)


def of(found, projection):
    return {f.rule: f.suggestion for f in found.of(projection)}


def test_keys_through_the_matrix():
    """Core cells do not reach apical dendrites of layer 2/3, matrix cells do."""
    found = suggested(SPEC)
    assert found.verdicts["key"] is Verdict.UNSUPPORTED
    assert of(found, "key") == {"core_drives_middle_and_deep_layers": 'thalamus.key = "matrix"'}
    applied = replace(SPEC, thalamus=replace(SPEC.thalamus, key=Nucleus.MATRIX))
    assert audit(lower(applied)).verdicts["key"] is Verdict.SUPPORTED


def test_relays_in_layer_four():
    """Keys through layer 4 cells: a pass of the compiler puts them there. Queries come that way too,
    so they must come from the core; with queries from the matrix, it would make these worse."""
    spec = replace(SPEC, thalamus=Thalamus(query=Nucleus.CORE))
    found = suggest(audit(lower(spec)), list(pass_alternatives(lower(spec))))
    assert of(found, "key") == {"core_drives_middle_and_deep_layers": "--passes 'share-relays'"}
    applied, _ = run_passes(lower(spec), parse_passes("share-relays"))
    assert audit(applied).verdicts["key"] is Verdict.SUPPORTED
    mixed = lower(replace(spec, thalamus=Thalamus()))
    found = suggest(audit(mixed), list(pass_alternatives(mixed)))
    assert of(found, "key") == {"core_drives_middle_and_deep_layers": None}


def test_split_signs_at_a_price():
    spec = replace(SPEC)
    found = suggested(spec, random_weights(spec))
    signs = {m.subject: m.suggestion for m in found.measures if m.rule == "cells_have_one_sign"}
    assert signs["key"].startswith("--passes 'split-sign' (then ")
    assert signs["key"].endswith("projections are unsupported, not 1)")


@pytest.mark.slow
def test_sparsification():
    """With many tokens an area is too sparse and a microcolumn too dense: fewer synapses there."""
    spec = replace(SPEC, tokens=200)
    circuit = lower(spec, random_weights(spec))
    found = suggest(audit(circuit), list(pass_alternatives(circuit)))
    (value,) = (
        m for m in found.measures if (m.subject, m.rule) == ("value", "connection_probability")
    )
    assert value.verdict is Verdict.CONTESTED
    assert value.suggestion == "--passes 'prune-small(budget=0.9)'"


def test_a_memory_needs_fewer_cells():
    spec = AttentionSpec(8, heads=2, kernel=Kernel.LINEAR, tokens=300)
    found = suggest(audit(lower(spec)), list(spec_alternatives(spec, None, [])))
    (area,) = (m for m in found.measures if m.rule == "neurons_per_area")
    assert area.verdict is Verdict.UNSUPPORTED
    assert area.suggestion == 'microcircuit = "memory"'
    memory = audit(lower(replace(spec, microcircuit=Microcircuit.MEMORY)))
    (area,) = (m for m in memory.measures if m.rule == "neurons_per_area")
    assert area.verdict is Verdict.SUPPORTED


def test_what_makes_something_else_worse_is_not_suggested():
    """An alternative that resolves one projection and spoils another."""
    good, bad = "core:relay > L4:stellate.basal", "core:relay > L4:stellate.apical"
    before = audit(joined(bad, "L4:stellate > L2/3:pyramidal_it.basal"))
    spoilt = audit(joined(good, "L4:stellate > L2/3:pyramidal_it.apical"))
    better = audit(joined(good, "L4:stellate > L2/3:pyramidal_it.basal"))
    assert before.verdicts["p0"] is not Verdict.SUPPORTED
    offered = {"spoil": spoilt, "mend": better}

    def tried(*names):
        return suggest(before, [Alternative(name, offered[name]) for name in names]).of("p0")[0]

    assert tried("spoil").suggestion is None
    assert tried("spoil", "mend").suggestion == "mend"
    assert tried().suggestion is None


def test_another_problem_as_grave_is_no_help():
    before = audit(joined("core:relay > L2/3:pyramidal_it.apical"))
    other = audit(joined("matrix:relay > L4:stellate.basal"))
    assert before.verdicts == other.verdicts == {"p0": Verdict.UNSUPPORTED}
    assert suggest(before, [Alternative("other", other)]).of("p0")[0].suggestion is None


def test_renaming_is_no_help():
    """A projection that is gone is no solution when others have come in its place."""
    circuit = joined("core:relay > L2/3:pyramidal_it.apical")
    renamed = tuple(replace(p, name="renamed") for p in circuit.projections)
    other = Alternative("rename", audit(replace(circuit, projections=renamed)))
    assert suggest(audit(circuit), [other]).of("p0")[0].suggestion is None


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, kernel=Kernel.LINEAR)])
def test_what_is_supported_needs_no_suggestion(spec):
    found = suggested(spec, random_weights(spec))
    warnings = (*found.findings, *found.measures)
    fine = [w.suggestion for w in warnings if w.verdict in (None, Verdict.SUPPORTED)]
    assert fine and set(fine) == {None}
