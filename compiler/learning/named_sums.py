"""Sums over tokens inside of products get names: the memories that a formula is made of.

    Σ_i,j,c v[h, j, c] k[h, j, a] delta[h, i, c] x[i, m]
      =  Σ_i,c M[h, c, a] delta[h, i, c] x[i, m]    with    M[h, c, a] = Σ_j v[h, j, c] k[h, j, a]

The token at which a result is read off, that of the factor with a model feature of the result, stays;
every other token is summed in a definition of its own, the one that leaves the fewest indices first.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cortico.ir import Role
from cortico.verify.equations.language import (
    Add,
    Definition,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
    fresh_index,
    names_in,
    reads,
    renamed_indices,
)
from cortico.verify.equations.printing import expression_text, tidy

#: Names of sums of what goes forwards, and of those in which an error takes part.
_FORWARD, _BACKWARD = "MNPRSTUVXYZ", "BDEFGHJKLQW"


@dataclass(frozen=True)
class Alphabet:
    """What is known of axes and tensors: roles, order, where tensors are defined, and which are errors."""

    roles: Mapping[str, Role]  #: of axes, in the circuit's order
    axes: Mapping[str, tuple[str, ...]]  #: of tensors with a definition of their own
    errors: Collection[str]

    def role(self, index: Index) -> Role:
        """The role of the axis that an index is named after."""
        return self.roles[plain(index).name]

    def place(self, index: Index) -> tuple[int, int]:
        """Where an index stands in a tensor: areas, columns, then features, those of values first."""
        axes, kinds = list(self.roles), list(Role)
        role, at = self.role(index), axes.index(plain(index).name)
        return kinds.index(role), -at if role is Role.FEATURE else at


def plain(index: Index) -> Index:
    """The index without primes."""
    return Index(index.name.rstrip("'"), index.sort)


@dataclass
class NamedSums:
    """Definitions of sums, made as terms are written with them; `taken` are names of other tensors."""

    alphabet: Alphabet
    taken: set[str]
    definitions: list[Definition] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)

    def write(self, definition: Definition) -> Definition:
        """The definition with sums over tokens named."""
        body = tidy(definition.body)
        terms = body.terms if isinstance(body, Add) else (body,)
        free = definition.indices
        return Definition(
            definition.tensor, free, tidy(Add(tuple(self._term(t, free) for t in terms)))
        )

    # ---- one term --------------------------------------------------------------------------------

    def _term(self, term: Expression, free: Sequence[Index]) -> Expression:
        outer, bound, factors = _parts(term)
        factors, bound = self._by_axes(factors, bound, free)
        kept = self._kept(factors, bound, free)
        factors, bound = self._without_tokens(factors, bound, kept)
        body: Expression = Product(tuple(sorted(factors, key=self._rank)))
        inner = tuple(sorted(bound, key=self.alphabet.place))
        return Product((*outer, Sum(inner, body) if inner else body))

    def _without_tokens(
        self, factors: list[Expression], bound: list[Index], kept: Index | None
    ) -> tuple[list[Expression], list[Index]]:
        """Factors and indices with all tokens but one summed in definitions of their own."""
        rest = [v for v in self._tokens(bound) if v != kept]
        while rest:
            token = min(rest, key=lambda v: len(self._scope(v, factors, bound)[1]))
            rest.remove(token)
            factors, bound = self._eliminate(token, factors, bound)
        return factors, bound

    def _tokens(self, bound: Sequence[Index]) -> list[Index]:
        return [v for v in bound if self.alphabet.role(v) is Role.COLUMN]

    def _kept(
        self, factors: list[Expression], bound: list[Index], free: Sequence[Index]
    ) -> Index | None:
        """The token at which the result is read off, else the one that needs the fewest new sums."""
        tokens = self._tokens(bound)
        models = {v.name for v in free if self.alphabet.role(v) is Role.MODEL}
        for factor in factors:
            names = names_in(factor)
            if names & models:
                return next((token for token in tokens if token.name in names), None)
        return min(tokens, key=lambda v: self._new_sums(factors, bound, v), default=None)

    def _new_sums(self, factors: list[Expression], bound: list[Index], kept: Index) -> int:
        trial = NamedSums(self.alphabet, {*self.taken}, [*self.definitions], {*self.errors})
        trial._without_tokens(factors, bound, kept)
        return len(trial.definitions)

    def _scope(
        self, token: Index, factors: Sequence[Expression], bound: Sequence[Index]
    ) -> tuple[list[Index], list[Index]]:
        """What is summed together with a token, and the indices that the sum then has."""
        inside = [f for f in factors if token.name in names_in(f)]
        outside = set().union(*(names_in(f) for f in factors if f not in inside))
        summed = [
            v
            for v in bound
            if v == token
            or (
                self.alphabet.role(v) is Role.FEATURE
                and v.name not in outside
                and any(v.name in names_in(f) for f in inside)
            )
        ]
        met = dict.fromkeys(v for f in inside for v in _indices(f) if v not in summed)
        return summed, sorted(met, key=self.alphabet.place)

    def _eliminate(
        self, token: Index, factors: Sequence[Expression], bound: Sequence[Index]
    ) -> tuple[list[Expression], list[Index]]:
        summed, left = self._scope(token, factors, bound)
        inside = sorted((f for f in factors if token.name in names_in(f)), key=self._rank)
        others = [f for f in factors if f not in inside]
        body = Sum(tuple(sorted(summed, key=self.alphabet.place)), Product(tuple(inside)))
        read = self._named(tuple(left), body)
        return [read, *others], [v for v in bound if v not in summed]

    def _named(self, at: tuple[Index, ...], body: Sum) -> Read:
        """The sum read as a tensor of its own, at the indices `at`."""
        names = _without_primes((*at, *body.indices))
        formal = tuple(names.get(v, v) for v in at)
        inner = Product(tuple(renamed_indices(f, names) for f in _factors(body.body)))
        own: Expression = Sum(tuple(names.get(v, v) for v in body.indices), inner)
        for known in self.definitions:
            if (known.indices, expression_text(known.body)) == (formal, expression_text(own)):
                return Read(known.tensor, at)
        name = self._free_name(own)
        self.definitions.append(Definition(name, formal, own))
        return Read(name, at)

    def _free_name(self, body: Expression) -> str:
        is_error = any(self._is_error(factor) for factor in _factors(body))
        letters = _BACKWARD if is_error else _FORWARD
        numbered = (f"{letters[0]}_{k}" for k in itertools.count(2))
        name = next(n for n in itertools.chain(letters, numbered) if n not in self.taken)
        self.taken.add(name)
        if is_error:
            self.errors.add(name)
        return name

    def _is_error(self, factor: Expression) -> bool:
        return isinstance(factor, Read) and (
            factor.tensor in self.alphabet.errors or factor.tensor in self.errors
        )

    def _rank(self, factor: Expression) -> tuple[int, str]:
        """Named sums stand first, then errors, then what is defined, then what is given."""
        text = expression_text(factor)
        if not isinstance(factor, Read):
            return 4, text
        if factor.tensor in {each.tensor for each in self.definitions}:
            return 0, text
        if self._is_error(factor):
            return 1, text
        return (2 if factor.tensor in self.alphabet.axes else 3), text

    # ---- indices are called by the axes of what they read ------------------------------------------

    def _by_axes(
        self, factors: Sequence[Expression], bound: Sequence[Index], free: Sequence[Index]
    ) -> tuple[list[Expression], list[Index]]:
        """Bound indices renamed after the axes at which tensors are defined, as far as that can be."""
        wishes = {v: self._wish(v, factors) for v in bound}
        used = {v.name for v in free}
        names: dict[Index, Index] = {}
        for v in sorted(bound, key=lambda v: (not wishes[v], v.name)):
            names[v] = fresh_index(Index(wishes[v] or plain(v).name, v.sort), used)
            used.add(names[v].name)
        return [renamed_indices(f, names) for f in factors], [names[v] for v in bound]

    def _wish(self, index: Index, factors: Sequence[Expression]) -> str:
        """The axis that most tensors have where they read an index."""
        found: list[str] = []
        for read in itertools.chain.from_iterable(map(reads, factors)):
            axes = self.alphabet.axes.get(read.tensor, ())
            found += [a for a, v in zip(axes, read.indices, strict=False) if v == index]
        return max(found, key=found.count, default="")


def _parts(term: Expression) -> tuple[list[Expression], list[Index], list[Expression]]:
    """Numbers and sizes of a term, its bound indices, and its other factors."""
    outer: list[Expression] = []
    bound: list[Index] = []
    inner: list[Expression] = []
    for factor in term.factors if isinstance(term, Product) else (term,):
        if isinstance(factor, Sum):
            bound += factor.indices
            more = _parts(factor.body)
            outer, bound, inner = outer + more[0], bound + more[1], inner + more[2]
        else:
            (outer if isinstance(factor, (Number, Size)) else inner).append(factor)
    return outer, bound, inner


def _factors(expression: Expression) -> tuple[Expression, ...]:
    if isinstance(expression, Sum):
        return _factors(expression.body)
    return expression.factors if isinstance(expression, Product) else (expression,)


def _indices(factor: Expression) -> Iterator[Index]:
    """The free indices of a factor without sums."""
    if isinstance(factor, Within):
        yield from (factor.left, factor.right)
    for read in reads(factor):
        yield from read.indices


def _without_primes(indices: Sequence[Index]) -> dict[Index, Index]:
    """Indices to the same without primes, where no two become one."""
    bare = [plain(v) for v in indices]
    return {v: b for v, b in zip(indices, bare, strict=True) if v != b and bare.count(b) == 1}
