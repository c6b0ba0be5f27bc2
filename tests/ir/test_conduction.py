"""Conduction delays: every pathway has one, and a number without a DOI says so."""

from dataclasses import replace

import pytest

from cortico import AttentionSpec, CircuitError, lower, lower_model
from cortico.ir import CellClass, Delay, Region
from cortico.ir.conduction import Pathway, conduction_delays, delays_from_table, pathway_of
from cortico.passes import parse_passes, run_passes
from cortico.spec import Kernel, Mask
from tests.in_time.circuits import trn_loop
from tests.test_public_functions import MODEL

TABLE = conduction_delays()


@pytest.mark.parametrize("pathway", Pathway)
def test_every_class_has_a_delay_with_a_source_or_as_a_placeholder(pathway):
    found = TABLE[pathway]
    assert 0 < found.value < 50 and found.unit == "ms" and found.checked and found.reference
    assert round(found.value / 0.1, 9) == round(found.value / 0.1)  # steps of the usual clock
    assert found.source.startswith("placeholder") == (found.doi == "")
    assert found.is_placeholder or (found.doi.startswith("10.") and found.reported)


def test_published_numbers_are_as_reported():
    """Briggs & Usrey 2007: 11.1 ± 2.3 ms; Potjans & Diesmann 2014: 1.5 and 0.75 ms."""
    for pathway in ("corticothalamic", "thalamoreticular", "local_excitatory", "local_inhibitory"):
        found = TABLE[Pathway(pathway)]
        assert abs(found.value - float(found.reported.split()[0])) <= 0.1
    placeholders = {p for p in Pathway if TABLE[p].is_placeholder}
    assert placeholders == {
        Pathway.THALAMOCORTICAL, Pathway.CORTICOTHALAMIC_L5, Pathway.CORTICORETICULAR,
        Pathway.RETICULOTHALAMIC, Pathway.WITHIN_THALAMUS, Pathway.BETWEEN_AREAS,
    }  # fmt: skip


def placed(pre, post):
    """The pathway of `down` where it leads from one kind of cells to another."""
    circuit = trn_loop()
    core, trn = circuit.populations
    ends = zip((core, trn), (pre, post), strict=True)
    moved = (replace(p, region=home[0], cell_class=home[1]) for p, home in ends)
    circuit = replace(circuit, populations=tuple(moved))
    return pathway_of(circuit, circuit.projections[0])


CORE, L6 = (Region.CORE, CellClass.RELAY), (Region.L6, CellClass.CT)
TRN, L5 = (Region.RETICULAR, CellClass.RETICULAR), (Region.L5, CellClass.PT)
HIGHER, PV = (Region.HIGHER_ORDER, CellClass.RELAY), (Region.L4, CellClass.PV)


@pytest.mark.parametrize(("pre", "post", "pathway"), [
    (CORE, L6, "thalamocortical"), (HIGHER, PV, "thalamocortical"),
    (L6, CORE, "corticothalamic"), (L5, HIGHER, "corticothalamic_l5"),
    (CORE, TRN, "thalamoreticular"), (L6, TRN, "corticoreticular"),
    (TRN, CORE, "reticulothalamic"), (TRN, TRN, "within_thalamus"), (CORE, HIGHER, "within_thalamus"),
    (L6, L5, "local_excitatory"), (PV, L6, "local_inhibitory"),
])  # fmt: skip
def test_classes_go_by_where_a_pathway_begins_and_ends(pre, post, pathway):
    assert placed(pre, post) == pathway


def test_all_projections_get_the_delay_of_their_class():
    timed = delays_from_table(trn_loop(Delay(7.0)))
    assert [p.delay for p in timed.projections] == [Delay(0.6), Delay(7.0)]
    circuit = lower(AttentionSpec(4, 2))
    found = {p.name: p.delay.amount for p in delays_from_table(circuit).projections}
    assert found["key"] == 0.8 and found["score"] == 1.5 and found["shunt"] == 0.8
    assert set(found) == {p.name for p in circuit.projections}


def test_blocks_and_areas_lie_apart():
    flat = lower_model(MODEL).flatten()
    far = [p for p in flat.projections if pathway_of(flat, p) is Pathway.BETWEEN_AREAS]
    for projection in far:
        ends = flat.population(projection.pre), flat.population(projection.post)
        assert all(end.region.in_cortex for end in ends)
    across = [
        p for p in flat.projections
        if flat.population(p.pre).path != flat.population(p.post).path
        and flat.population(p.pre).region.in_cortex and flat.population(p.post).region.in_cortex
    ]  # fmt: skip
    assert set(across) <= set(far)
    circuit = lower(AttentionSpec(4, 2))
    mask = next(p for p in circuit.projections if p.pre == "mask" and p.post == "pool")
    pool = circuit.population("pool")
    shared = replace(
        circuit,
        populations=tuple(replace(p, axes=("i",)) if p == pool else p for p in circuit.populations),
    )
    assert pathway_of(circuit, mask) is Pathway.LOCAL_EXCITATORY
    assert pathway_of(shared, mask) is Pathway.BETWEEN_AREAS


def test_tokens_one_after_another_have_no_delays():
    spec = AttentionSpec(4, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)
    serial, _ = run_passes(lower(spec), parse_passes("serialize"))
    with pytest.raises(
        CircuitError, match="unfold in time, where cells neither integrate nor hear"
    ):
        delays_from_table(serial)
