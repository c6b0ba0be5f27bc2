"""Rates as SymPy expressions: formal sums over indexed tensors, with symbols for sizes.

    >>> rate_expression(circuit, "pool", inline=False)
    Sum(mask.rate[h, i, j], (j, 0, n - 1))

Tensors are `IndexedBase`, indices `Idx` without a range, sums `Sum` from 0 to size - 1. A bound
`j - i <= 0` is `Heaviside(i - j, 1)`, which is 1 at 0; two opposite bounds are a `KroneckerDelta`.
Rotations and offsets are written out. For showing, for evaluating and for checks at small sizes:
SymPy decides nothing in the prover.

**x/0.** In a circuit x/0 is 0. A divisor is written 1/x here, which is the same where x is not 0; SymPy
also cancels x/x to 1. `guarded=True` writes `Reciprocal(x)`, which is 0 at 0.

Two errors of SymPy 1.14 shape this. `Sum` moves a `Piecewise` out of the sums inside it, also when its
condition depends on their indices, so no `Piecewise` is used. And `Sum(x[i], (i, 0, n - 1)).subs(n, 2)`
loses `i` when i is an `Idx` with a range. `tests/verify/test_sympy_form.py` shows both.

Only this module imports SymPy: import it where it is used.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sympy

from cortico.ir import TRANSFERS, Circuit, CircuitError, Formula
from cortico.verify.equations.language import (
    OFFSET,
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
    children,
    names_in,
    renamed_indices,
)
from cortico.verify.equations.meaning import circuit_equations, rate_of
from cortico.verify.equations.printing import tidy

#: A SymPy expression. SymPy has no types of its own.
Expr: TypeAlias = Any


class Reciprocal(sympy.Function):  # type: ignore[misc]
    """1/x, and 0 at 0, as circuits divide."""

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        """The value at numbers."""
        if x.is_zero:
            return sympy.Integer(0)
        return 1 / x if x.is_number and x.is_nonzero else None


def size_symbol(sort: str) -> Expr:
    """The symbol for the size of a sort: a positive integer, `N_key_features`."""
    name = re.sub(r"\W+", "_", sort)
    return sympy.Symbol(f"N_{name}", positive=True, integer=True)


def index_symbol(name: str) -> Expr:
    """The SymPy index of this name; primes become numbers."""
    bare = name.rstrip("'")
    return sympy.Idx(bare + (f"_{len(name) - len(bare)}" if bare != name else ""))


def to_sympy(
    expression: Expression,
    sizes: Mapping[str, Expr] | None = None,
    formulas: Mapping[str, Formula] | None = None,
    *,
    guarded: bool = False,
) -> Expr:
    """An expression in SymPy. `sizes` maps sorts to their sizes (`size_symbol` by default).

    Tensors that `formulas` names, as `Equations.formulas` does, are written out. `guarded` divides
    so that x/0 is 0. Bound indices get names of their own.
    """
    apart = renamed_apart(tidy(expression), _free_names(expression))
    return _Conversion(sizes or {}, formulas or {}, guarded).convert(apart)


def rate_expression(
    circuit: Circuit, population: str, inline: bool = True, *, guarded: bool = False
) -> Expr:
    """The rate of a population at its axes, as indices of these names.

    Fully written out in inputs and parameters, each bound index with a name of its own; without
    `inline` in the rates of other populations, such as `mask.rate[h, i, j]`. `size_symbols` has the
    sizes. CircuitError when there is no such population.
    """
    return _written(circuit, rate_of(circuit.population(population).name), inline, guarded)


def output_expression(
    circuit: Circuit, output: str | None = None, inline: bool = True, *, guarded: bool = False
) -> Expr:
    """An output of the circuit, the only one by default, as `rate_expression` writes rates.

    CircuitError when the circuit has several and none is named, or none of that name.
    """
    names = [each.name for each in circuit.outputs]
    if (output is None and len(names) > 1) or (output is not None and output not in names):
        raise CircuitError(f"output {output!r}: the circuit has {', '.join(names)}")
    return _written(circuit, output or names[0], inline, guarded)


def size_symbols(circuit: Circuit) -> dict[str, Expr]:
    """Axis to the symbol of its size in what this module writes about the circuit.

    An axis whose extent is a symbol has that symbol, one with a number `N_` and its name: what is
    written holds for every size. Axes that run through the same set share a symbol.
    """
    symbols: dict[str, Expr] = {}
    extents = {axis.name: axis.extent for axis in circuit.axes}
    for axis, sort in _sorts(circuit).items():
        extent = extents.get(sort, axis)
        name = extent if isinstance(extent, str) else f"N_{sort}"
        while not isinstance(extent, str) and name in extents.values():
            name += "_"
        symbols[axis] = sympy.Symbol(name, positive=True, integer=True)
    return symbols


def _sorts(circuit: Circuit) -> dict[str, str]:
    """Axis to sort, from where the equations of the circuit use it."""
    found = {axis.name: axis.name for axis in circuit.axes}
    for definition in circuit_equations(circuit).definitions:
        found.update({index.name: index.sort for index in definition.indices})
    return found


def _written(circuit: Circuit, tensor: str, inline: bool, guarded: bool) -> Expr:
    equations, sizes = circuit_equations(circuit), size_symbols(circuit)
    definition = equations.definition(tensor)
    body = inlined(equations, tensor) if inline else definition.body
    names = {index.name for index in definition.indices}
    apart = renamed_apart(tidy(body), names)
    return _Conversion(sizes, equations.formulas, guarded).convert(apart)


# ---- writing definitions out ---------------------------------------------------------------------


def inlined(equations: Equations, tensor: str) -> Expression:
    """What a defined tensor is at the indices of its definition, in given tensors only."""
    known: dict[str, Definition] = {}

    def written(expression: Expression) -> Expression:
        if isinstance(expression, Read) and expression.tensor in known:
            source = known[expression.tensor]
            names = dict(zip(source.indices, expression.indices, strict=True))
            return renamed_indices(source.body, names)
        return _rebuilt(expression, written)

    for each in equations.definitions:
        known[each.tensor] = Definition(each.tensor, each.indices, written(each.body))
        if each.tensor == tensor:
            return known[tensor].body
    raise KeyError(tensor)


def renamed_apart(expression: Expression, taken: set[str]) -> Expression:
    """The same with a name of its own for each bound index, m, m_1, m_2, …, none of them `taken`."""
    used = set(taken)

    def new(index: Index) -> Index:
        base = index.name.rstrip("'")
        numbered = itertools.chain([base], (f"{base}_{k}" for k in itertools.count(1)))
        name = next(each for each in numbered if each not in used)
        used.add(name)
        return Index(name, index.sort)

    def apart(part: Expression) -> Expression:
        if isinstance(part, Sum):
            names = {index: new(index) for index in part.indices}
            return Sum(tuple(names.values()), apart(renamed_indices(part.body, names)))
        return _rebuilt(part, apart)

    return apart(expression)


def _free_names(expression: Expression) -> set[str]:
    """The names of indices that no sum binds."""
    match expression:
        case Sum(indices, body):
            return _free_names(body) - {index.name for index in indices}
        case Read() | Within():
            return names_in(expression)
    return set[str]().union(*map(_free_names, children(expression)))


def _rebuilt(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with its parts changed."""
    match expression:
        case Sum(indices, body):
            return Sum(indices, change(body))
        case Product(factors):
            return Product(tuple(map(change, factors)))
        case Add(terms):
            return Add(tuple(map(change, terms)))
        case Apply(function, argument):
            return Apply(function, change(argument))
    return expression


