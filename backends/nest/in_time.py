"""NEST networks that run in time, of circuits whose cells are one rate neuron of NEST each."""

from __future__ import annotations

from cortico.backends.cells.backend import WriterInTime
from cortico.backends.nest import options as nest
from cortico.ir import Circuit, Effect, Population

_ONE = "a rate neuron of NEST that runs in time"


class InTime(WriterInTime[nest.Options]):
    """Writes the script of a network that runs in time."""

    name = "nest"
    summary = "a NEST script of a network that runs in time"
    title = "NEST"
    lacks = "which no rate neuron of NEST has"
    template_in_time = "cortico.backends.nest.template.in_time"
    exponentials = ("SMALLEST", "LARGEST")
    Options = nest.Options

    def arguments(self) -> dict[str, object]:
        return {name: getattr(self.options, name) for name in ("dt", "threads")}

    def unsupported(self, circuit: Circuit) -> list[str]:
        products = ", ".join(p.name for p in circuit.populations if not _is_sum(p))
        lines = [f"products and quotients, where {_ONE} sums: of {products}"] * bool(products)
        several = {p.transfer for p in circuit.populations} & {"sqrt", "silu"}
        lines += [f"{name}, which takes several units: {_ONE} is one" for name in sorted(several)]
        lines += [
            f"option {name}, which NEST networks that run in time do not have"
            for name in ("tau", "tolerance")
            if getattr(self.options, name) != getattr(nest.Options, name)
        ]
        return [*lines, *super().unsupported(circuit)]


def _is_sum(population: Population) -> bool:
    """Whether a cell has one compartment, which multiplies nothing and is not divided by."""
    return [c.effect for c in population.compartments] == [Effect.MULTIPLIES]
