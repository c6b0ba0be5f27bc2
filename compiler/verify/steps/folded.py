"""Facts about tensors that have taken on a vector of another block: `W' = W g` along a side, `b' = b + W s`.

The pass is not asked. Vectors that are gone are tried at every side that runs through the same set.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortico.ir import Circuit, TensorRef
from cortico.ir.rewrite import readings
from cortico.verify.equations.language import Equations, Expression, Index, Read, product, total
from cortico.verify.steps.discovery import stem, stored
from cortico.verify.steps.facts import Contraction, Summed
from cortico.verify.steps.gains import ExactGain
from cortico.verify.steps.solve import Contractions, summed


def folded(left: Equations, before: Circuit, after: Circuit) -> Iterator[Summed]:
    """What each tensor that only `after` has is of those of `before`, where the arrays fit it."""
    old, new = stored(before), stored(after)
    here, there = _reads(before), _reads(after)
    gone = [here[n] for n, a in old.items() if n not in new and a.ndim == 1 and n in here]
    tables = [ref for name, ref in here.items() if name in old]
    for name in (n for n in new if n not in old and n in there):
        for found in _candidates(left, there[name], tables, gone):
            if (fact := summed(left, name, found, old, new[name])) is not None:
                yield fact
                break


def _reads(circuit: Circuit) -> dict[str, TensorRef]:
    """Each tensor as it is read first."""
    found: dict[str, TensorRef] = {}
    for ref in readings(circuit):
        found.setdefault(ref.name, ref)
    return found


def _candidates(
    left: Equations, new: TensorRef, tables: list[TensorRef], gone: list[TensorRef]
) -> Iterator[Contractions]:
    """What a tensor may be of others, as contractions at the axes at which it is read."""
    own = [t for t in tables if stem(t.name) == stem(new.name) and t.axes == new.axes]
    for table in tables:
        for vector in gone:
            (sort,) = left.given[vector.name]
            for axis, side in zip(table.axes, left.given[table.name], strict=True):
                if side == sort and table.axes == new.axes and table in own:
                    yield _sum(left, new, [(table, TensorRef(vector.name, (axis,)))])
                elif side == sort and {*table.axes} == {*new.axes, axis} and axis not in new.axes:
                    brought = (table, TensorRef(vector.name, (axis,)))
                    yield _sum(left, new, [*((t,) for t in own), brought])


def _sum(left: Equations, new: TensorRef, terms: list[tuple[TensorRef, ...]]) -> Contractions:
    """The sum of products of tensors, each summed over the axes that `new` lacks."""
    sorts = {
        a: s
        for term in terms
        for r in term
        for a, s in zip(r.axes, left.given[r.name], strict=True)
    }
    at = {axis: Index(axis, sort) for axis, sort in sorts.items()}

    def body(term: tuple[TensorRef, ...]) -> Expression:
        summed_ = tuple(
            at[a] for a in dict.fromkeys(a for r in term for a in r.axes) if a not in new.axes
        )
        return total(summed_, product(*(Read(r.name, tuple(at[a] for a in r.axes)) for r in term)))

    first, *rest = (body(term) for term in terms)
    whole = first
    for each in rest:
        whole = whole + each
    given = {ref.name: left.given[ref.name] for term in terms for ref in term}
    contractions = tuple(Contraction(ExactGain(), term) for term in terms)
    return Contractions(tuple(at[a] for a in new.axes), contractions, whole, given)
