"""Functions of polynomials, rewritten so that equal ones look equal.

    exp(Σ_k c_k t_k) = Π_k exp(t_k)^c_k        what is constant along a row leaves its sum, and cancels
    exp(P t)         = 1 - P + P exp(t)        for P that is 0 or 1
    1/(c f Σ_k g_k)  = 1/c · 1/f · 1/(Σ_k g_k) with 1/0 = 0, for all that the terms have in common
    relu(-x)         = relu(x) - x,  relu(c x) = c relu(x) for c > 0,  φ(-x) = -φ(x) for odd φ
    φ(P x)           = P φ(x)                  for P that is 0 or 1, and φ(0) = 0

Every rule holds for all real numbers, with x/0 = 0 as in a circuit. Of other functions equal arguments give
equal values, and nothing else is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from cortico.ir.transfer import TRANSFERS, Parity
from cortico.verify.equations.language import SLOPE
from cortico.verify.normal.algebra import UNIT, Algebra, connected
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var, bound_var

#: A term's factors that are 0 or 1 and do not depend on its bound indices.
_Guards = frozenset[Factor]


def apply(algebra: Algebra, function: str, argument: Polynomial) -> Polynomial:
    """`function` of `argument`: a transfer function, its slope, `inverse` or `step`."""
    if function == "identity":
        return argument
    if function == "exp":
        return _exponential(algebra, argument)
    is_slope = function.endswith(SLOPE)  # of which nothing is known
    if is_slope or (function in TRANSFERS and not TRANSFERS[function].keeps_zero):
        return _opaque(algebra, function, argument)
    if not argument:
        return {}  # all that follow keep zero
    guards = _common_guards(algebra, argument)
    if guards:
        bare = {_without(term, guards): c for term, c in argument.items()}
        return algebra.multiply(*map(algebra.factor, guards), apply(algebra, function, bare))
    if function in _RULES:
        return _RULES[function](algebra, argument)
    is_odd = function in TRANSFERS and TRANSFERS[function].parity is Parity.ODD
    return (_odd if is_odd else _opaque)(algebra, function, argument)


# ---- exponentials --------------------------------------------------------------------------------


def _exponential(algebra: Algebra, argument: Polynomial) -> Polynomial:
    groups: dict[_Guards, Polynomial] = {}
    for term, coefficient in argument.items():
        guards = _guards(algebra, term)
        groups.setdefault(guards, {})[_without(term, guards)] = coefficient
    result = {UNIT: Fraction(1)}
    for guards, part in groups.items():
        result = algebra.multiply(result, _guarded_exponential(algebra, guards, part))
    return result


def _guarded_exponential(algebra: Algebra, guards: _Guards, argument: Polynomial) -> Polynomial:
    """exp(P · argument) for the product P of `guards`."""
    factors = [
        algebra.heads.function("exp", {term: Fraction(1)})._replace(power=_whole(coefficient))
        for term, coefficient in argument.items()
    ]
    bare = algebra.monomial({}, factors, [])
    if not guards:
        return bare
    both = algebra.multiply(*map(algebra.factor, guards))
    one = algebra.constant(Fraction(1))
    return algebra.add(one, algebra.scale(both, Fraction(-1)), algebra.multiply(both, bare))


def _whole(number: Fraction) -> Fraction | int:
    return number.numerator if number.denominator == 1 else number


# ---- reciprocals ---------------------------------------------------------------------------------


def _inverse(algebra: Algebra, argument: Polynomial) -> Polynomial:
    common, rest = _content(algebra, argument)
    if len(rest) == 1:
        ((term, coefficient),) = rest.items()
        return algebra.multiply(common, _inverse_of_term(algebra, term, coefficient))
    lead = max(rest, key=lambda term: (len(term.bound), term))
    scale, sizes = rest[lead], {sort: -power for sort, power in lead.sizes}
    size = algebra.monomial(sizes, [], [])
    monic = algebra.multiply(algebra.scale(rest, 1 / scale), size)
    opaque = algebra.factor(algebra.heads.function("inverse", monic))
    return algebra.multiply(common, algebra.scale(size, 1 / scale), opaque)


def _inverse_of_term(algebra: Algebra, term: Term, coefficient: Fraction) -> Polynomial:
    """1/(c · size^p · Π parts): parts that share no bound index are inverted one by one."""
    sizes = {sort: -power for sort, power in term.sizes}
    result = algebra.scale(algebra.monomial(sizes, [], []), 1 / coefficient)
    bound = [bound_var(sort, k) for k, sort in enumerate(term.bound)]
    for part, inner in connected(term.factors, bound):
        result = algebra.multiply(result, _inverse_of_part(algebra, part, inner))
    return result


def _inverse_of_part(algebra: Algebra, part: list[Factor], inner: list[Var]) -> Polynomial:
    if inner:
        return algebra.factor(algebra.heads.function("inverse", algebra.monomial({}, part, inner)))
    (factor,) = part
    return _inverse_of_factor(algebra, factor)


def _inverse_of_factor(algebra: Algebra, factor: Factor) -> Polynomial:
    head = algebra.heads[factor.head]
    if head.idempotent:
        return algebra.factor(factor)
    if head.kind == "exp":
        return algebra.factor(factor._replace(power=-factor.power))
    power = int(factor.power)
    if head.kind == "inverse":
        return algebra.multiply(*[algebra.instance(head, factor.indices)] * power)
    single = algebra.factor(factor._replace(power=1))
    opaque = algebra.heads.function("inverse", single)
    return algebra.factor(opaque._replace(power=power))


def _content(algebra: Algebra, argument: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The reciprocal of what all terms have in common, and what is left of the terms."""
    if len(argument) == 1:
        return algebra.constant(Fraction(1)), argument
    powers = _least_powers(algebra, argument)
    inverse, shared = algebra.constant(Fraction(1)), []
    for (head, indices), power in powers.items():
        inverse = algebra.multiply(
            inverse, _inverse_of_factor(algebra, Factor(head, indices, power))
        )
        shared.append(Factor(head, indices, -power))
    rest: Polynomial = {}
    for term, coefficient in argument.items():
        bound = [bound_var(sort, k) for k, sort in enumerate(term.bound)]
        new = algebra.monomial(dict(term.sizes), [*term.factors, *shared], bound)
        rest = algebra.add(rest, algebra.scale(new, coefficient))
    return inverse, rest


