"""What polynomials surely are: greater than zero, or nowhere negative."""

from __future__ import annotations

from cortico.ir.transfer import TRANSFERS, Sign
from cortico.verify.normal.heads import Heads
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var


class Signs:
    """Signs of polynomials; `nonnegative` names tensors that are nowhere negative."""

    def __init__(self, heads: Heads, nonnegative: frozenset[str]) -> None:
        self._heads, self._nonnegative = heads, nonnegative

    def is_positive(self, polynomial: Polynomial) -> bool:
        """Whether it surely is greater than zero: nowhere negative, and one term nowhere zero."""
        return self.is_nonnegative(polynomial) and any(map(self._is_never_zero, polynomial))

    def is_nonnegative(self, polynomial: Polynomial) -> bool:
        """Whether it surely is nowhere negative."""
        return all(
            coefficient > 0 and all(map(self._keeps_sign, term.factors))
            for term, coefficient in polynomial.items()
        )

    def _keeps_sign(self, factor: Factor) -> bool:
        head = self._heads[factor.head]
        if head.idempotent or (head.kind in TRANSFERS and TRANSFERS[head.kind].nonnegative):
            return True
        if head.kind == "tensor" and head.label in self._nonnegative:
            return True
        if head.kind == "inverse" and self.is_nonnegative(dict(head.pattern)):
            return True
        return factor.power % 2 == 0

    def _is_never_zero(self, term: Term) -> bool:
        """Whether a sum of positive numbers has at least one of them, at all free indices.

        A comparison of a bound index with a free one holds where both are equal, if they run
        through the same sort and the offset allows it. Each bound index is compared with one other.
        """
        partner: dict[Var, Var] = {}
        for factor in term.factors:
            head = self._heads[factor.head]
            if head.kind == "within":
                assert isinstance(head.label, int)
                inner, outer = sorted(factor.indices, reverse=True)
                fits = inner.rank == 1 and outer.rank == 0 and inner.sort == outer.sort
                if not fits or head.label < 0 or partner.setdefault(inner, outer) != outer:
                    return False
            elif head.kind not in TRANSFERS or TRANSFERS[head.kind].sign is not Sign.POSITIVE:
                return False
        return True
