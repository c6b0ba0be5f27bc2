"""A circuit under other names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from cortico.ir import (
    Circuit,
    Compartment,
    Formula,
    Input,
    Output,
    Parameter,
    Population,
    TensorRef,
    Weight,
)
from cortico.ir.domain import rename


def renamed(
    rng: random.Random, circuit: Circuit, pool: Sequence[str], share: float, but: Sequence[str] = ()
) -> Circuit:
    """The circuit with a `share` of its names drawn from `pool`, `but` for those of "axes" or "compartments"."""

    def chosen(names: Sequence[str], kind: str = "") -> dict[str, str]:
        found: dict[str, str] = {name: name for name in names}
        for name in () if kind in but else names:
            new = rng.choice(pool)
            if rng.random() < share and new not in found and new not in found.values():
                found[name] = new
        return found

    axis = chosen([a.name for a in circuit.axes], "axes")
    tensors = chosen([t.name for t in circuit.inputs + circuit.parameters])
    cells = chosen([p.name for p in circuit.populations])
    synapses = chosen([p.name for p in circuit.projections])
    outputs = chosen([o.name for o in circuit.outputs])
    parts = {
        p.name: chosen([c.name for c in p.compartments], "compartments")
        for p in circuit.populations
    }
    symbols = chosen(circuit.symbols)

    def side(extent: int | str) -> int | str:
        return symbols.get(extent, extent) if isinstance(extent, str) else extent

    def weight(old: Weight) -> Weight:
        gain = replace(old.gain, sizes=tuple((axis[a], power) for a, power in old.gain.sizes))
        ref = old.tensor
        read = ref and TensorRef(tensors[ref.name], tuple(axis[a] for a in ref.axes))
        return Weight(read, gain)

    def population(p: Population) -> Population:
        compartments = [
            Compartment(parts[p.name][c.name], c.effect, tuple(map(weight, c.drive)))
            for c in p.compartments
        ]
        return replace(
            p,
            name=cells[p.name],
            axes=tuple(axis[a] for a in p.axes),
            domain=rename(p.domain, axis),
            compartments=tuple(compartments),
        )

    def formula(old: Formula | None) -> Formula | None:
        return old and replace(old, arguments=tuple(tensors[a] for a in old.arguments))

    def shaped(t: Input | Parameter) -> Input | Parameter:
        return replace(t, name=tensors[t.name], shape=tuple(map(side, t.shape)))

    return replace(
        circuit,
        axes=tuple(replace(a, name=axis[a.name], extent=side(a.extent)) for a in circuit.axes),
        inputs=tuple(map(shaped, circuit.inputs)),
        parameters=tuple(
            replace(shaped(p), formula=formula(p.formula)) for p in circuit.parameters
        ),
        populations=tuple(map(population, circuit.populations)),
        projections=tuple(
            replace(
                p,
                name=synapses[p.name],
                pre=cells[p.pre],
                post=cells[p.post],
                compartment=parts[p.post][p.compartment],
                weight=weight(p.weight),
                domain=rename(p.domain, axis),
                at=tuple(axis[a] for a in p.at),
            )
            for p in circuit.projections
        ),
        outputs=tuple(
            Output(
                outputs[o.name],
                TensorRef(cells[o.source.name], tuple(axis[a] for a in o.source.axes)),
            )
            for o in circuit.outputs
        ),
    )
