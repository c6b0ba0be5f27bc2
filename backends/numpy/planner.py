"""The plan: which rates and currents become arrays, and which are only factors of later products.

A population with identity transfer is the product of its compartments, so it is never an array of
its own: whoever sums it contracts the product instead (a microcolumn per pair of tokens with d cells
each becomes one matrix product). Arrays are made where something is summed, biased or transferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cortico.backends.numpy.contraction import NOMINAL_SIZE, Contraction
from cortico.backends.numpy.program import Program, product_code, safe_names
from cortico.backends.numpy.terms import Product, Variable, indexed
from cortico.backends.softmax import ShiftGroup, shift_groups
from cortico.ir import (
    Bound,
    Circuit,
    Compartment,
    Effect,
    Gain,
    InputKind,
    Population,
    TensorRef,
    Weight,
)
from cortico.ir.tensors import Input
from cortico.ir.transfer import TRANSFERS

#: What a product without factors is.
_ONE = Variable("dtype(1)", (), batched=False)


def tensor_names(circuit: Circuit) -> dict[str, str]:
    """Names of inputs and parameters to the Python names they have in the emitted file."""
    return safe_names([t.name for t in circuit.inputs] + [p.name for p in circuit.parameters])


class Planner:
    """Turns a circuit (with one-letter axes) into a `Program`, from its outputs backwards."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.program = Program()
        self.sizes: dict[str, int] = {
            axis.name: NOMINAL_SIZE if isinstance(axis.extent, str) else axis.extent
            for axis in circuit.axes
        }
        self.groups = shift_groups(circuit)
        self.names = tensor_names(circuit)
        self.program.names.take(self.names.values())
        self._rates: dict[str, Product] = {}
        self._domains: dict[Bound, Variable] = {}
        self._silent: dict[str, list[TensorRef]] = {}

    def outputs(self) -> list[Variable]:
        """Plan every output; returns the variables that hold them, axes as the outputs ask."""
        return [self._output(output.source) for output in self.circuit.outputs]

    def _output(self, source: TensorRef) -> Variable:
        rate = self.rate(self.circuit.population(source.name))
        variable = self._contracted(source.name, rate, source.axes, frozenset())
        if variable.axes == source.axes:
            return variable
        blank = self._ones([axis for axis in source.axes if axis not in variable.axes])
        code = product_code([variable, *blank], source.axes)
        return self.program.assign(source.name, code, source.axes, variable.batched)

    # ---- rates -----------------------------------------------------------------------------------

    def rate(self, population: Population) -> Product:
        """The rate of a population as a product of variables; planned on first sight."""
        if population.name not in self._rates:
            group = self.groups.get(population.name)
            if group:
                self._plan_shifted(group)
            else:
                self._rates[population.name] = self._plan_rate(population)
        return self._rates[population.name]

    def _plan_rate(self, population: Population) -> Product:
        argument = self._argument(population)
        transfer = TRANSFERS[population.transfer]
        if transfer.is_identity:
            return argument
        self._describe(population)
        domain = frozenset(population.domain)
        drive = self._drive(population, argument)
        code = transfer.numpy.format(x=drive.code)
        bounds = [self._domain_variable(bound) for bound in sorted(domain)]
        axes = tuple(a for a in self.sizes if any(a in v.axes for v in (drive, *bounds)))
        if bounds:  # not a product with 0 and 1: outside, the transfer function may be infinite
            inside = " & ".join(indexed(bound, axes) for bound in bounds)
            value = transfer.numpy.format(x=indexed(drive, axes))
            code, drive = f"np.where({inside}, {value}, 0)", replace(drive, axes=axes)
        rate = self.program.assign(population.name, code, drive.axes, drive.batched)
        return Product(factors=(replace(rate, zero_outside=domain),))

    def _drive(self, population: Population, argument: Product) -> Variable:
        """What a transfer function is applied to: zero outside the bounds of single synapses.

        The population's own domain is left to the caller: there the rate is zero, not the argument.
        """
        inner = replace(argument, bounds=argument.bounds - frozenset(population.domain))
        return self._elementwise(f"{population.name}_drive", inner, population.axes)

    def _argument(self, population: Population) -> Product:
        """Π multiplying / Π dividing compartments, inside the population's domain."""
        argument = Product(bounds=frozenset(population.domain))
        for compartment in population.compartments:
            if compartment.effect is Effect.MULTIPLIES:
                argument = argument.times(self.current(population, compartment))
        for compartment in population.compartments:
            if compartment.effect is Effect.DIVIDES:
                current = self.current(population, compartment)
                name = f"{population.name}_{compartment.name}"
                whole = current.single or self._elementwise(name, current, population.axes)
                argument = argument.times(Product(divisors=(whole,)))
        return argument.simplified()

    # ---- softmax -----------------------------------------------------------------------------------

    def _plan_shifted(self, group: ShiftGroup) -> None:
        """Exponentials of one softmax: shifted by their largest exponent, which cancels later."""
        members = [self.circuit.population(name) for name in group.members]
        exponents = [self._exponent(member) for member in members]
        self.program.comment(
            f"softmax over {group.pool}: subtract the largest exponent, which cancels"
        )
        onto = tuple(a for a in group.axes if any(a in exponent.axes for exponent in exponents))
        peaks = [self._peak(exponent, onto) for exponent in exponents]
        batched = any(exponent.batched for exponent in exponents)
        code = peaks[0]
        for other in peaks[1:]:
            code = f"np.maximum({code}, {other})"
        peak = self.program.assign("peak", self.program.call("finite", code), onto, batched)
        for member, exponent in zip(members, exponents, strict=True):
            self._describe(member)
            axes = tuple(a for a in self.sizes if a in exponent.axes or a in onto)
            code = f"np.exp({indexed(exponent, axes)} - {indexed(peak, axes)})"
            rate = self.program.assign(member.name, code, axes, batched)
            zero = frozenset(member.domain) | frozenset(
                g.gate for g in self._gates(member) if g.gate
            )
            rate = Variable(rate.code, axes, batched, zero_outside=zero)
            self._rates[member.name] = Product(
                factors=(rate,), bounds=frozenset(member.domain)
            ).simplified()

    def _exponent(self, member: Population) -> Variable:
        """The exponent of a member, -inf where the cell does not exist or is gated off."""
        argument = self._argument(member)
        exponent = self._drive(member, argument)
        live = [self._domain_variable(bound) for bound in sorted(member.domain)]
        live += [replace(gate, code=f"({gate.code} > 0)") for gate in self._gates(member)]
        if live:
            axes = tuple(
                a for a in member.axes if a in exponent.axes or any(a in v.axes for v in live)
            )
            condition = " & ".join(indexed(variable, axes) for variable in live)
            batched = exponent.batched or any(variable.batched for variable in live)
            code = f"np.where({condition}, {indexed(exponent, axes)}, -np.inf)"
            exponent = self.program.assign(f"{member.name}_exponent", code, axes, batched)
        return exponent

    def _peak(self, exponent: Variable, onto: tuple[str, ...]) -> str:
        reduced = tuple(
            k - len(exponent.axes) for k, a in enumerate(exponent.axes) if a not in onto
        )
        kept = tuple(axis for axis in exponent.axes if axis in onto)
        code = (
            f"{exponent.code}.max(axis={reduced[0] if len(reduced) == 1 else reduced})"
            if reduced
            else exponent.code
        )
        return indexed(Variable(code, kept, exponent.batched), onto)

    def _gates(self, member: Population) -> list[Variable]:
        """0/1 inputs that silence every population that hears `member`, where they are 0."""
        heard: list[list[TensorRef]] = []
        for projection in self.circuit.projections_from(member.name):
            post = self.circuit.population(projection.post)
            others = [c for c in post.compartments if c.name != projection.compartment]
            heard.append([ref for c in others for ref in self._silencers(post, c)])
        gates = [ref for ref in _in_all(heard) if set(ref.axes) <= set(member.axes)]
        return [factor for ref in gates for factor in self._tensor(Weight(ref)).factors]

    def _silencers(self, population: Population, compartment: Compartment) -> list[TensorRef]:
        """0/1 inputs over axes of the population where the compartment multiplies with 0.

        Read off the synapses, not off rates: those of a gradient circuit wait for `member` itself.
        """
        if compartment.effect is Effect.DIVIDES:
            return []
        synapses = self.circuit.projections_onto(population.name, compartment.name)
        heard = [self._silenced_by(self.circuit.population(p.pre)) for p in synapses]
        heard += [self._gate_of(weight) for weight in compartment.drive]
        return [ref for ref in _in_all(heard) if set(ref.axes) <= set(population.axes)]

    def _silenced_by(self, population: Population) -> list[TensorRef]:
        """0/1 inputs that silence a population where they are 0."""
        if population.name not in self._silent:
            parts = population.compartments if population.transfer == "identity" else ()
            found = [ref for part in parts for ref in self._silencers(population, part)]
            self._silent[population.name] = list(dict.fromkeys(found))
        return self._silent[population.name]

    def _gate_of(self, drive: Weight) -> list[TensorRef]:
        """The 0/1 input that drives a compartment, if it is one."""
        tensor = self.circuit.tensor(drive.tensor.name) if drive.tensor else None
        is_gate = isinstance(tensor, Input) and tensor.kind is InputKind.MASK
        return [drive.tensor] if drive.tensor and is_gate else []

    # ---- currents ----------------------------------------------------------------------------------

    def current(self, population: Population, compartment: Compartment) -> Product:
        """The summed input of a compartment: a product where one will do, else one new array."""
        terms = [self._tensor(weight) for weight in compartment.drive]
        synapses = self.circuit.projections_onto(population.name, compartment.name)
        for projection in synapses:
            rate = self.rate(self.circuit.population(projection.pre))
            rate = rate.times(self._tensor(projection.weight)).inside(frozenset(projection.domain))
            lost = set(self.circuit.population(projection.pre).axes) - set(population.axes)
            unseen = self._ones(sorted(lost - rate.axes))
            terms.append(rate.times(Product(factors=tuple(unseen))))
        if len(terms) == 1 and terms[0].axes <= set(population.axes):
            return terms[0]
        name = synapses[0].name if len(synapses) == 1 else f"{population.name}_{compartment.name}"
        self._describe(population, compartment)
        return self._sum(name, terms, population)

    def _sum(self, name: str, terms: list[Product], population: Population) -> Product:
        """One array that holds Σ terms, over the axes that some term depends on."""
        known = frozenset(population.domain)
        if len(terms) == 1:
            return Product(factors=(self._contracted(name, terms[0], population.axes, known),))
        parts = [self._contracted(f"{name}_part", t, population.axes, known) for t in terms]
        axes = tuple(a for a in population.axes if any(a in part.axes for part in parts))
        code = " + ".join(indexed(part, axes) for part in parts)
        return Product(
            factors=(self.program.assign(name, code, axes, any(p.batched for p in parts)),)
        )

    def _contracted(
        self, name: str, term: Product, onto: tuple[str, ...], known: frozenset[Bound]
    ) -> Variable:
        """`term` as one array: summed over the axes not in `onto`, with its gain."""
        term = term.simplified(known)
        masks = tuple(self._domain_variable(bound) for bound in sorted(term.bounds))
        factors = Product(factors=term.factors + masks or (_ONE,), divisors=term.divisors)
        gain = "" if term.gain.is_one else self._gain_code(term.gain)
        return Contraction(self.program, factors, onto, self.sizes).result(name, gain)

    def _elementwise(self, name: str, product: Product, onto: tuple[str, ...]) -> Variable:
        """`product` as one array, zero outside its bounds; nothing is summed."""
        if product.single and not product.bounds:
            return product.single
        return self._contracted(name, product, onto, frozenset())

    # ---- leaves --------------------------------------------------------------------------------------

    def _tensor(self, weight: Weight) -> Product:
        """A weight as a product: its gain and, if it has one, its tensor."""
        if weight.tensor is None:
            return Product(gain=weight.gain)
        tensor = self.circuit.tensor(weight.tensor.name)
        is_input = isinstance(tensor, Input)
        gate = tensor.name if isinstance(tensor, Input) and tensor.kind is InputKind.MASK else None
        variable = Variable(self.names[tensor.name], weight.tensor.axes, is_input, gate)
        return Product(gain=weight.gain, factors=(variable,))

    def _domain_variable(self, bound: Bound) -> Variable:
        """The boolean array of a bound over its two axes."""
        if bound not in self._domains:
            pair = (bound.left, bound.right)
            left, right = (f"np.arange({self.size_code(axis)})" for axis in pair)
            code = f"np.subtract.outer({left}, {right}) <= {bound.offset}"
            self._domains[bound] = self.program.assign("inside", code, pair, False)
        return self._domains[bound]

    def _ones(self, axes: Iterable[str]) -> list[Variable]:
        """Arrays of ones, for axes that are summed or shown though nothing depends on them."""
        return [
            self.program.assign("ones", f"np.ones({self.size_code(axis)}, dtype)", (axis,), False)
            for axis in axes
        ]

    def size_code(self, axis: str) -> str:
        """Code for the size of an axis: a number, or the entry of its symbol."""
        extent = self.circuit.axis(axis).extent
        return str(extent) if isinstance(extent, int) else f'sizes["{extent}"]'

    def _gain_code(self, gain: Gain) -> str:
        """Code for a gain: one number, times powers of sizes that are known only when it runs."""
        fixed = [(a, p) for a, p in gain.sizes if isinstance(self.circuit.axis(a).extent, int)]
        number = Gain(gain.coefficient, tuple(fixed)).value(self.sizes)
        powers = [
            f"{self.size_code(a)} ** {float(p)}" for a, p in gain.sizes if (a, p) not in fixed
        ]
        return " * ".join([*([] if number == 1.0 and powers else [repr(number)]), *powers])

    # ---- comments ------------------------------------------------------------------------------------

    def _describe(self, population: Population, compartment: Compartment | None = None) -> None:
        cells = f"{population.region} {population.cell_class} {population.name}[{', '.join(population.axes)}]"
        if compartment is None:
            self.program.comment(f"{cells}: {population.transfer}")
            return
        terms = [str(weight) for weight in compartment.drive]
        for projection in self.circuit.projections_onto(population.name, compartment.name):
            pre = self.circuit.population(projection.pre)
            summed = [axis for axis in pre.axes if axis not in population.axes]
            sigma = f"Σ_{','.join(summed)} " if summed else ""
            weight = "" if projection.weight == Weight() else f"{projection.weight} * "
            terms.append(f"{sigma}{weight}{pre.name}[{', '.join(pre.axes)}]")
        self.program.comment(f"{cells}, {compartment.name} = {' + '.join(terms)}")


def _in_all(lists: list[list[TensorRef]]) -> list[TensorRef]:
    """What all lists hold, in the order of the first."""
    first, *others = lists or [[]]
    return [ref for ref in first if all(ref in other for other in others)]
