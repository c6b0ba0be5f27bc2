"""Circuits that a wrong pass would make: each is refuted."""

from __future__ import annotations

from dataclasses import replace

from cortico.ir import (
    Bound,
    CellClass,
    Circuit,
    Compartment,
    Gain,
    Population,
    Projection,
    Region,
)
from cortico.ir.rewrite import replace_projections
from cortico.lowering import lower
from cortico.spec import (
    Bias,
    Mask,
)
from tests.verify.edits import (
    Edit,
    both,
    cells,
    domains,
    drive,
    gain,
    synapses,
    without,
)
from tests.verify.negative_controls import (
    BIASED,
    CAUSAL,
    HALF,
    LATER,
    LINEAR,
    PADDED,
    RUNNING,
    SOFT,
    WINDOW,
    WrongCircuit,
)
from tests.verify.negative_sources import value_bias_behind


def _unequal_merged(circuit: Circuit) -> Circuit:
    """Keys and values relayed by the cells of queries, as if both relays were equal."""
    return replace(
        circuit,
        projections=tuple(
            replace(p, pre="matrix_query") if p.pre == "core_source" else p
            for p in circuit.projections
        ),
    )


def _relayed(
    name: str, axes: tuple[str, ...], domain: tuple[Bound, ...] = (), again: bool = False
) -> Edit:
    """The keys relayed by cells over `axes`; `again` leaves the drive where it was, too."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p for p in circuit.projections if p.name == name)
        compartment = circuit.population(old.post).compartment(old.compartment)
        basal = Compartment("basal", drive=compartment.drive)
        relay = Population(
            "relay_cells", axes, Region.L4, CellClass.STELLATE, (basal,), domain=domain
        )
        link = Projection("relayed", "relay_cells", old.post, old.compartment)
        new = replace(old, post="relay_cells", compartment="basal")
        circuit = replace_projections(circuit, [old], [new, link])
        if not again:
            circuit = drive(old.post, old.compartment)(circuit)
        return replace(circuit, populations=(*circuit.populations, relay))

    return edit


def _summed_before(circuit: Circuit) -> Circuit:
    """Scores summed over source tokens in front of the exponential: exp of a sum for a sum of exp."""
    early = Population(
        "early", ("h", "i"), Region.L23, CellClass.IT, (Compartment("basal"),), "exp"
    )
    circuit = replace(circuit, populations=(*circuit.populations, early))
    (score,) = (p for p in circuit.projections if p.name == "score")
    circuit = replace(
        circuit, projections=(*circuit.projections, replace(score, name="early", post="early"))
    )
    return synapses("pool_mask", pre="early")(circuit)


def _halves(first: float, second: float) -> Edit:
    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p for p in circuit.projections if p.name == "value")
        parts = [
            replace(old, name=f"value_{k}", weight=replace(old.weight, gain=Gain(g)))
            for k, g in enumerate((first, second))
        ]
        return replace_projections(circuit, [old], parts)

    return edit


def _memory_of_a_window(circuit: Circuit) -> Circuit:
    """The memory circuit of a causal spec, in the place of one with a window."""
    return lower(replace(RUNNING))


WRONG_PASSES: dict[str, WrongCircuit] = {
    name: WrongCircuit(spec, edit)
    for name, spec, edit in (
        ("a live neuron pruned", replace(SOFT, bias=BIASED), without("value")),
        ("live synapses of the query pruned", replace(SOFT, bias=BIASED), without("query")),
        ("an output bias pruned with its unused look", replace(LINEAR, bias=BIASED), drive("relay", "driver")),
        ("a gain dropped while folding", replace(SOFT, scale=0.7), gain("score")),
        ("a gain folded twice", replace(SOFT, scale=0.7), gain("score", 0.49)),
        ("unequal populations merged", SOFT, _unequal_merged),
        ("the memory of a window", replace(LINEAR, mask=Mask.WINDOW, window=2), _memory_of_a_window),
        ("the memory of a softmax", CAUSAL, _memory_of_a_window),
        ("a relay over too few axes", replace(LINEAR, bias=BIASED), _relayed("key", ("h", "i", "j", "a"), (LATER,))),
        ("a relay with its drive left behind", replace(LINEAR, bias=BIASED), _relayed("key", ("h", "j", "a"), again=True)),
        ("a relay of the wrong token", replace(LINEAR, bias=BIASED), _relayed("key", ("h", "i", "a"))),
        ("summed before the exponential", SOFT, _summed_before),
        ("split into parts that are more", SOFT, _halves(0.5, 0.6)),
        ("split into parts of one sign", SOFT, _halves(1.0, 1.0)),
        ("a domain restricted too far", SOFT, both(cells("deep", domain=(LATER,)))),
        ("a domain of synapses lost", replace(RUNNING, bias=BIASED), synapses("store", domain=())),
        ("value bias moved past padding", replace(PADDED, bias=Bias(value=True), mask=Mask.CAUSAL), value_bias_behind),
    )
}  # fmt: skip


#: Wrong where no numbers are drawn: no live token at all, sizes that differ, long windows.
NOT_FOUND: dict[str, WrongCircuit] = {
    "value bias moved past padding, all tokens padded": WrongCircuit(
        replace(PADDED, bias=Bias(value=True)), value_bias_behind
    ),
    "scaled by the tokens": WrongCircuit(replace(SOFT, tokens=4), gain("score", j=-HALF)),
    "a long window off by one": WrongCircuit(
        replace(WINDOW, window=9), domains(Bound("i", "j", 9), LATER)
    ),
}