def _least_powers(
    algebra: Algebra, argument: Polynomial
) -> dict[tuple[int, tuple[Var, ...]], Fraction | int]:
    """The factors without bound indices by which every term can be divided, with their powers.

    Exponentials may be divided by everywhere; a term without one has its power 0.
    """
    tables = [
        {(f.head, f.indices): f.power for f in term.factors if all(v.rank == 0 for v in f.indices)}
        for term in argument
    ]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = {key: min(table.get(key, 0) for table in tables) for key in keys}
    return {
        key: power
        for key, power in found.items()
        if power and (power > 0 or algebra.heads[key[0]].kind == "exp")
    }


# ---- transfer functions --------------------------------------------------------------------------


def _relu(algebra: Algebra, argument: Polynomial) -> Polynomial:
    if algebra.signs.is_nonnegative(argument):
        return argument
    opposite = algebra.scale(argument, Fraction(-1))
    if algebra.signs.is_nonnegative(opposite):
        return {}
    lead = max(argument)
    if argument[lead] < 0:
        return algebra.add(_relu(algebra, opposite), argument)
    size = algebra.monomial({sort: -power for sort, power in lead.sizes}, [], [])
    monic = algebra.multiply(algebra.scale(argument, 1 / argument[lead]), size)
    back = algebra.monomial(dict(lead.sizes), [], [])
    opaque = algebra.factor(algebra.heads.function("relu", monic))
    return algebra.multiply(algebra.scale(back, argument[lead]), opaque)


def _odd(algebra: Algebra, function: str, argument: Polynomial) -> Polynomial:
    sign = Fraction(1 if argument[max(argument)] > 0 else -1)
    return algebra.scale(_opaque(algebra, function, algebra.scale(argument, sign)), sign)


def _opaque(algebra: Algebra, function: str, argument: Polynomial) -> Polynomial:
    return algebra.factor(algebra.heads.function(function, argument))


#: Functions with rules of their own.
_RULES = {"inverse": _inverse, "relu": _relu}


# ---- what is 0 or 1 ------------------------------------------------------------------------------


def _guards(algebra: Algebra, term: Term) -> _Guards:
    return frozenset(
        f
        for f in term.factors
        if algebra.heads[f.head].idempotent and all(v.rank == 0 for v in f.indices)
    )


def _common_guards(algebra: Algebra, argument: Polynomial) -> _Guards:
    sets: Iterable[_Guards] = [_guards(algebra, term) for term in argument]
    return frozenset.intersection(*sets)


def _without(term: Term, guards: _Guards) -> Term:
    """The term without some of its factors. It stays canonical: they have no bound index."""
    return term._replace(factors=tuple(f for f in term.factors if f not in guards))
