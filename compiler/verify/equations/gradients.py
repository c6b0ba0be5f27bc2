"""Gradients of equations by reverse mode: for every tensor T the derivative d.T of a loss.

The loss enters by its derivative with respect to each output, a given tensor (`error` for the
squared error ½ Σ (y - t)²). Going back through the equations, each reading of a tensor adds

    d.T[at] += Σ d.U[u] · ∂U[u] / ∂T[at]       for every equation U[u] = … T[at] …
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from cortico.ir.transfer import TRANSFERS
from cortico.verify.equations.language import (
    SLOPE,
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Index,
    Product,
    Read,
    Sum,
    fresh_indices,
    lifted,
    names_in,
    product,
    renamed_indices,
    total,
)

#: ∂L/∂y for an output y, as a given tensor: y - t for the squared error.
ERROR = "error"


def gradient_of(tensor: str) -> str:
    """The name of the gradient with respect to a tensor."""
    return f"d.{tensor}"


def gradients(equations: Equations, wanted: Sequence[str]) -> Equations:
    """The equations, and after them those of the gradients of given tensors `wanted`.

    The equations must have one output; `error` is the derivative of the loss by it. A tensor that
    nothing reads has the gradient zero. ValueError when a tensor has the name of a derivative.
    """
    taken = {*equations.given, *(each.tensor for each in equations.definitions)}
    clash = taken & {ERROR, *map(gradient_of, taken)}
    if clash:
        raise ValueError(f"{', '.join(sorted(clash))} is the name of a derivative: rename it")
    (output,) = equations.outputs
    at = equations.definition(output).indices
    found: dict[str, list[_Share]] = {output: [_Share(at, Read(ERROR, at))]}
    rows: list[Definition] = []
    for definition in reversed(equations.definitions):
        rows.append(_row(definition.tensor, definition.indices, found))
        for share in _shares(definition):
            found.setdefault(share.tensor, []).append(_Share(share.at, share.expression))
    rows += [_row(t, _formals(_where_read(t, equations, found)), found) for t in wanted]
    given = {**equations.given, ERROR: tuple(v.sort for v in at)}
    return replace(
        equations,
        given=given,
        definitions=(*equations.definitions, *rows),
        outputs=tuple(map(gradient_of, wanted)),
    )


class _Share(NamedTuple):
    """A contribution to a gradient at the indices `at`; its other indices are summed already."""

    at: tuple[Index, ...]
    expression: Expression


class _Reading(NamedTuple):
    """A contribution that an equation makes to the gradient of a tensor that it reads."""

    tensor: str
    at: tuple[Index, ...]
    expression: Expression


def _row(
    tensor: str, indices: tuple[Index, ...], found: Mapping[str, Sequence[_Share]]
) -> Definition:
    """The gradient of one tensor: all shares, at the same indices."""
    terms = [
        renamed_indices(share.expression, dict(zip(share.at, indices, strict=True)))
        for share in found.get(tensor, ())
    ]
    body = terms[0] if len(terms) == 1 else Add(tuple(terms))
    return Definition(gradient_of(tensor), indices, body)


def _where_read(
    tensor: str, equations: Equations, found: Mapping[str, Sequence[_Share]]
) -> tuple[Index, ...]:
    """The indices at which a given tensor is read first, or any if nothing reads it."""
    if tensor in found:
        return found[tensor][0].at
    return tuple(Index(f"i{k}", sort) for k, sort in enumerate(equations.given[tensor]))


def _formals(at: tuple[Index, ...]) -> tuple[Index, ...]:
    if len(set(at)) != len(at):
        raise NotImplementedError("a tensor read at the same index twice")
    return at


def _shares(definition: Definition) -> Iterator[_Reading]:
    """What an equation adds to the gradients of the tensors on its right-hand side."""
    down = Read(gradient_of(definition.tensor), definition.indices)
    for read, derivative, bound in _derivatives(definition.body, (), definition.indices):
        at = _formals(read.indices)
        summed = tuple(v for v in bound if v not in at)
        yield _Reading(read.tensor, at, total(summed, product(down, *derivative)))


_Derivative = tuple[Read, tuple[Expression, ...], tuple[Index, ...]]


def _derivatives(
    expression: Expression, factors: tuple[Expression, ...], bound: tuple[Index, ...]
) -> Iterator[_Derivative]:
    """Each reading in an expression, the derivative by it as factors, and the indices around it."""
    match expression:
        case Read():
            yield expression, factors, bound
        case Sum():
            apart = _apart(expression, {v.name for v in bound}.union(*map(names_in, factors)))
            yield from _derivatives(apart.body, factors, (*bound, *apart.indices))
        case Product(parts):
            for place, part in enumerate(parts):
                others = (*parts[:place], *parts[place + 1 :])
                yield from _derivatives(part, (*factors, *others), bound)
        case Add(terms):
            for term in terms:
                yield from _derivatives(term, factors, bound)
        case Apply(function, argument):
            slope = derivative(function, argument)
            yield from _derivatives(argument, (*factors, slope), bound)


def _apart(expression: Sum, taken: set[str]) -> Sum:
    """A sum whose own indices have names that are not taken."""
    names = fresh_indices(expression.indices, taken, names_in(expression))
    body = renamed_indices(expression.body, {v: n for v, n in names.items() if v != n})
    return Sum(tuple(names.values()), body)


def derivative(function: str, argument: Expression) -> Expression:
    """The derivative of a function, at `argument`. That of 1/x at 0 is taken as 0.

    A slope with irrational numbers is a function of its own, called by a prime: `gelu'`.
    """
    value = Apply(function, argument)
    if function == "inverse":
        return -(value * value)
    if function not in TRANSFERS:
        raise NotImplementedError(f"the derivative of {function}")
    functions = {name: partial(Apply, name) for name in ("step", *TRANSFERS)}
    try:
        return lifted(eval(TRANSFERS[function].slope, {"x": argument, "r": value, **functions}))
    except NameError:
        return Apply(f"{function}{SLOPE}", argument)
