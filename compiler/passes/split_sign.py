"""split-sign: signed rates as ON and OFF cells, signed weights as excitation and inhibition."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import (
    CellClass,
    Circuit,
    Compartment,
    Effect,
    Gain,
    Parameter,
    Population,
    Projection,
    Region,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.dependence import own_axes
from cortico.ir.analysis.signs import Signs
from cortico.ir.circuit import Output
from cortico.ir.counts import Count
from cortico.ir.domain import restrict
from cortico.ir.rewrite import fresh, names_in, without_unused_tensors
from cortico.passes.base import Pass


@dataclass(frozen=True)
class SplitSign(Pass):
    """Rates that are never negative, and synapses of one sign per cell class (Dale's principle).

        r = I             ->   on = relu(I), off = relu(-I),   r = on - off
        r = I I' / D      ->   r = (on on' + off off' - on off' - off on') / D
        I = Σ W r         ->   I = Σ W⁺ on + Σ W⁻ off - Σ W⁻ on - Σ W⁺ off,   W⁺ = max(W, 0), W⁻ = max(-W, 0)

    What is subtracted comes by way of interneurons, one for each cell they follow: PV cells in
    cortex, reticular cells in the thalamus (our assumption). Whatever divides comes from PV cells
    too, with a positive weight: shunting. Drives (inputs, biases) are currents, not synapses, and
    keep their sign. The one place with a signed rate is the readout: a population that the circuit
    outputs keeps its name, and hears ON minus OFF.

    Nothing is done where synapses have no numbers (symbolic parameters, formulas over symbolic
    sizes), where a divisor may be negative, for `tanh`, for transfer functions of signed products,
    and where inhibitory cells are signed or multiply. The circuit grows: never on by default.
    """

    name = "split-sign"

    def run(self, circuit: Circuit) -> Circuit:
        signs = Signs(circuit)
        if signs.conforms or not signs.splittable:
            return circuit
        return without_unused_tensors(_Splitter(circuit, signs).circuit())

    def cost(self, circuit: Circuit) -> Count:
        return 0  # it buys plausibility with neurons, so there is nothing that it makes smaller


#: The populations that carry a rate, each with the sign in which it counts.
_Carriers = list[tuple[str, int]]


class _Splitter:
    def __init__(self, circuit: Circuit, signs: Signs) -> None:
        self.old, self.signs = circuit, signs
        self.populations: dict[str, Population] = {}
        self.projections: dict[str, Projection] = {}
        self.parameters = {p.name: p for p in circuit.parameters}
        self.carriers: dict[str, _Carriers] = {}
        self.interneurons: dict[tuple[str, Region], str] = {}
        self.halves: dict[tuple[str, int], str] = {}
        self.taken = names_in(circuit)

    def circuit(self) -> Circuit:
        for population in self.old.order:
            self.split(population)
        return replace(
            self.old,
            parameters=tuple(self.parameters.values()),
            populations=tuple(self.populations.values()),
            projections=tuple(self.projections.values()),
        )

    def fresh(self, name: str) -> str:
        found = fresh(name, self.taken)
        self.taken.add(found)
        return found

    # ---- populations -----------------------------------------------------------------------------

    def split(self, p: Population) -> None:
        """Add the cells that carry the rate of `p`, and its readout when the circuit outputs it."""
        outputs: list[Output] = [o for o in self.old.outputs if o.source.name == p.name]
        factors = [c for c in p.compartments if c.effect is Effect.MULTIPLIES]
        if p.name in self.signs.positive:
            self.carriers[p.name] = [(self.cells(p, p.name, p.transfer, 1), 1)]
        elif len(factors) == 1:
            signs = (1, -1) if self.old.projections_from(p.name) else ()
            self.carriers[p.name] = [
                (self.cells(p, self.fresh(f"{p.name}_{_word(s)}"), "relu", s), s) for s in signs
            ]
            if outputs:
                self.cells(p, p.name, "identity", 1)
        else:
            self.carriers[p.name] = self.products(p, factors)
            if outputs:
                self.readout(p)

    def cells(self, p: Population, name: str, transfer: str, sign: int) -> str:
        """A population like `p` that takes its multiplying current with a sign."""
        parts = []
        for c in p.compartments:
            own = sign if c.effect is Effect.MULTIPLIES else 1
            parts.append(replace(c, drive=tuple(_signed(w, own) for w in c.drive)))
        self.populations[name] = replace(p, name=name, transfer=transfer, compartments=tuple(parts))
        for c in p.compartments:
            for synapse in self.old.projections_onto(p.name, c.name):
                own = sign if c.effect is Effect.MULTIPLIES else 1
                self.hear(synapse, name, c.name, own)
        return name

    def products(self, p: Population, factors: list[Compartment]) -> _Carriers:
        """One population for each combination of signs of the factors."""
        carried = {c.name: self.factor(p, c) for c in factors}
        dividing = [c for c in p.compartments if c.effect is Effect.DIVIDES]
        choices = [sorted({sign for _, sign in carried[c.name]}, reverse=True) for c in factors]
        found: _Carriers = []
        for signs in itertools.product(*choices):
            name = self.fresh("_".join([p.name, *map(_word, signs)]))
            parts = [Compartment(c.name) for c in factors]
            bare = replace(p, name=name, compartments=(*parts, *dividing))
            self.populations[name] = bare
            for c, sign in zip(factors, signs, strict=True):
                for weight, pre in self.links(p, c, carried[c.name], sign):
                    self.connect(Projection(name, pre, name, c.name, weight))
            for c in dividing:
                for synapse in self.old.projections_onto(p.name, c.name):
                    self.hear(synapse, name, c.name, 1)
            found.append((name, int(np.prod(signs))))
        return found

    def factor(self, p: Population, c: Compartment) -> _Carriers:
        """The cells that carry the current of one compartment: its source itself if it only relays."""
        heard = self.old.projections_onto(p.name, c.name)
        if self.only_relays(p, c):
            return self.carriers[heard[0].pre]
        varying = own_axes(self.old, p, c)
        axes = tuple(axis for axis in p.axes if axis in varying)
        parts = (replace(c, name="basal"),)
        stem = f"{p.name}_{c.name}"
        like = replace(p, axes=axes, compartments=parts, domain=restrict(p.domain, axes))
        signs = (1,) if self.signs.current_is_positive(p, c) else (1, -1)
        found: _Carriers = []
        for sign in signs:
            name = self.fresh(f"{stem}_{_word(sign)}")
            drive = tuple(_signed(w, sign) for w in c.drive)
            cells = (replace(parts[0], drive=drive),)
            self.populations[name] = replace(like, name=name, compartments=cells, transfer="relu")
            for synapse in heard:
                self.hear(synapse, name, "basal", sign)
            found.append((name, sign))
        return found

    def only_relays(self, p: Population, c: Compartment) -> bool:
        """Whether a compartment hears one population, one to one or diverging, and nothing else."""
        heard = self.old.projections_onto(p.name, c.name)
        if c.drive or len(heard) != 1:
            return False
        (synapse,) = heard
        positive = synapse.weight.tensor is None and synapse.weight.gain.coefficient > 0
        inner = set(self.old.population(synapse.pre).axes) <= set(p.axes)
        return positive and inner and not (synapse.domain or synapse.at)

    def links(
        self, p: Population, c: Compartment, carriers: _Carriers, sign: int
    ) -> Iterator[tuple[Weight, str]]:
        relayed = self.only_relays(p, c)
        weight = self.old.projections_onto(p.name, c.name)[0].weight if relayed else Weight()
        yield from ((weight, name) for name, own in carriers if own == sign)

    def readout(self, p: Population) -> None:
        """The signed rate of a product, for the outside."""
        self.populations[p.name] = replace(p, compartments=(Compartment("basal"),))
        link = Projection(f"{p.name}_readout", p.name, p.name, "basal")
        self.hear(link, p.name, "basal", 1)

    # ---- synapses --------------------------------------------------------------------------------

    def hear(self, synapse: Projection, post: str, compartment: str, sign: int) -> None:
        """Synapses of one sign each that together bring `sign` times what `synapse` brings."""
        parts = list(self.parts(synapse.weight))
        for carrier, own in self.carriers[synapse.pre]:
            for weight, inner in parts:
                total = sign * own * inner
                self.synapses(
                    replace(synapse, pre=carrier, weight=weight), post, compartment, total
                )

    def synapses(self, like: Projection, post: str, compartment: str, sign: int) -> None:
        target = self.populations[post]
        divides = target.compartment(compartment).effect is Effect.DIVIDES
        pre = like.pre
        if (sign < 0 or divides) and not self.populations[pre].cell_class.inhibitory:
            pre = self.interneuron(pre, target.region)
        signed = _signed(like.weight, sign)
        self.connect(replace(like, pre=pre, post=post, compartment=compartment, weight=signed))

    def connect(self, projection: Projection) -> None:
        name = self.fresh(f"{projection.pre}_to_{projection.post}")
        self.projections[name] = replace(projection, name=name)

    def interneuron(self, pre: str, region: Region) -> str:
        """Cells that follow those of `pre` one to one, and inhibit in `region`."""
        home = region if region.in_cortex else Region.RETICULAR
        if (pre, home) not in self.interneurons:
            kind = CellClass.PV if region.in_cortex else CellClass.RETICULAR
            name = self.fresh(f"{pre}_{kind}")
            source = self.populations[pre]
            soma = (Compartment("soma"),)
            self.populations[name] = Population(
                name, source.axes, home, kind, soma, "identity", source.domain
            )
            self.connect(Projection(name, pre, name, "soma"))
            self.interneurons[pre, home] = name
        return self.interneurons[pre, home]

    def parts(self, weight: Weight) -> Iterator[tuple[Weight, int]]:
        """The positive and the negative part of a weight, each without its sign."""
        outer = 1 if weight.gain.coefficient >= 0 else -1
        size = Gain(abs(weight.gain.coefficient), weight.gain.sizes)
        if weight.tensor is None:
            yield Weight(None, size), outer
            return
        values = self.signs.values[weight.tensor.name]
        assert values is not None
        for sign in sorted(self.signs.signs_of(Weight(weight.tensor)), reverse=True):
            name = self.part(weight.tensor.name, values, sign)
            yield Weight(TensorRef(name, weight.tensor.axes), size), outer * sign

    def part(self, tensor: str, values: np.ndarray, sign: int) -> str:
        if sign > 0 and not (values < 0).any():
            return tensor
        if (tensor, sign) not in self.halves:
            name = self.fresh(f"{tensor}_{'plus' if sign > 0 else 'minus'}")
            self.parameters[name] = Parameter(name, values.shape, np.maximum(sign * values, 0))
            self.halves[tensor, sign] = name
        return self.halves[tensor, sign]


def _word(sign: int) -> str:
    return "on" if sign > 0 else "off"


def _signed(weight: Weight, sign: int) -> Weight:
    return weight if sign > 0 else replace(weight, gain=Gain(-1.0) * weight.gain)
