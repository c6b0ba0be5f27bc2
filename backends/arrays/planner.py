"""The plan: which rates and currents become arrays, and which are only factors of later products.

A population with identity transfer is the product of its compartments, so it is never an array of
its own: whoever sums it contracts the product instead (a microcolumn per pair of tokens with d cells
each becomes one matrix product). Arrays are made where something is summed, biased or transferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cortico.backends.arrays.chains import milestones
from cortico.backends.arrays.contraction import NOMINAL_SIZE, Contraction
from cortico.backends.arrays.operations import (
    Add,
    Distance,
    Gather,
    Inside,
    Multiply,
    OneHot,
    Ones,
    Peak,
    Raised,
    Reorder,
    Reread,
    Select,
    ShiftedExponential,
    Transfer,
)
from cortico.backends.arrays.past import sum_over_past
from cortico.backends.arrays.program import Program
from cortico.backends.arrays.variables import Product, Variable, axes_of, in_order
from cortico.backends.names import MarkedNames, plain
from cortico.ir import (
    Bound,
    Circuit,
    Compartment,
    Effect,
    Formula,
    Gain,
    InputKind,
    Population,
    Projection,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.silence import Silence
from cortico.ir.analysis.softmax import ShiftGroup, shift_groups
from cortico.ir.domain import bound_axes, conjunction, rename
from cortico.ir.tensors import Input
from cortico.ir.transfer import TRANSFERS

#: Formulas that are statements of the program: as arrays they would be as large as all pairs of tokens.
PLANNED_FORMULAS = frozenset(["distance"])

#: What a product without factors is.
_ONE = Variable("dtype(1)", (), batched=False)


def tensor_names(circuit: Circuit) -> dict[str, str]:
    """Names of inputs and parameters to the marked names they have until the text is settled."""
    return MarkedNames().of([t.name for t in circuit.inputs] + [p.name for p in circuit.parameters])


class Planner:
    """Turns a circuit (with one-letter axes) into a `Program`, from its outputs backwards."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.program = Program()
        self.sizes: dict[str, int] = {
            axis.name: NOMINAL_SIZE if isinstance(axis.extent, str) else axis.extent
            for axis in circuit.axes
        }
        self.groups, self.silence = shift_groups(circuit), Silence(circuit)
        self._raised: dict[str, Variable] = {}  #: exp(-peak) of each pool with constants beside it
        self.names = tensor_names(circuit)
        self.program.names.take(self.names.values())
        self._rates: dict[str, Product] = {}
        self._bounds: dict[tuple[Bound, ...], Variable] = {}
        self._reads: dict[tuple[Variable, tuple[str, ...]], Variable] = {}
        self._one_hot: dict[TensorRef, Variable] = {}
        self._ids: dict[str, Variable] = {}  #: the numbers of tokens of which an array is one-hot

    def outputs(self) -> list[Variable]:
        """Plan every output; returns the variables that hold them, axes as the outputs ask."""
        for name in milestones((o.source.name for o in self.circuit.outputs), self._heard):
            self.rate(self.circuit.population(name))
        results = [self._output(output.source) for output in self.circuit.outputs]
        self.program.without_unread(OneHot, results)
        return results

    def _heard(self, name: str) -> list[str]:
        """The populations whose rates are planned before that of this one."""
        group = self.groups.get(name)
        members = group.members if group else (name,)
        return [p.pre for member in members for p in self.circuit.projections_onto(member)]

    def _output(self, source: TensorRef) -> Variable:
        rate = self.rate(self.circuit.population(source.name))
        variable = self._contracted(source.name, rate, source.axes, frozenset())
        if variable.axes == source.axes:
            return variable
        blank = self._ones([axis for axis in source.axes if axis not in variable.axes])
        operation = Multiply() if blank else Reorder()
        return self.program.assign(source.name, operation, source.axes, [variable, *blank])

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
        rate = self.program.assign(population.name, Transfer(transfer.name), drive.axes, [drive])
        bounds = self._inside(domain)
        if bounds:  # not a product with 0 and 1: outside, the transfer function may be infinite
            rate = self._select(population.name, rate, bounds, silent=False)
        return Product(factors=(replace(rate, zero_outside=domain),))

    def _select(
        self, name: str, value: Variable, conditions: Sequence[Variable], *, silent: bool
    ) -> Variable:
        axes = in_order(axes_of((value, *conditions)), self.sizes)
        return self.program.assign(name, Select(silent), axes, [value, *conditions])

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
                current = self.current(population, compartment)
                if (argument.axes & current.axes) - {*population.axes}:  # two sums over one axis
                    name = f"{population.name}_{compartment.name}"
                    whole = self._elementwise(name, current, population.axes)
                    current = Product(factors=(whole,))
                argument = argument.times(current)
        for compartment in population.compartments:
            if compartment.effect is Effect.DIVIDES:
                current = self.current(population, compartment)
                name = f"{population.name}_{compartment.name}"
                whole = self._elementwise(name, current, population.axes)
                argument = argument.times(Product(divisors=(whole,)))
        return argument.simplified()

    # ---- softmax -----------------------------------------------------------------------------------

    def _plan_shifted(self, group: ShiftGroup) -> None:
        """Exponentials of one softmax: shifted by their largest exponent, which cancels later."""
        members = [self.circuit.population(name) for name in group.members]
        exponents = [self._exponent(member) for member in members]
        self.program.comment(f"softmax over {group.pool}: a shift by the largest exponent cancels")
        onto = in_order(axes_of(exponents) & {*group.axes}, group.axes)
        # a constant beside the pool is multiplied by exp(-peak), which is no more than 1 if the peak is floored
        peak = self.program.assign("peak", Peak(floored=bool(group.raised)), onto, exponents)
        if group.raised:
            self._raised[group.pool] = self.program.assign("raised", Raised(), onto, [peak])
        for member, exponent in zip(members, exponents, strict=True):
            self._describe(member)
            axes = in_order({*exponent.axes, *onto}, self.sizes)
            rate = self.program.assign(member.name, ShiftedExponential(), axes, [exponent, peak])
            gates = [ref for gate in self._gates(member) for ref in gate.gates]
            rate = replace(rate, zero_outside=frozenset([*member.domain, *gates]))
            self._rates[member.name] = Product(
                factors=(rate,), bounds=frozenset(member.domain)
            ).simplified()

    def _exponent(self, member: Population) -> Variable:
        """The exponent of a member, -inf where the cell does not exist or is gated off."""
        exponent = self._drive(member, self._argument(member))
        conditions = (*self._inside(member.domain), *self._gates(member))
        if not conditions:
            return exponent
        return self._select(f"{member.name}_exponent", exponent, conditions, silent=True)

    def _gates(self, member: Population) -> list[Variable]:
        """0/1 inputs that silence every population that hears `member`, where they are 0."""
        gates = self.silence.of_all_that_hear(member)
        return [factor for ref in gates for factor in self._tensor(Weight(ref)).factors]

    # ---- currents ----------------------------------------------------------------------------------

    def current(self, population: Population, compartment: Compartment) -> Product:
        """The summed input of a compartment: a product where one will do, else one new array."""
        terms = [self._tensor(weight) for weight in compartment.drive]
        terms = [term.times(self._factor(population, compartment)) for term in terms]
        synapses = self.circuit.projections_onto(population.name, compartment.name)
        terms += [self._synaptic(projection, population) for projection in synapses]
        if len(terms) == 1 and not self._must_sum(population, terms[0], synapses):
            return terms[0]
        name = synapses[0].name if len(synapses) == 1 else f"{population.name}_{compartment.name}"
        self._describe(population, compartment)
        return self._sum(name, terms, population)

    def _factor(self, population: Population, compartment: Compartment) -> Product:
        """What the constant drive of a compartment is multiplied by: as what it hears, if that is shifted."""
        place = (population.name, compartment.name)
        for member, group in self.groups.items():
            if place in group.raised:
                self.rate(self.circuit.population(member))
                return Product(factors=(self._raised[group.pool],))
        return Product()

    def _synaptic(self, projection: Projection, population: Population) -> Product:
        """What arrives through one projection, not yet summed over the axes that `population` lacks."""
        pre = self.circuit.heard(projection)
        rate, weight = self._read(projection), self._tensor(projection.weight)
        own = rate.axes - {*pre.axes}  # summed, but for those of a shift
        if pre.name not in self.groups and own & ({*population.axes} | weight.axes):
            rate = Product(factors=(self._elementwise(pre.name, rate, pre.axes),))
        rate = rate.times(weight).inside(frozenset(projection.domain))
        unseen = self._ones(sorted({*pre.axes} - {*population.axes} - rate.axes))
        return rate.times(Product(factors=tuple(unseen)))

    def _read(self, projection: Projection) -> Product:
        """The rate of a source at the axes that it is read at."""
        pre, names = self.circuit.population(projection.pre), self.circuit.read_as(projection)
        rate = self.rate(pre)
        if not projection.at:
            return rate
        if rate.axes - {*pre.axes}:
            rate = Product(factors=(self._elementwise(pre.name, rate, pre.axes),))
        factors, divisors = (
            tuple(self._reread(pre.name, variable, names) for variable in part)
            for part in (rate.factors, rate.divisors)
        )
        bounds = frozenset(rename(tuple(rate.bounds), names))
        return replace(rate, factors=factors, divisors=divisors, bounds=bounds)

    def _reread(self, name: str, variable: Variable, names: Mapping[str, str]) -> Variable:
        """A variable at other axes. What the program makes gets a name there; tensors are read anywhere."""
        axes = tuple(names[axis] for axis in variable.axes)
        if axes == variable.axes:
            return variable
        if variable.code in self._ids:
            return self._tokens(self._ids[variable.code].code, axes)
        if variable.code in self.names.values():
            return replace(variable, axes=axes)
        if (variable, axes) not in self._reads:
            own = {axis: names[axis] for axis in variable.axes}
            label = "_".join([name, "at", *(read for mine, read in own.items() if mine != read)])
            self._reads[variable, axes] = self.program.assign(label, Reread(own), axes, [variable])
        return self._reads[variable, axes]

    def _must_sum(
        self, population: Population, term: Product, synapses: Sequence[Projection]
    ) -> bool:
        """Whether what arrives has to become an array. A product over the population's axes need not.

        Nor does a sum over the past that is read once, nor one product for every pair of tokens: summed
        by whoever sums the rest, they are no arrays of a memory for every token or of all pairs.
        """
        lost = term.axes - {*population.axes}
        if not lost or any({*self.circuit.heard(p).axes} <= {*population.axes} for p in synapses):
            return False
        return (
            population.transfer != "identity"
            or len(self.circuit.projections_from(population.name)) != 1
            or any(lost & {*divisor.axes} for divisor in term.divisors)
            or not (self._is_past(term, lost) or self._is_pair_of_tokens(term, lost))
        )

    def _is_past(self, term: Product, lost: frozenset[str]) -> bool:
        return len(lost) == 1 and any({bound.left, bound.right} & lost for bound in term.bounds)

    def _is_pair_of_tokens(self, term: Product, lost: frozenset[str]) -> bool:
        """Whether tokens meet in the product though no factor holds pairs of them.

        Inside a window they are better summed where they meet, in narrow tiles.
        """
        columns = {a.name for a in self.circuit.axes if a.role is Role.COLUMN}
        return (
            len(term.bounds) < 2
            and len(columns & (term.axes - lost)) > 1
            and all(len(columns & {*factor.axes}) < 2 for factor in term.factors)
        )

    def _sum(self, name: str, terms: list[Product], population: Population) -> Product:
        """One array that holds Σ terms, over the axes that some term depends on."""
        known = frozenset(population.domain)
        if len(terms) == 1:
            return Product(factors=(self._contracted(name, terms[0], population.axes, known),))
        parts = [self._contracted(f"{name}_part", t, population.axes, known) for t in terms]
        axes = in_order(axes_of(parts), population.axes)
        return Product(factors=(self.program.assign(name, Add(), axes, parts),))

    def _contracted(
        self, name: str, term: Product, onto: tuple[str, ...], known: frozenset[Bound]
    ) -> Variable:
        """`term` as one array: summed over the axes not in `onto`, with its gain."""
        term = self._gathered(name, term.simplified(known), onto)
        term = sum_over_past(self.program, term, onto, self.sizes, self._same_length)
        bounds = self._inside(term.bounds)
        if not term.factors and not bounds:
            term = replace(term, factors=(_ONE,))
        gain = "" if term.gain.is_one else self._gain_code(term.gain)
        return Contraction(self.program, term, bounds, onto, self.sizes).result(name, gain)

    def _gathered(self, name: str, term: Product, onto: tuple[str, ...]) -> Product:
        """`term`, where one-hot tokens times a table, summed, are the rows of the table that they name."""
        kept = {*onto} | bound_axes(term.bounds) | axes_of(term.divisors)
        for tokens in term.factors:
            ids, token = self._ids.get(tokens.code), tokens.axes[-1] if tokens.axes else ""
            tables = [f for f in term.factors if token in f.axes and f is not tokens]
            if ids is None or token in kept or len(tables) != 1:
                continue
            (table,) = tables
            if table.batched or {*table.axes} & {*ids.axes}:
                continue
            axes = (*ids.axes, *(axis for axis in table.axes if axis != token))
            rows = self.program.assign(name, Gather(token), axes, [table, ids])
            rest = (f for f in term.factors if f is not tokens and f is not table)
            term = replace(term, factors=(rows, *rest))
        return term

    def _elementwise(self, name: str, product: Product, onto: tuple[str, ...]) -> Variable:
        """`product` as one array over `onto`, zero outside its bounds."""
        if product.single and {*product.single.axes} <= {*onto}:
            return product.single
        return self._contracted(name, product, onto, frozenset())

    def _same_length(self, one: str, other: str) -> bool:
        """Whether two axes have as many indices, whatever arrives."""
        return self.circuit.axis(one).extent == self.circuit.axis(other).extent

    # ---- leaves --------------------------------------------------------------------------------------

    def _tensor(self, weight: Weight) -> Product:
        """A weight as a product: its gain and, if it has one, its tensor."""
        if weight.tensor is None:
            return Product(gain=weight.gain)
        tensor = self.circuit.tensor(weight.tensor.name)
        if isinstance(tensor, Input) and tensor.kind is InputKind.TOKEN:
            tokens = self._tokens(self.names[tensor.name], weight.tensor.axes)
            return Product(gain=weight.gain, factors=(tokens,))
        is_input = isinstance(tensor, Input)
        gate = tensor.name if isinstance(tensor, Input) and tensor.kind is InputKind.MASK else None
        variable = Variable(self.names[tensor.name], weight.tensor.axes, is_input, gate)
        formula = self.circuit.formula(tensor.name)
        if formula and formula.kind in PLANNED_FORMULAS:
            variable = self._distance(formula, weight.tensor.axes)
        return Product(gain=weight.gain, factors=(variable,))

    def _tokens(self, name: str, axes: tuple[str, ...]) -> Variable:
        """An input of tokens as what it reads as. Where it is summed with a table, rows take its place."""
        ref = TensorRef(name, axes)
        if ref not in self._one_hot:
            ids = Variable(name, axes[:-1], batched=True)
            self._one_hot[ref] = self.program.aside(f"one_hot_{plain(name)}", OneHot(), axes, [ids])
            self._ids[self._one_hot[ref].code] = ids
        return self._one_hot[ref]

    def _distance(self, formula: Formula, axes: tuple[str, ...]) -> Variable:
        """A linear position bias, made where it is read: it would be an array of pairs of tokens."""
        *leading, row, column = axes
        slopes = Variable(self.names[formula.arguments[0]], tuple(leading), False)
        return self.program.assign("distance_bias", Distance(row, column), axes, [slopes])

    def _inside(self, bounds: Iterable[Bound]) -> tuple[Variable, ...]:
        """The boolean array of the bounds on each pair of axes."""
        pairs: dict[tuple[str, ...], list[Bound]] = {}
        for bound in conjunction(bounds):
            pairs.setdefault(in_order((bound.left, bound.right), self.sizes), []).append(bound)
        return tuple(self._inside_pair(pair, tuple(group)) for pair, group in pairs.items())

    def _inside_pair(self, pair: tuple[str, ...], bounds: tuple[Bound, ...]) -> Variable:
        if bounds not in self._bounds:
            self._bounds[bounds] = self.program.assign("inside", Inside(bounds), pair)
        return self._bounds[bounds]

    def _ones(self, axes: Iterable[str]) -> list[Variable]:
        """Arrays of ones, for axes that are summed or shown though nothing depends on them."""
        return [self.program.assign("ones", Ones(), (axis,)) for axis in axes]

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
            pre = self.circuit.heard(projection)
            summed = [axis for axis in pre.axes if axis not in population.axes]
            sigma = f"Σ_{','.join(summed)} " if summed else ""
            weight = "" if projection.weight == Weight() else f"{projection.weight} * "
            terms.append(f"{sigma}{weight}{pre.name}[{', '.join(pre.axes)}]")
        self.program.comment(f"{cells}, {compartment.name} = {' + '.join(terms)}")
