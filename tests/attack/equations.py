"""Systems of equations as numbers, and random changes of them. Shares no code with the prover's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np

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
)
from tests.attack.oracle import REAL

_POWERS = [Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-1, 2)]
_NUMBERS = [Fraction(-1), Fraction(2), Fraction(1, 2), Fraction(0), Fraction(1000001, 1000000)]


# ---- numbers -------------------------------------------------------------------------------------


def numbers_of(equations: Equations, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of a system whose given tensors, but those of formulas, are known."""
    sizes = {"components": 2}
    for name, array in given.items():
        sizes.update(zip(equations.given.get(name, ()), array.shape, strict=False))
    known = {name: np.asarray(array, dtype=REAL) for name, array in given.items()}
    for name, formula in equations.formulas.items():
        tokens = np.arange(max(sizes.values()))  # a reading takes those that it needs
        angle = tokens[:, None] * known[formula.arguments[0]]
        rows = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
        known[name] = np.stack(rows, -1).reshape(*angle.shape, 2, 2)
    for row in equations.definitions:
        known[row.tensor] = _over(row.indices, row.body, known, sizes)
    return known


def _over(
    indices: tuple[Index, ...],
    e: Expression,
    known: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
) -> np.ndarray:
    """An expression over these free indices, which have different names."""

    def again(part: Expression) -> np.ndarray:
        return _over(indices, part, known, sizes)

    places = {v.name: k for k, v in enumerate(indices)}
    shape = tuple(sizes[v.sort] for v in indices)
    grid = np.indices(shape)
    match e:
        case Number(value):
            return np.full(shape, REAL(value.numerator) / REAL(value.denominator))
        case Size(sort, power):
            exponent = REAL(power.numerator) / REAL(power.denominator)
            return np.full(shape, REAL(sizes[sort]) ** exponent)
        case Read(tensor, (i, j)) if tensor == OFFSET:
            return (grid[places[j.name]] - grid[places[i.name]]).astype(REAL)
        case Read(tensor, at):
            return known[tensor][tuple(grid[places[v.name]] for v in at)]
        case Within(left, right, offset):
            return (grid[places[left.name]] - grid[places[right.name]] <= offset).astype(REAL)
        case Sum(over, body):
            inner = (*(v for v in indices if v.name not in {w.name for w in over}), *over)
            kept = [v for v in indices if v in inner[: len(inner) - len(over)]]
            whole = _over(inner, body, known, sizes).sum(axis=tuple(range(len(kept), len(inner))))
            hidden = tuple(k for k, v in enumerate(indices) if v not in kept)
            return np.broadcast_to(np.expand_dims(whole, hidden), shape)
        case Product(parts):
            return np.prod([np.ones(shape, REAL), *map(again, parts)], axis=0)
        case Add(parts):
            return np.sum([np.zeros(shape, REAL), *map(again, parts)], axis=0)
        case Apply(function, argument):
            return _FUNCTIONS[function](again(argument))
    raise TypeError(f"no expression: {e!r}")


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.where(x != 0, 1 / np.where(x != 0, x, 1), 0)


_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "inverse": _inverse,
    "relu": lambda x: np.maximum(x, 0),
    "step": lambda x: (x > 0).astype(REAL),
    "tanh": np.tanh,
    "sqrt": np.sqrt,
}


# ---- changes -------------------------------------------------------------------------------------


def changed_row(random: Random, equations: Equations, rows: list[Definition]) -> Equations:
    """The system with one of these definitions changed."""
    while True:
        row = random.choice(rows)
        body = _changed(random, row, equations)
        if body != row.body:
            new = replace(row, body=body)
            definitions = tuple(new if d is row else d for d in equations.definitions)
            return replace(equations, definitions=definitions)


def _changed(random: Random, row: Definition, equations: Equations) -> Expression:
    if random.random() < 0.35:
        factor: Expression = Number(random.choice(_NUMBERS))
        if random.random() < 0.5:
            sorts = [v.sort for each in equations.definitions for v in each.indices]
            factor = Size(random.choice(sorts), random.choice(_POWERS))
        return Product((factor, row.body))
    place = random.randrange(_count(row.body))
    return _replaced(row.body, place, row.indices, lambda e, v: _other(random, e, v, equations))[0]


def _count(e: Expression) -> int:
    return 1 + sum(map(_count, children(e)))


def _replaced(
    e: Expression,
    place: int,
    indices: tuple[Index, ...],
    change: Callable[[Expression, tuple[Index, ...]], Expression],
) -> tuple[Expression, int]:
    """The expression with its part number `place` changed, and how many parts are still to pass."""
    if place == 0:
        return change(e, indices), -1
    place -= 1
    inner = (*indices, *e.indices) if isinstance(e, Sum) else indices
    parts = list(children(e))
    for k, part in enumerate(parts):
        if place >= 0:
            parts[k], place = _replaced(part, place, inner, change)
    match e:
        case Sum(over, _):
            return Sum(over, parts[0]), place
        case Product(_):
            return Product(tuple(parts)), place
        case Add(_):
            return Add(tuple(parts)), place
        case Apply(function, _):
            return Apply(function, parts[0]), place
    return e, place


def _other(
    random: Random, e: Expression, free: tuple[Index, ...], equations: Equations
) -> Expression:
    match e:
        case Read(tensor, at) if at:
            if random.random() < 0.3:
                return Read(_alike(random, tensor, equations), at)
            place = random.randrange(len(at))
            same = [v for v in free if v.sort == at[place].sort]
            return Read(tensor, (*at[:place], random.choice(same), *at[place + 1 :]))
        case Within(left, right, offset):
            swapped = Within(right, left, offset)
            moved = Within(left, right, offset + random.choice([-1, 1, 2]))
            return random.choice([swapped, moved, Product(())])
        case Product(parts) | Add(parts) if parts:
            place = random.randrange(len(parts))
            return replace(e, **{e.__match_args__[0]: (*parts[:place], *parts[place + 1 :])})
        case Number(value):
            return Number(value * random.choice(_NUMBERS))
        case Size(sort, _):
            return Size(sort, random.choice(_POWERS))
        case Apply(_, argument):
            return random.choice([argument, Product((e, e)), Apply("tanh", argument)])
    return Product((Number(random.choice(_NUMBERS)), e))


def _alike(random: Random, tensor: str, equations: Equations) -> str:
    """A tensor whose sides run through the same sorts, defined before."""
    sides = dict(equations.given)
    order = [*sides]
    for row in equations.definitions:
        sides[row.tensor] = tuple(v.sort for v in row.indices)
        order.append(row.tensor)
    if tensor not in sides:
        return tensor
    earlier = order[: order.index(tensor) + 1]
    return random.choice([name for name in earlier if sides[name] == sides[tensor]])