# ---- conversion ----------------------------------------------------------------------------------


class _Conversion:
    def __init__(
        self, sizes: Mapping[str, Expr], formulas: Mapping[str, Formula], guarded: bool
    ) -> None:
        self.sizes, self.formulas, self.guarded = sizes, formulas, guarded

    def convert(self, expression: Expression) -> Expr:
        match expression:
            case Number(value):
                return sympy.Rational(value.numerator, value.denominator)
            case Size(sort, exponent):
                power = sympy.Rational(exponent.numerator, exponent.denominator)
                return self.size(sort) ** power
            case Read(tensor, indices):
                return self.read(tensor, [index_symbol(v.name) for v in indices])
            case Within():
                return _bound(expression)
            case Sum(indices, body):
                limits = [(index_symbol(v.name), 0, self.size(v.sort) - 1) for v in indices]
                return sympy.Sum(self.convert(body), *limits)
            case Product(factors):
                return sympy.Mul(*self.factors(factors))
            case Add(terms):
                return sympy.Add(*map(self.convert, terms))
            case Apply(function, argument):
                return self.function(function, self.convert(argument))
        raise TypeError(f"no expression: {expression!r}")

    def size(self, sort: str) -> Expr:
        return self.sizes[sort] if sort in self.sizes else size_symbol(sort)

    def factors(self, factors: Sequence[Expression]) -> Iterator[Expr]:
        """Factors; `[i - j <= o] [j - i <= -o]` becomes one Kronecker delta."""
        bounds = {f for f in factors if isinstance(f, Within)}
        done: set[Within] = set()
        for factor in factors:
            if not isinstance(factor, Within):
                yield self.convert(factor)
            elif factor not in done:
                opposite = Within(factor.right, factor.left, -factor.offset)
                done |= {factor, opposite}
                left, right = index_symbol(factor.left.name), index_symbol(factor.right.name)
                is_equality = opposite in bounds
                equal = sympy.KroneckerDelta(left, right + factor.offset)
                yield equal if is_equality else _bound(factor)

    def read(self, tensor: str, at: Sequence[Expr]) -> Expr:
        """A tensor; one with a formula is written out."""
        formula = self.formulas.get(tensor)
        if tensor == OFFSET:
            query, source = at
            return source - query
        if formula is not None and formula.kind == "rotation":
            token, plane, row, column = at
            angle = token * sympy.IndexedBase(formula.arguments[0])[plane]
            turned = (row - column) * sympy.sin(angle)
            return sympy.KroneckerDelta(row, column) * sympy.cos(angle) + turned
        return sympy.IndexedBase(tensor)[tuple(at)] if at else sympy.Symbol(tensor)

    def function(self, function: str, x: Expr) -> Expr:
        match function:
            case "inverse" if self.guarded:
                return Reciprocal(x)
            case "inverse":
                return 1 / x
            case "step":
                return sympy.Heaviside(x, 0)
            case "nonzero":
                return 1 - sympy.KroneckerDelta(x, 0)
            case _ if function in TRANSFERS:
                return TRANSFERS[function].in_sympy(x)
        raise NotImplementedError(f"{function} in SymPy")


def _bound(within: Within) -> Expr:
    left, right = index_symbol(within.left.name), index_symbol(within.right.name)
    return sympy.Heaviside(right - left + within.offset, 1)
