"""Given tensors of equations that get an equation of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cortico.verify.equations.language import (
    Definition,
    Equations,
    Expression,
    Index,
    Read,
    reads,
)
from cortico.verify.equations.sorts import with_sorts


def indices_of(equations: Equations, tensor: str) -> tuple[Index, ...]:
    """Formal indices for the sides of a given tensor."""
    return tuple(Index(f"k{n}", sort) for n, sort in enumerate(equations.given[tensor]))


def made_of(
    equations: Equations, new: str, old: str, body: Callable[[Read], Expression]
) -> Equations:
    """The equations with `new` defined from the entry of `old` at the same indices.

    Where an equation defines `new` already, that one stays.
    """
    if new not in equations.given:
        return equations
    equations = like(equations, new, old)
    return defined(equations, new, body(Read(old, indices_of(equations, new))))


def defined(equations: Equations, tensor: str, body: Expression) -> Equations:
    """The equations with a given tensor defined, at `indices_of` it."""
    return with_definition(equations, Definition(tensor, indices_of(equations, tensor), body))


def with_definition(equations: Equations, definition: Definition) -> Equations:
    """The equations with a definition in front; what it reads and nothing defines is given."""
    given = {name: s for name, s in equations.given.items() if name != definition.tensor}
    given.update(
        (read.tensor, tuple(v.sort for v in read.indices))
        for read in reads(definition.body)
        if read.tensor not in given and read.tensor not in {d.tensor for d in equations.definitions}
    )
    return replace(equations, given=given, definitions=(definition, *equations.definitions))


def like(equations: Equations, new: str, old: str) -> Equations:
    """The equations with the sides of two tensors running through the same sorts."""
    if old not in equations.given:
        return equations
    names = dict(zip(equations.given[new], equations.given[old], strict=True))
    return with_sorts(equations, names)
