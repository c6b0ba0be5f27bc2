"""Sums over the past: Σ_{j <= i} of what depends on j times what depends on i, in linear time.

Causal linear attention is such a sum. As an array over pairs of tokens it would cost the square of
their number; as a memory that is read while it is written it costs as much for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cortico.backends.arrays.operations import Multiply, PastProduct, PastSum
from cortico.backends.arrays.program import Program
from cortico.backends.arrays.variables import Product, Variable, axes_of, in_order
from cortico.ir import Bound
from cortico.ir.domain import bound_axes


def sum_over_past(
    program: Program,
    product: Product,
    onto: tuple[str, ...],
    sizes: Mapping[str, int],
    same_length: Callable[[str, str], bool],
) -> Product:
    """`product` with its sums over the past made, of as many tokens as the present has; others as they were."""
    for bound in sorted(product.bounds):
        equal = same_length(bound.left, bound.right)
        done = equal and _PastSum(program, product, bound, onto, sizes).result()
        if done:
            product = done
    return product


class _PastSum:
    """One attempt to sum `product` over the axis `bound.left`, the past of `bound.right`."""

    def __init__(
        self,
        program: Program,
        product: Product,
        bound: Bound,
        onto: tuple[str, ...],
        sizes: Mapping[str, int],
    ) -> None:
        self.program, self.product, self.bound, self.sizes = program, product, bound, sizes
        self.past, self.now = bound.left, bound.right
        self.early = [f for f in product.factors if self.past in f.axes]
        self.late = [f for f in product.factors if self.now in f.axes and f not in self.early]
        self.rest = [f for f in product.factors if f not in (*self.early, *self.late)]
        self.others = product.bounds - {bound}
        self.kept = {*onto} | axes_of((*self.rest, *product.divisors)) | bound_axes(self.others)

    def result(self) -> Product | None:
        """The product after the sum; None when this is no sum over the past, or more than one bound holds."""
        if (
            self.bound.offset != 0
            or not self.early
            or any(self.now in factor.axes for factor in self.early)
            or self.past in self.kept
            or self.now not in self.kept
        ):
            return None
        summed = self._memory() or self._running_total()
        return replace(self.product, factors=(*summed, *self.rest), bounds=self.others)

    def _memory(self) -> tuple[Variable, ...] | None:
        """Queries, keys and values, when there are features that match and others that are shown."""
        matched = (axes_of(self.early) & axes_of(self.late)) - self.kept
        shown = axes_of(self.early) - axes_of(self.late) - {self.past}
        keys = [f for f in self.early if {*f.axes} & matched]
        values = [f for f in self.early if f not in keys]
        if (
            not (matched and shown and values)
            or axes_of(keys) & shown
            or not shown <= self.kept
            or not axes_of(self.late) - matched <= self.kept
        ):
            return None
        key, value = (
            self._joined(name, part) for name, part in (("keys", keys), ("values", values))
        )
        operands = [self._joined("queries", self.late), key, value]
        stack = in_order((axes_of(operands) & self.kept) - {self.now, *shown}, self.sizes)
        axes = (*stack, self.now, *in_order(shown, self.sizes))
        operation = PastProduct(self.now, self.past)
        return (self.program.assign("recalled", operation, axes, operands),)

    def _running_total(self) -> tuple[Variable, ...]:
        early = self._joined("arrivals", self.early)
        axes = tuple(self.now if axis == self.past else axis for axis in early.axes)
        operation = PastSum(self.now, self.past)
        return (self.program.assign("total", operation, axes, [early]), *self.late)

    def _joined(self, name: str, factors: Iterable[Variable]) -> Variable:
        """One array that is the product of `factors`, entry by entry."""
        first, *others = factors
        if not others:
            return first
        axes = in_order(axes_of((first, *others)), self.sizes)
        return self.program.assign(name, Multiply(), axes, [first, *others])
