"""Random equations, and what they and their normal forms are in 120 digits.

Both evaluators are written from the definitions alone, one scalar after another: nothing of
`cortico.verify.equations.evaluate` or of the rules of the normal form is in them.
"""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random

from cortico.verify.equations.language import (
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
    renamed_indices,
)
from cortico.verify.normal.algebra import Algebra
from cortico.verify.normal.terms import Factor, Polynomial, Var

#: Tensors to the sorts of their sides.
GIVEN = {
    "x": ("s",),
    "w": ("s",),
    "z": ("t",),
    "A": ("s", "s"),
    "B": ("s", "t"),
    "keep": ("s",),
    "c": (),
}
MASKS = frozenset(["keep"])

CONTEXT = decimal.Context(prec=120, Emin=-9999, Emax=9999, traps=[])
_ZERO = Decimal(
    "1e-50"
)  #: what rounding leaves of zero is smaller; every real number here is larger
_LARGEST = 30  #: of the argument of an exponential
_MOST_STEPS = 20_000  #: of evaluation, so that an example takes milliseconds

Numbers = Mapping[str, Callable[..., Decimal]]
Sizes = Mapping[str, int]


class OutOfRangeError(Exception):
    """Too many steps, too large, or the root of a negative number."""


# ---- making them ---------------------------------------------------------------------------------

_NUMBERS = [Fraction(n) for n in (-2, -1, 1, 2, 3)] + [Fraction(1, 2), Fraction(-1, 3)]
_POWERS = [Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-1, 2)]
SMOOTH = ("exp", "inverse", "tanh")
FUNCTIONS = (*SMOOTH, "exp", "inverse", "inverse", "relu", "step", "sqrt")
_NAMES = ("i", "j", "k", "u", "i'")


