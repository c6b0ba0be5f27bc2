"""Circuits to draw: of every kind, from 3 populations to more than 30, with names of any length."""

from dataclasses import replace
from functools import cache

from cortico import compile_attention, lower
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.circuit import Circuit
from cortico.learning import differentiate
from tests.cases import CASES

CASE = {case.name: case for case in CASES}

#: Case and how it is changed: passes, learning, long names.
DRAWN = (
    "bert",
    "gpt2",
    "one_head",
    "linear-mask_none",
    "everything",
    "cross_grouped_table",
    "all_core",
    "memory_causal",
    "memory_llama",
    "bert default",
    "everything default",
    "memory_llama default",
    "linear-mask_causal aggressive",
    "bert learning",
    "memory_llama learning",
    "everything default learning",
    "bert long",
    "all cells",
    "three",
)


@cache
def drawn(name: str) -> Circuit:
    if name in _OWN:
        return _OWN[name]()
    base, *changes = name.split()
    case = CASE[base]
    pipeline = next((c for c in changes if c in ("default", "aggressive")), None)
    if pipeline:
        circuit = compile_attention(case.spec, case.weights, passes=pipeline).circuit
    else:
        circuit = lower(case.spec, case.weights)
    if "learning" in changes:
        circuit = differentiate(circuit).circuit
    return with_long_names(circuit) if "long" in changes else circuit


def with_long_names(circuit: Circuit) -> Circuit:
    """Every population has a name of 60 characters."""
    names = {p.name: f"{p.name}_{'x' * 60}"[:60] for p in circuit.populations}
    return replace(
        circuit,
        name="a title that is much longer than any picture is wide " * 5,
        populations=tuple(replace(p, name=names[p.name]) for p in circuit.populations),
        projections=tuple(
            replace(p, pre=names[p.pre], post=names[p.post]) for p in circuit.projections
        ),
        outputs=tuple(
            replace(o, source=TensorRef(names[o.source.name], o.source.axes))
            for o in circuit.outputs
        ),
    )


def without(circuit: Circuit, projection: str) -> Circuit:
    """The circuit without one pathway, valid or not."""
    return replace(
        circuit, projections=tuple(p for p in circuit.projections if p.name != projection)
    )


def three_populations() -> Circuit:
    b = CircuitBuilder("three")
    b.axis("i", Role.COLUMN, "n")
    b.axis("m", Role.MODEL, 3)
    b.input("x", ("n", 3))
    drive = (Weight(TensorRef("x", ("i", "m"))),)
    relay = b.population(
        "in_", ("i", "m"), Region.CORE, CellClass.RELAY, [Compartment("driver", drive=drive)]
    )
    deep = b.population("deep", ("i", "m"), Region.L5, CellClass.PT, [Compartment("basal")])
    out = b.population(
        "out", ("i", "m"), Region.HIGHER_ORDER, CellClass.RELAY, [Compartment("driver")]
    )
    b.project("up", relay, deep, "basal")
    b.project("down", deep, out, "driver")
    b.output("y", out, ("i", "m"))
    return b.build()


def all_cells() -> Circuit:
    """Every cell class in every layer that has it, inhibition of every kind, five compartments."""
    b = CircuitBuilder("all cells")
    b.axis("h", Role.AREA, 20)
    b.axis("i", Role.COLUMN, "n")
    b.axis("m", Role.MODEL, 3)
    b.input("x", ("n", 3))
    drive = (Weight(TensorRef("x", ("i", "m"))),)
    source = b.population(
        "core", ("i", "m"), Region.CORE, CellClass.RELAY, [Compartment("driver", drive=drive)]
    )
    names = ("basal", "apical", "tuft", "soma", "oblique")
    many = [Compartment(name) for name in names]
    many += [Compartment("shunt", Effect.DIVIDES), Compartment("veto", Effect.DIVIDES)]
    target = b.population("many", ("h", "i"), Region.L5, CellClass.PT, many)
    for name in (*names, "shunt", "veto"):
        b.project(f"onto_{name}", source, target, name)
    places = (
        (Region.L1, CellClass.VIP),
        (Region.L23, CellClass.SST),
        (Region.L4, CellClass.STELLATE),
        (Region.L5, CellClass.PV),
        (Region.L6, CellClass.CT),
        (Region.RETICULAR, CellClass.RETICULAR),
    )
    for region, cell_class in places:
        name = f"{cell_class.value}_cells"
        b.population(name, ("h", "i"), region, cell_class, [Compartment("soma")])
        b.project(f"to_{name}", target, name, "soma")
    relay = b.population(
        "relay",
        ("i", "m"),
        Region.HIGHER_ORDER,
        CellClass.RELAY,
        [Compartment("driver"), Compartment("gate", Effect.DIVIDES)],
    )
    b.project("out", "pyramidal_ct_cells", relay, "driver")
    b.project("gating", "reticular_cells", relay, "gate")
    b.output("y", relay, ("i", "m"))
    return b.build()


_OWN = {"three": three_populations, "all cells": all_cells}
