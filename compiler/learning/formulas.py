"""The gradients of a circuit in closed form, made from its error neurons and rules.

What compartments hear through learned synapses gets a name, and so do rates behind other functions and
divisors. In these, each gradient is brought to its normal form, and sums over tokens are named: the
key-value memory M and the error-query memory B of linear attention (Granier & Senn, arXiv 2504.06354).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cortico.ir import (
    Population,
    UnsupportedError,
)
from cortico.learning.currents import DELTA, ERROR, Currents
from cortico.learning.gradients import gradient_circuit, gradient_name
from cortico.learning.named_sums import Alphabet, NamedSums
from cortico.learning.rules import Learning
from cortico.verify.equations.defining import defined
from cortico.verify.equations.language import (
    ONE,
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Product,
    Read,
    Sum,
    Within,
    reads,
)
from cortico.verify.equations.meaning import circuit_equations, rate_of
from cortico.verify.normal.algebra import Algebra, Assumptions
from cortico.verify.normal.equivalence import UNDECIDABLE, Outcome, compare
from cortico.verify.normal.form import NormalForm


@dataclass(frozen=True)
class Formulas:
    """Gradients `d_W` as equations in the given tensors and in `e`, the derivative of the loss."""

    equations: Equations
    error: Definition  #: what `e` is
    outcomes: tuple[Outcome, ...]  #: whether they are the circuit's gradients, for every size

    def __str__(self) -> str:
        lines = [str(self.error), *map(str, self.equations.definitions)]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """The equations as a LaTeX document."""
        from cortico.verify.latex.notation import display

        names = {name: f"d.{name.removeprefix('d_')}" for name in self.equations.outputs}
        rows = (self.error, *self.equations.definitions)
        names |= {
            row.tensor: row.tensor.replace(DELTA, "delta")
            for row in rows
            if row.tensor not in names
        }
        return _DOCUMENT.format(display(*(_called(row, names) for row in rows)))


_DOCUMENT = r"""\documentclass{{article}}
\usepackage{{amsmath}}
\allowdisplaybreaks
\begin{{document}}
\noindent Gradients of the loss $L$, with $e = \partial L / \partial y$ and $\partial W = \partial L /
\partial W$. A comparison $[j \le i]$ is 1 where it holds, else 0; $x / 0 = 0$.
{}
\end{{document}}
"""


def formulas(learning: Learning) -> Formulas:
    """The closed forms of the gradients of all parameters, and whether the prover agrees.

    UnsupportedError as `gradient_circuit`, and where no normal form is reached.
    """
    try:
        return _Formulas(learning).formulas()
    except UNDECIDABLE as error:
        name = learning.circuit.name
        raise UnsupportedError(f"no closed form of the gradients of {name!r}: {error}") from None


class _Formulas:
    def __init__(self, learning: Learning) -> None:
        self.learning = learning
        self.outputs = tuple(gradient_name(rule.parameter) for rule in learning.rules)
        self.currents = Currents(learning, gradient_circuit(learning))
        self.circuit = self.currents.circuit()
        self.names = self._names()
        self.meaning = self._meaning()
        self.alphabet = Alphabet(
            {axis.name: axis.role for axis in self.circuit.axes},
            {name: self.circuit.population(p).axes for p, name in self.names.items()},
            {ERROR, *(self.names[name] for name in self.currents.backward)},
        )

    def formulas(self) -> Formulas:
        taken = {*self.meaning.given, *self.names.values(), *self.alphabet.roles}
        sums = NamedSums(self.alphabet, taken)
        gradients = [sums.write(self._simple(name)) for name in self.outputs]
        used = self._used([*sums.definitions, *gradients])
        error = self._simple(ERROR)
        rows = (*(self._simple(name) for name in used), *sums.definitions, *gradients)
        equations = self._equations(rows)
        outcomes = compare(equations, self._equations(self._whole()))
        return Formulas(equations, error, tuple(outcomes))

    def _names(self) -> dict[str, str]:
        """Population to the name of its rates, for those that are not written out."""
        taken = {t.name for t in self.circuit.inputs + self.circuit.parameters}
        source = self.learning.circuit.outputs[0]
        names = {self.learning.output_error: ERROR, source.source.name: source.name}
        names |= self.currents.names
        for population in self.circuit.populations:
            if population.name not in names and self._is_opaque(population):
                free = population.name not in taken
                names[population.name] = population.name if free else f"{population.name}_rate"
        return names

    def _is_opaque(self, population: Population) -> bool:
        """Whether rates are behind a function, or divide others."""
        targets = self.circuit.projections_from(population.name)
        return population.transfer != "identity" or any(map(self.circuit.divides, targets))

    # ---- equations -------------------------------------------------------------------------------

    def _meaning(self) -> Equations:
        """The circuit's equations with the tensors called by their names, without outputs of rates."""
        found = circuit_equations(self.circuit)
        names = {rate_of(p): name for p, name in self.names.items()}
        rows = [row for row in found.definitions if row.tensor not in names.values()]
        found = replace(found, definitions=tuple(_called(row, names) for row in rows))
        for name in self._ones():
            found = defined(found, name, ONE)
        return found

    def _ones(self) -> Iterator[str]:
        """The slopes of one that the rules of slopes read."""
        learned = {rule.parameter for rule in self.learning.rules}
        for parameter in self.circuit.parameters:
            formula = parameter.formula
            if formula and formula.kind == "distance" and formula.arguments[0] not in learned:
                yield formula.arguments[0]

    def _whole(self) -> tuple[Definition, ...]:
        return tuple(row for row in self.meaning.definitions if row.tensor != ERROR)

    def _equations(self, rows: Sequence[Definition]) -> Equations:
        """Rows as equations of the gradients, with `e` given."""
        error = self.meaning.definition(ERROR)
        given = {**self.meaning.given, ERROR: tuple(v.sort for v in error.indices)}
        return replace(self.meaning, given=given, definitions=tuple(rows), outputs=self.outputs)

    def _simple(self, tensor: str) -> Definition:
        """A definition in normal form, with named rates as if they were given."""
        hidden = {*self.names.values()} - {tensor}
        kept = tuple(row for row in self.meaning.definitions if row.tensor not in hidden)
        form = NormalForm(
            Algebra(Assumptions(self.meaning.masks)), replace(self.meaning, definitions=kept)
        )
        definition = self.meaning.definition(tensor)
        return replace(definition, body=self._without_repeats(_normal(form, tensor)))

    def _without_repeats(self, expression: Expression) -> Expression:
        """Comparisons are left out that a rate in the same product has, being 0 elsewhere."""
        match expression:
            case Add(terms):
                return Add(tuple(map(self._without_repeats, terms)))
            case Sum(indices, body):
                return Sum(indices, self._without_repeats(body))
            case Product(factors):
                held = {w for factor in factors for w in self._held(factor)}
                kept = [self._without_repeats(f) for f in factors if f not in held]
                return Product(tuple(kept))
            case _:
                return expression

    def _held(self, factor: Expression) -> Iterator[Within]:
        """The comparisons outside of which a rate is 0."""
        domains = {name: self.circuit.population(p) for p, name in self.names.items()}
        if isinstance(factor, Read) and factor.tensor in domains:
            population = domains[factor.tensor]
            at = dict(zip(population.axes, factor.indices, strict=True))
            for bound in population.domain:
                yield Within(at[bound.left], at[bound.right], bound.offset)
        if isinstance(factor, Product):
            for part in factor.factors:
                yield from self._held(part)

    def _used(self, rows: Sequence[Definition]) -> list[str]:
        """Named rates that rows read, directly or through others, in the circuit's order."""
        names = {*self.names.values()} - {ERROR}
        found: set[str] = set()
        rest = {r.tensor for row in rows for r in reads(row.body)} & names
        while rest:
            found |= rest
            rest = {r.tensor for name in rest for r in reads(self._simple(name).body)}
            rest = (rest & names) - found
        return [row.tensor for row in self.meaning.definitions if row.tensor in found]


def _normal(form: NormalForm, tensor: str) -> Expression:
    from cortico.verify.equations.printing import tidy
    from cortico.verify.normal.spelling import normal_form_expression

    return tidy(normal_form_expression(form, tensor))


def _called(row: Definition, names: Mapping[str, str]) -> Definition:
    """A definition with tensors called by other names."""
    return Definition(names.get(row.tensor, row.tensor), row.indices, _renamed(row.body, names))


def _renamed(expression: Expression, names: Mapping[str, str]) -> Expression:
    """The expression with tensors called by other names."""
    match expression:
        case Read(tensor, indices):
            return Read(names.get(tensor, tensor), indices)
        case Sum(indices, body):
            return Sum(indices, _renamed(body, names))
        case Product(factors):
            return Product(tuple(_renamed(each, names) for each in factors))
        case Add(terms):
            return Add(tuple(_renamed(each, names) for each in terms))
        case Apply(function, argument):
            return Apply(function, _renamed(argument, names))
        case _:
            return expression