class Drawing:
    """Draws expressions; what was drawn once is often drawn again, at other indices."""

    def __init__(self, random: Random, functions: Sequence[str] = FUNCTIONS) -> None:
        self.random = random
        self.functions = functions
        self.sides: dict[str, tuple[str, ...]] = dict(GIVEN)
        self.known: list[tuple[Expression, tuple[Index, ...]]] = []

    def equations(self) -> Equations:
        """A system of up to three definitions, each of which may read those before it."""
        definitions = []
        for tensor in ("P", "Q", "y")[self.random.randrange(3) :]:
            names = self.random.sample(_NAMES[:4], self.random.randrange(4 if tensor != "y" else 3))
            indices = tuple(Index(name, self.random.choice("sst")) for name in names)
            body = self.expression(indices, 4 if tensor == "y" else 3)
            definitions.append(Definition(tensor, indices, body))
            self.sides[tensor] = tuple(v.sort for v in indices)
            self.known = []
        return Equations(dict(GIVEN), tuple(definitions), ("y",), MASKS)

    def quotients(self) -> Equations:
        """y made of sums and their reciprocals only."""
        names = self.random.sample(_NAMES[:4], self.random.randrange(3))
        indices = tuple(Index(name, "s") for name in names)
        body = self._quotient(indices)
        if self.random.random() < 0.5:
            return Equations(dict(GIVEN), (Definition("y", indices, body),), ("y",), MASKS)
        first = Definition("P", indices, body)
        at = tuple(self.random.choice(indices) for _ in indices)
        body = Product((Read("P", at), self._leaf(indices)))
        return Equations(dict(GIVEN), (first, Definition("y", indices, body)), ("y",), MASKS)

    def expression(self, scope: tuple[Index, ...], depth: int) -> Expression:
        """An expression whose free indices are in `scope`."""
        known = [e for e in self.known if len(e[1]) <= len(scope) or not e[1]]
        if known and self.random.random() < 0.3:
            found = self._again(*self.random.choice(known), scope)
        elif depth == 0 or self.random.random() < 0.15:
            found = self._leaf(scope)
        else:
            found = self._inner(scope, depth - 1)
        self.known.append((found, scope))
        return found

    def _again(
        self, old: Expression, before: tuple[Index, ...], scope: tuple[Index, ...]
    ) -> Expression:
        names = {}
        for index in before:
            fitting = [v for v in scope if v.sort == index.sort]
            if not fitting:
                return self._leaf(scope)
            same = index in scope and self.random.random() < 0.6
            names[index] = index if same else self.random.choice(fitting)
        return renamed_indices(old, names)

    def _leaf(self, scope: tuple[Index, ...]) -> Expression:
        kind = self.random.randrange(10)
        if kind == 0:
            return Number(self.random.choice(_NUMBERS))
        if kind == 1:
            return Size(self.random.choice("st"), self.random.choice(_POWERS))
        if kind == 2 and scope:
            left, right = self.random.choice(scope), self.random.choice(scope)
            return Within(left, right, self.random.randrange(-1, 3))
        return self._read(scope)

    def _read(self, scope: tuple[Index, ...]) -> Expression:
        sorts = {v.sort for v in scope}
        fitting = [name for name, sides in self.sides.items() if set(sides) <= sorts]
        weights = [3 if name not in GIVEN else 0.5 if name == "c" else 1 for name in fitting]
        name = self.random.choices(fitting, weights)[0]
        at = (self.random.choice([v for v in scope if v.sort == s]) for s in self.sides[name])
        return Read(name, tuple(at))

    def _inner(self, scope: tuple[Index, ...], depth: int) -> Expression:
        kind = self.random.randrange(9)
        if kind == 8:
            return self._quotient(scope)
        if kind < 2:
            return Add(tuple(self.expression(scope, depth) for _ in range(2)))
        if kind < 4:
            count = self.random.choice([2, 2, 3])
            return Product(tuple(self.expression(scope, depth) for _ in range(count)))
        if kind < 6:
            over = Index(self.random.choice(_NAMES), self.random.choice("sst"))
            inner = (*(v for v in scope if v.name != over.name), over)
            return Sum((over,), self.expression(inner, depth))
        return Apply(self.random.choice(self.functions), self.expression(scope, depth))

    def _quotient(self, scope: tuple[Index, ...]) -> Expression:
        """Sums, their reciprocals, and their terms multiplied: what cancels, and what must not."""
        parts = [[self._part(scope) for _ in range(self.random.choice([1, 2, 2, 3]))] for _ in "ST"]
        parts = parts[: self.random.choice([1, 1, 2])]
        below = Product(tuple(Apply("inverse", Add(tuple(terms))) for terms in parts))
        above = tuple(self.random.choice(terms) for terms in parts if self.random.random() < 0.9)
        bare = tuple(_bare(part) if self.random.random() < 0.3 else part for part in above)
        pair = [below, Product(bare)]
        self.random.shuffle(pair)
        quotient = Product(tuple(pair))
        if not scope or self.random.random() < 0.5:
            return quotient
        factor, inner = self._leaf(scope), self.random.choice(scope)
        total = Sum((inner,), quotient)
        return Product((total, factor)) if self.random.random() < 0.5 else total

    def _part(self, scope: tuple[Index, ...]) -> Expression:
        """A term of a sum: a number and a size, times a tensor or an exponential, maybe summed."""
        free = [name for name in _NAMES if all(v.name != name for v in scope)]
        over = tuple(Index(name, "s") for name in free[: self.random.choice([0, 1, 1])])
        body = self._read((*scope, *over))
        if self.random.random() < 0.7:
            body = Apply("exp", body)
        if self.random.random() < 0.2 and scope + over:
            body = body * Within(
                self.random.choice(scope + over), self.random.choice(scope + over), 0
            )
        factors: list[Expression] = [Sum(over, body) if over else body]
        if self.random.random() < 0.3:
            factors.append(Number(self.random.choice(_NUMBERS)))
        if self.random.random() < 0.2:
            factors.append(Size(self.random.choice("st"), self.random.choice(_POWERS)))
        return Product(tuple(factors)) if len(factors) > 1 else factors[0]


def _bare(part: Expression) -> Expression:
    return part.factors[0] if isinstance(part, Product) and part.factors else part


def draw_numbers(random: Random, sizes: Sizes, generic: bool = False) -> dict[str, dict]:
    """An entry for each index tuple: small halves, zero among them, or 12 random digits."""

    def one(name: str) -> Decimal:
        if name in MASKS:
            return Decimal(random.randrange(2))
        if generic:
            return Decimal(random.randrange(-(10**12), 10**12)) / 10**12
        return Decimal(random.randrange(-3, 4)) / 2

    return {name: {at: one(name) for at in _tuples(sides, sizes)} for name, sides in GIVEN.items()}


def _tuples(sides: Sequence[str], sizes: Sizes) -> itertools.product:
    return itertools.product(*(range(sizes[sort]) for sort in sides))


# ---- what they are -------------------------------------------------------------------------------


