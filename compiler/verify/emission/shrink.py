"""A small circuit with the structure of a large one, and whether both are emitted as the same program.

Exact numbers are slow: at the sizes of a real layer a check takes minutes. So it is made on a circuit that
differs in its numbers only (extents, offsets of bounds, stored weights), and only where the emitter makes
the same text of both, but for numbers.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from cortico.ir import Bound, Circuit, Extent, Parameter, Role
from cortico.ir.domain import Domain, conjunction
from cortico.ir.rewrite import (
    domains_of,
    map_axes,
    map_parameters,
    map_populations,
    map_projections,
)

#: Extents and offsets up to this stay: a rotation has two components, and 1 is a case of its own.
_KEPT = 2

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def shrunk(circuit: Circuit, spread: int = 1, tokens: int = 0) -> Circuit:
    """`circuit` with small extents and offsets, in the same order of size, and random stored weights.

    Fixed numbers of tokens stay larger than the reach of every bound on them, and than `tokens`. `spread`
    lies between extents where the circuit's are far apart.
    """
    offsets = {b.offset for d in domains_of(circuit) for b in d}
    reach = _smaller({abs(offset) for offset in offsets}, _KEPT + 1, 1)
    columns = {axis.extent for axis in circuit.axes if axis.role is Role.COLUMN}
    extents = {axis.extent for axis in circuit.axes} | {
        n for p in circuit.parameters for n in p.shape
    }
    numbers = {extent for extent in extents if isinstance(extent, int)}
    least = max(_KEPT, tokens, *reach.values()) + 2
    free = _smaller(numbers - columns, _KEPT + 1, spread)
    sizes = {**free, **_smaller({n for n in numbers if n in columns}, least, spread)}

    def resized(parameter: Parameter) -> Parameter:
        shape = tuple(_resized(side, sizes) for side in parameter.shape)
        return replace(parameter, shape=shape, values=_drawn(parameter, shape))

    def narrowed(domain: Domain) -> Domain:
        return conjunction(_narrowed(bound, reach) for bound in domain)

    small = map_axes(circuit, lambda a: replace(a, extent=_resized(a.extent, sizes)))
    small = replace(
        small,
        inputs=tuple(
            replace(t, shape=tuple(_resized(side, sizes) for side in t.shape))
            for t in circuit.inputs
        ),
    )
    small = map_parameters(small, resized)
    small = map_populations(small, lambda p: replace(p, domain=narrowed(p.domain)))
    return map_projections(small, lambda p: replace(p, domain=narrowed(p.domain)))


def redrawn(circuit: Circuit) -> Circuit:
    """`circuit` with random stored weights: trained ones may have zeros, which hide what reads them."""
    return map_parameters(circuit, lambda p: replace(p, values=_drawn(p, p.shape)))


def same_program(text: str, small: str) -> bool:
    """Whether two Python texts are the same but for numbers, which are not larger in the second."""
    first, second = list(_tokens(text)), list(_tokens(small))
    if len(first) != len(second):
        return False
    return all(_is_same(one, two) for one, two in zip(first, second, strict=True))


def _smaller(numbers: set[int], least: int, spread: int) -> dict[int, int]:
    """Each of `numbers` to another: those below `least` stay, others are counted up from there."""
    large = sorted(n for n in numbers if n >= least)
    counted = {n: min(n, least + spread * place) for place, n in enumerate(large)}
    return {**{n: n for n in numbers if n < least}, **counted}


def _resized(extent: Extent, sizes: Mapping[int, int]) -> Extent:
    return sizes[extent] if isinstance(extent, int) else extent


def _narrowed(bound: Bound, reach: Mapping[int, int]) -> Bound:
    far = reach[abs(bound.offset)]
    return replace(bound, offset=far if bound.offset > 0 else -far)


def _drawn(parameter: Parameter, shape: tuple[Extent, ...]) -> np.ndarray | None:
    """Random numbers of the parameter's type where it has numbers."""
    if parameter.values is None:
        return None
    rng = np.random.default_rng(sum(map(ord, parameter.name)))
    drawn = rng.standard_normal([int(side) for side in shape]) / 2
    return np.asarray(drawn.astype(parameter.values.dtype))


def _tokens(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield _NUMBER.sub("#", token.string)
        else:
            yield token.string


def _is_same(one: str, two: str) -> bool:
    if one == two:
        return True
    if not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(two)):
        return False
    return not (one.isdigit() and two.isdigit()) or int(one) >= int(two)