def apply_function(function: str, x: Decimal) -> Decimal:
    """A function of a number, with 1/0 = 0; what is smaller than rounding counts as zero."""
    match function:
        case "exp":
            if abs(x) > _LARGEST:
                raise OutOfRangeError
            return x.exp(CONTEXT)
        case "inverse":
            return Decimal(0) if abs(x) < _ZERO else CONTEXT.divide(Decimal(1), x)
        case "nonzero":
            return Decimal(abs(x) >= _ZERO)
        case "relu":
            return max(x, Decimal(0))
        case "step":
            return Decimal(x > _ZERO)
        case "tanh":
            twice = apply_function("exp", 2 * x)
            return (twice - 1) / (twice + 1)
        case "sqrt":
            if x < -_ZERO:
                raise OutOfRangeError
            return max(x, Decimal(0)).sqrt(CONTEXT)
    raise KeyError(function)


def power(base: Decimal, exponent: Fraction | int) -> Decimal:
    """A power; a broken one of a positive number only."""
    if exponent == int(exponent):
        return base ** int(exponent)
    return (base.ln() * exponent.numerator / exponent.denominator).exp()


class Values:
    """The values of the tensors of equations, and of polynomials, at sizes and numbers."""

    def __init__(self, equations: Equations, sizes: Sizes, numbers: Mapping[str, dict]) -> None:
        self.sizes = sizes
        self.steps = 0
        self.tensors = dict(numbers)
        for each in equations.definitions:
            names = [v.name for v in each.indices]
            self.tensors[each.tensor] = {
                at: self.of(each.body, dict(zip(names, at, strict=True)))
                for at in _tuples([v.sort for v in each.indices], sizes)
            }

    def of(self, expression: Expression, at: Mapping[str, int]) -> Decimal:
        """An expression at values of its free indices."""
        self._step()
        match expression:
            case Number(value):
                return Decimal(value.numerator) / value.denominator
            case Size(sort, exponent):
                return power(Decimal(self.sizes[sort]), exponent)
            case Read(tensor, indices):
                return self.tensors[tensor][tuple(at[v.name] for v in indices)]
            case Within(left, right, offset):
                return Decimal(at[left.name] - at[right.name] <= offset)
            case Sum(indices, body):
                names = [v.name for v in indices]
                rows = _tuples([v.sort for v in indices], self.sizes)
                return sum(
                    (self.of(body, {**at, **dict(zip(names, row, strict=True))}) for row in rows),
                    Decimal(0),
                )
            case Add(terms):
                return sum((self.of(term, at) for term in terms), Decimal(0))
            case Product(factors):
                result = Decimal(1)
                for factor in factors:
                    result *= self.of(factor, at)
                return result
            case Apply(function, argument):
                return apply_function(function, self.of(argument, at))
        raise TypeError(expression)

    def polynomial(self, algebra: Algebra, p: Polynomial, at: Mapping[Var, int]) -> Decimal:
        """A normal form at values of its free indices: Σ coefficient Π size^p Σ_bound Π factors."""
        total = Decimal(0)
        for term, coefficient in p.items():
            bound = [Var(1, sort, number) for number, sort in enumerate(term.bound)]
            inner = Decimal(0)
            for row in _tuples(term.bound, self.sizes):
                here = {**at, **dict(zip(bound, row, strict=True))}
                product = Decimal(1)
                for factor in term.factors:
                    product *= self._factor(algebra, factor, here)
                    if not product:
                        break
                inner += product
            for sort, exponent in term.sizes:
                inner *= power(Decimal(self.sizes[sort]), exponent)
            total += inner * coefficient.numerator / coefficient.denominator
        return total

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise OutOfRangeError

    def _factor(self, algebra: Algebra, factor: Factor, at: Mapping[Var, int]) -> Decimal:
        self._step()
        head = algebra.heads[factor.head]
        where = tuple(at[v] for v in factor.indices)
        if head.kind == "tensor":
            value = self.tensors[head.label][where]
        elif head.kind == "within":
            value = Decimal(where[0] - where[1] <= head.label)
        else:
            names = dict(zip(head.parameters, where, strict=True))
            argument = self.polynomial(algebra, dict(head.pattern), names)
            value = apply_function(head.kind, argument)
        return value if factor.power == 1 else power(value, factor.power)


def near(one: Decimal, other: Decimal) -> bool:
    """Equal but for rounding."""
    return abs(one - other) <= Decimal("1e-40") * max(Decimal(1), abs(one), abs(other))


def size_of(expression: Expression) -> int:
    """The number of nodes."""
    return 1 + sum(map(size_of, children(expression)))
